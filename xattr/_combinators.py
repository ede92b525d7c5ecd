"""From methods to methods: average, spread, product, magnitude, ensemble.

A combinator takes any method, with its hyperparameters bound by `functools.partial` if
it has some, and gives another of the same calling convention. Keyword arguments that
the combinator has no use for (`site`, `score`, `baseline`) go on to the inner method.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._bound import Bound, bound
from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Method, Predictor


def smoothgrad(
    method: Method, *, num_samples: int = 25, stddev: float = 0.15
) -> Method:
    r"""Mean of a method's maps over noisy copies of the image.

    $$ a = \tfrac1S \sum_{s=1}^{S} m(x + \epsilon_s), \qquad
       \epsilon_s \sim \mathcal N\big(0, \sigma^2 (\max x - \min x)^2\big) $$

    The class is the one predicted on the clean image; each sample has its own key.

    Args:
      method: any method $m$.
      num_samples: $S$, noisy copies per image.
      stddev: $\sigma$, the noise as a share of the image's own range of values; 0
        gives the inner method.

    Returns:
      A method that needs `key=` and returns maps as the inner one does.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.
      ValueError: if `num_samples` < 1 or `stddev` < 0.

    Example:
      >>> import xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None] * jnp.array([[2.0, 5.0]])
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> smooth = smoothgrad(xattr.gradient, num_samples=4)
      >>> smooth(model, x, jnp.array([1]), key=jax.random.key(0)).ravel()
      Array([5., 5.], dtype=float32)

    References:
      [smilkov2017smoothgrad], section 3.

    Notes:
      PAIR's code averages the squared maps unless told otherwise; the paper, and this,
      average the maps.
    """
    _check_noise(num_samples, stddev)
    return Bound(
        _smoothgrad, method=bound(method), num_samples=num_samples, stddev=stddev
    )


@compiled
def _smoothgrad(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    num_samples: int,
    stddev: float,
    key: Keys | None = None,
    chunk_size: int | None = None,
    **options: Any,
) -> Images:
    """Mean over samples."""
    rows = _noise_rows(model, images, targets, key, chunk_size)

    def evaluate(rows, index):
        images, targets, keys = _noisy(rows, index, stddev)
        return method(
            model, images, targets, key=keys, chunk_size=chunk_size, **options
        )

    together = _holds_arrays(method, options)
    total = _sum_samples(evaluate, rows, num_samples, chunk_size, together)
    return total / num_samples


def vargrad(method: Method, *, num_samples: int = 25, stddev: float = 0.15) -> Method:
    r"""How much a method's map varies over noisy copies of the image; never negative.

    $$ a = \tfrac1S \sum_s m(x + \epsilon_s)^2
           - \Big(\tfrac1S \sum_s m(x + \epsilon_s)\Big)^2 $$

    with the noise of `smoothgrad`.

    Args:
      method: any method $m$.
      num_samples: $S$, noisy copies per image.
      stddev: $\sigma$, the noise as a share of the image's own range of values.

    Returns:
      A method that needs `key=`; its maps are in squared units of the inner one's.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.
      ValueError: if `num_samples` < 1 or `stddev` < 0.

    Example:
      >>> import xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None] * jnp.array([[2.0, 5.0]])
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> spread = vargrad(xattr.gradient, num_samples=4)
      >>> spread(model, x, jnp.array([1]), key=jax.random.key(0)).ravel()
      Array([0., 0.], dtype=float32)

    References:
      [adebayo2018local], section 2.

    Notes:
      Sums are of differences from the map of the clean image, so that a small variance
      about a large mean is not lost to rounding.
    """
    _check_noise(num_samples, stddev)
    return Bound(_vargrad, method=bound(method), num_samples=num_samples, stddev=stddev)


@compiled
def _vargrad(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    num_samples: int,
    stddev: float,
    key: Keys | None = None,
    chunk_size: int | None = None,
    **options: Any,
) -> Images:
    """Variance over samples, from sums about the clean image's map."""
    rows = _noise_rows(model, images, targets, key, chunk_size)
    explain = functools.partial(method, model, chunk_size=chunk_size, **options)
    clean = explain(images, rows[1], key=rows[2])

    def evaluate(rows, index):
        noise_rows, clean = rows
        images, targets, keys = _noisy(noise_rows, index, stddev)
        change = explain(images, targets, key=keys) - clean
        return change, change**2

    together = _holds_arrays(method, options)
    sums = _sum_samples(evaluate, (rows, clean), num_samples, chunk_size, together)
    mean, mean_square = (total / num_samples for total in sums)
    return jnp.maximum(mean_square - mean**2, 0)


def times_input(method: Method) -> Method:
    r"""A method's map times the image: $a = x \odot m(x)$.

    Args:
      method: any method $m$ whose maps have the image's height and width.

    Returns:
      A method; a map of one channel gives one value per channel of the image.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.
      ValueError: (when called) if the maps are on another grid.

    Example:
      >>> import xattr
      >>> model = lambda x: (x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> times_input(xattr.gradient)(model, x).ravel()
      Array([18., 32.], dtype=float32)
    """
    return Bound(_times_input, method=bound(method))


@compiled
def _times_input(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    **options: Any,
) -> Images:
    """Map times image."""
    maps = method(model, images, targets, **options)
    if maps.ndim != images.ndim or maps.shape[:-1] != images.shape[:-1]:
        raise ValueError(
            f"`method` gives maps of shape {maps.shape} for images of shape "
            f"{images.shape}, which can't be multiplied. Resize them first: "
            f"`xattr.images.resize(maps, images.shape[1:3])[..., None] * images`."
        )
    return maps * images


def absolute(method: Method) -> Method:
    """A method's map without its signs: how much, not which way.

    Args:
      method: any method.

    Returns:
      A method whose maps are never negative.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.

    Example:
      >>> import xattr
      >>> model = lambda x: -(x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [-4.0]]]])
      >>> absolute(xattr.gradient)(model, x).ravel()
      Array([6., 8.], dtype=float32)
    """
    return Bound(_absolute, method=bound(method))


@compiled
def _absolute(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    **options: Any,
) -> Images:
    """Magnitude of the map."""
    return jnp.abs(method(model, images, targets, **options))


def ensemble(*methods: Method) -> Method:
    r"""Mean of several methods' maps: $a = \tfrac1M \sum_m a_m$.

    Maps are averaged as they are. Give methods whose maps are in one unit, such as
    one method with several settings.

    Args:
      *methods: methods whose maps have one shape.

    Returns:
      A method. Each of its parts gets its own key where one is given; keyword arguments
      go to all of them.

    Raises:
      TypeError: if a method is no function, or has positional arguments bound.
      ValueError: if none is given, or (when called) their maps differ in shape.

    Example:
      >>> import xattr
      >>> model = lambda x: (x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> ensemble(xattr.gradient, xattr.input_x_gradient)(model, x).ravel()
      Array([12., 20.], dtype=float32)
    """
    if not methods:
        raise ValueError(
            "`methods` is empty; give at least one, such as "
            "`ensemble(xattr.gradient, xattr.integrated_gradients)`."
        )
    return Bound(_ensemble, methods=tuple(map(bound, methods)))


@compiled
def _ensemble(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    methods: tuple[Method, ...],
    key: Keys | None = None,
    chunk_size: int | None = None,
    **options: Any,
) -> Images:
    """Mean over methods."""
    targets = resolve_targets(model, images, targets, chunk_size)
    keys = None if key is None else per_image(key, images.shape[0])
    maps = []
    for index, method in enumerate(methods):
        own = None if keys is None else _fold(keys, jnp.full(keys.shape, index))
        maps.append(
            method(model, images, targets, key=own, chunk_size=chunk_size, **options)
        )
    if len(shapes := {m.shape for m in maps}) > 1:
        raise ValueError(
            f"`methods` give maps of different shapes, {sorted(shapes)}; resize and "
            f"reduce them with `xattr.images` and average them by hand."
        )
    return sum(maps[1:], maps[0]) / len(maps)


def _check_noise(num_samples: int, stddev: float) -> None:
    if num_samples < 1:
        raise ValueError(f"`num_samples`={num_samples}; it must be at least 1.")
    if stddev < 0:
        raise ValueError(
            f"`stddev`={stddev}; it must be at least 0, a share of the image's range."
        )


def _holds_arrays(method: Method, options: dict[str, Any]) -> bool:
    return any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves((method, options)))


def _sum_samples(
    evaluate: Any, rows: PyTree, num: int, chunk_size: int | None, together: bool
) -> PyTree:
    """Sum over samples, of all images at a time where `together`.

    Arrays given to the inner method (segments, a baseline per image) may belong to the
    images of the batch, and chunks of pairs would lose which belongs to which.
    """
    if not together:
        return sum_all(evaluate, rows, num=num, chunk_size=chunk_size)
    n = jax.tree.leaves(rows)[0].shape[0]

    def sample(_, index):
        results = evaluate(rows, jnp.broadcast_to(index, (n,)))
        return jax.tree.map(lambda x: x[None], results)

    sums = sum_all(sample, jnp.zeros(1), num=num, chunk_size=1)
    return jax.tree.map(lambda x: x[0], sums)


def _noise_rows(
    model: Predictor,
    images: Images,
    targets: PyTree,
    key: Keys | None,
    chunk_size: int | None,
) -> tuple[Images, PyTree, Keys]:
    """What belongs to each image: itself, its class when clean, and its key."""
    keys = per_image(key, images.shape[0])
    return images, resolve_targets(model, images, targets, chunk_size), keys


def _noisy(
    rows: tuple[Images, PyTree, Keys], index: jax.Array, stddev: float
) -> tuple[Images, PyTree, Keys]:
    """Noisy copies of a chunk's images, and keys for what the inner method draws."""
    images, targets, keys = rows
    own = jax.vmap(jax.random.split)(_fold(keys, index))
    noise = jax.vmap(
        lambda key: jax.random.normal(key, images.shape[1:], images.dtype)
    )(own[:, 0])
    axes = tuple(range(1, images.ndim))
    extent = images.max(axes, keepdims=True) - images.min(axes, keepdims=True)
    return images + stddev * extent * noise, targets, own[:, 1]


def _fold(keys: Keys, index: jax.Array) -> Keys:
    """Each image's key folded with its own index."""
    return jax.vmap(jax.random.fold_in)(keys, index)
