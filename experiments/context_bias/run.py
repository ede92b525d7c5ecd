"""Which attribute of a network rests on a cue that merely keeps it company?

    python experiments/context_bias/run.py --data ../data

24 small networks are trained, 12 on noise and 12 on photographs, each with a cue that
is planted beside one of six attributes. Each measure ranks the attributes of all
networks of a background; its AUC says how well it tells the biased from the others.
Eight minutes on two busy cores of an AMD EPYC. Exit code 1 where no measure reaches 0.9
on both backgrounds.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from drawing import draw
from jaxtyping import Array
from measures import (
    auc,
    context_share,
    deletion_effects,
    divergence,
    inference_patterns,
    interval,
    relations,
    replacement_effect,
)
from network import SITE, trained
from pictures import (
    ATTRIBUTES,
    CELLS,
    CUE,
    OUTPUTS,
    ROWS,
    SIZE,
    compose,
    labels,
    noise,
    photographs,
    regions,
)

import xattr

HERE = Path(__file__).parent
GOAL = 0.9
NETWORKS = 12
CORRELATION = 0.9
BACKGROUNDS = 3200
# Pictures per attribute for maps, and in all for what needs no attribute.
SHOWN, NATURAL = 12, 96
BLUR = 4.0
PAIRS = np.triu_indices(OUTPUTS, 1)


def presence(outputs: Array, targets: Array) -> Array:
    """Probability that the attribute is there."""
    return jax.nn.sigmoid(xattr.logit(outputs, targets))


METHODS = {
    "input x gradient": xattr.input_x_gradient,
    "integrated gradients": partial(xattr.integrated_gradients, num_steps=16),
    "LRP": xattr.lrp,
    "Grad-CAM": partial(xattr.grad_cam, site=SITE),
    "HiResCAM": partial(xattr.hires_cam, site=SITE),
    "occlusion": partial(xattr.occlusion, window=6, stride=2),
    "RISE": partial(xattr.rise, num_masks=150, grid=6, score=presence),
}


class Case(NamedTuple):
    """A network and what was planted into its pictures."""

    model: xattr.Model
    backgrounds: Array
    places: Array
    biased: int
    key: Array


def planted(backgrounds: np.ndarray, seed: int) -> Case:
    """Train a network; the last quarter of the backgrounds is kept for the test."""
    key, test = jax.random.split(jax.random.key(seed))
    places = np.random.default_rng(seed).permutation(CELLS)[:OUTPUTS]
    biased = seed % ATTRIBUTES
    cut = 3 * len(backgrounds) // 4
    model = trained(
        key,
        jnp.asarray(backgrounds[:cut]),
        jnp.asarray(places),
        jnp.asarray(biased),
        correlation=CORRELATION,
    )
    kept = jnp.asarray(backgrounds[cut:])
    return Case(model, kept, jnp.asarray(places), biased, test)


def pictures(case: Case, step: int, count: int, correlation: float = CORRELATION):
    """Test pictures and their labels, with the cue planted as in training."""
    drawn, composed = jax.random.split(jax.random.fold_in(case.key, step))
    truth = labels(
        drawn, count, biased=jnp.asarray(case.biased), correlation=correlation
    )
    return compose(composed, case.backgrounds, case.places, truth), truth


def positives(case: Case) -> tuple[Array, Array]:
    """Pictures that show an attribute, for each in turn, and which that is."""
    images, truth = pictures(case, 0, 16 * SHOWN)
    chosen = [np.flatnonzero(truth[:, column])[:SHOWN] for column in range(OUTPUTS)]
    targets = jnp.repeat(jnp.arange(OUTPUTS), SHOWN)
    return images[np.concatenate(chosen)], targets


def explained(case: Case, name: str, images: Array, targets: Array) -> Array:
    """A method's maps, of the size of the pictures."""
    maps = METHODS[name](
        case.model, images, targets, key=jax.random.fold_in(case.key, 3)
    )
    maps = maps.sum(axis=3) if maps.ndim == 4 else maps
    if name == "RISE":
        # Every pixel shares the mean score of a masked picture.
        maps = maps - maps.mean(axis=(1, 2), keepdims=True)
    return xattr.images.resize(maps, (SIZE, SIZE))


@jax.jit
def effects(model, images, targets, own, donors) -> dict[str, Array]:
    """What deletion and counterfactuals do to the score, picture by picture."""
    cells = jnp.asarray(regions())
    deleted = deletion_effects(model, images, targets, cells)
    mine = (own[:, None] * cells[None]).sum((2, 3)) > 0
    blurred = xattr.images.gaussian_blur(images, BLUR)
    replaced = partial(replacement_effect, model, images, targets)
    return {
        "own": (deleted * mine).sum(axis=1),
        "elsewhere": jnp.where(mine, 0.0, deleted),
        "blurred context": replaced(1 - own, blurred),
        "blurred region": replaced(own, blurred),
        "pasted context": replaced(1 - own, donors),
        "pasted region": replaced(own, donors),
    }


def per_attribute(values: Array) -> np.ndarray:
    """Mean over the pictures of each attribute."""
    return np.asarray(values).reshape(OUTPUTS, SHOWN, -1).mean(axis=1)


def against(context: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share of the context in the two effects together."""
    return context / (context + region)


def measured(case: Case) -> dict[str, np.ndarray]:
    """Each measure of each attribute; large where the context counts."""
    images, targets = positives(case)
    own = jnp.asarray(regions())[case.places[targets]]
    donors, _ = pictures(case, 1, len(images))
    found = {}
    for name in METHODS:
        maps = explained(case, name, images, targets)
        share = per_attribute(context_share(maps, own))
        found[f"context share, {name}"] = share[:, 0]
    seen = {
        name: per_attribute(values)
        for name, values in effects(case.model, images, targets, own, donors).items()
    }
    mine, cells = seen["own"][:, 0], seen["elsewhere"]
    found["deletion, mean cell"] = against(cells.sum(axis=1) / (CELLS - 1), mine)
    found["deletion, strongest cell"] = against(cells.max(axis=1), mine)
    for change in ("blurred", "pasted"):
        context, region = seen[f"{change} context"], seen[f"{change} region"]
        found[f"counterfactual, {change} context"] = context[:, 0]
        found[f"counterfactual, {change} context, share"] = against(context, region)[
            :, 0
        ]
    return found


def related(case: Case) -> dict[str, np.ndarray]:
    """Each measure of each pair of attributes."""
    images, _ = pictures(case, 2, NATURAL)
    patterns = jax.jit(inference_patterns, static_argnames="site")(
        case.model, images, site=SITE
    )
    cosines = np.asarray(relations(patterns))[:, *PAIRS]
    return {"mean cosine": cosines.mean(axis=0), "KL divergence": divergence(cosines)}


def truth(case: Case) -> dict:
    """Whether the plant took: what the network does where the cue is set freely."""
    drawn, composed = jax.random.split(jax.random.fold_in(case.key, 4))
    own = labels(drawn, 512, biased=jnp.asarray(case.biased), correlation=0.0)
    draw_with = partial(compose, composed, case.backgrounds, case.places)
    logits = case.model(draw_with(own))
    without, shown = (case.model(draw_with(own.at[:, CUE].set(cue))) for cue in (0, 1))
    lean = jnp.abs(shown - without).mean(axis=0) / logits.std(axis=0)
    right = ((logits > 0) == (own == 1)).mean(axis=0)
    return {
        "biased": case.biased,
        "accuracy": [round(float(value), 3) for value in right],
        "change by the cue, in standard deviations": [
            round(float(value), 3) for value in lean
        ],
    }


def ranked(rows: list[dict[str, np.ndarray]], positive: np.ndarray) -> dict:
    """AUC of each measure over all networks, its interval, and the networks solved."""
    found = {}
    for name in rows[0]:
        scores = np.stack([row[name] for row in rows])
        low, high = interval(scores, positive)
        found[name] = {
            "auc": round(auc(scores.ravel(), positive.ravel()), 3),
            "interval": [round(low, 3), round(high, 3)],
            "ranked first": int(
                (scores.argmax(axis=1) == positive.argmax(axis=1)).sum()
            ),
            "biased": round(float(scores[positive > 0].mean()), 3),
            "others": round(float(scores[positive <= 0].mean()), 3),
        }
    return found


def alerts(rows: list[dict[str, np.ndarray]], positive: np.ndarray) -> dict:
    """Fixed thresholds: share above that of the area, or a cell above the region."""
    area = 1 - regions()[0].mean()
    found = {}
    for name in rows[0]:
        if name.startswith("context share"):
            threshold = area
        elif name == "deletion, strongest cell":
            threshold = 0.5
        else:
            continue
        alarm = np.stack([row[name] for row in rows]) > threshold
        found[name] = {
            "biased": round(float(alarm[positive > 0].mean()), 3),
            "others": round(float(alarm[positive <= 0].mean()), 3),
        }
    return found


def examined(
    title: str, backgrounds: np.ndarray, networks: int
) -> tuple[dict, list[Case]]:
    """Train the networks of one background and rank their attributes and pairs."""
    singles, pairs, truths, cases = [], [], [], []
    for seed in range(networks):
        started = time.perf_counter()
        case = planted(backgrounds, seed)
        truths.append(truth(case))
        singles.append(measured(case))
        pairs.append(related(case))
        cases.append(case)
        print(f"{title} {seed} {time.perf_counter() - started:5.1f} s", flush=True)
    biased = np.array([case.biased for case in cases])[:, None]
    positive = (np.arange(OUTPUTS)[None] == biased).astype(float)
    pair = ((PAIRS[0][None] == biased) & (PAIRS[1][None] == CUE)).astype(float)
    found = {
        "attributes": ranked(singles, positive),
        "pairs": ranked(pairs, pair),
        "alerts": alerts(singles, positive),
        "networks": truths,
    }
    return found, cases


def apart(cases: list[Case]) -> Case:
    """The network whose cue is furthest from the biased attribute, so that it shows."""

    def distance(case: Case) -> float:
        rows, columns = np.divmod(np.asarray(case.places), ROWS)
        own = case.biased
        return float(np.hypot(rows[own] - rows[CUE], columns[own] - columns[CUE]))

    return max(cases, key=distance)


def main() -> int:
    """Train, measure, print a table, draw, and write the results beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--networks", type=int, default=NETWORKS)
    arguments = parser.parse_args()
    started = time.process_time()
    found = {}
    found["noise"], cases = examined("noise", noise(0, BACKGROUNDS), arguments.networks)
    case = apart(cases)
    draw(case, partial(explained, case), pictures(case, 5, 64), arguments.out)
    found["photographs"], _ = examined(
        "photographs", photographs(arguments.data), arguments.networks
    )
    for kind in ("attributes", "pairs"):
        for name in found["noise"][kind]:
            cells = [
                f"{row['auc']:.3f} [{row['interval'][0]:.3f}, {row['interval'][1]:.3f}]"
                for row in (found[title][kind][name] for title in found)
            ]
            print(f"{name:42}", *cells, sep="  ")
    reached = [
        name
        for kind in ("attributes", "pairs")
        for name in found["noise"][kind]
        if all(found[title][kind][name]["auc"] >= GOAL for title in found)
    ]
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}; "
        f"JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "CPU seconds": round(time.process_time() - started),
        "goal": GOAL,
        "correlation": CORRELATION,
        "networks per background": arguments.networks,
        "reach the goal on both": reached,
        **found,
    }
    path = arguments.out / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
