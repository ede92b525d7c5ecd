"""Every method, compiled ahead of time for four chips of a TPU v5e. No TPU is needed.

    make tpu-check

Expected: all methods compile, no device waits for another (images are spread over an
axis `data`, and nothing is exchanged over it), and `jax.export` lowers each for the
CPU, CUDA and TPU; exit code 1 otherwise. From 10 s to two minutes a method.
"""

import argparse
import datetime
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# There is no TPU to ask, and no machine that would name one.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import xattr
from xattr import models
from xattr.cli.methods import METHODS, MethodRow

HERE = Path(__file__).parent
TOPOLOGY = "v5e:2x2"
PLATFORMS = ("cpu", "cuda", "tpu")
SEGMENTS = 64
EXCHANGES = re.compile(
    r" (all-reduce|all-gather|all-to-all|reduce-scatter|collective-[a-z]+)"
    r"(?:-start)?\("
)
HEADS = ("method", "compiled", "HBM temporary", "arguments", "GFLOP", "exchanges")
HEADS += ("exports",)


def explainer(row: MethodRow, pretrained: models.Pretrained) -> Callable[..., Any]:
    """A method as a function of data alone, as a run over a data set calls it."""

    def explain(model: Any, pixels: Any, targets: Any, seeds: Any, given: Any) -> Any:
        images = pixels.astype(jnp.float32) / 255
        keys = jax.vmap(jax.random.key)(seeds)
        options = given | (row.baselines(images) if row.baselines else {})
        if row.site:
            options["site"] = pretrained.site
        return row.method(model, images, targets, key=keys, **options)

    return explain


def arguments_of(
    row: MethodRow, pretrained: models.Pretrained, batch: int
) -> tuple[Any, ...]:
    """Shapes of the model's weights and of what belongs to each image."""
    side = pretrained.preprocess.size
    number = jax.ShapeDtypeStruct((batch,), jnp.int32)
    pixels = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.uint8)
    masks = jax.ShapeDtypeStruct((batch, SEGMENTS, side, side), jnp.bool_)
    given = {"segments": masks} if row.prepare else {}
    model = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), pretrained.model
    )
    return model, pixels, number, number, given


def compile_for(
    devices: Any, explain: Callable[..., Any], arguments: tuple[Any, ...]
) -> dict[str, Any]:
    """What the compiler says of the program of one chip."""
    mesh = Mesh(np.array(devices), ("data",))
    specs = (P(), P("data"), P("data"), P("data"), P("data"))

    def placed(argument: Any, spec: Any) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            argument,
        )

    program = jax.jit(
        jax.shard_map(
            explain, mesh=mesh, in_specs=specs, out_specs=P("data"), check_vma=False
        )
    )
    begin = time.perf_counter()
    given = [placed(*pair) for pair in zip(arguments, specs, strict=True)]
    compiled = program.trace(*given).lower(lowering_platforms=("tpu",)).compile()
    memory = compiled.memory_analysis()
    return {
        "seconds": round(time.perf_counter() - begin, 1),
        "temporary_bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
        "flops": compiled.cost_analysis().get("flops"),
        "exchanges": sorted(set(EXCHANGES.findall(compiled.as_text()))),
    }


def lowered(explain: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """Where a program of one image can be exported to, or why it can't."""
    try:
        found = export.export(jax.jit(explain), platforms=PLATFORMS)(*arguments)
    except (NotImplementedError, ValueError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return " ".join(found.platforms)


def measure(
    devices: Any, row: MethodRow, pretrained: models.Pretrained, batch: int
) -> dict[str, Any]:
    """The row of one method; an `error` where it doesn't compile."""
    explain = explainer(row, pretrained)
    found: dict[str, Any] = {"method": row.name}
    try:
        found |= compile_for(devices, explain, arguments_of(row, pretrained, batch))
    except Exception as error:  # The compiler's errors have no type of their own.
        found["error"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    found["exports"] = lowered(explain, arguments_of(row, pretrained, 1))
    found["passed"] = (
        "error" not in found
        and not found["exchanges"]
        and found["exports"] == " ".join(PLATFORMS)
    )
    return found


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    if "error" in row:
        return f"{row['method']:28} {row['error']}"
    return (
        f"{row['method']:28} {row['seconds']:7.1f} s "
        f"{row['temporary_bytes'] / 2**20:9.1f} MiB "
        f"{row['argument_bytes'] / 2**20:7.1f} "
        f"MiB {row['flops'] / 1e9:9.1f} {' '.join(row['exchanges']) or '-':>10} "
        f"{row['exports']}"
    )


def main() -> int:
    """Compile, print a table and write the results beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mobilenet_v2", choices=models.names())
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--batch", type=int, default=32, help="images on four chips")
    parser.add_argument("--memory", type=int, default=2048, help="MiB of a chunk")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument(
        "--method", nargs="+", choices=METHODS, help="these; keep the other rows"
    )
    chosen = parser.parse_args()
    pretrained = models.load(chosen.model, weights=chosen.weights, rewrite=False)
    devices = topologies.get_topology_desc(TOPOLOGY, "tpu").devices
    settings = {"model": chosen.model, "batch": chosen.batch, "memory": chosen.memory}
    rows = kept(chosen.out, settings) if chosen.method else {}
    print(*HEADS, sep=" | ")
    readable = [name for name, row in METHODS.items() if not row.attention]
    for name in chosen.method or readable:
        jax.clear_caches()
        with xattr.chunk_memory(chosen.memory << 20):
            rows[name] = measure(devices, METHODS[name], pretrained, chosen.batch)
        print(line(rows[name]), flush=True)
        write(chosen.out, settings, [rows[name] for name in METHODS if name in rows])
    return 0 if all(row["passed"] for row in rows.values()) else 1


def kept(path: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows of an earlier run with the same settings."""
    found = json.loads(path.read_text()) if path.exists() else {}
    same = found.get("settings") == settings
    return {row["method"]: row for row in found["rows"]} if same else {}


def write(path: Path, settings: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Everything so far, for a run that is ended early."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("jax", "jaxlib", "libtpu")}
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"compiled on {os.cpu_count()} CPU cores, {platform.machine()}, "
        f"for {TOPOLOGY}",
        "versions": packages,
        "settings": settings,
        "rows": rows,
    }
    path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
