"""A small network in place of the real ones, and a folder of photographs."""

import copy
import dataclasses
import functools
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import xattr
from xattr.images import Preprocess
from xattr.run import Computation, Plan

CLASSES = ("tench, Tinca tinca", "Egyptian cat", "tiger cat", "crane", "crane")
METHODS = "gradient,grad_cam,smoothgrad"


def apply(params, images):
    """Two convolutions, a pool, a line."""
    x = images
    for weight in params["kernels"]:
        x = jax.lax.conv_general_dilated(
            x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x)
    return x.mean((1, 2)) @ params["head"]


def network() -> SimpleNamespace:
    first, second, third = jax.random.split(jax.random.key(3), 3)
    params = {
        "kernels": [
            jax.random.normal(first, (3, 3, 3, 6)),
            jax.random.normal(second, (3, 3, 6, 8)),
        ],
        "head": jax.random.normal(third, (8, len(CLASSES))),
    }
    return SimpleNamespace(
        name="tiny",
        model=xattr.from_function(apply, params),
        preprocess=Preprocess(size=16, resize=16),
        classes=CLASSES,
        site="relu:1",
    )


# Not made when this is imported: processes that join others must do so first.
shared_network = functools.cache(network)
COMPUTATIONS: dict[str, Computation] = {}


def compiled_once(plan: Plan, devices=None, num_perturbation: int = 1) -> Computation:
    """A plan's programs, the same for all tests that compute the same."""
    own = copy.copy(plan.pretrained)
    if devices is not None or own.model is not shared_network().model:
        return Computation(plan, devices, num_perturbation)
    fixed = dataclasses.replace(plan, pretrained=own)
    key = f"{fixed}, {num_perturbation}"
    if key not in COMPUTATIONS:
        COMPUTATIONS[key] = Computation(fixed, None, num_perturbation)
    return COMPUTATIONS[key]


@pytest.fixture
def tiny(monkeypatch) -> SimpleNamespace:
    """The command line's networks are all this one; its programs are compiled once."""
    pretrained = copy.copy(shared_network())
    monkeypatch.setattr(xattr.models, "load", lambda name, *, weights=None: pretrained)
    monkeypatch.setattr("xattr.run.Computation", compiled_once)
    return pretrained


@pytest.fixture
def photos(tmp_path) -> Path:
    """Five photographs in two folders, two of them with one name."""
    folder = tmp_path / "photos"
    for index, name in enumerate(["a/x", "a/y", "b/x", "b/X", "b/ü & <b>"]):
        pixels = np.random.default_rng(index).integers(0, 255, (20, 24, 3), np.uint8)
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture
def call(tmp_path):
    """Run a command in-process: `call("explain", ...)`; results in `tmp_path/out`."""
    from xattr.cli._app import app

    def run(command: str, *arguments: object, out: Path | None = tmp_path / "out"):
        words = [command, *map(str, arguments)]
        if command == "explain" and out is not None:
            words += ["--out", str(out)]
        if command == "explain" and "--method" not in words:
            words += ["--method", METHODS]
        return CliRunner().invoke(app, words, catch_exceptions=False)

    return run
