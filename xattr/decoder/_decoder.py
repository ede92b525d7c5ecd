"""The network from feature maps to a mask."""

import functools
import math
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from xattr.decoder._architecture import Architecture
from xattr.decoder._features import Features
from xattr.decoder._upsample import transposed_convolution
from xattr.images import resize

_GROUP = 8


class Decoder(nnx.Module):
    r"""A small network from a model's feature maps to the logits of a mask.

    With $A_0$ the map where decoding begins, $P$ a convolution of 1 x 1 followed by
    group normalization, and $S_b$ the sum of the $P(A)$ of the sites that enter after
    block $b$, resized bilinearly to its grid:

    $$ x_0 = P(A_0) + S_0, \qquad
       x_b = \operatorname{ReLU}(\operatorname{GroupNorm}(T_b x_{b-1} + S_b)) $$

    where $T_b$ is the `transposed_convolution` to twice the grid; a convolution of
    3 x 3 gives the logits $z$, which are resized bilinearly to the images. The mask is
    $\sigma(z)$, or, with `quantiles`, of which $z_0$ and $z_1$ are those of an image's
    logits before they are resized,

    $$ m = \min\left(1, \max\left(0,
       \frac{\sigma(z) - \sigma(z_0)}{\sigma(z_1) - \sigma(z_0)}\right)\right) $$

    Sites are added rather than concatenated, which costs nothing in the blocks after.

    Of class $c$, `output` takes the filter of the last convolution that belongs to it
    (`class`), or multiplies $P(A_0)$ by $\sigma(\langle A_0, e_c \rangle)$, cell by
    cell, with a learnt $e_c$ (`selector`), or has the evidence for it, which
    `features_and_outputs` gives after the sites, as one more map in $S_0$ (`evidence`).

    Args:
      architecture: what it reads, and its size.
      rngs: keys of the initial parameters.

    References:
      [dabkowski2017real]; [wu2018group].

    Notes:
      The selector of [dabkowski2017real] subtracts a constant inside the sigmoid, and
      gates before the convolution; here gates come after its normalization, which
      would undo a gate that is the same everywhere.

      Computes in the type of its parameters, but the logits are at least in single
      precision.
    """

    def __init__(self, architecture: Architecture, *, rngs: nnx.Rngs):
        self.architecture = architecture
        # Of the grid where decoding begins, and after each block.
        widths = (architecture.channels[0], *architecture.channels)
        self.entries = nnx.List(
            [
                Entry(shape[2], widths[architecture.level(k) if k else 0], rngs=rngs)
                for k, shape in enumerate(architecture.shapes)
            ]
        )
        self.blocks = nnx.List([Block(c, d, rngs=rngs) for c, d in pairwise(widths)])
        maps = architecture.num_classes if architecture.output == "class" else 1
        # Small, so that the mask starts as the bias has it.
        kernel = nnx.initializers.normal(0.01)
        shape = 3, 3, widths[-1], maps
        self.kernel = nnx.Param(kernel(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.full(maps, architecture.bias, jnp.float32))
        if architecture.output == "selector":
            channels = architecture.shapes[0][2]
            embedding = nnx.initializers.normal(1 / math.sqrt(channels))
            shape = architecture.num_classes, channels
            self.embedding = nnx.Param(embedding(rngs.params(), shape, jnp.float32))
        # Last, so that all else begins as it does without it.
        if architecture.output == "evidence":
            self.evidence = Entry(1, widths[0], rngs=rngs)

    def __call__(
        self, features: Features, targets: Int[Array, " n"] | None = None
    ) -> Float[Array, "n h w 1"]:
        """The logits of the mask, at the size of the images.

        Args:
          features: the map of each site and, where the architecture asks for it, the
            evidence, as `features_and_outputs` gives them.
          targets: one class index per image; of use to `class` and `selector` only. One
            that is out of range gives not a number.

        Raises:
          ValueError: if features are not those of the architecture, or targets are
            missing.
        """
        return self._resized(self._logits(features, targets))

    def mask(
        self, features: Features, targets: Int[Array, " n"] | None = None
    ) -> Float[Array, "n h w 1"]:
        """The mask itself, in [0, 1].

        Args:
          features: as for the logits.
          targets: likewise.

        Returns:
          What to keep of each pixel; with `quantiles`, 0 everywhere in a mask whose two
          quantiles are the same.
        """
        logits = self._logits(features, targets)
        mask = jax.nn.sigmoid(self._resized(logits))
        if self.architecture.quantiles is None:
            return mask
        # Of the decoder's own grid, where there is far less to sort than all pixels.
        at = jnp.asarray(self.architecture.quantiles)
        found = jnp.quantile(logits.reshape(len(logits), -1), at, axis=1)
        low, high = jax.nn.sigmoid(found)[..., None, None, None]
        extent = high - low
        scaled = (mask - low) / jnp.where(extent > 0, extent, 1)
        # Asked this way, what is not a number stays so.
        return jnp.where(extent <= 0, 0, jnp.clip(scaled, 0, 1))

    def _resized(self, logits: Float[Array, "n i j"]) -> Float[Array, "n h w 1"]:
        return resize(logits, self.architecture.size)[..., None]

    def _logits(
        self, features: Features, targets: Int[Array, " n"] | None
    ) -> Float[Array, "n i j"]:
        """The logits of the mask on the decoder's own grid."""
        wanted = self.architecture
        _check_features(features, wanted)
        dtype = self.kernel[...].dtype
        maps = [features.astype(dtype) for features in features]
        x = self.entries[0](maps[0])
        if wanted.output == "selector":
            chosen = _rows(self.embedding[...], targets)
            x *= jax.nn.sigmoid(jnp.einsum("nijd,nd->nij", maps[0], chosen))[..., None]
        if wanted.output == "evidence":
            x += self.evidence(maps.pop())
        x += self._entering(maps, 0)
        for level, block in enumerate(self.blocks, start=1):
            x = block(x, self._entering(maps, level))
        kernel, bias, axes = self.kernel[..., 0], self.bias[0], "abc"
        if wanted.output == "class":
            kernel = _rows(jnp.moveaxis(self.kernel[...], 3, 0), targets)
            bias = _rows(self.bias[...], targets)[:, None, None]
            axes = "nabc"
        logits = _sum_of_shifts(jnp.einsum(f"nijc,{axes}->nijab", x, kernel)) + bias
        return logits.astype(jnp.promote_types(dtype, jnp.float32))

    def _entering(self, maps: list[Array], level: int) -> Array | float:
        """Sum of what enters after so many blocks, on their grid."""
        grid = self.architecture.grid(level)
        found = [
            resize(entry(features), grid)
            for k, (entry, features) in enumerate(zip(self.entries, maps, strict=True))
            if k and self.architecture.level(k) == level
        ]
        return sum(found, start=0.0)


class Entry(nnx.Module):
    """Convolution of 1 x 1, normalized, so that sites of any scale add up."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(inputs, outputs, use_bias=False, rngs=rngs)
        self.norm = _group_norm(outputs, rngs)

    def __call__(self, x: Float[Array, "n i j c"]) -> Float[Array, "n i j d"]:
        """Return the map in the decoder's own channels."""
        return self.norm(self.linear(x))


class Block(nnx.Module):
    """Twice the grid: transposed convolution, group normalization, rectifier."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        # Each output has 2 x 2 cells to read.
        kernel = nnx.initializers.normal(math.sqrt(2 / (4 * inputs)))
        shape = 4, 4, inputs, outputs
        self.kernel = nnx.Param(kernel(rngs.params(), shape, jnp.float32))
        self.norm = _group_norm(outputs, rngs)

    def __call__(
        self, x: Float[Array, "n i j c"], entering: Float[Array, "n k m d"] | float
    ) -> Float[Array, "n k m d"]:
        """Return the larger map, with what enters added before it is normalized."""
        return jax.nn.relu(
            self.norm(transposed_convolution(x, self.kernel[...]) + entering)
        )


@functools.cache
def definition(architecture: Architecture) -> tuple[nnx.GraphDef, nnx.State]:
    """The structure of a decoder, and the shapes and types of its parameters."""
    return nnx.split(nnx.eval_shape(lambda: Decoder(architecture, rngs=nnx.Rngs(0))))


def _group_norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    groups = math.gcd(channels, _GROUP)
    return nnx.GroupNorm(channels, groups, epsilon=1e-5, rngs=rngs)


def _rows(table: Array, targets: Array | None) -> Array:
    """The row of each target; not a number for one that is none of them."""
    if targets is None:
        raise ValueError(
            "`targets` is None; a decoder whose `output` is 'class' or 'selector' "
            "needs one class index per image: `targets=outputs.argmax(1)`."
        )
    rows = table[targets]
    known = (targets >= 0) & (targets < len(table))
    return jnp.where(jnp.expand_dims(known, range(1, rows.ndim)), rows, jnp.nan)


def _sum_of_shifts(
    taps: Float[Array, "n i j 3 3"],
) -> Float[Array, "n i j"]:
    """A convolution of 3 x 3 to one channel, from its products with single cells.

    Its derivative is a product of matrices, as for `transposed_convolution`.
    """
    _, i, j, _, _ = taps.shape
    padded = jnp.pad(taps, ((0, 0), (1, 1), (1, 1), (0, 0), (0, 0)))
    shifts = [padded[:, a : a + i, b : b + j, a, b] for a in range(3) for b in range(3)]
    return sum(shifts[1:], start=shifts[0])


def _check_features(features: Features, architecture: Architecture) -> None:
    maps = architecture.maps
    if len(features) != len(maps):
        names = ", ".join(repr(name) for name, _ in maps)
        more = ", targets, evidence=True" if architecture.output == "evidence" else ""
        raise ValueError(
            f"`features` has {len(features)} maps, where this decoder reads "
            f"{len(maps)}: {names}. `features_and_outputs(model, images, sites{more})` "
            f"gives them."
        )
    shapes = [map.shape[1:] for map in features]
    for (name, wanted), found in zip(maps, shapes, strict=True):
        if found != wanted:
            raise ValueError(
                f"`features` of {name!r} are {_times(found)} (rows, columns, "
                f"channels), where this decoder reads {_times(wanted)}: it belongs to "
                f"another model, or to images of another size. Make one of this model "
                f"by `architecture(model, images, sites)`."
            )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
