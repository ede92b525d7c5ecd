import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from tests.networks import images, tiny_convnet
from tests.oracles import graph_features as oracle
from tests.transformers import tiny_vit
from xattr.graph._default_sites import default_sites
from xattr.graph._feature_files import load_features, save_features
from xattr.graph._features import extract, mass
from xattr.graph._graph import Features
from xattr.graph._unit_std import unit_std

SITES = ("conv:1", "add:0")


def convolve(x, kernel, stride=1, axes="NHWC"):
    numbers = (axes, "HWIO", axes)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=numbers
    )


def pointwise(offset, x):
    """Two channels: the image's first one plus an offset, and a constant."""
    kernel = jnp.zeros((1, 1, 3, 2)).at[0, 0, 0, 0].set(1)
    return convolve(x, kernel) + jnp.broadcast_to(offset, (*x.shape[:3], 2))


def split(x, *sizes):
    return np.split(np.asarray(x), np.cumsum(sizes)[:-1])


def test_std_over_batches_is_that_over_all_images(key):
    model, x = tiny_convnet(key), images(13)
    found = unit_std(model, split(x, 5, 5, 3), SITES)
    assert list(found) == list(SITES)
    recorded = xattr.record(model, x, SITES)
    for name in SITES:
        expected = oracle.unit_std(recorded[name])
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)


def test_a_large_mean_does_not_cancel():
    """The mean of squares less the square of the mean would have no digit right."""
    model = xattr.Model(pointwise, jnp.array([3e3, 0.1]))
    x = images(12)
    found = unit_std(model, split(x, 4, 4, 4), "add:0")["add:0"]
    expected = oracle.unit_std(x[..., 0])
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-3)


def test_units_that_never_vary_are_never_active():
    model = xattr.Model(pointwise, jnp.array([0.0, 0.1]))
    x = images(11)
    std = unit_std(model, split(x, 3, 3, 3, 2), "add:0")
    assert (std["add:0"][..., 0] > 0).all()
    assert (std["add:0"][..., 1] == 0).all()
    features = extract(model, [x], "add:0", std)["add:0"]
    assert features.levels[..., 0].any()
    assert not features.levels[..., 1].any()
    assert features.step[1] == 0


def test_variation_of_rounding_alone_is_none():
    model = xattr.Model(pointwise, jnp.array([100.0, 0.1]))
    found = unit_std(model, [1e-5 * images(6)], "add:0")["add:0"]
    assert not found.any()


def test_features_are_within_a_step_of_the_exact_ones(key):
    model = tiny_convnet(key)
    # The largest activations come last, so that the first batches are coarsened.
    x = images(9) * jnp.linspace(0.1, 3, 9)[:, None, None, None]
    std = unit_std(model, split(images(8, seed=1), 4, 4), SITES)
    found = extract(model, split(x, 4, 4, 1), SITES, std)
    recorded = xattr.record(model, x, SITES)
    assert list(found) == list(SITES)
    for name in SITES:
        expected = oracle.normalized(recorded[name], np.asarray(std[name]))
        step = oracle.step(expected)
        assert found[name].levels.dtype == jnp.uint8
        highest = np.where(step > 0, 255, 0)
        assert (found[name].levels.max((0, 1, 2)) == highest).all()
        assert highest.any()
        np.testing.assert_allclose(found[name].step, step, rtol=1e-4)
        away = np.abs(np.asarray(mass(found[name])) - expected)
        assert (away <= 1.001 * step).all()
        # Rounding is to the nearest.
        assert np.mean(away <= 0.501 * step) > 0.9


def test_mass_of_some_images():
    levels = jnp.arange(12, dtype=jnp.uint8).reshape(3, 2, 1, 2)
    features = Features(levels, jnp.array([0.5, 2.0]))
    everything = np.asarray(levels, np.float64) * [0.5, 2.0]
    np.testing.assert_allclose(mass(features), everything)
    np.testing.assert_allclose(mass(features, 2), everything[2])
    np.testing.assert_allclose(mass(features, slice(1, 3)), everything[1:])
    np.testing.assert_allclose(mass(features, jnp.array([2, 0])), everything[[2, 0]])


def test_a_smaller_last_batch_needs_no_program_of_its_own():
    calls = []

    def apply(kernel, x):
        calls.append(len(x))
        return convolve(x, kernel)

    model = xattr.Model(apply, jnp.ones((1, 1, 3, 2)))
    std = unit_std(model, split(images(6), 3, 3), "conv:0")
    extract(model, split(images(6), 3, 3), "conv:0", std)
    before = len(calls)
    unit_std(model, split(images(7), 3, 3, 1), "conv:0")
    extract(model, split(images(7), 3, 3, 1), "conv:0", std)
    assert len(calls) == before


@pytest.mark.parametrize("layout", ["channels first", "one by one"])
def test_any_order_of_axes_becomes_rows_columns_channels(layout):
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 3, 4)), "float32")

    def channels_last(x):
        return convolve(x, kernel, 2)

    def channels_first(x):
        return convolve(x.transpose(0, 3, 1, 2), kernel, 2, "NCHW")

    models = {
        "channels first": channels_first,
        "one by one": jax.vmap(lambda x: channels_first(x[None])[0], out_axes=3),
    }
    x = jax.random.normal(jax.random.key(1), (4, 6, 10, 3))
    std = unit_std(channels_last, [x], "conv:0")
    expected = extract(channels_last, [x], "conv:0", std)["conv:0"]
    model = models[layout]
    found = extract(model, [x], "conv:0", unit_std(model, [x], "conv:0"))["conv:0"]
    assert found.levels.shape == (4, 3, 5, 4)
    np.testing.assert_allclose(mass(found), mass(expected), atol=1e-2)


@pytest.mark.slow
def test_tokens_are_the_grid_of_their_patches():
    model, x = tiny_vit(), transformers.images(6)
    site = transformers.SITE
    tokens = np.asarray(xattr.record(model, x, site)[site])
    grid = tokens[:, 1:].reshape(6, 2, 2, 8)
    std = unit_std(model, [x[:4], x[4:]], site)
    np.testing.assert_allclose(std[site], oracle.unit_std(grid), rtol=1e-4)
    found = extract(model, [x[:4], x[4:]], site, std)[site]
    expected = oracle.normalized(grid, np.asarray(std[site]))
    assert (np.abs(mass(found) - expected) <= 1.001 * np.asarray(found.step)).all()


@pytest.mark.parametrize(
    ("sites", "match"),
    [
        ((), "`sites` is empty"),
        (("relu:9",), "not a site of this model"),
        (("dot:0",), r"'dot:0', of shape \(4, 5\).*default_sites"),
        (("conv:0", "add:1"), r"'add:1' \(6 x 6 cells\) after 'conv:0' \(12 x 12\)"),
        (("conv:1", "relu:1"), r"`sites=\['relu:1', 'conv:1'\]`"),
        (("conv:1", "conv:1"), "no two are the same"),
    ],
)
def test_sites_that_are_no_layers(key, sites, match):
    with pytest.raises(ValueError, match=match):
        unit_std(tiny_convnet(key), [images(4)], sites)


def test_one_cell_is_no_grid():
    def model(x):
        return convolve(x, jnp.ones((1, 1, 3, 2))).mean((1, 2), keepdims=True)

    name = xattr.sites(model, images(2))[-1].name
    with pytest.raises(ValueError, match="more than one cell"):
        unit_std(model, [images(2)], name)


@pytest.mark.parametrize("batches", [[], [images(1)]])
def test_too_few_images(key, batches):
    model = tiny_convnet(key)
    with pytest.raises(ValueError, match=f"gave {len(batches)} images; .* at least 2"):
        unit_std(model, batches, "conv:0")
    with pytest.raises(ValueError, match="gave no image"):
        extract(model, [], "conv:0", {"conv:0": jnp.ones((12, 12, 4))})


def test_images_of_another_size(key):
    with pytest.raises(ValueError, match=r"\(8, 8, 3\) after those of \(12, 12, 3\)"):
        unit_std(tiny_convnet(key), [images(2), images(2)[:, :8, :8]], "conv:0")


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_activations_that_are_not_finite(key, value):
    model = tiny_convnet(key)
    broken = images(3).at[2, 4, 4].set(value)
    batches = [images(3), broken]
    with pytest.raises(ValueError, match=r"'conv:0' is not finite .* 3 to 5"):
        unit_std(model, batches, "conv:0")
    # No unit varies, so that none would show in the features.
    std = {"conv:0": jnp.zeros((12, 12, 4))}
    with pytest.raises(ValueError, match=r"'conv:0' is not finite .* 3 to 5"):
        extract(model, batches, "conv:0", std)


def test_std_of_other_sites(key):
    model, x = tiny_convnet(key), images(2)
    std = unit_std(model, [x], "conv:0")
    with pytest.raises(ValueError, match="`std` has no 'relu:1', but 'conv:0'"):
        extract(model, [x], ["relu:1"], std)
    with pytest.raises(ValueError, match=r"shape \(12, 12, 4\) for 'conv:1'.*\(6, 6"):
        extract(model, [x], "conv:1", {"conv:1": std["conv:0"]})


def residual(x):
    """Two stages of blocks; the second begins on the map of the first."""
    kernels = [jnp.ones((1, 1, i, 4)) for i in (3, 4, 4, 4, 4)]
    with jax.named_scope("first"):
        x = jax.nn.relu(convolve(x, kernels[0]) + 1)
        x = jax.nn.relu(x + convolve(x, kernels[1]))
    with jax.named_scope("second"):
        inner = jax.nn.relu(convolve(x, kernels[2]))
        inner = convolve(inner, kernels[3], 2)
        x = jax.nn.relu(convolve(x, kernels[4], 2) + inner)
    return x.mean((1, 2), keepdims=True).reshape(len(x), 4)


def test_default_sites_are_before_the_last_relu_of_each_stage():
    found = default_sites(residual, images(2))
    assert found == ("second/add:0", "first/add:1")
    assert default_sites(residual, images(2), num=1) == ("second/add:0",)
    abstract = jax.ShapeDtypeStruct((1, 12, 12, 3), jnp.float32)
    assert default_sites(residual, abstract) == found
    recorded = xattr.record(residual, images(2), [*found, "second/relu:1"])
    assert jnp.array_equal(
        jax.nn.relu(recorded["second/add:0"]), recorded["second/relu:1"]
    )
    assert set(unit_std(residual, [images(2)], found)) == set(found)


def test_default_sites_without_a_relu():
    def smooth(x):
        x = jnp.tanh(convolve(x, jnp.ones((1, 1, 3, 4))))
        return jnp.tanh(convolve(x, jnp.ones((1, 1, 4, 4)), 2)).mean((1, 2))

    assert default_sites(smooth, images(2)) == ("tanh:1", "tanh:0")


def test_default_sites_where_every_map_has_another_beside_it():
    def parallel(x):
        left = jax.nn.relu(convolve(x, jnp.ones((1, 1, 3, 4))))
        right = convolve(x, jnp.ones((3, 3, 3, 4)))
        return left.mean((1, 2)) + right.mean((1, 2))

    assert default_sites(parallel, images(2)) == ("conv:1",)


def test_padding_makes_no_map():
    def padded(x):
        x = jax.nn.relu(convolve(x, jnp.ones((1, 1, 3, 4))))
        x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return convolve(x, jnp.ones((2, 2, 4, 4)), 2).mean((1, 2))

    assert default_sites(padded, images(2)) == ("conv:1", "conv:0")


def test_default_site_of_a_transformer():
    (name,) = default_sites(tiny_vit(), transformers.images(1))
    assert name.startswith("features/encoder/ln/")
    std = unit_std(tiny_vit(), [transformers.images(2)], name)
    assert std[name].shape == (2, 2, 8)


def test_a_model_without_maps():
    with pytest.raises(ValueError, match="no site with a spatial grid"):
        default_sites(lambda x: x.reshape(len(x), -1) @ jnp.ones((432, 2)), images(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "resnet50",
            (
                "features/layer4/2/add:0",
                "features/layer3/5/add:0",
                "features/layer2/3/add:0",
            ),
        ),
        (
            "mobilenet_v2",
            (
                "features/18/0/add:0",
                "features/14/conv/0/0/add:0",
                "features/7/conv/0/0/add:0",
            ),
        ),
    ],
)
def test_default_sites_of_known_networks(name, expected):
    from xattr.models import untrained

    model = xattr.from_nnx(untrained(name))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    assert default_sites(model, image) == expected


def test_features_are_the_same_from_a_file(tmp_path):
    levels = jnp.arange(24, dtype=jnp.uint8).reshape(2, 3, 2, 2)
    features = Features(levels, jnp.array([0.25, 3.0]))
    path = tmp_path / "conv.npz"
    save_features(path, features)
    found = load_features(path)
    assert found.levels.dtype == jnp.uint8
    assert jnp.array_equal(found.levels, levels)
    assert jnp.array_equal(found.step, features.step)
    save_features(path, features._replace(step=2 * features.step))
    assert jnp.array_equal(load_features(path).step, 2 * features.step)
    assert [file.name for file in tmp_path.iterdir()] == ["conv.npz"]


def test_a_file_that_was_not_finished_is_not_there(tmp_path, monkeypatch):
    path = tmp_path / "conv.npz"
    features = Features(jnp.ones((1, 2, 2, 1), jnp.uint8), jnp.ones(1))
    save_features(path, features)
    whole = path.read_bytes()

    def killed(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        save_features(path, features)
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ["conv.npz"]


def test_files_that_hold_no_features(tmp_path):
    path = tmp_path / "other.npz"
    with pytest.raises(FileNotFoundError):
        load_features(path)
    contents = [b"", b"text", b"PK\x03\x04 half a zip"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="holds no features"):
            load_features(path)
    np.savez(path, levels=np.ones((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="holds no features.*step"):
        load_features(path)
    np.savez(path, levels=np.ones((1, 2, 2, 3)), step=np.ones(2))
    with pytest.raises(ValueError, match=r"steps of \(2,\)"):
        load_features(path)
