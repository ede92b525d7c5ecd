"""What a model, a score and a method are: types only."""

from collections.abc import Callable
from typing import Protocol

from jaxtyping import Array, Float, Inexact, PRNGKeyArray, PyTree

Images = Inexact[Array, "n ..."]
Keys = PRNGKeyArray


class Predictor(Protocol):
    """A batch of images to outputs; each image's outputs depend on it alone."""

    def __call__(self, images: Images, /) -> PyTree: ...


class Score(Protocol):
    """The scalar being explained, one per image."""

    def __call__(self, outputs: PyTree, targets: PyTree, /) -> Float[Array, " n"]: ...


# An explanation of each image, `n h w c`, `n h w 1` or `n i j`, as
# `method(model, images, targets=None, *, key=None, **hyperparameters)`.
Method = Callable[..., Inexact[Array, "n ..."]]
