"""Arguments of the wrong kind are named, with a call that works."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import xattr
from tests.networks import images, tiny_convnet

MODEL = tiny_convnet(jax.random.key(1))
KEY = jax.random.key(0)
DICTIONARY: Any = xattr.gradient_cams
TUPLE: Any = xattr.occlusion_response
WRONG = {
    "key": (
        xattr.smoothgrad(xattr.gradient),
        {"key": 0},
        "`key` is a int; it must be a typed key, `jax.random.key",
    ),
    "baselines": (
        xattr.expected_gradients,
        {"baselines": [jnp.zeros((12, 12, 3))], "key": KEY},
        "`baselines` is a list; .* `jnp.stack",
    ),
    "segments": (
        xattr.xrai,
        {"segments": [jnp.ones((2, 12, 12), bool)]},
        "`segments` is a list; it must be a boolean array, as from `xattr.images",
    ),
    "num_steps": (
        xattr.integrated_gradients,
        {"num_steps": 4.0},
        r"`num_steps`=4.0 is a float; it must be a whole number: `num_steps=4`",
    ),
    "guided num_steps": (
        xattr.guided_integrated_gradients,
        {"num_steps": True},
        "`num_steps`=True is a bool",
    ),
    "blur num_steps": (
        xattr.blur_integrated_gradients,
        {"num_steps": 4.0},
        "`num_steps`=4.0 is a float",
    ),
    "cam num_steps": (
        xattr.integrated_grad_cam,
        {"num_steps": 4.0, "site": "relu:1"},
        "`num_steps`=4.0 is a float",
    ),
    "num_samples": (
        xattr.expected_gradients,
        {"num_samples": 2.5, "baselines": images(2), "key": KEY},
        "`num_samples`=2.5 is a float",
    ),
    "window": (xattr.occlusion, {"window": 4.0}, "`window`=4.0 is a float"),
    "stride": (
        xattr.occlusion,
        {"window": 4, "stride": (2, 1.5)},
        "`stride`=1.5 is a float",
    ),
    "dictionary of maps": (
        xattr.smoothgrad(DICTIONARY),
        {"key": KEY, "site": "relu:1"},
        "`method` gives a dict, not one array of maps",
    ),
    "tuple of maps": (
        xattr.vargrad(TUPLE),
        {"key": KEY, "site": "relu:1", "window": 6},
        "`method` gives a OcclusionResponse, not one array of maps",
    ),
}


@pytest.mark.parametrize(("method", "options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_kinds_are_named(method, options, message):
    with pytest.raises(TypeError, match=message):
        method(MODEL, images(1), **options)


def test_combinators_need_whole_numbers():
    with pytest.raises(TypeError, match="`num_samples`=2.5 is a float"):
        xattr.smoothgrad(xattr.gradient, num_samples=2.5)  # type: ignore[arg-type]
