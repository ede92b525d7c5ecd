import pytest

from xattr.decoder._collapse import collapsed
from xattr.decoder._settings import Settings


def test_weights_are_kept_sorted_whatever_mapping_came():
    one = Settings(weights={"binary": 1.0, "area": 2.0})
    two = Settings(weights=(("area", 2.0), ("binary", 1.0)))
    assert one.weights == (("area", 2.0), ("binary", 1.0))
    assert one == two
    assert hash(one) == hash(two)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": {}}, "`weights` is empty"),
        ({"weights": {"aera": 1.0}}, "`weights` names 'aera'.*Nearest: area"),
        ({"weights": {"area": -1.0}}, r"`weights\['area'\]`=-1.0"),
        ({"fills": ()}, "`fills` is empty"),
        ({"fills": ("blurr",)}, r"`fills` names 'blurr'.*`fills=\('blur',\)`"),
        ({"mode": "thawed"}, "`mode`='thawed' is none of frozen, joint, pool"),
        ({"precision": "float16"}, "none of float32, bfloat16"),
        ({"num_steps": 0}, "`num_steps`=0; it must be at least 1"),
        ({"accumulate": 0}, "`accumulate`=0"),
        ({"learning_rate": -1.0}, "`learning_rate`=-1.0; it must be positive"),
        ({"masked_share": -0.5}, "`masked_share`=-0.5; it must be at least 0"),
        ({"ramp": 1.5}, "`ramp`=1.5; it is a share"),
        ({"average": 1.0}, "`average`=1.0; it must be at least 0 and less than 1"),
        ({"num_steps": 10, "warmup": 10}, "`warmup`=10 leaves none"),
    ],
)
def test_values_out_of_range_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Settings(**given)


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        (0.73, 0.01, ""),
        (0.99, 0.01, "all-ones"),
        (0.01, 0.01, "all-zero"),
        (0.03, 0.12, ""),
    ],
)
def test_a_mask_has_collapsed_where_it_is_even_and_extreme(mean, std, says):
    found = collapsed({"mask_mean": mean, "mask_std": std})
    assert found.startswith(says)
    assert bool(found) == bool(says)
