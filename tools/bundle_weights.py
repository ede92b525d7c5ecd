"""Make the files of `xattr/models/bundled` from a data pack.

MobileNetV2's float32 weights lie on a grid of at most 256 steps per tensor, as they
were 8-bit before; they are put back on it, which is checked to lose nothing.
SqueezeNet 1.1 is copied as it is. Needs scikit-image for its photographs.

    python tools/bundle_weights.py --data ../data
"""

import argparse
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from safetensors.numpy import load_file, save_file

BUNDLED = Path(__file__).parents[1] / "xattr" / "models" / "bundled"
LICENCES = {
    "google-coral-test_data.Apache-2.0.txt": "google-coral.Apache-2.0.txt",
    "SqueezeNet.BSD.txt": "squeezenet1_1.BSD.txt",
    "RISE.MIT.txt": "imagenet1k-names.MIT.txt",
    "pytorch-grad-cam.MIT.txt": "cat_dog.MIT.txt",
    "saliency.Apache-2.0.txt": "doberman.Apache-2.0.txt",
}
DEMO = ("cat_dog.png", "doberman.png", "cat.jpg")
SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
LARGEST = 250_000


def main() -> None:
    """Write all bundled files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    for folder in ("LICENSES", "photographs"):
        (BUNDLED / folder).mkdir(parents=True, exist_ok=True)
    tensors = load_file(data / "weights" / "mobilenet_v2.safetensors")
    save_file(
        quantized(tensors),
        BUNDLED / "mobilenet_v2.safetensors",
        metadata={"float32_sha256": digest(tensors)},
    )
    (BUNDLED / "mobilenet_v2.safetensors").chmod(0o644)
    name = "squeezenet1_1.safetensors"
    shutil.copyfile(data / "weights" / name, BUNDLED / name)
    for labels in ("imagenet1k", "inat_birds"):
        classes = json.loads((data / "labels" / f"{labels}.json").read_text())
        names = [row["name"] for row in classes["classes"]]
        (BUNDLED / f"{labels}.txt").write_text("\n".join(names) + "\n", "utf-8")
    for source, target in LICENCES.items():
        shutil.copyfile(data / "licenses" / source, BUNDLED / "LICENSES" / target)
    photographs = [data / "demo" / name for name in DEMO]
    folder = Path(skimage.__file__).parent / "data"
    for path in [*photographs, *(folder / name for name in SKIMAGE)]:
        write_photograph(path)


def quantized(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as uint8 with a scale and a zero point each; biases as they are."""
    packed = {}
    for name, value in tensors.items():
        if not name.endswith(".weight"):
            packed[name] = value
            continue
        steps, zero, scale = on_grid(value, name)
        packed |= {name: steps, f"{name}.zero": zero, f"{name}.scale": scale}
    return packed


def on_grid(value: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole steps from the lowest value, and the scale that gives back every bit."""
    values = np.unique(value).astype(np.float64)
    rough = np.diff(values).min()
    steps = np.rint(values / rough)
    rough = (values[-1] - values[0]) / (steps[-1] - steps[0])
    steps = np.rint(value.astype(np.float64) / rough)
    zero = -int(steps.min())
    scale = np.float32(rough)
    for _ in range(16):
        scale = np.nextafter(scale, np.float32(0))
    for _ in range(32):
        whole = (steps + zero).astype(np.uint8)
        again = (whole.astype(np.float32) - np.float32(zero)) * scale
        if np.array_equal(again, value):
            return whole, np.float32([zero]), np.float32([scale])
        scale = np.nextafter(scale, np.float32(np.inf))
    raise ValueError(f"{name} does not lie on a grid of 256 steps.")


def digest(tensors: dict[str, np.ndarray]) -> str:
    """Fingerprint of all values, in the order of the names."""
    fingerprint = hashlib.sha256()
    for name in sorted(tensors):
        fingerprint.update(np.ascontiguousarray(tensors[name]).tobytes())
    return fingerprint.hexdigest()


def write_photograph(path: Path) -> None:
    """Copy a photograph, or write it as JPEG of quality 90 if it is too large."""
    folder = BUNDLED / "photographs"
    if path.stat().st_size <= LARGEST:
        shutil.copyfile(path, folder / path.name)
        return
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG", quality=90)
    (folder / path.name).with_suffix(".jpg").write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
