"""Contrastive excitation backprop: winners for the target, less those against it."""

from jaxtyping import Array, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.relevance._excitation import chances, composite, contrast

CONTRASTIVE = composite(last=contrast)


@compiled
def contrastive_excitation_backprop(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str | None = None,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ..."]:
    r"""How much likelier the target reaches each value than its opposite does.

    As `xattr.excitation_backprop`, $p$, less the same of an output whose weights in the
    last layer have the other sign, $\bar p$. Below that layer chances are handed down
    linearly, so that the difference is taken there, and handed down once:

    $$ p_i - \bar p_i = a_i \left(\frac{w_i^+}{\sum a w^+} -
       \frac{w_i^-}{\sum a w^-}\right), \qquad w^- = (-w)^+ $$

    Args:
      model: function from a batch of images to outputs, logits rather than
        probabilities.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of an activation, whose units are told their
        chances; those of the images when None.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.
      score: its derivative by the outputs is where one starts: for `xattr.logit`, at
        the target with certainty.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed differences of the images' shape, or of the site's with the batch first and
      channels last, `n i j d`; positive for the target. They sum to zero over an image,
      less what ends at units whom nothing excites. The published map is the positive
      part of the sum over channels of a site: `xattr.images.channel_sum`.

    Raises:
      TypeError: as `xattr.excitation_backprop`.
      ValueError: as `xattr.excitation_backprop`.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x @ jnp.array([[1.0], [-2.0], [3.0]])
      >>> x = jnp.array([[3.0, 5.0, 1.0]])
      >>> contrastive_excitation_backprop(model, x, jnp.array([0]))
      Array([[ 0.5, -1. ,  0.5]], dtype=float32)

    References:
      [zhang2016excitation].

    Notes:
      The paper and TorchRay take the difference at a layer of choice: at any, it is
      the same.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        return chances(model, images, targets, CONTRASTIVE, score, site, axes)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]
