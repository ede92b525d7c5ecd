"""Do the nodes of an explanatory graph keep to parts of an animal? See README.md.

    python experiments/explanatory_graph/run.py --data ../data --network resnet50

A graph is learnt from every second crop, without labels, and is asked where its nodes
are in the others. What is measured goes to results.json, under the network's name, with
that of the data set if it is not the birds, and that of the variant. Parts are located
and figures drawn in the first variant alone. Figures of photographs that may not be
published go to --work, those of the package's own photographs beside this file.
"""

import argparse
import csv
import datetime
import io
import json
import os
import platform
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from xattr import graph as graphs
from xattr import models, render
from xattr.graph import Constants, Features, Graph, Placement
from xattr.images import Preprocess, Stretch

HERE = Path(__file__).parent
SIDE, BATCH, UNITS, DRAWS = 224, 20, 167, 40
ANNOTATIONS, REPETITIONS = (1, 3, 5, 10), 5
MEASURES = ("instability", "regression")

# From the top down: the last values before a rectifier at each grid.
SITES = {
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


# Cats and dogs in the package's own photographs: left, top, right and bottom,
# as shares of the photograph.
PETS = (
    ("cat.jpg", (0.09, 0.1, 0.7, 1.0)),
    ("cat_dog.png", (0.35, 0.05, 0.74, 0.64)),
    ("cat_dog.png", (0.2, 0.53, 0.9, 1.0)),
    ("chelsea.png", (0.0, 0.0, 1.0, 1.0)),
    ("doberman.png", (0.26, 0.17, 0.91, 1.0)),
)


@dataclass(frozen=True)
class Crops:
    """Crops of animals and where their parts are.

    Attributes:
      images: of the network's size.
      landmarks: (row, column) shares of all parts, NaN where invisible.
      parts: their names.
    """

    images: np.ndarray
    landmarks: np.ndarray
    parts: list[str]

    def of(self, names: Sequence[str]) -> np.ndarray:
        """Landmarks of some parts."""
        return self.landmarks[:, [self.parts.index(name) for name in names]]


@dataclass(frozen=True)
class DataSet:
    """Photographs, and what is asked of them.

    Attributes:
      crops: reads them from the data pack.
      measured: parts from which distances are measured.
      located: parts that a few annotations are to locate.
    """

    crops: Callable[[Path], Crops]
    measured: tuple[str, ...]
    located: tuple[str, ...]


def archive(file: Path, names: Sequence[str]) -> Iterator[np.ndarray]:
    """Photographs of a tar file."""
    with tarfile.open(file) as members:
        for name in names:
            content = members.extractfile(name)
            assert content is not None
            image = Image.open(io.BytesIO(content.read()))
            yield np.asarray(image.convert("RGB"))


def birds(data: Path) -> Crops:
    """The crops, stretched to the network's square."""
    known = json.loads((data / "cub_parts" / "annotations.json").read_text())
    stretch = Stretch(height=SIDE, width=SIDE)
    files = [about["file"] for about in known["images"]]
    found = archive(data / "cub_parts" / "images.tar", files)
    images = np.stack([stretch.pixels(image) for image in found])
    marks = np.array([about["landmarks"] for about in known["images"]], float)
    places = marks[..., 1::-1] / 227
    seen = (marks[..., 2] > 0) & ((places >= 0) & (places <= 1)).all(-1)
    places[~seen] = np.nan
    return Crops(images, places, known["parts"])


def animals(data: Path, *, least: float = 50) -> Crops:
    """Boxes of animals, stretched likewise; their landmarks are the middles of parts.

    The source names the head; the other part is, by eye, the fore-limbs. Animals of
    fewer than `least` pixels in height or width are left out, as published.
    """
    known = json.loads((data / "animal_boxes" / "annotations.json").read_text())
    stretch = Stretch(height=SIDE, width=SIDE)
    files = [about["file"] for about in known["images"]]
    found = archive(data / "animal_boxes" / "images.tar", files)
    images, landmarks = [], []
    for image, about in zip(found, known["images"], strict=True):
        for marked in about["objects"]:
            box = np.round(marked["box"]).astype(int)
            corner, size = box[:2], box[2:] - box[:2]
            if size.min() < least:
                continue
            crop = image[box[1] : box[3], box[0] : box[2]]
            images.append(stretch.pixels(crop))
            place = np.full((2, 2), np.nan)
            for k, part in enumerate(("head", "part02")):
                if part in marked["parts"]:
                    ends = np.array(marked["parts"][part]).reshape(2, 2)
                    place[k] = ((ends.mean(0) - corner) / size)[::-1]
            landmarks.append(place)
    places = np.array(landmarks)
    places[~((places >= 0) & (places <= 1)).all(-1)] = np.nan
    return Crops(np.stack(images), places, ["head", "fore-limbs"])


def pets() -> np.ndarray:
    """The package's own photographs of animals, whose licences let them be shown."""
    files = {file.name: file for file in models.photographs()}
    stretch = Stretch(height=SIDE, width=SIDE)
    found = []
    for name, shares in PETS:
        image = np.asarray(Image.open(files[name]).convert("RGB"))
        height, width = image.shape[:2]
        left, top, right, bottom = np.multiply(shares, (width, height) * 2).astype(int)
        found.append(stretch.pixels(image[top:bottom, left:right]))
    return np.stack(found)


DATA_SETS = {
    "birds": DataSet(
        birds,
        ("forehead", "back", "tail"),
        ("forehead", "back", "tail", "belly", "beak"),
    ),
    "animals": DataSet(animals, ("head", "fore-limbs"), ("head", "fore-limbs")),
}


def others(data: Path) -> Iterator[np.ndarray]:
    """Photographs of one thing each of 800 classes, some of them birds."""
    known = json.loads((data / "imagenet_sample" / "labels.json").read_text())
    files = [about["file"] for about in known["images"]]
    cut = Preprocess(size=SIDE, resize=256)
    for image in archive(data / "imagenet_sample" / "images.tar", files):
        yield cut.pixels(image)


def batched(images: Any) -> Iterator[np.ndarray]:
    """As the network takes them."""
    batch = []
    for image in images:
        batch.append(image.astype(np.float32) / 255)
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def load(network: str, data: Path) -> Any:
    """The network's function."""
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
        stds = graphs.unit_std(load(network, data), batched(others(data)), sites)
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
        features = graphs.extract(load(network, data), batched(images), sites, stds)
        for file, own in zip(files, features.values(), strict=True):
            graphs.save_features(file, own)
    loaded = [graphs.load_features(file) for file in files]
    return dict(zip(sites, loaded, strict=True))


def some(features: dict[str, Features], chosen: np.ndarray) -> dict[str, Features]:
    """Those of some images."""
    return {name: Features(f.levels[chosen], f.step) for name, f in features.items()}


Selections = dict[str, tuple[graphs.Interval, graphs.Interval, float]]


def measured_instability(
    nodes: tuple[np.ndarray, np.ndarray],
    raw: tuple[np.ndarray, np.ndarray],
    still: np.ndarray,
    landmarks: np.ndarray,
) -> Selections:
    """Of the nodes, of the raw peaks, and of nodes that never move."""
    found: Selections = {}
    for units in (None, UNITS):
        for stricter in (False, True):
            options: Any = {"num_units": units, "visible_first": stricter}
            ours, theirs = (
                graphs.instability_interval(
                    *each, landmarks, num_draws=DRAWS, **options
                )
                for each in (nodes, raw)
            )
            control = graphs.location_instability(still, nodes[1], landmarks, **options)
            name = f"{units or 'all'}, {'stricter' if stricter else 'published'}"
            found[name] = ours, theirs, float(np.nanmean(control))
    return found


def measured_regression(
    nodes: np.ndarray, raw: np.ndarray, still: np.ndarray, landmarks: np.ndarray
) -> Selections:
    """Share of the parts' motion that positions leave unexplained, of the same three.

    Maps are fitted to every second photograph, and measured on the others.
    """
    fitted = np.arange(len(landmarks)) % 2 == 0
    ours, theirs = (
        graphs.regression_intervals(each, landmarks, fitted, num_draws=DRAWS)
        for each in (nodes, raw)
    )
    control = graphs.landmark_regression(still, landmarks, fitted).held_out
    rest = float(np.nanmean(control))
    return {
        "mean of all": (ours.mean, theirs.mean, rest),
        "best for each part": (ours.best, theirs.best, rest),
    }


def over_layers(layers: Sequence[Selections]) -> Selections:
    """The mean of the layers, whose draws are of the same photographs."""

    def mean(intervals: Sequence[graphs.Interval]) -> graphs.Interval:
        draws = np.mean([each.draws for each in intervals], 0)
        return graphs.interval(float(np.mean([each.mean for each in intervals])), draws)

    return {
        name: (
            mean([layer[name][0] for layer in layers]),
            mean([layer[name][1] for layer in layers]),
            float(np.mean([layer[name][2] for layer in layers])),
        )
        for name in layers[0]
    }


def described(selections: Selections) -> dict[str, dict[str, list[float]]]:
    """As JSON holds it, with the ratio to the raw peaks."""
    found = {}
    for name, (ours, theirs, control) in selections.items():
        ratio = graphs.interval(ours.mean / theirs.mean, ours.draws / theirs.draws)
        found[name] = {
            "graph": told(ours),
            "raw peaks": told(theirs),
            "ratio": told(ratio),
            "nodes at rest": [round(control, 4)],
        }
    return found


def told(interval: graphs.Interval) -> list[float]:
    """Mean and ends."""
    return [round(float(x), 4) for x in interval[:3]]


def shares_of(site: graphs.Site, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Positions as shares of the image, and scores."""
    return site.fractions(np.asarray(placement.positions)), np.asarray(placement.scores)


def resting(graph: Graph, number: int, count: int) -> np.ndarray:
    """A control: each node where it mostly is, whatever the image shows."""
    still = graph.sites[number].fractions(np.asarray(graph.layers[number].resting))
    return np.broadcast_to(still, (count, *still.shape))


def probe(
    train: np.ndarray, annotations: np.ndarray, test: np.ndarray, *, ridge: float = 1.0
) -> np.ndarray:
    """A linear probe: cells near the part against all others, by ridge regression."""
    count, height, width, channels = train.shape
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / width
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
    apart = ((grid[None] - annotations[:, None, None]) ** 2).sum(-1)
    wanted = np.exp(-apart / (2 * 0.08**2)).reshape(-1)
    flat = train.reshape(-1, channels)
    scale = flat.std() + 1e-6
    x = np.concatenate([flat / scale, np.ones((len(flat), 1))], 1)
    kernel = x @ x.T / channels
    dual = np.linalg.solve(kernel + ridge * np.eye(len(x)) / len(x), wanted)
    weights = x.T @ dual / channels
    maps = (test.reshape(len(test), -1, channels) / scale) @ weights[:-1]
    return grid.reshape(-1, 2)[maps.argmax(1)]


def localization(
    graph: Graph,
    features: dict[str, Features],
    placements: Sequence[Placement],
    landmarks: np.ndarray,
    chosen: np.ndarray,
    asked: np.ndarray,
) -> dict[str, dict[str, list[float]]]:
    """Mean normalized distance for some numbers of annotations, with its deviation.

    Annotated photographs are drawn from those the graph was learnt from.
    """
    raw = [graphs.raw_peaks(features[site.name]) for site in graph.sites]
    kinds = {
        "graph": graphs.joined_nodes(placements, graph.sites),
        "raw peaks": graphs.joined_nodes(
            [p._replace(scores=p.scores / p.scores.mean()) for p in raw],
            [replace(site, nodes_per_channel=1) for site in graph.sites],
        ),
    }
    middle = graph.sites[min(1, len(graph.sites) - 1)].name
    cells = np.asarray(graphs.mass(features[middle]), np.float32)
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, list[float]]] = {}
    for number in ANNOTATIONS:
        distances: dict[str, list[float]] = {}
        for k in range(landmarks.shape[1]):
            seen = ~np.isnan(landmarks[:, k, 0])
            from_these, in_these = chosen[seen[chosen]], asked[seen[asked]]
            true = landmarks[in_these, k]
            for _ in range(REPETITIONS):
                taken = rng.choice(from_these, number, replace=False)
                marks = landmarks[taken, k]
                guesses: dict[str, np.ndarray] = {
                    "mean position": np.broadcast_to(
                        graphs.mean_position(marks), true.shape
                    ),
                    "linear probe": probe(cells[taken], marks, cells[in_these]),
                }
                for name, (positions, scores) in kinds.items():
                    parts = graphs.fit_part(positions[taken], scores[taken], marks)
                    there = graphs.locate_part(
                        parts, positions[in_these], scores[in_these]
                    )
                    guesses[name] = np.asarray(there.positions)
                for name, guess in guesses.items():
                    apart = graphs.normalized_distance(guess, true)
                    distances.setdefault(name, []).append(float(np.mean(apart)))
        found[str(number)] = {
            name: [round(float(np.mean(d)), 4), round(float(np.std(d)), 4)]
            for name, d in distances.items()
        }
    return found


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
    known = DATA_SETS[data_set].crops(data)
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
    found: dict[str, dict[str, Selections]] = {name: {} for name in MEASURES}
    for number, site in enumerate(learnt.graph.sites):
        placement = Placement(*(x[asked] for x in learnt.placements[number]))
        own = learnt.plain[site.name]
        peaks = graphs.raw_peaks(Features(own.levels[asked], own.step))
        nodes, raw = shares_of(site, placement), shares_of(site, peaks)
        still = resting(learnt.graph, number, len(asked))
        found["instability"][site.name] = measured_instability(
            nodes, raw, still, landmarks
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
        found = graphs.extract(load(network, data), batched(pets()), names, stds)
        there = graphs.infer(graph, found)
        figures(HERE / network, graph, there, pets(), strongest)
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
