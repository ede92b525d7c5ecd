"""The memory that chunks may take, chosen by the caller."""

import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from xattr._budget import memory_budget


@pytest.fixture(scope="module")
def model():
    return tiny_convnet(jax.random.key(1))


def explain(model, batch):
    return xattr.integrated_gradients(model, batch, num_steps=16)


def chunks(caplog, call):
    """Sizes of the chunks of what is traced by a call; its result."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="xattr"):
        result = call()
    lines = [r for r in caplog.records if r.getMessage().startswith("chunks of")]
    return [r.args[0] for r in lines if r.args and r.args[1] != 2], result


def test_a_smaller_budget_makes_smaller_chunks(model, caplog):
    jax.clear_caches()
    whole, expected = chunks(caplog, lambda: explain(model, images(2)))
    with xattr.chunk_memory(100_000):
        small, found = chunks(caplog, lambda: explain(model, images(2)))
    assert whole == [32]
    assert 1 <= small[0] < 32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    with xattr.chunk_memory(1):
        assert chunks(caplog, lambda: explain(model, images(2)))[0] == [1]


def test_programs_of_other_budgets_are_kept_apart(model, caplog):
    """Each budget is traced once, in a program of the caller's as well."""
    for call in (explain, jax.jit(explain)):
        jax.clear_caches()
        explained = partial(call, model, images(2))
        for expected in ([32], []):
            assert chunks(caplog, explained)[0] == expected
        for expected in ([1], []):
            with xattr.chunk_memory(1):
                assert chunks(caplog, explained)[0] == expected


def test_the_budget_ends_with_its_block():
    before = memory_budget()
    with xattr.chunk_memory(1000):
        assert memory_budget() == memory_budget(least=10**6) == 1000
        with xattr.chunk_memory(2000):
            assert memory_budget() == 2000
        assert memory_budget() == 1000
    with pytest.raises(KeyError), xattr.chunk_memory(1000):
        raise KeyError
    assert memory_budget() == before


def test_wrong_budgets_are_refused():
    with pytest.raises(ValueError, match="`num_bytes`=0; it must be at least 1"):
        with xattr.chunk_memory(0):
            pass
    with pytest.raises(TypeError, match=r"`num_bytes`=1\.5 is a float"):
        with xattr.chunk_memory(1.5):  # type: ignore[arg-type]
            pass


def test_chunk_size_goes_before_it(model):
    with xattr.chunk_memory(1):
        maps = xattr.gradient(model, images(2), jnp.array([0, 1]), chunk_size=2)
    assert maps.shape == images(2).shape
