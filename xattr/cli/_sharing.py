"""Which part of a run this process does."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xattr.run import Share

ShareText = Annotated[
    str | None,
    typer.Option(help="Part of the run for this process, such as 0/4. [default: all]"),
]
Distributed = Annotated[
    bool,
    typer.Option(help="Share with the processes of Slurm, Kubernetes, TPU or MPI."),
]
Coordinator = Annotated[
    str | None, typer.Option(help="Address and port of the first process.")
]
NumProcesses = Annotated[
    int | None, typer.Option(min=1, help="With --coordinator: how many there are.")
]
Process = Annotated[
    int | None, typer.Option(min=0, help="With --coordinator: this one's number.")
]
Cluster = Annotated[
    str | None, typer.Option(help="With --distributed: how JAX finds the others.")
]


def share_of(
    share: str | None,
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process: int | None,
    cluster: str | None,
) -> "Share":
    """This process's part of the run.

    Args:
      share: a share as it was typed, such as `0/4`; all if None.
      distributed: whether JAX is to find the other processes.
      coordinator: address and port of the first one.
      num_processes: how many there are.
      process: this one's number.
      cluster: how JAX finds the others.

    Raises:
      ValueError: if there is no such share, in the command line's words.
    """
    from xattr.run import Share, join_processes

    if share is not None:
        return _parsed(share)
    if not (distributed or coordinator):
        return Share()
    return join_processes(
        coordinator, num_processes=num_processes, process=process, cluster=cluster
    )


def _parsed(share: str) -> "Share":
    """The share that was typed."""
    from xattr.run import Share

    number, slash, count = share.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise ValueError(f"`--share` {share!r} is no share: give one such as `0/4`.")
    try:
        return Share(int(number), int(count))
    except ValueError as error:
        raise ValueError(
            f"`--share` {share!r} does not exist: shares of {count} are 0/{count} to "
            f"{int(count) - 1}/{count}."
        ) from error
