"""What is being explained: a scalar per image, from a model's outputs and a target."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from xattr._types import Images, Predictor, Score

Logits = Float[Array, "n k"]
Classes = Int[Array, " n"]


def logit(outputs: Logits, targets: Classes) -> Float[Array, " n"]:
    """Score of the target class before the softmax.

    Args:
      outputs: one logit per class.
      targets: class indices. One that is out of range gives not a number, and so does
        every map of it.

    Example:
      >>> logit(jnp.array([[1.0, 2.0, 4.0]]), jnp.array([2]))
      Array([4.], dtype=float32)
    """
    return _of_class(_logits(outputs), targets)


def probability(outputs: Logits, targets: Classes) -> Float[Array, " n"]:
    """Softmax probability of the target class, in [0, 1].

    Args:
      outputs: one logit per class.
      targets: class indices.

    Example:
      >>> probability(jnp.array([[0.0, 0.0]]), jnp.array([1]))
      Array([0.5], dtype=float32)
    """
    return _of_class(jax.nn.softmax(_logits(outputs)), targets)


def margin(
    outputs: Logits, targets: Int[Array, " n"] | Int[Array, "n 2"]
) -> Float[Array, " n"]:
    """By how much the target class leads a rival: why this and not that.

    Args:
      outputs: one logit per class.
      targets: class indices, each against the best other class; or pairs of class and
        rival.

    Example:
      >>> margin(jnp.array([[1.0, 2.0, 4.0]]), jnp.array([2]))
      Array([2.], dtype=float32)
      >>> margin(jnp.array([[1.0, 2.0, 4.0]]), jnp.array([[2, 0]]))
      Array([3.], dtype=float32)
    """
    outputs = _logits(outputs)
    if targets.ndim == 2 and targets.shape[1] == 2:
        return logit(outputs, targets[:, 0]) - logit(outputs, targets[:, 1])
    own = jax.nn.one_hot(targets, outputs.shape[1], dtype=bool)
    return logit(outputs, targets) - jnp.where(own, -jnp.inf, outputs).max(axis=1)


def finer(
    outputs: Logits,
    targets: Classes,
    *,
    num_rivals: int = 3,
    strength: float = 1.0,
    constant_weights: bool = True,
) -> Float[Array, " n"]:
    r"""What tells the target class $c$ from the classes that resemble it most.

    $$ s = \frac{\sum_{i \in R} p_i (z_c - a z_i)}{\sum_{i \in R} p_i} $$

    with $R$ the `num_rivals` classes whose logits are closest to $z_c$, and $p$ the
    probabilities. A CAM of it is the mean, weighted by $p$, of those of $z_c - a z_i$.

    Args:
      outputs: one logit per class.
      targets: class indices.
      num_rivals: number of similar classes; at most one less than there are classes.
      strength: $a$, how much of the rivals is taken away; 0 gives the logit.
      constant_weights: whether $p$ is a constant to gradients; the authors' code
        differentiates it too, which is no longer a mean of CAMs.

    Example:
      >>> finer(jnp.array([[5.0, 3.0, 3.0, -9.0]]), jnp.array([0]), num_rivals=2)
      Array([2.], dtype=float32)

    References:
      [zhang2025finer].
    """
    outputs = _logits(outputs)
    if not 1 <= num_rivals < outputs.shape[1]:
        raise ValueError(
            f"`num_rivals`={num_rivals}: the model has {outputs.shape[1]} classes, so "
            f"that it must be from 1 to {outputs.shape[1] - 1}."
        )
    target = logit(outputs, targets)
    own = jax.nn.one_hot(targets, outputs.shape[1], dtype=bool)
    distance = jax.lax.stop_gradient(jnp.abs(outputs - target[:, None]))
    _, rivals = jax.lax.top_k(-jnp.where(own, jnp.inf, distance), num_rivals)
    rival = jnp.take_along_axis(outputs, rivals, axis=1)
    # Probabilities over their sum: no quotient of two that are nearly zero.
    weights = jax.nn.softmax(rival)
    weights = jax.lax.stop_gradient(weights) if constant_weights else weights
    return (weights * (target[:, None] - strength * rival)).sum(axis=1)


def rest(outputs: Logits, targets: Classes) -> Float[Array, " n"]:
    r"""Logit of the target class plus the logarithm of its probability (ReST).

    $$ s = z_c + \log p_c $$

    Explains the class both for itself and against the others: the logit alone ignores
    the others, and the probability's gradient vanishes where it is near 1.

    Args:
      outputs: one logit per class.
      targets: class indices.

    Example:
      >>> rest(jnp.array([[0.0, 0.0]]), jnp.array([1]))
      Array([-0.6931472], dtype=float32)

    References:
      [cai2025cams].
    """
    return logit(outputs, targets) + logit(jax.nn.log_softmax(outputs), targets)


def segment(
    outputs: Float[Array, "n h w k"],
    targets: tuple[Int[Array, " n"], Bool[Array, "n h w"] | Float[Array, "n h w"]],
) -> Float[Array, " n"]:
    r"""Sum of a class's logits over a region, for models that segment.

    $$ s = \sum_{(i, j) \in M} z^c_{ij} $$

    A method with this score explains a region: Grad-CAM becomes Seg-Grad-CAM.

    Args:
      outputs: one logit per pixel and class.
      targets: class indices, and the region $M$ of each image, as
        `xattr.pixel_target`, `xattr.region_target` and `xattr.class_target` make them
        of the outputs, or any other; weights between 0 and 1 are allowed. A class that
        is out of range gives not a number.

    Raises:
      ValueError: if outputs, classes and regions do not fit each other.

    Example:
      >>> outputs = jnp.arange(8.0).reshape(1, 2, 2, 2)
      >>> segment(outputs, (jnp.array([1]), jnp.array([[[1.0, 0.0], [0.0, 1.0]]])))
      Array([8.], dtype=float32)

    References:
      [vinogradova2020segmentation], eq. 1.
    """
    classes, regions = targets
    shape = jnp.shape(outputs)
    if len(shape) != 4 or jnp.shape(regions) != shape[:3]:
        raise ValueError(
            f"`outputs` {list(shape)} and the regions {list(jnp.shape(regions))} of "
            "`targets` do not fit; `segment` needs one logit per pixel and class, "
            "`n h w k`, and one region per image, `n h w`: "
            "`targets=xattr.region_target(model(images), pixels)`."
        )
    chosen = _of_class(outputs, classes)
    return (chosen * regions.astype(chosen.dtype)).sum(axis=(1, 2))


def unit(
    outputs: Float[Array, "n *axes"], targets: Int[Array, " n"] | Int[Array, "n r"]
) -> Float[Array, " n"]:
    """Activation of one unit, for models whose outputs are those of a site.

    Args:
      outputs: activations with the channels last, as of `xattr.at_site(model, site)`.
      targets: channel indices, for the mean of the channel over its positions; or a row
        of indices each, one per axis of the outputs after the first. One that is out of
        range gives not a number.

    Example:
      >>> outputs = jnp.arange(8.0).reshape(1, 2, 2, 2)
      >>> unit(outputs, jnp.array([1]))
      Array([4.], dtype=float32)
      >>> unit(outputs, jnp.array([[1, 0, 1]]))
      Array([5.], dtype=float32)
    """
    n, *sizes = outputs.shape
    if targets.ndim == 1:
        positions = tuple(range(1, outputs.ndim - 1))
        return _of_class(outputs.mean(positions), targets)
    if targets.shape[1] != len(sizes):
        raise ValueError(
            f"`targets` has shape {targets.shape} for outputs of shape "
            f"{outputs.shape}; it must be one channel per image, or a row of "
            f"{len(sizes)} indices for each."
        )
    index = jnp.zeros(n, targets.dtype)
    inside = jnp.ones(n, bool)
    for place, size in enumerate(sizes):
        inside &= (targets[:, place] >= 0) & (targets[:, place] < size)
        index = index * size + targets[:, place]
    return _of_class(outputs.reshape(n, -1), jnp.where(inside, index, -1))


def box(
    outputs: tuple[Float[Array, "n m 4"], Float[Array, "n m k"]],
    targets: tuple[Int[Array, " n"], Float[Array, "n 4"]],
    *,
    min_overlap: float = 0.5,
) -> Float[Array, " n"]:
    """How well a detector finds a reference box: overlap and score of its best match.

    Args:
      outputs: boxes as `x0 y0 x1 y1`, and a score per box and class.
      targets: class indices, and reference boxes.
      min_overlap: intersection over union under which the score is 0.

    Example:
      >>> boxes = jnp.array([[[0.0, 0.0, 2.0, 2.0]]])
      >>> scores = jnp.array([[[0.25, 3.0]]])
      >>> box((boxes, scores), (jnp.array([1]), jnp.array([[0.0, 0.0, 2.0, 2.0]])))
      Array([4.], dtype=float32)

    Notes:
      The matching box is the one that overlaps most, whatever its own best class: its
      score is that of the target class, so that the result is differentiable.
    """
    (boxes, scores), (classes, reference) = outputs, targets
    overlap = _overlap(boxes, reference[:, None])
    best = overlap.argmax(axis=1)
    rows = jnp.arange(len(best))
    found = overlap[rows, best]
    return jnp.where(found > min_overlap, found + scores[rows, best, classes], 0.0)


def predicted(outputs: PyTree) -> Classes:
    """The class with the highest logit, for each image."""
    return jax.lax.stop_gradient(_logits(outputs)).argmax(axis=1)


def score_and_targets(
    score: Score, outputs: PyTree, targets: PyTree
) -> tuple[Float[Array, " n"], PyTree]:
    """Score of each image; `targets` None stands for the class predicted here."""
    targets = predicted(outputs) if targets is None else targets
    scores = score(outputs, targets)
    n = jax.tree.leaves(outputs)[0].shape[0]
    if jnp.shape(scores) != (n,):
        raise ValueError(
            f"`score` returned shape {jnp.shape(scores)} for {n} images; it must "
            f"return one number per image, shape ({n},)."
        )
    return scores, targets


def gradient_of_score(
    model: Predictor, images: Images, targets: PyTree, score: Score
) -> Images:
    """Derivative of each image's score with respect to that image."""

    def total(images: Images) -> Any:
        return score_and_targets(score, model(images), targets)[0].sum()

    return jax.grad(total)(images)


def _of_class(
    values: Float[Array, "n *hw k"], targets: Classes
) -> Float[Array, "n *hw"]:
    """The target's values; not a number, nor is its derivative, for no class at all.

    A sum over a mask rather than a look-up, whose derivative would be a scatter.
    """
    if targets.ndim != 1 or not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(
            f"`targets` is {targets.dtype}{list(targets.shape)}; this score needs one "
            f"class index per image, such as `jnp.full({len(values)}, index)`."
        )
    targets = jnp.expand_dims(targets, range(1, values.ndim))
    own = (
        jnp.expand_dims(jnp.arange(values.shape[-1]), range(values.ndim - 1)) == targets
    )
    none = ~own.any(axis=-1, keepdims=True)
    scale = jnp.where(none, jnp.nan, 1).astype(values.dtype)
    return jnp.where(own | none, values * scale, 0).sum(axis=-1)


def _logits(outputs: PyTree) -> Logits:
    if getattr(outputs, "ndim", None) != 2:
        shapes = jax.tree.map(jnp.shape, outputs)
        raise ValueError(
            f"the model's outputs have shapes {shapes}; class scores need one array "
            f"`n k` of logits. Give `targets=` and a `score=` that reads these "
            f"outputs, for example `xattr.segment` for `n h w k`."
        )
    return outputs


def _overlap(a: Array, b: Array) -> Array:
    """Intersection over union of boxes `x0 y0 x1 y1`."""
    corner, opposite = (
        jnp.maximum(a[..., :2], b[..., :2]),
        jnp.minimum(a[..., 2:], b[..., 2:]),
    )
    intersection = jnp.prod(jnp.maximum(opposite - corner, 0), axis=-1)
    areas = [jnp.prod(x[..., 2:] - x[..., :2], axis=-1) for x in (a, b)]
    return intersection / jnp.maximum(areas[0] + areas[1] - intersection, 1e-12)
