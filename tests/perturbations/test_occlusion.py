import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles.perturbations_occlusion import occlusion as oracle

GEOMETRIES = [
    apart((3, 3), (3, 3)),
    ((4, 2), (2, 1)),
    ((5, 5), (5, 5)),  # the last window is cut short
    apart((5, 3), (4, 2)),
    ((2, 3), (5, 4)),  # pixels that no window covers
    ((12, 12), (1, 1)),
]


@pytest.mark.parametrize(("window", "stride"), GEOMETRIES)
def test_it_is_the_loop_over_windows(key, window, stride):
    with jax.enable_x64(True):
        model = networks.tiny_convnet(key, dtype=jnp.float64)
        x = networks.images(2, dtype=jnp.float64)
        fill = 0.1 * networks.images(2, seed=1, dtype=jnp.float64)
        found = xattr.occlusion(
            model, x, [1, 3], window=window, stride=stride, baseline=fill, chunk_size=7
        )
        run = jax.jit(model)
        for image, target, expected_fill, got in zip(
            x, [1, 3], fill, found, strict=True
        ):

            def score(pixels, target=target):
                return float(np.asarray(run(pixels[None]))[0, target])

            drops, _ = oracle(
                score, np.array(image), window, stride, np.array(expected_fill)
            )
            np.testing.assert_allclose(got[..., 0], drops, rtol=1e-9, atol=1e-12)


def test_on_a_linear_model_each_pixel_loses_its_own_windows(key):
    weights = jax.random.normal(key, (1, 6, 6, 2))

    def model(x):
        return (x * weights).sum((1, 2, 3))[:, None]

    x = jax.random.normal(jax.random.key(1), (1, 6, 6, 2))
    found = xattr.occlusion(model, x, window=1, stride=1, baseline=0.5)
    expected = ((x - 0.5) * weights).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_pixels_that_no_window_covers_get_zero():
    def model(x):
        return x.sum((1, 2, 3))[:, None]

    found = xattr.occlusion(model, jnp.ones((1, 1, 7, 1)), window=(1, 2), stride=3)
    assert found[0, 0, :, 0].tolist() == [2, 2, 0, 2, 2, 0, 1]


def test_targets_stay_those_of_the_clean_image():
    def model(x):
        return jnp.stack([x[:, 0, 0, 0], x[:, 0, 1, 0]], -1)

    x = jnp.array([[[[3.0], [2.0]]]])
    found = xattr.occlusion(model, x, window=1, stride=1)
    assert found.ravel().tolist() == [3, 0]


@pytest.mark.parametrize(
    "baseline", [2, 2.0, jnp.array(2.0), jnp.full(3, 2.0), jnp.full((1, 4, 4, 3), 2.0)]
)
def test_a_baseline_is_a_number_a_color_or_images(baseline):
    def model(x):
        return x.sum((1, 2, 3))[:, None]

    found = xattr.occlusion(
        model, jnp.zeros((2, 4, 4, 3)), window=2, stride=2, baseline=baseline
    )
    np.testing.assert_allclose(found, jnp.full((2, 4, 4, 1), -24.0))


def test_volumes_have_three_spatial_axes():
    def model(x):
        return x.sum((1, 2, 3, 4))[:, None]

    found = xattr.occlusion(
        model, jnp.ones((1, 4, 4, 2, 1)), window=(2, 4, 1), stride=2
    )
    assert found.shape == (1, 4, 4, 2, 1)
    assert found[0, :, :, 0].min() == found.max() == 8
    assert found[0, :, :, 1].max() == 0


def ones(*shape):
    return jnp.ones(shape)


@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (
            ones(1, 4, 4, 1),
            {"window": 5},
            r"`window`=\(5, 5\) is larger than the images",
        ),
        (ones(1, 4, 4, 1), {"window": 0}, r"`window`=0; it must be a number of pixels"),
        (ones(1, 4, 4, 1), {"window": 2, "stride": 0}, r"`stride`=0; it must be"),
        (
            ones(1, 4, 4, 1),
            {"window": (2, 2, 2)},
            r"one for each of the 2 spatial axes",
        ),
        (ones(1, 4, 4, 3), {"window": 2, "baseline": ones(2)}, "`baseline` has shape"),
        (ones(1, 4), {"window": 2}, "at least one spatial axis"),
    ],
)
def test_what_it_refuses(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        xattr.occlusion(lambda x: x.reshape(len(x), -1), images, **arguments)
