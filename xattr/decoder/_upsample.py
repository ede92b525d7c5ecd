"""Transposed convolution to twice the grid."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Form = Literal["subpixel", "direct"]


def transposed_convolution(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "4 4 c d"],
    *,
    form: Form = "subpixel",
) -> Float[Array, "n 2*h 2*w d"]:
    r"""A learnt enlargement: each cell is written, times the kernel, around its place.

    Of kernel 4, stride 2 and padding 1, for rows $i$ and columns alike:

    $$ y_{2i - 1 + p} \mathrel{+}= x_i \, k_p, \qquad p = 0 \dots 3 $$

    and what falls outside $0 \dots 2h - 1$ is left out. An output of even row reads the
    rows $i - 1$ and $i$, one of odd row $i$ and $i + 1$. So one convolution of 2 x 2
    gives the outputs of all four parities, each as channels of its own, which are then
    laid side by side; no multiplication is by a zero (`subpixel`). It is written as a
    product of matrices, windows of 2 x 2 cells times kernels, since XLA's derivative
    with respect to a kernel is slow on CPUs. The `direct` form puts zeros between the
    cells and convolves with the kernel turned around.

    Args:
      x: maps.
      kernel: $k$, rows, columns, channels of `x`, channels of the result; in the
        orientation of torch's `ConvTranspose2d`.
      form: how it is computed; changes the result by rounding only.

    Returns:
      Maps on a grid of twice as many rows and columns.

    Raises:
      ValueError: if `form` is neither.

    Example:
      >>> x = jnp.array([[[[1.0]]]])
      >>> kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
      >>> transposed_convolution(x, kernel)[0, ..., 0]
      Array([[ 5.,  6.],
             [ 9., 10.]], dtype=float32)

    References:
      [shi2016realtime].
    """
    if form == "direct":
        return jax.lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            window_strides=(1, 1),
            padding=((2, 2), (2, 2)),
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    if form != "subpixel":
        raise ValueError(
            f"`form`={form!r} is none of subpixel, direct: `form='subpixel'`."
        )
    n, h, w, c = x.shape
    d = kernel.shape[3]
    # Of an even output, p = 3 reads the row before and 1 its own; of an odd one, 2 its
    # own and 0 the row after: every other row of the kernel turned around is of one
    # parity.
    taps = kernel[::-1, ::-1].reshape(2, 2, 2, 2, c, d)
    phases = taps.transpose(0, 2, 4, 1, 3, 5).reshape(4 * c, 4 * d)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, a : a + h + 1, b : b + w + 1] for a in (0, 1) for b in (0, 1)]
    y = (jnp.concatenate(windows, 3) @ phases).reshape(n, h + 1, w + 1, 2, 2, d)
    # The windows of odd outputs begin one cell after those of even ones.
    rows = [
        jnp.stack([y[:, a : a + h, b : b + w, a, b] for b in (0, 1)], 3) for a in (0, 1)
    ]
    return jnp.stack(rows, 2).reshape(n, 2 * h, 2 * w, d)
