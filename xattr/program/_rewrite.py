"""The same function, with operations that the backend runs faster."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._trace import (
    CONV,
    Equation,
    entered,
    reads_plain,
    run_equation,
    trace,
)


def rewrite(model: Predictor) -> Model:
    """The same model with convolutions in the form that is fastest on a CPU.

    Depthwise convolutions become sums of shifted products, and 1x1 convolutions matrix
    products; XLA's own forms of them are up to ten times slower there.
    Sites keep their names. On other backends nothing is changed.

    Args:
      model: function from a batch of images to outputs.

    Returns:
      A model with equal outputs and gradients, up to rounding.

    Example:
      >>> import jax.numpy as jnp
      >>> rewrite(lambda x: 2 * x)(jnp.ones((1, 2)))
      Array([[2., 2.]], dtype=float32)
    """
    return Model(_Rewritten(), model)


class _Rewritten(NamedTuple):
    def __call__(self, model: Predictor, images: Images) -> PyTree:
        if reads_plain() or jax.default_backend() != "cpu":
            return model(images)
        return trace(model, images).run(images, evaluate=_evaluate)


def _evaluate(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    if equation.primitive.name == "conv_general_dilated":
        form = _form(equation)
        if form is not None:
            with entered(equation):
                return [form(*operands)]
    return run_equation(equation, operands)


def _form(equation: Equation) -> Callable[[Any, Any], Any] | None:
    """A faster form of a convolution, as a call named `conv`; None to leave it."""
    params = equation.params
    dims = params["dimension_numbers"]
    images, kernel = (atom.aval for atom in equation.invars)
    if (
        dims.lhs_spec != (0, 3, 1, 2)
        or dims.rhs_spec != (3, 2, 0, 1)
        or dims.out_spec != (0, 3, 1, 2)
        or params["batch_group_count"] != 1
        or set(params["lhs_dilation"]) != {1}
        or images.dtype != kernel.dtype
        or any(side < 0 for pad in params["padding"] for side in pad)
    ):
        return None
    form: Callable[[Any, Any], Any]
    dtype = equation.outvars[0].aval.dtype
    if params["feature_group_count"] == images.shape[3] == kernel.shape[3] != 1:
        form = _Depthwise(
            params["window_strides"], params["padding"], params["rhs_dilation"], dtype
        )
    elif (
        kernel.shape[:2] == (1, 1)
        and params["feature_group_count"] == 1
        and all(pad == (0, 0) for pad in params["padding"])
    ):
        form = _Pointwise(params["window_strides"], params["precision"], dtype)
    else:
        return None

    def conv(images: Any, kernel: Any) -> Any:
        return form(images, kernel)

    conv.__name__ = CONV
    return jax.jit(conv)


class _Depthwise(NamedTuple):
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    dtype: Any

    def __call__(self, images: Any, kernel: Any) -> Any:
        # As XLA does, half precisions are summed in single.
        wide = jnp.promote_types(self.dtype, jnp.float32)
        images, kernel = images.astype(wide), kernel.astype(wide)
        padded = jnp.pad(images, ((0, 0), *self.padding, (0, 0)))
        taps = kernel.shape[:2]
        sizes = [
            (padded.shape[1 + axis] - (taps[axis] - 1) * self.dilation[axis] - 1)
            // self.strides[axis]
            + 1
            for axis in (0, 1)
        ]

        def shifted(i: int, j: int) -> Any:
            starts = (i * self.dilation[0], j * self.dilation[1])
            rows, columns = (
                slice(start, start + (size - 1) * stride + 1, stride)
                for start, size, stride in zip(starts, sizes, self.strides, strict=True)
            )
            return padded[:, rows, columns] * kernel[None, None, i, j]

        first, *others = (shifted(i, j) for i in range(taps[0]) for j in range(taps[1]))
        return jnp.astype(sum(others, start=first), self.dtype)


class _Pointwise(NamedTuple):
    strides: tuple[int, ...]
    precision: Any
    dtype: Any

    def __call__(self, images: Any, kernel: Any) -> Any:
        kept = images[:, :: self.strides[0], :: self.strides[1]]
        return jnp.matmul(
            kept,
            kernel[0, 0],
            precision=self.precision,
            preferred_element_type=self.dtype,
        )
