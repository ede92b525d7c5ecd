import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles import perturbations_meaningful_perturbation as oracles
from tests.twin import network, twin

SETTINGS = {
    "cell_size": 3,
    "mask_stddev": 1.0,
    "jitter": 2,
    "l1_weight": 0.01,
    "tv_weight": 0.05,
    "tv_power": 3.0,
}


def draw_shifts(key, num_steps, jitter):
    keys = [jax.random.fold_in(key, t) for t in range(num_steps)]
    return [tuple(jax.random.randint(k, (2,), 0, jitter).tolist()) for k in keys]


@pytest.mark.parametrize(
    ("start", "tv_power"),
    [("ones", 3.0), ("circle", 2.0), apart("ones", 2.0), apart("circle", 3.0)],
)
def test_it_is_the_descent_with_derivatives_by_hand(key, start, tv_power):
    net, settings = network(), SETTINGS | {"tv_power": tv_power}
    x, fill = np.random.default_rng(1).normal(size=(2, 2, 10, 8, 3))
    keys = jax.random.split(key, 2)
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        found = xattr.meaningful_perturbation(
            twin(net),
            jnp.asarray(x),
            [1, 3],
            num_steps=12,
            start=start,
            baseline=jnp.asarray(fill),
            score=xattr.logit,
            key=keys,
            **settings,
        )
        for n, target in enumerate([1, 3]):
            first = np.ones((4, 3))
            if start == "circle":
                circle = oracles.circle(net, x[n], target, fill[n])
                first = circle[[1, 3, 6, 8]][:, [1, 4, 6]]
            expected = oracles.meaningful_perturbation(
                net,
                x[n],
                target,
                fill[n],
                first,
                draw_shifts(keys[n], 12, 2),
                **settings,
            )
            np.testing.assert_allclose(found[n, ..., 0], expected, rtol=1e-7, atol=1e-9)


def first_pixel(x):
    return x[:, 0, :1, 0]


def test_it_takes_what_the_score_reads_and_nothing_else():
    x = jnp.ones((1, 4, 4, 1))
    found = xattr.meaningful_perturbation(
        first_pixel,
        x,
        cell_size=2,
        mask_stddev=0.0,
        jitter=0,
        tv_weight=0.0,
        baseline=0.0,
        score=xattr.logit,
        start="ones",
    )
    expected = np.zeros((4, 4))
    expected[:2, :2] = 1
    np.testing.assert_array_equal(found[0, ..., 0], expected)


def test_a_price_above_the_gain_keeps_everything():
    found = xattr.meaningful_perturbation(
        first_pixel,
        jnp.ones((1, 4, 4, 1)),
        cell_size=2,
        mask_stddev=0.0,
        jitter=0,
        l1_weight=1.01,
        baseline=0.0,
        score=xattr.logit,
        num_steps=200,
    )
    assert float(found.max()) < 0.1


@pytest.mark.slow
def test_less_of_the_class_is_left(key):
    model, x = networks.tiny_convnet(key), networks.images(4)
    target = model(x).argmax(1)
    taken = xattr.meaningful_perturbation(
        model, x, cell_size=3, mask_stddev=1.0, jitter=0, num_steps=50, baseline=0.0
    )
    left = xattr.probability(model(x * (1 - taken)), target)
    assert (left < 0.75 * xattr.probability(model(x), target)).all()
    assert float(taken.min()) >= 0
    assert float(taken.max()) <= 1


def test_a_circle_that_takes_nothing_is_empty():
    """Where the replaced image has the same score or more, nothing is to be hidden."""
    x = jnp.ones((2, 4, 4, 1))
    gain = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    found = xattr.meaningful_perturbation(
        first_pixel, x, num_steps=0, jitter=0, baseline=x + gain
    )
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_the_whole_image_is_hidden_by_the_last_circle():
    """A score of all pixels alike falls by 99 % only under the disk that covers all."""
    found = xattr.meaningful_perturbation(
        lambda x: x.mean((1, 2)),
        jnp.ones((1, 64, 48, 1)),
        score=xattr.logit,
        num_steps=0,
        jitter=0,
        baseline=0.0,
    )
    np.testing.assert_allclose(found, 1, atol=0.1)


def test_without_jitter_no_key_is_needed(key):
    model, x = networks.tiny_convnet(key), networks.images(1)
    found = xattr.meaningful_perturbation(model, x, jitter=0, num_steps=1)
    assert bool(jnp.isfinite(found).all())
    with pytest.raises(ValueError, match="`key` is None"):
        xattr.meaningful_perturbation(model, x, num_steps=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": -1}, "`num_steps`=-1; it must be at least 0"),
        ({"cell_size": 0}, "`cell_size`=0; it must be at least 1"),
        ({"jitter": -1}, "`jitter`=-1; it must be at least 0"),
        ({"start": "square"}, "`start`='square'; it must be 'circle' or 'ones'"),
        ({"learning_rate": 0.0}, "`learning_rate`=0.0; it must be positive"),
        ({"mask_stddev": -1.0}, "`mask_stddev`=-1.0; it must be at least 0"),
        ({"l1_weight": -1.0}, "`l1_weight`=-1.0; it must be at least 0"),
        ({"tv_weight": float("nan")}, "`tv_weight`=nan; it must be at least 0"),
        ({"tv_power": 0.0}, "`tv_power`=0.0; it must be positive: `tv_power=3.0`"),
        ({"baseline": jnp.ones(2)}, "`baseline` has shape"),
    ],
)
def test_what_it_refuses(key, settings, message):
    with pytest.raises(ValueError, match=message):
        xattr.meaningful_perturbation(
            networks.tiny_convnet(key), networks.images(1), key=key, **settings
        )
