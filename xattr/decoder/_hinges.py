"""Losses that rest where enough is reached, by a margin or by a small area."""

import jax
from jaxtyping import Array, Bool, Float, Int

from xattr._checks import check_not_negative
from xattr._scores import margin, predicted
from xattr.decoder._losses import check_rivals


def preserver(
    kept: Float[Array, "n k"], targets: Int[Array, " n"], *, confidence: float = 1.0
) -> Float[Array, ""]:
    r"""By how much the target fails to lead where only the kept part is seen.

    $$ \mathrm{ReLU}\big(\max_{k \ne y} z_k(x_\mathrm{in}) - z_y(x_\mathrm{in})
       + c\big) $$

    Args:
      kept: logits where only what the mask keeps is seen.
      targets: class indices $y$.
      confidence: $c$, the lead that is enough, in units of the logits.

    Returns:
      Mean over the images, at least 0.

    Raises:
      ValueError: if `confidence` is negative, or there are fewer than two classes.

    Example:
      >>> import jax.numpy as jnp
      >>> preserver(jnp.array([[3.0, 2.5]]), jnp.array([0]))
      Array(0.5, dtype=float32)

    References:
      [dabkowski2017real]; the hinge is of [carlini2017towards].

    Notes:
      The paper has $-\log p_y$ here; the released code, which is followed, has the
      hinge, with weight 0.3. There it changes places with `destroyer` for targets
      that are not in the image; such targets are not drawn here.
    """
    check_not_negative("confidence", confidence, 1.0)
    check_rivals(kept)
    return jax.nn.relu(confidence - margin(kept, targets)).mean()


def destroyer(
    hidden: Float[Array, "n k"], targets: Int[Array, " n"], *, confidence: float = 5.0
) -> Float[Array, ""]:
    r"""By how much the target fails to lag where what the mask keeps is hidden.

    $$ \mathrm{ReLU}\big(z_y(x_\mathrm{out}) - \max_{k \ne y} z_k(x_\mathrm{out})
       + c\big) $$

    Args:
      hidden: logits where what the mask keeps is hidden.
      targets: class indices $y$.
      confidence: $c$, the lag that is enough, in units of the logits.

    Returns:
      Mean over the images, at least 0.

    Raises:
      ValueError: if `confidence` is negative, or there are fewer than two classes.

    Example:
      >>> import jax.numpy as jnp
      >>> destroyer(jnp.array([[1.0, 3.0]]), jnp.array([0]))
      Array(3., dtype=float32)

    References:
      [dabkowski2017real]; the hinge is of [carlini2017towards].

    Notes:
      The paper has $p_y^{0.3}$ here; the released code, which is followed, has the
      hinge, with weight 1.
    """
    check_not_negative("confidence", confidence, 5.0)
    check_rivals(hidden)
    return jax.nn.relu(margin(hidden, targets) + confidence).mean()


def confused_area(
    mask: Float[Array, "n h w 1"],
    clean: Float[Array, "n k"],
    hidden: Float[Array, "n k"],
    targets: Int[Array, " n"],
) -> Float[Array, ""]:
    r"""Area of the mask, of the images that it confuses by what it hides.

    $$ -\mathrm{ReLU}\big([\arg\max f(x) = y \ne \arg\max f(x_\mathrm{out})]
       - \bar m\big), \quad \bar m = \mathrm{mean}(m) $$

    Only a mask that has turned a right answer into a wrong one is made smaller; the
    others are left alone.

    Args:
      mask: what to keep of each pixel, in [0, 1].
      clean: logits of the image.
      hidden: logits where what the mask keeps is hidden.
      targets: class indices $y$.

    Returns:
      Mean over the images, in [-1, 0].

    Example:
      >>> import jax.numpy as jnp
      >>> mask = jnp.full((1, 2, 2, 1), 0.25)
      >>> right, wrong = jnp.array([[2.0, 1.0]]), jnp.array([[1.0, 2.0]])
      >>> confused_area(mask, right, wrong, jnp.array([0]))
      Array(-0.75, dtype=float32)

    References:
      [zolna2020classifier], with weight 10 (2.5 for a fixed classifier);
      [phang2020investigating], the same for the image that is masked out.
    """
    is_wrong = predicted(hidden) != targets
    return _area_where((predicted(clean) == targets) & is_wrong, mask)


def kept_area(
    mask: Float[Array, "n h w 1"],
    kept: Float[Array, "n k"],
    targets: Int[Array, " n"],
) -> Float[Array, ""]:
    r"""Area of the mask, of the images that are known by what it keeps.

    $$ -\mathrm{ReLU}\big([\arg\max f(x_\mathrm{in}) = y] - \bar m\big), \quad
       \bar m = \mathrm{mean}(m) $$

    Args:
      mask: what to keep of each pixel, in [0, 1].
      kept: logits where only what the mask keeps is seen.
      targets: class indices $y$.

    Returns:
      Mean over the images, in [-1, 0].

    Example:
      >>> import jax.numpy as jnp
      >>> mask = jnp.full((1, 2, 2, 1), 0.25)
      >>> kept_area(mask, jnp.array([[2.0, 1.0]]), jnp.array([0]))
      Array(-0.75, dtype=float32)

    References:
      [phang2020investigating], the image that is masked in.
    """
    return _area_where(predicted(kept) == targets, mask)


def _area_where(
    applies: Bool[Array, " n"], mask: Float[Array, "n h w 1"]
) -> Float[Array, ""]:
    area = mask.mean((1, 2, 3))
    return -jax.nn.relu(applies.astype(area.dtype) - area).mean()
