"""Strictness is the default: no promotion of ranks, no silent change of type."""

import itertools

import jax
import pytest
from jaxtyping import install_import_hook

with install_import_hook("xattr", "beartype.beartype"):
    import xattr  # noqa: F401

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

# Most time of the tests is the compiler's, for programs that run once. Those that
# are run apart have it optimize, so that what users run is tested as well.
_OPTIMIZED = ("slow", "browser", "parity")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice to compile every test's programs as users do."""
    parser.addoption("--optimized", action="store_true", help="compile in full")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Choose how programs are compiled before any fixture compiles one."""
    optimized = any(item.get_closest_marker(name) for name in _OPTIMIZED)
    plain = not (optimized or item.config.getoption("--optimized"))
    jax.config.update("jax_disable_most_optimizations", plain)


# Every compiled program holds mappings of memory, of which a process may have only so
# many: a run of thousands ends in the compiler's death.
_PROGRAMS_KEPT_FOR = 200
_tests = itertools.count(1)


@pytest.fixture(autouse=True)
def few_programs():
    """Forget compiled programs now and then."""
    yield
    if next(_tests) % _PROGRAMS_KEPT_FOR == 0:
        jax.clear_caches()


@pytest.fixture
def key() -> jax.Array:
    """A key that is the same in every run."""
    return jax.random.key(0)
