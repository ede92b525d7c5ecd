import pytest

import xattr
from xattr.cli._choices import (
    choose_methods,
    choose_target,
    for_command_line,
    nearest,
)

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


@pytest.mark.parametrize("text", ["+-5", "--5", "9" * 5000])
def test_numbers_that_are_none(text):
    with pytest.raises(ValueError, match="is not a class of this model") as caught:
        choose_target(text, CLASSES)
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith("`--target 0`.")


def test_methods_in_any_spelling():
    assert choose_methods(["Grad-CAM", "OCCLUSION,grad_cam"], TABLE) == {
        "grad_cam": 2,
        "occlusion": 3,
    }


def test_a_method_like_no_other_gets_them_all():
    with pytest.raises(ValueError, match="There are: gradient, grad_cam, occlusion. L"):
        choose_methods(["zzz"], TABLE)


def test_nearest_names_each_name_once_and_only_if_near():
    assert nearest("craen", CLASSES) == "Nearest: crane. "
    assert nearest("zzz", CLASSES) == ""


@pytest.mark.parametrize(
    ("load", "end"),
    [
        (lambda: xattr.models.load("resnet50"), "`--weights resnet50.safetensors`."),
        (lambda: xattr.models.load("resnet"), "`python -m xattr models`."),
    ],
)
def test_errors_end_with_the_command_that_works(load, end):
    with pytest.raises(ValueError, match="weights|is not a network") as caught:
        load()
    assert for_command_line(caught.value, "resnet50").endswith(end)
