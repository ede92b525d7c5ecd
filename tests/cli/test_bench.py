import json
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.cli.conftest import apply, network
from xattr.cli._measuring import FORWARD, Program, measure, programs
from xattr.cli._subject import find_subject
from xattr.cli.methods import METHODS

MODULE = """
import jax, jax.numpy as jnp, xattr

def apply(weights, images):
    return jax.nn.relu(images).mean((1, 2)) @ weights

model = xattr.from_function(apply, jnp.ones((3, 4)))

def plain(images):
    return images.mean((1, 2))

pretrained = xattr.models.load("squeezenet1_1")
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    """A module of the user's in the working directory."""
    (tmp_path / "my_bench_models.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return "my_bench_models"


def lines(result) -> dict[str, list[str]]:
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) > 1}


def test_a_table_and_a_file(tiny, call, photos, tmp_path):
    file = tmp_path / "figures.json"
    words = ["--method", "grad_cam,gradient", "--images", photos, "--batch", 3]
    result = call("bench", *words, "--rounds", 2, "--json", file)
    assert result.exit_code == 0
    assert list(lines(result)) == ["what", FORWARD, "grad_cam", "gradient"]
    record = json.loads(file.read_text())
    assert record["settings"]["images"] == [3, 16, 16, 3]
    assert record["settings"]["site"] == tiny.site
    assert record["versions"]["jax"] == jax.__version__
    assert [len(row["seconds"]) for row in record["rows"]] == [2, 2, 2]
    assert record["rows"][0]["forward passes"] == 1
    for row in record["rows"]:
        product = row["ms per image"] * row["images per second"]
        assert product == pytest.approx(1000)


def test_ratios_are_medians_over_the_rounds(monkeypatch):
    """The clock is replaced: the forward pass takes 1, 2, 4, the method 10, 10, 10."""
    # Turns: forward, method | method, forward | forward, method.
    taken = [1.0, 10.0, 10.0, 2.0, 4.0, 10.0]
    ticks = [tick for seconds in taken for tick in (0.0, seconds)]
    monkeypatch.setattr(time, "perf_counter", partial(next, iter(ticks)))
    found = [Program(name, lambda: None, 0.0, None, "") for name in (FORWARD, "m")]
    first, second = measure(found, 3, batch=2)
    assert first["seconds"] == [1.0, 2.0, 4.0]
    assert second["seconds"] == [10.0, 10.0, 10.0]
    assert second["forward passes"] == 5.0
    assert first["ms per image"] == 1000.0
    assert second["images per second"] == 0.2


def test_programs_compute_the_maps():
    tiny = network()
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    rows = {name: METHODS[name] for name in ("grad_cam", "integrated_gradients")}
    forward, cam, path = programs(tiny.model, images, rows, tiny.site)
    outputs = jax.jit(tiny.model)(jnp.asarray(images))
    np.testing.assert_allclose(forward.run(), outputs, rtol=1e-5)
    expected = xattr.grad_cam(tiny.model, jnp.asarray(images), site=tiny.site)
    np.testing.assert_allclose(cam.run(), expected, rtol=1e-5, atol=1e-6)
    assert path.chunk.split("; ")[-1].endswith(" of 64")  # two images, 32 steps
    assert forward.chunk == ""
    assert forward.memory is None or forward.memory >= outputs.nbytes


def test_random_and_prepared_methods(tiny, call, photos):
    words = ["--method", "smoothgrad,expected_gradients", "--images", photos]
    result = call("bench", *words, "--batch", 2, "--rounds", 1)
    assert result.exit_code == 0
    assert list(lines(result))[2:] == ["smoothgrad", "expected_gradients"]


def test_photographs_are_taken_again_if_they_run_out(tiny, call, photos, tmp_path):
    file = tmp_path / "figures.json"
    words = ["--method", "gradient", "--images", photos, "--batch", 12, "--rounds", 1]
    assert call("bench", *words, "--json", file).exit_code == 0
    assert json.loads(file.read_text())["settings"]["images"][0] == 12


def test_a_model_of_the_users(module, call):
    words = ["--size", 8, "--batch", 2, "--rounds", 1]
    for attribute in ("model", "plain"):
        result = call(
            "bench", "--model", f"{module}:{attribute}", *words, "--method", "gradient"
        )
        assert result.exit_code == 0, result.stderr
        assert "images [2, 8, 8, 3]" in result.stdout


def test_sites_of_a_model_of_the_users(module, call):
    result = call("sites", "--model", f"{module}:model", "--size", 8)
    assert result.exit_code == 0
    assert "relu:0" in result.stdout


def test_subjects(module):
    own = find_subject(f"{module}:pretrained", None, None)
    assert (own.preprocess.shape, own.site) == ((227, 227, 3), "features/12")
    plain = find_subject(f"{module}:plain", None, None)
    assert (plain.preprocess.shape, plain.site) == ((224, 224, 3), None)
    bare = find_subject("cifar10_resnet20", None, None)
    assert (bare.weights, bare.preprocess.shape) == ("random", (32, 32, 3))
    assert find_subject("squeezenet1_1", None, None).weights == "bundled"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "grad_cma"], "Nearest: grad_cam"),
        (["--model", "resnet5"], "Nearest: resnet"),
        (["--size", "8"], "`--size` is given, but 'mobilenet_v2' has its own"),
        (["--model", "{}:absent"], "has no 'absent'"),
        (["--model", "{}:"], "must be `module:attribute`"),
        (["--model", "no_such_module_here:model"], "No module named"),
        (["--model", "{}:number"], "is a int; it must be a function"),
        (["--model", "{}:model", "--weights", "w"], "brings its own"),
        (["--model", "{}:model", "--method", "grad_cam"], "names none. Give `--site`"),
        (["--method", "gradient", "--site", "relu:0"], "reads a site. Leave it out"),
        (["--images", "no_such_folder"], "holds no image file"),
    ],
)
def test_wrong_calls(module, tiny, call, words, message):
    result = call("bench", *(word.format(module) for word in words))
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_file_that_cannot_be_written(tiny, call, photos, tmp_path):
    words = ["--method", "gradient", "--images", photos, "--batch", 1, "--rounds", 1]
    result = call("bench", *words, "--json", tmp_path / "none" / "figures.json")
    assert result.exit_code == 2
    assert "cannot be written to" in result.stderr


def test_the_default_methods_exist():
    from xattr.cli._bench import DEFAULT_METHODS

    assert set(DEFAULT_METHODS.split(",")) <= set(METHODS)


def test_parameters_are_no_constants():
    """The program of a model does not hold its weights."""
    weights = {"kernels": [], "head": jnp.ones((3, 50_000))}
    model = xattr.from_function(apply, weights)
    (forward,) = programs(model, np.ones((1, 4, 4, 3), np.float32), {}, None)
    assert forward.memory is None or forward.memory < weights["head"].nbytes
