from typing import Any

import jax
import jax.numpy as jnp
import pytest

import xattr
from tests.apart import slow_but
from tests.methods import APART, CASES
from tests.networks import images, tiny_convnet

CAMS = {n: case for n, case in CASES.items() if case.grid and not case.attention}


@pytest.fixture
def half(key):
    """A network that takes float32 and computes in bfloat16."""
    net = tiny_convnet(key, dtype=jnp.bfloat16)

    def apply(params, x):
        return net.apply(params, x.astype(jnp.bfloat16))

    return xattr.Model(apply, net.params)


@pytest.mark.parametrize("name", slow_but(CAMS, CAMS.keys() - APART))
def test_a_map_has_the_type_of_the_images_whatever_the_sites(name, half):
    case = CAMS[name]
    key = jax.random.key(0) if case.random else None
    assert case.method(half, images(2), [0, 1], key=key).dtype == jnp.float32


def test_so_have_all_from_one_pass_and_what_occlusion_watches(half):
    maps = xattr.gradient_cams(half, images(2), site="relu:1")
    assert {m.dtype for m in maps.values()} == {jnp.dtype(jnp.float32)}
    window: dict[str, Any] = {"window": 6, "stride": 6}
    found = xattr.occlusion_response(half, images(2), site="relu:1", **window)
    assert found.response.dtype == found.score.dtype == jnp.float32
    assert xattr.occlusion_map(half, images(2), **window).dtype == jnp.float32
