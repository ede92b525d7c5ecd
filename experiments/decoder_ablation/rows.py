"""What is compared: a base, and rows that differ from it by one factor."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from network import FIRST, SECOND, THIRD
from pictures import PATTERNS

from xattr.decoder import Output, Settings

# What is asked of the kept part, of the hidden part, and of the mask.
KEPT = {"cross_entropy": 1.0, "divergence": 0.5}
HIDDEN = {"hidden_entropy": 1.0}
MASK = {"area": 1.0, "total_variation": 0.05, "binary": 0.02}
# Publications weigh the entropy in nats; ours is a share of its largest value.
NATS = math.log(len(PATTERNS))


@dataclass(frozen=True)
class Row:
    """A decoder, and how it is trained; the seed is not looked at."""

    settings: Settings
    sites: tuple[str, ...]
    channels: tuple[int, ...]
    output: Output

    def described(self) -> dict[str, Any]:
        """All of it, as it is written into the results."""
        settings = asdict(self.settings) | {"weights": dict(self.settings.weights)}
        return {
            "sites": list(self.sites),
            "channels": list(self.channels),
            "output": self.output,
            "settings": {k: v for k, v in settings.items() if k != "seed"},
        }


def rows(*, steps: int) -> dict[str, Row]:
    """All rows by name; the base is the first."""

    def row(
        weights: dict[str, float] = KEPT | HIDDEN | MASK,
        *,
        without: tuple[str, ...] = (),
        sites: tuple[str, ...] = (THIRD, SECOND),
        channels: tuple[int, ...] = (16, 8),
        output: Output = "agnostic",
        **others: Any,
    ) -> Row:
        settings = Settings(
            weights={k: v for k, v in weights.items() if k not in without},
            num_steps=steps,
            batch_size=16,
            learning_rate=5e-3,
            average=0.99,
            classifier_learning_rate=0.05,
            **others,
        )
        return Row(settings, sites, channels, output)

    base = KEPT | HIDDEN | MASK
    # The terms of the kept part together weigh 1.5, and so does what replaces both.
    other_kept = HIDDEN | MASK
    other_hidden = KEPT | MASK
    casm = {"hidden_entropy": NATS}
    return {
        "base": row(),
        "joint": row(mode="joint"),
        "joint, whole images alone": row(mode="joint", masked_share=0.0),
        "pool": row(mode="pool"),
        "site: deepest": row(sites=(THIRD,)),
        # From 12 x 12 cells, one block comes to the images' size.
        "site: second": row(sites=(SECOND,), channels=(16,)),
        "sites: all three": row(sites=(THIRD, SECOND, FIRST)),
        "without cross entropy": row(without=("cross_entropy",)),
        "without divergence": row(without=("divergence",)),
        "divergence for both": row(other_kept | {"divergence": 1.5}),
        "score drop for both": row(other_kept | {"score_drop": 1.5}),
        "without the kept part": row(without=tuple(KEPT)),
        "without hidden entropy": row(without=("hidden_entropy",)),
        "hidden cross entropy for entropy": row(
            other_hidden | {"hidden_cross_entropy": 1.0}
        ),
        "Dabkowski and Gal": row(
            {
                "destroyer": 1.0,
                "preserver": 0.3,
                "area_power": 8.0,
                "smoothness": 0.005,
            }
        ),
        "CASM": row(casm | {"confused_area": 2.5}),
        "CASM, pool": row(casm | {"confused_area": 10.0}, mode="pool"),
        "Phang": row(
            casm
            | {
                "cross_entropy": 1.0,
                "kept_area": 1.0,
                "confused_area": 10.0,
                "smoothness": 0.002,
            }
        ),
        "without area": row(without=("area",)),
        "target of a tenth for area": row(
            base | {"target_area_10": 1.0}, without=("area",)
        ),
        "sparsity for area": row(base | {"sparsity": 1.0}, without=("area",)),
        "without total variation": row(without=("total_variation",)),
        "without binary": row(without=("binary",)),
        "with compactness": row(base | {"compactness": 0.05}),
        "output: one mask per class": row(output="class"),
        "output: selector": row(output="selector"),
        "with adversarial loss": row(adversarial=0.02),
        "fill: mean alone": row(fills=("mean",)),
        "fill: another image": row(fills=("dataset",)),
    }
