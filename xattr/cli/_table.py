"""The table of predictions: a row per file, on disk as soon as it is known."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from xattr.cli._folder import write_whole

Format = Literal["csv", "parquet"]

TOP = 3
_TYPES = {
    "file": "string",
    "name": "string",
    "status": "string",
    "reason": "string",
    "target": "int64",
    "target_label": "string",
    "target_probability": "float64",
} | {
    f"{column}_{rank}": kind
    for rank in range(1, TOP + 1)
    for column, kind in (
        ("class", "int64"),
        ("label", "string"),
        ("probability", "float64"),
    )
}
COLUMNS = tuple(_TYPES)


class Table:
    """Rows that are flushed as they come; Parquet is made of them at the end."""

    def __init__(self, folder: Path, form: Format) -> None:
        self._path = folder / "predictions.csv"
        self._form = form
        self._file = self._path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, COLUMNS, restval="")
        self._writer.writeheader()
        self._file.flush()

    def add(self, row: Mapping[str, object]) -> None:
        """Append a row and hand it to the system."""
        self._writer.writerow({**row, "file": _no_formula(str(row["file"]))})
        self._file.flush()

    def close(self) -> Path:
        """Finish, in the format asked for, and say where the table is."""
        self._file.close()
        if self._form == "csv":
            return self._path
        target = self._path.with_suffix(".parquet")
        write_whole(target, lambda file: _to_parquet(self._path, file))
        self._path.unlink()
        return target


def _no_formula(file: str) -> str:
    """A file's name with `./` before it, where a spreadsheet would compute it."""
    return f"./{file}" if file.startswith(("=", "+", "-", "@")) else file


def check_format(form: Format) -> None:
    """Raise if what the format needs is not installed."""
    if form == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "`--table parquet` needs pyarrow: `pip install 'xattr-jax[parquet]'`."
            ) from error


def _to_parquet(journal: Path, file) -> None:
    """Read the rows back with their types."""
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    options = arrow_csv.ConvertOptions(column_types=_TYPES, null_values=[""])
    parsing = arrow_csv.ParseOptions(newlines_in_values=True)
    parquet.write_table(
        arrow_csv.read_csv(journal, parse_options=parsing, convert_options=options),
        file,
    )
