"""What all benchmarks say about a figure: where it was taken, and how it compares."""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "torchvision") + (
    "captum",
    "grad-cam",
    "zennit",
    "quantus",
    "torchcam",
    "opencv-python-headless",
)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the options that all benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of weights/, demo/ and imagenet_sample/",
    )
    parser.add_argument(
        "--out", type=Path, help="JSON file to write; by default results/<name>.json"
    )
    return parser


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print one line per row, a column per key; numbers in four digits."""
    drawn = Table(title=title, title_justify="left")
    for key, value in rows[0].items():
        drawn.add_column(key, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        drawn.add_row(*map(_cell, row.values()))
    # Files and pipes have no width of their own to fold the lines at.
    Console(width=None if os.isatty(1) else 200).print(drawn)


def write(
    name: str, claim: str, *, holds: bool, out: Path | None = None, **content: Any
) -> Path:
    """Write a result with the date, the hardware and the versions; return its path."""
    path = out or _RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "benchmark": name,
        "claim": claim,
        "holds": holds,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": hardware(),
        "versions": versions(),
        **content,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return path


def hardware() -> dict[str, Any]:
    """Return the processor, the cores this process may use, and the memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return what is installed of the libraries that a figure may depend on."""
    import xattr

    found = {"python": platform.python_version(), "xattr-jax": xattr.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cpu() -> str:
    """Model of the processor; virtual machines hide it, but not the generation."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.processor())
    numbers = [fields.get(key, "?") for key in ("cpu family", "model")]
    return f"{name}, family {numbers[0]} model {numbers[1]}"
