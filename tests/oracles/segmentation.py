"""Segmentation with loops: a small network, its derivatives, and connected regions."""

import numpy as np


def dilated(x: np.ndarray, kernel: np.ndarray, dilation: int = 1) -> np.ndarray:
    """3x3 convolution of `h w c` that keeps the size."""
    height, width, _ = x.shape
    out = np.zeros((height, width, kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            for u in range(3):
                for v in range(3):
                    y, z = i + (u - 1) * dilation, j + (v - 1) * dilation
                    if 0 <= y < height and 0 <= z < width:
                        out[i, j] += x[y, z] @ kernel[u, v]
    return out


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def normalized(x: np.ndarray, scale, bias, mean, var) -> np.ndarray:
    return (x - mean) / np.sqrt(var + 1e-3) * scale + bias


def pyramid(x: np.ndarray, reduce: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """Reduced channels, filtered at five dilations; the wider ones summed up."""
    reduced = x @ reduce
    parts = [dilated(reduced, kernel, 2**power) for power, kernel in enumerate(kernels)]
    sums = [np.sum(parts[1 : last + 1], axis=0) for last in range(1, 5)]
    return np.concatenate([parts[0], *sums], axis=-1)


def doubled(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Each pixel painted as a 2x2 patch; weight is `in out 2 2`, as torch has it."""
    height, width, _ = x.shape
    out = np.zeros((2 * height, 2 * width, weight.shape[1]))
    for i in range(height):
        for j in range(width):
            for u in range(2):
                for v in range(2):
                    out[2 * i + u, 2 * j + v] = x[i, j] @ weight[:, :, u, v]
    return out


class ESPNet:
    """The whole network on one image `h w 3`, from tensors by their authors' names."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors = {k: v.astype(np.float64) for k, v in tensors.items()}

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Logits `h w k` of an image that is normalized already."""
        half = self.pooled(image)
        out0 = self.cbr("encoder.level1", image, 2)
        first = self.br("encoder.b1", np.concatenate([out0, half], -1))
        start = self.down("encoder.level2_0", first)
        deep = start
        for index in range(2):
            deep = self.esp(f"encoder.level2.{index}", deep, True)
        joined = np.concatenate([deep, start, self.pooled(half)], -1)
        second = self.br("encoder.b2", joined)
        start = deep = self.down("encoder.level3_0", second)
        for index in range(8):
            deep = self.esp(f"encoder.level3.{index}", deep, True)
        third = self.br("encoder.b3", np.concatenate([start, deep], -1))
        classes = self.conv("encoder.classifier", third)
        up = doubled(self.bn("br", classes), self.tensors["up_l3.0.weight"])
        joined = np.concatenate([self.conv("level3_C", second), up], -1)
        mixed = self.br("combine_l2_l3.0", joined)
        mixed = self.esp("combine_l2_l3.1", mixed, False)
        up = self.br("up_l2.1", doubled(mixed, self.tensors["up_l2.0.weight"]))
        last = self.cbr("conv", np.concatenate([up, first], -1))
        return doubled(last, self.tensors["classifier.weight"])

    def conv(self, name: str, x: np.ndarray, stride=1, dilation=1) -> np.ndarray:
        kernel = self.tensors[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
        if kernel.shape[0] == 1:
            return x @ kernel[0, 0]
        return dilated(x, kernel, dilation)[::stride, ::stride]

    def bn(self, name: str, x: np.ndarray) -> np.ndarray:
        parts = ("weight", "bias", "running_mean", "running_var")
        return normalized(x, *(self.tensors[f"{name}.{part}"] for part in parts))

    def br(self, name: str, x: np.ndarray) -> np.ndarray:
        return prelu(self.bn(f"{name}.bn", x), self.tensors[f"{name}.act.weight"])

    def cbr(self, name: str, x: np.ndarray, stride=1) -> np.ndarray:
        return self.br(name, self.conv(name, x, stride))

    def merged(self, name: str, x: np.ndarray) -> np.ndarray:
        kernels = [
            self.tensors[f"{name}.d{d}.conv.weight"].transpose(2, 3, 1, 0)
            for d in (1, 2, 4, 8, 16)
        ]
        return pyramid(x, np.eye(x.shape[-1]), kernels)

    def down(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.br(name, self.merged(name, self.conv(f"{name}.c1", x, 2)))

    def esp(self, name: str, x: np.ndarray, add: bool) -> np.ndarray:
        y = self.merged(name, self.conv(f"{name}.c1", x))
        return self.br(f"{name}.bn", x + y if add else y)

    @staticmethod
    def pooled(x: np.ndarray) -> np.ndarray:
        ninths = np.broadcast_to(np.eye(x.shape[-1]) / 9, (3, 3, 3, 3))
        return dilated(x, ninths)[::2, ::2]


class Segmenter:
    """A ReLU of a 3x3 convolution, a second one, and each pixel made into four."""

    def __init__(self, first: np.ndarray, second: np.ndarray):
        self.first, self.second = first, second

    def channels(self, image: np.ndarray) -> np.ndarray:
        """The site, `i j d`."""
        return np.maximum(dilated(image, self.first), 0)

    def logits(self, image: np.ndarray) -> np.ndarray:
        """`h w k`, at twice the image's size."""
        return np.kron(dilated(self.channels(image), self.second), np.ones((2, 2, 1)))

    def score(self, image: np.ndarray, target: int, region: np.ndarray) -> float:
        """Sum of the class's logits over the region."""
        return float((self.logits(image)[..., target] * region).sum())

    def gradient(
        self, image: np.ndarray, target: int, region: np.ndarray
    ) -> np.ndarray:
        """The score's derivative with respect to the site, pixel by pixel."""
        height, width, channels = self.channels(image).shape
        found = np.zeros((height, width, channels))
        for y, x in zip(*np.nonzero(region), strict=True):
            for u in range(3):
                for v in range(3):
                    i, j = y // 2 + u - 1, x // 2 + v - 1
                    if 0 <= i < height and 0 <= j < width:
                        found[i, j] += self.second[u, v, :, target] * region[y, x]
        return found

    def seg_grad_cam(
        self, image: np.ndarray, target: int, region: np.ndarray
    ) -> np.ndarray:
        """Positive part of the channels weighted by their mean gradient."""
        weights = self.gradient(image, target, region).mean(axis=(0, 1))
        return np.maximum(self.channels(image) @ weights, 0)


def component(mask: np.ndarray, pixel: tuple[int, int], neighbors: int) -> np.ndarray:
    """What is reached from a pixel, one neighbor after the other."""
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    if neighbors == 8:
        steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    found, todo = np.zeros(mask.shape, bool), [pixel]
    while todo:
        y, x = todo.pop()
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        if inside and mask[y, x] and not found[y, x]:
            found[y, x] = True
            todo += [(y + dy, x + dx) for dy, dx in steps]
    return found
