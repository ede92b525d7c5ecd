"""Several processes, on one machine or on many, as one run."""

from typing import Any

import jax

from xattr.run._execute import Share


def join_processes(
    coordinator: str | None = None,
    *,
    num_processes: int | None = None,
    process: int | None = None,
    cluster: str | None = None,
) -> Share:
    """Join the other processes of a run, by `jax.distributed`, and take a share.

    Call it before anything is computed. Under Slurm, Open MPI, Kubernetes (by its
    indexed jobs) and on TPU pods no argument is needed: JAX reads them from the
    environment; under other MPIs give `cluster="mpi4py"`. A share needs nothing of the
    other shares, so that a process that is lost costs its own batch alone, and the run
    goes on with any number of processes when it is begun again.

    Args:
      coordinator: address and port of the first process, such as "10.0.0.1:1234".
      num_processes: how many there are.
      process: number of this one, from 0.
      cluster: how JAX finds the three above, see `jax.distributed.initialize`.

    Raises:
      ValueError: if some of the first three are given and others are not, or there is
        no cluster to read them from.
    """
    given = {"num_processes": num_processes, "process": process}
    if coordinator is not None and None in given.values():
        missing = next(name for name, value in given.items() if value is None)
        raise ValueError(
            f"`coordinator`={coordinator!r} needs `{missing}` as well: "
            'join_processes("10.0.0.1:1234", num_processes=4, process=0).'
        )
    options: dict[str, Any] = {"cluster_detection_method": cluster} if cluster else {}
    try:
        jax.distributed.initialize(coordinator, num_processes, process, **options)
    except ValueError as error:
        raise ValueError(
            f"No cluster was found to take a share of ({error}). Give it: "
            'join_processes("10.0.0.1:1234", num_processes=4, process=0).'
        ) from error
    return Share(jax.process_index(), jax.process_count())
