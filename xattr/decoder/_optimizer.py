"""How gradients become updates."""

import optax

from xattr.decoder._settings import Settings


def schedule(rate: float, settings: Settings) -> optax.Schedule:
    r"""Learning rate at each update: a linear rise, then half a cosine down to zero.

    With $T$ updates, of which $W$ are the rise, and $r$ the largest rate, the rate
    after $t \geq W$ updates is

    $$ \tfrac{r}{2} \Big(1 + \cos \pi \tfrac{t - W}{T - W}\Big) $$

    Args:
      rate: the largest, $r$.
      settings: for how many updates, and how many of them are the rise.

    Returns:
      A function from the number of updates so far to the rate of the next.

    Example:
      >>> rate = schedule(2.0, Settings(num_steps=4))
      >>> [round(float(rate(t)), 6) for t in (0, 2, 4)]
      [2.0, 1.0, 0.0]

    References:
      [loshchilov2017sgdr].
    """
    updates = -(-settings.num_steps // settings.accumulate)
    rise = settings.warmup // settings.accumulate
    if not rise:
        return optax.cosine_decay_schedule(rate, updates)
    return optax.warmup_cosine_decay_schedule(0.0, rate, rise, updates)


def decoder_optimizer(settings: Settings) -> optax.GradientTransformation:
    """AdamW on clipped gradients, one update per `accumulate` batches.

    Args:
      settings: rate, decay, largest norm, and batches per update.

    Returns:
      The transformation of the decoder's gradients.

    References:
      [loshchilov2019decoupled].

    Notes:
      Gradients are averaged over the batches of an update before they are clipped.
    """
    return _accumulated(
        optax.chain(
            optax.clip_by_global_norm(settings.clip),
            optax.adamw(
                schedule(settings.learning_rate, settings),
                weight_decay=settings.weight_decay,
            ),
        ),
        settings,
    )


def classifier_optimizer(settings: Settings) -> optax.GradientTransformation:
    """Gradient descent with momentum and decay, for a classifier that is trained along.

    Args:
      settings: rate, momentum and decay of the classifier, and batches per update.

    Returns:
      The transformation of the classifier's gradients.

    References:
      [zolna2020classifier].
    """
    return _accumulated(
        optax.chain(
            optax.add_decayed_weights(settings.classifier_weight_decay),
            optax.sgd(
                schedule(settings.classifier_learning_rate, settings),
                momentum=settings.classifier_momentum,
            ),
        ),
        settings,
    )


def _accumulated(
    optimizer: optax.GradientTransformation, settings: Settings
) -> optax.GradientTransformation:
    if settings.accumulate == 1:
        return optimizer
    return optax.MultiSteps(optimizer, settings.accumulate).gradient_transformation()
