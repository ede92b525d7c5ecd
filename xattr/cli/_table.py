"""The table of predictions: a run's rows as one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from xattr.cli._folder import TABLE, record_name, write_whole

if TYPE_CHECKING:
    import pyarrow as pa

    from xattr.run import Run

Format = Literal["csv", "parquet"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_table(run: "Run", shards: Sequence[int], folder: Path, form: Format) -> Path:
    """Write the rows of some shards, and places that were no records, as one file.

    A column `name` tells what a record's pictures are called. Shards are read one by
    one.
    """
    path = folder / f"{TABLE}.{form}"
    write_whole(path, lambda file: _write(run, shards, form, file))
    return path


def _write(run: "Run", shards: Sequence[int], form: Format, file: IO[bytes]) -> None:
    """Write the table to a file that is open."""
    from pyarrow import csv, parquet

    adjust = _guarded if form == "csv" else lambda rows: rows
    kind = csv.CSVWriter if form == "csv" else parquet.ParquetWriter
    schema = _named(run, run.rows(shards=shards[:1])).schema
    with kind(file, schema) as writer:
        for shard in shards:
            writer.write_table(adjust(_named(run, run.rows(shards=[shard]))))
        writer.write_table(adjust(_problems(run, schema)))


def _named(run: "Run", rows: "pa.Table") -> "pa.Table":
    """Rows with the names of their pictures; those that have none are null."""
    import pyarrow as pa

    columns = (rows[name].to_pylist() for name in ("index", "file", "status"))
    names = [
        None if status == "skipped" else record_name(index, len(run), file)
        for index, file, status in zip(*columns, strict=True)
    ]
    return rows.add_column(2, pa.field("name", pa.string()), pa.array(names, "string"))


def _problems(run: "Run", schema: "pa.Schema") -> "pa.Table":
    """Rows of places that were no records."""
    import pyarrow as pa

    listed = [
        {"file": name, "status": "skipped", "reason": reason}
        for name, reason in run.about.get("source", {}).get("problems", ())
    ]
    return pa.Table.from_pylist(listed, schema=schema)


def _guarded(rows: "pa.Table") -> "pa.Table":
    """Rows of which a spreadsheet computes nothing."""
    import pyarrow as pa

    for column, guard in (("file", "./"), ("label", "'")):
        place = rows.schema.get_field_index(column)
        texts = [_no_formula(text, guard) for text in rows[column].to_pylist()]
        rows = rows.set_column(
            place, rows.schema.field(place), pa.array(texts, "string")
        )
    return rows


def _no_formula(text: str | None, guard: str) -> str | None:
    """A text with something before it, where a spreadsheet would compute it."""
    return f"{guard}{text}" if text and text.startswith(_FORMULA) else text
