"""What a decoder is trained to make small: losses and regularizers, weighted."""

import difflib
from collections.abc import Callable, Mapping
from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._checks import check_not_negative
from xattr.decoder._hinges import confused_area, destroyer, kept_area, preserver
from xattr.decoder._losses import (
    cross_entropy,
    divergence,
    hidden_cross_entropy,
    hidden_entropy,
    score_drop,
)
from xattr.decoder._regularizers import (
    area,
    area_power,
    binary,
    compactness,
    smoothness,
    sparsity,
    target_area,
    total_variation,
)
from xattr.decoder._views import Views

Term = Callable[[Views], Float[Array, ""]]


def _of_mask(regularizer: Callable[..., Float[Array, ""]], **options: float) -> Term:
    bound = partial(regularizer, **options)
    return lambda views: bound(views.mask)


def _confused_area(views: Views) -> Float[Array, ""]:
    return confused_area(views.mask, views.clean, views.hidden, views.targets)


TERMS: dict[str, Term] = {
    "cross_entropy": lambda v: cross_entropy(v.kept, v.targets),
    "divergence": lambda v: divergence(v.clean, v.kept),
    "score_drop": lambda v: score_drop(v.clean, v.kept, v.targets),
    "hidden_entropy": lambda v: hidden_entropy(v.clean, v.hidden, v.targets),
    "hidden_cross_entropy": lambda v: hidden_cross_entropy(v.hidden, v.targets),
    "preserver": lambda v: preserver(v.kept, v.targets),
    "destroyer": lambda v: destroyer(v.hidden, v.targets),
    "confused_area": _confused_area,
    "kept_area": lambda v: kept_area(v.mask, v.kept, v.targets),
    "area": _of_mask(area),
    "target_area_10": _of_mask(target_area, target=0.1),
    "target_area_20": _of_mask(target_area, target=0.2),
    "target_area_30": _of_mask(target_area, target=0.3),
    "target_area_40": _of_mask(target_area, target=0.4),
    "area_power": _of_mask(area_power),
    "total_variation": _of_mask(total_variation),
    "smoothness": _of_mask(smoothness),
    "binary": _of_mask(binary),
    "compactness": _of_mask(compactness),
    "sparsity": _of_mask(sparsity),
}

# A mask pressed to be small before it has found the evidence stays empty.
RAMPED: frozenset[str] = frozenset(name for name in TERMS if "area" in name)


def objective(
    views: Views,
    weights: Mapping[str, float],
    *,
    ramp: Float[Array, ""] | float = 1.0,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    r"""Weighted sum of losses and regularizers, to be minimized.

    $$ L = \sum_t r_t \lambda_t L_t, \qquad
       r_t = \mathtt{ramp} \text{ for an area, } 1 \text{ otherwise} $$

    Args:
      views: the mask, and the classifier's answers with and without it.
      weights: $\lambda_t$ by the name of the term, one of `TERMS`. All terms are
        signed so that less is better: what a paper subtracts has a positive weight.
      ramp: what the weights of the terms in `RAMPED` are multiplied by.

    Returns:
      The sum, and each of its terms without weight or ramp. A term of weight 0 is
      reported all the same.

    Raises:
      ValueError: if a name is unknown, a weight is negative, or there is no term.

    Example:
      >>> logits = jnp.zeros((1, 2))
      >>> mask = jnp.array([[[[0.5], [1.0]]]])
      >>> views = Views(mask, logits, logits, logits, jnp.array([0]))
      >>> total, terms = objective(views, {"area": 2.0, "binary": 4.0}, ramp=0.5)
      >>> float(total), {name: float(term) for name, term in terms.items()}
      (1.25, {'area': 0.75, 'binary': 0.125})
    """
    check_weights(weights)
    terms = {name: TERMS[name](views) for name in weights}
    weighted = [
        terms[name] * weight * (ramp if name in RAMPED else 1.0)
        for name, weight in weights.items()
    ]
    return jnp.stack(weighted).sum(), terms


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse no term at all, unknown ones, and negative weights."""
    if not weights:
        raise ValueError(
            "`weights` is empty; nothing would be minimized. Give at least one, such "
            "as `{'cross_entropy': 1.0, 'area': 1.0}`."
        )
    for name, weight in weights.items():
        _check_name(name)
        check_not_negative(f"weights[{name!r}]", weight, 1.0)


def _check_name(name: str) -> None:
    if name not in TERMS:
        nearest = difflib.get_close_matches(name, TERMS, n=3, cutoff=0.3)
        raise ValueError(
            f"`weights` names {name!r}, which is no term. Nearest: "
            f"{', '.join(nearest or TERMS)}. List all with `xattr.decoder.TERMS`."
        )
