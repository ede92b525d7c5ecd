"""The command `models`."""

from xattr.cli._console import show_table

# As in the licenses that are bundled beside the weights.
_LICENSES = {"mobilenet_v2": "Apache-2.0", "squeezenet1_1": "BSD-2-Clause"}


def models() -> None:
    """List the networks: whether their weights are in the package, size, license."""
    from xattr.models import names
    from xattr.models._bundled import FOLDER

    rows = []
    for name, bundled in names().items():
        if bundled:
            size = (FOLDER / f"{name}.safetensors").stat().st_size / 1e6
            rows.append((name, "bundled", f"{size:.1f} MB", _LICENSES[name]))
        else:
            rows.append((name, "give --weights FILE", "", "that of the file"))
    show_table(("name", "weights", "size", "license"), rows)
