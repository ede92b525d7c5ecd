"""Explanations of segmentations: targets by hand, methods by slow restatements."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.oracles import segmentation as oracle
from tests.oracles.perturbations_occlusion import occlusion

# Predictions:  1 1 0
#               0 1 1
#               1 0 0
PREDICTED = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0]])
OUTPUTS = jnp.asarray(2.0 * np.eye(2)[PREDICTED][None] - 1)


def region(target):
    classes, regions = target
    return int(classes[0]), np.asarray(regions[0]).astype(int).tolist()


def test_a_pixel():
    found = xattr.pixel_target(OUTPUTS, jnp.array([[2, 1]]))
    assert region(found) == (0, [[0, 0, 0], [0, 0, 0], [0, 1, 0]])
    assert xattr.segment(OUTPUTS, found).tolist() == [1.0]


def test_a_region():
    found = xattr.region_target(OUTPUTS, jnp.array([[0, 1]]))
    assert region(found) == (1, [[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    assert xattr.segment(OUTPUTS, found).tolist() == [4.0]
    found = xattr.region_target(OUTPUTS, jnp.array([[1, 0]]), neighbors=8)
    assert region(found) == (0, [[0, 0, 0], [1, 0, 0], [0, 1, 1]])


def test_a_class():
    found = xattr.class_target(OUTPUTS, jnp.array([0]))
    assert region(found) == (0, (PREDICTED == 0).astype(int).tolist())
    assert xattr.segment(OUTPUTS, found).tolist() == [4.0]


def test_a_class_that_is_nowhere():
    found = xattr.class_target(
        jnp.abs(OUTPUTS) * jnp.array([[[[2.0, 1.0]]]]), jnp.array([1])
    )
    assert region(found) == (1, np.zeros((3, 3), int).tolist())
    assert xattr.segment(OUTPUTS, found).tolist() == [0.0]


def test_another_class_at_the_same_pixel():
    _, regions = xattr.pixel_target(OUTPUTS, jnp.array([[2, 1]]))
    assert xattr.segment(OUTPUTS, (jnp.array([1]), regions)).tolist() == [-1.0]


@pytest.mark.parametrize("target", [xattr.pixel_target, xattr.region_target])
def test_outside_of_the_image_is_not_a_number(target):
    found = target(OUTPUTS, jnp.array([[3, 0]]))
    assert np.isnan(xattr.segment(OUTPUTS, found)).all()


def test_a_class_out_of_range_is_not_a_number():
    found = xattr.segment(OUTPUTS, (jnp.array([2]), jnp.ones((1, 3, 3), bool)))
    assert np.isnan(found).all()


def test_each_image_has_its_own():
    outputs = jnp.concatenate([OUTPUTS, OUTPUTS[:, ::-1]])
    pixels = jnp.array([[0, 0], [2, 0]])
    classes, regions = jax.jit(xattr.region_target)(outputs, pixels)
    np.testing.assert_array_equal(classes, [1, 1])
    np.testing.assert_array_equal(regions[0], regions[1, ::-1])


@pytest.mark.parametrize(
    ("outputs", "regions"),
    [((1, 2), (1, 3, 3)), ((1, 3, 3, 2), (3, 3)), ((1, 3, 3, 2), (1, 3, 2))],
)
def test_what_does_not_fit_is_refused(outputs, regions):
    with pytest.raises(ValueError, match="do not fit; `segment` needs one logit per"):
        xattr.segment(jnp.zeros(outputs), (jnp.array([0]), jnp.zeros(regions)))


SHAPE = (5, 6, 3)


@pytest.fixture(scope="module")
def net():
    noise = np.random.default_rng(0)
    return oracle.Segmenter(
        noise.normal(size=(3, 3, 3, 4)), noise.normal(size=(3, 3, 4, 2))
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((2, *SHAPE))


def apply(params, x):
    conv = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = conv(jax.nn.relu(conv(x, params[0])), params[1])
    return x.repeat(2, axis=1).repeat(2, axis=2)


TARGETS = {
    "pixel": xattr.pixel_target,
    "region": xattr.region_target,
    "8-connected": functools.partial(xattr.region_target, neighbors=8),
    "class": lambda outputs, _: xattr.class_target(outputs, jnp.array([1, 0])),
}
PIXELS = np.array([[3, 7], [9, 0]])


def explained(method, net, images, kind, dtype=jnp.float64, **settings):
    """Maps of a method, and the targets that they explain."""
    with jax.enable_x64(True):
        kernels = [jnp.asarray(each, dtype) for each in (net.first, net.second)]
        model = xattr.Model(apply, kernels)
        x = jnp.asarray(images, dtype)
        targets = TARGETS[kind](model(x), jnp.asarray(PIXELS))
        maps = method(model, x, targets, score=xattr.segment, **settings)
        classes, regions = targets
        return np.asarray(maps), np.asarray(classes), np.asarray(regions)


@pytest.mark.parametrize("kind", TARGETS)
def test_seg_grad_cam_is_its_definition(net, images, kind):
    found, *targets = explained(xattr.grad_cam, net, images, kind, site="relu:0")
    expected = [net.seg_grad_cam(*each) for each in zip(images, *targets, strict=True)]
    assert np.max(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_regions_may_be_weighted(net, images):
    weights = np.random.default_rng(2).random((2, 10, 12))
    with jax.enable_x64(True):
        model = xattr.Model(apply, [jnp.asarray(net.first), jnp.asarray(net.second)])
        found = xattr.grad_cam(
            model,
            jnp.asarray(images),
            (jnp.array([1, 0]), jnp.asarray(weights)),
            site="relu:0",
            score=xattr.segment,
        )
    expected = [
        net.seg_grad_cam(image, target, region)
        for image, target, region in zip(images, (1, 0), weights, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_hires_cam_of_one_pixel_stays_within_its_reach(net, images):
    maps, _, _ = explained(
        xattr.hires_cam, net, images, "pixel", site="relu:0", relu=False
    )
    for found, (y, x) in zip(maps, PIXELS // 2, strict=True):
        rows, columns = np.nonzero(found)
        assert abs(rows - y).max() <= 1
        assert abs(columns - x).max() <= 1


@pytest.mark.parametrize("kind", ["pixel", "region", "class"])
def test_integrated_gradients_sum_to_the_score(net, images, kind):
    """The network has no biases, and so its path from black no bends."""
    maps, *targets = explained(
        xattr.integrated_gradients, net, images, kind, num_steps=2
    )
    expected = [net.score(*each) for each in zip(images, *targets, strict=True)]
    np.testing.assert_allclose(maps.sum((1, 2, 3)), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["pixel", "region", "class"])
def test_occlusion_is_the_drop_of_the_score(net, images, kind):
    maps, *targets = explained(
        xattr.occlusion, net, images, kind, window=2, stride=2, baseline=0.5
    )
    for found, image, target, marked in zip(maps, images, *targets, strict=True):
        score = functools.partial(net.score, target=target, region=marked)
        gray = np.full(SHAPE, 0.5)
        expected, _ = occlusion(score, image, (2, 2), (2, 2), gray)
        np.testing.assert_allclose(found[..., 0], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_other_types(net, images, dtype):
    exact, _, _ = explained(xattr.grad_cam, net, images, "class", site="relu:0")
    found, _, _ = explained(
        xattr.grad_cam, net, images, "class", dtype=dtype, site="relu:0"
    )
    assert found.dtype == dtype
    tolerance = 1e-4 if dtype == jnp.float32 else 0.1
    difference = np.abs(found.astype(np.float64) - exact).max()
    assert difference <= tolerance * exact.max()


def test_without_targets_the_error_names_segment(net, images):
    model = xattr.Model(apply, [jnp.asarray(net.first), jnp.asarray(net.second)])
    with pytest.raises(ValueError, match=r"for example `xattr\.segment` for `n h w k`"):
        xattr.grad_cam(model, jnp.asarray(images, jnp.float32), site="relu:0")
