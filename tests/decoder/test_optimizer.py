from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from xattr.decoder._optimizer import (
    classifier_optimizer,
    decoder_optimizer,
    schedule,
)
from xattr.decoder._settings import Settings


def updated(optimizer, *given) -> tuple[Any, Any]:
    return optimizer.update(*given)


def test_rate_rises_and_falls_in_updates_not_batches():
    rate = schedule(1.0, Settings(num_steps=24, warmup=8, accumulate=2))
    rates = np.array([rate(t) for t in range(13)])
    np.testing.assert_allclose(rates[:5], [0, 0.25, 0.5, 0.75, 1], atol=1e-6)
    falling = (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(rates[4:], falling, atol=1e-6)


def test_decoder_takes_the_first_step_of_adamw_on_a_clipped_gradient():
    settings = Settings(num_steps=10, learning_rate=0.1, weight_decay=0.5, clip=1.0)
    optimizer = decoder_optimizer(settings)
    params, gradient = jnp.array([2.0, -4.0]), jnp.array([30.0, 40.0])
    updates, state = updated(optimizer, gradient, optimizer.init(params), params)
    # The first step of Adam is the sign of the gradient.
    np.testing.assert_allclose(updates, [-0.1 - 0.1, -0.1 + 0.2], rtol=1e-5)
    np.testing.assert_allclose(
        optax.tree.get(state, "mu"), [0.06, 0.08], rtol=1e-5
    )  # 0.1 of [0.6, 0.8]


def test_classifier_takes_two_steps_with_momentum_and_decay():
    settings = Settings(
        num_steps=2,
        classifier_learning_rate=0.1,
        classifier_momentum=0.5,
        classifier_weight_decay=0.25,
    )
    optimizer = classifier_optimizer(settings)
    params = jnp.array([4.0])
    state = optimizer.init(params)
    updates, state = updated(optimizer, jnp.array([1.0]), state, params)
    np.testing.assert_allclose(updates, [-0.1 * 2.0], rtol=1e-6)
    updates, _ = updated(optimizer, jnp.array([1.0]), state, params)
    # Momentum 0.5 * 2 + 2, and half way down the cosine.
    np.testing.assert_allclose(updates, [-0.05 * 3.0], rtol=1e-6)


def test_gradients_are_gathered_before_an_update():
    settings = Settings(num_steps=10, accumulate=2, learning_rate=0.1)
    optimizer = decoder_optimizer(settings)
    params = jnp.array([1.0])
    state = optimizer.init(params)
    first, state = updated(optimizer, jnp.array([5.0]), state, params)
    second, _ = updated(optimizer, jnp.array([-3.0]), state, params)
    assert first[0] == 0
    np.testing.assert_allclose(second, [-0.1 - 0.1 * 1e-4], rtol=1e-4)
