import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles.cams_opti_cam import opti_cam as oracle
from tests.twin import network, twin


def test_it_is_the_descent_with_derivatives_by_hand():
    net = network()
    x, fill = np.random.default_rng(1).normal(size=(2, 2, 6, 8, 3))
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        found = xattr.opti_cam(
            twin(net),
            jnp.asarray(x),
            [1, 3],
            site="relu:0",
            axes="nhwc",
            num_steps=12,
            baseline=jnp.asarray(fill),
        )
        for image, target, own_fill, got in zip(x, [1, 3], fill, found, strict=True):
            expected, _ = oracle(net, image, target, own_fill, 12, 0.1)
            np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-10)


def masked_score(model, x, target, **settings):
    """The score that is being maximized, of the map that is found."""
    map = xattr.opti_cam(model, x, target, site="relu:1", **settings)
    mask = xattr.images.min_max(xattr.images.resize(map, x.shape[1:3]))
    return xattr.logit(model(mask[..., None] * x), target)


@pytest.mark.slow
def test_more_steps_show_more_of_the_class(key):
    model, x = networks.tiny_convnet(key), networks.images(8)
    target = model(x).argmax(1)
    by_steps = [masked_score(model, x, target, num_steps=n) for n in (0, 5, 20, 80)]
    means = jnp.stack(by_steps).mean(1)
    assert (jnp.diff(means) > 0).all()
    assert (by_steps[-1] >= by_steps[0] - 1e-4).mean() > 0.8


THIRDS = jnp.array([1.0, 1.0, 3.0, 3.0, 2.0, 2.0]).reshape(1, 1, 6, 1)


def thirds(x):
    """Channels for the thirds of the image and an empty one, each against the rest."""
    own = jnp.arange(6)[:, None] // 2 == jnp.arange(4)[None]
    sums = jax.nn.relu(x * own[None, None]).sum((1, 2))
    return 2 * sums - sums.sum(1, keepdims=True)


def test_the_channel_that_informs_gets_the_weight():
    found = xattr.opti_cam(thirds, THIRDS, [2], site="relu:0", axes="nhwc")
    assert found[0, 0, 4:].min() > 1.5
    assert found[0, 0, :4].max() < 0.1


def test_a_channel_that_is_zero_keeps_its_weight():
    """The score does not depend on it, so that only rounding could move it."""
    found = xattr.opti_cam(thirds, THIRDS, [2], site="relu:0", axes="nhwc", num_steps=1)
    weights = found[0, 0, ::2] / THIRDS[0, 0, ::2, 0]
    by_how_much = jnp.log(weights / (1 - weights.sum()))
    np.testing.assert_allclose(jnp.abs(by_how_much), 0.1, rtol=1e-3)


def test_without_steps_it_is_the_mean_of_the_channels(key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    found = xattr.opti_cam(model, x, site="relu:1", num_steps=0)
    channels = xattr.record(model, x, "relu:1")["relu:1"]
    np.testing.assert_allclose(found, channels.mean(-1), rtol=1e-5)


def test_the_negative_part_of_a_site_is_left_out(key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    found = xattr.opti_cam(model, x, site="conv:1", num_steps=0)
    channels = xattr.record(model, x, "conv:1")["conv:1"]
    assert channels.min() < 0
    np.testing.assert_allclose(found, jax.nn.relu(channels).mean(-1), rtol=1e-5)


def test_a_baseline_moves_with_the_units_of_the_model(key):
    """Masking is affine: a shift of the model's units is one of the baseline."""
    model, x = networks.tiny_convnet(key), networks.images(2)
    shifted = xattr.opti_cam(
        lambda x: model(x - 0.5),
        x + 0.5,
        site="relu:1",
        axes="nhwc",
        num_steps=5,
        baseline=0.5,
    )
    plain = xattr.opti_cam(model, x, site="relu:1", num_steps=5)
    np.testing.assert_allclose(shifted, plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rule", ["bilinear", apart("nearest"), apart("align_corners")])
def test_the_mask_is_the_map_enlarged_by_the_rule(rule):
    """One step from the mean of the channels, of a model that sums the masked image."""
    x = jnp.ones((1, 4, 4, 1))
    shown = []

    def model(x):
        jax.debug.callback(lambda x: shown.append(np.asarray(x)), x)
        grid = jax.nn.relu(x.reshape(1, 2, 2, 2, 2, 1).mean((2, 4)) * corner)
        return grid.sum((1, 2))

    corner = jnp.array([[1.0, 0.0], [0.0, 2.0]])[None, ..., None]
    found = xattr.opti_cam(
        model, x, [0], site="relu:0", axes="nhwc", num_steps=1, resize=rule
    )
    jax.effects_barrier()
    mask = xattr.images.min_max(xattr.images.resize(found, (4, 4), method=rule))
    np.testing.assert_allclose(shown[-1][..., 0], mask, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": -1}, "`num_steps`=-1; it must be at least 0"),
        ({"learning_rate": 0.0}, r"`learning_rate`=0.0; it must be positive"),
        ({"baseline": jnp.ones(2)}, "`baseline` has shape"),
    ],
)
def test_what_it_refuses(key, settings, message):
    with pytest.raises(ValueError, match=message):
        xattr.opti_cam(
            networks.tiny_convnet(key), networks.images(1), site="relu:1", **settings
        )


def test_features_have_no_place_for_a_mask():
    with pytest.raises(ValueError, match=r"`images` has shape \(2, 3\)"):
        xattr.opti_cam(jax.nn.relu, jnp.ones((2, 3)), site="relu:0")
