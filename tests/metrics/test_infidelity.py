from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import metrics_correlations as oracle
from xattr.metrics import infidelity

WEIGHTS = jax.random.normal(jax.random.key(3), (1, 12, 12, 3))


def linear(x):
    return (x * WEIGHTS).sum((1, 2, 3))[:, None]


def squares(key, image, fill, side):
    """One draw: side, row and column, each from its own key."""
    of_side, of_top, of_left = jax.random.split(key, 3)
    length = int(jax.random.randint(of_side, (), 1, side + 1))
    top = int(jax.random.randint(of_top, (), 0, 12 - length + 1))
    left = int(jax.random.randint(of_left, (), 0, 12 - length + 1))
    changed, weights = image.copy(), np.zeros((12, 12, 1))
    for y in range(top, top + length):
        for x in range(left, left + length):
            changed[y, x], weights[y, x] = fill[y, x], 1
    return changed, weights


def gaussian(key, image, fill, stddev):
    noise = stddev * np.asarray(jax.random.normal(key, image.shape, image.dtype))
    return image - noise, noise


def noisy_baseline(key, image, fill, stddev):
    start = fill + gaussian(key, 0 * image, fill, stddev)[1]
    return start, image - start


DRAWS = {
    "square": (squares, {"side": 5}),
    "gaussian": (gaussian, {"stddev": 0.3}),
    "noisy_baseline": (noisy_baseline, {"stddev": 0.3}),
}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("perturbation", DRAWS)
def test_it_is_the_loop_over_perturbations(perturbation, normalize, key):
    draw, options = DRAWS[perturbation]
    with jax.enable_x64(True):
        model = networks.tiny_convnet(key, dtype=jnp.float64)
        evaluate = jax.jit(lambda x: model(x))
        x, fill = (networks.images(2, seed=s, dtype=jnp.float64) for s in (0, 1))
        maps = 0.01 * networks.images(2, seed=2, dtype=jnp.float64)
        # One number per pixel counts for all of its channels.
        maps = maps if perturbation == "gaussian" else maps[..., :1]
        keys = jax.random.split(jax.random.key(5), 2)
        found = infidelity(
            model, x, maps, [1, 3], perturbation=perturbation, num_samples=8,
            baseline=fill, normalize=normalize, chunk_size=3, key=keys, **options,
        )  # fmt: skip
        for n, target in enumerate([1, 3]):

            def score(pixels, target=target):
                z = np.exp(np.asarray(evaluate(pixels[None])[0]))
                return z[target] / z.sum()

            draws = [
                draw(jax.random.fold_in(keys[n], s), np.array(x[n]), np.array(fill[n]),
                     *options.values())
                for s in range(8)
            ]  # fmt: skip
            changed, weights = (np.stack(part) for part in zip(*draws, strict=True))
            expected = oracle.infidelity(
                score, np.array(x[n]), np.array(maps[n]), changed, weights, normalize
            )
            np.testing.assert_allclose(found[n], expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("perturbation", "maps"),
    [
        ("square", lambda x: x * WEIGHTS),
        ("square", lambda x: (x * WEIGHTS).sum(-1)),
        ("gaussian", lambda x: jnp.broadcast_to(WEIGHTS, x.shape)),
        ("noisy_baseline", lambda x: jnp.broadcast_to(WEIGHTS, x.shape)),
    ],
)
def test_of_a_linear_model_the_right_map_has_none(perturbation, maps, key):
    x = networks.images(2)
    found = partial(
        infidelity,
        linear,
        x,
        perturbation=perturbation,
        num_samples=20,
        score=xattr.logit,
        key=key,
    )
    perfect, nothing = found(maps(x)), found(0 * maps(x))
    assert (perfect < 1e-6 * nothing).all()
    # The opposite says twice as much wrong as nothing does; a multiple is scaled back.
    np.testing.assert_allclose(found(-maps(x)), 4 * nothing, rtol=1e-4)
    assert (found(7 * maps(x), normalize=True) < 1e-5 * nothing).all()
    assert np.isnan(found(0 * maps(x), normalize=True)).all()


@pytest.mark.slow
@pytest.mark.parametrize("perturbation", DRAWS)
def test_nothing_but_the_image_and_its_key_counts(perturbation, key):
    model, x = networks.tiny_convnet(key), networks.images(3)
    keys = jax.random.split(key, 3)
    found = partial(infidelity, model, perturbation=perturbation, num_samples=5)
    whole = found(x, x, key=keys)
    for n in range(3):
        own = slice(n, n + 1)
        alone = found(x[own], x[own], key=keys[own], chunk_size=2)
        np.testing.assert_allclose(alone, whole[own], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"perturbation": "blur"}, ValueError, "'noisy_baseline', 'square'"),
        ({"num_samples": 0}, ValueError, "at least 1"),
        ({"side": 13}, ValueError, "`side=12`"),
        ({"side": 1.5}, TypeError, "whole number"),
        ({"stddev": 0.0}, ValueError, "`stddev=0.2`"),
        ({"key": None}, ValueError, "draws at random"),
        ({"maps": jnp.ones((1, 6, 6))}, ValueError, "resize"),
    ],
)
def test_errors_name_the_argument(options, error, message, key):
    x = networks.images(1)
    with pytest.raises(error, match=message):
        infidelity(linear, x, **({"maps": x, "key": key} | options))
