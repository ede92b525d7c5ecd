"""How programs are compiled, and what decides their bytes beside the plan."""

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jax
import numpy as np

from xattr._budget import chunk_memory

# YNNPACK divides reductions and products among as many threads as there are cores or
# simulated devices, and their last bits depend on it; those of convolutions do not.
_ON_CPU = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"
    )
}

# Of an accelerator's memory; the rest is left to parameters and XLA's scratch space.
_SHARE = 0.4

# How many devices are simulated changes no byte.
_SIMULATION = ("--xla_force_host_platform_device_count",)


def compiler_options(platform: str) -> dict[str, str]:
    """What the programs of a run are compiled with beside the flags."""
    return _ON_CPU if platform == "cpu" else {}


def chunk_bytes(device: Any) -> int | None:
    """Bytes for a chunk of evaluations that are the same every time."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    return int(stats["bytes_limit"] * _SHARE) if stats else None


@contextmanager
def compiling(precision: str | None, memory: int | None) -> Iterator[None]:
    """What tracing and compiling depend on, beside the program.

    Args:
      precision: of matrix products.
      memory: bytes of a chunk of evaluations; the library's choice when None.
    """
    with jax.default_matmul_precision(precision), ExitStack() as stack:
        if memory is not None:
            stack.enter_context(chunk_memory(memory))
        yield


def compiler(
    device: Any, *, chunk_memory: int | None, num_perturbation: int
) -> dict[str, Any]:
    """What decides the bytes beside the plan: the compiler, its flags, the device."""
    import jaxlib.version
    import PIL

    flags = shlex.split(os.environ.get("XLA_FLAGS", ""))
    return {
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "flags": sorted(f for f in flags if not f.startswith(_SIMULATION)),
        "chunk_memory": None if chunk_memory else chunk_bytes(device),
        "num_perturbation": num_perturbation,
        "random": {
            "prng": str(jax.random.key_impl(jax.random.key(0))),
            "partitionable": bool(jax.threefry_partitionable.value),
        },
        "options": compiler_options(device.platform),
        "platform": device.platform,
        "device": device.device_kind,
        "x64": bool(jax.config.read("jax_enable_x64")),
    }
