import pytest

from xattr.cli._choices import choose_methods, choose_target, nearest

TABLE = {"gradient": 1, "grad_cam": 2, "occlusion": 3}
CLASSES = ("tench, Tinca tinca", "Egyptian cat", "tiger cat", "crane", "crane")


def test_methods_keep_the_order_asked_for():
    assert list(choose_methods(["occlusion, gradient", "occlusion"], TABLE)) == [
        *("occlusion", "gradient")
    ]


def test_unknown_method_names_the_nearest():
    with pytest.raises(ValueError, match="'grad_cma' is not a method. Nearest: grad_c"):
        choose_methods(["gradient,grad_cma"], TABLE)


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_no_method_is_an_error(text):
    with pytest.raises(ValueError, match="names no method"):
        choose_methods([text], TABLE)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("predicted", None),
        ("PREDICTED", None),
        ("0", 0),
        (" 4 ", 4),
        ("tench", 0),
        ("tinca TINCA", 0),
        ("tench, tinca tinca", 0),
        ("egyptian cat", 1),
        ("tig", 2),
    ],
)
def test_targets(text, index):
    assert choose_target(text, CLASSES) == index


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "5 is no class of this model: give 0 to 4"),
        ("-1", "-1 is no class of this model"),
        ("crane", r"fits 2 classes \(3: crane; 4: crane\).*`--target 3`"),
        ("t", r"fits 2 classes \(0: tench, Tinca tinca; 2: tiger cat\)"),
        ("egiptian cat", "is not a class of this model. Nearest: egyptian cat"),
        ("", "is not a class of this model"),
    ],
)
def test_targets_that_are_none(text, message):
    with pytest.raises(ValueError, match=message):
        choose_target(text, CLASSES)


def test_nearest_falls_back_on_the_first_names():
    assert nearest("zzz", TABLE) == "gradient, grad_cam, occlusion"
