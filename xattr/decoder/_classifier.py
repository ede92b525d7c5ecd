"""A classifier that is trained along with the decoder."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, PyTree

from xattr._model import Model, from_nnx
from xattr.decoder._optimizer import classifier_optimizer
from xattr.decoder._precision import cast
from xattr.decoder._settings import Settings
from xattr.decoder._state import Batch, Learner


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Trainable:
    """A Flax NNX module as code and data, to be trained along; see `trainable`.

    Attributes:
      graph: the module without its arrays; static.
      params: what its gradient changes.
      statistics: what its forward pass changes: batch statistics, counts of draws.
    """

    graph: Any = field(metadata={"static": True})
    params: PyTree
    statistics: PyTree


def trainable(module: Any) -> Trainable:
    """A module as a classifier that may be trained along with the decoder.

    Args:
      module: from a batch of images, RGB from 0 to 1, to logits. It is left as it is:
        training works on a copy.

    Returns:
      The classifier, for `init`, `step` and `fit` in the modes `joint` and `pool`.

    Raises:
      TypeError: if it is no NNX module.

    Example:
      >>> classifier = trainable(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
      >>> classifier.params["kernel"].shape
      (3, 2)
    """
    if not isinstance(module, nnx.Module):
        raise TypeError(
            f"`module` is a {type(module).__name__}; only a Flax NNX module can be "
            f"trained along: `trainable(module)`. Explain anything else as it is, with "
            f"`Settings(mode='frozen')`."
        )
    return Trainable(*nnx.split(nnx.clone(module), nnx.Param, ...))


def evaluated(classifier: Trainable) -> Model:
    """The classifier in evaluation mode: fixed batch statistics, no dropout.

    Args:
      classifier: the classifier with the parameters and statistics in question.

    Returns:
      A model like any other.
    """
    return from_nnx(_module(classifier))


def check_classifier(classifier: Any) -> None:
    """Refuse what is neither a model nor trainable."""
    if not isinstance(classifier, Model | Trainable):
        raise TypeError(
            f"`classifier` is a {type(classifier).__name__}; it must be an "
            "`xattr.Model`, such as `xattr.from_function(apply, params)`, or a "
            "`Trainable`."
        )


def at_state(classifier: Trainable, params: PyTree, statistics: PyTree) -> Trainable:
    """The same classifier with other parameters and statistics."""
    return replace(classifier, params=params, statistics=statistics)


def begin(classifier: Trainable, settings: Settings) -> Learner:
    """The classifier before its first step."""
    optimizer = classifier_optimizer(settings).init(classifier.params)
    return Learner(classifier.params, classifier.statistics, optimizer)


def learn(
    classifier: Trainable,
    learner: Learner,
    batch: Batch,
    kept: Float[Array, "n h w 3"],
    *,
    settings: Settings,
) -> tuple[Learner, dict[str, Array]]:
    r"""One step of the classifier, on images and on what the mask keeps of them.

    $$ L = \mathrm{CE}(f(x), y) + s\, \mathrm{CE}(f(\tilde x), y) $$

    Args:
      classifier: its code.
      learner: its state.
      batch: images and labels.
      kept: the images with only what the mask keeps; no gradient flows into them.
      settings: the share $s$, the descent, and whether batch statistics are trained.

    Returns:
      The next state and `classifier_loss`, `classifier_grad_norm` and `accuracy`, the
      share of images that were classified right in training mode.

    References:
      [zolna2020classifier].

    Notes:
      Images and what is kept of them go through the network apart, so that a batch is
      normalized by its own kind; only the images themselves update the statistics.
    """
    kept = jax.lax.stop_gradient(kept)

    def loss(params: PyTree) -> tuple[Array, tuple[Array, PyTree]]:
        seen = at_state(
            classifier, cast(params, settings.precision), learner.statistics
        )
        logits, statistics = _trained(seen, batch.images, settings)
        total = _cross_entropy(logits, batch.labels)
        if settings.masked_share:
            masked, _ = _trained(seen, kept, settings)
            total += settings.masked_share * _cross_entropy(masked, batch.labels)
        return total, (logits, statistics)

    (value, (logits, statistics)), gradient = jax.value_and_grad(loss, has_aux=True)(
        learner.params
    )
    updates, optimizer = classifier_optimizer(settings).update(
        gradient, learner.optimizer, learner.params
    )
    params = optax.apply_updates(learner.params, updates)
    report = {
        "classifier_loss": value,
        "classifier_grad_norm": optax.tree.norm(gradient),
        "accuracy": (logits.argmax(axis=1) == batch.labels).mean(),
    }
    return Learner(params, statistics, optimizer), report


def _trained(
    classifier: Trainable, images: Float[Array, "n h w 3"], settings: Settings
) -> tuple[Array, PyTree]:
    """Logits in training mode and the statistics after the pass."""
    module = nnx.view(
        _module(classifier),
        raise_if_not_found=False,
        deterministic=False,
        use_running_average=not settings.train_statistics,
    )
    logits = module(cast(images, settings.precision))
    _, _, statistics = nnx.split(module, nnx.Param, ...)
    return logits.astype(jnp.float32), statistics


def _module(classifier: Trainable) -> Any:
    # Without a copy, a forward pass would write into the statistics it was given.
    return nnx.merge(
        classifier.graph, classifier.params, classifier.statistics, copy=True
    )


def _cross_entropy(logits: Array, labels: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
