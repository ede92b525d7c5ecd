import csv

import numpy as np
import pytest

from xattr.cli.methods import METHODS
from xattr.images import Preprocess
from xattr.run import open_run


@pytest.mark.slow
def test_every_method_runs_from_the_command_line(tiny, call, photos, tmp_path):
    """With the defaults of the table, host-side preparation included."""
    tiny.preprocess = Preprocess(size=32, resize=32)
    result = call("explain", photos / "a", "--method", ",".join(METHODS))
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2
    found = open_run(tmp_path / "out")
    assert found.methods == tuple(METHODS)
    for name in METHODS:
        assert found.maps[name].shape[:3] == (2, 32, 32)
        assert np.isfinite(found.maps[name][:]).all()
