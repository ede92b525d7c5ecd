"""Run the command line: `python -m xattr`."""

from xattr.cli import main

if __name__ == "__main__":
    main()
