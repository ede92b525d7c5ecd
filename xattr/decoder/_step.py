"""One step of training: a batch in, the next state out."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, PyTree

from xattr._model import Model
from xattr._types import Keys
from xattr.decoder import _classifier, _discriminator, _pool
from xattr.decoder._architecture import Architecture, check_num_classes
from xattr.decoder._classifier import (
    Trainable,
    at_state,
    check_classifier,
    evaluated,
)
from xattr.decoder._decoder import Decoder, definition
from xattr.decoder._discriminator import adversarial_loss, discriminate
from xattr.decoder._features import check_logits, features_and_outputs
from xattr.decoder._fills import fill, hide, keep
from xattr.decoder._objective import objective
from xattr.decoder._optimizer import decoder_optimizer
from xattr.decoder._precision import cast
from xattr.decoder._settings import Settings
from xattr.decoder._state import Batch, State
from xattr.decoder._trained import Trained
from xattr.decoder._views import Views

Report = dict[str, Array]


def init(
    classifier: Model | Trainable, architecture: Architecture, settings: Settings
) -> State:
    """The state before the first step.

    Args:
      classifier: the model to explain; to train it along, `trainable(module)`.
      architecture: of the decoder.
      settings: how it is trained.

    Returns:
      The state, drawn from `settings.seed`.

    Raises:
      TypeError: if the classifier is to be trained along but can't.
    """
    own, other = jax.random.split(jax.random.key(settings.seed))
    _, params = nnx.split(Decoder(architecture, rngs=nnx.Rngs(own)))
    learner, pool, adversary = None, None, None
    if settings.mode != "frozen":
        classifier = _to_train(classifier, settings)
        learner = _classifier.begin(classifier, settings)
        if settings.mode == "pool":
            latest = learner.params, learner.statistics
            pool = _pool.empty(latest, size=settings.pool_size)
    if settings.adversarial:
        adversary = _discriminator.begin(nnx.Rngs(other))
    return State(
        step=jnp.zeros((), jnp.int32),
        decoder=params,
        optimizer=decoder_optimizer(settings).init(params),
        average=jax.tree.map(jnp.zeros_like, params),
        classifier=learner,
        pool=pool,
        adversary=adversary,
    )


def step(
    classifier: Model | Trainable,
    state: State,
    batch: Batch,
    *,
    architecture: Architecture,
    settings: Settings,
) -> tuple[State, Report]:
    """One step of training; pure, to be compiled by whoever calls it.

    One pass of the classifier gives the features and the outputs for the images, and,
    where the decoder reads evidence, a derivative of what lies above its first site;
    one more judges what the mask keeps, and one what it hides. Where no term of the
    objective reads the last, compiling drops it. No gradient reaches the classifier
    from the objective.

    Args:
      classifier: the model to explain, or what `trainable` gave; in the latter case its
        parameters are those of the state.
      state: what `init` or the step before gave.
      batch: images, and labels where the classifier is trained.
      architecture: of the decoder.
      settings: how it is trained.

    Returns:
      The next state, and scalars: `total`, each term of the objective unweighted,
      `mask_mean`, `mask_std` (within an image), `mask_share` (of pixels above 0.5),
      `kept_accuracy` (share of images whose target is predicted from what is kept),
      `grad_norm`; of a classifier that is trained, `classifier_loss`,
      `classifier_grad_norm` and `accuracy`; of a discriminator, `adversarial`,
      `discriminator_loss` and `discriminator_grad_norm`; and `finite`. Where one of
      them is not finite, that is False and the state is the one before.

    Raises:
      TypeError: if the classifier is neither of the two, or is to be trained along but
        can't.
      ValueError: if its outputs are no logits of classes, or of other classes than the
        architecture's.

    References:
      [dabkowski2017real]; [zolna2020classifier].

    Notes:
      What is drawn depends on `settings.seed` and the number of the step alone, so a
      state that was saved goes on as if nothing had happened.
    """
    key = jax.random.fold_in(jax.random.key(settings.seed), state.step)
    fill_key, pool_key = jax.random.split(key)
    latest, judge = _models(classifier, state, pool_key, settings)
    model, images = cast((latest, batch.images), settings.precision)
    labels = None if state.classifier is None else batch.labels
    found = features_and_outputs(
        model,
        images,
        architecture.sites,
        labels,
        evidence=architecture.output == "evidence",
    )
    features, clean = jax.lax.stop_gradient(found)
    check_logits(clean)
    check_num_classes(clean, architecture, model="classifier", decoder="architecture")
    clean = clean.astype(jnp.float32)
    targets = clean.argmax(axis=1) if labels is None else labels
    fills = fill(batch.images, fill_key, settings.fills)

    def judged(images: Array) -> Array:
        logits = cast(judge, settings.precision)(cast(images, settings.precision))
        return logits.astype(jnp.float32)

    def loss(params: PyTree) -> tuple[Array, _Seen]:
        graph, _ = definition(architecture)
        decoder = nnx.merge(graph, cast(params, settings.precision))
        mask = decoder.mask(features, targets).astype(jnp.float32)
        kept = keep(batch.images, mask, fills)
        hidden = hide(batch.images, mask, fills)
        views = Views(mask, clean, judged(kept), judged(hidden), targets)
        weights = dict(settings.weights)
        total, terms = objective(views, weights, ramp=_ramp(state.step, settings))
        if state.adversary is not None:
            looks = adversarial_loss(discriminate(state.adversary.params, kept))
            begun = _begun(state.step, settings)
            total += jnp.where(begun, settings.adversarial * looks, 0.0)
            terms = {**terms, "adversarial": looks}
        return total, _Seen(views, kept, terms)

    (total, (views, kept, terms)), gradient = jax.value_and_grad(loss, has_aux=True)(
        state.decoder
    )
    updates, optimizer = decoder_optimizer(settings).update(
        gradient, state.optimizer, state.decoder
    )
    params = optax.apply_updates(state.decoder, updates)
    average = optax.incremental_update(params, state.average, 1 - settings.average)
    report = {
        "total": total,
        **terms,
        **_about(views),
        "grad_norm": optax.tree.norm(gradient),
    }
    after = State(state.step + 1, params, optimizer, average, None, None, None)
    if state.classifier is not None:
        code = _to_train(classifier, settings)
        learner, extra = _classifier.learn(
            code, state.classifier, batch, kept, settings=settings
        )
        after, report = after._replace(classifier=learner), {**report, **extra}
        if state.pool is not None:
            due = after.step % settings.pool_every == 0
            now = learner.params, learner.statistics
            after = after._replace(pool=_pool.push(state.pool, now, due=due))
    if state.adversary is not None:
        begun = _begun(state.step, settings)
        adversary, extra = _discriminator.learn(
            state.adversary, batch.images, kept, begun=begun
        )
        after, report = after._replace(adversary=adversary), {**report, **extra}
    finite = jnp.isfinite(jnp.stack(list(report.values()))).all()
    after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
    return after, {**report, "finite": finite}


def trained(state: State, architecture: Architecture, settings: Settings) -> Trained:
    r"""The decoder that training gave: the running average of its parameters.

    With decay $d$ and parameters $\theta_s$ after step $s$ of $t$:

    $$ \bar\theta = \frac{1 - d}{1 - d^t} \sum_{s=1}^{t} d^{t - s}\, \theta_s $$

    Args:
      state: after any number of steps.
      architecture: of the decoder.
      settings: how it was trained.

    Returns:
      The decoder; before the first step and where `average` is 0, the parameters as
      they are.
    """
    if not settings.average:
        return Trained(architecture=architecture, params=state.decoder)
    # 1 - d^t, without the error of subtracting what is nearly 1.
    share = -jnp.expm1(state.step * math.log(settings.average))
    params = jax.tree.map(
        lambda mean, last: jnp.where(state.step > 0, mean / share, last),
        state.average,
        state.decoder,
    )
    return Trained(architecture=architecture, params=params)


class _Seen(NamedTuple):
    """What the loss was made of."""

    views: Views
    kept: Float[Array, "n h w 3"]
    terms: dict[str, Array]


def _models(
    classifier: Model | Trainable, state: State, key: Keys, settings: Settings
) -> tuple[Model, Model]:
    """The classifier of now, and the one that judges what is masked."""
    if state.classifier is None:
        check_classifier(classifier)
        frozen = classifier if isinstance(classifier, Model) else evaluated(classifier)
        return frozen, frozen
    code = _to_train(classifier, settings)
    now = state.classifier.params, state.classifier.statistics
    latest = evaluated(at_state(code, *now))
    if state.pool is None:
        return latest, latest
    past = _pool.draw(state.pool, now, key, probability=settings.pool_probability)
    return latest, evaluated(at_state(code, *past))


def _to_train(classifier: Model | Trainable, settings: Settings) -> Trainable:
    if isinstance(classifier, Trainable):
        return classifier
    raise TypeError(
        f"`classifier` is a {type(classifier).__name__}, which can't be trained along "
        f"as `mode`={settings.mode!r} asks. Give `trainable(module)` of a Flax NNX "
        f"module, or keep it as it is with `mode='frozen'`."
    )


def _about(views: Views) -> Report:
    return {
        "mask_mean": views.mask.mean(),
        "mask_std": views.mask.std(axis=(1, 2, 3)).mean(),
        "mask_share": (views.mask > 0.5).mean(),
        "kept_accuracy": (views.kept.argmax(axis=1) == views.targets).mean(),
    }


def _ramp(step: Array, settings: Settings) -> Float[Array, ""]:
    """Share of their weight that terms of area have at this step."""
    if not settings.ramp:
        return jnp.ones(())
    return jnp.clip(step / (settings.ramp * settings.num_steps), 0.0, 1.0)


def _begun(step: Array, settings: Settings) -> Bool[Array, ""]:
    """Whether the discriminator takes part at this step."""
    return step >= settings.adversarial_start * settings.num_steps
