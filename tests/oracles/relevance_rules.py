"""The rules of LRP over a layer's explicit matrix, entry by entry of their formulas."""

from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """An affine function of one flat input.

    Attributes:
      matrix: what each input (row) adds to each output (column).
      reads: ones where an output reads an input, whatever the weight.
      bias: of each output.
    """

    matrix: np.ndarray
    reads: np.ndarray
    bias: np.ndarray

    def output(self, x: np.ndarray) -> np.ndarray:
        """The layer itself."""
        return x @ self.matrix + self.bias


def dense(weights: np.ndarray, bias: np.ndarray) -> Layer:
    """A product with a matrix of inputs by outputs."""
    return Layer(weights, np.ones_like(weights), bias)


def convolution(
    kernel: np.ndarray,
    bias: np.ndarray,
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilation: tuple[int, int] = (1, 1),
    spread: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Layer:
    """A convolution of `h w c`; `spread` puts zeros between the pixels, transposed."""
    (h, w), (kh, kw, per_group, d) = size, kernel.shape
    c = per_group * groups
    high, wide = (
        (spread[k] * (size[k] - 1) + 1 + sum(padding[k]) - dilation[k] * (taps - 1) - 1)
        // stride[k]
        + 1
        for k, taps in enumerate((kh, kw))
    )
    matrix = np.zeros((h, w, c, high, wide, d))
    reads = np.zeros_like(matrix)
    for i, j, a, b, out in np.ndindex(high, wide, kh, kw, d):
        y = i * stride[0] + a * dilation[0] - padding[0][0]
        x = j * stride[1] + b * dilation[1] - padding[1][0]
        if y % spread[0] or x % spread[1]:
            continue
        y, x = y // spread[0], x // spread[1]
        if not (0 <= y < h and 0 <= x < w):
            continue
        for channel in range(per_group):
            place = out // (d // groups) * per_group + channel
            matrix[y, x, place, i, j, out] += kernel[a, b, channel, out]
            reads[y, x, place, i, j, out] = 1
    flat = (h * w * c, high * wide * d)
    return Layer(matrix.reshape(flat), reads.reshape(flat), np.tile(bias, high * wide))


def stabilized(z: np.ndarray, epsilon: float) -> np.ndarray:
    """Away from zero."""
    return z + np.where(z >= 0, epsilon, -epsilon)


def shared(
    parts: np.ndarray, rest: np.ndarray | float, relevance: np.ndarray, eps: float
) -> np.ndarray:
    """Relevance of the outputs by the parts that inputs have in them."""
    return parts @ (relevance / stabilized(parts.sum(0) + rest, eps))


def epsilon(layer: Layer, x, relevance, *, eps: float = 1e-6):
    """Bach et al. 2015, equation 58."""
    return shared(x[:, None] * layer.matrix, layer.bias, relevance, eps)


def alpha_beta(layer: Layer, x, relevance, *, alpha: float, beta: float, eps=1e-6):
    """Bach et al. 2015, equation 60: by the sign of the product."""
    products = x[:, None] * layer.matrix
    adds = np.where(products > 0, products, 0)
    takes = np.where(products < 0, products, 0)
    positive = shared(adds, np.maximum(layer.bias, 0), relevance, eps)
    negative = shared(takes, np.minimum(layer.bias, 0), relevance, eps)
    return alpha * positive - beta * negative


def z_plus(layer: Layer, x, relevance, *, eps: float = 1e-6):
    """Montavon et al. 2017: only what adds."""
    return alpha_beta(layer, x, relevance, alpha=1.0, beta=0.0, eps=eps)


def gamma(layer: Layer, x, relevance, *, gamma: float = 0.25, eps: float = 1e-6):
    """Montavon et al. 2019, products of the output's sign counting more."""
    products = x[:, None] * layer.matrix
    signs = np.sign(layer.output(x))
    parts = products + gamma * np.where(products * signs > 0, products, 0)
    bias = layer.bias + gamma * np.where(layer.bias * signs > 0, layer.bias, 0)
    return shared(parts, bias, np.where(signs == 0, 0, relevance), eps)


def flat(layer: Layer, x, relevance, *, eps: float = 1e-6):
    """Lapuschkin et al. 2019: all that is read alike."""
    return shared(layer.reads, 0.0, relevance, eps)


def w_square(layer: Layer, x, relevance, *, eps: float = 1e-6):
    """Montavon et al. 2017, by squares of weights."""
    return shared(layer.matrix**2, 0.0, relevance, eps)


def z_box(layer: Layer, x, relevance, *, low, high, eps: float = 1e-6):
    """Montavon et al. 2017, between the bounds of what is read."""
    w = layer.matrix
    low, high = np.broadcast_to(low, x.shape), np.broadcast_to(high, x.shape)
    parts = x[:, None] * w - low[:, None] * np.maximum(w, 0)
    return shared(parts - high[:, None] * np.minimum(w, 0), 0.0, relevance, eps)
