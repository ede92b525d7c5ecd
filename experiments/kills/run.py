"""A run of 500 photographs is killed again and again; its bytes come out the same.

    python experiments/kills/run.py --images imagenet_sample/images.tar

Grad-CAM of the bundled MobileNetV2, in tiles of 8. The run is begun, killed at a random
instant (SIGKILL), begun again, … until it ends; then another run is begun, until there
were 50 kills. Every third run is of two processes, of which one or both are killed.
Required: every run ends; its files have the bytes of a run that was never killed; of
what a killed process had computed, at most one tile is computed again.
A quarter of an hour on two cores of an AMD EPYC.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent


def digests(folder: Path) -> dict[str, str]:
    """What each file of a store holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Runs:
    """Runs of the same photographs, each in a folder of its own."""

    def __init__(self, folder: Path, images: list[str], count: int) -> None:
        self.folder, self._images, self._count = folder, images, count

    def start(self, name: str, share: str = "0/1") -> subprocess.Popen:
        """Begin a process of a run, or begin it again."""
        words = [str(self.folder / name), str(self.folder / "log"), str(self._count)]
        return subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), *words, share, *self._images],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stderr=subprocess.PIPE,
        )

    def computed(self) -> Counter[str]:
        """How often each tile was computed since it was asked last."""
        log = self.folder / "log"
        lines = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return Counter(lines)


def ended(process: subprocess.Popen) -> bool:
    """Whether a process ended by itself; raises if by an error."""
    if process.wait() == 0:
        return True
    if process.returncode != -signal.SIGKILL:
        told = process.stderr.read().decode() if process.stderr else ""
        raise SystemExit(f"A process ended with {process.returncode}:\n{told}")
    return False


def until_killed(
    runs: Runs, name: str, shares: list[str], longest: float, draw: random.Random
) -> int:
    """Begin a run's processes, kill some at a random instant; how many were killed."""
    processes = [runs.start(name, share) for share in shares]
    time.sleep(draw.uniform(0, longest))
    victims = processes if draw.random() < 0.5 else [draw.choice(processes)]
    for process in victims:
        process.kill()
    # The survivors end by themselves, their shares done.
    return len(processes) - sum([ended(process) for process in processes])


def main() -> None:
    """Kill, compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, found = random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), options.images, options.count)
        ended(runs.start("first"))  # compiles
        started = time.monotonic()
        ended(runs.start("whole"))
        longest = time.monotonic() - started
        expected = digests(runs.folder / "whole")
        same_again = digests(runs.folder / "first") == expected
        tiles = runs.computed().total() // 2
        while (kills := sum(row["kills"] for row in found)) < options.kills:
            name = f"run {len(found)}"
            shares = ["0/2", "1/2"] if len(found) % 3 == 2 else ["0/1"]
            row = {"processes": len(shares), "kills": 0, "starts": 1}
            while now := until_killed(runs, name, shares, longest, draw):
                row["kills"] += now
                row["starts"] += 1
                if kills + row["kills"] >= options.kills:
                    break
            for share in shares:
                ended(runs.start(name, share))
            computed = runs.computed()
            row["bytes are equal"] = digests(runs.folder / name) == expected
            row["tiles computed again"] = computed.total() - len(computed)
            row["all tiles computed"] = len(computed) == tiles
            found.append(row)
            print(row, flush=True)
    kills = sum(row["kills"] for row in found)
    again = sum(row["tiles computed again"] for row in found)
    holds = (
        same_again
        and all(row["bytes are equal"] and row["all tiles computed"] for row in found)
        and all(row["tiles computed again"] <= row["kills"] for row in found)
    )
    result = {
        "claim": "50 kills at random instants change no byte, and cost a tile at most",
        "holds": holds,
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "figures": {
            "photographs": options.count,
            "tiles": tiles,
            "kills": kills,
            "runs": len(found),
            "seconds of a whole run": round(longest, 1),
            "tiles computed again": again,
        },
        "rows": found,
    }
    (HERE / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["figures"]), "holds" if holds else "does not hold")
    sys.exit(not holds)


if __name__ == "__main__":
    main()
