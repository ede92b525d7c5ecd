"""A method and a model in a file, used with and without the library."""

import functools
import json
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.networks import SHAPE, tiny_convnet
from xattr import models


@pytest.fixture(scope="module")
def model():
    return tiny_convnet(jax.random.key(1))


def pixels(n, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


GRAD_CAM = functools.partial(xattr.grad_cam, site="relu:1")

# What a server runs: JAX and the file.
SERVER = """
import json, sys, zipfile
import jax, numpy as np
from jax import export
jax.config.update("jax_default_matmul_precision", "highest")
with zipfile.ZipFile(sys.argv[1]) as file:
    facts = json.loads(file.read("explainer.json"))
    program = export.deserialize(bytearray(file.read("explainer.jax_export")))
images = np.load(sys.argv[2])
assert list(images.shape) == facts["inputs"][0]["shape"]
assert images.dtype == facts["inputs"][0]["dtype"]
maps, classes = jax.jit(program.call)(images)
assert list(maps.shape) == facts["outputs"][0]["shape"]
np.savez(sys.argv[3], maps=maps, classes=classes)
assert not any(name.split(".")[0] == "xattr" for name in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        functools.partial(xattr.grad_cam, site="features/12"),
        functools.partial(xattr.integrated_gradients, num_steps=4),
    ],
    ids=["grad_cam", "integrated_gradients"],
)
def test_a_server_without_the_library_gives_the_same_maps(method, tmp_path):
    pretrained = models.load("squeezenet1_1", rewrite=False)
    shape = pretrained.preprocess.shape
    images = pixels(1, shape)
    file = tmp_path / "explainer.bin"
    xattr.save_explainer(file, method, pretrained.model, image_shape=shape)
    np.save(tmp_path / "images.npy", images)
    paths = (file, tmp_path / "images.npy", tmp_path / "maps.npz")
    done = subprocess.run(
        [sys.executable, "-c", SERVER, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "maps.npz")
    given = jnp.asarray(images, jnp.float32) / 255
    expected = method(pretrained.model, given)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found["maps"], expected, rtol=1e-3, atol=1e-3 * scale)
    assert found["classes"] == pretrained.model(given).argmax(-1)


def test_the_file_describes_itself(model, tmp_path):
    file = tmp_path / "explainer.bin"
    facts = xattr.save_explainer(
        file,
        functools.partial(GRAD_CAM, relu=False),
        model,
        image_shape=SHAPE,
        batch=2,
        about={"classes": ["a", "b", "c", "d", "e"]},
    )
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("explainer.json")) == facts
        # Portable StableHLO bytecode begins so.
        assert archive.read("explainer.stablehlo")[:4] == b"ML\xefR"
        assert {part.compress_type for part in archive.infolist()} == {0}
    assert facts["method"] == "grad_cam"
    assert facts["hyperparameters"]["site"] == "relu:1"
    assert facts["hyperparameters"]["relu"] is False
    assert facts["hyperparameters"]["score"] == "logit"
    assert facts["classes"][2] == "c"
    images, (maps, classes) = facts["inputs"][0], facts["outputs"]
    assert (images["shape"], images["dtype"]) == ([2, *SHAPE], "uint8")
    assert images["range"] == [0, 255]
    assert (maps["shape"], maps["dtype"]) == ([2, 6, 6], "float32")
    assert (classes["shape"], classes["dtype"]) == ([2], "int32")
    assert facts["platforms"] == ["cpu", "cuda", "tpu"]
    assert facts["versions"]["xattr-jax"] == xattr.__version__


def test_combinators_say_what_is_bound(model, tmp_path):
    facts = xattr.save_explainer(
        tmp_path / "e",
        xattr.smoothgrad(xattr.gradient, num_samples=3),
        model,
        image_shape=SHAPE,
        platforms=["cpu"],
    )
    assert facts["method"] == "smoothgrad"
    assert facts["hyperparameters"]["num_samples"] == 3
    assert facts["hyperparameters"]["method"] == "gradient"


@pytest.mark.parametrize("dtype", ["uint8", apart("float32")])
def test_any_number_of_images(model, tmp_path, dtype):
    file = tmp_path / "explainer.bin"
    facts = xattr.save_explainer(
        file,
        functools.partial(xattr.rise, num_masks=5, grid=3),
        model,
        image_shape=SHAPE,
        images=dtype,
        batch="any",
        targets="given",
        seed=4,
        platforms=["cpu"],
    )
    assert [part["shape"] for part in facts["inputs"]] == [["n", *SHAPE], ["n"]]
    explain = xattr.load_explainer(file)
    for n in (1, 3):
        images, classes = pixels(n), np.arange(n, dtype=np.int32)
        given = images if dtype == "uint8" else images.astype("f4")
        maps, found = explain(given, classes)
        keys = jnp.broadcast_to(jax.random.key(4), (n,))
        taken = given.astype("f4") / 255 if dtype == "uint8" else given
        expected = xattr.rise(
            model, jnp.asarray(taken), classes, num_masks=5, grid=3, key=keys
        )
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4)
        assert found.tolist() == classes.tolist()


def test_one_class_for_all(model, tmp_path):
    xattr.save_explainer(
        tmp_path / "e", GRAD_CAM, model, image_shape=SHAPE, batch=2, targets=3
    )
    images = pixels(2)
    maps, classes = xattr.load_explainer(tmp_path / "e")(images)
    given = jnp.asarray(images, jnp.float32) / 255
    np.testing.assert_allclose(
        maps, GRAD_CAM(model, given, jnp.array([3, 3])), rtol=1e-4, atol=1e-6
    )
    assert classes.tolist() == [3, 3]


def test_the_same_call_writes_the_same_bytes(model, tmp_path):
    for name in ("a", "b"):
        xattr.save_explainer(tmp_path / name, GRAD_CAM, model, image_shape=SHAPE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "int8"}, r"`images`='int8' is not known\. Allowed: 'uint8'"),
        ({"batch": 0}, "`batch`=0; it must be at least 1"),
        ({"batch": "b"}, r"`batch`='b' is not known\. Allowed: 'any'"),
        ({"targets": "cat"}, "`targets`='cat' is not known"),
        ({"platforms": ("cpu", "npu")}, "`platforms`='npu' is not known"),
        ({"platforms": ()}, r"`platforms`=\(\); it must be names"),
        ({"platforms": "cpu"}, "`platforms`='cpu'; it must be names"),
    ],
)
def test_wrong_calls_write_nothing(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        xattr.save_explainer(
            tmp_path / "e", GRAD_CAM, model, **({"image_shape": SHAPE} | options)
        )
    method = functools.partial(xattr.grad_cam, site="x")
    with pytest.raises(ValueError, match="`site`='x' is not a site"):
        xattr.save_explainer(tmp_path / "e", method, model, image_shape=SHAPE)
    assert not list(tmp_path.iterdir())


def test_what_no_platform_knows_is_refused(tmp_path):
    def calls_python(x):
        shape = jax.ShapeDtypeStruct((x.shape[0], 2), x.dtype)
        return jax.pure_callback(lambda x: np.ones((len(x), 2), "f4"), shape, x)

    method = functools.partial(xattr.rise, num_masks=2, grid=2)
    with pytest.raises(ValueError, match=r"can't be exported for cpu, cuda, tpu: "):
        xattr.save_explainer(tmp_path / "e", method, calls_python, image_shape=SHAPE)
    assert not list(tmp_path.iterdir())


def test_wrong_inputs_are_refused(model, tmp_path):
    xattr.save_explainer(tmp_path / "e", GRAD_CAM, model, image_shape=SHAPE, batch=2)
    explain = xattr.load_explainer(tmp_path / "e")
    with pytest.raises(ValueError, match=r"`images` is uint8\[3, 12, 12, 3\]; .*\[2, "):
        explain(pixels(3))
    with pytest.raises(ValueError, match="`images` is float32"):
        explain(pixels(2).astype("f4"))
    with pytest.raises(ValueError, match="`targets` are given, but .*'predicted'"):
        explain(pixels(2), np.zeros(2, np.int32))


def test_other_files_are_refused(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"is not an explainer .*save_explainer"):
        xattr.load_explainer(other)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("explainer.json", '{"format": "xattr explainer 9"}')
    with pytest.raises(ValueError, match="its format is 'xattr explainer 9'"):
        xattr.load_explainer(other)
    with pytest.raises(FileNotFoundError):
        xattr.load_explainer(tmp_path / "none")
