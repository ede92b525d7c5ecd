"""The command line: one command per file."""


def main() -> None:
    """Run the command that the arguments name."""
    from xattr.cli._app import app

    app()
