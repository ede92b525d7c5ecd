"""How the score changes with each unit of a site, at given images."""

import jax
from jaxtyping import Array, Inexact, PyTree

from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.program import arranged, perturb


def influence(
    model: Predictor,
    images: Images,
    targets: PyTree,
    site: str,
    axes: str | None,
    score: Score,
) -> Inexact[Array, "n ..."]:
    """Derivative of each score with respect to that image's activation of a site."""
    perturbed = perturb(model, images, [site])

    def total(perturbations: dict[str, Array]) -> Array:
        outputs, _ = perturbed.call(perturbations)
        return score_and_targets(score, outputs, targets)[0].sum()

    slopes = jax.grad(total)(perturbed.zeros)[site]
    return arranged(slopes, perturbed.sites[site], axes)
