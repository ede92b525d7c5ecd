import jax.numpy as jnp
import numpy as np
import pytest

from xattr.metrics._pixelwise import pixelwise


def test_both_layouts_are_the_same_map():
    maps = jnp.arange(12.0).reshape(2, 2, 3)
    images = jnp.zeros((2, 2, 3, 4))
    np.testing.assert_array_equal(pixelwise(maps, images), maps)
    np.testing.assert_array_equal(pixelwise(maps[..., None], images), maps)
    np.testing.assert_array_equal(pixelwise(maps), maps)


@pytest.mark.parametrize(
    ("shape", "images", "message"),
    [
        ((2, 3), None, r"maps\[None\]"),
        ((1, 2, 3, 3), None, r"channel_sum\(maps\)"),
        ((1, 2, 3), (2, 3, 1), r"images\[None\]"),
        ((1, 2, 3), (2, 2, 3, 1), "one map for each"),
        ((1, 2, 3), (1, 4, 6, 1), r"resize\(maps, \(4, 6\)\)"),
    ],
)
def test_refusals_say_what_to_do(shape, images, message):
    with pytest.raises(ValueError, match=message):
        pixelwise(jnp.zeros(shape), None if images is None else jnp.zeros(images))
