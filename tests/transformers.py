"""Small vision transformers, for the tests."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import xattr
from xattr.models import Network, with_tensors
from xattr.models._convert import torch_shapes
from xattr.models._vit import vit

SIZES = {"patch_size": 4, "image_size": 8, "depth": 2, "width": 8, "num_heads": 2}
SITE = "features/encoder/layers/encoder_layer_1/ln_1"


@functools.cache
def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of `tiny_vit` by torchvision's names, biases and positions among them."""
    build = functools.partial(vit, 3, **SIZES, hidden=12)
    shapes = torch_shapes(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))))
    noise = np.random.default_rng(seed)
    return {
        name: (
            name.endswith(("ln.weight", "ln_1.weight", "ln_2.weight"))
            + noise.normal(size=shape) / (1 if len(shape) == 3 else shape[-1] ** 0.5)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }


def tiny_network(seed: int = 0) -> Network:
    """Two blocks of two heads on the four patches of `n 8 8 3`; three classes."""
    build = functools.partial(vit, 3, **SIZES, hidden=12)
    return with_tensors(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))), tensors(seed))


@functools.cache
def tiny_vit(seed: int = 0) -> xattr.Model:
    """The same as a model."""
    return xattr.from_nnx(tiny_network(seed))


def images(n: int, *, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    """A batch of noise in the shape that `tiny_vit` takes."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 8, 8, 3)), dtype)


class LinenViT(nn.Module):
    """Registers and a class token before the patches; attention by Flax's own layer."""

    @nn.compact
    def __call__(self, x):
        """Return three logits."""
        x = nn.Conv(8, (4, 4), (4, 4), padding="VALID")(x)
        x = x.reshape(len(x), -1, 8)
        first = self.param("first", nn.initializers.normal(1.0), (1, 3, 8))
        x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 3, 8)), x], axis=1)
        for _ in range(2):
            x = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
            x = x + nn.Dense(8)(nn.gelu(nn.Dense(12)(nn.LayerNorm()(x))))
        return nn.Dense(3)(nn.LayerNorm()(x)[:, 0])


@functools.cache
def linen_vit() -> xattr.Model:
    """Takes `n 8 12 3`, whose patches are two rows of three."""
    module = LinenViT()
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 8, 12, 3)))
    return xattr.from_linen(module, variables)


def wide_images(n: int) -> jax.Array:
    """A batch of noise in the shape that `linen_vit` takes."""
    drawn = np.random.default_rng(1).normal(size=(n, 8, 12, 3))
    return jnp.asarray(drawn, jnp.float32)
