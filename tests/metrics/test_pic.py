import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.oracles import metrics_pic as oracle
from xattr.metrics import Curve, aic, median_curve, sic
from xattr.metrics._pic import interpolated, webp_bytes
from xattr.metrics._subsets import random_pixels

SIZE = (24, 20)
FRACTIONS = (0.05, 0.2, 0.5)
WEIGHTS = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32) * 9


def photograph(n):
    """Smooth with fine grain, and bytes already."""
    random = np.random.default_rng(n)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] / 8.0
    waves = [np.sin(y * a + x * b) for a, b in random.uniform(0, 3, (3, 2))]
    image = 0.5 + 0.3 * np.stack(waves, -1) + random.uniform(-0.2, 0.2, (*SIZE, 3))
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


BYTES = np.stack([photograph(n) for n in range(3)])
IMAGES = jnp.asarray((BYTES / np.float32(255)).astype(np.float32))
MAPS = jnp.asarray(np.random.default_rng(4).normal(size=(3, *SIZE)), jnp.float32)


def model(x):
    """Sees roughness, which interpolation takes away."""
    return jnp.abs(jnp.diff(x, axis=2)).mean((1, 2)) @ WEIGHTS


def run(metric=sic, maps=MAPS, images=IMAGES, **options):
    defaults = {"fractions": FRACTIONS, "key": jax.random.key(2), "seeds": 0.02}
    if metric is sic:
        defaults |= {"min_score": 0.0}
    return metric(model, images, maps, **(defaults | options))


def test_it_is_the_curve_through_its_points():
    keys = jax.random.split(jax.random.key(6), 3)
    targets = np.asarray(model(IMAGES)).argmax(1)
    found = run(targets=jnp.asarray(targets), key=keys)
    starts = np.asarray(random_pixels(keys, jnp.full(3, int(480 * 0.02)), SIZE))
    for n, target in enumerate(targets):

        def score(image, target=target):
            z = np.asarray(model(jnp.asarray(image[None] / np.float32(255))))[0]
            return np.exp(z[target]) / np.exp(z).sum()

        points = oracle.points(
            score, BYTES[n], np.asarray(MAPS[n]), starts[n], FRACTIONS
        )
        places = [place for place, _ in points]
        assert places == sorted(places)
        # A curve between samples differs from straight lines by less than a sample.
        np.testing.assert_allclose(found.area[n], oracle.area(points), atol=2e-3)
        for place, value in points[1:-1]:
            at = np.interp(place, found.fractions, found.scores[n])
            np.testing.assert_allclose(at, value, atol=2e-2)


def test_a_constant_map_reveals_all_at_once():
    found = run(maps=jnp.ones_like(MAPS), num_steps=4)
    np.testing.assert_allclose(found.scores, [[0, 0.25, 0.5, 0.75, 1]] * 3, atol=1e-6)
    np.testing.assert_allclose(found.area, 0.5, atol=1e-6)


def test_maps_of_what_the_model_sees_are_better_than_their_opposite():
    def left(x):
        return model(x[:, :, :10])

    where = jnp.broadcast_to(jnp.arange(20.0)[None, None], MAPS.shape)
    images, maps = jnp.tile(IMAGES[:1], (2, 1, 1, 1)), jnp.stack([-where[0], where[0]])
    good, bad = sic(
        left,
        images,
        maps,
        fractions=FRACTIONS,
        min_score=0.0,
        key=jnp.repeat(jax.random.key(2)[None], 2),
    ).area
    assert good > bad + 0.1


@pytest.mark.slow
def test_curves_climb_unless_told_otherwise():
    found = [
        run(images=IMAGES[:1], maps=MAPS[:1], monotone=m, num_steps=50).scores
        for m in (True, False)
    ]
    assert (np.diff(found[0], axis=1) >= 0).all()
    assert (found[0] >= found[1] - 1e-6).all()


def test_the_accuracy_curve_is_one_from_where_the_class_is_recognized():
    found = run(aic, num_steps=200)
    scored = np.asarray(found.scores)[~np.isnan(found.area)]
    assert len(scored)
    # Between two points the line crosses; at the points it is 0 or 1.
    assert ((scored >= 0) & (scored <= 1)).all()
    assert (scored[:, -1] == 1).all()
    missed = run(aic, targets=(model(IMAGES).argmin(1)))
    assert np.isnan(missed.scores).all()


def test_images_of_low_scores_are_left_out():
    scores = np.asarray(xattr.probability(model(IMAGES), model(IMAGES).argmax(1)))
    kept = run(min_score=float(np.sort(scores)[1]) - 1e-6)
    np.testing.assert_array_equal(np.isnan(kept.area), scores == scores.min())
    assert np.isnan(run(images=jnp.full_like(IMAGES, 0.5)).area).all()


@pytest.mark.parametrize("metric", [sic, aic])
def test_a_map_that_holds_a_nan_has_no_curve(metric):
    found = run(metric, MAPS.at[1, 3, 4].set(jnp.nan))
    assert np.isnan(found.scores[1]).all()
    np.testing.assert_array_equal(found.area[2], run(metric).area[2])


def test_the_median_is_of_the_images_that_are_there():
    line = jnp.array([0.0, 0.5, 1.0])
    nothing = jnp.full(3, jnp.nan)
    rows = [jnp.zeros(3), nothing, line, jnp.ones(3)]
    curves = Curve(jnp.zeros(4), line, jnp.stack(rows))
    found = median_curve(curves)
    np.testing.assert_allclose(found.scores, [[0, 0.5, 1]])
    np.testing.assert_allclose(found.area, [0.5])
    alone = Curve(jnp.zeros(1), line, nothing[None])
    assert np.isnan(median_curve(alone).area).all()


@pytest.mark.slow
def test_nothing_but_the_image_and_its_key_counts():
    keys = jax.random.split(jax.random.key(6), 3)
    whole = run(key=keys)
    alone = run(
        images=IMAGES[1:2], maps=MAPS[1:2, ..., None], key=keys[1:2], chunk_size=2
    )
    np.testing.assert_allclose(alone.scores, whole.scores[1:2], atol=1e-4)


@pytest.mark.slow
def test_gray_images_are_measured_as_gray():
    gray = IMAGES[:1, ..., :1]
    found = sic(
        lambda x: model(jnp.repeat(x, 3, axis=3)),
        gray,
        MAPS[:1],
        fractions=FRACTIONS,
        min_score=0.0,
        key=jax.random.key(2),
    )
    color = run(images=jnp.repeat(gray, 3, axis=3), maps=MAPS[:1])
    # Three channels that are the same take other bytes than one.
    assert found.area.shape == (1,)
    assert 0 < found.area[0] != color.area[0]


def test_interpolation_is_exact_on_planes_and_where_it_is_told():
    y, x = np.mgrid[:9, :7]
    plane = np.stack([3 * y + 2 * x, 10 + 5 * x, 0 * x], -1).astype(np.uint8)
    known = np.zeros((9, 7), bool)
    np.testing.assert_array_equal(interpolated(plane, known), plane)
    known[3, 3] = True
    image = BYTES[0, :9, :7]
    np.testing.assert_array_equal(interpolated(image, known)[3, 3], image[3, 3])
    np.testing.assert_array_equal(interpolated(image, ~known | known), image)


def test_bytes_are_those_of_the_file():
    assert webp_bytes(BYTES[0]) == oracle.bytes_of(BYTES[0])
    assert webp_bytes(BYTES[0][..., :1]) == oracle.bytes_of(BYTES[0][..., 0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fractions": (0.5, 0.1)}, ValueError, "increase between 0 and 1"),
        ({"fractions": ()}, ValueError, "increase between 0 and 1"),
        ({"seeds": 1.0}, ValueError, "below 1"),
        ({"num_steps": 1.5}, TypeError, "whole number"),
        ({"images": 2 * IMAGES}, ValueError, "gray or RGB"),
        ({"key": None}, ValueError, "draws at random"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


def test_it_is_of_the_host():
    with pytest.raises(TypeError, match="traced"):
        jax.jit(lambda x: run(images=x).area)(IMAGES)
