"""The tables of docs/scaling.md from the kept results, in Markdown.

python experiments/scaling/tables.py
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results.json"
COUNTS = (1, 8, 64, 512)
TITLES = {
    "Grad-CAM": "Grad-CAM, raw grid",
    "Grad-CAM, input size": "Grad-CAM, input size",
    "IG-32": "IG-32, float32",
    "IG-32, int8": "IG-32, int8",
    "Score-CAM": "Score-CAM, raw grid",
    "Occlusion 32/16": "occlusion 32/16",
}
STAGES = {"read": "reading", "decode": "decoding", "feed": "feeding"}
STAGES |= {"compute": "computing", "write": "writing"}


def three(value: float) -> str:
    """A number to three digits, thousands apart where there are ten of them."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        rounded = round(value, -digits)
        return f"{rounded:,.0f}".replace(",", " " if rounded >= 10_000 else "")
    return f"{value:.3g}"


def amount(value: float, units: tuple[str, ...]) -> str:
    """A number in the largest of some units, each a thousand of the one before."""
    for unit in units[:-1]:
        if value < 1000:
            return f"{value:.2g} {unit}" if value < 100 else f"{value:.0f} {unit}"
        value /= 1000
    return f"{three(value)} {units[-1]}"


def hours(value: float) -> str:
    """A time in the unit that people would choose."""
    if value >= 1:
        return f"{three(value)} h"
    minutes = value * 60
    return f"{minutes:.0f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"


def rates(rows: dict[tuple[str, str, int], dict[str, Any]], accelerator: str) -> None:
    """Images per second, what limits, and what is written."""
    print("| method, form of the maps | 1 | 8 | 64 | 512 |\n|---|---|---|---|---|")
    for method, title in TITLES.items():
        cells = []
        for count in COUNTS:
            row = rows[accelerator, method, count]
            written = row["bytes written per second"] / 1e6
            told = f", {amount(written, ('MB/s', 'GB/s'))}" if written >= 0.1 else ""
            limit = STAGES[row["bottleneck"]]
            cells.append(f"{three(row['images per second'])} ({limit}{told})")
        print(f"| {title} | {' | '.join(cells)} |")


def costs(rows: dict[tuple[str, str, int], dict[str, Any]], accelerator: str) -> None:
    """What two data sets take on 8 and on 512 accelerators."""
    few = rows[accelerator, "Grad-CAM", 8]
    sets = [k for k, each in few.items() if isinstance(each, dict) and "hours" in each]
    print(
        "| method | ImageNet-1k | stored | a billion | stored |\n|---|---|---|---|---|"
    )
    for method, title in TITLES.items():
        cells = []
        for name in sets:
            many = [rows[accelerator, method, count][name] for count in (8, 512)]
            cells.append(
                "; ".join(f"{hours(e['hours'])}, ${three(e['price'])}" for e in many)
            )
            cells.append(amount(many[0]["stored_bytes"] / 1e9, ("GB", "TB")))
        print(f"| {title} | {' | '.join(cells)} |")


def main() -> None:
    """Print the tables."""
    results = json.loads(RESULTS.read_text())
    rows = {(r["accelerator"], r["method"], r["count"]): r for r in results["rows"]}
    for accelerator in dict.fromkeys(r["accelerator"] for r in results["rows"]):
        print(f"\n{accelerator}: images per second\n")
        rates(rows, accelerator)
        print(f"\n{accelerator}: data sets\n")
        costs(rows, accelerator)


if __name__ == "__main__":
    main()
