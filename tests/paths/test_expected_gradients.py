import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet


@pytest.mark.slow
def test_one_baseline_and_many_samples_near_integrated_gradients(smooth_network):
    net = smooth_network
    maps = xattr.expected_gradients(
        net.model,
        net.images,
        baselines=jnp.zeros_like(net.images[:1]),
        num_samples=400,
        key=jax.random.key(0),
    )
    exact = xattr.integrated_gradients(net.model, net.images, num_steps=64)
    # Stratified draws: the error falls as S^-1.5, far below that of independent ones.
    scale = np.abs(exact).max()
    assert np.abs(maps - exact).max() < 1e-3 * scale


def test_sums_to_the_lead_over_the_data_sets_mean():
    """A band of five standard errors: false alarms below one in a million."""
    model, x = tiny_convnet(jax.random.key(1), smooth=True), images(2)
    data = images(16, seed=4)
    scores = model(x)[:, 2]
    wanted = scores - model(data)[:, 2].mean()
    draw = jax.jit(
        lambda key: xattr.expected_gradients(
            model, x, jnp.array([2, 2]), baselines=data, num_samples=8, key=key
        ).sum((1, 2, 3))
    )
    sums = np.stack([draw(key) for key in jax.random.split(jax.random.key(8), 100)])
    error = sums.std(0, ddof=1) / np.sqrt(len(sums))
    assert (error > 0).all()
    assert (np.abs(sums.mean(0) - wanted) < 5 * error).all()


def test_noise_of_the_image_changes_the_map():
    model, x = tiny_convnet(jax.random.key(1)), images(1)
    run = functools.partial(
        xattr.expected_gradients,
        model,
        x,
        baselines=images(3, seed=4),
        num_samples=4,
        key=jax.random.key(0),
    )
    assert not jnp.allclose(run(), run(stddev=0.1))


def test_refuses_wrong_data_sets():
    model, x = tiny_convnet(jax.random.key(1)), images(2)
    run = functools.partial(xattr.expected_gradients, model, x, key=jax.random.key(0))
    for shape in [(4, 12, 11, 3), (0, 12, 12, 3), (12, 12, 3)]:
        with pytest.raises(ValueError, match="`baselines` has shape .* `b h w c`"):
            run(baselines=jnp.zeros(shape))
    with pytest.raises(ValueError, match="`num_samples`=0; it must be at least 1"):
        run(baselines=x, num_samples=0)
    with pytest.raises(ValueError, match="`stddev`=-1; it must be at least 0"):
        run(baselines=x, stddev=-1)
