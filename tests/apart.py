"""Parameters of tests that are run apart: they take long, and few cases say enough."""

from collections.abc import Container, Iterable
from typing import Any

import pytest


def apart(*values: Any) -> Any:
    """Values of one case that is run apart."""
    return pytest.param(*values, marks=pytest.mark.slow)


def slow_but(names: Iterable[Any], fast: Container[Any]) -> list[Any]:
    """All names; those that are not fast are run apart."""
    return [name if name in fast else apart(name) for name in names]
