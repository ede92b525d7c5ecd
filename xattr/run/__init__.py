"""Runs over whole data sets: sharded, written as they go, resumed where they were."""

from xattr.run._computation import Computation
from xattr.run._cost import Cost, Host, Storage, Throughput, Work, cost, throughput
from xattr.run._execute import Progress, Share, execute
from xattr.run._lock import RunLocked
from xattr.run._manifest import RunMismatch
from xattr.run._open import Maps, Run, open_run
from xattr.run._place import Place
from xattr.run._plan import Plan
from xattr.run._processes import join_processes

__all__ = [
    "Computation",
    "Cost",
    "Host",
    "Maps",
    "Place",
    "Plan",
    "Progress",
    "Run",
    "RunLocked",
    "RunMismatch",
    "Share",
    "Storage",
    "Throughput",
    "Work",
    "cost",
    "execute",
    "join_processes",
    "open_run",
    "throughput",
]
