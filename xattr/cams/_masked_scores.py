"""What every Score-CAM starts from: the score of the image seen through a channel."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._checks import check_count, check_pictures
from xattr._chunking import evaluate_all
from xattr._scores import predicted, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Grid, site_and_outputs
from xattr.images import Resize, min_max
from xattr.images import resize as resized
from xattr.paths._baselines import Baseline, one_baseline

Masks = Float[Array, "m h w"]
Channels = Float[Array, "n d"]

# Masks of some pairs, their images' keys, and which copy of its channel each mask is,
# among those of all channels -> what the images are seen through instead.
Alter = Callable[[Masks, Keys | None, Int[Array, " m"]], Masks]


class MaskedScores(NamedTuple):
    """Activations of a site, and the scores of the images seen through each channel.

    Attributes:
      activations: the site's, in the type of the images; of the channels used alone.
      scores: one per channel: the mean over the copies of its mask.
    """

    activations: Grid
    scores: Channels


def masked_scores(
    model: Predictor,
    images: Images,
    targets: PyTree,
    *,
    site: str,
    axes: str | None,
    baseline: Baseline,
    resize: Resize,
    score: Score,
    num_channels: int | None,
    chunk_size: int | None,
    num_copies: int = 1,
    alter: Alter | None = None,
    keys: Keys | None = None,
) -> MaskedScores:
    """Both; enlarged masks and masked images exist one chunk at a time."""
    check_pictures(images)
    activations, targets = _clean(model, images, targets, site, axes, chunk_size)
    if num_channels is not None:
        activations = _most_varying(activations, num_channels)
    rows = (images, one_baseline(images, baseline), targets, activations, keys)

    def evaluate(rows, index):
        images, fill, targets, activations, keys = rows
        channels = channel_of(activations, index // num_copies)
        masks = channel_masks(channels, images.shape[1:3], resize)
        masks = masks if alter is None else alter(masks, keys, index)
        visible = masks[..., None].astype(images.dtype)
        masked = visible * images + (1 - visible) * fill
        scores, _ = score_and_targets(score, model(masked), targets)
        return scores.astype(images.dtype)

    num = activations.shape[3] * num_copies
    scores = evaluate_all(evaluate, rows, num=num, chunk_size=chunk_size)
    copies = scores.reshape(*scores.shape[:1], -1, num_copies)
    return MaskedScores(activations, copies.mean(axis=2))


def channel_masks(
    channels: Float[Array, "m i j"], size: tuple[int, int], resize: Resize
) -> Masks:
    """Channels enlarged, then each moved and scaled to [0, 1]; constant ones are 0."""
    return min_max(resized(channels, size, method=resize))


def channel_of(activations: Grid, channel: Int[Array, " n"]) -> Float[Array, "n i j"]:
    """One channel of each image's site."""
    # A sum over a mask: unlike a look-up it is fused with the repetition of the rows,
    # so that a chunk does not hold the whole site once per channel.
    place = jax.lax.broadcasted_iota(channel.dtype, activations.shape, 3)
    own = place == channel[:, None, None, None]
    return jnp.where(own, activations, 0).sum(axis=3)


def _most_varying(activations: Grid, num_channels: int) -> Grid:
    """The channels of each image that vary most over its cells, in their order."""
    check_count("num_channels", num_channels)
    varying = activations.var(axis=(1, 2))
    _, chosen = jax.lax.top_k(varying, min(num_channels, activations.shape[3]))
    chosen = jnp.sort(chosen, axis=1)
    return jnp.take_along_axis(activations, chosen[:, None, None], axis=3)


def softmax_over_channels(found: MaskedScores) -> Channels:
    """Positive weights that sum to 1 over the channels of each image."""
    return jax.nn.softmax(found.scores, axis=1)


def _clean(
    model: Predictor,
    images: Images,
    targets: PyTree,
    site: str,
    axes: str | None,
    chunk_size: int | None,
) -> tuple[Grid, PyTree]:
    """The site on the images as they are, and the targets that stay from here on."""

    def evaluate(rows, _):
        images, targets = rows
        activations, outputs = site_and_outputs(model, images, site, axes)
        targets = predicted(outputs) if targets is None else targets
        return activations.astype(images.dtype), targets

    found = evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)
    return found[0][:, 0], found[1][:, 0] if targets is None else targets
