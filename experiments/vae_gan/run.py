"""Train a small VAE-GAN on photographs, and ask its encoder for parts; see README.md.

python experiments/vae_gan/run.py --data ../data --work DIR
"""

import argparse
import datetime
import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain.python as grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from config import Config
from flax import nnx
from networks import Decoder, Discriminator, Encoder
from PIL import Image

import xattr
from xattr import graph as graphs
from xattr.images import Stretch

HERE = Path(__file__).parent
PARTS = ("forehead", "back", "tail")
SITES = tuple(f"blocks/{k}/norm/add:0" for k in (2, 1, 0))


class Networks(nnx.Module):
    """All three."""

    def __init__(self, config: Config) -> None:
        rngs = nnx.Rngs(config.seed)
        self.encoder = Encoder(config, rngs)
        self.decoder = Decoder(config, rngs)
        self.discriminator = Discriminator(config, rngs)


def photographs(folder: Path, listing: str, config: Config) -> np.ndarray:
    """Photographs of a folder of the data, stretched to squares, in bytes."""
    known = json.loads((folder / listing).read_text())["images"]
    stretch = Stretch(height=config.side, width=config.side)
    found = []
    with tarfile.open(folder / "images.tar") as archive:
        for about in known:
            member = archive.extractfile(about["file"])
            assert member is not None
            image = Image.open(io.BytesIO(member.read())).convert("RGB")
            found.append(stretch.pixels(np.asarray(image)))
    return np.stack(found)


def batches(images: np.ndarray, config: Config) -> Iterator[np.ndarray]:
    """Random photographs without end, half of them mirrored."""

    class Mirror(grain.RandomMapTransform):
        def random_map(self, element: Any, rng: np.random.Generator) -> Any:
            return element[:, ::-1] if rng.random() < 0.5 else element

    data = grain.MapDataset.source(list(images)).seed(config.seed).shuffle().repeat()
    data = data.random_map(Mirror()).batch(config.batch_size)
    for batch in data:
        yield batch.astype(np.float32) / 255


def losses(
    params: nnx.State, rest: nnx.State, graphdef: Any, images: jax.Array, key: jax.Array
) -> tuple[dict[str, jax.Array], nnx.State]:
    """All losses of Larsen et al. 2016, each of the networks that answer for it."""
    networks = nnx.merge(graphdef, params, rest, copy=True)
    code, draw = jax.random.split(key)
    mean, log_variance = jnp.split(networks.encoder(images), 2, axis=1)
    noise = jax.random.normal(code, mean.shape)
    prior = 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1).sum(1).mean()
    made = networks.decoder(mean + jnp.exp(log_variance / 2) * noise)
    imagined = networks.decoder(jax.random.normal(draw, mean.shape))

    def judged(discriminator: Discriminator, made: Any, imagined: Any) -> Any:
        return discriminator(jnp.concatenate([images, made, imagined]))

    # What is made may move its maker, but not its judge, and the other way round.
    still = jax.lax.stop_gradient(params)
    fixed = nnx.merge(graphdef, still, rest, copy=True).discriminator
    said, seen = judged(fixed, made, imagined)
    count = len(images)
    apart = seen[count : 2 * count] - jax.lax.stop_gradient(seen[:count])
    cross_entropy = optax.sigmoid_binary_cross_entropy
    shown = jax.lax.stop_gradient((made, imagined))
    told, _ = judged(networks.discriminator, *shown)
    truth = jnp.arange(3 * count) < count
    found = {
        "prior": prior,
        "reconstruction": 0.5 * (apart**2).sum((1, 2, 3)).mean(),
        "deceiving": cross_entropy(said[count:], jnp.ones(2 * count)).mean(),
        "telling": cross_entropy(told, truth.astype(told.dtype)).mean(),
        "pixels": ((made - images) ** 2).mean(),
    }
    _, _, moved = nnx.split(networks, nnx.Param, ...)
    return found, moved


def train(images: np.ndarray, config: Config, work: Path) -> Encoder:
    """The encoder, from a checkpoint if there is one."""
    networks = Networks(config)
    graphdef, params, rest = nnx.split(networks, nnx.Param, ...)
    folder = (work / "vae_gan").absolute()
    with ocp.StandardCheckpointer() as checkpointer:
        if folder.exists():
            params, rest = checkpointer.restore(folder, (params, rest))
            return nnx.merge(graphdef, params, rest).encoder
        optimizer = optax.chain(
            optax.clip_by_global_norm(10.0), optax.adam(config.learning_rate, b1=0.5)
        )
        state = optimizer.init(params)

        @jax.jit
        def step(params: Any, rest: Any, state: Any, images: Any, key: Any) -> Any:
            found, back, rest = jax.vjp(
                lambda p: losses(p, rest, graphdef, images, key), params, has_aux=True
            )
            zeros = dict.fromkeys(found, jnp.zeros(()))
            one, gamma = jnp.ones(()), jnp.asarray(config.gamma)
            (coding,) = back({**zeros, "prior": one, "reconstruction": one})
            (making,) = back(
                {**zeros, "reconstruction": gamma, "deceiving": one, "telling": one}
            )
            making["encoder"] = coding["encoder"]
            updates, state = optimizer.update(making, state, params)
            return optax.apply_updates(params, updates), rest, state, found

        began, keys = time.perf_counter(), jax.random.key(config.seed)
        stream = batches(images, config)
        for number in range(config.num_steps):
            key = jax.random.fold_in(keys, number)
            params, rest, state, found = step(
                params, rest, state, jnp.asarray(next(stream)), key
            )
            if number % 250 == 0 or number + 1 == config.num_steps:
                text = ", ".join(f"{n} {float(x):.3f}" for n, x in found.items())
                spent = time.perf_counter() - began
                print(f"{number}: {text} ({spent:.0f} s)", flush=True)
        checkpointer.save(folder, (params, rest))
    return nnx.merge(graphdef, params, rest).encoder


def main() -> None:
    """Train, learn a graph, measure, and keep what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("vae_gan"))
    arguments = parser.parse_args()
    config, data = Config(), arguments.data
    birds = photographs(data / "cub_parts", "annotations.json", config)
    animals = photographs(data / "animal_boxes", "annotations.json", config)
    others = photographs(data / "imagenet_sample", "labels.json", config)
    half, asked = slice(0, None, 2), slice(1, None, 2)
    began = time.perf_counter()
    seen = np.concatenate([birds[half], animals, others])
    model = xattr.from_nnx(train(seen, config, arguments.work))
    spent = time.perf_counter() - began

    def few(images: np.ndarray) -> list[np.ndarray]:
        return [
            images[k : k + 50].astype(np.float32) / 255
            for k in range(0, len(images), 50)
        ]

    stds = graphs.unit_std(model, few(others), SITES)
    features = graphs.extract(model, few(birds), SITES, stds)
    train_half = {
        name: graphs.Features(f.levels[half], f.step) for name, f in features.items()
    }
    fitted = graphs.fit(train_half, key=jax.random.key(0))
    known = json.loads((data / "cub_parts" / "annotations.json").read_text())
    marks = np.array([about["landmarks"] for about in known["images"]], float)
    marks = marks[asked][:, [known["parts"].index(name) for name in PARTS]]
    places = marks[..., 1::-1] / 227
    inside = (marks[..., 2] > 0) & ((places >= 0) & (places <= 1)).all(-1)
    places[~inside] = np.nan
    test_half = {
        name: graphs.Features(f.levels[asked], f.step) for name, f in features.items()
    }
    found = {}
    for site, placement in zip(
        fitted.graph.sites, graphs.infer(fitted.graph, test_half), strict=True
    ):
        raw = graphs.raw_peaks(test_half[site.name])
        means = [
            graphs.instability_interval(
                site.fractions(np.asarray(p.positions)),
                np.asarray(p.scores),
                places,
                num_draws=100,
            )
            for p in (placement, raw)
        ]
        ratio = graphs.interval(means[0].mean / means[1].mean,
                                means[0].draws / means[1].draws)  # fmt: skip
        found[site.name] = {
            name: [round(float(x), 4) for x in interval[:3]]
            for name, interval in zip(
                ("graph", "raw peaks", "ratio"), (*means, ratio), strict=True
            )
        }
        print(site.name, found[site.name], flush=True)
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds_of_training": round(spent, 1),
        "instability": found,
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
