"""What runs of any size take, from pieces that are measured on one machine.

    python experiments/scaling/run.py --images imagenet_sample/images.tar

Measures what an image takes (operations counted in the traced programs, maps
compressed) and what a host does besides computing (decoding, feeding, staging,
committing), and calculates from them and from the stated figures of accelerators what
1, 8, 64 and 512 of them reach. Writes `results.json`. Required: a run on this machine
is within a factor of 2 of what its pieces say; exit code 1 otherwise. Time: two minutes
on two cores of an AMD EPYC.
"""

import argparse
import datetime
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import xattr
from xattr.cli.methods import METHODS
from xattr.data import GrainSource, load_tiles, open_source, pixels_of
from xattr.images import resize
from xattr.models import Pretrained, load
from xattr.models._untrained import untrained
from xattr.program._regions import multiply_adds
from xattr.run import (
    Computation,
    Host,
    Place,
    Plan,
    Storage,
    Throughput,
    Work,
    cost,
    execute,
    throughput,
)
from xattr.run._layout import SHARD, Layout
from xattr.run._rows import schema
from xattr.run._store import Staged, Store

HERE = Path(__file__).parent
BUNDLED = Path(xattr.__file__).parent / "models" / "bundled" / "photographs"
COUNTS = (1, 8, 64, 512)
DATA_SETS = {"ImageNet-1k": 1_281_167, "a billion images": 1_000_000_000}
TILE, SIDE, CHUNK = 16, 224, 2 << 30
SITE = "features/layer4/2"

# Not measured: what makers and sellers state. docs/scaling.md names the sources.
REACHED = 0.3
ACCELERATORS = {
    "TPU v5e": {
        "accelerators": 8,
        "peak": 197e12,
        "price": 1.20,
        "cores": 224,
        "read_bandwidth": 25e9,
    },
    "H100": {
        "accelerators": 8,
        "peak": 989e12,
        "price": 4.92,
        "cores": 192,
        "read_bandwidth": 50e9,
    },
}
ENCODED, MEGAPIXELS = 115e3, 0.18
STORAGE = Storage(read_bandwidth=25e9, write_bandwidth=25e9)


def best(action: Callable[[], Any], repetitions: int = 3) -> float:
    """The least seconds that an action takes: the least disturbed by other work."""
    seconds = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def operations(jaxpr: Any) -> float:
    """Two for each multiply-add of convolutions and products, loops counted in full.

    Zeros between the elements of a transposed convolution's operand are not counted.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        shapes = [variable.aval.shape for variable in equation.outvars]
        counted = multiply_adds(equation, shapes)
        spread = equation.params.get("lhs_dilation") or (1,)
        inner = [operations(body) for body in bodies(equation)]
        name = equation.primitive.name
        if name == "while" and any(inner):
            raise ValueError("The turns of a `while_loop` can't be counted.")
        turns = equation.params["length"] if name == "scan" else 1
        of_inner = max(inner) if name == "cond" else sum(inner)
        total += 2 * counted / math.prod(spread) + turns * of_inner
    return total


def bodies(equation: Any) -> Iterator[Any]:
    """The programs inside of an operation."""
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(part, "eqns"):
                yield part
            elif hasattr(part, "jaxpr"):
                yield part.jaxpr


def programs(site: str) -> dict[str, Callable[..., Any]]:
    """Methods as functions of model, images and targets, with their defaults."""
    steps = {"num_steps": 32}
    return {
        "forward pass": lambda model, images, targets: model(images),
        "grad_cam": partial(xattr.grad_cam, site=site),
        "gradient": xattr.gradient,
        "integrated_gradients": partial(xattr.integrated_gradients, **steps),
        "score_cam": partial(xattr.score_cam, site=site),
        "occlusion": partial(xattr.occlusion, window=32, stride=16),
    }


def counted() -> dict[str, dict[str, float]]:
    """Operations per image of ResNet-50, and XLA's own count where there are no loops.

    Nothing is computed, so that random weights will do.
    """
    model = xattr.from_nnx(untrained("resnet50"))
    images = jax.ShapeDtypeStruct((TILE, SIDE, SIDE, 3), jnp.float32)
    targets = jax.ShapeDtypeStruct((TILE,), jnp.int32)
    found = {}
    for name, program in programs(SITE).items():
        given = model, images, targets
        with xattr.chunk_memory(CHUNK):
            total = operations(jax.make_jaxpr(program)(*given).jaxpr)
            found[name] = {"operations": total / TILE}
            if name in ("forward pass", "grad_cam", "gradient"):
                by_xla = jax.jit(program).lower(*given).cost_analysis() or {}
                found[name]["operations by XLA"] = by_xla["flops"] / TILE
    return found


def decoded(source: Any, prepare: Callable[..., Any]) -> dict[str, float]:
    """Bytes of a photograph, and how many a core decodes and resizes in a second.

    The processor's time of one thread is taken, so that other work disturbs less.
    """
    count = min(len(source), 100)
    rates, pixels = [], []
    for _ in range(3):
        begun = time.thread_time()
        pixels = [pixels_of(source[k]) for k in range(count)]
        for each in pixels:
            prepare(each)
        rates.append(count / (time.thread_time() - begun))
    megapixels = sum(each.shape[0] * each.shape[1] for each in pixels) / count / 1e6
    return {
        "photographs": count,
        "mean megapixels": megapixels,
        "decoded per second and core": max(rates),
        "megapixels per second and core": megapixels * max(rates),
    }


class Pixels:
    """Records that cost nothing to decode."""

    def __len__(self) -> int:
        """How many there are."""
        return 2048

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A gray image."""
        return {"image": np.full((SIDE, SIDE, 3), index % 256, np.uint8), "label": ""}


def same(pixels: np.ndarray) -> np.ndarray:
    """No preprocessing."""
    return pixels


def fed() -> float:
    """Images per second that a process takes from those that decode, to its device.

    Of this process's own time, so that neither decoders nor other work count.
    """
    source = GrainSource(Pixels())
    tiles = load_tiles(
        source,
        range(len(source) // TILE),
        tile_size=TILE,
        transform=same,
        size=SIDE,
        num_workers=2,
    )
    next(tiles)  # the workers have started
    begun, count = time.process_time(), 0
    for tile in tiles:
        jax.device_put(np.concatenate([tile.images])).block_until_ready()
        count += TILE
    return count / (time.process_time() - begun)


def mapped(pretrained: Pretrained, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Maps of photographs: a CAM's grid, values of the input, a mask of the input."""
    images = jnp.asarray(pixels, jnp.float32) / 255
    some = images[:8]
    cams = xattr.grad_cam(pretrained.model, images, site=pretrained.site)
    shares = xattr.integrated_gradients(pretrained.model, some, num_steps=8)
    masks = xattr.occlusion(pretrained.model, some[:4])
    return {
        "grid": np.asarray(cams),
        "grid at input size": np.asarray(resize(cams, (SIDE, SIDE))),
        "input": np.asarray(shares),
        "mask": np.asarray(masks),
    }


def as_kept(maps: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    """Maps in one of the forms of a store."""
    if dtype != "int8":
        return {"map": maps.astype(dtype)}
    axes = tuple(range(1, maps.ndim))
    scale = np.abs(maps).max(axes) / 127
    each = np.expand_dims(scale, axes)
    steps = np.round(maps / np.where(each > 0, each, 1))
    return {"map": steps.astype(np.int8), "scale": scale.astype(np.float32)}


def kept(maps: np.ndarray, dtype: str, count: int) -> dict[str, float]:
    """Bytes per image staged and stored, and seconds; the store has one shard."""
    parts = as_kept(maps, dtype)
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        layouts = [Layout("m", k, v.shape[1:], v.dtype.name) for k, v in parts.items()]
        store = Store(
            Place(Path(folder) / "run"),
            layouts,
            num_records=count,
            tile_size=TILE,
            schema=schema(["m"]),
        )
        row = {"file": "folder/photograph.jpg", "status": "ok", "m_sum": 0.5}
        seconds = staged = 0.0
        for tile in store.tiles(0):
            chosen = np.arange(tile * TILE, min(count, tile * TILE + TILE)) % len(maps)
            arrays = {a.name: parts[a.part][chosen] for a in layouts}
            rows = [row | {"index": int(k), "target": int(k)} for k in chosen]
            begun = time.perf_counter()
            store.stage(tile, Staged(arrays, rows))
            seconds += time.perf_counter() - begun
            staged += sum(array.nbytes for array in arrays.values())
        begun = time.perf_counter()
        store.commit(0)
        seconds += time.perf_counter() - begun
        files = [p for p in Path(folder).rglob("*") if p.is_file()]
        stored = sum(p.stat().st_size for p in files if p.name != "zarr.json")
    return {"staged": staged / count, "stored": stored / count, "seconds": seconds}


def forms(maps: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Bytes per image of each kind of map in each form."""
    found = {}
    for kind, values in maps.items():
        for dtype in ("float32", "float16", "int8"):
            one = kept(values, dtype, len(values))
            bytes_each = {key: one[key] for key in ("staged", "stored")}
            found[f"{kind}, {dtype}"] = bytes_each
    return found


def writing(maps: dict[str, np.ndarray]) -> dict[str, float]:
    """What one process stages and commits: images if small, bytes if large."""
    small = min((kept(maps["grid"], "float32", SHARD) for _ in range(3)), key=seconds)
    large = min((kept(maps["input"], "float32", SHARD) for _ in range(3)), key=seconds)
    written = SHARD * (large["staged"] + large["stored"])
    rest = large["seconds"] - small["seconds"]
    return {"recorded": SHARD / small["seconds"], "write_bandwidth": written / rest}


def seconds(found: dict[str, float]) -> float:
    """For how long maps were written."""
    return found["seconds"]


def checked(source: Any, rate: float, writes: dict[str, float]) -> dict[str, Any]:
    """Images per second of a run of Grad-CAM here, and what its pieces say."""
    pretrained = load("mobilenet_v2")
    count, size = min(len(source), 256), pretrained.preprocess.size
    plan = Plan(pretrained, {"grad_cam": METHODS["grad_cam"]}, site=pretrained.site)
    computation = Computation(plan)
    numbers = computation.put([np.arange(TILE, dtype=np.int32)])
    pixels = computation.put([np.zeros((TILE, size, size, 3), np.uint8)])

    def compute() -> None:  # as many as a run has in flight
        begun = [computation.compute(pixels, numbers, numbers) for _ in range(2)]
        jax.block_until_ready(begun)

    compute()
    execute_once = partial(execute, plan, source, computation=computation)
    rates, seconds = [], []
    for _ in range(4):  # the first one compiles
        with tempfile.TemporaryDirectory(dir=HERE) as folder:
            rates.append(execute_once(Place(Path(folder) / "run")).rate)
        seconds.append(best(compute, 5))
    host = Host(
        accelerators=1,
        peak=2 * TILE / min(seconds),
        reached=1,
        price=0,
        cores=1,
        decoded=rate,
        read_bandwidth=1e9,
        **writes,
    )
    predicted = throughput(Work(1, 1e5, 400, 300), host, 1)
    return {
        "run": "grad_cam of mobilenet_v2 on this machine",
        "records": count,
        "predicted": predicted.images,
        "bottleneck": predicted.bottleneck,
        "measured": max(rates),
        "ratio": max(rates) / predicted.images,
    }


def works(pieces: dict[str, Any]) -> dict[str, Work]:
    """What an image takes, by method and by the form of its maps."""
    rows = {
        "Grad-CAM": ("grad_cam", "grid, float32"),
        "Grad-CAM, input size": ("grad_cam", "grid at input size, float32"),
        "IG-32": ("integrated_gradients", "input, float32"),
        "IG-32, int8": ("integrated_gradients", "input, int8"),
        "Score-CAM": ("score_cam", "grid, float32"),
        "Occlusion 32/16": ("occlusion", "mask, float32"),
    }
    found = {}
    for title, (method, form) in rows.items():
        each = pieces["bytes"][form]
        found[title] = Work(
            operations=pieces["operations"][method]["operations"],
            read_bytes=ENCODED,
            written_bytes=each["staged"] + each["stored"],
            stored_bytes=each["stored"],
        )
    return found


def table(pieces: dict[str, Any]) -> list[dict[str, Any]]:
    """Every method on every number of every accelerator."""
    rows = []
    for accelerator, stated in ACCELERATORS.items():
        host = Host(
            reached=REACHED,
            decoded=pieces["read"]["megapixels per second and core"] / MEGAPIXELS,
            fed=pieces["fed"],
            **stated,
            **pieces["write"],
        )
        for title, work in works(pieces).items():
            for count in COUNTS:
                rate = throughput(work, host, count, STORAGE)
                rows.append(
                    {"accelerator": accelerator, "method": title, "count": count}
                    | row_of(rate, work)
                    | prices(work, host, count)
                )
    return rows


def row_of(rate: Throughput, work: Work) -> dict[str, Any]:
    """Images per second, what limits them, and the bytes that go to the storage."""
    return {
        "images per second": rate.images,
        "bottleneck": rate.bottleneck,
        "bytes written per second": rate.images * work.written_bytes,
        "stages": asdict(rate),
    }


def prices(work: Work, host: Host, count: int) -> dict[str, Any]:
    """What the data sets take."""
    return {
        name: asdict(cost(work, host, count, size, STORAGE))
        for name, size in DATA_SETS.items()
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    for row in rows:
        sets = (row[name] for name in DATA_SETS)
        print(
            f"{row['accelerator']:8} {row['count']:4} {row['method']:22} "
            f"{row['images per second']:12,.1f}/s {row['bottleneck']:8} "
            f"{row['bytes written per second'] / 1e6:10,.1f} MB/s",
            *(
                f"{each['hours']:12,.2f} h {each['price']:12,.2f} $ "
                f"{each['stored_bytes'] / 1e12:8.3f} TB"
                for each in sets
            ),
        )


def main() -> int:
    """Measure, calculate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", default=[str(BUNDLED)])
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    chosen = parser.parse_args()
    begun = time.monotonic()
    source = open_source(chosen.images)
    small = load("mobilenet_v2")
    prepare = small.preprocess.pixels
    pixels = np.stack(
        [prepare(pixels_of(source[k])) for k in range(min(len(source), 64))]
    )
    maps = mapped(small, pixels)
    read = decoded(source, prepare)
    pieces: dict[str, Any] = {
        "operations": counted(),
        "read": read,
        "fed": fed(),
        "bytes": forms(maps),
        "write": writing(maps),
    }
    check = checked(source, read["decoded per second and core"], pieces["write"])
    rows = table(pieces)
    print(json.dumps({**pieces, "check": check}, indent=1))
    show(rows)
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}; "
        f"JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "machine was idle": os.getloadavg()[2] < 1,
        "seconds": round(time.monotonic() - begun),
        "measured": pieces,
        "check": check,
        "assumed": {
            "reached": REACHED,
            "encoded bytes": ENCODED,
            "megapixels": MEGAPIXELS,
            **ACCELERATORS,
            "storage": asdict(STORAGE),
        },
        "rows": rows,
    }
    chosen.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if 0.5 <= check["ratio"] <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
