"""How much an attribute's score rests on what is not the attribute."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

import xattr
from xattr.metrics import relevance_mass


def context_share(
    maps: Float[Array, "n h w"], regions: Float[Array, "n h w"]
) -> Float[Array, " n"]:
    r"""Share of the positive evidence that lies outside of the attribute's own region.

    $$ 1 - \frac{\sum_{u \in G} S^+_u}{\sum_u S^+_u} $$

    A map without any positive evidence points nowhere: it counts as one that is spread
    evenly, whose share is that of the area.
    """
    empty = (maps <= 0).all(axis=(1, 2), keepdims=True)
    return 1 - relevance_mass(jnp.where(empty, 1.0, maps), regions > 0)


def replacement_effect(
    model: xattr.Model,
    images: Float[Array, "n h w c"],
    targets: Int[Array, " n"],
    regions: Float[Array, "n h w"],
    fill: Float[Array, "#n h w c"],
) -> Float[Array, " n"]:
    """By how much a score changes where `fill` takes the place of a region."""
    inside = regions[..., None]
    changed = model((1 - inside) * images + inside * fill)
    return jnp.abs(xattr.logit(changed, targets) - xattr.logit(model(images), targets))


def deletion_effects(
    model: xattr.Model,
    images: Float[Array, "n h w c"],
    targets: Int[Array, " n"],
    cells: Float[Array, "m h w"],
) -> Float[Array, "n m"]:
    """By how much a score changes where a cell becomes gray, for cells of one area."""

    def delete(cell: Array) -> Array:
        everywhere = jnp.broadcast_to(cell, images.shape[:3])
        gray = jnp.zeros_like(images)
        return replacement_effect(model, images, targets, everywhere, gray)

    return jax.lax.map(delete, cells).T


def inference_patterns(
    model: xattr.Model, images: Float[Array, "n h w c"], site: str
) -> Float[Array, "n o d"]:
    r"""What each channel of a site contributes to each output.

    With $A$ the activation and $P$ the quarter of the positions whose contribution,
    summed over channels, is largest in absolute value:

    $$ v_a = \sum_{p \in P} A_p \odot \frac{\partial z_a}{\partial A_p} $$
    """
    activation = xattr.record(model, images, site)[site]

    def outputs(change: Array) -> Array:
        return xattr.edit(model, {site: lambda a: a + change})(images)

    logits, pull = jax.vjp(outputs, jnp.zeros_like(activation))

    def pattern(output: Array) -> Array:
        (slope,) = pull(jnp.broadcast_to(output, logits.shape))
        product = activation * slope
        product = product.reshape(len(product), -1, product.shape[-1])
        strength = jnp.abs(product.sum(axis=-1))
        kept = max(1, strength.shape[1] // 4)
        least = jax.lax.top_k(strength, kept)[0][:, -1:]
        return (product * (strength >= least)[..., None]).sum(axis=1)

    each = jnp.eye(logits.shape[1], dtype=logits.dtype)
    return jnp.moveaxis(jax.lax.map(pattern, each), 0, 1)


def relations(patterns: Float[Array, "n o d"]) -> Float[Array, "n o o"]:
    """Cosines of the inference patterns of each pair of outputs."""
    length = jnp.linalg.norm(patterns, axis=-1, keepdims=True)
    unit = patterns / jnp.maximum(length, 1e-12)
    return jnp.einsum("nad,nbd->nab", unit, unit)


def divergence(cosines: Float[np.ndarray, "n p"]) -> Float[np.ndarray, " p"]:
    r"""How far each pair's cosines are from those of all pairs together.

    $\mathrm{KL}(N_p \,\|\, N)$ of the normal distributions fitted to one pair and to
    all. All pairs are of one type here, as no attribute is a reason for another.
    """
    mean, spread = cosines.mean(axis=0), cosines.std(axis=0)
    ratio = (spread / cosines.std()) ** 2
    shift = ((mean - cosines.mean()) / cosines.std()) ** 2
    return 0.5 * (ratio + shift - 1 - np.log(ratio))


def auc(scores: Float[np.ndarray, " m"], positive: Float[np.ndarray, " m"]) -> float:
    """Probability that a positive has the higher score; a tie counts one half."""
    high, low = scores[positive > 0][:, None], scores[positive <= 0][None]
    return float(((high > low) + 0.5 * (high == low)).mean())


def interval(
    scores: Float[np.ndarray, "s m"],
    positive: Float[np.ndarray, "s m"],
    *,
    samples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of the AUC; what is drawn again are whole networks, the rows.

    Raises:
      ValueError: if a score is not a number.
    """
    if not np.isfinite(scores).all():
        raise ValueError("`scores` holds what is no finite number; rank only measured.")
    random = np.random.default_rng(0)
    draws = random.integers(len(scores), size=(samples, len(scores)))
    found = [auc(scores[rows].ravel(), positive[rows].ravel()) for rows in draws]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
