"""Ablation-CAM: channels weighted by what the score loses without them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._model import Model
from xattr._scores import logit, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._layout import site_layout
from xattr.cams._site_gradient import (
    Map,
    finish,
    ratio,
    weighted,
)
from xattr.program import Site, Split, affine_above, split_at

# One image's score and target, from its site, what else is read above it, and a target.
_Above = Callable[[Any, Any, PyTree], tuple[Array, PyTree]]
# Activations of each image, its score, and what that loses without each channel.
_Found = tuple[Array, Array, Array]


@compiled
def ablation_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells speak for the target, by what the score loses without each channel.

    With $A^d$ the site's channels, $y$ the score and $y_d$ the score with $A^d$ set to
    zero:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d w_d A^d_{ij}\Big), \qquad
       w_d = \frac{y - y_d}{y} $$

    What lies below the site is evaluated once. Where the score is an affine function of
    the site, as above the last block of a ResNet, one gradient gives all channels at
    once, $y - y_d = \sum_{ij} A^d_{ij} \, \partial y / \partial A^d_{ij}$; else what
    lies above is evaluated once per channel.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation: usually the last one that has
        a spatial grid.
      relu: keep only evidence for the target, as published; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images, or channels without which they are evaluated, held in memory
        at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of its activations. Where $y$ is negative its
      sign is turned round, and where $y$ is zero it is zero.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2)) @ jnp.array([[1.0], [2.0]])
      >>> x = jnp.array([[[[4.0, 0.0], [0.0, 6.0]]]])
      >>> ablation_cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[1. , 4.5]]], dtype=float32)

    References:
      [desai2020ablation], eq. 3 and 4; [gildenblat2021pytorch].

    Notes:
      pytorch-grad-cam sets a channel to zero only where the smallest activation of the
      site is zero, as after a ReLU. Elsewhere it takes the smallest activation less
      1e7: what an input of enormous size does to the score, rather than a missing one.
      Here, as in the paper, it is zero for every site.
    """
    del key
    split = split_at(model, _one(images), site)
    layout = site_layout(model, _one(images), split.site, site, axes)
    at_once = _is_affine_above(model, images, targets, split.site, score)
    drops_of = _from_one_gradient if at_once else _one_by_one
    above = partial(_score_above, split, score)
    rows = (images, targets)
    found = drops_of(split, above, rows, layout.channels, chunk_size)
    activations, scores, drops = (x.astype(images.dtype) for x in found)
    grids = jax.vmap(lambda a: layout.to_grid(a)[0])(activations)
    return finish(weighted(grids, ratio(drops, scores[:, None])), relu, images)


def _is_affine_above(
    model: Predictor, images: Images, targets: PyTree, site: Site, score: Score
) -> bool:
    """Whether the score is an affine function of the site, read from its program."""

    def scored(parts: Any, images: Images) -> Array:
        model, targets = parts
        return score_and_targets(score, model(images), targets)[0]

    # Which class it is makes no difference, but a class that depends on the site would.
    of_one = jnp.zeros(1, int) if targets is None else _one(targets)
    anywhere = "?" * len(site.shape)
    program = Model(scored, (model, of_one))
    return affine_above(program, _one(images), site.name, anywhere) is None


def _score_above(
    split: Split, score: Score, activation: Any, carried: Any, target: PyTree
) -> tuple[Array, PyTree]:
    """Score and target of one image, whose site is that of a batch of one."""
    targets = jax.tree.map(lambda t: t[None], target)
    outputs = split.above(activation, carried)
    return jax.tree.map(lambda x: x[0], score_and_targets(score, outputs, targets))


def _from_one_gradient(
    split: Split, above: _Above, rows: PyTree, channels: int, chunk_size: int | None
) -> _Found:
    """What the score loses without each channel, where it is affine in the site."""
    others = [axis for axis in range(len(split.site.shape)) if axis != channels]

    def one(image: Any, target: PyTree) -> _Found:
        activation, carried = split.below(image[None])
        score, gradient = jax.value_and_grad(lambda a: above(a, carried, target)[0])(
            activation
        )
        return activation, score, (activation * gradient).sum(others)

    def evaluate(rows: Any, _: Array) -> _Found:
        return jax.vmap(one)(*rows)

    found = evaluate_all(evaluate, rows, chunk_size=chunk_size)
    return jax.tree.map(lambda x: x[:, 0], found)


def _one_by_one(
    split: Split, above: _Above, rows: PyTree, channels: int, chunk_size: int | None
) -> _Found:
    """The same for any score: what lies above is evaluated without each channel."""

    def clean(image: Any, target: PyTree) -> tuple[Array, Any, Array, PyTree]:
        activation, carried = split.below(image[None])
        return activation, carried, *above(activation, carried, target)

    def without(row: Any, index: Any) -> Array:
        activation, carried, target = row
        place = jax.lax.broadcasted_iota(index.dtype, activation.shape, channels)
        return above(jnp.where(place == index, 0, activation), carried, target)[0]

    def evaluate(rows: Any, _: Array) -> Any:
        return jax.vmap(clean)(*rows)

    def ablated(rows: Any, index: Array) -> Array:
        return jax.vmap(without)(rows, index)

    found = evaluate_all(evaluate, rows, chunk_size=chunk_size)
    activations, carried, scores, targets = jax.tree.map(lambda x: x[:, 0], found)
    each = evaluate_all(
        ablated,
        (activations, carried, targets),
        num=split.site.shape[channels],
        chunk_size=chunk_size,
    )
    return activations, scores, scores[:, None] - each


def _one(rows: PyTree) -> PyTree:
    """The shapes of a batch of one: enough to read a program by."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), rows
    )
