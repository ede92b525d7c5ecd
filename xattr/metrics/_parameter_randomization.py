"""Parameter randomization: whether a map changes when what was learnt is destroyed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._similarity import Similarity, spearman
from xattr.program import Layer, parameter_layers

Order = Literal["cascading", "bottom_up", "independent"]

# What a key is folded with to draw other things than a method does, which folds it with
# the position of an image or the number of a sample.
APART = 2**32 - 1

# A new array in the place of a learnt one, from a key.
Draw = Callable[[Keys, Inexact[Array, "..."]], Inexact[Array, "..."]]


class Randomization(NamedTuple):
    """How alike the maps of a model and of its randomized forms are.

    Attributes:
      layers: name of the layer that is randomized last, or alone, in each stage.
      similarity: of the two maps of each image, in each stage.
    """

    layers: tuple[str, ...]
    similarity: Float[Array, "n s"]


@jax.jit
def normal_like(
    key: Keys, weights: Inexact[Array, "*shape"]
) -> Inexact[Array, "*shape"]:
    """Normal numbers of the mean and standard deviation of an array.

    Where none of its entries is negative (the variances of a batch norm), their
    absolute values.
    """
    wide = weights.astype(jnp.promote_types(weights.dtype, jnp.float32))
    drawn = jax.random.normal(key, wide.shape, wide.dtype) * wide.std() + wide.mean()
    drawn = jnp.where((wide >= 0).all(), jnp.abs(drawn), drawn)
    return drawn.astype(weights.dtype)


@jax.jit
def permuted(key: Keys, weights: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """The entries of an array in random order."""
    flat = jax.random.permutation(key, weights.reshape(-1))
    return flat.reshape(weights.shape)


def parameter_randomization(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    order: Order = "cascading",
    similarity: Similarity = spearman,
    absolute: bool = False,
    num_stages: int | None = None,
    draw: Draw = normal_like,
    key: Keys | None = None,
) -> Randomization:
    r"""Similarity of the maps of a model and of the same with random parameters.

    $$ \rho_s = \mathrm{similarity}\big(a(x; \theta), a(x; \theta_s)\big) $$

    with $a$ the map and $\theta_s$ the parameters of which some layers' are drawn anew.
    A map that explains the model must change with it. The class explained stays the one
    chosen on the model as it is.

    Args:
      method: called as `method(model, images, targets, key=keys)`; hyperparameters are
        bound before, `functools.partial(xattr.grad_cam, site="relu:1")`.
      model: function from a batch of images to outputs, its parameters as data:
        `xattr.from_function(apply, params)`, for example.
      images: images to explain, in the units that the model takes.
      targets: what the method's score selects; when None, the classes predicted on the
        images.
      order: `cascading`, each stage one more layer from the outputs down to the images;
        `bottom_up`, the same from the images up; or `independent`, one layer at a time,
        from the outputs down.
      similarity: of two maps of each image: `spearman`, `pearson`, `cosine`, `ssim` or
        `hog_pearson`, or another function of two maps.
      absolute: compare absolute values, for which a change of sign is none.
      num_stages: how many of the stages, evenly spaced, the first and the last among
        them; all when None. Layers in between are still randomized.
      draw: new weights of an array, from a key and the array: `normal_like` or
        `permuted`, or another function.
      key: one key. New weights depend on it and on the place of the array alone, so
        that stages share them; the method gets one key per image, the same each time.

    Returns:
      One similarity per image and stage; the lower, the better. Not a number where a
      map is not finite, or constant.

    Raises:
      TypeError: if `num_stages` is no whole number.
      ValueError: if `key` is None or not one key, `order` is unknown, the model has no
        parameters, or `num_stages` is more than there are layers.

    Example:
      >>> import jax, xattr
      >>> model = xattr.from_function(lambda w, x: x @ w, jnp.array([[1.0], [2.0]]))
      >>> x = jnp.ones((1, 2))
      >>> draw = lambda key, weights: -weights
      >>> options = dict(draw=draw, key=jax.random.key(0))
      >>> parameter_randomization(xattr.gradient, model, x, **options).similarity
      Array([[-1.]], dtype=float32)

    References:
      [adebayo2018sanity]; [hedstrom2023quantus], for its names of orders.

    Notes:
      The paper draws from the initializers that the network was trained from, and
      Quantus calls torch's `reset_parameters`, by which batch norms lose their
      statistics. A model that is a function has no initializers: here each array keeps
      its mean and standard deviation, or, with `permuted`, its very entries.

      Layers are the modules that have parameters, see `xattr.program.parameter_layers`,
      in the order in which the program uses them; Quantus takes the order in which they
      were defined. The paper goes by blocks in Inception v3.

      Quantus compares absolute values divided by their maximum, summed over channels by
      whoever gives the method. Division changes none of the similarities here.
    """
    ordered, stages = _ordered(model, images, order, num_stages)
    keys = per_image(key, images.shape[0])
    if key is None or key.shape != ():
        raise ValueError(
            "`key` holds one key per image, but the new weights are the same for all; "
            "it must be one key: `key=jax.random.key(0)`."
        )
    weights_key = jax.random.fold_in(key, APART)
    targets = clean_targets(model, images, targets)

    def explain(model: Predictor) -> Array:
        maps = method(model, images, targets, key=keys)
        return jnp.abs(maps) if absolute else maps

    clean = explain(model)
    changed = _randomized(model, ordered, order, draw, weights_key)
    found = [
        similarity(clean, explain(model))
        for stage, model in enumerate(changed)
        if stage in stages
    ]
    names = tuple(ordered[stage].name for stage in stages)
    return Randomization(names, jnp.stack(found, axis=1))


@compiled
def clean_targets(model: Predictor, images: Images, targets: PyTree) -> PyTree:
    """Targets as given, or the classes that the model predicts on these images."""
    return resolve_targets(model, images, targets)


def randomized_layers(
    model: Predictor,
    images: Images,
    *,
    order: Order = "cascading",
    num_stages: int | None = None,
) -> tuple[str, ...]:
    """The layers of `parameter_randomization`'s stages, without computing them.

    Arguments and errors are its own; `images` may be abstract.

    Example:
      >>> import xattr
      >>> model = xattr.from_function(lambda p, x: x @ p["w"], {"w": jnp.ones((2, 1))})
      >>> randomized_layers(model, jnp.ones((1, 2)))
      ('w',)
    """
    ordered, stages = _ordered(model, images, order, num_stages)
    return tuple(ordered[stage].name for stage in stages)


def _ordered(
    model: Predictor, images: Images, order: Order, num_stages: int | None
) -> tuple[Sequence[Layer], list[int]]:
    """Layers in the order in which they are randomized, and the stages among them."""
    if order not in get_args(Order):
        known = ", ".join(repr(name) for name in get_args(Order))
        raise ValueError(f"`order`={order!r}; it must be one of {known}.")
    layers = _layers(model, images)
    stages = _stages(layers, num_stages)
    return layers if order == "bottom_up" else layers[::-1], stages


def _layers(model: Predictor, images: Images) -> Sequence[Layer]:
    abstract: Any = jax.ShapeDtypeStruct(images.shape, images.dtype)
    layers = parameter_layers(model, abstract)
    if not layers:
        raise ValueError(
            "`model` has no parameters that could be randomized. Make them data: "
            "`xattr.from_function(apply, params)`."
        )
    return layers


def _stages(layers: Sequence[Layer], num_stages: int | None) -> list[int]:
    if num_stages is None:
        return list(range(len(layers)))
    check_count("num_stages", num_stages, least=2)
    if num_stages > len(layers):
        raise ValueError(
            f"`num_stages`={num_stages}, but the model has {len(layers)} layers; use "
            f"`num_stages={len(layers)}`, or None for all."
        )
    return [int(i) for i in np.linspace(0, len(layers) - 1, num_stages).round()]


def _randomized(
    model: Predictor, layers: Sequence[Layer], order: Order, draw: Draw, key: Keys
) -> Iterator[Predictor]:
    """The model of each stage.

    They differ in their data alone: whatever is compiled for one serves all.
    """
    learnt, tree = jax.tree.flatten(model)
    leaves = list(learnt)
    for layer in layers:
        if order == "independent":
            leaves = list(learnt)
        for place in layer.leaves:
            own = jax.random.fold_in(key, place)
            leaves[place] = draw(own, jnp.asarray(learnt[place]))
        yield jax.tree.unflatten(tree, leaves)
