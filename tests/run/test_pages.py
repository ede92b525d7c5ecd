"""The pages on runs say what the code does."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from tests.run.conftest import Noise
from xattr.cli._run import app
from xattr.cli.methods import METHODS

DOCS = Path(__file__).parents[2] / "docs"
RUNNING, SCALING = (
    (DOCS / f"{name}.md").read_text() for name in ("running", "scaling")
)
OPTIONS = {
    name: parameter.name
    for parameter in get_command(app).params
    for name in parameter.opts
}


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_every_option_of_the_examples_exists():
    examples = [*blocks(RUNNING, "bash"), *blocks(RUNNING, "yaml")]
    calls = re.findall(r"xattr run (--.*?)(?:\"|$)", "\n".join(examples), re.MULTILINE)
    inline = re.findall(r"`(--[a-z][a-z-]+)", RUNNING)
    used = {word for call in calls for word in re.findall(r"--[a-z-]+", call)}
    elsewhere = {"--ntasks-per-node"}
    assert {"--share", "--distributed", "--cluster"} <= used
    assert used | set(inline) - elsewhere <= OPTIONS.keys()


def test_every_setting_of_the_file_exists():
    (text,) = blocks(RUNNING, "toml")
    settings = tomllib.loads(text)
    hyperparameters = settings.pop("options")
    names = {name.replace("-", "_") for name in settings}
    assert names <= set(OPTIONS.values())
    assert set(hyperparameters) <= set(settings["method"]) <= set(METHODS)


@pytest.mark.slow
def test_the_examples_in_python_run(tmp_path, monkeypatch):
    for package in ("pandas", "xarray", "zarr"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    computing, opening = blocks(RUNNING, "python")
    names: dict[str, Any] = {"source": Noise(20)}
    exec(computing, names)
    assert names["progress"].statuses == {"ok": 20}
    exec(opening, names)
    assert names["grids"].shape == (2, 7, 7)
    assert len(names["names"]) == len(names["rows"]) == 20
    np.testing.assert_array_equal(names["array"][3:5], names["grids"])
    np.testing.assert_array_equal(names["data"][3:5], names["grids"])


def test_the_example_of_a_cost_runs(capsys):
    (example,) = blocks(SCALING, "python")
    exec(example, {})
    bottleneck, price = capsys.readouterr().out.split()
    assert bottleneck == "write"
    assert 5 < float(price) < 10


@pytest.mark.parametrize("page", ["running", "scaling"])
def test_links_lead_somewhere(page):
    text = (DOCS / f"{page}.md").read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert links
    for link in links:
        assert (DOCS / link).exists(), link
