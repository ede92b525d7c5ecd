"""What it would gain to fold batch norms into the convolutions before them.

    make peers
    .venv-peers/bin/python -m benchmarks.batch_norm --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 2 minutes.
Expected: nothing is claimed. "peer / ours" is the time of the same rewritten network
with its batch norms folded over that of the network as it is: less than 1 is a gain.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

CLAIM = "nothing: what folding batch norms gains on a rewritten network"


def _contest(network: str, name: str, rounds: int, batch: int, **options: int):
    settings = {"name": name, **options}
    return Contest(
        network,
        name.replace("_", " "),
        "batch norms folded",
        Build("benchmarks._ours", "method", settings),
        Build("benchmarks._ours", "method", {**settings, "folded": True}),
        batch=batch,
        rounds=rounds,
        layouts=("default",),
        quick={"num_steps": 2} if "num_steps" in options else {},
    )


CONTESTS = [
    _contest("resnet50", "integrated_gradients", 7, 1, num_steps=32),
    _contest("resnet50", "gradient", 9, 4),
]


if __name__ == "__main__":
    raise SystemExit(main("batch_norm", CLAIM, __doc__, CONTESTS))
