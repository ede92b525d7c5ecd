import jax
import jax.numpy as jnp
import numpy as np

import xattr
from tests.networks import images, tiny_convnet


def test_equals_image_times_difference_quotients():
    with jax.enable_x64(True):
        model = tiny_convnet(jax.random.key(1), smooth=True, dtype=np.float64)
        x, step = images(1, dtype=np.float64), 1e-5
        run = jax.jit(model)
        maps = np.asarray(xattr.input_x_gradient(model, x, jnp.array([3])))
        for place in [(0, 0, 0), (5, 7, 2), (11, 11, 1)]:
            ends = [run(x.at[(0, *place)].add(sign * step))[0, 3] for sign in (1, -1)]
            slope = float(ends[0] - ends[1]) / (2 * step)
            wanted = float(x[(0, *place)]) * slope
            np.testing.assert_allclose(maps[(0, *place)], wanted, rtol=1e-5)


def test_sums_to_the_score_without_biases_and_not_with_them():
    x, targets = images(3), jnp.array([0, 1, 2])
    for bias in (False, True):
        model = tiny_convnet(jax.random.key(1), bias=bias)
        sums = xattr.input_x_gradient(model, x, targets).sum((1, 2, 3))
        error = np.abs(sums - model(x)[jnp.arange(3), targets]).max()
        assert (error > 0.05) == bias
        assert bias or error < 1e-5


def test_tables_are_explained_too():
    weights = jnp.array([[2.0], [5.0]])
    maps = xattr.input_x_gradient(lambda x: x @ weights, jnp.array([[3.0, 4.0]]))
    np.testing.assert_array_equal(maps, [[6.0, 20.0]])
