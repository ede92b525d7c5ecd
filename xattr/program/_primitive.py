"""The convolution that `rewrite` puts into a program: an operation with its own rules.

An operation of its own, rather than its forms written out, so that it can still be read
as a convolution, and so that its derivatives take the fastest form too, in whatever
order they are taken.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from xattr.program._convolution import Convolution, convolve, direct
from xattr.program._trace import CONV
from xattr.program._transposed import transposed

_convolution_p: Any = Primitive(CONV)


def convolution_call(images: Any, kernel: Any, conv: Convolution) -> Any:
    """A convolution that takes the fastest form, and so do its derivatives."""
    return _convolution_p.bind(images, kernel, conv=conv)


def _run(images: Any, kernel: Any, *, conv: Convolution) -> Any:
    return convolve(images, kernel, conv)


def _result(images: Any, kernel: Any, *, conv: Convolution) -> Any:
    traced = jax.make_jaxpr(lambda x, w: direct(x, w, conv))(images, kernel)
    return traced.out_avals[0]


def _batched(arguments: Any, axes: Any, *, conv: Convolution) -> Any:
    images, kernel = arguments
    if axes[1] is not None:
        each = jax.vmap(lambda x, w: direct(x, w, conv), in_axes=tuple(axes))
        return each(images, kernel), 0
    images = jnp.moveaxis(images, axes[0], 0)
    merged = images.reshape(-1, *images.shape[2:])
    results = convolution_call(merged, kernel, conv)
    return results.reshape(*images.shape[:2], *results.shape[1:]), 0


def _images_cotangent(
    cotangent: Any, images: Any, kernel: Any, *, conv: Convolution
) -> Any:
    like = images.aval
    return transposed(convolution_call, cotangent, kernel, like, conv).astype(
        like.dtype
    )


def _kernel_cotangent(
    cotangent: Any, images: Any, kernel: Any, *, conv: Convolution
) -> Any:
    linear = jax.linear_transpose(lambda w: direct(images, w, conv), kernel.aval)
    return linear(cotangent)[0]


_convolution_p.def_impl(jax.jit(_run, static_argnames="conv"))
_convolution_p.def_abstract_eval(_result)
ad.defbilinear(_convolution_p, _images_cotangent, _kernel_cotangent)
batching.primitive_batchers[_convolution_p] = _batched
mlir.register_lowering(_convolution_p, mlir.lower_fun(_run, multiple_results=False))
