import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import slow_but
from tests.oracles.perturbations_features import cells
from tests.perturbations.games import additive
from xattr.perturbations._features import features_of, mean_colors

METHODS = {
    "feature_ablation": {},
    "shapley_sampling": {"num_permutations": 2},
    "lime": {"num_samples": 30, "baseline": 0.0, "alpha": 1e-3},
    "kernel_shap": {},
    "sobol": {"num_designs": 64},
    "hsic": {"num_samples": 40},
}


@pytest.mark.parametrize(
    ("size", "grid"), [((4, 6), (2, 3)), ((7, 5), (3, 2)), ((5, 8), (5, 1))]
)
def test_a_pixel_belongs_to_the_cell_that_holds_its_center(size, grid):
    features = features_of(jnp.zeros((2, *size, 1)), grid, None)
    assert features.num == grid[0] * grid[1]
    for found in features.owner:
        np.testing.assert_array_equal(found, cells(size, grid))


def test_one_number_is_for_all_axes_and_volumes_have_three():
    assert features_of(jnp.zeros((1, 4, 6, 3)), 2, None).num == 4
    owner, num = features_of(jnp.zeros((1, 4, 2, 2, 3)), (2, 2, 1), None)
    assert num == 4
    assert owner.shape == (1, 4, 2, 2)
    assert owner[0, :, :, 0].tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]


def masks(*rows):
    return jnp.array([rows], bool)[:, :, None]


@pytest.mark.parametrize("name", METHODS)
def test_segments_take_the_place_of_the_grid(name):
    """The second overlaps the first, the third is empty, the last pixel is free."""
    segments = masks([1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0])
    x = jnp.array([[[[1.0], [2.0], [4.0], [8.0]]]])
    found = getattr(xattr, name)(
        additive(1.0), x, segments=segments, key=jax.random.key(0), **METHODS[name]
    ).ravel()
    assert found[3] == 0
    assert found[0] == found[1]
    expected = {"sobol": [9 / 25, 16 / 25], "hsic": None}.get(name, [3.0, 4.0])
    if expected:
        rtol = 0.3 if name == "sobol" else 1e-2
        np.testing.assert_allclose(found[1:3], jnp.array(expected), rtol=rtol)
    else:
        assert 0 < found[0] < found[2]


@pytest.mark.parametrize("name", slow_but(METHODS, {"feature_ablation", "kernel_shap"}))
def test_masks_of_cells_are_the_grid(name):
    x = jax.random.normal(jax.random.key(1), (2, 4, 6, 3))
    owner = cells((4, 6), (2, 3))
    segments = jnp.asarray(owner == np.arange(6)[:, None, None])[None]
    model = additive(jax.random.normal(jax.random.key(2), (1, 4, 6, 3)))
    given, gridded = (
        getattr(xattr, name)(model, x, key=jax.random.key(0), **METHODS[name], **where)
        for where in ({"segments": segments}, {"grid": (2, 3)})
    )
    np.testing.assert_allclose(given, gridded, rtol=1e-5, atol=1e-6)


def test_segments_may_differ_between_images():
    first, second = masks([1, 0, 0], [0, 1, 1]), masks([1, 1, 0], [0, 0, 1])
    x = jnp.array([[[[1.0], [2.0], [4.0]]]])
    found = xattr.feature_ablation(
        additive(1.0),
        jnp.concatenate([x, x]),
        segments=jnp.concatenate([first, second]),
    )
    assert found[..., 0].tolist() == [[[1, 6, 6]], [[3, 3, 4]]]


def test_mean_colors_of_features():
    x = jnp.array([[[[1.0, 0.0], [3.0, 8.0], [5.0, 5.0]]]])
    features = features_of(x, 1, masks([1, 1, 0]))
    found = mean_colors(x, features)
    # A pixel of no feature is never replaced.
    assert found[0, 0, :2].tolist() == [[2, 4], [2, 4]]


def test_targets_stay_those_of_the_clean_image():
    def model(x):
        return jnp.stack([x[:, 0, 0, 0], x[:, 0, 1, 0]], -1)

    x = jnp.array([[[[3.0], [2.0]]]])
    assert xattr.feature_ablation(model, x, grid=(1, 2)).ravel().tolist() == [3, 0]


IMAGES = jnp.ones((2, 4, 6, 3))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"grid": (5, 2)}, ValueError, r"`grid`=\(5, 2\) for images of \(4, 6\) pix"),
        ({"grid": 0}, ValueError, r"`grid`=0 for images .* `grid=\(1, 1\)`"),
        ({"grid": (2, 2, 2)}, ValueError, "one for each of the 2 spatial axes"),
        ({"grid": 2.5}, TypeError, "`grid`=2.5 is a float"),
        (
            {"segments": jnp.zeros((2, 4, 6), int)},
            TypeError,
            r"`segments` is an array of int32.*labels\[:, None\] == jnp.arange\(m\)",
        ),
        (
            {"segments": jnp.ones((2, 3, 6, 4), bool)},
            ValueError,
            r"`segments` has shape \(2, 3, 6, 4\) for images .*superpixels\(images\)",
        ),
        (
            {"segments": jnp.ones((2, 0, 4, 6), bool)},
            ValueError,
            "with at least one segment",
        ),
        ({"baseline": jnp.ones(2)}, ValueError, "`baseline` has shape"),
    ],
)
def test_what_it_refuses(name, arguments, error, message):
    method = getattr(xattr, name)
    with pytest.raises(error, match=message):
        method(additive(1.0), IMAGES, key=jax.random.key(0), **{"grid": 2, **arguments})


def test_tables_need_a_spatial_axis():
    with pytest.raises(ValueError, match=r"`images\[:, :, None\]` with `grid=5`"):
        xattr.feature_ablation(lambda x: x, jnp.ones((2, 5)))
