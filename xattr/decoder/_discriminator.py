"""A discriminator of patches, so that what is kept still looks like an image."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, PyTree

from xattr.decoder._state import Learner

_OPTIMIZER = optax.adam(2e-4, b1=0.5)


class Discriminator(nnx.Module):
    """Convolutions 4x4 of stride 2 to one logit per patch: is it of a real image?"""

    def __init__(
        self, *, channels: tuple[int, ...] = (32, 64, 128), rngs: nnx.Rngs
    ) -> None:
        widths = (3, *channels)
        self.layers = nnx.List(
            nnx.Conv(before, after, (4, 4), strides=2, rngs=rngs)
            for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.last = nnx.Conv(widths[-1], 1, (3, 3), rngs=rngs)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n i j 1"]:
        """Logits of the patches; large for what looks real."""
        x = 2 * images - 1
        for layer in self.layers:
            x = nnx.leaky_relu(layer(x), 0.2)
        return self.last(x)


def discriminator_loss(
    real: Float[Array, "*shape"], masked: Float[Array, "*shape"]
) -> Float[Array, ""]:
    r"""What the discriminator learns from: both kinds beyond a margin of 1.

    $$ \overline{\mathrm{ReLU}(1 - D(x))} + \overline{\mathrm{ReLU}(1 + D(\tilde x))} $$

    Args:
      real: its logits for images.
      masked: its logits for what masks keep of them.

    Returns:
      The mean over all patches; 0 where the two are apart by the margin.

    Example:
      >>> discriminator_loss(jnp.array([0.5, 3.0]), jnp.array([-2.0, 0.0]))
      Array(0.75, dtype=float32)

    References:
      [lim2017geometric]; [isola2017image] for patches.
    """
    return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + masked).mean()


def adversarial_loss(masked: Float[Array, "*shape"]) -> Float[Array, ""]:
    """What the decoder learns from: minus the mean logit of what masks keep.

    Args:
      masked: the discriminator's logits for what masks keep.

    Returns:
      The loss; low where the discriminator takes it for real.

    Example:
      >>> adversarial_loss(jnp.array([1.0, 3.0]))
      Array(-2., dtype=float32)

    References:
      [lim2017geometric].
    """
    return -masked.mean()


def discriminate(params: PyTree, images: Float[Array, "n h w 3"]) -> Array:
    """Logits of the patches, by these parameters."""
    return nnx.merge(_graph(), params)(images)


def begin(rngs: nnx.Rngs) -> Learner:
    """The discriminator before its first step."""
    _, params = nnx.split(Discriminator(rngs=rngs))
    return Learner(params, None, _OPTIMIZER.init(params))


def learn(
    learner: Learner,
    images: Float[Array, "n h w 3"],
    kept: Float[Array, "n h w 3"],
    *,
    begun: Bool[Array, ""],
) -> tuple[Learner, dict[str, Array]]:
    """One step of the discriminator.

    Args:
      learner: its state.
      images: real images.
      kept: what masks keep of them; no gradient flows into them.
      begun: whether it takes part yet; if not, it stays as it was.

    Returns:
      The next state, `discriminator_loss` and `discriminator_grad_norm`.

    Notes:
      Adam with rate 2e-4 and a first moment of 0.5, as in [isola2017image].
    """
    kept = jax.lax.stop_gradient(kept)

    def loss(params: PyTree) -> Array:
        return discriminator_loss(
            discriminate(params, images), discriminate(params, kept)
        )

    value, gradient = jax.value_and_grad(loss)(learner.params)
    updates, optimizer = _OPTIMIZER.update(gradient, learner.optimizer)
    after = Learner(optax.apply_updates(learner.params, updates), None, optimizer)
    report = {
        "discriminator_loss": value,
        "discriminator_grad_norm": optax.tree.norm(gradient),
    }
    after = jax.tree.map(lambda new, old: jnp.where(begun, new, old), after, learner)
    return after, report


def _graph() -> nnx.GraphDef[Discriminator]:
    return nnx.graphdef(nnx.eval_shape(lambda: Discriminator(rngs=nnx.Rngs(0))))
