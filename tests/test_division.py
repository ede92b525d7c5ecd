"""One image's perturbations on several devices."""

import itertools
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.division import divided, equations
from tests.networks import images, tiny_convnet
from xattr._chunking import evaluate_all, evaluate_sharing, sum_all


def evaluate(rows, index):
    """Results of several types, each of its own image and perturbation."""
    scaled = rows.sum((1, 2, 3)) * (index + 1)
    return {"score": scaled, "index": index, "odd": index % 2 == 1, "map": rows * 2}


def share(row):
    total = row.sum()
    return lambda index: (total * (index + 1), index)


PAIRS = itertools.product([None, 1, 3], [1, 2, 5, 8])
FAST = {(None, 5), (1, 1), (3, 8)}
NUMBERS = [pair if pair in FAST else apart(*pair) for pair in PAIRS]


@pytest.mark.parametrize(("chunk_size", "num"), NUMBERS)
def test_all_perturbations_in_their_order(num, chunk_size):
    def everything(images, *_):
        options = {"num": num, "chunk_size": chunk_size}
        return (
            evaluate_all(evaluate, images, **options),
            evaluate_sharing(share, images, **options),
        )

    found, expected = divided(everything)(images(3)), everything(images(3))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), found, expected)
    assert found[0]["index"][0].tolist() == list(range(num))


@pytest.mark.parametrize(("chunk_size", "num"), NUMBERS)
def test_each_perturbation_is_summed_once(num, chunk_size):
    def total(images, *_):
        found = sum_all(evaluate, images, num=num, chunk_size=chunk_size)
        return {name: x.astype(jnp.float32) for name, x in found.items()}

    found = divided(total)(images(3))
    assert found["index"].tolist() == [num * (num - 1) / 2] * 3
    np.testing.assert_allclose(found["map"], 2 * num * images(3), rtol=1e-6)


def test_sums_of_half_precision_are_joined_in_single_precision():
    def total(images, *_):
        return sum_all(
            lambda rows, index: jnp.where(index == 0, 256, 0.75) + 0 * rows[:, 0],
            images,
            num=4,
        )

    rows = jnp.zeros((1, 1), jnp.bfloat16)
    # Sums are 256.75 on one device and 1.5 on the other: 258.25, or 258 in bfloat16.
    # Rounded before they are joined, they would be 256 and 1.5, which is 257.5.
    found = divided(total)(rows)
    assert found.dtype == jnp.bfloat16
    assert found.tolist() == [258]


@pytest.mark.parametrize(("shape", "turns"), [((2, 1), {8}), ((1, 2), {4})])
def test_each_device_does_its_part(shape, turns):
    def explain(images, targets, _):
        return xattr.integrated_gradients(
            model, images, targets, num_steps=8, chunk_size=1
        )

    model = tiny_convnet(jax.random.key(1))
    program = divided(explain, shape)
    batch = (images(2)[: shape[0]], jnp.array([0, 3])[: shape[0]])
    found = list(equations(program, *batch))
    lengths = {e.params["length"] for e in found if e.primitive.name == "scan"}
    assert lengths == turns
    joins = {"psum", "psum_invariant", "all_gather", "all_reduce"}
    over = {str(e.params) for e in found if e.primitive.name in joins}
    assert all("data" not in text for text in over)
    assert bool(over) == (shape == (1, 2))


def test_a_method_in_a_method_is_divided_once():
    """The samples of SmoothGrad are, the steps inside of each are not."""
    model = tiny_convnet(jax.random.key(1))
    inner = jax.jit(
        lambda model, images, targets, **options: xattr.integrated_gradients(
            model, images, targets, num_steps=3, key=options["key"]
        )
    )

    def both(images, targets, key):
        """The inner method alone as well, before and after: no program is mixed up."""
        method = xattr.smoothgrad(inner, num_samples=5)
        alone = inner(model, images, targets, key=key)
        return alone, method(model, images, targets, key=key), alone

    arguments = images(2), jnp.array([0, 3]), jax.random.key(0)
    found, expected = divided(both)(*arguments), both(*arguments)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_types_that_vary_are_refused():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    model = tiny_convnet(jax.random.key(1))
    mapped = jax.shard_map(
        lambda x: xattr.grad_cam(model, x, site="relu:1"),
        mesh=mesh,
        in_specs=jax.P("data"),
        out_specs=jax.P("data"),
    )
    with pytest.raises(ValueError, match="grad_cam needs `check_vma=False`"):
        mapped(images(2))


FOUR_DEVICES = """
import re, jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
import xattr
from tests.apart import apart
from tests.division import divided
from tests.networks import images, tiny_convnet
model = tiny_convnet(jax.random.key(1))
def explain(images, targets, keys):
    return (
        xattr.rise(model, images, targets, num_masks=7, grid=3, key=keys),
        xattr.occlusion(model, images, targets, window=3, stride=2),
        xattr.lime(model, images, targets, grid=(4, 2), num_samples=41, key=keys),
    )
keys = jax.random.split(jax.random.key(5), 2)
arguments = images(4), jnp.full(4, 1), None
program = divided(lambda images, targets, _: explain(images, targets, keys), (2, 2))
found = program(*arguments)
halves = [explain(images(4)[k : k + 2], jnp.full(2, 1), keys) for k in (0, 2)]
expected = jax.tree.map(lambda *x: jnp.concatenate(x), *halves)
for one, other in zip(found, expected):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
text = program.lower(*arguments).compile().as_text()
groups = set(re.findall(r"replica_groups=(\\{\\{.*?\\}\\}|[^ ]*),", text))
print(sorted(groups), len(re.findall("all-to-all|collective-permute", text)))
"""


@pytest.mark.slow
def test_two_by_two_devices_join_in_pairs():
    """No collective crosses the axis of the images."""
    done = subprocess.run(
        [sys.executable, "-c", FOUR_DEVICES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("['{{0,1},{2,3}}'] 0", "['[2,2]<=[4],'] 0")
