"""What every method of the table keeps to. A new method is one row of the table."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.division import divided, operations
from tests.methods import APART, CASES
from tests.networks import images, tiny_convnet
from xattr import testing

# One of each way to come to a map: what surrounds it they have in common.
FEW = {
    "gradient",
    "smoothgrad",
    "integrated_gradients",
    "grad_cam",
    "ablation_cam",
    "occlusion",
    "rise",
    "deeplift",
    "lrp",
}


def slow_cases_but(fast):
    """All methods; those that are not fast are run apart."""
    marks = {name: () if name in fast else pytest.mark.slow for name in CASES}
    return [pytest.param(CASES[n], id=n, marks=marks[n]) for n in CASES]


few_are_fast = pytest.mark.parametrize(
    "case", slow_cases_but(FEW), indirect=True, scope="module"
)


# Of the module's scope, so that all tests of one method come together, and most of the
# programs that they run are compiled once.
@pytest.fixture(scope="module", params=slow_cases_but(CASES.keys() - APART))
def case(request):
    return request.param


@pytest.fixture(scope="module")
def model(case):
    return case.model()


def key_for(case, seed=0):
    return jax.random.key(seed) if case.random else None


def test_shape_and_type(case, model):
    batch = case.images(3)
    maps = case.method(model, batch, case.targets, key=key_for(case))
    assert maps.dtype == jnp.float32
    assert bool(jnp.isfinite(maps).all())
    assert float(jnp.abs(maps).max()) > 0
    if case.grid is not None:
        assert maps.shape == (3, *case.grid)
    else:
        assert maps.shape in (batch.shape, (*batch.shape[:3], 1))


@pytest.mark.slow
def test_same_under_jit(case, model):
    testing.assert_same_under_jit(
        case.method, model, case.images(2), case.targets[:2], key=key_for(case)
    )


def test_a_batch_is_its_images_one_by_one(case, model):
    keys = jax.random.split(jax.random.key(3), 3) if case.random else None
    testing.assert_batch_independent(
        case.method, model, case.images(3), case.targets, keys=keys
    )


@few_are_fast
@pytest.mark.parametrize("chunk_size", [5, apart(2)])
def test_chunks_change_nothing(case, model, chunk_size):
    testing.assert_chunk_independent(
        case.method,
        model,
        case.images(3),
        case.targets,
        key=key_for(case),
        chunk_sizes=(chunk_size,),
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_does_not_depend_on_chunks(dtype):
    def linear(x):
        return x.sum((1, 2, 3))[:, None]

    ones = jnp.ones((2, 2, 2, 1), dtype)
    for size in (None, 1, 7):
        maps = xattr.integrated_gradients(linear, ones, num_steps=512, chunk_size=size)
        assert maps.dtype == dtype
        np.testing.assert_allclose(maps.astype(jnp.float32), 1, rtol=2e-2)


@few_are_fast
def test_same_key_same_map_another_key_another_map(case, model):
    first, again = (
        case.method(model, case.images(2), case.targets[:2], key=key_for(case))
        for _ in range(2)
    )
    assert jnp.array_equal(first, again)
    if case.random:
        other = case.method(
            model, case.images(2), case.targets[:2], key=key_for(case, 1)
        )
        assert not jnp.allclose(first, other)
        with pytest.raises(ValueError, match=r"`key` is None.*jax.random.key\(0\)"):
            case.method(model, case.images(2), case.targets[:2])


@few_are_fast
def test_no_target_means_the_predicted_class(case, model):
    batch = case.images(3, seed=2) + jnp.array([-2.0, 0.0, 2.0])[:, None, None, None]
    predicted = model(batch).argmax(1)
    assert len(set(predicted.tolist())) > 1
    by_default = case.method(model, batch, key=key_for(case))
    explicit = case.method(model, batch, predicted, key=key_for(case))
    np.testing.assert_allclose(by_default, explicit, rtol=1e-5, atol=1e-7)


def test_finite_on_constant_images(case, model):
    for value in (0.0, 0.5):
        plain = jnp.full_like(case.images(2), value)
        maps = case.method(model, plain, case.targets[:2], key=key_for(case))
        assert bool(jnp.isfinite(maps).all())


@few_are_fast
def test_compiles_once_for_new_weights_labels_images_and_keys(case):
    apply = case.model(0).apply
    traces = 0

    def counted(params, x):
        nonlocal traces
        traces += 1
        return apply(params, x)

    def run(seed):
        model = xattr.Model(counted, case.model(seed).params)
        labels = jnp.array([seed, 1])
        return case.method(
            model,
            case.images(2, seed=seed),
            labels,
            key=key_for(case, seed),
            chunk_size=2,
        )

    run(0)
    compiled = traces
    run(1)
    run(2)
    assert traces == compiled


@few_are_fast
def test_one_trace_under_the_callers_jit(case, model):
    chex.clear_trace_counter()

    def call(*args, **options):
        return case.method(*args, **options)

    traced = jax.jit(chex.assert_max_traces(1)(call))
    for seed in (0, 1):
        batch, targets, key = (
            case.images(2, seed=seed),
            case.targets[:2] + seed,
            key_for(case, seed),
        )
        expected = case.method(model, batch, targets, key=key)
        scale = float(jnp.abs(expected).max())
        found = traced(model, batch, targets, key=key)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


@few_are_fast
def test_keeps_the_type_of_its_images(case):
    with jax.enable_x64(True):
        model = case.model(1, jnp.float64)
        batch = case.images(2, dtype=jnp.float64)
        maps = case.method(model, batch, case.targets[:2], key=key_for(case))
        assert maps.dtype == jnp.float64


@pytest.mark.slow
def test_half_precision_is_nearly_full_precision(case):
    """The map in bfloat16 is that of the same network in float32, to rounding."""
    half = case.model(1, jnp.bfloat16)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), half.params)
    full = xattr.Model(half.apply, wide)
    batch = case.images(2, dtype=jnp.bfloat16)
    key = key_for(case)
    maps = case.method(half, batch, case.targets[:2], key=key)
    assert maps.dtype == jnp.bfloat16
    expected = case.method(full, batch.astype(jnp.float32), case.targets[:2], key=key)
    for found, wanted in zip(maps.astype(jnp.float32), expected, strict=True):
        assert bool(jnp.isfinite(found).all())
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.98


@few_are_fast
@pytest.mark.parametrize("kind", ["Auto", apart("Explicit")])
def test_sharded_images_give_the_same_map(case, model, kind):
    if kind == "Explicit" and case.name in NEED_AUTOMATIC_AXES:
        pytest.skip("it gathers or slices along the batch")
    axis_type = getattr(jax.sharding.AxisType, kind)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(axis_type,))
    batch = jax.device_put(case.images(2), jax.NamedSharding(mesh, jax.P("data")))
    expected = case.method(model, case.images(2), case.targets[:2], key=key_for(case))
    sharded = case.method(model, batch, case.targets[:2], key=key_for(case))
    np.testing.assert_allclose(sharded, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [xattr.integrated_gradients, xattr.feature_ablation])
def test_shards_that_are_mapped_by_hand(method):
    model = tiny_convnet(jax.random.key(1))

    def explain(images, targets):
        return method(model, images, targets, chunk_size=3)

    spread = jax.P("data")
    automatic = (jax.sharding.AxisType.Auto,)
    mapped = jax.shard_map(
        explain,
        mesh=jax.make_mesh((2,), ("data",), axis_types=automatic),
        in_specs=(spread, spread),
        out_specs=spread,
        check_vma=False,
    )
    np.testing.assert_allclose(
        jax.jit(mapped)(images(2), jnp.array([0, 3])),
        explain(images(2), jnp.array([0, 3])),
        rtol=1e-4,
        atol=1e-6,
    )


@few_are_fast
def test_perturbations_divided_among_devices(case, model):
    """Each of two devices takes half of them, of the same images."""

    def explain(images, targets, key):
        return case.method(model, images, targets, key=key)

    mapped = divided(explain)
    arguments = case.images(2), case.targets[:2], key_for(case)
    expected = explain(*arguments)
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(
        mapped(*arguments), expected, rtol=1e-5, atol=1e-5 * scale
    )
    joins = {"all_gather", "psum"} & set(operations(mapped, *arguments))
    assert bool(joins) == (case.name not in TAKE_ONE_STEP_AT_A_TIME)


# They have no perturbations, or each depends on the one before.
TAKE_ONE_STEP_AT_A_TIME = {
    "gradient",
    "input_x_gradient",
    "cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "grad_cam_elementwise",
    "xgrad_cam",
    "eigen_cam",
    "eigen_grad_cam",
    "shapley_cam",
    "opti_cam",
    "guided_integrated_gradients",
    "full_grad",
    "attention_rollout",
    "generic_attention",
    "transformer_attribution",
    "deeplift",
    "lrp",
    "deconvnet",
    "guided_backprop",
    "guided_grad_cam",
    "excitation_backprop",
    "contrastive_excitation_backprop",
    "extremal_perturbation",
}


# The newest JAX asks more of them than the oldest: these fail in one of the two.
NEED_AUTOMATIC_AXES = {
    "blur_integrated_gradients",
    "guided_integrated_gradients",
    "xrai",
    "layer_integrated_gradients",
    "full_grad",
    "deconvnet",
    "transformer_attribution",
    "cam",
    "grad_cam",
    "shapley_cam",
    "integrated_grad_cam",
    "ablation_cam",
    "occlusion",
    "feature_ablation",
    "lime",
    "kernel_shap",
    "hsic",
}


def test_bad_input_is_refused(case, model):
    with pytest.raises(ValueError, match=r"`images` is int32.*floating point"):
        case.method(model, jnp.zeros_like(case.images(2), int), key=key_for(case))
    with pytest.raises(ValueError, match="`chunk_size`=0; it must be at least 1"):
        case.method(
            model, case.images(2), case.targets[:2], key=key_for(case), chunk_size=0
        )
    with pytest.raises(ValueError, match="one row per image"):
        case.method(model, case.images(2), case.targets, key=key_for(case))
