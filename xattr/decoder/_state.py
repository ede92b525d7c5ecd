"""What training carries from one batch to the next."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int, PyTree


class Batch(NamedTuple):
    """Labelled images.

    Attributes:
      images: RGB, from 0 to 1.
      labels: the class of each. A frozen classifier is explained without them.
    """

    images: Float[Array, "n h w 3"]
    labels: Int[Array, " n"]


class Learner(NamedTuple):
    """A network that is trained beside the decoder.

    Attributes:
      params: what its gradient changes.
      statistics: what its forward pass changes: batch statistics, counts of draws.
        None where there is nothing of the kind.
      optimizer: state of its optimizer.
    """

    params: PyTree
    statistics: PyTree
    optimizer: PyTree


class Pool(NamedTuple):
    """Past states of the classifier, in a ring.

    Attributes:
      members: their parameters and statistics, stacked along a first axis.
      pushed: how many were put in so far, those that were overwritten included.
    """

    members: PyTree
    pushed: Int[Array, ""]


class State(NamedTuple):
    """All that training changes: with the settings and the data, all that it needs.

    Attributes:
      step: batches seen so far.
      decoder: parameters of the decoder.
      optimizer: state of its optimizer.
      average: running average of its parameters, begun at zero.
      classifier: the classifier, where it is trained along.
      pool: its past states, where they are asked for.
      adversary: the discriminator, where there is one.
    """

    step: Int[Array, ""]
    decoder: PyTree
    optimizer: PyTree
    average: PyTree
    classifier: Learner | None
    pool: Pool | None
    adversary: Learner | None
