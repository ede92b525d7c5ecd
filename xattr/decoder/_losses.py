"""What the classifier should say of what the mask keeps, and of what it leaves."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xattr._scores import logit, predicted


def cross_entropy(
    kept: Float[Array, "n k"], targets: Int[Array, " n"]
) -> Float[Array, ""]:
    r"""How unlikely the target is by what the mask keeps.

    $$ -\log p_y(x_\mathrm{in}), \quad x_\mathrm{in} = m x + (1 - m) b $$

    Args:
      kept: logits where only what the mask keeps is seen.
      targets: class indices $y$.

    Returns:
      Mean over the images, in nats, at least 0.

    Example:
      >>> kept = jnp.array([[0.0, jnp.log(3.0)]])
      >>> print(f"{cross_entropy(kept, jnp.array([1])):.3f}")  # the log of 4/3
      0.288

    References:
      [phang2020investigating], the loss on the image that is masked in.
    """
    return -logit(jax.nn.log_softmax(kept), targets).mean()


def divergence(
    clean: Float[Array, "n k"], kept: Float[Array, "n k"]
) -> Float[Array, ""]:
    r"""How far the answer to what the mask keeps is from the answer to the image.

    $$ \mathrm{KL}\big(p(x) \,\|\, p(x_\mathrm{in})\big)
       = \sum_k p_k(x) \log \frac{p_k(x)}{p_k(x_\mathrm{in})} $$

    Args:
      clean: logits of the image.
      kept: logits where only what the mask keeps is seen.

    Returns:
      Mean over the images, in nats, at least 0.

    Example:
      >>> clean, kept = jnp.array([[0.0, 0.0]]), jnp.array([[0.0, jnp.log(3.0)]])
      >>> print(f"{divergence(clean, kept):.3f}")  # half the log of 4/3
      0.144
    """
    log_p, log_q = jax.nn.log_softmax(clean), jax.nn.log_softmax(kept)
    return (jnp.exp(log_p) * (log_p - log_q)).sum(1).mean()


def score_drop(
    clean: Float[Array, "n k"], kept: Float[Array, "n k"], targets: Int[Array, " n"]
) -> Float[Array, ""]:
    r"""What share of the target's logit is lost where only the kept part is seen.

    $$ \frac{\mathrm{ReLU}(z_y(x) - z_y(x_\mathrm{in}))}{|z_y(x)| + 1} $$

    Args:
      clean: logits of the image.
      kept: logits where only what the mask keeps is seen.
      targets: class indices $y$.

    Returns:
      Mean over the images, at least 0; 0 where no logit falls.

    Example:
      >>> clean, kept = jnp.array([[3.0, 0.0]]), jnp.array([[1.0, 9.0]])
      >>> score_drop(clean, kept, jnp.array([0]))
      Array(0.5, dtype=float32)

    References:
      [chattopadhay2018grad], the average drop, which is of probabilities.

    Notes:
      Logits may be negative or zero, hence the absolute value and the 1.
    """
    score = logit(clean, targets)
    drop = jax.nn.relu(score - logit(kept, targets))
    return (drop / (jnp.abs(score) + 1)).mean()


def hidden_entropy(
    clean: Float[Array, "n k"], hidden: Float[Array, "n k"], targets: Int[Array, " n"]
) -> Float[Array, ""]:
    r"""How sure the classifier still is where what the mask keeps is hidden.

    With $H$ the entropy and $K$ the number of classes:

    $$ -\,[\arg\max f(x) = y] \; H\big(p(x_\mathrm{out})\big) / \log K, \quad
       x_\mathrm{out} = (1 - m) x + m b $$

    Args:
      clean: logits of the image.
      hidden: logits where what the mask keeps is hidden.
      targets: class indices $y$.

    Returns:
      Mean over the images, in [-1, 0]: -1 where nothing can be told any more. Images
      that are classified wrongly count as 0.

    Raises:
      ValueError: if there are fewer than two classes.

    Example:
      >>> clean, hidden = jnp.array([[2.0, 1.0]]), jnp.array([[7.0, 7.0]])
      >>> hidden_entropy(clean, hidden, jnp.array([0]))
      Array(-1., dtype=float32)

    References:
      [zolna2020classifier]; [phang2020investigating].

    Notes:
      Both take the entropy itself: their weight of 1 is one of $\log K$ here.
    """
    check_rivals(hidden)
    log_p = jax.nn.log_softmax(hidden)
    entropy = -(jnp.exp(log_p) * log_p).sum(1)
    is_right = predicted(clean) == targets
    return -jnp.where(is_right, entropy, 0).mean() / math.log(hidden.shape[1])


def hidden_cross_entropy(
    hidden: Float[Array, "n k"], targets: Int[Array, " n"]
) -> Float[Array, ""]:
    r"""How likely the target still is where what the mask keeps is hidden.

    $$ \log p_y(x_\mathrm{out}), \quad x_\mathrm{out} = (1 - m) x + m b $$

    Args:
      hidden: logits where what the mask keeps is hidden.
      targets: class indices $y$.

    Returns:
      Mean over the images, in nats, at most 0 and not bounded below.

    Example:
      >>> print(f"{hidden_cross_entropy(jnp.zeros((1, 4)), jnp.array([2])):.3f}")
      -1.386

    References:
      [zolna2020classifier], the adversarial form.

    Notes:
      As in the released code all images count, those classified wrongly too.
    """
    return -cross_entropy(hidden, targets)


def check_rivals(logits: Float[Array, "n k"]) -> None:
    """Refuse outputs in which the target has no other class to be told from."""
    if logits.shape[1] < 2:
        raise ValueError(
            f"the logits have shape {logits.shape}; at least two classes are needed. "
            f"Give the answers yes and no a logit each: "
            f"`jnp.concatenate([jnp.zeros_like(z), z], axis=1)`."
        )
