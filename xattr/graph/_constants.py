"""What learning an explanatory graph goes by."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from xattr._checks import check_count, check_positive

Update = Literal["damped", "exact"]
Candidates = Literal["windows", "cells"]
Compat = Literal["matlab", None]


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

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if a value is out of range, or names what there is not.
    """

    num_parents: int = 15
    num_candidates: int = 600
    tau: float = 0.1
    eta: float = 1.0
    update: Update = "damped"
    candidates: Candidates = "windows"
    frozen: bool = False
    compat: Compat = None

    def __post_init__(self) -> None:
        check_count("num_parents", self.num_parents)
        check_count("num_candidates", self.num_candidates)
        if self.num_parents > self.num_candidates:
            raise ValueError(
                f"`num_parents`={self.num_parents}; they are chosen among "
                f"`num_candidates`={self.num_candidates}, which must be as many: "
                f"`num_candidates={self.num_parents}`."
            )
        check_positive("tau", self.tau, 0.1)
        check_positive("eta", self.eta, 1.0)
        named: dict[str, Any] = {
            "update": Update,
            "candidates": Candidates,
            "compat": Compat,
        }
        for name, kind in named.items():
            value, allowed = getattr(self, name), get_args(kind)
            if value not in allowed:
                raise ValueError(
                    f"`{name}`={value!r} must be one of "
                    f"{', '.join(map(repr, allowed))}: `{name}={allowed[0]!r}`."
                )
