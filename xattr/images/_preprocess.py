"""From a decoded photograph to what a network takes."""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from jaxtyping import Float, UInt8

# How far the filters reach, in pixels of the coarser grid.
_REACHES = {"bilinear": 1, "bicubic": 2}
# Ratio of the sides above which an image is not resized whole.
_NARROW = 8


@dataclass(frozen=True)
class Preprocess:
    r"""Resize the shorter side, then cut the middle square.

    A side of length $L$ beside a shorter one of length $S$ becomes
    $\lfloor rL/S \rfloor$, with $r$ = `resize`; the cut begins at
    $(\lfloor rL/S \rfloor - \text{size})/2$, halves rounded to even.

    Args:
      size: side of the result.
      resize: length of the shorter side before the cut; at least `size`.
      interpolation: "bilinear" or "bicubic", both widened when shrinking
        (antialiased), as Pillow has them.

    Raises:
      ValueError: if `resize` < `size`, `size` < 1, or `interpolation` is neither.

    Example:
      >>> import numpy as np
      >>> white = np.full((300, 451, 3), 255, np.uint8)
      >>> Preprocess(size=224, resize=256)(white).shape
      (224, 224, 3)

    Notes:
      Equal to Resize and CenterCrop of torchvision on Pillow images; of images more
      than eight times as long as wide only the part under the cut is computed, within
      1/255 of the same (bicubic differs more there, where it overshoots).
    """

    size: int
    resize: int
    interpolation: str = "bilinear"

    def __post_init__(self):
        check_interpolation(self.interpolation)
        if not 1 <= self.size <= self.resize:
            raise ValueError(
                f"`size`={self.size} must be from 1 to `resize`={self.resize}: the "
                "square is cut from the resized image."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the result."""
        return self.size, self.size, 3

    def __call__(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> Float[np.ndarray, "size size 3"]:
        """Return the middle of `image`, in [0, 1].

        Args:
          image: RGB photograph of any size.

        Returns:
          float32 of shape (size, size, 3).

        Raises:
          TypeError: if `image` is not an array of uint8.
          ValueError: if `image` is not h w 3 with at least one pixel.
        """
        return self.pixels(image).astype(np.float32) / np.float32(255)

    def pixels(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Return the middle of `image` as bytes: 255 times what a call returns.

        Args:
          image: RGB photograph of any size.

        Returns:
          uint8 of shape (size, size, 3), a quarter of the memory.

        Raises:
          TypeError: if `image` is not an array of uint8.
          ValueError: if `image` is not h w 3 with at least one pixel.

        Example:
          >>> import numpy as np
          >>> gray = np.full((4, 6, 3), 7, np.uint8)
          >>> Preprocess(size=1, resize=2).pixels(gray).tolist()
          [[[7, 7, 7]]]
        """
        check_photograph(image)
        long, short = max(image.shape[:2]), min(image.shape[:2])
        cut = self._of_part if long > _NARROW * short else self._of_whole
        return cut(image)

    def boxes(
        self, boxes: Float[np.ndarray, "m 4"], shape: tuple[int, int]
    ) -> Float[np.ndarray, "m 4"]:
        """Return where boxes of a photograph lie in its square.

        Args:
          boxes: `x0 y0 x1 y1` in pixels of the photograph.
          shape: rows and columns of the photograph.

        Returns:
          The same in pixels of the square, cut at its border: a box that lies outside
          has no area.

        Example:
          >>> import numpy as np
          >>> box = np.array([[1.0, 0.0, 3.0, 2.0]])
          >>> Preprocess(size=4, resize=4).boxes(box, (2, 4)).tolist()
          [[0.0, 0.0, 4.0, 4.0]]
        """
        (height, top), (width, left) = self._sides(np.empty(shape))
        scale = np.array([width / shape[1], height / shape[0]] * 2)
        moved = boxes * scale - np.array([left, top] * 2)
        return moved.clip(0, self.size)

    def _of_whole(self, image: np.ndarray) -> np.ndarray:
        """Resize as the reference does, then cut."""
        from PIL import Image

        (height, top), (width, left) = self._sides(image)
        resized = Image.fromarray(image).resize((width, height), self._filter())
        return np.asarray(resized)[top : top + self.size, left : left + self.size]

    def _of_part(self, image: np.ndarray) -> np.ndarray:
        """Compute only what is under the cut: narrow images would grow huge."""
        from PIL import Image

        (rows, top, bottom), (columns, left, right) = (
            self._window(side, *resized)
            for side, resized in zip(image.shape, self._sides(image), strict=False)
        )
        # In floating point: the order of the two passes then changes nothing.
        part = np.ascontiguousarray(image[rows, columns].transpose(2, 0, 1))
        channels = [
            Image.fromarray(channel.astype(np.float32)).resize(
                (self.size, self.size), self._filter(), box=(left, top, right, bottom)
            )
            for channel in part
        ]
        cut = np.stack([np.asarray(channel) for channel in channels], axis=-1)
        return np.floor(cut + 0.5).clip(0, 255).astype(np.uint8)

    def _sides(self, image: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
        """New height and width, each with the begin of the cut."""
        short = min(image.shape[:2])
        height, width = (int(self.resize * side / short) for side in image.shape[:2])
        return (
            (height, round((height - self.size) / 2)),
            (width, round((width - self.size) / 2)),
        )

    def _window(self, side: int, resized: int, begin: int) -> tuple:
        """Pixels of one side that the cut depends on, and its ends among them."""
        scale = side / resized
        start, stop = begin * scale, min((begin + self.size) * scale, side)
        # Pillow keeps positions as float32: count them from a pixel nearby.
        reach = ceil(_REACHES[self.interpolation] * max(scale, 1.0)) + 1
        low, high = max(floor(start) - reach, 0), min(ceil(stop) + reach, side)
        return slice(low, high), start - low, stop - low

    def _filter(self) -> int:
        return resampling(self.interpolation)


def resampling(interpolation: str) -> int:
    """Pillow's number of an interpolation."""
    from PIL import Image

    return Image.Resampling[interpolation.upper()]


def check_interpolation(interpolation: str) -> None:
    """Raise unless the interpolation is one of those above."""
    if interpolation not in _REACHES:
        raise ValueError(
            f"`interpolation`={interpolation!r} is not known. Allowed: "
            f"{', '.join(map(repr, _REACHES))}."
        )


def check_photograph(image: np.ndarray) -> None:
    """Raise unless `image` is a photograph."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"`image` is of {kind}; a uint8 NumPy array is needed: "
            '`numpy.asarray(PIL.Image.open(path).convert("RGB"))`.'
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"`image` has shape {image.shape}; h w 3 is needed, at least one pixel: "
            '`numpy.asarray(PIL.Image.open(path).convert("RGB"))`.'
        )
