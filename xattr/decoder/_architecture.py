"""What a saliency decoder reads, and how large it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
from jaxtyping import Array

from xattr._types import Images, Predictor
from xattr.decoder._features import features_and_outputs

Output = Literal["agnostic", "class", "selector", "evidence"]


@dataclass(frozen=True)
class Architecture:
    """The form of a decoder: all that there is to know of it but its parameters.

    Attributes:
      sites: names of the activations that it reads. Decoding begins at the first, which
        has the smallest grid; the others are added on the way where the grid is nearest
        to theirs.
      shapes: rows, columns and channels of each.
      size: rows and columns of the images, and of the masks.
      channels: of the blocks, each of which doubles the grid.
      output: `agnostic`, one mask whatever the class; `class`, one per class, of which
        the target's is taken; `selector`, one, after the first site is gated by an
        embedding of the target; or `evidence`, one, that reads beside the sites what
        each cell of the first adds to the target's logit.
      num_classes: of the model; 0 where the mask is `agnostic`.
      bias: of the last convolution: a mask starts near its sigmoid.
      quantiles: which quantiles of each mask become 0 and 1; what is beyond is cut. So
        `(0.0, 1.0)` scales each mask by its own extremes, as CAMs are where they mask
        an image, and `(0.1, 0.9)` hides at least a tenth of each image in full and
        shows a tenth. Its mean then is a share of the image, and something is always
        kept. Masks are as the sigmoid gives them when None.

    Raises:
      ValueError: if these don't fit each other.
    """

    sites: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    size: tuple[int, int]
    channels: tuple[int, ...] = (64, 32, 16)
    output: Output = "agnostic"
    num_classes: int = 0
    bias: float = 1.0
    quantiles: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.sites or len(self.sites) != len(self.shapes):
            raise ValueError(
                f"`sites` has {len(self.sites)} names for the {len(self.shapes)} "
                f"`shapes`; a decoder needs at least one site, and a shape for each: "
                f"`architecture(model, images, ['features/18'])` reads them."
            )
        if not self.channels or min(self.channels) < 1:
            raise ValueError(
                f"`channels`={self.channels}; it must hold the positive number of "
                f"channels of at least one block: `channels=(64, 32, 16)`."
            )
        if self.output not in get_args(Output):
            raise ValueError(
                f"`output`={self.output!r} is none of {', '.join(get_args(Output))}: "
                f"`output='agnostic'`."
            )
        if self.output != "agnostic" and self.num_classes < 1:
            raise ValueError(
                f"`num_classes`={self.num_classes}; `output`={self.output!r} needs the "
                f"number of classes of the model: `num_classes=1000`."
            )
        if self.quantiles is not None:
            low, high = self.quantiles
            if not 0 <= low < high <= 1:
                raise ValueError(
                    f"`quantiles`={self.quantiles}; they must rise, from 0 to 1: "
                    f"`quantiles=(0.1, 0.9)`."
                )
        _check_order(self.sites, self.shapes)
        _check_size(self.shapes[0], self.size, self.channels)

    @property
    def maps(self) -> tuple[tuple[str, tuple[int, int, int]], ...]:
        """All that is read, in order: a name; rows, columns and channels."""
        read = tuple(zip(self.sites, self.shapes, strict=True))
        if self.output != "evidence":
            return read
        rows, columns, _ = self.shapes[0]
        return (*read, ("evidence", (rows, columns, 1)))

    def grid(self, level: int) -> tuple[int, int]:
        """Rows and columns after so many blocks."""
        rows, columns, _ = self.shapes[0]
        return rows * 2**level, columns * 2**level

    def level(self, site: int) -> int:
        """After how many blocks the grid is nearest to that of a site."""
        rows, columns, _ = self.shapes[site]

        def apart(level: int) -> float:
            i, j = self.grid(level)
            return max(rows * columns / (i * j), i * j / (rows * columns))

        return min(range(len(self.channels) + 1), key=apart)


def architecture(
    model: Predictor,
    images: Images | jax.ShapeDtypeStruct,
    sites: str | Sequence[str],
    *,
    channels: Sequence[int] = (64, 32, 16),
    output: Output = "agnostic",
    bias: float = 1.0,
    quantiles: tuple[float, float] | None = None,
) -> Architecture:
    """The decoder of some sites of a model, whose shapes are read from it.

    Args:
      model: function from a batch of images to outputs. It is read, not run.
      images: a batch of the shape and type that the model takes; may be a
        `jax.ShapeDtypeStruct`.
      sites: exact names or module paths of spatial activations, or tokens of such; the
        one with the smallest grid first. One name stands for a list of one.
      channels: see `Architecture`, as are the others.
      output: which mask is for which class.
      bias: of the last convolution.
      quantiles: which of each mask become 0 and 1.

    Returns:
      The architecture; equal ones make the same program.

    Raises:
      ValueError: if a site is unknown or not spatial, the first is not the smallest,
        the blocks would grow beyond the images, or classes are needed and the outputs
        are not one logit per class.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def model(x):
      ...     cells = jax.lax.conv_general_dilated(
      ...         x, jnp.ones((4, 4, 3, 5)), (4, 4), "VALID",
      ...         dimension_numbers=("NHWC", "HWIO", "NHWC"))
      ...     return jax.nn.relu(cells).mean((1, 2))
      >>> images = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
      >>> found = architecture(model, images, "relu:0", channels=(4, 2))
      >>> found.shapes, found.size, found.grid(2)
      (((2, 2, 5),), (8, 8), (8, 8))
    """
    if len(images.shape) != 4:
        raise ValueError(
            f"`images` has shape {images.shape}; a decoder needs images `n h w c`, "
            f"such as `jax.ShapeDtypeStruct((1, 224, 224, 3), 'float32')`."
        )
    names = (sites,) if isinstance(sites, str) else tuple(sites)
    if not names:
        raise ValueError(
            "`sites` is empty; a decoder reads at least one. List them with "
            "`xattr.sites(model, images)`."
        )
    maps, outputs = jax.eval_shape(
        lambda images: features_and_outputs(model, images, names), images
    )
    return Architecture(
        names,
        tuple(features.shape[1:] for features in maps),
        (images.shape[1], images.shape[2]),
        tuple(channels),
        output,
        0 if output == "agnostic" else _num_classes(outputs, output),
        bias,
        quantiles,
    )


def check_num_classes(
    outputs: Array, architecture: Architecture, *, model: str, decoder: str
) -> None:
    """Refuse a model of other classes than those that a decoder tells apart.

    Args:
      outputs: the model's logits.
      architecture: of the decoder.
      model: what an error calls the model.
      decoder: what an error calls the decoder.
    """
    found, wanted = outputs.shape[1], architecture.num_classes
    if architecture.output != "agnostic" and found != wanted:
        raise ValueError(
            f"`{model}` has {found} classes, but `{decoder}` was made for {wanted}: it "
            f"belongs to another model. Make one of this model by "
            f"`architecture(model, images, sites, output={architecture.output!r})`."
        )


def _num_classes(outputs: Any, output: str) -> int:
    if getattr(outputs, "ndim", None) != 2:
        shapes = jax.tree.map(lambda x: x.shape, outputs)
        raise ValueError(
            f"`output`={output!r} needs a model with one array `n k` of logits; its "
            f"outputs have shapes {shapes}. For these use `output='agnostic'`."
        )
    return outputs.shape[1]


def _check_order(
    sites: tuple[str, ...], shapes: tuple[tuple[int, int, int], ...]
) -> None:
    cells = [rows * columns for rows, columns, _ in shapes]
    least = min(range(len(cells)), key=cells.__getitem__)
    if cells[0] > cells[least]:
        (i, j, _), (k, m, _) = shapes[0], shapes[least]
        others = [site for place, site in enumerate(sites) if place != least]
        raise ValueError(
            f"`sites` begins with {sites[0]!r} ({i} x {j} cells), but "
            f"{sites[least]!r} is smaller ({k} x {m}); decoding begins at the smallest "
            f"grid: `sites={[sites[least], *others]}`."
        )


def _check_size(
    shape: tuple[int, int, int], size: tuple[int, int], channels: tuple[int, ...]
) -> None:
    rows, columns, _ = shape
    most = min(size[0] // rows, size[1] // columns).bit_length() - 1
    if most < 1:
        raise ValueError(
            f"`sites` begins with a grid of {rows} x {columns} cells, for images of "
            f"{size[0]} x {size[1]}: already one block would grow beyond them. Begin "
            f"with a site of a smaller grid, see `xattr.sites(model, images)`."
        )
    if len(channels) > most:
        raise ValueError(
            f"`channels`={channels} has {len(channels)} blocks, each of which doubles "
            f"the grid, from {rows} x {columns} to more than the {size[0]} x {size[1]} "
            f"of the images; at most {most} fit: `channels={channels[:most]}`."
        )
