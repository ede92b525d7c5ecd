"""Forms of a convolution, and which of them is fastest on a CPU."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xattr.program._trace import CONV, Equation

# Measured on two cores with VGG-16 and ResNet-50 at 224 x 224: with fewer channels, or
# more bytes of transformed tiles per image, the backend's own form is faster; and many
# images are faster one by one once their tiles outgrow what the allocator keeps.
_LEAST_CHANNELS = 16
_MOST_BYTES = _BLOCK_BYTES = 32 << 20

_CHANNELS_LAST = (0, 3, 1, 2)
# Places of a kernel's outputs, its inputs, and its taps.
_KERNEL, _SWAPPED_KERNEL = (3, 2, 0, 1), (2, 3, 0, 1)


class Convolution(NamedTuple):
    """What a convolution does, but for its images and its kernel."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    image_dilation: tuple[int, ...]
    axes: tuple[tuple[int, ...], ...]
    groups: int
    batch_groups: int
    precision: Any
    dtype: Any

    @property
    def plain(self) -> bool:
        """Whether the forms of this file can stand for it, grouped or not."""
        return (
            self.axes[0] == self.axes[2] == _CHANNELS_LAST
            and self.axes[1] in (_KERNEL, _SWAPPED_KERNEL)
            and self.batch_groups == 1
            and set(self.image_dilation) == {1}
            and all(side >= 0 for pad in self.padding for side in pad)
        )

    def swapped(self) -> "Convolution":
        """The convolution whose kernel has its inputs and outputs swapped."""
        images, kernel, results = self.axes
        other = _KERNEL if kernel == _SWAPPED_KERNEL else _SWAPPED_KERNEL
        return self._replace(axes=(images, other, results))


def convolution(equation: Equation) -> Convolution:
    """What a `conv_general_dilated` does, or what `rewrite` made of it."""
    params = equation.params
    if equation.primitive.name == CONV:
        return params["conv"]
    dims = params["dimension_numbers"]
    return Convolution(
        tuple(params["window_strides"]),
        tuple(map(tuple, params["padding"])),
        tuple(params["rhs_dilation"]),
        tuple(params["lhs_dilation"]),
        (tuple(dims.lhs_spec), tuple(dims.rhs_spec), tuple(dims.out_spec)),
        params["feature_group_count"],
        params["batch_group_count"],
        params["precision"],
        np.dtype(equation.outvars[0].aval.dtype),
    )


class Form(NamedTuple):
    """A way to compute a convolution.

    Attributes:
      prepare: from the kernel to what is used in its place, once for many images.
      run: from images, what was prepared, and the convolution, to the results.
    """

    prepare: Callable[[Any], Any]
    run: Callable[[Any, Any, Convolution], Any]


def convolve(images: Any, kernel: Any, conv: Convolution) -> Any:
    """The convolution, in the form that is fastest for its shape."""
    form = fastest(images, kernel, conv)
    return form.run(images, form.prepare(kernel), conv)


def fastest(images: Any, kernel: Any, conv: Convolution) -> Form:
    """The form that is fastest on this backend; shapes and types are enough."""
    floating = jnp.issubdtype(images.dtype, jnp.floating)
    alike = floating and images.dtype == kernel.dtype
    if jax.default_backend() != "cpu" or not conv.plain or not alike:
        return DIRECT
    taps = kernel.shape[:2]
    outside, inside = (kernel.shape[axis] for axis in conv.axes[1][:2])
    if conv.groups == images.shape[3] == outside != 1 and conv.axes[1] == _KERNEL:
        return DEPTHWISE
    if conv.groups != 1:
        return DIRECT
    if taps == (1, 1) and all(pad == (0, 0) for pad in conv.padding):
        return POINTWISE
    if (
        taps == (3, 3)
        and set(conv.strides) == set(conv.dilation) == {1}
        and min(inside, outside) >= _LEAST_CHANNELS
        and _tile_bytes(images.shape[1:], inside, images.dtype) <= _MOST_BYTES
    ):
        return WINOGRAD
    return DIRECT


def _tile_bytes(shape: Sequence[int], channels: int, dtype: Any) -> int:
    """Bytes of the transformed tiles of one image."""
    return 4 * shape[0] * shape[1] * channels * np.dtype(dtype).itemsize


def direct(images: Any, kernel: Any, conv: Convolution) -> Any:
    """As the backend does it."""
    if conv.plain and conv.axes[1] == _SWAPPED_KERNEL:
        # Inside loops XLA:CPU has no fast form for swapped kernels: 6 times slower.
        kernel, conv = kernel.swapaxes(2, 3), conv.swapped()
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        conv.strides,
        conv.padding,
        conv.image_dilation,
        conv.dilation,
        jax.lax.ConvDimensionNumbers(*conv.axes),
        conv.groups,
        conv.batch_groups,
        conv.precision,
        conv.dtype,
    )


def pointwise(images: Any, kernel: Any, conv: Convolution) -> Any:
    """A 1x1 convolution as a matrix product."""
    kept = images[:, :: conv.strides[0], :: conv.strides[1]]
    return _product(kept, kernel[0, 0], conv, conv.dtype)


def _product(images: Any, matrix: Any, conv: Convolution, dtype: Any) -> Any:
    """The product over channels, with the matrix as the kernel's axes have it."""
    contracted = conv.axes[1][1] - 2
    numbers = (((images.ndim - 1,), (contracted,)), ((), ()))
    return jax.lax.dot_general(
        images, matrix, numbers, conv.precision, preferred_element_type=dtype
    )


def depthwise(images: Any, kernel: Any, conv: Convolution) -> Any:
    """A convolution of each channel alone as a sum of shifted products."""
    # As XLA does, half precisions are summed in single.
    wide = jnp.promote_types(conv.dtype, jnp.float32)
    images, kernel = images.astype(wide), kernel.astype(wide)
    padded = _padded(images, conv.padding)
    taps = kernel.shape[:2]
    sizes = [
        (padded.shape[1 + axis] - (taps[axis] - 1) * conv.dilation[axis] - 1)
        // conv.strides[axis]
        + 1
        for axis in (0, 1)
    ]

    def shifted(i: int, j: int) -> Any:
        starts = (i * conv.dilation[0], j * conv.dilation[1])
        rows, columns = (
            slice(start, start + (size - 1) * stride + 1, stride)
            for start, size, stride in zip(starts, sizes, conv.strides, strict=True)
        )
        return padded[:, rows, columns] * kernel[None, None, i, j]

    first, *others = (shifted(i, j) for i in range(taps[0]) for j in range(taps[1]))
    return jnp.astype(sum(others, start=first), conv.dtype)


def winograd_kernel(kernel: Any) -> list[Any]:
    """The kernel's 16 matrices, row by row."""
    # Half precisions are transformed in single: the matrices are means of the taps.
    kernel = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    rows = _kernel_transform([kernel[i] for i in range(3)])
    return [m for row in rows for m in _kernel_transform([row[j] for j in range(3)])]


def winograd(images: Any, matrices: list[Any], conv: Convolution) -> Any:
    """A 3x3 convolution by 4x4 tiles: 16 products in the place of 36 per tile."""
    n, *shape = images.shape
    if n == 1 or n * _tile_bytes(shape, shape[-1], images.dtype) <= _BLOCK_BYTES:
        return _winograd(images, matrices, conv)
    # Image by image, the transformed tiles stay in the cache.
    each = jax.lax.map(lambda image: _winograd(image[None], matrices, conv), images)
    return each[:, 0]


def _winograd(images: Any, matrices: list[Any], conv: Convolution) -> Any:
    # Half precisions are transformed in single: tiles are differences of neighbours.
    wide = jnp.promote_types(conv.dtype, jnp.float32)
    padded = _padded(images.astype(wide), conv.padding)
    n, height, width, _ = padded.shape
    tiles = -(-(height - 2) // 2), -(-(width - 2) // 2)
    full = [
        (0, 2 * t + 2 - size) for t, size in zip(tiles, (height, width), strict=True)
    ]
    padded = jnp.pad(padded, ((0, 0), *full, (0, 0)))
    parts = [
        part
        for row in _tile_transform(padded, 1, tiles[0])
        for part in _tile_transform(row, 2, tiles[1])
    ]
    products = [
        _product(part, matrix.astype(wide), conv, wide)
        for part, matrix in zip(parts, matrices, strict=True)
    ]
    columns = [_inverse(products[j::4]) for j in range(4)]
    rows = [_inverse([column[i] for column in columns]) for i in range(2)]
    stacked = jnp.stack([jnp.stack(row, axis=3) for row in rows], axis=2)
    whole = stacked.reshape(n, 2 * tiles[0], 2 * tiles[1], -1)
    return whole[:, : height - 2, : width - 2].astype(conv.dtype)


def _padded(images: Any, padding: Any) -> Any:
    return jnp.pad(images, ((0, 0), *padding, (0, 0)))


def _kernel_transform(taps: list[Any]) -> list[Any]:
    first, middle, last = taps
    half = (first + last) / 2
    return [first, half + middle / 2, half - middle / 2, last]


def _tile_transform(images: Any, axis: int, tiles: int) -> list[Any]:
    d = [jax.lax.slice_in_dim(images, i, i + 2 * tiles - 1, 2, axis) for i in range(4)]
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _inverse(m: list[Any]) -> list[Any]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _as_it_is(kernel: Any) -> Any:
    return kernel


DIRECT = Form(_as_it_is, direct)
POINTWISE = Form(_as_it_is, pointwise)
DEPTHWISE = Form(_as_it_is, depthwise)
WINOGRAD = Form(winograd_kernel, winograd)
