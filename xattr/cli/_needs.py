"""What the chosen methods need of the call and of the installation."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

_PACKAGES = {"skimage": "scikit-image"}


def check_site(site: str | None, methods: Mapping[str, Any]) -> None:
    """Raise if a site is given that nothing would read.

    Raises:
      ValueError: if so.
    """
    if site is not None and not any(row.site for row in methods.values()):
        raise ValueError(
            f"`--site` {site!r} is given, but none of {', '.join(methods)} reads a "
            "site. Leave it out, or add such a method: `--method grad_cam`."
        )


def check_needs(methods: Mapping[str, Any]) -> None:
    """Raise if a method needs what is not installed.

    Raises:
      ValueError: if so.
    """
    for name, row in methods.items():
        if row.needs and find_spec(row.needs) is None:
            raise ValueError(
                f"`--method {name}` needs {_PACKAGES[row.needs]}: "
                "`pip install 'xattr-jax[segments]'`."
            )
