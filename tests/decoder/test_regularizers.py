"""What a mask should look like."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr.decoder._regularizers import (
    area,
    area_power,
    binary,
    compactness,
    smoothness,
    sparsity,
    target_area,
    total_variation,
)


def mask_of(rows):
    return jnp.array(rows, jnp.float32)[None, ..., None]


CROSS = mask_of([[0, 1, 0], [1, 1, 1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        (area, 5 / 9),
        (area_power, (5 * 1.0005**0.3 + 4 * 0.0005**0.3) / 9),
        (total_variation, 8 / 9),
        # 8 edges; the 4 arms' ends are at the border.
        (smoothness, (8 + 0.3 * 4) / 2),
        (binary, 0),
        (compactness, 4 / (5 * 18)),
        (sparsity, 5 / (3 * np.sqrt(5))),
    ],
)
def test_a_cross(regularizer, expected):
    np.testing.assert_allclose(regularizer(CROSS), expected, rtol=1e-5)


def test_less_than_the_target_area_costs_nothing():
    assert target_area(CROSS, target=0.6) == 0
    np.testing.assert_allclose(
        target_area(CROSS, target=0.2), 100 * (5 / 9 - 0.2) ** 2, rtol=1e-5
    )


def test_area_is_the_area_of_each_image():
    """Two images are not allowed to share what one of them does not use."""
    both = jnp.concatenate([jnp.zeros_like(CROSS), jnp.ones_like(CROSS)])
    np.testing.assert_allclose(target_area(both, target=0.5), 12.5, rtol=1e-5)


def test_compactness_does_not_depend_on_where_the_mask_is():
    corner = jnp.zeros((1, 8, 8, 1)).at[:, :3, :3].set(CROSS)
    elsewhere = jnp.roll(corner, (4, 2), (1, 2))
    np.testing.assert_allclose(compactness(corner), 4 / (5 * 128), rtol=1e-5)
    np.testing.assert_allclose(compactness(elsewhere), compactness(corner), rtol=1e-5)


def test_the_empty_mask_is_as_good_as_can_be():
    nothing = jnp.zeros((1, 3, 4, 1))
    assert compactness(nothing) == sparsity(nothing) == area(nothing) == 0


@pytest.mark.parametrize("regularizer", [compactness, sparsity])
@pytest.mark.parametrize("height", [0.0, 1e-12, 1e-4])
def test_no_slope_is_steep_at_a_mask_that_is_almost_empty(regularizer, height):
    """Dividing by what is kept would make it 1 / height."""
    slope = jax.grad(regularizer)(jnp.full((1, 6, 6, 1), height))
    assert jnp.isfinite(slope).all()
    assert jnp.abs(slope).max() <= 1


def test_masks_of_one_row():
    row = mask_of([[0, 1, 0]])
    np.testing.assert_allclose(total_variation(row), 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(smoothness(row), (2 + 0.3 * 2) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: target_area(CROSS, target=1.0), "`target`=1.0; it must be a share"),
        (lambda: target_area(CROSS, target=-0.1), "`target`=-0.1"),
        (lambda: area_power(CROSS, power=0.0), "`power`=0.0; it must be positive"),
        (lambda: area_power(CROSS, offset=0.0), "`offset`=0.0; it must be positive"),
        (lambda: smoothness(CROSS, border=-1.0), "`border`=-1.0; it must be at least"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
