"""The sub-pixel form of a transposed convolution against XLA's own.

    .venv/bin/python -m benchmarks.transposed_convolution

Hardware: 2 cores with nothing else running on them. Time: about 1 minute.
Expected, at the shapes of a saliency decoder on MobileNetV2, batch 8: the forward pass
and the gradients of both arguments together at least 3 x as fast in the sub-pixel form,
over the three blocks. The exit code is 1 otherwise. The two take turns; a figure is the
median of the ratios.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from benchmarks import _report
from benchmarks._timing import measured, ratio
from xattr.decoder import transposed_convolution
from xattr.decoder._upsample import Form

NAME, LEAST = "transposed_convolution", 3.0
CLAIM = (
    f"the sub-pixel form is at least {LEAST:g} x as fast as XLA's own, with gradients"
)
BATCH = 8
# Rows, channels read, channels written.
BLOCKS = ((7, 64, 64), (14, 64, 32), (28, 32, 16))
FORMS: tuple[Form, ...] = ("subpixel", "direct")


def forward(form: Form) -> Callable[..., Any]:
    return jax.jit(lambda x, kernel: transposed_convolution(x, kernel, form=form))


def gradient(form: Form) -> Callable[..., Any]:
    def loss(x: Any, kernel: Any) -> Any:
        return (transposed_convolution(x, kernel, form=form) ** 2).sum()

    return jax.jit(jax.value_and_grad(loss, (0, 1)))


def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], float]:
    jax.block_until_ready(function(*arguments))

    def run() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        return time.perf_counter() - start

    return run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    rows, total = [], dict.fromkeys(FORMS, 0.0)
    for side, inputs, outputs in BLOCKS:
        one, other = jax.random.split(jax.random.key(side))
        x = jax.random.normal(one, (BATCH, side, side, inputs))
        kernel = jax.random.normal(other, (4, 4, inputs, outputs))
        for what, make in (("forward", forward), ("with gradients", gradient)):
            runs = {form: timed(make(form), x, kernel) for form in FORMS}
            seconds = measured(runs, options.rounds)
            best = {form: min(seconds[form]) for form in FORMS}
            rows.append(
                {
                    "grid": f"{side} -> {2 * side}",
                    "channels": f"{inputs} -> {outputs}",
                    "what": what,
                    **{f"{form}, ms": 1e3 * best[form] for form in FORMS},
                    "direct / subpixel": ratio(seconds, "direct", "subpixel"),
                }
            )
            if make is gradient:
                total = {form: total[form] + best[form] for form in FORMS}
    found = total["direct"] / total["subpixel"]
    _report.table(CLAIM, rows)
    path = _report.write(
        NAME,
        CLAIM,
        holds=found >= LEAST,
        out=options.out,
        settings={"batch": BATCH, "rounds": options.rounds},
        figures={"direct over subpixel, with gradients": found},
        rows=rows,
    )
    print(f"{found:.2f}; written to {path}")
    return int(found < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
