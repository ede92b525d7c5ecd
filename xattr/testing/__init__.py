"""Axioms and contracts of attribution methods, as assertions to run on your own.

Each takes a method and a model, builds the situation that the axiom speaks of, and
raises `AssertionError` with the largest deviation where the method breaks it. A method
that needs a site, a baseline or other hyperparameters is passed with them bound by
`functools.partial`.
"""

from xattr.testing._axioms import (
    assert_complete,
    assert_flip_equivariant,
    assert_ignores_dummy,
    assert_linear,
    assert_symmetric,
)
from xattr.testing._contracts import (
    assert_batch_independent,
    assert_chunk_independent,
    assert_same_under_jit,
)

__all__ = [
    "assert_batch_independent",
    "assert_chunk_independent",
    "assert_complete",
    "assert_flip_equivariant",
    "assert_ignores_dummy",
    "assert_linear",
    "assert_same_under_jit",
    "assert_symmetric",
]
