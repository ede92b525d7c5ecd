import hashlib
import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import xattr
from tests.apart import apart
from tests.models.torch_archive import write_tensors
from xattr import models
from xattr.images._preprocess import Preprocess
from xattr.models._bundled import FOLDER, bundled_weights, class_names
from xattr.models._presets import PRESETS

# What the publishers' own definitions say about the first three of the photographs.
BEST = {
    ("mobilenet_v2", "cat_dog.png"): ["bull mastiff", "boxer", "French bulldog"],
    ("mobilenet_v2", "doberman.png"): ["Doberman", "miniature pinscher", "Rottweiler"],
    ("mobilenet_v2", "cat.jpg"): ["Egyptian cat", "tiger cat", "tabby"],
    ("mobilenet_v2", "coffee.jpg"): ["espresso"],
    ("mobilenet_v2", "rocket.jpg"): ["missile"],
    ("squeezenet1_1", "cat_dog.png"): [
        "bull mastiff",
        "boxer",
        "American Staffordshire terrier",
    ],
    ("squeezenet1_1", "doberman.png"): ["Appenzeller", "Doberman", "Rottweiler"],
    ("squeezenet1_1", "cat.jpg"): ["Egyptian cat", "tabby", "tiger cat"],
}


@pytest.fixture(scope="module")
def loaded():
    return {name: models.load(name) for name in ("mobilenet_v2", "squeezenet1_1")}


apply = jax.jit(lambda model, images: model(images))
network_apply = nnx.jit(lambda network, images: network(images))


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_best_classes_of_the_photographs(loaded):
    paths = {path.name: path for path in models.photographs()}
    for name, pretrained in loaded.items():
        wanted = {file: best for (net, file), best in BEST.items() if net == name}
        images = [pretrained.preprocess(read(paths[file])) for file in wanted]
        logits = np.asarray(apply(pretrained.model, jnp.asarray(np.stack(images))))
        for row, best in zip(logits, wanted.values(), strict=True):
            order = np.argsort(-row)[: len(best)]
            named = [pretrained.classes[i].split(", ")[0] for i in order]
            assert named == best


def test_what_comes_with_a_network(loaded):
    pretrained = loaded["squeezenet1_1"]
    assert isinstance(pretrained.model, xattr.Model)
    assert pretrained.name == "squeezenet1_1"
    assert pretrained.preprocess == Preprocess(size=227, resize=256)
    assert len(pretrained.classes) == 1000
    with pytest.raises(AttributeError, match="cannot assign"):
        pretrained.site = "elsewhere"


@pytest.mark.parametrize(
    ("name", "grid"),
    [("mobilenet_v2", (2, 2, 1280)), apart("squeezenet1_1", (3, 3, 512))],
)
def test_default_sites_are_the_last_maps(loaded, name, grid):
    pretrained = loaded[name]
    images = jnp.full((1, 64, 64, 3), 0.5)
    record = jax.jit(lambda model, images: xattr.record(model, images, pretrained.site))
    (maps,) = record(pretrained.model, images).values()
    assert maps.shape == (1, *grid)
    features = nnx.jit(lambda network, x: network.features(network.normalize(x)))
    expected = features(models.load_network(name), images)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("resnet18", (2, 2, 512)),
        ("resnet50", (2, 2, 2048)),
        ("vgg16", (4, 4, 512)),
        ("vgg11_bn", (4, 4, 512)),
        ("cifar10_resnet56", (16, 16, 64)),
        ("squeezenet1_0", (3, 3, 512)),
    ],
)
def test_default_sites_exist(name, grid):
    """VGG's is the ReLU before its last pool."""
    preset = PRESETS[name]
    model = xattr.from_nnx(preset.abstract(3))
    found = [
        site
        for site in xattr.sites(model, jnp.zeros((1, 64, 64, 3)))
        if preset.site in site.modules
    ]
    assert [site.shape for site in found] == [(1, *grid)]


def test_quantized_weights_have_every_bit_of_the_published_ones():
    from safetensors import safe_open

    with safe_open(FOLDER / "mobilenet_v2.safetensors", framework="np") as file:
        expected = file.metadata()["float32_sha256"]
        stored = {key: file.get_tensor(key).dtype for key in file.keys()}
    assert stored["features.0.0.weight"] == np.uint8
    fingerprint = hashlib.sha256()
    tensors = bundled_weights("mobilenet_v2")
    for name in sorted(tensors):
        assert tensors[name].dtype == np.float32
        fingerprint.update(np.ascontiguousarray(tensors[name]).tobytes())
    assert fingerprint.hexdigest() == expected


def test_bundled_files_are_small_and_licensed():
    assert (FOLDER / "mobilenet_v2.safetensors").stat().st_size < 4_000_000
    notes = (FOLDER / "LICENSES" / "photographs.md").read_text()
    assert 6 <= len(models.photographs()) <= 10
    for path in models.photographs():
        assert path.stat().st_size <= 250_000
        assert f"`{path.name}`" in notes
        assert min(read(path).shape[:2]) >= 200
    sources = (FOLDER / "LICENSES" / "README.md").read_text()
    for path in FOLDER.iterdir():
        assert path.name == "LICENSES" or path.name in sources


def test_class_names():
    assert [len(class_names(x)) for x in ("imagenet1k", "inat_birds", "cifar10")] == [
        1000,
        965,
        10,
    ]
    assert class_names("imagenet1k")[243] == "bull mastiff"


def test_random_weights_keep_the_scale():
    network = models.untrained("resnet18", num_classes=5)
    images = jnp.asarray(np.random.default_rng(0).random((2, 64, 64, 3), np.float32))
    spread = float(network_apply(network, images).std())
    assert 0.1 < spread < 100
    again = models.untrained("resnet18", num_classes=5)
    other = models.untrained("resnet18", num_classes=5, seed=1)
    kernels = [models.to_tensors(x)["fc.weight"] for x in (network, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])
    with pytest.raises(ValueError, match="not a network of this package"):
        models.untrained("alexnet")


def test_names_tell_what_is_bundled():
    names = models.names()
    assert [name for name, bundled in names.items() if bundled] == [
        "mobilenet_v2",
        "squeezenet1_1",
    ]
    assert {"resnet50", "vgg16_bn", "cifar10_resnet20"} <= names.keys()


@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_weights_from_a_file(tmp_path, kind):
    network = models.untrained("cifar10_resnet20", num_classes=4)
    tensors = models.to_tensors(network)
    path = tmp_path / "weights"
    if kind == "torch":
        write_tensors(path, tensors)
    else:
        from safetensors.numpy import save_file

        save_file(tensors, path)
    pretrained = models.load("cifar10_resnet20", weights=path)
    assert pretrained.classes == ("class 0", "class 1", "class 2", "class 3")
    images = jnp.linspace(0, 1, 2 * 8 * 8 * 3).reshape(2, 8, 8, 3)
    logits, expected = apply(pretrained.model, images), network_apply(network, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_presets_can_be_overridden(tmp_path):
    tensors = models.to_tensors(models.untrained("cifar10_resnet20", num_classes=2))
    path = write_tensors(tmp_path / "w.pt", tensors)
    halves = models.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    pretrained = models.load(
        "cifar10_resnet20",
        weights=path,
        normalize=halves,
        preprocess=Preprocess(48, 64),
        classes=["yes", "no"],
    )
    assert pretrained.classes == ("yes", "no")
    assert pretrained.preprocess.shape == (48, 48, 3)
    grey = jnp.full((1, 8, 8, 3), 0.5)
    centred = models.Normalize((0.5, 0.5, 0.5), (1.0, 2.0, 3.0))
    network = models.load_network("cifar10_resnet20", weights=path, normalize=centred)
    np.testing.assert_allclose(
        apply(pretrained.model, grey), network_apply(network, grey), atol=1e-6
    )
    with pytest.raises(ValueError, match="`classes` has 3 names.* give 2 logits"):
        models.load("cifar10_resnet20", weights=path, classes=["a", "b", "c"])


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="'resnet51' is not a.*Nearest: resnet"):
        models.load("resnet51")
    with pytest.raises(ValueError, match="Nearest: mobilenet_v2, .*names()"):
        models.load("mobilnet")


def test_weights_that_are_not_bundled():
    expected = r'`load\("resnet50", weights="resnet50.safetensors"\)`'
    with pytest.raises(ValueError, match=expected):
        models.load("resnet50")


def test_weights_of_another_network(tmp_path):
    path = FOLDER / "squeezenet1_1.safetensors"
    with pytest.raises(
        ValueError, match="The weights do not fit this network.*surplus"
    ):
        models.load("resnet18", weights=path)
    with pytest.raises(ValueError, match="misshapen: features.0.bias"):
        models.load("squeezenet1_0", weights=str(path))


def test_photographs_are_images():
    for path in models.photographs():
        assert isinstance(path, Path)
        Image.open(io.BytesIO(path.read_bytes())).verify()
