import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles.resample import bilinear
from xattr.images import STATUSES
from xattr.render import drawable, plain_name


def test_a_grid_is_resized_and_scaled():
    grid = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    out, states = drawable(jnp.asarray(grid)[None], (9, 10), percentile=100)
    expected = bilinear(grid, 9, 10)
    np.testing.assert_allclose(out[0], expected / np.abs(expected).max(), atol=1e-5)
    assert states.tolist() == [0]


def test_channels_are_summed():
    maps = jnp.array([[[[1.0, -3.0], [2.0, 2.0]]]])
    out, _ = drawable(maps, (1, 2), percentile=100)
    np.testing.assert_allclose(out[0], [[-0.5, 1.0]])


def test_the_largest_values_are_drawn_alike():
    maps = jnp.arange(1.0, 401.0).reshape(1, 20, 20)
    out, _ = drawable(maps, (20, 20))
    assert int((out == 1).sum()) in (4, 5)


@pytest.mark.parametrize(
    ("value", "state"), [(0.0, "all zero"), (jnp.nan, "not finite"), (1.0, "ok")]
)
def test_states(value, state):
    out, states = drawable(jnp.full((1, 2, 2, 3), value), (4, 4))
    assert STATUSES[int(states[0])] == state
    assert bool((out == 0).all()) == (state != "ok")


def test_channels_that_cancel_leave_nothing_to_draw():
    _, states = drawable(jnp.array([[[[1.0, -1.0]]]]), (1, 1))
    assert STATUSES[int(states[0])] == "all zero"


def test_half_precision_is_drawn():
    out, _ = drawable(jnp.ones((1, 2, 2), jnp.bfloat16), (4, 4))
    assert out.dtype == jnp.float32


def test_a_bad_map_leaves_the_others_alone():
    maps = jnp.ones((2, 2, 2)).at[0, 0, 0].set(jnp.inf)
    out, states = drawable(maps, (2, 2))
    assert states.tolist() == [2, 0]
    np.testing.assert_array_equal(out[1], jnp.ones((2, 2)))


def test_every_method_has_a_plain_name():
    from xattr.cli.methods import METHODS

    names = [plain_name(name) for name in METHODS]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "_" in name or name[0].islower()]
