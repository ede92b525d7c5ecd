"""The table of a run: one row per record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xattr.images import STATUSES
from xattr.run._tile import TOP

if TYPE_CHECKING:
    import pyarrow as pa

SKIPPED, OK = "skipped", "ok"
SCALARS = ("sum", "max")


def schema(methods: Sequence[str]) -> "pa.Schema":
    """Columns: the record, how it went, what the model says, what the maps sum to."""
    import pyarrow as pa

    columns = [
        ("index", pa.int64()),
        ("file", pa.string()),
        ("label", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("target", pa.int32()),
        ("target_label", pa.string()),
        ("target_probability", pa.float32()),
    ]
    for rank in range(1, TOP + 1):
        names = prediction_columns(rank)
        columns += zip(names, (pa.int32(), pa.string(), pa.float32()), strict=True)
    columns += [(f"{m}_{s}", pa.float32()) for m in methods for s in SCALARS]
    return pa.schema(columns)


def prediction_columns(rank: int) -> tuple[str, str, str]:
    """Columns of a predicted class: its index, its name, its probability.

    Example:
      >>> prediction_columns(1), prediction_columns(2)[0]
      (('prediction', 'prediction_label', 'probability'), 'prediction_2')
    """
    end = "" if rank == 1 else f"_{rank}"
    return f"prediction{end}", f"prediction_label{end}", f"probability{end}"


def skipped(index: int, file: str, label: str, reason: str) -> dict[str, Any]:
    """The row of a record that gave nothing."""
    record = {"index": index, "file": file, "label": label}
    return record | {"status": SKIPPED, "reason": reason}


def explained(
    index: int,
    file: str,
    label: str,
    *,
    classes: Sequence[str],
    predicted: Mapping[str, np.ndarray],
    maps: Mapping[str, Mapping[str, np.ndarray]],
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """The row of a record that was explained.

    Args:
      index: number of the record.
      file: its name.
      label: its label.
      classes: names of the classes.
      predicted: what the model says of this record.
      maps: what is known of each method's map of it.
      failures: why methods gave no map of it.
    """
    states = {name: STATUSES[int(known["state"])] for name, known in maps.items()}
    faults = {name: state for name, state in states.items() if state != OK}
    faults |= dict.fromkeys(failures, "failed")
    target = int(predicted["target"])
    row: dict[str, Any] = {
        "index": index,
        "file": file,
        "label": label,
        "status": "; ".join(f"{n}: {s}" for n, s in faults.items()) or OK,
        "reason": "; ".join(f"{n}: {reason}" for n, reason in failures.items()),
        "target": target,
        "target_label": classes[target],
        "target_probability": float(predicted["target_probability"]),
    }
    for rank, place in enumerate(map(int, predicted["classes"]), 1):
        found = place, classes[place], float(predicted["probabilities"][rank - 1])
        row |= zip(prediction_columns(rank), found, strict=True)
    for name, known in maps.items():
        row |= {f"{name}_{scalar}": float(known[scalar]) for scalar in SCALARS}
    return row
