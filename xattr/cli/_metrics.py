"""The command `metrics`."""

from xattr.cli._console import show_table


def metrics() -> None:
    """List the metrics: name, which direction is better, what the number means."""
    from xattr.compare import METRICS

    needs = {True: "boxes or masks", False: ""}
    show_table(
        ("name", "better", "needs", "summary"),
        (
            (name, row.better, needs[row.annotated], row.summary)
            for name, row in METRICS.items()
        ),
    )
