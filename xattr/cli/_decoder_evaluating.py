"""How good a decoder's masks are, beside other methods and two controls."""

import csv
import functools
import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array, Float

from xattr.cli._choices import choose_methods
from xattr.cli._console import progress_bar, say, show_table
from xattr.cli._decoder_folder import (
    NAME,
    check_parameters,
    settings_of,
    with_decoder,
)
from xattr.cli._folder import write_whole

if TYPE_CHECKING:
    from xattr.cli._subject import Subject
    from xattr.cli.methods import MethodRow
    from xattr.compare import Annotations
    from xattr.decoder import Photographs
    from xattr.images import Preprocess

EVALUATION, DIFFERENCES = "evaluation.csv", "differences.csv"
# One pixel is hidden: of a map that is the same everywhere, metrics see nothing.
ONES, CENTER = "all ones", "centered gaussian"

Maps = Callable[[Any, Array, Array], Float[Array, "n h w"]]
# By method and measure, numbers of some photographs after the other.
Values = dict[str, dict[str, list[np.ndarray]]]


def evaluate_decoder(
    folder: Path,
    data: Sequence[str],
    against: Sequence[str],
    boxes: Path | None,
    num_steps: int,
    batch_size: int,
    limit: int | None,
) -> None:
    """Print and write the means over photographs that were held out, or given.

    Raises:
      FileNotFoundError: if there is no decoder, or it is not trained to the end.
      ValueError: if there is no photograph, or a method or the boxes are wrong.
    """
    from xattr.cli._subject import find_subject
    from xattr.cli.methods import METHODS
    from xattr.compare import Annotations
    from xattr.images._stretch import squares

    settings = settings_of(folder)
    file = settings["weights_file"]
    weights = None if file is None else Path(file)
    subject = find_subject(settings["model"], weights, settings["size"])
    check_parameters(folder, subject.model)
    square = squares(subject.preprocess, subject.name)
    table = with_decoder(METHODS, folder, subject.name)
    chosen = choose_methods([NAME, *against], table, option="--against")
    photographs = _photographs(settings, data, subject)
    annotations = Annotations(boxes)
    annotations.check(photographs.source[int(k)].name for k in photographs.held_out)
    most = len(photographs.held_out)
    most = most if limit is None else min(limit, most)
    if not most:
        raise ValueError(
            f"No photograph of {folder} was held out; give some that it was not "
            "trained on: `--data DIR`."
        )
    methods: dict[str, Maps] = {
        name: _maps_of(row, subject) for name, row in chosen.items()
    }
    methods |= {ONES: _ones, CENTER: _centered}
    values: Values = {name: defaultdict(list) for name in methods}
    seconds: dict[str, list[float]] = defaultdict(list)
    done = 0
    with progress_bar("photographs: ", "measuring") as bar:
        for count, images, masks in _batches(
            photographs, annotations, square, most=most, batch_size=batch_size
        ):
            for name, column, found in _measured(
                subject.model, images, masks, methods, num_steps, seconds
            ):
                values[name][column].append(np.asarray(found)[:count])
            done += count
            bar.show(done, most)
    if not done:
        raise ValueError(f"None of the {most} photographs can be read.")
    rows = [_row(name, values[name], seconds) for name in methods]
    _write(folder / EVALUATION, rows)
    _write(folder / DIFFERENCES, _differences(values))
    show_table(list(rows[0]), [list(row.values()) for row in rows])
    for name, reason in photographs.skipped.items():
        say(f"Skipped: {name}: {reason}", error=True)
    say(f"Table, of {done} photographs: {folder / EVALUATION}")
    say(f"What the decoder has more, with intervals: {folder / DIFFERENCES}")


def _write(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    write_whole(file, lambda out: out.write(content))


def _photographs(
    settings: Mapping[str, Any], data: Sequence[str], subject: "Subject"
) -> "Photographs":
    """Those held out in training, or all of others; in both cases as `held_out`."""
    from xattr.decoder import Photographs

    config = settings["config"]
    if data:
        found = Photographs(list(data), subject.preprocess, labels=None, held_out=0)
        found.held_out = found.train
        return found
    found = Photographs(
        settings["data"],
        subject.preprocess,
        labels=config["labels"],
        held_out=config["held_out"],
        by=config["by"],
        seed=config["split_seed"],
    )
    if found.source.fingerprint() != settings["fingerprint"]:
        raise ValueError(
            f"{' '.join(settings['data'])} has changed since the decoder was trained: "
            "which photographs were held out can't be told. Give others: `--data DIR`."
        )
    return found


def _batches(
    photographs: "Photographs",
    annotations: "Annotations",
    square: "Preprocess",
    *,
    most: int,
    batch_size: int,
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """How many photographs, their images, and their boxes where there are any.

    All batches are of one size, so that one program serves them.
    """
    left = most
    for names, batch in photographs.test(batch_size):
        count = min(len(names), left)
        known = annotations.of(names, square).masks if annotations else None
        yield (
            count,
            _filled(np.asarray(batch.images), batch_size),
            None if known is None else _filled(known, batch_size),
        )
        left -= count
        if not left:
            return


def _measured(
    model: Any,
    images: Float[np.ndarray, "n h w 3"],
    boxes: np.ndarray | None,
    methods: Mapping[str, Maps],
    num_steps: int,
    seconds: dict[str, list[float]],
) -> Iterator[tuple[str, str, Array]]:
    """Of each method and measure, a number per image; and how long it took."""
    import jax.numpy as jnp

    from xattr import metrics
    from xattr.images import min_max

    pictures = jnp.asarray(images)
    logits = _timed(partial(_forward(), model, pictures), seconds[""], len(images))
    targets = logits.argmax(1)
    masked = {
        "drop": metrics.average_drop,
        "gain": metrics.average_gain,
        "increase": metrics.average_increase,
    }
    for name, method in methods.items():
        explain = partial(method, model, pictures, targets)
        maps = _timed(explain, seconds[name], len(images))
        for column, metric in masked.items():
            yield name, column, metric(model, pictures, maps, targets)
            if column != "increase":
                muted = metric(model, pictures, maps, targets, mute=0.5)
                yield name, f"{column}, half muted", muted
        for metric in (metrics.insertion, metrics.deletion):
            curve = metric(model, pictures, maps, targets, num_steps=num_steps)
            yield name, metric.__name__, curve.area
        if boxes is not None:
            share = metrics.energy_pointing_game(maps, jnp.asarray(boxes))
            yield name, "energy in boxes", share
        yield name, "mean mask", min_max(maps).mean((1, 2))


def _row(
    name: str,
    values: Mapping[str, list[np.ndarray]],
    seconds: Mapping[str, list[float]],
) -> dict[str, str]:
    """A line of the table."""
    means = {
        column: f"{np.nanmean(np.concatenate(found)):.4f}"
        for column, found in values.items()
    }
    spent, forward = (np.median(seconds[n]) for n in (name, ""))
    is_control = name in (ONES, CENTER)
    times = {
        "ms per image": "" if is_control else f"{1000 * spent:.3f}",
        "forward passes": "" if is_control else f"{spent / forward:.2f}",
    }
    return {"method": name} | means | times


def _differences(values: Values) -> list[dict[str, str]]:
    """What the decoder has more than another in the same photographs, with intervals.

    The mean and its interval of 95 %, of photographs that are drawn with replacement.
    """
    from xattr.compare import estimate

    ours, rows = values[NAME], []
    for other, theirs in values.items():
        if other == NAME:
            continue
        for column, found in theirs.items():
            more = estimate(np.concatenate(ours[column]) - np.concatenate(found))
            numbers = {k: f"{getattr(more, k):.4f}" for k in ("mean", "low", "high")}
            rows.append({"measure": column, "against": other} | numbers)
    return rows


def _timed(compute: Callable[[], Array], seconds: list[float], count: int) -> Array:
    """A result, and how long it took for each image, when it is compiled."""
    import jax

    if not seconds:
        jax.block_until_ready(compute())
    began = time.perf_counter()
    found = jax.block_until_ready(compute())
    seconds.append((time.perf_counter() - began) / count)
    return found


@functools.cache
def _forward() -> Callable[[Any, Array], Array]:
    import jax

    return jax.jit(_outputs)


def _outputs(model: Any, images: Array) -> Array:
    return model(images)


def _maps_of(row: "MethodRow", subject: "Subject") -> Maps:
    """A method as one compiled function, at the images' size."""
    import jax

    from xattr.compare._reduced import reduced

    site = {"site": subject.site} if row.site else {}

    def plain(
        model: Any, images: Array, targets: Array, extra: dict[str, Any]
    ) -> Float[Array, "n h w"]:
        key = jax.random.key(0) if row.random else None
        maps = row.method(model, images, targets, key=key, **site, **extra)
        return reduced(row.name, maps, (images.shape[1], images.shape[2]))

    program = jax.jit(plain)
    return partial(_with_arguments, row, program)


def _with_arguments(
    row: "MethodRow",
    program: Callable[..., Array],
    model: Any,
    images: Array,
    targets: Array,
) -> Array:
    return program(model, images, targets, row.arguments(np.asarray(images)))


def _ones(model: Any, images: Array, targets: Array) -> Float[Array, "n h w"]:
    """A map that shows everything but for one pixel."""
    import jax.numpy as jnp

    del model, targets
    return jnp.ones(images.shape[:3]).at[:, 0, 0].set(0)


def _centered(model: Any, images: Array, targets: Array) -> Float[Array, "n h w"]:
    """A Gaussian in the middle, of a quarter of each side as standard deviation."""
    import jax.numpy as jnp

    del model, targets
    rows, columns = (
        jnp.exp(-8 * ((jnp.arange(side) + 0.5) / side - 0.5) ** 2)
        for side in images.shape[1:3]
    )
    return jnp.broadcast_to(rows[:, None] * columns[None], images.shape[:3])


def _filled(rows: np.ndarray, count: int) -> np.ndarray:
    """As many rows as ever, the last one repeated, so that one program serves all."""
    return rows[np.arange(count).clip(max=len(rows) - 1)]
