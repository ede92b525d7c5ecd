"""Train a small VAE-GAN, whose encoder is asked for parts; see README.md.

    python experiments/explanatory_graph/vae_gan.py --data ../data

Larsen et al. 2016: the encoder has three convolutions, with maps of 32, 16 and 8 cells
a side. The networks, and photographs beside what they make of them, go to --work.
"""

import argparse
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
from crops import animals, birds, others
from flax import nnx
from PIL import Image
from vae_gan_networks import Config, Discriminator, Encoder, Networks


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


def trained(work: Path) -> Encoder:
    """The encoder that was kept."""
    folder = checkpoint(work)
    if not folder.exists():
        raise SystemExit(f"{folder} is missing: run `vae_gan.py` with the same --work.")
    graphdef, params, rest = nnx.split(Networks(Config()), nnx.Param, ...)
    with ocp.StandardCheckpointer() as checkpointer:
        kept = checkpointer.restore(folder, (params, rest))
    return nnx.merge(graphdef, *kept).encoder


def checkpoint(work: Path) -> Path:
    """Where the networks are kept."""
    return (work / "vae_gan" / "networks").absolute()


def train(images: np.ndarray, config: Config, work: Path) -> None:
    """Train all three, and keep them."""
    graphdef, params, rest = nnx.split(Networks(config), nnx.Param, ...)
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
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(checkpoint(work), (params, rest))
    show(nnx.merge(graphdef, params, rest), images[::200][:8], work)


def show(networks: Networks, images: np.ndarray, work: Path) -> None:
    """Some photographs, and below what the networks make of them."""
    networks.eval()
    means, _ = jnp.split(networks.encoder(jnp.asarray(images, float) / 255), 2, axis=1)
    made = np.round(255 * np.asarray(networks.decoder(means))).astype(np.uint8)
    rows = [np.concatenate(list(row), axis=1) for row in (images, made)]
    picture = Image.fromarray(np.concatenate(rows))
    picture.save(checkpoint(work).parent / "made.png")


def main() -> None:
    """Train on every second crop of a bird, on animals, and on other things."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("explanatory_graph"))
    arguments = parser.parse_args()
    config, data = Config(), arguments.data
    seen = np.concatenate(
        [
            birds(data, config.side).images[::2],
            animals(data, config.side).images,
            np.stack(list(others(data, config.side))),
        ]
    )
    print(f"{len(seen)} photographs", flush=True)
    train(seen, config, arguments.work)


if __name__ == "__main__":
    main()
