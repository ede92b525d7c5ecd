"""Localization metrics of Quantus 0.6 on the same maps, and OpenCV's contours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr.metrics import (
    pixel_average_precision,
    pixel_counts,
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)
from xattr.metrics._box_overlaps import THRESHOLDS, box_overlaps

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("benchmarks._torchvision", exc_type=ImportError)
quantus = pytest.importorskip("quantus", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
N, SIZE = 6, (24, 20)
MAPS = RANDOM.normal(size=(N, *SIZE))
MASKS = np.zeros((N, *SIZE), bool)
for mask in MASKS:
    top, left = RANDOM.integers(0, 12, 2)
    mask[top : top + 9, left : left + 7] = True
# So that some of the maps point to their object.
MAPS[:4] += 1.5 * MASKS[:4]


@pytest.fixture(autouse=True)
def double():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


def theirs(metric, maps=MAPS, **options):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(480, 3))
    evaluate = metric(
        disable_warnings=True, display_progressbar=False, normalise=False, **options
    )
    return evaluate(
        model=network,
        x_batch=RANDOM.normal(size=(N, 1, *SIZE)).astype(np.float32),
        y_batch=np.zeros(N, int),
        a_batch=maps[:, None],
        s_batch=MASKS[:, None],
    )


@pytest.mark.parametrize(
    ("found", "metric", "options"),
    [
        (lambda a, m: relevance_mass(a, m, sign="signed"),
         quantus.RelevanceMassAccuracy, {}),
        (lambda a, m: relevance_mass(a, m, sign="absolute"),
         quantus.RelevanceMassAccuracy, {"abs": True}),
        (relevance_rank, quantus.RelevanceRankAccuracy, {}),
        (lambda a, m: relevance_rank(jnp.abs(a), m),
         quantus.RelevanceRankAccuracy, {"abs": True}),
        (lambda a, m: top_k_intersection(a, m, k=50),
         quantus.TopKIntersection, {"k": 50}),
        (lambda a, m: top_k_intersection(a, m, k=50, concept_influence=True),
         quantus.TopKIntersection, {"k": 50, "concept_influence": True}),
        (lambda a, m: pointing_game(a, m, tolerance=0, ties="any"),
         quantus.PointingGame, {}),
    ],
)  # fmt: skip
def test_the_same_as_quantus(found, metric, options):
    expected = np.array(theirs(metric, **options), float)
    np.testing.assert_allclose(
        found(jnp.asarray(MAPS), jnp.asarray(MASKS)), expected, rtol=1e-9
    )
    assert len(set(expected.tolist())) > 1


def test_several_maxima():
    maps = np.maximum(np.round(MAPS), 0)
    maps = np.minimum(maps, 2)
    found = pointing_game(
        jnp.asarray(maps), jnp.asarray(MASKS), tolerance=0, ties="any"
    )
    np.testing.assert_array_equal(found, theirs(quantus.PointingGame, maps))


def scaled(maps):
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return (maps - low) / (high - low)


def overlaps_by_opencv(cv2, values, boxes):
    """Protocol of MaxBoxAccV2 for one map in [0, 1]: whole pixels, both ends in."""
    height, width = values.shape
    image, best = (values * 255).astype(np.uint8), []
    for threshold in THRESHOLDS:
        mask = (image > int(threshold * image.max())).astype(np.uint8)
        contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        overlap = 0.0
        for x, y, w, h in map(cv2.boundingRect, contours):
            x1, y1 = min(x + w, width - 1), min(y + h, height - 1)
            for a0, b0, a1, b1 in boxes:
                across = max(0, min(x1, a1) - max(x, a0) + 1)
                along = max(0, min(y1, b1) - max(y, b0) + 1)
                areas = (x1 - x + 1) * (y1 - y + 1) + (a1 - a0 + 1) * (b1 - b0 + 1)
                overlap = max(overlap, across * along / (areas - across * along))
        best.append(overlap)
    return best


@pytest.mark.parametrize("blur", [0, 5, 11])
def test_boxes_around_the_contours_of_opencv(blur):
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    noise = RANDOM.normal(size=(3, 40, 48))
    if blur:
        noise = np.stack([cv2.GaussianBlur(x, (blur, blur), 0) for x in noise])
    values = scaled(noise)
    boxes = np.array([[4, 6, 20, 30], [18, 2, 47, 39], [30, 20, 36, 27]], float)
    found = box_overlaps(values, np.tile(boxes, (3, 1, 1)))
    expected = [overlaps_by_opencv(cv2, x, boxes.tolist()) for x in values]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_average_precision_of_pixels_in_bins_of_the_authors():
    """Histograms with their edges, and the sum over them, as they describe it."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    values = scaled(MAPS)
    inside, outside = (
        np.histogram(values[which], edges)[0][::-1].cumsum()
        for which in (MASKS, ~MASKS)
    )
    there = inside + outside > 0
    precision = inside[there] / (inside + outside)[there]
    expected = precision @ np.diff(inside / MASKS.sum(), prepend=0)[there]
    counts = pixel_counts(jnp.asarray(MAPS), jnp.asarray(MASKS))
    assert pixel_average_precision(counts) == pytest.approx(expected, rel=1e-9)
