"""How a decoder is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from xattr._checks import check_count, check_not_negative, check_positive
from xattr.decoder._fills import check_kinds
from xattr.decoder._objective import check_weights

Mode = Literal["frozen", "joint", "pool"]
Precision = Literal["float32", "bfloat16"]
Weights = Mapping[str, float] | tuple[tuple[str, float], ...]

_RECOMMENDED = (
    ("area", 1.0),
    ("binary", 0.02),
    ("compactness", 0.05),
    ("cross_entropy", 1.0),
    ("divergence", 0.5),
    ("hidden_entropy", 1.0),
    ("total_variation", 0.05),
)


@dataclass(frozen=True)
class Settings:
    r"""How a decoder is trained; hashable, so that a compiled step may depend on it.

    Attributes:
      weights: how much each term of the objective counts, by its name. Any mapping;
        kept as pairs sorted by name.
      fills: what may be seen where the mask hides the image; one is drawn per batch.
      mode: `frozen` explains a classifier as it is, and the classes that it predicts;
        `joint` trains the classifier along, and explains the labels; in `pool`, past
        states of that classifier judge what is masked as well.
      num_steps: batches to train on; the learning rates fall to zero over them.
      batch_size: images per batch.
      learning_rate: largest rate of the decoder's AdamW.
      weight_decay: of the decoder's parameters.
      clip: largest norm of the decoder's gradient.
      warmup: batches over which the learning rates rise from zero.
      ramp: share of the steps over which the weight of terms of area rises from zero.
      average: decay per batch of the running average of the parameters, which is what
        training gives; 0 takes the last parameters.
      accumulate: batches whose mean gradient makes one update.
      precision: of the passes through decoder and classifier; parameters and losses
        are always `float32`.
      adversarial: weight of the loss against a discriminator; 0 trains none.
      adversarial_start: share of the steps before the discriminator takes part.
      classifier_learning_rate: largest rate of the classifier's gradient descent.
      classifier_momentum: of that descent.
      classifier_weight_decay: of the classifier's parameters.
      masked_share: weight of the classifier's loss on masked images.
      train_statistics: whether the classifier that is trained normalizes by the batch
        and updates its batch statistics, or keeps those that it came with.
      pool_size: past states of the classifier that are kept.
      pool_every: batches between two of them.
      pool_probability: how often one of them is the judge.
      seed: of everything that is drawn.

    Raises:
      ValueError: if a value is out of range, or names what there is not.

    Example:
      >>> settings = Settings(weights={"cross_entropy": 1.0, "area": 2.0})
      >>> settings.weights
      (('area', 2.0), ('cross_entropy', 1.0))
      >>> dict(settings.weights)["area"]
      2.0

    References:
      [zolna2020classifier] for the pool and the classifier's descent.
    """

    weights: Weights = _RECOMMENDED
    fills: tuple[str, ...] = ("mean", "blur", "noise")
    mode: Mode = "frozen"
    num_steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 10.0
    warmup: int = 0
    ramp: float = 0.2
    average: float = 0.999
    accumulate: int = 1
    precision: Precision = "float32"
    adversarial: float = 0.0
    adversarial_start: float = 0.3
    classifier_learning_rate: float = 1e-3
    classifier_momentum: float = 0.9
    classifier_weight_decay: float = 1e-4
    masked_share: float = 0.5
    train_statistics: bool = True
    pool_size: int = 30
    pool_every: int = 100
    pool_probability: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        pairs = sorted((name, float(w)) for name, w in dict(self.weights).items())
        check_weights(dict(pairs))
        object.__setattr__(self, "weights", tuple(pairs))
        object.__setattr__(self, "fills", tuple(self.fills))
        check_kinds("fills", self.fills)
        defaults: dict[str, Any] = {field.name: field.default for field in fields(self)}
        for name, allowed in (("mode", Mode), ("precision", Precision)):
            value = getattr(self, name)
            if value not in get_args(allowed):
                raise ValueError(
                    f"`{name}`={value!r} is none of {', '.join(get_args(allowed))}: "
                    f"`{name}={defaults[name]!r}`."
                )
        for name in ("num_steps", "batch_size", "accumulate", "pool_size"):
            check_count(name, getattr(self, name))
        check_count("pool_every", self.pool_every)
        check_count("warmup", self.warmup, least=0)
        for name in ("learning_rate", "clip", "classifier_learning_rate"):
            check_positive(name, getattr(self, name), defaults[name])
        for name in (
            "weight_decay",
            "classifier_weight_decay",
            "adversarial",
            "masked_share",
        ):
            check_not_negative(name, getattr(self, name), defaults[name])
        for name in ("ramp", "adversarial_start", "pool_probability"):
            _check_share(name, getattr(self, name), defaults[name])
        for name in ("average", "classifier_momentum"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(
                    f"`{name}`={value}; it must be at least 0 and less than 1: "
                    f"`{name}={defaults[name]}`."
                )
        if self.warmup >= self.num_steps:
            raise ValueError(
                f"`warmup`={self.warmup} leaves none of `num_steps`={self.num_steps} "
                f"to train at the full rate: `warmup={self.num_steps // 10}`."
            )


def _check_share(name: str, value: float, example: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(
            f"`{name}`={value}; it is a share, from 0 to 1: `{name}={example}`."
        )
