"""The place of an image that each channel of a site depends on most."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xattr._checks import check_pictures, check_positive
from xattr._chunking import evaluate_sharing
from xattr._compile import compiled
from xattr._types import Images, Predictor
from xattr.images import gaussian_blur
from xattr.program import at_site


class Proposals(NamedTuple):
    """Where each channel of a site looks at an image: what may be a part.

    Attributes:
      positions: (row, column) as shares of the image; not a number where the channel
        depends on no pixel.
      scores: highest activation of the channel, 0 where none is positive.
    """

    positions: Float[Array, "i d 2"]
    scores: Float[Array, "i d"]


@compiled
def part_proposals(
    model: Predictor,
    images: Images,
    *,
    site: str,
    stddev: float = 3.0,
    axes: str | None = None,
    chunk_size: int | None = None,
) -> Proposals:
    r"""The place of an image that each channel of a site depends on most.

    With $A^d$ a channel and $G$ a Gaussian:

    $$ p_d = \arg\max_p \Big(G * \sum_c \Big|\frac{\partial}{\partial x_c}
       \sum_{ij} A^d_{ij}\Big|\Big)_p $$

    Args:
      model: function from a batch of images to outputs.
      images: images `n h w c`, in the units that the model takes.
      site: exact name or module path of the activation.
      stddev: of the Gaussian, in pixels.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.
      chunk_size: channels of images held in memory at once; chosen to fit when None.

    Returns:
      Positions and scores of the channels; the first pixel, row by row, where several
      have the maximum.

    Raises:
      ValueError: if images are not `n h w c`, `stddev` is not positive, or the site is
        unknown, ambiguous or inside a loop.

    Example:
      >>> model = lambda x: jax.nn.relu(x)
      >>> x = jnp.zeros((1, 4, 4, 1)).at[0, 2, 1].set(5.0)
      >>> part_proposals(model, x, site="relu:0", axes="nhwc").positions.tolist()
      [[[0.625, 0.375]]]

    References:
      [simon2014part]; [simon2015neural].

    Notes:
      The authors cut the Gaussian off at 20 by 20 pixels, which are not around a middle
      pixel, and take the last of several maxima. They have no scores: these are those
      of raw peaks, so that both place the channels in the same images.
    """
    check_pictures(images)
    check_positive("stddev", stddev, 3.0)
    activation = at_site(model, site, axes=axes)
    channels = jax.eval_shape(activation, images).shape[-1]
    _, h, w, _ = images.shape

    def share(image: Float[Array, "h w c"]):
        found, pull_back = jax.vjp(lambda image: activation(image[None])[0], image)

        def of_channel(number: Int[Array, ""]) -> Proposals:
            chosen = (jnp.arange(channels) == number).astype(found.dtype)
            (slope,) = pull_back(jnp.broadcast_to(chosen, found.shape))
            heat = jnp.abs(slope).sum(-1)
            heat = gaussian_blur(heat[None], stddev, edges="zero")[0]
            cell = jnp.stack(jnp.divmod(heat.argmax(), w)).astype(heat.dtype)
            place = (cell + 0.5) / jnp.array([h, w], heat.dtype)
            depends = heat.max() > 0
            highest = jnp.maximum(found[..., number].max(), 0)
            return Proposals(
                jnp.where(depends, place, jnp.nan), jnp.where(depends, highest, 0)
            )

        return of_channel

    return evaluate_sharing(share, images, num=channels, chunk_size=chunk_size)
