"""Generic attention explainability: attention weighted by its gradient, added up."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import perturb
from xattr.relevance._attention_rows import Heads, Map, Mixing, layers_of


@compiled
def generic_attention(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    sites: Sequence[str] | None = None,
    grid: tuple[int, int] | None = None,
    start_layer: int = 0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""How much each patch speaks for the target, through the attention of all layers.

    With $A_l$ the attention of layer $l$, all heads, and $f$ the score:

    $$ R \leftarrow R + \bar A_l R, \qquad
       \bar A_l = \mathbb{E}_h\big[(\nabla_{A_l} f \odot A_l)^+\big], \qquad R_0 = I $$

    The map is the row of $R$ of the class token, the first one; where there is none,
    the mean of all rows, which averages of tokens read.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      sites: names of softmaxes, first layer first; every self-attention by default, see
        `xattr.program.attentions`.
      grid: rows and columns of patches; read from the model when None. Tokens beyond
        them come first and are left out.
      start_layer: layers before it are left out; negative ones count from the last.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the grid of patches, never negative, without a unit.

    Raises:
      ValueError: if the model has no self-attention that can be read, its grid can't be
        read, or an argument is none of the above.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: (jax.nn.softmax(0 * x @ x.swapaxes(1, 2)) @ x).sum(1)
      >>> x = jnp.array([[[8.0], [0.0], [-8.0], [16.0]]])
      >>> generic_attention(model, x, grid=(2, 2))
      Array([[[2.25, 0.25],
              [0.25, 4.25]]], dtype=float32)

    References:
      [chefer2021generic], eq. 5 and 6.

    Notes:
      For self-attention, as in a vision transformer that classifies. The paper's rules
      for two modalities and for encoders with decoders are not here.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        layers = layers_of(model, images, sites, grid, start_layer)
        perturbed = perturb(model, images, list(layers.found))

        def total(perturbations: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
            outputs, weights = perturbed.call(perturbations)
            return score_and_targets(score, outputs, targets)[0].sum(), weights

        gradients, weights = jax.grad(total, has_aux=True)(perturbed.zeros)
        mixings = [
            _mixing(attention.heads(weights[name]), attention.heads(gradients[name]))
            for name, attention in layers.found.items()
        ]
        return layers.map_of(mixings).astype(images.dtype)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]


def _mixing(weights: Heads, gradients: Heads) -> Mixing:
    """What a layer passes on: attention where it is for the target, and itself."""
    helpful = jax.nn.relu(gradients * weights).mean(axis=1)
    return helpful + jnp.eye(weights.shape[-1], dtype=weights.dtype)[None]
