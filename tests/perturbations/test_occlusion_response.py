from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles.perturbations_occlusion import occlusion as oracle
from tests.oracles.perturbations_occlusion import starts

WINDOW, STRIDE = (5, 4), (4, 3)


def occluded(image):
    """Every occluded copy of an image, by row and column of the window."""
    rows = []
    for top in starts(12, WINDOW[0], STRIDE[0]):
        row = []
        for left in starts(12, WINDOW[1], STRIDE[1]):
            copy = np.array(image)
            copy[top : top + WINDOW[0], left : left + WINDOW[1]] = 0.5
            row.append(copy)
        rows.append(row)
    return np.array(rows)


def reduced(activations, clean, how):
    """The response to one image `i j d`, restated."""
    if how == "mean_of_maxima":
        channels = range(activations.shape[2])
        return np.mean([activations[..., d].max() for d in channels])
    if how == "total":
        return activations.sum()
    totals = [clean[..., d].sum() for d in range(clean.shape[2])]
    return activations[..., int(np.argmax(totals))].sum()


@pytest.mark.parametrize("how", ["mean_of_maxima", "strongest_channel", apart("total")])
def test_it_is_the_loop_over_windows(key, how):
    model, images = networks.tiny_convnet(key), networks.images(2)
    found = xattr.occlusion_response(
        model,
        images,
        jnp.array([1, 3]),
        site="relu:0",
        window=WINDOW,
        stride=STRIDE,
        baseline=0.5,
        reduce=how,
        score=xattr.probability,
        chunk_size=5,
    )
    assert found.response.shape == found.score.shape == (2, 3, 4)
    cleans = np.array(xattr.record(model, images, "relu:0")["relu:0"])
    for n, target in enumerate((1, 3)):
        copies = jnp.asarray(occluded(images[n]).reshape(-1, 12, 12, 3))
        activations = np.array(xattr.record(model, copies, "relu:0")["relu:0"])
        expected = [reduced(a, cleans[n], how) for a in activations]
        np.testing.assert_allclose(found.response[n].ravel(), expected, rtol=1e-4)
        outputs = np.array(model(copies), float)
        exponentials = np.exp(outputs)
        expected = exponentials[:, target] / exponentials.sum(1)
        np.testing.assert_allclose(found.score[n].ravel(), expected, rtol=1e-4)
        assert found.predicted[n].ravel().tolist() == outputs.argmax(1).tolist()


def test_the_map_holds_the_scores_that_occlusion_averages(key):
    model, images = networks.tiny_convnet(key), networks.images(1)
    settings: dict[str, Any] = {"window": WINDOW, "stride": STRIDE, "baseline": 0.5}
    found = xattr.occlusion_map(model, images, [2], **settings)
    _, scores = oracle(
        lambda pixels: float(model(jnp.asarray(pixels)[None])[0, 2]),
        np.array(images[0]),
        WINDOW,
        STRIDE,
        np.full((12, 12, 3), 0.5),
    )
    np.testing.assert_allclose(found[0], scores, rtol=1e-4, atol=1e-5)


def test_targets_stay_those_of_the_clean_image(key):
    model, images = networks.tiny_convnet(key), networks.images(3)
    settings: dict[str, Any] = {"window": 6, "stride": 6}
    clean = model(images).argmax(1)
    for method in (
        xattr.occlusion_map,
        lambda *a, **k: xattr.occlusion_response(*a, site="relu:1", **k).score,
    ):
        found = method(model, images, **settings)
        np.testing.assert_allclose(found, method(model, images, clean, **settings))


def test_an_unknown_reduction_is_refused(key):
    with pytest.raises(ValueError, match="`reduce`='max'; it must be one of mean_of"):
        xattr.occlusion_response(
            networks.tiny_convnet(key),
            networks.images(1),
            site="relu:0",
            window=4,
            reduce="max",
        )
