"""What a training tells as it goes on: a table of losses, and TensorBoard's events."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOSSES, EVENTS = "losses.csv", "tensorboard"


class Logs:
    """Losses by step, in `losses.csv` and, if asked for, for TensorBoard.

    Args:
      folder: where they go; made if it is not there.
      step: after how many steps the training goes on. Rows after it, which a killed
        process has left, are removed.
      tensorboard: whether events are written too, in the folder `tensorboard`.

    Raises:
      ImportError: if `tensorboard` is asked for and tensorboardX is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        step: int = 0,
        tensorboard: bool = False,
    ) -> None:
        self._folder = Path(folder)
        self._writer = _writer(self._folder / EVENTS, step) if tensorboard else None
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / LOSSES
        self._columns = _cut_off(self._path, step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Add what was measured at the step of that number, counted from 1.

        Raises:
          ValueError: if the values are others than those of the rows above.
        """
        row = {"step": step} | {name: float(x) for name, x in values.items()}
        columns = list(row)
        if self._columns and sorted(self._columns) != sorted(columns):
            raise ValueError(
                f"{self._path} has the columns {', '.join(self._columns)}; step {step} "
                f"gives {', '.join(columns)}. Give another folder."
            )
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns or columns, lineterminator="\n")
            if not self._columns:
                writer.writeheader()
            writer.writerow(row)
        self._columns = self._columns or columns
        if self._writer is not None:
            for name, value in list(row.items())[1:]:
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> "Logs":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left."""
        self.close()


def import_tensorboard() -> Any:
    """The package that writes TensorBoard's events.

    Raises:
      ImportError: if it is not installed.
    """
    try:
        import tensorboardX  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "`tensorboard=True` needs tensorboardX: `pip install 'xattr-jax[logs]'`. "
            "The losses are in losses.csv without it."
        ) from error
    return tensorboardX


def _writer(folder: Path, step: int) -> Any:
    """What writes TensorBoard's events; those after the step are void."""
    purge = step + 1 if step else None
    return import_tensorboard().SummaryWriter(str(folder), purge_step=purge)


def _cut_off(path: Path, step: int) -> list[str]:
    """Remove rows after a step, and one that was cut short; the columns."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if not whole:
        path.unlink()
        return []
    columns = next(csv.reader(whole[:1]))
    kept = [line for line in whole[1:] if int(line.partition(",")[0]) <= step]
    temporary = path.with_suffix(".part")
    temporary.write_text("".join([whole[0], *kept]), encoding="utf-8")
    os.replace(temporary, path)
    return columns
