"""Small models of every kind, for the tests."""

from typing import Any

import jax
import jax.numpy as jnp

import xattr

SHAPE = (12, 12, 3)


def tiny_convnet(
    key: jax.Array,
    *,
    num_classes: int = 5,
    channels: tuple[int, int] = (4, 6),
    bias: bool = True,
    smooth: bool = False,
    dtype: Any = jnp.float32,
) -> xattr.Model:
    """Two convolutions, global average pooling and a linear head, as a function.

    Takes `n 12 12 3`; its sites are `conv:0`, `relu:0`, `conv:1`, `relu:1` (`softplus`
    in the place of `relu` where smooth).
    """
    keys = jax.random.split(key, 6)
    widths = (3, *channels)
    params: dict[str, Any] = {
        "kernels": [
            jax.random.normal(k, (3, 3, i, o), dtype) / jnp.sqrt(9.0 * i).astype(dtype)
            for k, i, o in zip(keys[:2], widths[:-1], widths[1:], strict=True)
        ],
        "head": jax.random.normal(keys[2], (channels[-1], num_classes), dtype),
    }
    scale = 0.3 if bias else 0.0
    params["biases"] = [
        scale * jax.random.normal(k, (c,), dtype)
        for k, c in zip(keys[3:5], channels, strict=True)
    ]
    params["head_bias"] = scale * jax.random.normal(keys[5], (num_classes,), dtype)
    return xattr.Model(_smooth if smooth else _rectified, params)


def _rectified(params: Any, images: jax.Array) -> jax.Array:
    return _convnet(params, images, jax.nn.relu)


def _smooth(params: Any, images: jax.Array) -> jax.Array:
    return _convnet(params, images, jax.nn.softplus)


def _convnet(params: Any, images: jax.Array, activation: Any) -> jax.Array:
    x = images
    for kernel, bias, stride in zip(
        params["kernels"], params["biases"], (1, 2), strict=True
    ):
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = activation(x + bias[None, None, None])
    return x.mean((1, 2)) @ params["head"] + params["head_bias"][None]


def images(n: int, *, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    """A batch of noise in the shape that `tiny_convnet` takes."""
    return jax.random.normal(jax.random.key(seed), (n, *SHAPE), dtype)
