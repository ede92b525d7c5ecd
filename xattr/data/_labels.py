"""Classes of the entries of a data set: by folder, or from a table."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

_SHOWN = 3


def assign_labels(
    labels: str | None,
    names: Sequence[str],
    *,
    other_names: Sequence[str],
    folders: Iterable[str],
) -> tuple[str, ...]:
    """One label per entry, "" where there is none.

    Args:
      labels: None for no labels, "folders" for the name of the folder that an entry
        lies in, or the path of a CSV file with the columns `file` and `label`.
      names: what the entries are called; a row's `file` is one of these,
      other_names: or one of these, entry by entry.
      folders: the folder's name, entry by entry.

    Returns:
      As many labels as names.

    Raises:
      ValueError: if the table cannot be read, lacks a column, names an entry twice
        with different labels, or names what is not there.
    """
    if labels is None:
        return ("",) * len(names)
    if labels == "folders":
        return tuple(folders)
    table = _read_table(Path(labels))
    known = {*names, *other_names}
    if unknown := [file for file in table if file not in known]:
        shown = ", ".join(map(repr, unknown[:_SHOWN]))
        more = " ..." if len(unknown) > _SHOWN else ""
        nearest = f" Names are such as {names[0]!r}." if names else ""
        raise ValueError(
            f"`labels`={labels!r}: {len(unknown)} of {len(table)} rows name no file "
            f"of the data set: {shown}{more}.{nearest}"
        )
    return tuple(
        table.get(name, table.get(other, ""))
        for name, other in zip(names, other_names, strict=True)
    )


def _read_table(path: Path) -> dict[str, str]:
    """Labels by file, from a CSV."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(csv.DictReader(file), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"`labels`={str(path)!r} cannot be read ({error}). Allowed: 'folders', or "
            "a CSV file whose first line is `file,label`."
        ) from error


def _parse(rows: csv.DictReader, path: Path) -> dict[str, str]:
    """Check the header and collect the rows."""
    columns = rows.fieldnames or []
    if not {"file", "label"} <= set(columns):
        raise ValueError(
            f"`labels`={str(path)!r} has the columns {list(columns)}; "
            "the first line must be `file,label`."
        )
    table: dict[str, str] = {}
    for row in rows:
        file, label = row["file"] or "", row["label"] or ""
        if table.setdefault(file, label) != label:
            raise ValueError(
                f"`labels`={str(path)!r} gives {file!r} two labels: "
                f"{table[file]!r} and {label!r}."
            )
    return table
