import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles import perturbations_extremal_perturbation as oracles
from tests.twin import network, twin
from xattr.perturbations._extremal_perturbation import area_error
from xattr.perturbations._smooth_mask import SmoothMask
from xattr.program import live_bytes

SETTINGS = {
    "area": 0.2,
    "num_steps": 9,
    "num_levels": 4,
    "max_stddev": 3.0,
}
# Cells that reach their neighbours' middle are more to compile.
FAR_CELLS, NEAR_CELLS = {"cell_size": 4, "reach": 3}, {"cell_size": 3, "reach": 4}


@pytest.mark.parametrize(
    ("game", "fades", "cells"),
    [
        ("preserve", False, FAR_CELLS),
        ("delete", True, FAR_CELLS),
        apart("dual", False, FAR_CELLS),
        apart("preserve", True, NEAR_CELLS),
        apart("delete", False, NEAR_CELLS),
        apart("dual", True, NEAR_CELLS),
    ],
)
def test_it_is_the_ascent_with_derivatives_by_hand(game, fades, cells):
    net, settings = network(), SETTINGS | {"game": game} | cells
    x, fill = np.random.default_rng(1).normal(size=(2, 2, 10, 8, 3))
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        found = xattr.extremal_perturbation(
            lambda x: 50 * twin(net)(x),
            jnp.asarray(x),
            [1, 3],
            baseline=jnp.asarray(fill) if fades else None,
            score=lambda outputs, targets: xattr.logit(outputs, targets) / 50,
            **settings,
        )
        for n, target in enumerate([1, 3]):
            own = fill[n] if fades else None
            expected = oracles.extremal_perturbation(net, x[n], target, own, **settings)
            np.testing.assert_allclose(found[n, ..., 0], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("size", [(12, 13), apart((3, 21)), apart((10, 8))])
def test_the_mask_is_the_soft_maximum_of_bumps(size):
    masks = SmoothMask(size, 3, 4)
    heights = np.random.default_rng(2).uniform(size=masks.cells)
    expected, slopes, (top, left) = oracles.smooth_mask(heights, 3, 4)
    with jax.enable_x64(True):
        found = jax.jit(masks.frame)(jnp.asarray(heights)[None])
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)
        inside = masks.inside(found)[0]
        assert inside.shape == size
        np.testing.assert_array_equal(inside[0, 0], found[0, top, left])
        gradient = jax.jit(jax.grad(lambda h: (masks.frame(h) ** 2).sum()))
        by_hand = np.einsum("yx,yxij->ij", 2 * expected, slopes)
        np.testing.assert_allclose(
            gradient(jnp.asarray(heights)[None])[0], by_hand, rtol=1e-9
        )


def test_its_frame_is_that_of_the_authors():
    """For 224 x 224: 32 x 32 cells, and 260 x 260 pixels with the margin."""
    masks = SmoothMask((224, 224), 7, 21)
    assert masks.cells == (32, 32)
    frame = jax.eval_shape(masks.frame, jax.ShapeDtypeStruct((1, 32, 32), jnp.float32))
    assert frame.shape == (1, 260, 260)


def sorted_error(mask, count):
    flat = jnp.sort(mask.ravel())
    reference = np.arange(flat.size) >= flat.size - count
    return ((flat - reference) ** 2).mean()


@pytest.mark.parametrize("count", [1, 5, 30, 48])
def test_the_area_error_is_that_of_the_sorted_mask(key, count):
    mask = jax.random.uniform(key, (1, 6, 8))
    found = jax.jit(jax.value_and_grad(lambda m: area_error(m, count).sum()))
    expected = jax.jit(jax.value_and_grad(lambda m: sorted_error(m, count)))
    for values in (mask, mask.round(), jnp.zeros_like(mask), jnp.ones_like(mask)):
        error = found(values)[0]
        np.testing.assert_allclose(error, expected(values)[0], atol=1e-5)
    np.testing.assert_allclose(found(mask)[1], expected(mask)[1], atol=1e-6)


def test_equal_pixels_share_the_area():
    slopes = jax.jit(jax.grad(lambda m: area_error(m, 12).sum()))(
        np.ones((1, 6, 8), "f4")
    )
    np.testing.assert_allclose(slopes, 2 * (1 - 12 / 48) / 48, rtol=1e-5)


def pixel(x):
    return x[:, 3, 12:13, 0]


@pytest.mark.parametrize("area", [0.4, *map(apart, (0.05, 0.1, 0.2))])
def test_the_region_has_the_area(key, area):
    x = networks.images(1)
    model = networks.tiny_convnet(key)
    mask = xattr.extremal_perturbation(
        model, x, area=area, cell_size=1, reach=1, num_steps=400, baseline=0.0
    )
    assert float(mask.mean()) == pytest.approx(area, abs=0.03)


FOR_A_PIXEL = {"cell_size": 2, "reach": 2, "area_weight": 30.0, "baseline": 0.0}


def test_it_finds_the_pixel_that_is_read():
    x = jnp.ones((1, 16, 16, 1))
    mask = xattr.extremal_perturbation(pixel, x, **FOR_A_PIXEL, flip=False)[0, ..., 0]
    assert mask[3, 12] > 0.9
    assert mask[:, :8].max() < 0.2


@pytest.mark.slow
def test_flipped_images_have_it_on_the_other_side():
    x = jnp.ones((1, 16, 16, 1))
    both = xattr.extremal_perturbation(pixel, x, **FOR_A_PIXEL)[0, ..., 0]
    assert both[3, 12] > 0.8
    assert both[3, 3] > 0.8


def test_deletion_finds_it_too():
    mask = xattr.extremal_perturbation(
        pixel,
        jnp.ones((1, 16, 16, 1)),
        game="delete",
        cell_size=2,
        reach=2,
        area_weight=30.0,
        baseline=0.0,
        flip=False,
    )[0, ..., 0]
    assert mask[3, 12] > 0.9
    assert mask[:, :8].max() < 0.2


def test_memory_does_not_grow_with_the_steps(key):
    model, x = networks.tiny_convnet(key), networks.images(1)

    def needed(num_steps):
        return live_bytes(
            lambda x: xattr.extremal_perturbation(model, x, num_steps=num_steps), x
        )

    assert needed(500) < 1.01 * needed(5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"area": 1.0}, "`area`=1.0; it must be between 0 and 1"),
        ({"game": "hide"}, "`game`='hide'; it must be 'preserve', 'delete' or 'dual'"),
        ({"num_steps": -1}, "`num_steps`=-1; it must be at least 0"),
        ({"cell_size": 0}, "`cell_size`=0; it must be at least 1"),
        ({"reach": 0}, "`reach`=0; it must be at least 1"),
        ({"num_levels": 1}, "`num_levels`=1; it must be at least 2"),
        ({"learning_rate": 0.0}, "`learning_rate`=0.0; it must be positive"),
        ({"momentum": 1.0}, "`momentum`=1.0; it must be at least 0 and less than 1"),
        ({"area_weight": -1.0}, "`area_weight`=-1.0; it must be at least 0"),
        ({"area_growth": 0.0}, "`area_growth`=0.0; it must be positive"),
        ({"max_stddev": 0.0}, "`max_stddev`=0.0; it must be positive"),
        ({"baseline": jnp.ones(2)}, "`baseline` has shape"),
    ],
)
def test_what_it_refuses(key, settings, message):
    with pytest.raises(ValueError, match=message):
        xattr.extremal_perturbation(
            networks.tiny_convnet(key), networks.images(1), **settings
        )


def test_weights_may_be_traced(key):
    model, x = networks.tiny_convnet(key), networks.images(1)
    method = functools.partial(
        xattr.extremal_perturbation, num_steps=2, cell_size=4, reach=3
    )
    plain = method(model, x, [0], area_weight=30.0)
    found = jax.jit(lambda weight: method(model, x, [0], area_weight=weight))(30.0)
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
