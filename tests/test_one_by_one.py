import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr._one_by_one import one_by_one

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from xattr._one_by_one import one_by_one

x = np.random.default_rng(0).normal(size=(16, 49, 49)).astype("f4")
x, b = x @ x.transpose(0, 2, 1) + 5 * np.eye(49, dtype="f4"), np.ones((16, 49, 1), "f4")

@jax.jit
def many(x, b):
    values = [one_by_one(jnp.linalg.eigh, x + k)[0].sum() for k in range(24)]
    return values + [one_by_one(jnp.linalg.solve, x + k, b).sum() for k in range(24)]

for _ in range(30):
    results = many(x, b)
jax.block_until_ready(results)
"""


def symmetric():
    draws = np.random.default_rng(0).normal(size=(4, 6, 6)).astype("f4")
    return jnp.asarray(draws + draws.swapaxes(1, 2))


def test_results_are_those_of_the_batch():
    x = symmetric()
    for one, other in zip(
        one_by_one(jnp.linalg.eigvalsh, x), jnp.linalg.eigvalsh(x), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    right = jnp.ones((4, 6, 1))
    np.testing.assert_allclose(
        one_by_one(jnp.linalg.solve, x, right), jnp.linalg.solve(x, right), rtol=1e-3
    )


def test_on_a_cpu_no_call_is_for_a_batch():
    text = (
        jax.jit(lambda x: one_by_one(jnp.linalg.eigh, x)).lower(symmetric()).as_text()
    )
    (call,) = (line for line in text.splitlines() if "@lapack_ssyevd_ffi" in line)
    assert "tensor<6x6xf32>" in call
    assert "tensor<4x6x6xf32>" not in call


@pytest.mark.slow
def test_many_at_once_end():
    done = subprocess.run([sys.executable, "-c", SCRIPT], timeout=300)
    assert done.returncode == 0
