"""The sanity checks of all methods as one table; see README.md.

    python experiments/method_comparison/sanity.py

Reads what `run.py` kept of its parts, and writes `sanity.csv`: of each method the rank
correlation of its map with that of another class, with that after the last layer was
randomized, and with the mean of all stages down to the pixels.
"""

import csv
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("squeezenet1_1", "squeezenet1_1_checks")
# A map that is as much the same as this says nothing of what was taken away.
ALIKE = 0.8


def rows(name: str) -> list[dict[str, str]]:
    """Lines of a kept table, of both parts."""
    found = []
    for part in PARTS:
        with (HERE / part / name).open() as file:
            found += csv.DictReader(file)
    return found


def number(text: str) -> float | None:
    """What is written; None where nothing is."""
    return float(text) if text else None


def main() -> None:
    """Write the table, the least sensitive methods first."""
    means = {(r["method"], r["metric"]): number(r["mean"]) for r in rows("results.csv")}
    last = {
        r["method"]: number(r["mean"])
        for r in rows("curves.csv")
        if r["metric"] == "parameter_randomization" and r["place"] == "0"
    }
    table = []
    for method, top in last.items():
        other = means[method, "random_logit"]
        known = [x for x in (other, top) if x is not None]
        table.append(
            {
                "method": method,
                "another class": other,
                "last layer random": top,
                "mean of the stages": means[method, "parameter_randomization"],
                "fails": "" if not known else "yes" if max(known) > ALIKE else "no",
            }
        )
    table.sort(key=lambda row: -(row["last layer random"] or 0))
    with (HERE / "sanity.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        for row in table:
            writer.writerow(
                {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
            )
    for row in table:
        print(*row.values(), sep="\t")


if __name__ == "__main__":
    main()
