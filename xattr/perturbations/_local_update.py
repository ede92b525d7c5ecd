"""Results for many local changes of the images, by the way that computes least."""

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from xattr._chunking import evaluate_all, evaluate_sharing
from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.paths._baselines import Baseline, one_baseline
from xattr.program import Boxes, local_outputs, local_savings

_log = logging.getLogger("xattr")

# Below it, taking windows out of what is kept costs more than it saves.
_LEAST_FACTOR = 1.2


def local_update(
    model: Predictor,
    images: Images,
    windows: Int[np.ndarray, "p 2 a"],
    *,
    baseline: Baseline = 0.0,
    chunk_size: int | None = None,
) -> PyTree:
    """Outputs for many rectangular changes of each image.

    Exact, and cheap: the activations of the image as it is are kept, and for each
    change only the window that it reaches is computed again, operation by operation.
    From the first operation that mixes all positions on, all is computed. Where that
    would save nothing, every changed image is evaluated whole.

    Args:
      model: function from a batch of images to outputs.
      images: what is changed, `n h w c`, or `n ... c` with any spatial axes.
      windows: for each change the first pixel along each spatial axis, and the first
        after the last; known before the program is compiled, hence NumPy's.
      baseline: what stands in the windows, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      chunk_size: changes held in memory at once; chosen to fit when None.

    Returns:
      The outputs of the model with an axis of changes after the first, `n p ...`.

    Raises:
      ValueError: if `windows` is no such array, or reaches out of the images.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2))
      >>> x = jnp.array([[[[1.0], [2.0], [3.0]]]])
      >>> windows = np.array([[[0, 0], [1, 2]], [[0, 2], [1, 3]]])
      >>> local_update(model, x, windows).ravel()
      Array([3., 3.], dtype=float32)

    References:
      [nakandala2019incremental], whose approximations are left out.
    """
    boxes = _boxes(images, windows)
    fill = one_baseline(images, baseline)
    return results_of_changes(
        lambda images, _: model(images), images, fill, (), boxes, chunk_size
    )


def results_of_changes(
    evaluate: Callable[[Images, PyTree], PyTree],
    images: Images,
    fill: Images,
    rows: PyTree,
    boxes: Boxes,
    chunk_size: int | None,
) -> PyTree:
    """Results with each box of each image filled, `n p ...`.

    `evaluate` takes changed images and what belongs to each of them.
    """
    everything = (images, fill, rows)
    one = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), everything
    )
    saves = False

    def measure(row: Any) -> None:
        nonlocal saves
        image, _, rest = row
        savings = local_savings(_model(evaluate, rest), image, boxes)
        saves = savings.factor >= _LEAST_FACTOR
        _log.info(
            "%d changes of an image: %.3g multiply-adds each, %.3g by local update, so "
            "that it is done %s",
            len(boxes.low),
            savings.whole,
            savings.local,
            "locally" if saves else "whole",
        )

    jax.eval_shape(measure, one)
    if not saves:
        return _whole(evaluate, everything, boxes, chunk_size)

    def share(row: Any) -> Callable[[Int[Array, ""]], PyTree]:
        image, fill, rest = jax.tree.map(lambda x: x[None], row)
        outputs = local_outputs(_model(evaluate, rest), image, fill, boxes)
        return lambda change: jax.tree.map(lambda x: x[0], outputs(change))

    num = len(boxes.low)
    return evaluate_sharing(share, everything, num=num, chunk_size=chunk_size)


def _model(evaluate: Callable[[Images, PyTree], PyTree], rows: PyTree) -> Model:
    return Model(lambda rows, images: evaluate(images, rows), rows)


def _whole(
    evaluate: Callable[[Images, PyTree], PyTree],
    everything: PyTree,
    boxes: Boxes,
    chunk_size: int | None,
) -> PyTree:
    def changed(row: Any, change: Int[Array, " m"]) -> PyTree:
        images, fill, rest = row
        inside = _inside(boxes, images.shape, change)
        return evaluate(jnp.where(inside, fill, images), rest)

    num = len(boxes.low)
    return evaluate_all(changed, everything, num=num, chunk_size=chunk_size)


def _inside(
    boxes: Boxes, shape: tuple[int, ...], change: Int[Array, " m"]
) -> Bool[Array, "m ..."]:
    """The pixels in some of the boxes."""
    low, high = (jnp.asarray(x)[change] for x in boxes)
    ones = [1] * (len(shape) - 1)
    inside = jnp.ones((len(change), *ones), bool)
    for axis in range(low.shape[1]):
        pixel = jnp.arange(shape[axis + 1]).reshape(
            1, *ones[:axis], -1, *ones[axis + 1 :]
        )
        first, end = (x[:, axis].reshape(-1, *ones) for x in (low, high))
        inside = inside & (pixel >= first) & (pixel < end)
    return inside


def _boxes(images: Images, windows: Int[np.ndarray, "p 2 a"]) -> Boxes:
    sizes = images.shape[1:-1]
    try:
        windows = np.asarray(windows)
    except jax.errors.TracerArrayConversionError:
        raise TypeError(
            "`windows` is traced; where the windows are decides what is computed, so "
            "that it must be NumPy's, made outside of the function that is compiled."
        ) from None
    if not np.issubdtype(windows.dtype, np.integer):
        raise TypeError(
            f"`windows` is {windows.dtype}; it must hold whole pixels: "
            f"`windows.astype(int)`."
        )
    shape = windows.shape
    if len(shape) != 3 or shape[0] == 0 or shape[1:] != (2, len(sizes)):
        raise ValueError(
            f"`windows` has shape {shape}; it must be `p 2 {len(sizes)}`: for each "
            f"change where it begins and ends along each spatial axis, such as "
            f"`np.array([[{[0] * len(sizes)}, {list(sizes)}]])`."
        )
    low, high = windows[:, 0], windows[:, 1]
    if (low < 0).any() or (high > sizes).any() or (low >= high).any():
        raise ValueError(
            f"`windows` reaches from {low.min()} to {high.max(axis=0).tolist()}; each "
            f"must hold a pixel and lie within images of {sizes}."
        )
    return Boxes(low, high)
