"""From a decoded photograph to an image of one size, whatever its shape."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from xattr.images._preprocess import (
    Preprocess,
    check_interpolation,
    check_photograph,
    resampling,
)


@dataclass(frozen=True)
class Stretch:
    """Resize a whole photograph to a fixed height and width; nothing is cut.

    For networks that say something of every pixel, and so shall see them all.

    Args:
      height: rows of the result.
      width: columns of the result.
      interpolation: "bilinear" or "bicubic", both widened when shrinking
        (antialiased), as Pillow has them.

    Raises:
      ValueError: if a side is below 1, or `interpolation` is neither.

    Example:
      >>> import numpy as np
      >>> white = np.full((300, 451, 3), 255, np.uint8)
      >>> Stretch(height=360, width=480)(white).shape
      (360, 480, 3)
    """

    height: int
    width: int
    interpolation: str = "bilinear"

    def __post_init__(self):
        check_interpolation(self.interpolation)
        if min(self.height, self.width) < 1:
            raise ValueError(
                f"`height`={self.height} and `width`={self.width} must be at least 1: "
                "`Stretch(height=360, width=480)`."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the result."""
        return self.height, self.width, 3

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> Float[np.ndarray, "height width 3"]:
        """Return `image` at the fixed size, in [0, 1].

        Args:
          image: RGB photograph of any size.

        Returns:
          float32 of shape (height, width, 3).

        Raises:
          TypeError: if `image` is not an array of uint8.
          ValueError: if `image` is not h w 3 with at least one pixel.
        """
        return self.pixels(image).astype(np.float32) / np.float32(255)

    def pixels(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Return `image` as bytes: 255 times what a call returns.

        Args:
          image: RGB photograph of any size.

        Returns:
          uint8 of shape (height, width, 3); of that size already, the same values.

        Raises:
          TypeError: if `image` is not an array of uint8.
          ValueError: if `image` is not h w 3 with at least one pixel.

        Example:
          >>> import numpy as np
          >>> gray = np.full((4, 6, 3), 7, np.uint8)
          >>> Stretch(height=1, width=2).pixels(gray).tolist()
          [[[7, 7, 7], [7, 7, 7]]]
        """
        from PIL import Image

        check_photograph(image)
        size = (self.width, self.height)
        resized = Image.fromarray(image).resize(size, resampling(self.interpolation))
        return np.asarray(resized)


def squares(preprocess: Preprocess | Stretch, name: str) -> Preprocess:
    """The rule of a classifier; an error for a network that segments."""
    if isinstance(preprocess, Preprocess):
        return preprocess
    raise ValueError(
        f"`model` {name!r} takes images of {preprocess.height} x {preprocess.width} "
        "and names a class per pixel; here a network is needed that takes squares and "
        "names one class per image. Explain it from Python: `xattr.grad_cam(model, "
        "images, (classes, regions), site=site, score=xattr.segment)`."
    )
