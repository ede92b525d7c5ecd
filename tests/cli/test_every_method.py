import csv

import numpy as np
import pytest

from xattr.cli.methods import METHODS
from xattr.images import Preprocess


@pytest.mark.slow
def test_every_method_runs_from_the_command_line(tiny, call, photos, tmp_path):
    """With the defaults of the table, host-side preparation included."""
    tiny.preprocess = Preprocess(size=32, resize=32)
    result = call("explain", photos / "a", "--method", ",".join(METHODS))
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2
    with np.load(tmp_path / "out" / "maps" / "x.npz") as maps:
        assert set(METHODS) < set(maps)
        for name in METHODS:
            assert maps[name].shape[:2] == (32, 32)
            assert np.isfinite(maps[name]).all()
