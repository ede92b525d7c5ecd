"""What a model, a score and a method are: types only."""

from typing import Any, Protocol

from jaxtyping import Array, Float, Inexact, PRNGKeyArray, PyTree

Images = Inexact[Array, "n ..."]
Keys = PRNGKeyArray


class Predictor(Protocol):
    """A batch of images to outputs; each image's outputs depend on it alone."""

    def __call__(self, images: Images, /) -> PyTree: ...


class Score(Protocol):
    """The scalar being explained, one per image."""

    def __call__(self, outputs: PyTree, targets: PyTree, /) -> Float[Array, " n"]: ...


class Method(Protocol):
    """An explanation of each image: `n h w c`, `n h w 1` or `n i j`."""

    def __call__(
        self,
        model: Predictor,
        images: Images,
        targets: PyTree = None,
        /,
        *,
        key: Keys | None = None,
        **hyperparameters: Any,
    ) -> Inexact[Array, "n ..."]: ...
