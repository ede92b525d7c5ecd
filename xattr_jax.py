"""Entry of the command `xattr-jax`; says so when another `xattr` is in the way."""

import sys


def main() -> None:
    """Run the command line, or say why it can't be run."""
    import xattr

    if not hasattr(xattr, "_NAMES"):
        where = getattr(xattr, "__file__", "?")
        sys.exit(
            f"The module `xattr` at {where} is another distribution (extended file "
            f"attributes), which hides the one of xattr-jax. They can't share an "
            f"environment: run `pip uninstall xattr`, then "
            f"`pip install --force-reinstall xattr-jax`."
        )
    from xattr.cli import main as run

    run()


if __name__ == "__main__":
    main()
