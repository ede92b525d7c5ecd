"""The command `methods`."""

from xattr.cli._console import show_table


def methods() -> None:
    """List the methods: name, family, whether a site is read, what the map means."""
    from xattr.cli.methods import METHODS

    show_table(
        ("name", "family", "site", "summary"),
        (
            (name, row.family, "yes" if row.site else "no", row.summary)
            for name, row in METHODS.items()
        ),
    )
