"""One process of a run, for tests: `python -m tests.run.process FOLDER COUNT [MODE]`.

MODE is nothing for all of the run, `join ADDRESS COUNT NUMBER`, or `mpi`.
"""

import sys

from tests.run.conftest import noise, plan, run
from xattr.run._processes import join_processes


def main(folder, count, mode="whole", *where):
    """Compute this process's share."""
    options = {}
    if mode == "join":
        address, processes, number = where
        options["share"] = join_processes(
            address, num_processes=int(processes), process=int(number)
        )
    elif mode == "mpi":
        options["share"] = join_processes(cluster="mpi4py")
    progress = run(folder, plan(), noise(int(count)), **options)
    print(f"computed {progress.computed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
