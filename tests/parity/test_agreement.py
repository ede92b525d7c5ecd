"""The maps of captum and pytorch-grad-cam on the bundled weights and photographs.

All networks and photographs: `benchmarks/agreement.py`.
"""

import numpy as np
import pytest
from PIL import Image

from xattr.models import photographs

pytestmark = pytest.mark.parity
pytest.importorskip("torch", exc_type=ImportError)
cases = pytest.importorskip("benchmarks._case", exc_type=ImportError)
captums = pytest.importorskip("benchmarks._captum", exc_type=ImportError)
cams = pytest.importorskip("benchmarks._pytorch_grad_cam", exc_type=ImportError)

COMPARISONS = [*cams.comparisons(), *captums.comparisons()]
SMOOTH = [c for c in COMPARISONS if not c.kinks]
KINKS = [c for c in COMPARISONS if c.kinks]


def on_the_bundle(**options):
    images = [np.asarray(Image.open(p).convert("RGB")) for p in photographs()[:2]]
    return cases.case("squeezenet1_1", None, images, **options)


def worst(pair):
    return max(cases.difference(*pair))


@pytest.fixture(scope="module")
def single():
    return on_the_bundle()


@pytest.fixture(scope="module")
def double():
    """Without equal pixels: on them, rounding decides which gradient is the one."""
    with cases.float64():
        return on_the_bundle(dithered=True)


@pytest.mark.parametrize("comparison", SMOOTH, ids=lambda c: c.theirs)
def test_maps(single, comparison):
    for pair in comparison.pairs(single):
        assert worst(pair) < 1e-4


@pytest.mark.parametrize("comparison", KINKS, ids=lambda c: c.theirs)
def test_gradients(double, comparison):
    with cases.float64():
        [pair] = comparison.pairs(double)
    assert worst(pair) < 1e-6
