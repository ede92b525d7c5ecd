import re
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import xattr
from tests.networks import images, tiny_convnet


def names(model, batch):
    return [site.name for site in xattr.sites(model, batch)]


def axes(model, batch):
    return {site.name: site.axes for site in xattr.sites(model, batch)}


def test_plain_function_names_operations_in_program_order(key):
    found = xattr.sites(tiny_convnet(key), images(2))
    assert [s.name for s in found if s.operation in ("conv", "relu", "dot")] == [
        "conv:0",
        "relu:0",
        "conv:1",
        "relu:1",
        "dot:0",
    ]
    relu = next(s for s in found if s.name == "relu:1")
    assert (relu.shape, relu.dtype, relu.axes) == ((2, 6, 6, 6), jnp.float32, "nhwc")


def test_sites_are_read_without_running():
    abstract = jax.ShapeDtypeStruct((2, 4), jnp.float32)
    assert names(lambda x: jnp.tanh(x), abstract) == ["tanh:0"]


def test_values_that_do_not_depend_on_images_are_no_sites():
    weights = jnp.ones((4, 3))
    assert names(lambda x: x @ jnp.exp(weights), jnp.ones((2, 4))) == ["dot:0"]


class Block(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 3, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return x + self.drop(nnx.relu(self.norm(self.conv(x))))


class Net(nnx.Module):
    def __init__(self, rngs):
        self.features = nnx.Sequential(Block(rngs), nnx.relu, Block(rngs))
        self.shared = nnx.Conv(3, 3, (1, 1), rngs=rngs)
        self.head = nnx.Linear(3, 5, rngs=rngs)

    def __call__(self, x):
        x = self.features(x)
        x = self.shared(jnp.tanh(self.shared(x)))
        return self.head(x.mean((1, 2)))


class ChannelsFirst(eqx.Module):
    conv: eqx.nn.Conv2d
    head: eqx.nn.Linear

    def __call__(self, x):
        return self.head(jax.nn.relu(self.conv(x)).mean((1, 2)))


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), name="stem")(x))
        x = nn.remat(nn.Conv)(4, (3, 3), name="remat")(x)
        return nn.Dense(5, name="head")(x.mean((1, 2)))


def nnx_model():
    return xattr.from_nnx(Net(nnx.Rngs(0)))


def linen_model():
    module = Linen()
    return xattr.from_linen(module, module.init(jax.random.key(0), images(1)))


def per_image(module, x):
    return jax.vmap(module)(x)


def equinox_model():
    keys = jax.random.split(jax.random.key(0))
    module = ChannelsFirst(
        eqx.nn.Conv2d(3, 4, 3, key=keys[0]), eqx.nn.Linear(4, 5, key=keys[1])
    )
    return xattr.from_function(per_image, module)


def keras_model(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, layers.Dense(5, name="head")(x))
    params = (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
    )

    def apply(params, x):
        return model.stateless_call(*params, x)[0]

    return xattr.from_function(apply, params)


def test_nnx_modules_are_named_by_their_paths():
    model = nnx_model()
    by_module = {m: s for s in xattr.sites(model, images(2)) for m in s.modules}
    assert by_module["features/layers/0/conv"].name == "features/layers/0/conv/add:0"
    assert by_module["features/layers/2"].name == "features/layers/2/add:0"
    assert by_module["features"].name == "features/layers/2/add:0"
    assert by_module["features/layers/0/norm"].axes == "nhwc"
    assert by_module["head"].axes == "nc"


def test_nnx_module_is_left_untouched_and_put_in_evaluation_mode():
    module = Net(nnx.Rngs(0))
    before = nnx.split(module)
    model = xattr.from_nnx(module)
    first, second = model(images(2)), model(images(2))
    assert jnp.array_equal(first, second)  # dropout is off
    first_block = module.features.layers[0]
    assert isinstance(first_block, Block)
    assert not first_block.drop.deterministic
    after = nnx.split(module)
    assert before[0] == after[0]
    assert type(first_block) is Block


def test_shared_module_is_ambiguous_by_path_and_clear_by_name():
    model, batch = nnx_model(), images(2)
    with pytest.raises(
        ValueError, match=r"several outputs: 'shared/add:0', 'shared/add"
    ):
        xattr.record(model, batch, "shared")
    first = xattr.record(model, batch, "shared/add:0")["shared/add:0"]
    assert first.shape == (2, 12, 12, 3)


def test_linen_modules_are_named_by_their_paths():
    by_module = {
        m: s.name for s in xattr.sites(linen_model(), images(2)) for m in s.modules
    }
    assert by_module["Linen/stem"] == "Linen/stem/add:0"
    assert by_module["Linen/remat"] == "Linen/remat/add:0"


def test_vmapped_channels_first_equinox_has_its_axes_read():
    model, batch = equinox_model(), images(2).transpose(0, 3, 1, 2)
    assert axes(model, batch)["relu:0"] == "nchw"
    assert axes(model, batch)["eqx.nn.Linear/add:0"] == "nc"


def test_keras_on_jax(monkeypatch):
    with jax.numpy_rank_promotion("allow"):
        model, batch = keras_model(monkeypatch), images(2)
        by_module = {m: s for s in xattr.sites(model, batch) for m in s.modules}
        maps = xattr.grad_cam(model, batch, site="first")
    assert by_module["first"].operation == "relu"
    assert by_module["norm"].axes == "nhwc"
    assert maps.shape == (2, 10, 10)


MODELS = {
    "plain": lambda: tiny_convnet(jax.random.key(0)),
    "nnx": nnx_model,
    "linen": linen_model,
}


@pytest.mark.parametrize("kind", MODELS)
def test_names_and_axes_are_the_same_for_every_batch_size_and_under_jit(kind):
    model = MODELS[kind]()
    expected = axes(model, images(3))
    assert axes(model, images(1)) == expected
    assert axes(model, images(7)) == expected
    assert axes(jax.jit(model), images(3)) == expected


def test_equinox_names_are_the_same_for_every_batch_size():
    model = equinox_model()
    one, many = (axes(model, jnp.ones((n, 3, 12, 12))) for n in (1, 5))
    assert {"eqx.nn.Conv/conv:0", "relu:0", "eqx.nn.Linear/add:0"} <= one.keys()
    assert one == many


def channels_first(x):
    kernel = jnp.ones((4, 3, 3, 3))
    y = jax.lax.conv(x, kernel, (1, 1), "SAME")
    y = jax.lax.reduce_window(
        jnp.maximum(y, 0), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
    )
    return y.transpose(0, 2, 3, 1).reshape(len(x), -1)


def test_axes_follow_convolutions_pooling_and_transposes():
    found = axes(channels_first, jnp.ones((2, 3, 8, 8)))
    assert found["conv:0"] == found["relu:0"] == found["max_pool:0"] == "nchw"
    assert found["transpose:0"] == "nhwc"
    assert found["reshape:0"] == "n?"


def test_activations_are_one_operation():
    def model(x):
        return sum(
            f(x) for f in (jax.nn.relu, jax.nn.relu6, jax.nn.silu, jax.nn.leaky_relu)
        ) + jnp.maximum(x, 0)

    kinds = [s.operation for s in xattr.sites(model, jnp.ones((2, 3)))]
    assert [k for k in kinds if k != "add"] == [
        "relu",
        "relu6",
        "silu",
        "leaky_relu",
        "relu",
    ]


@jax.custom_vjp
def doubled_gradient(x):
    return jnp.sin(x)


doubled_gradient.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2 * g * jnp.cos(x),))


@jax.custom_jvp
def tripled_gradient(x):
    return jnp.cos(x)


tripled_gradient.defjvp(
    lambda primals, tangents: (
        jnp.cos(primals[0]),
        -3 * jnp.sin(primals[0]) * tangents[0],
    )
)


def looping(x):
    x, _ = jax.lax.scan(lambda c, _: (jax.nn.relu(c) * 2, None), x, None, length=2)
    x = jax.lax.cond(x.sum() > 0, jnp.sinh, jnp.cosh, x)
    _, x = jax.lax.while_loop(
        lambda s: s[0] < 2, lambda s: (s[0] + 1, jnp.tanh(s[1])), (0, x)
    )
    return tripled_gradient(doubled_gradient(x))


@pytest.mark.parametrize(
    ("inside", "operation"),
    [
        ("relu:0", "scan:0"),
        ("sinh:0", "cond:0"),
        ("cosh:0", "cond:0"),
        ("tanh:0", "while:0"),
        ("sin:0", "custom_vjp:0"),
        ("cos:0", "custom_jvp:0"),
    ],
)
def test_loops_and_custom_derivatives_are_one_operation(inside, operation):
    x = jnp.ones((2, 3))
    assert operation in names(looping, x)
    edited = xattr.edit(looping, {inside: jnp.negative})
    with pytest.raises(
        ValueError, match=re.escape(f"{inside!r} is inside '{operation}'")
    ):
        edited(x)


def test_axes_are_carried_through_loops():
    def model(x):
        y = jax.lax.conv_general_dilated(
            x,
            jnp.ones((3, 3, 3, 3)),
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        y, _ = jax.lax.scan(lambda c, _: (jax.nn.relu(c), None), y, None, length=2)
        return jax.lax.cond(True, jnp.sin, jnp.cos, y)

    found = axes(model, images(2))
    assert found["scan:0"] == "nhwc"
    assert found["cond:0"] == "nhwc"


def transposing(x):
    y = jax.lax.conv_general_dilated(
        x,
        jnp.ones((3, 3, 3, 3)),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )

    def turned(carry):
        return carry.transpose(0, 2, 1, 3)

    carried, _ = jax.lax.scan(lambda c, _: (turned(c), None), y, None, length=3)
    mapped = jax.lax.map(lambda image: jnp.tanh(image.transpose(1, 0, 2)), y)
    _, looped = jax.lax.while_loop(
        lambda s: s[0] < 1, lambda s: (s[0] + 1, turned(s[1])), (0, y)
    )
    branched = jax.lax.cond(x.sum() > 0, turned, jnp.sin, y)
    return carried + mapped + looped + branched


def test_loops_that_turn_their_state_have_no_known_axes_but_those_that_stay():
    found = axes(transposing, images(2))
    assert found["scan:0"] == "n??c"
    assert found["scan:1"] == "nwhc"
    assert found["while:0"] == "n??c"
    assert found["cond:0"] == "n??c"


def test_edited_operations_have_names_of_their_own(key):
    model, batch = tiny_convnet(key), images(2)
    edited = xattr.edit(model, {"relu:0": jax.nn.relu})
    shapes = {s.name: s.shape for s in xattr.sites(edited, batch)}
    assert shapes["relu:1"] == (2, 6, 6, 6)
    assert shapes["edit/relu:0"] == (2, 12, 12, 4)


def test_a_users_function_named_like_an_activation_says_what_it_hides():
    @jax.jit
    def gelu(x):
        return jnp.tanh(jnp.exp(x))

    with pytest.raises(ValueError, match=r"'tanh:0' is inside 'gelu:0'"):
        xattr.record(gelu, jnp.ones((2, 3)), "tanh:0")


def test_a_users_function_named_conv_is_read():
    @jax.jit
    def conv(x):
        return jnp.tanh(jnp.exp(x))

    assert names(conv, jnp.ones((2, 3))) == ["exp:0", "tanh:0"]


def test_an_nnx_module_is_refused_in_training_mode():
    module = Net(nnx.Rngs(0))
    with pytest.raises(TypeError, match=r"`xattr.from_nnx\(model\)`"):
        xattr.sites(module, images(2))
    with pytest.raises(TypeError, match=r"`xattr.from_nnx\(model\)`"):
        xattr.edit(module, {"relu:0": jnp.abs})(images(2))


def test_a_replacement_must_be_an_array():
    nothing: Any = lambda a: None  # noqa: E731
    edited = xattr.edit(jnp.sin, {"sin:0": nothing})
    with pytest.raises(TypeError, match="`site`='sin:0' returned a NoneType"):
        edited(jnp.ones((2, 3)))


def test_custom_derivatives_survive_reading():
    def model(x):
        return tripled_gradient(doubled_gradient(jnp.exp(x)))

    x = jnp.array([[0.3, 0.5]])
    edited = xattr.edit(model, {"exp:0": lambda a: a})
    expected = jax.grad(lambda x: model(x).sum())(x)
    assert jnp.allclose(jax.grad(lambda x: edited(x).sum())(x), expected, rtol=1e-6)


def test_inside_remat_and_jit_can_be_edited():
    inner = jax.jit(lambda x: jnp.exp(x) + 1)

    def model(x):
        return jax.checkpoint(lambda y: jnp.tanh(inner(y)))(x)

    x = jnp.ones((2, 3))
    edited = xattr.edit(model, {"exp:0": lambda a: 0 * a})
    assert jnp.allclose(edited(x), jnp.tanh(1.0))
    assert jnp.allclose(jax.jit(edited)(x), jnp.tanh(1.0))


def test_reused_jitted_function_is_read_at_each_use():
    halved = jax.jit(lambda x: jax.nn.relu(x) / 2)

    def model(x):
        return halved(halved(x) + 4)

    x = jnp.array([[4.0, -4.0]])
    found = xattr.record(model, x, ["relu:0", "relu:1"])
    assert found["relu:0"].tolist() == [[4.0, 0.0]]
    assert found["relu:1"].tolist() == [[6.0, 4.0]]
    edited = xattr.edit(model, {"relu:1": jnp.zeros_like})
    assert edited(x).tolist() == [[0.0, 0.0]]


def test_unknown_site_lists_the_nearest(key):
    with pytest.raises(ValueError, match=r"'relu:9' is not a site.*'relu:[01]'"):
        xattr.record(tiny_convnet(key), images(1), "relu:9")


def test_edit_must_keep_shape_and_type(key):
    edited = xattr.edit(tiny_convnet(key), {"relu:0": lambda a: a[..., :1]})
    with pytest.raises(ValueError, match=r"`site`='relu:0' returned .*must keep shape"):
        edited(images(1))


def test_several_sites_in_one_pass(key):
    found = xattr.record(tiny_convnet(key), images(2), ["relu:1", "conv:0", "relu:1"])
    assert set(found) == {"relu:1", "conv:0"}


def test_edits_compose(key):
    model, batch = tiny_convnet(key), images(2)
    once = xattr.edit(model, {"relu:0": lambda a: 2 * a})
    twice = xattr.edit(once, {"conv:1": lambda a: a - 1})
    together = xattr.edit(model, {"relu:0": lambda a: 2 * a, "conv:1": lambda a: a - 1})
    assert jnp.allclose(twice(batch), together(batch), rtol=1e-6)
