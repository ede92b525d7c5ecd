"""Vision transformers (Dosovitskiy et al. 2021)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from xattr.models._layers import GELU
from xattr.models._network import Chain, Network

Tokens = Float[Array, "n t c"]


class SelfAttention(nnx.Module):
    r"""Every token reads all tokens, in several heads side by side.

    $$ A^h = \mathrm{softmax}\big(Q^h K^{h\top} / \sqrt d\big), \qquad
       y = W \, [A^1 V^1, \dots, A^H V^H] + b $$
    """

    def __init__(self, width: int, num_heads: int, *, rngs: nnx.Rngs):
        self.in_proj = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out_proj = nnx.Linear(width, width, rngs=rngs)
        self.num_heads = num_heads

    def __call__(self, x: Tokens) -> Tokens:
        """Return what the heads read, mixed."""
        n, t, c = x.shape
        depth = c // self.num_heads
        split = self.in_proj(x).reshape(n, t, 3, self.num_heads, depth)
        queries, keys, values = (split[:, :, part] for part in range(3))
        scores = jnp.einsum("nqhd,nkhd->nhqk", queries, keys) / depth**0.5
        weights = jax.nn.softmax(scores, axis=-1)
        read = jnp.einsum("nhqk,nkhd->nqhd", weights, values)
        return self.out_proj(read.reshape(n, t, c))


class EncoderBlock(nnx.Module):
    """Attention, then two dense layers; each after a layer norm, each added."""

    def __init__(self, width: int, num_heads: int, hidden: int, *, rngs: nnx.Rngs):
        self.ln_1 = _norm(width, rngs)
        self.self_attention = SelfAttention(width, num_heads, rngs=rngs)
        self.ln_2 = _norm(width, rngs)
        layers = {
            "0": nnx.Linear(width, hidden, rngs=rngs),
            "1": GELU(),
            "3": nnx.Linear(hidden, width, rngs=rngs),
        }
        self.mlp = Chain(layers)

    def __call__(self, x: Tokens) -> Tokens:
        """Return `x` plus what both parts add."""
        x = x + self.self_attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Encoder(nnx.Module):
    """Positions are added, blocks applied, and the result normalized."""

    def __init__(
        self,
        num_tokens: int,
        *,
        depth: int,
        width: int,
        num_heads: int,
        hidden: int,
        rngs: nnx.Rngs,
    ):
        drawn = 0.02 * jax.random.normal(rngs.params(), (1, num_tokens, width))
        self.pos_embedding = nnx.Param(drawn)
        blocks = {
            f"encoder_layer_{index}": EncoderBlock(width, num_heads, hidden, rngs=rngs)
            for index in range(depth)
        }
        self.layers = Chain(blocks)
        self.ln = _norm(width, rngs)

    def __call__(self, x: Tokens) -> Tokens:
        """Return the tokens after the last block."""
        x = x + self.pos_embedding[...].astype(x.dtype)
        return self.ln(self.layers(x))


class ImageTokens(Chain):
    """An image as tokens: the class token, then the patches row by row, encoded."""

    def __init__(self, conv_proj: nnx.Conv, encoder: Encoder):
        super().__init__({"conv_proj": conv_proj, "encoder": encoder})
        self.num_tokens, width = encoder.pos_embedding.shape[1:]
        self.class_token = nnx.Param(jnp.zeros((1, 1, width)))

    def __call__(self, x: Float[Array, "n h w c"]) -> Tokens:
        """Return the encoded tokens of `x`."""
        project, encode = (getattr(self, name) for name in self.order)
        patches = project(x)
        n, rows, columns, width = patches.shape
        if rows * columns + 1 != self.num_tokens:
            raise ValueError(
                f"`images` of {x.shape[1]} x {x.shape[2]} pixels give "
                f"{rows} x {columns} patches, but this network has positions for "
                f"{self.num_tokens - 1}. Resize them, or build it for their size: "
                f"`vit(..., image_size={max(x.shape[1:3])})`."
            )
        patches = patches.reshape(n, rows * columns, width)
        token = self.class_token[...].astype(patches.dtype)
        token = jnp.broadcast_to(token, (n, 1, width))
        return encode(jnp.concatenate([token, patches], axis=1))


class ClassToken(nnx.Module):
    """The first token: what the classes are read from."""

    def __call__(self, x: Tokens) -> Float[Array, "n c"]:
        """Return the first token of `x`."""
        return x[:, 0]


def vit(
    num_classes: int = 1000,
    *,
    patch_size: int,
    image_size: int = 224,
    depth: int = 12,
    width: int = 768,
    num_heads: int = 12,
    hidden: int = 3072,
    rngs: nnx.Rngs,
) -> Network:
    """Vision transformer: square patches as tokens, encoder blocks, a class token.

    Args:
      num_classes: logits.
      patch_size: rows and columns of a patch, 16 or 32 as published.
      image_size: rows and columns of the images, a multiple of `patch_size`: each
        patch has a learned position.
      depth: encoder blocks.
      width: channels of a token.
      num_heads: heads of each attention, a divisor of `width`.
      hidden: channels between the two dense layers of a block.
      rngs: keys of the initial weights.

    Returns:
      The network; its features are tokens `n t c`, the class token first. The default
      sizes are those of ViT-B.

    Raises:
      ValueError: if a size does not divide the other.

    References:
      [dosovitskiy2021image], eq. 1-4 and table 1.
    """
    for name, size, part, of in (
        ("patch_size", image_size, patch_size, "image_size"),
        ("num_heads", width, num_heads, "width"),
    ):
        if part < 1 or size % part:
            raise ValueError(
                f"`{name}`={part} does not divide `{of}`={size}; choose a divisor, for "
                f"example `vit(patch_size=16, image_size=224, width=768, num_heads=8)`."
            )
    patch = (patch_size, patch_size)
    tokens = ImageTokens(
        nnx.Conv(3, width, patch, strides=patch, padding="VALID", rngs=rngs),
        Encoder(
            (image_size // patch_size) ** 2 + 1,
            depth=depth,
            width=width,
            num_heads=num_heads,
            hidden=hidden,
            rngs=rngs,
        ),
    )
    head = {"token": ClassToken(), "head": nnx.Linear(width, num_classes, rngs=rngs)}
    return Network(tokens, Chain(head), prefixes=("", "heads."))


def _norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=1e-6, use_fast_variance=False, rngs=rngs)
