"""From methods to methods: average, spread, product, magnitude, ensemble.

A combinator takes any method, with its hyperparameters bound by `functools.partial` if
it has some, and gives another of the same calling convention. Keyword arguments that
the combinator has no use for (`site`, `score`, `baseline`) go on to the inner method.
"""

from xattr.combinators._absolute import absolute
from xattr.combinators._ensemble import ensemble
from xattr.combinators._smoothgrad import smoothgrad
from xattr.combinators._times_input import times_input
from xattr.combinators._vargrad import vargrad

__all__ = ["absolute", "ensemble", "smoothgrad", "times_input", "vargrad"]
