"""The same function, with operations that the backend runs faster."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._convolution import convolution
from xattr.program._pooling import Pooling, max_pool
from xattr.program._primitive import convolution_call
from xattr.program._trace import (
    Equation,
    entered,
    run_equation,
    trace,
)

# More taps than this are left to the backend.
_MOST_TAPS = 9


def rewrite(model: Predictor) -> Model:
    """The same model with operations in the form that is fastest on a CPU.

    Convolutions become sums of shifted products, matrix products or products of
    transformed tiles, whichever is fastest for their shape; the gradients of strided
    ones are taken phase by phase, and that of maximum pooling by comparison. Sites keep
    their names. On other backends nothing is changed.

    Args:
      model: function from a batch of images to outputs.

    Returns:
      A model with equal outputs and gradients, up to rounding. Of equal entries in a
      pooling window the first gets the gradient, as JAX has it.

    Example:
      >>> import jax.numpy as jnp
      >>> rewrite(lambda x: 2 * x)(jnp.ones((1, 2)))
      Array([[2., 2.]], dtype=float32)

    References:
      [lavin2016fast], F(2x2, 3x3), for 3x3 convolutions.
    """
    return Model(_Rewritten(), model)


def original(model: Predictor) -> Predictor:
    """The model that `rewrite` was given; any other as it is.

    Example:
      >>> double = lambda x: 2 * x
      >>> original(rewrite(double)) is double
      True
    """
    if isinstance(model, Model) and isinstance(model.apply, _Rewritten):
        return model.params
    return model


class _Rewritten(NamedTuple):
    def __call__(self, model: Predictor, images: Images) -> PyTree:
        if jax.default_backend() != "cpu":
            return model(images)
        return trace(model, images).run(images, evaluate=_evaluate)


def _evaluate(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    name = equation.primitive.name
    if name == "conv_general_dilated":
        conv = convolution(equation)
        if conv.plain and operands[0].dtype == operands[1].dtype:
            with entered(equation):
                return [convolution_call(operands[0], operands[1], conv)]
    if name == "reduce_window_max":
        pooling = _pooling(equation)
        if pooling is not None:
            with entered(equation):
                return [max_pool(operands[0], pooling)]
    return run_equation(equation, operands)


def _pooling(equation: Equation) -> Pooling | None:
    """The pooling of images `n h w c` by few taps; None for any other."""
    params = equation.params
    images = equation.invars[0].aval
    windows = [params[k] for k in ("window_dimensions", "window_strides", "padding")]
    dilations = {*params["base_dilation"], *params["window_dilation"]}
    if (
        images.ndim != 4
        or dilations != {1}
        or not jnp.issubdtype(images.dtype, jnp.inexact)
        or not equation.outvars[0].aval.size  # no window fits
    ):
        return None
    taps, strides, padding = (tuple(each) for each in windows)
    outer = {(taps[i], strides[i], tuple(padding[i])) for i in (0, 3)}
    if outer != {(1, 1, (0, 0))} or taps[1] * taps[2] > _MOST_TAPS:
        return None
    if any(side < 0 for pad in padding for side in pad):
        return None
    edges = tuple((low, high) for low, high in padding[1:3])
    return Pooling(taps[1:3], strides[1:3], edges)
