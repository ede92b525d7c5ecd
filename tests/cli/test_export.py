import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.cli.conftest import network


@pytest.fixture
def forms(monkeypatch) -> list[bool]:
    """The networks are all a small one; whether each was to be rewritten."""
    asked = []

    def load(name, *, weights=None, rewrite=True):
        asked.append(rewrite)
        return network()

    monkeypatch.setattr(xattr.models, "load", load)
    return asked


def test_a_file_for_a_server(forms, call, tmp_path):
    out = tmp_path / "explainer.bin"
    result = call("export", "--method", "grad-cam", "--out", out, "--batch", 2)
    assert result.exit_code == 0
    assert forms == [False]
    first, second, third, last = result.stdout.splitlines()
    assert first == "input images: uint8[2, 16, 16, 3]"
    assert second == "output maps: float32[2, 16, 16]"
    assert third == "output targets: int32[2]"
    assert last.endswith("MiB for cpu, cuda, tpu")
    explain = xattr.load_explainer(out)
    facts, tiny = explain.about, network()
    assert (facts["method"], facts["site"]) == ("grad_cam", tiny.site)
    assert facts["classes"] == list(tiny.classes)
    assert facts["preprocess"] == {
        "resize": 16,
        "size": 16,
        "interpolation": "bilinear",
    }
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    images = jnp.asarray(pixels, jnp.float32) / 255
    maps, classes = explain(pixels)
    expected = xattr.grad_cam(tiny.model, images, site=tiny.site)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    assert classes.tolist() == tiny.model(images).argmax(1).tolist()


def test_choices_reach_the_file(forms, call, tmp_path):
    out = tmp_path / "e"
    words = ["--method", "expected_gradients", "--out", out, "--batch", "any"]
    words += ["--target", "egyptian", "--images", "float32", "--platform", "cpu"]
    words += ["--seed", 7, "--precision", "highest", "--memory", 1]
    assert call("export", *words).exit_code == 0
    assert forms == [True]
    with zipfile.ZipFile(out) as archive:
        facts = json.loads(archive.read("explainer.json"))
    assert facts["inputs"][0]["shape"] == ["n", 16, 16, 3]
    assert facts["inputs"][0]["dtype"] == "float32"
    assert facts["targets"] == 1
    assert facts["platforms"] == ["cpu"]
    assert (facts["seed"], facts["precision"]) == (7, "highest")
    assert jax.config.values["jax_default_matmul_precision"] == "highest"
    words += ["--overwrite", "--target", "given"]
    assert call("export", *words).exit_code == 0
    maps, classes = xattr.load_explainer(out)(
        np.ones((1, 16, 16, 3), "f4"), np.array([2], np.int32)
    )
    assert maps.shape == (1, 16, 16, 3)
    assert classes.tolist() == [2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "grad_cma"], "`--method` 'grad_cma' is not a method. Nearest"),
        (["--method", "cam,grad_cam"], "names 2 methods; a file holds one"),
        (["--method", "xrai"], "looks at each photograph before its program runs"),
        (["--method", "gradient", "--site", "x"], "none of gradient reads a site"),
        (["--method", "grad_cam", "--site", "x"], "`--site` 'x' is not a site"),
        (["--method", "gradient", "--batch", "0"], "`--batch` '0' must be a number"),
        (["--method", "gradient", "--batch", "b"], "`--batch` 'b' must be a number"),
        (["--method", "gradient", "--target", "dog"], "`--target` 'dog' is not a"),
        (
            ["--method", "gradient", "--platform", "npu"],
            "`--platform` 'npu' is not known",
        ),
        (["--method", "gradient", "--platform", ","], "must be names"),
    ],
)
def test_wrong_calls_write_nothing(forms, call, tmp_path, words, message):
    result = call("export", *words, "--out", tmp_path / "e")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_files_are_kept(forms, call, tmp_path):
    words = ["--method", "gradient", "--platform", "cpu"]
    kept = tmp_path / "kept"
    kept.write_text("mine")
    result = call("export", *words, "--out", kept)
    assert result.exit_code == 2
    assert "is there already" in result.stderr
    assert kept.read_text() == "mine"
    result = call("export", *words, "--out", tmp_path)
    assert "is a folder" in result.stderr
    result = call("export", *words, "--out", tmp_path / "none" / "e")
    assert "in no folder that there is" in result.stderr
    assert result.exit_code == 2
    assert call("export", *words, "--out", kept, "--overwrite").exit_code == 0
    assert xattr.load_explainer(kept).about["method"] == "gradient"
