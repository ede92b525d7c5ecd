import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import metrics_localization as oracle
from xattr.metrics import (
    PixelCounts,
    average_precision,
    box_overlaps,
    boxes_to_masks,
    energy_pointing_game,
    iou,
    is_difficult,
    max_box_accuracy,
    mean_over_classes,
    pixel_average_precision,
    pixel_counts,
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)

SIZE = (7, 9)
RANDOM = np.random.default_rng(0)
MAPS = RANDOM.normal(size=(4, *SIZE)).astype(np.float32)
MASKS = RANDOM.random((4, *SIZE)) < 0.3
OBJECT = np.zeros((1, *SIZE), bool)
OBJECT[:, 2:5, 3:7] = True


def of_object(value, background):
    """A map with one value on the object and another beside it."""
    return jnp.where(OBJECT, value, jnp.float32(background))


PERFECT, WRONG, CONSTANT = of_object(1, 0), of_object(0, 1), of_object(1, 1)


def pointing(maps, masks):
    return pointing_game(maps, masks, tolerance=1)


def top_ten(maps, masks):
    return top_k_intersection(maps, masks, k=10)


def half(maps, masks):
    return iou(maps, masks, threshold=0.5)


# With an oracle each, for one image.
METRICS = {
    "pointing_game": (pointing, lambda a, m: oracle.pointing_game(a, m, 1)),
    "energy": (energy_pointing_game, lambda a, m: oracle.mass(np.maximum(a, 0), m)),
    "mass": (relevance_mass, lambda a, m: oracle.mass(np.maximum(a, 0), m)),
    "rank": (relevance_rank, lambda a, m: oracle.top_k(a, m, int(m.sum()))),
    "top_k": (top_ten, lambda a, m: oracle.top_k(a, m, 10)),
    "iou": (half, lambda a, m: oracle.iou(a > (a.min() + a.max()) / 2, m)),
    "precision": (average_precision, oracle.average_precision),
}


@pytest.fixture(params=METRICS)
def metric(request):
    return METRICS[request.param][0]


@pytest.mark.parametrize(("metric", "restated"), METRICS.values(), ids=METRICS)
def test_it_is_what_loops_over_pixels_find(metric, restated):
    found = metric(jnp.asarray(MAPS), jnp.asarray(MASKS))
    expected = [restated(a.astype(float), m) for a, m in zip(MAPS, MASKS, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(set(np.asarray(found).tolist())) > 1


def test_a_perfect_map_has_one_and_its_opposite_the_least(metric):
    masks = jnp.asarray(OBJECT)
    assert float(metric(PERFECT, masks)[0]) == pytest.approx(1)
    # Behind the 51 pixels of the background, the 12 of the object come last.
    least = 12 / 63 if metric is average_precision else 0
    assert float(metric(WRONG, masks)[0]) == pytest.approx(least)


@pytest.mark.parametrize(
    "metric", [relevance_mass, relevance_rank, top_ten, average_precision]
)
def test_a_constant_map_has_the_share_of_the_object(metric):
    share = float(metric(CONSTANT, jnp.asarray(OBJECT))[0])
    assert share == pytest.approx(12 / 63)


def test_nothing_else_of_the_batch_matters(metric):
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    alone = [metric(maps[i : i + 1], masks[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(metric(maps, masks), alone, rtol=1e-6)


def test_maps_may_have_one_channel_and_calls_be_compiled(metric):
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    found = jax.jit(metric)(maps[..., None], masks)
    np.testing.assert_allclose(found, metric(maps, masks), rtol=1e-6)


def test_scale_does_not_matter(metric):
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    for scale in (1e30, 2.0, 1e-30):
        found = metric(maps * jnp.float32(scale), masks)
        np.testing.assert_allclose(found, metric(maps, masks), rtol=1e-5)


def test_there_is_no_number_without_an_object_or_a_finite_map(metric):
    masks = jnp.asarray(MASKS).at[1].set(False)
    maps = jnp.asarray(MAPS).at[2, 0, 0].set(jnp.nan).at[3, 0, 0].set(jnp.inf)
    np.testing.assert_array_equal(
        np.isnan(metric(maps, masks)), [False, True, True, True]
    )


def test_masks_that_do_not_fit_are_refused(metric):
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    with pytest.raises(ValueError, match=r"`masks` has shape .*resize\(maps, \(7, 8\)"):
        metric(maps, masks[:, :, :-1])
    with pytest.raises(ValueError, match="3 numbers per pixel"):
        metric(jnp.zeros((4, *SIZE, 3)), masks)
    if metric is not half:
        integers: jax.Array = masks.astype(int)
        with pytest.raises(TypeError):
            metric(maps, integers)


def test_the_circle_of_the_pointing_game():
    maps = jnp.zeros((1, 21, 21)).at[0, 10, 10].set(1)
    for place, inside in (((13, 14), 5.1), ((10, 16), 6.1), ((2, 10), 8.1)):
        mask = jnp.zeros((1, 21, 21), bool).at[0, *place].set(True)
        assert pointing_game(maps, mask, tolerance=inside)[0] == 1
        assert pointing_game(maps, mask, tolerance=inside - 0.1)[0] == 0


@pytest.mark.parametrize("tolerance", [0, 1, 2.5, 4, 15, 1000])
def test_the_pointing_game_with_tolerance(tolerance):
    masks = MASKS & (RANDOM.random(MASKS.shape) < 0.1)
    masks[:, 0, 0] = True
    found = pointing_game(jnp.asarray(MAPS), jnp.asarray(masks), tolerance=tolerance)
    expected = [
        oracle.pointing_game(a, m, tolerance) for a, m in zip(MAPS, masks, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)


def test_which_of_several_maxima_points():
    maps = jnp.zeros((1, *SIZE)).at[0, 0, 0].set(1).at[0, 3, 4].set(1)
    masks = jnp.asarray(OBJECT)
    assert pointing_game(maps, masks, tolerance=0)[0] == 0
    assert pointing_game(maps, masks, tolerance=0, ties="any")[0] == 1
    assert pointing_game(maps, ~masks, tolerance=0)[0] == 1


def test_errors_of_the_pointing_game():
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    with pytest.raises(ValueError, match="`tolerance`=-1"):
        pointing_game(maps, masks, tolerance=-1)
    with pytest.raises(ValueError, match="`ties`='last'"):
        pointing_game(maps, masks, ties="last")  # pyright: ignore[reportArgumentType]


def test_small_objects_in_company_are_difficult():
    masks = jnp.zeros((4, 4, 4), bool).at[:2, 0, :3].set(True).at[2:, 0].set(True)
    found = is_difficult(masks, jnp.array([0, 2, 0, 2]))
    np.testing.assert_array_equal(found, [False, True, False, False])


def test_every_class_counts_as_much():
    hits = np.array([1.0, 0.0, 1.0, np.nan, 0.0])
    assert mean_over_classes(hits, np.array([3, 3, 3, 8, 5])) == pytest.approx(1 / 3)
    assert np.isnan(mean_over_classes(np.array([np.nan]), np.array([0])))
    with pytest.raises(ValueError, match="one class per value"):
        mean_over_classes(hits, np.array([1]))


def test_what_counts_as_relevance():
    maps = jnp.array([[[3.0, -2.0, -1.0, 2.0]]])
    masks = jnp.array([[[True, True, False, False]]])
    found = [
        relevance_mass(maps, masks, sign=sign)[0]
        for sign in ("positive", "absolute", "signed")
    ]
    np.testing.assert_allclose(found, [3 / 5, 5 / 8, 1 / 2], rtol=1e-6)
    assert np.isnan(relevance_mass(-jnp.abs(maps), masks)[0])
    with pytest.raises(ValueError, match="`sign`='negative' is none of positive"):
        relevance_mass(maps, masks, sign="negative")  # pyright: ignore[reportArgumentType]


def test_pixels_that_tie_share_the_last_places():
    maps = jnp.array([[[5.0, 1.0, 1.0, 1.0, 0.0]]])
    masks = jnp.array([[[True, True, False, False, False]]])
    # The first place, and a third of the second.
    np.testing.assert_allclose(relevance_rank(maps, masks), [(1 + 1 / 3) / 2])
    np.testing.assert_allclose(top_k_intersection(maps, masks, k=3), [(1 + 2 / 3) / 3])


def test_top_k_over_what_chance_gives():
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    found = top_k_intersection(maps, masks, k=10, concept_influence=True)
    expected = top_k_intersection(maps, masks, k=10) / MASKS.mean((1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="`k`=64 is more than the 63 pixels"):
        top_k_intersection(maps, masks, k=64)
    with pytest.raises(ValueError, match="`k`=0"):
        top_k_intersection(maps, masks, k=0)


def test_thresholds_of_the_overlap():
    maps, masks = jnp.asarray(MAPS + 5), jnp.asarray(MASKS)
    found = iou(maps, masks, threshold=0.7, of="maximum")
    expected = [
        oracle.iou(a > np.float32(0.7) * a.max(), m)
        for a, m in zip(MAPS + 5, MASKS, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert iou(CONSTANT, jnp.asarray(OBJECT), threshold=0)[0] == 0
    with pytest.raises(ValueError, match="`threshold`=1"):
        iou(maps, masks, threshold=1)
    with pytest.raises(ValueError, match="`of`='mean'"):
        iou(maps, masks, threshold=0, of="mean")  # pyright: ignore[reportArgumentType]


def test_pixels_with_their_center_in_a_box():
    boxes = jnp.array(
        [
            [[0.0, 0.0, 2.0, 1.0], [1.4, 1.6, 2.5, 9.0], [0.0, 2.0, 0.0, 3.0]],
            [[jnp.nan] * 4, [2.0, 1.0, 1.0, 2.0], [-3.0, -3.0, 0.6, 0.6]],
        ]
    )
    found = boxes_to_masks(boxes, (3, 4))
    expected = [
        [[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]],
        [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]
    np.testing.assert_array_equal(found, np.array(expected, bool))
    with pytest.raises(ValueError, match="`boxes` has shape"):
        boxes_to_masks(boxes[..., :3], (3, 4))


def test_pixels_that_do_not_count():
    maps, masks = jnp.asarray(MAPS), jnp.asarray(MASKS)
    ignored = jnp.asarray(RANDOM.random(MASKS.shape) < 0.4)
    found = average_precision(maps, masks, ignored=ignored)
    for a, m, i, value in zip(MAPS, MASKS, np.asarray(ignored), found, strict=True):
        there = m | ~i
        expected = oracle.average_precision(a[there].astype(float), m[there])
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`ignored` is int32"):
        pixel_counts(maps, masks, ignored=ignored.astype("int32"))


def test_equal_values_are_found_together():
    values, masks = jnp.asarray(np.round(MAPS)), jnp.asarray(MASKS)
    expected = [
        oracle.average_precision(np.round(a), m)
        for a, m in zip(MAPS, MASKS, strict=True)
    ]
    np.testing.assert_allclose(average_precision(values, masks), expected, rtol=1e-5)


def test_all_pixels_of_a_data_set_in_one_order():
    scaled = (MAPS - MAPS.min((1, 2), keepdims=True)) / np.ptp(
        MAPS, axis=(1, 2), keepdims=True
    )
    ignored = RANDOM.random(MASKS.shape) < 0.2
    counts = pixel_counts(
        jnp.asarray(MAPS), jnp.asarray(MASKS), ignored=jnp.asarray(ignored), num_bins=8
    )
    there = MASKS | ~ignored
    expected = oracle.average_precision(np.floor(scaled * 8)[there], MASKS[there])
    assert pixel_average_precision(counts) == pytest.approx(expected)
    assert counts.inside.sum() + counts.outside.sum() == there.sum()
    # Sums over some of the images say as much.
    some = PixelCounts(*(np.asarray(x).reshape(2, 2, 9).sum(1) for x in counts))
    assert pixel_average_precision(some) == pytest.approx(expected)


def test_what_has_no_pixels_to_count():
    maps = jnp.asarray(MAPS).at[1, 0, 0].set(jnp.nan)
    counts = pixel_counts(maps, jnp.zeros(MAPS.shape, bool), num_bins=8)
    np.testing.assert_array_equal(counts.outside.sum(1), [63, 0, 63, 63])
    assert np.isnan(pixel_average_precision(counts))


THRESHOLDS = [0.0, 0.2, 0.45, 0.7, 0.9]


@pytest.mark.parametrize("variant", ["authors", "edges"])
def test_the_best_box_around_any_contour(variant):
    smooth = MAPS + np.roll(MAPS, 1, 1) + np.roll(MAPS, 1, 2)
    boxes = np.array([[2.0, 1.0, 6.0, 5.0], [5.0, 3.0, 9.0, 7.0]])
    unused = np.array([[np.nan] * 4, [3.0, 3.0, 3.0, 5.0]])
    many = np.tile(np.concatenate([boxes, unused]), (4, 1, 1))
    found = box_overlaps(smooth, many, thresholds=THRESHOLDS, variant=variant)
    expected = [
        [
            oracle.box_overlap(
                a, [tuple(b) for b in boxes.tolist()], t, variant == "authors"
            )
            for t in THRESHOLDS
        ]
        for a in smooth
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_box_around_a_hole_is_found():
    ring = np.zeros((1, 9, 9), np.float32)
    ring[0] = 1
    ring[0, 3:6, 3:6] = 0
    box = np.array([[[2.0, 2.0, 7.0, 7.0]]])
    assert box_overlaps(ring, box, thresholds=[0.5], variant="edges") == [[1.0]]


def test_parts_touch_by_their_corners():
    maps = np.zeros((1, 6, 6), np.float32)
    maps[0, 1, 1] = maps[0, 2, 2] = 1
    box = np.array([[[1.0, 1.0, 3.0, 3.0]]])
    assert box_overlaps(maps, box, thresholds=[0.5], variant="edges") == [[1.0]]


def test_the_box_of_a_perfect_map():
    boxes = np.array([[[3.0, 2.0, 7.0, 5.0]]])
    for variant in ("authors", "edges"):
        found = box_overlaps(PERFECT, boxes, variant=variant)
        assert found.shape == (1, 1000)
        assert (found == 1).all()
    assert (box_overlaps(CONSTANT, boxes) == 0).all()
    assert np.isnan(box_overlaps(PERFECT, np.full((1, 2, 4), np.nan))).all()
    assert np.isnan(box_overlaps(PERFECT * jnp.nan, boxes)).all()


def test_the_best_threshold_is_that_of_the_data_set():
    overlaps = np.array([[0.8, 0.2], [0.1, 0.4], [0.6, 0.35], [np.nan, np.nan]])
    # By overlap: 2 or 3, 2 or 0, 1 or 0 of 3 images.
    assert max_box_accuracy(overlaps) == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)
    assert max_box_accuracy(overlaps, ious=[0.3]) == pytest.approx(2 / 3)
    assert max_box_accuracy(overlaps, ious=[0.2]) == pytest.approx(1)
    assert np.isnan(max_box_accuracy(overlaps[3:]))
    with pytest.raises(ValueError, match="`ious` is empty"):
        max_box_accuracy(overlaps, ious=[])


def test_errors_of_boxes():
    boxes = np.zeros((1, 2, 4))
    with pytest.raises(ValueError, match=r"\(2, 2, 4\) for 1 maps"):
        box_overlaps(PERFECT, np.zeros((2, 2, 4)))
    with pytest.raises(ValueError, match="`thresholds`"):
        box_overlaps(PERFECT, boxes, thresholds=[1.0])
    with pytest.raises(ValueError, match="`variant`='v2'"):
        box_overlaps(PERFECT, boxes, variant="v2")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="traced by `jax.jit`"):
        jax.jit(lambda maps: box_overlaps(maps, boxes))(PERFECT)
