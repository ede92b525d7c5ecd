import csv

import numpy as np
import pytest

from tests import transformers
from tests.cli.conftest import CLASSES
from xattr.cli.methods import METHODS
from xattr.images import Preprocess
from xattr.run import open_run


def names(attention):
    return tuple(name for name, row in METHODS.items() if row.attention == attention)


@pytest.mark.slow
@pytest.mark.parametrize("attention", [False, True])
def test_every_method_runs_from_the_command_line(
    tiny, call, photos, tmp_path, attention
):
    """With the defaults of the table, host-side preparation included."""
    side = 8 if attention else 32
    tiny.preprocess = Preprocess(size=side, resize=side)
    if attention:
        tiny.model, tiny.classes = transformers.tiny_vit(), CLASSES[:3]
    result = call("explain", photos / "a", "--method", ",".join(names(attention)))
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2
    found = open_run(tmp_path / "out")
    assert found.methods == names(attention)
    for name in names(attention):
        assert found.maps[name].shape[:3] == (2, *((2, 2) if attention else (32, 32)))
        assert np.isfinite(found.maps[name][:]).all()


def test_attention_of_a_model_that_has_none(tiny, call, photos):
    result = call("explain", photos / "a", "--method", "attention_rollout")
    assert result.exit_code == 2
    assert "`model` has no self-attention that could be read" in result.output
    assert "`--method grad_cam`" in result.output
