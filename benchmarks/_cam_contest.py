"""A method of the CAM family here and in pytorch-grad-cam."""

from typing import Any

from benchmarks._contest import Contest
from benchmarks._worker import Build


def cam(
    network: str, shown: str, ours: str, theirs: str, rounds: int, **settings: Any
) -> Contest:
    """At the last block, the pictures compared; settings of the contest, or of ours."""
    options = {"name": ours, "site": True, "compare": "pictures"}
    fields = {k: settings.pop(k) for k in Contest._fields if k in settings}
    return Contest(
        network,
        shown,
        "pytorch-grad-cam",
        Build("benchmarks._ours", "method", options | settings),
        Build("benchmarks._pytorch_grad_cam_timed", "cam", {"name": theirs}),
        rounds=rounds,
        most_difference=1e-3,
        **fields,
    )
