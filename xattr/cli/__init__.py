"""The command line: one command per file."""


def main() -> None:
    """Run the command that the arguments name, and end the process."""
    import os
    import sys
    from io import TextIOWrapper

    from xattr.cli._app import app
    from xattr.cli._interruption import INTERRUPTED

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        # A compilation's threads may crash an interpreter that is taken down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
