"""What a mask is judged by: the classifier's answers to three views of an image."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int


class Views(NamedTuple):
    """A mask, and the logits with and without what it keeps.

    Attributes:
      mask: $m$, what to keep of each pixel, in [0, 1].
      clean: logits of the image $x$.
      kept: logits where only what the mask keeps is seen, $m x + (1 - m) b$, with
        $b$ the fill.
      hidden: logits where what the mask keeps is hidden, $(1 - m) x + m b$.
      targets: the class to be explained: the label, or the class that was predicted.
    """

    mask: Float[Array, "n h w 1"]
    clean: Float[Array, "n k"]
    kept: Float[Array, "n k"]
    hidden: Float[Array, "n k"]
    targets: Int[Array, " n"]
