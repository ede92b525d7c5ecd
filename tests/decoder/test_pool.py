import jax
import jax.numpy as jnp
import numpy as np

from xattr.decoder._pool import draw, empty, push


def filled(values, *, size):
    pool = empty({"w": jnp.zeros(2)}, size=size)
    for value in values:
        pool = push(pool, {"w": jnp.full(2, value)}, due=jnp.array(True))
    return pool


def test_the_oldest_leaves_first():
    pool = filled([1.0, 2.0, 3.0, 4.0, 5.0], size=3)
    np.testing.assert_array_equal(pool.members["w"][:, 0], [4, 5, 3])
    assert pool.pushed == 5


def test_nothing_is_put_in_before_its_time():
    pool = filled([1.0], size=2)
    same = push(pool, {"w": jnp.full(2, 9.0)}, due=jnp.array(False))
    np.testing.assert_array_equal(same.members["w"], pool.members["w"])
    assert same.pushed == 1


def drawn(pool, probability, n=400):
    latest = {"w": jnp.full(2, 9.0)}
    keys = jax.random.split(jax.random.key(0), n)
    found = jax.vmap(lambda key: draw(pool, latest, key, probability=probability))(keys)
    return np.asarray(found["w"][:, 0])


def test_an_empty_pool_gives_the_latest():
    np.testing.assert_array_equal(drawn(filled([], size=3), 1.0), 9)


def test_only_what_was_put_in_is_drawn_and_equally_often():
    values, counts = np.unique(
        drawn(filled([1.0, 2.0], size=5), 0.5), return_counts=True
    )
    np.testing.assert_array_equal(values, [1, 2, 9])
    # Five standard deviations of a count of 400 draws: a false alarm in a million.
    assert np.all(np.abs(counts - [100, 100, 200]) < 5 * np.sqrt(400 * 0.25))
