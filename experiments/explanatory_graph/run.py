"""Do the nodes of an explanatory graph keep to parts of an animal? See README.md.

    python experiments/explanatory_graph/run.py --data ../data --network resnet50

A graph is learnt from every second crop, without labels, and is asked where its nodes
are in the others. What is measured goes to results.json, under the network's name, with
that of the data set if it is not the birds, and that of the variant. Parts are located
and figures drawn in the first variant alone. Figures of photographs that may not be
published go to --work, those of the package's own photographs beside this file.

    python experiments/explanatory_graph/vae_gan.py --data ../data

trains the encoder that `--network vae_gan` asks for.
"""

import argparse
import csv
import datetime
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import vae_gan
from crops import DATA_SETS, Crops, batched, others, pets
from localization import localization
from measures import (
    UNITS,
    described,
    measured_instability,
    measured_regression,
    over_layers,
    resting,
    shares_of,
)

import xattr
from xattr import graph as graphs
from xattr import models, render
from xattr.graph import Constants, Features, Graph, Placement

HERE = Path(__file__).parent
MEASURES = ("instability", "regression")

# From the top down: the last values before a rectifier at each grid.
SITES: dict[str, tuple[str, ...]] = {
    "resnet50": (
        "features/layer4/2/add:0",
        "features/layer3/5/add:0",
        "features/layer2/3/add:0",
    ),
    "mobilenet_v2": (
        "features/18/0/add:0",
        "features/14/conv/0/0/add:0",
        "features/7/conv/0/0/add:0",
    ),
}
SITES["mobilenet_v2_inat_birds"] = SITES["mobilenet_v2"]
SITES["vae_gan"] = tuple(f"blocks/{k}/norm/add:0" for k in (2, 1, 0))
SIDES = {"vae_gan": vae_gan.Config.side}


@dataclass(frozen=True)
class Variant:
    """How a graph is learnt.

    Attributes:
      num_images: how many of the 500 photographs it is learnt from.
      constants: of learning.
      nodes: share of the published number of nodes per channel.
      normalized: whether activations are divided by their deviation over negatives.
      iterations: of each layer.
      layers: how many, from the top.
    """

    num_images: int = 500
    constants: Constants = field(default_factory=Constants)
    nodes: float = 1.0
    normalized: bool = True
    iterations: int = 20
    layers: int = 3


VARIANTS = {
    "published": Variant(),
    "100 images": Variant(num_images=100),
    "250 images": Variant(num_images=250),
    "not normalized": Variant(num_images=100, normalized=False),
    "5 parents": Variant(num_images=100, constants=Constants(num_parents=5)),
    "half the nodes": Variant(num_images=100, nodes=0.5),
    "tau 0.01": Variant(num_images=100, constants=Constants(tau=0.01)),
    "tau 1": Variant(num_images=100, constants=Constants(tau=1.0)),
    "5 iterations": Variant(num_images=100, iterations=5),
    "matlab": Variant(num_images=100, constants=Constants(compat="matlab")),
    "exact": Variant(
        num_images=100, constants=Constants(candidates="cells", update="exact")
    ),
}


def side(network: str) -> int:
    """Height and width of what the network sees, in pixels."""
    return SIDES.get(network, 224)


def load(network: str, data: Path, work: Path) -> Any:
    """The network's function."""
    if network == "vae_gan":
        return xattr.from_nnx(vae_gan.trained(work))
    weights = data / "weights" / f"{network}.safetensors"
    return models.load(network, weights=weights).model


def read_stds(
    network: str, data: Path, work: Path, normalized: bool
) -> dict[str, np.ndarray]:
    """Units' deviations in other photographs; from a file where it is."""
    file = work / network / ("normalized" if normalized else "plain") / "stds.npz"
    sites = SITES[network]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        negatives = batched(others(data, side(network)))
        stds = graphs.unit_std(load(network, data, work), negatives, sites)
        if not normalized:
            stds = {name: jnp.full_like(x, x.mean()) for name, x in stds.items()}
        arrays = {str(k): np.asarray(x) for k, x in enumerate(stds.values())}
        np.savez(file, allow_pickle=False, **arrays)
    with np.load(file) as found:
        return {name: found[str(k)] for k, name in enumerate(sites)}


def read_features(
    network: str,
    data_set: str,
    data: Path,
    work: Path,
    images: np.ndarray,
    normalized: bool,
) -> dict[str, Features]:
    """Features of all crops; from files where they are."""
    folder = work / network / ("normalized" if normalized else "plain")
    stds = read_stds(network, data, work, normalized)
    if data_set != "birds":
        folder /= data_set
        folder.mkdir(exist_ok=True)
    sites = SITES[network]
    files = [folder / f"{k}.npz" for k in range(len(sites))]
    if not all(file.exists() for file in files):
        model = load(network, data, work)
        features = graphs.extract(model, batched(images), sites, stds)
        for file, own in zip(files, features.values(), strict=True):
            graphs.save_features(file, own)
    loaded = [graphs.load_features(file) for file in files]
    return dict(zip(sites, loaded, strict=True))


def some(features: dict[str, Features], chosen: np.ndarray) -> dict[str, Features]:
    """Those of some images."""
    return {name: Features(f.levels[chosen], f.step) for name, f in features.items()}


def figures(
    folder: Path,
    graph: Graph,
    placements: Sequence[Placement],
    images: np.ndarray,
    nodes: Sequence[np.ndarray],
) -> None:
    """Patches, heat maps and a sub-graph, as one would put them in a paper."""
    folder.mkdir(parents=True, exist_ok=True)
    for site, placement, own in zip(graph.sites, placements, nodes, strict=True):
        rows = [render.node_patches(images, site, placement, own)]
        name = f"patches_{site.height}.jpg"
        render.patches_figure(rows).savefig(folder / name)
    few = np.linspace(0, len(images) - 1, 4).round().astype(int)
    shown = [Placement(*(x[few] for x in p)) for p in placements]
    render.heat_figure(images[few], graph.sites, shown).savefig(folder / "heat.jpg")
    level = min(1, len(graph.sites) - 1)
    chart = render.subgraph_figure(
        images, graph, placements, level, int(nodes[level][0])
    )
    chart.savefig(folder / "subgraph.jpg")


@dataclass(frozen=True)
class Learnt:
    """A graph, and where its nodes are.

    Attributes:
      graph: of the crops.
      placements: of its nodes in all crops.
      features: of these, as it was learnt.
      plain: the same, of activations as they are, which is what people look at.
      crops: photographs and parts.
      chosen: numbers of the crops that it was learnt from.
      asked: numbers of those that it is measured on.
    """

    graph: Graph
    placements: Sequence[Placement]
    features: dict[str, Features]
    plain: dict[str, Features]
    crops: Crops
    chosen: np.ndarray
    asked: np.ndarray


def learn(
    network: str, data_set: str, variant: Variant, data: Path, work: Path
) -> tuple[Learnt, dict[str, Any]]:
    """A graph from one half of the crops, and facts of its learning."""
    known = DATA_SETS[data_set].crops(data, side(network))
    source = network, data_set, data, work, known.images
    features = read_features(*source, variant.normalized)
    features = dict(list(features.items())[: variant.layers])
    plain = read_features(*source, normalized=False)
    half, asked = (np.arange(k, len(known.images), 2) for k in range(2))
    count = min(variant.num_images, len(half))
    chosen = half[:: len(half) // count][:count]
    nodes = {
        site: max(1, round(variant.nodes * graphs.default_nodes(*f.levels.shape[1:3])))
        for site, f in features.items()
    }
    began = time.perf_counter()
    fitted = graphs.fit(
        some(features, chosen),
        nodes_per_channel=nodes,
        num_iterations=variant.iterations,
        constants=variant.constants,
        key=jax.random.key(0),
        report=lambda site, _: print(f"{site}: learnt", flush=True),
    )
    jax.block_until_ready(fitted.placements)
    facts = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "images": {"learnt from": len(chosen), "asked": len(asked)},
        "seconds_of_learning": round(time.perf_counter() - began, 1),
        "log_likelihood": [np.asarray(c).tolist() for c in fitted.log_likelihoods],
    }
    stds = read_stds(network, data, work, variant.normalized)
    graph = graphs.with_stds(fitted.graph, stds)
    everywhere = graphs.infer(graph, features)
    return Learnt(graph, everywhere, features, plain, known, chosen, asked), facts


def measured(learnt: Learnt, parts: Sequence[str]) -> dict[str, Any]:
    """Both measures of each layer, and of the mean of the layers."""
    asked, landmarks = learnt.asked, learnt.crops.of(parts)[learnt.asked]
    found: dict[str, dict[str, Any]] = {name: {} for name in MEASURES}
    # As published, but for a network of few channels.
    strongest = min(UNITS, *(f.step.size for f in learnt.plain.values()))
    for number, site in enumerate(learnt.graph.sites):
        placement = Placement(*(x[asked] for x in learnt.placements[number]))
        own = learnt.plain[site.name]
        peaks = graphs.raw_peaks(Features(own.levels[asked], own.step))
        nodes, raw = shares_of(site, placement), shares_of(site, peaks)
        still = resting(learnt.graph, number, len(asked))
        found["instability"][site.name] = measured_instability(
            nodes, raw, still, landmarks, strongest
        )
        found["regression"][site.name] = measured_regression(
            nodes[0], raw[0], still, landmarks
        )
        for name, layers in found.items():
            print(site.name, name, described(layers[site.name]), flush=True)
    results = {}
    for name, layers in found.items():
        layers["mean of the layers"] = over_layers(list(layers.values()))
        results[name] = {site: described(each) for site, each in layers.items()}
    return results


def used(
    learnt: Learnt, network: str, data_set: str, data: Path, work: Path
) -> dict[str, Any]:
    """What the graph explains and locates; figures of it, and the graph itself."""
    graph, asked = learnt.graph, learnt.asked
    shares = graphs.explained_shares(graph, learnt.features, tuple(learnt.placements))
    results: dict[str, Any] = {
        "explained": [round(float(s[asked].mean()), 4) for s in shares],
        "localization": localization(
            graph,
            learnt.plain,
            learnt.placements,
            learnt.crops.of(DATA_SETS[data_set].located),
            learnt.chosen,
            asked[::5],
        ),
    }
    print(results, flush=True)
    strongest = [graphs.top_nodes(p.scores, num_nodes=20) for p in learnt.placements]
    folder = work / titled(network, data_set)
    figures(
        folder / "figures", graph, learnt.placements, learnt.crops.images, strongest
    )
    if data_set == "animals":
        names = [site.name for site in graph.sites]
        stds = dict(zip(names, graph.stds, strict=True))
        shown = pets(side(network))
        found = graphs.extract(load(network, data, work), batched(shown), names, stds)
        there = graphs.infer(graph, found)
        figures(HERE / network, graph, there, shown, strongest)
    shutil.rmtree(folder / "graph", ignore_errors=True)
    graphs.save(graph, folder / "graph", about={"model": network})
    return results


def titled(network: str, data_set: str) -> str:
    """Under which name results are kept."""
    return network if data_set == "birds" else f"{network}, {data_set}"


def table(results: dict[str, Any], measure: str) -> str:
    """A measure of every network and variant as CSV."""
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["network", "variant", "site", "selection", "what", "mean", "low",
                  "high"])  # fmt: skip
    for network, variants in results.items():
        for variant, found in variants.items():
            for site, selections in found.get(measure, {}).items():
                for selection, values in selections.items():
                    for what, numbers in values.items():
                        out.writerow(
                            [network, variant, site, selection, what, *numbers]
                        )
    return text.getvalue()


def main() -> None:
    """Run what is asked for, and keep what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", choices=SITES, required=True)
    parser.add_argument("--data-set", choices=DATA_SETS, default="birds")
    parser.add_argument("--variant", choices=VARIANTS, action="append")
    parser.add_argument("--work", type=Path, default=Path("explanatory_graph"))
    arguments = parser.parse_args()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    network, data_set = arguments.network, arguments.data_set
    places = arguments.data, arguments.work
    for name in arguments.variant or ["published"]:
        learnt, found = learn(network, data_set, VARIANTS[name], *places)
        found |= measured(learnt, DATA_SETS[data_set].measured)
        results.setdefault(titled(network, data_set), {})[name] = found
        keep(results)
        if name == "published":
            found |= used(learnt, network, data_set, *places)
            keep(results)


def keep(results: dict[str, Any]) -> None:
    """Write all that was found so far, and each measure as a table."""
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for measure in MEASURES:
        (HERE / f"{measure}.csv").write_text(table(results, measure))


if __name__ == "__main__":
    main()
