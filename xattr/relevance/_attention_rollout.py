"""Attention rollout: attention followed through all layers."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import record
from xattr.relevance._attention_rows import Heads, Map, Mixing, layers_of

_FUSIONS: dict[str, Callable[[Heads], Mixing]] = {
    "mean": lambda heads: heads.mean(axis=1),
    "max": lambda heads: heads.max(axis=1),
    "min": lambda heads: heads.min(axis=1),
}


@compiled
def attention_rollout(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    sites: Sequence[str] | None = None,
    grid: tuple[int, int] | None = None,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    start_layer: int = 0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""How much of each patch reaches the class token, whatever the class.

    With $A^h_l$ the attention of head $h$ of layer $l$, fused to $W_l$, and the skip
    connection around it as an equal share of what a token keeps:

    $$ R = \hat A_L \cdots \hat A_1, \qquad \hat A_l = \tfrac12 W_l + \tfrac12 I, \qquad
       W_l = \tfrac1H \sum_h A^h_l $$

    The map is the row of $R$ of the class token, the first one; where there is none,
    the mean of all rows, which averages of tokens read.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: ignored, as are `score` and `key`; accepted so that all methods share one
        signature.
      sites: names of softmaxes, first layer first; every self-attention by default, see
        `xattr.program.attentions`.
      grid: rows and columns of patches; read from the model when None. Tokens beyond
        them come first and are left out.
      head_fusion: "mean" of the heads, as published, or their "max" or "min".
      discard_ratio: share of each fused matrix, the least of its weights, that is set
        to zero; 0 as published.
      start_layer: layers before it are left out; negative ones count from the last.
      score: ignored.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored.

    Returns:
      A map on the grid of patches, never negative. Together with the tokens that are no
      patches it sums to one.

    Raises:
      ValueError: if the model has no self-attention that can be read, its grid can't be
        read, or an argument is none of the above.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: (jax.nn.softmax(0 * x @ x.swapaxes(1, 2)) @ x).mean(1)
      >>> x = jnp.ones((1, 4, 3))
      >>> attention_rollout(model, x, grid=(2, 2))
      Array([[[0.25, 0.25],
              [0.25, 0.25]]], dtype=float32)

    References:
      [abnar2020quantifying], sec. 3.

    Notes:
      Rows are divided by their sums after fusion and discarding, which changes nothing
      for the mean of all. `head_fusion` and `discard_ratio` are those of the package
      vit-explain (0.9 there). Its code divides each column by the sum of the row of the
      same number, and discards in the first image only. What the first token gives
      itself is never discarded, as there.
    """
    del targets, score, key
    if head_fusion not in _FUSIONS:
        raise ValueError(
            f"`head_fusion`={head_fusion!r} must be one of {', '.join(_FUSIONS)}: "
            f"`head_fusion='mean'`."
        )
    if not 0 <= discard_ratio < 1:
        raise ValueError(
            f"`discard_ratio`={discard_ratio} must be in [0, 1): `discard_ratio=0.9`."
        )

    def evaluate(images, _):
        layers = layers_of(model, images, sites, grid, start_layer)
        weights = record(model, images, list(layers.found))
        fused = [
            _FUSIONS[head_fusion](attention.heads(weights[name]))
            for name, attention in layers.found.items()
        ]
        mixings = [_with_skip(_discarded(each, discard_ratio)) for each in fused]
        return layers.map_of(mixings).astype(images.dtype)

    return evaluate_all(evaluate, images, chunk_size=chunk_size)[:, 0]


def _discarded(weights: Mixing, ratio: float) -> Mixing:
    """The least weights of each image set to zero, but for the first token's own."""
    n, t, _ = weights.shape
    count = int(t * t * ratio)
    if count == 0:
        return weights
    flat = weights.reshape(n, t * t)
    rank = flat.argsort(axis=1).argsort(axis=1)
    kept = (rank >= count) | (jnp.arange(t * t) == 0)[None]
    return jnp.where(kept, flat, 0).reshape(n, t, t)


def _with_skip(weights: Mixing) -> Mixing:
    """Half of what attention gives and half of what the token was, as shares."""
    mixed = (weights + jnp.eye(weights.shape[-1], dtype=weights.dtype)[None]) / 2
    return mixed / mixed.sum(axis=-1, keepdims=True)
