"""What a decoder is trained with: a Python file that says so."""

import runpy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from xattr.decoder._architecture import Output
from xattr.decoder._settings import Settings


@dataclass(frozen=True)
class Config:
    """A network, a decoder for it, and how it is trained, for the command line.

    Attributes:
      model: a bundled network, or `module:attribute`.
      weights: file of its weights, if it needs one.
      size: side of the images for a model of your own.
      sites: what the decoder reads, the one with the smallest grid first; the site that
        CAMs of the network read by default.
      channels: of the decoder's blocks.
      output: which mask is for which class.
      bias: of the last convolution: a mask starts near its sigmoid.
      quantiles: which quantiles of each mask become 0 and 1 while it is trained; see
        `Architecture`.
      final_quantiles: those of the decoder that is written; the same when None. Where
        masks are cut narrowly in training, they come to have two values, and wider
        quantiles then hide less of an image in full.
      settings: of the training. Its mode must be `frozen`.
      labels: "folders", None, or a CSV file with the columns `file` and `label`.
      held_out: share of the photographs that are not trained on.
      by: whether single images or whole classes are held out.
      split_seed: decides which.
      augment: whether photographs are cut and mirrored at random.
      checkpoint_every: steps from one checkpoint to the next.
      keep: how many of the last checkpoints are kept, beside the best.

    Raises:
      ValueError: if the classifier would have to be trained along.
    """

    model: str = "mobilenet_v2"
    weights: str | None = None
    size: int | None = None
    sites: tuple[str, ...] = ()
    channels: tuple[int, ...] = (64, 32, 16)
    output: Output = "agnostic"
    bias: float = 1.0
    quantiles: tuple[float, float] | None = None
    final_quantiles: tuple[float, float] | None = None
    settings: Settings = field(default_factory=Settings)
    labels: str | None = "folders"
    held_out: float = 0.2
    by: Literal["image", "class"] = "image"
    split_seed: int = 0
    augment: bool = True
    checkpoint_every: int = 100
    keep: int = 3

    def __post_init__(self) -> None:
        if self.settings.mode != "frozen":
            raise ValueError(
                f"`settings` has mode={self.settings.mode!r}; the command line "
                "explains a network as it is: `mode='frozen'`. To train a classifier "
                "along, call `fit(trainable(module), batches, ...)` from Python."
            )

    def as_json(self) -> dict[str, Any]:
        """Every field, as JSON holds it."""
        found = asdict(self)
        found["settings"]["weights"] = dict(self.settings.weights)
        return found


def read_config(path: Path) -> Config:
    """What a Python file calls `config`; the file is run.

    Raises:
      ValueError: if there is no such file, or no `Config` of that name in it.
    """
    if not path.is_file():
        raise ValueError(f"`--config` {path} is no file.")
    found = runpy.run_path(str(path)).get("config")
    if not isinstance(found, Config):
        there = "nothing" if found is None else f"a {type(found).__name__}"
        raise ValueError(
            f"`--config` {path} has {there} named `config`; it must end with "
            "`config = xattr.decoder.Config(...)`."
        )
    return found
