"""How far a run is and what has gone wrong: `run status`, and the end of `run`."""

from typing import Annotated

import typer

from xattr.cli._console import fail, say, show_table
from xattr.cli._executing import SKIPPED
from xattr.cli._survey import is_spoiled


def status(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A run's store.")],
) -> None:
    """Tell how far a run is, and what has gone wrong.

    Exit code: 0, or 2 if there is no run.
    """
    from xattr.run import open_run

    try:
        found = open_run(folder)
        done = found.statuses()
        staged = found.num_staged
    except (ImportError, OSError, ValueError) as error:
        fail(error)
    rows = [
        ("records", len(found)),
        ("committed", done.total()),
        ("waiting for their shard", staged),
        ("to be computed", len(found) - done.total() - staged),
        *((f"status {name}", count) for name, count in done.most_common()),
    ]
    say(f"{folder}: {', '.join(found.methods)} of {found.settings['model']['name']}")
    show_table(("", "count"), rows)
    for writer in found.writers():
        say(f"being written by process {writer['pid']} on {writer['host']}")


def summarize(out: str) -> int:
    """Say how many records have which status; the exit code."""
    from xattr.run import open_run

    counts = open_run(out).statuses()
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    say(f"{out}: {told or 'no shard is whole yet'}")
    return SKIPPED if any(map(is_spoiled, counts)) else 0
