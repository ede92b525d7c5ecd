"""What learning an explanatory graph goes by."""

from dataclasses import dataclass
from typing import Literal

Candidates = Literal["windows", "cells"]
Compat = Literal["matlab"] | None


@dataclass(frozen=True)
class Constants:
    """What learning goes by; the defaults are the published ones.

    Attributes:
      num_parents: edges of each node to the layer above.
      num_candidates: how many of the strongest nodes above can be parents.
      tau: density of what no node explains, as a share of the nodes' mean one.
      eta: pace at which mean positions move.
      update: "damped" as published, or "exact", the maximum of the expectation.
      candidates: "windows" of 6 by 6 points around where a node is expected, as
        published, or all "cells".
      frozen: keep edges and scales, and learn mean positions alone.
      compat: "matlab" for the arithmetic of the authors' code, whose displacements of
        the layer above are in its own cells, whose borders above are those of the layer
        below, and whose scales are distances in the plane; None for what it means.
    """

    num_parents: int = 15
    num_candidates: int = 600
    tau: float = 0.1
    eta: float = 1.0
    update: Literal["damped", "exact"] = "damped"
    candidates: Candidates = "windows"
    frozen: bool = False
    compat: Compat = None
