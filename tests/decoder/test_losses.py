"""The losses that read the classifier's answers, hinges included."""

import jax.numpy as jnp
import numpy as np
import pytest

from xattr.decoder._hinges import confused_area, destroyer, kept_area, preserver
from xattr.decoder._losses import (
    cross_entropy,
    divergence,
    hidden_cross_entropy,
    hidden_entropy,
    score_drop,
)

RIGHT, WRONG = jnp.array([[2.0, 1.0]]), jnp.array([[1.0, 2.0]])
FIRST = jnp.array([0])


def test_an_answer_that_the_mask_does_not_change_costs_nothing():
    logits = jnp.array([[3.0, -1.0, 0.5], [-90.0, 90.0, 0.0]])
    assert divergence(logits, logits) == 0
    assert score_drop(logits, logits, jnp.array([0, 1])) == 0


def test_divergence_is_of_the_image_from_the_masked_one():
    sure, unsure = jnp.array([[jnp.log(9.0), 0.0]]), jnp.zeros((1, 2))
    expected = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    np.testing.assert_allclose(divergence(sure, unsure), expected, rtol=1e-5)


def test_a_score_that_rises_is_no_drop():
    assert score_drop(RIGHT, RIGHT + 5, FIRST) == 0


def test_a_negative_score_drops_too():
    clean, kept = jnp.array([[-1.0, 0.0]]), jnp.array([[-3.0, 0.0]])
    assert score_drop(clean, kept, FIRST) == 1


def test_certainty_about_what_is_hidden_counts_where_the_image_was_known():
    clean = jnp.concatenate([RIGHT, WRONG])
    entropy = hidden_entropy(clean, jnp.zeros((2, 2)), jnp.array([0, 0]))
    np.testing.assert_allclose(entropy, -0.5, rtol=1e-6)


def test_the_adversarial_form_counts_images_that_were_not_known():
    np.testing.assert_allclose(
        hidden_cross_entropy(jnp.zeros((1, 2)), FIRST), -np.log(2), rtol=1e-6
    )


@pytest.mark.parametrize(("lead", "expected"), [(0.0, 1.0), (1.0, 0.0), (4.0, 0.0)])
def test_the_preserver_rests_where_the_target_leads(lead, expected):
    assert preserver(jnp.array([[lead, 0.0, -9.0]]), FIRST) == expected


@pytest.mark.parametrize(("lag", "expected"), [(0.0, 5.0), (5.0, 0.0), (9.0, 0.0)])
def test_the_destroyer_rests_where_the_target_lags(lag, expected):
    assert destroyer(jnp.array([[-lag, 0.0, -99.0]]), FIRST) == expected


def test_confidence_is_the_lead_asked_for():
    assert preserver(RIGHT, FIRST, confidence=3.0) == 2
    assert destroyer(WRONG, FIRST, confidence=3.0) == 2


@pytest.mark.parametrize(
    ("clean", "hidden", "expected"),
    [
        (RIGHT, WRONG, -0.75),
        (RIGHT, RIGHT, 0.0),
        (WRONG, WRONG, 0.0),
        (WRONG, RIGHT, 0.0),
    ],
)
def test_a_mask_that_confuses_is_paid_for_being_small(clean, hidden, expected):
    mask = jnp.full((1, 2, 2, 1), 0.25)
    assert confused_area(mask, clean, hidden, FIRST) == expected


@pytest.mark.parametrize(("kept", "expected"), [(RIGHT, -0.75), (WRONG, 0.0)])
def test_a_mask_that_keeps_the_answer_is_paid_for_being_small(kept, expected):
    assert kept_area(jnp.full((1, 2, 2, 1), 0.25), kept, FIRST) == expected


def test_a_class_that_is_not_there_gives_no_number():
    assert jnp.isnan(cross_entropy(RIGHT, jnp.array([2])))


@pytest.mark.parametrize("hinge", [preserver, destroyer])
def test_hinges_refuse_a_negative_confidence(hinge):
    with pytest.raises(ValueError, match="`confidence`=-1"):
        hinge(RIGHT, FIRST, confidence=-1.0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: preserver(z, FIRST),
        lambda z: destroyer(z, FIRST),
        lambda z: hidden_entropy(z, z, FIRST),
    ],
)
def test_one_class_alone_has_no_rival(loss):
    with pytest.raises(ValueError, match=r"shape \(1, 1\); at least two classes"):
        loss(jnp.zeros((1, 1)))
