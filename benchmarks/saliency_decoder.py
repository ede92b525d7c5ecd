"""What explaining by a decoder costs beside the forward pass.

    .venv/bin/python -m benchmarks.saliency_decoder --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 2 minutes.
Expected, the bundled MobileNetV2 at 224 x 224, batch 8: a mask of the bundled decoder,
and one of a decoder of the last feature map, whatever its output, takes at most 1.15 x
the plain forward pass. Two skips stand beside it. The exit code is 1 otherwise. All but
the bundled one are not trained: time does not depend on parameters. All take turns; a
figure is the median of the ratios.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx

from benchmarks import _report
from benchmarks._timing import measured, ratio
from xattr.data import open_source, pixels_of
from xattr.decoder import Decoder, Trained, architecture, bundled, decode
from xattr.models import load

NAME, MOST = "saliency_decoder", 1.15
CLAIM = f"a decoder's mask takes at most {MOST} x the forward pass of MobileNetV2"
BATCH = 8
DEEP, SKIPS = "features/18", ("features/6", "features/3")
BUNDLED = "bundled"
CASES = {
    BUNDLED: {},
    "agnostic": {"sites": DEEP},
    "class": {"sites": DEEP, "output": "class"},
    "selector": {"sites": DEEP, "output": "selector"},
    "evidence": {"sites": DEEP, "output": "evidence"},
    "agnostic, two skips": {"sites": (DEEP, *SKIPS)},
}


def untrained(model: Any, images: Any, sites: Any, **options: Any) -> Trained:
    form = architecture(model, images, sites, **options)
    return Trained(form, nnx.state(Decoder(form, rngs=nnx.Rngs(0))))


def timed(function: Callable[..., Any], *arguments: Any) -> Callable[[], float]:
    jax.block_until_ready(function(*arguments))

    def run() -> float:
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        return time.perf_counter() - start

    return run


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    pretrained = load("mobilenet_v2")
    model = pretrained.model
    source = open_source([str(options.data / "imagenet_sample" / "images.tar")])
    pixels = [pretrained.preprocess(pixels_of(source[k])) for k in range(BATCH)]
    images = jax.numpy.asarray(np.stack(pixels))
    runs = {"forward": timed(jax.jit(lambda model, x: model(x)), model, images)}
    parameters = {}
    for name, case in CASES.items():
        if name == BUNDLED:
            trained = bundled("mobilenet_v2")
        else:
            trained = untrained(model, images, **case)
        parameters[name] = sum(x.size for x in jax.tree.leaves(trained))

        def mask(model: Any, images: Any, trained: Trained) -> Any:
            return decode(model, images, decoder=trained)

        runs[name] = timed(jax.jit(mask), model, images, trained)
    seconds = measured(runs, options.rounds)
    rows = [
        {
            "decoder": name,
            "parameters": parameters[name],
            "ms per image": 1e3 * min(seconds[name]) / BATCH,
            "forward, ms per image": 1e3 * min(seconds["forward"]) / BATCH,
            "over forward": ratio(seconds, name, "forward"),
        }
        for name in CASES
    ]
    worst = max(row["over forward"] for row in rows[:-1])
    _report.table(CLAIM, rows)
    path = _report.write(
        NAME,
        CLAIM,
        holds=worst <= MOST,
        out=options.out,
        settings={"batch": BATCH, "rounds": options.rounds, "channels": [64, 32, 16]},
        figures={"largest over forward": worst},
        rows=rows,
    )
    print(f"{worst:.3f}; written to {path}")
    return int(worst > MOST)


if __name__ == "__main__":
    raise SystemExit(main())
