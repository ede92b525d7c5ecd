"""Strictness is the default: no promotion of ranks, no silent change of type."""

import jax
import pytest
from jaxtyping import install_import_hook

with install_import_hook("xattr", "beartype.beartype"):
    import xattr  # noqa: F401

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def key() -> jax.Array:
    """A key that is the same in every run."""
    return jax.random.key(0)
