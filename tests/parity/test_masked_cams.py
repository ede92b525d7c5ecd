"""Score-CAM of pytorch-grad-cam, on the bundled weights and a photograph.

It and ablation take one evaluation per channel, so that there is one image only.
"""

import functools

import numpy as np
import pytest
from PIL import Image

import xattr
from xattr.models import photographs

pytestmark = pytest.mark.parity
pytest.importorskip("torch", exc_type=ImportError)
cases = pytest.importorskip("benchmarks._case", exc_type=ImportError)
cams = pytest.importorskip("benchmarks._pytorch_grad_cam", exc_type=ImportError)


@pytest.fixture(scope="module")
def case():
    image = np.asarray(Image.open(photographs()[0]).convert("RGB"))
    return cases.case("squeezenet1_1", None, [image])


def compared(case, cam, method):
    target = cams.model_targets.ClassifierOutputTarget
    pairs = cams._pairs(cam, method, target, case)
    return [max(cases.difference(*pair)) for pair in pairs]


def test_score_cam(case):
    method = functools.partial(xattr.score_cam, variant="pytorch-grad-cam")
    assert max(compared(case, cams.peer.ScoreCAM, method)) < 1e-3


def test_ablation_cam(case):
    assert max(compared(case, cams.peer.AblationCAM, xattr.ablation_cam)) < 1e-3
