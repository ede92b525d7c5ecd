"""All terms by name, against loops, and their weighted sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import decoder_losses as oracle
from xattr.decoder._fills import hide, keep
from xattr.decoder._objective import RAMPED, TERMS, objective
from xattr.decoder._views import Views

N, H, W, K = 8, 5, 4, 3


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    clean, kept, hidden = (rng.normal(0, 3, (N, K)) for _ in range(3))
    # Half of the images are classified rightly, whatever is hidden or kept.
    targets = np.where(np.arange(N) % 2, clean.argmax(1), clean.argmin(1))
    hidden[1], hidden[3] = clean[1], clean[3][::-1]
    # From masks of most of the image to masks of little of it.
    power = np.linspace(0.3, 4, N)[:, None, None, None]
    mask = rng.uniform(0, 1, (N, H, W, 1)) ** power
    mask, clean, kept, hidden = (
        jnp.asarray(x, jnp.float32) for x in (mask, clean, kept, hidden)
    )
    return Views(mask, clean, kept, hidden, jnp.asarray(targets))


@pytest.fixture(scope="module")
def values(views):
    return jax.jit(lambda views: {name: f(views) for name, f in TERMS.items()})(views)


def images_of(views):
    mask, clean, kept, hidden = (np.asarray(x, float) for x in views[:4])
    for i, target in enumerate(np.asarray(views.targets)):
        yield oracle.One(mask[i, ..., 0], clean[i], kept[i], hidden[i], int(target))


def test_the_oracle_knows_every_term():
    assert list(TERMS) == list(oracle.TERMS)


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_the_mean_of_what_loops_give_for_each_image(name, views, values):
    expected = [oracle.TERMS[name](one) for one in images_of(views)]
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(values[name], np.mean(expected), rtol=1e-5, atol=1e-6)


def masked_views(mask):
    """Views by a linear classifier of the mean color."""
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.uniform(0, 1, (2, H, W, 3)), jnp.float32)
    weights = jnp.asarray(rng.normal(0, 9, (3, K)), jnp.float32)

    def classify(images):
        return images.mean((1, 2)) @ weights

    clean, fills = classify(images), jnp.full_like(images, 0.5)
    kept, hidden = (f(images, mask, fills) for f in (keep, hide))
    return Views(mask, clean, classify(kept), classify(hidden), clean.argmax(1))


@pytest.fixture(scope="module")
def values_and_slope():
    def total(mask):
        return objective(masked_views(mask), dict.fromkeys(TERMS, 1.0))

    return jax.jit(jax.value_and_grad(total, has_aux=True))


@pytest.mark.parametrize("height", [0.0, 1.0])
def test_values_and_slopes_are_finite_for_a_mask_of_nothing_or_all(
    height, values_and_slope
):
    (_, terms), slope = values_and_slope(jnp.full((2, H, W, 1), height))
    assert not [name for name, term in terms.items() if not jnp.isfinite(term)]
    assert jnp.isfinite(slope).all()


def test_the_objective_is_the_weighted_sum(views, values):
    weights = {"cross_entropy": 1.0, "area": 2.0, "binary": 0.5, "sparsity": 0.0}
    total, terms = objective(views, weights, ramp=0.25)
    assert list(terms) == list(weights)
    for name, term in terms.items():
        np.testing.assert_allclose(term, values[name], rtol=1e-6)
    expected = values["cross_entropy"] + 0.5 * values["area"] + 0.5 * values["binary"]
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_the_ramp_may_be_traced(views):
    def total(ramp):
        return objective(views, {"kept_area": 3.0, "binary": 1.0}, ramp=ramp)[0]

    term = TERMS["kept_area"](views)
    np.testing.assert_allclose(jax.grad(total)(jnp.array(0.5)), 3 * term, rtol=1e-6)


def test_what_is_ramped_presses_for_a_small_mask():
    assert TERMS.keys() > RAMPED
    assert {"area", "area_power", "kept_area", "target_area_10"} <= RAMPED
    assert not {"total_variation", "cross_entropy", "sparsity"} & RAMPED


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "`weights` is empty"),
        ({"aera": 1.0}, "`weights` names 'aera', which is no term. Nearest: area"),
        ({"area": -1.0}, r"`weights\['area'\]`=-1.0; it must be at least 0"),
        ({"area": float("nan")}, r"`weights\['area'\]`=nan"),
    ],
)
def test_errors(weights, message, views):
    with pytest.raises(ValueError, match=message):
        objective(views, weights)
