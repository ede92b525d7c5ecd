"""Training a decoder, so that a break costs no more than a few steps."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xattr.cli._console import LISTED, Bar, progress_bar, say
from xattr.cli._decoder_folder import DECODER, SETTINGS, begin, parameters_of
from xattr.cli._executing import BROKEN, SKIPPED
from xattr.cli._graph_folder import described
from xattr.cli._interruption import INTERRUPTED, interruptible
from xattr.cli._photographs import describe_source

if TYPE_CHECKING:
    from xattr.cli._subject import Subject
    from xattr.decoder import (
        Architecture,
        Config,
        Photographs,
        Settings,
        Trained,
    )
    from xattr.decoder._fit import Batches


def train_decoder(
    data: Sequence[str], config: "Config", out: Path, *, tensorboard: bool
) -> int:
    """Take the steps that the folder lacks; the exit code.

    Raises:
      ImportError: if tensorboardX is asked for and missing.
      ValueError: if the call or the config is wrong; nothing is written then.
    """
    from xattr.decoder import Diverged, save
    from xattr.decoder._logs import import_tensorboard

    if tensorboard:
        import_tensorboard()
    subject, photographs, batches, form = _prepared(data, config)
    about = {
        "model": subject.name,
        "weights": subject.weights,
        "weights_file": config.weights,
        "parameters": parameters_of(subject.model),
        "size": config.size,
        "preprocess": described(subject.preprocess),
    }
    begin(
        out,
        about
        | {
            "data": describe_source(data, None)["source"]["places"],
            "fingerprint": photographs.source.fingerprint(),
            "config": config.as_json(),
        },
    )
    say(
        f"{len(photographs.train)} photographs to train on, "
        f"{len(photographs.held_out)} held out."
    )
    try:
        found = _fitted(subject, batches, form, config, out, tensorboard=tensorboard)
        if not (out / DECODER).exists():
            save(_final(found, config), out / DECODER, about=about)
    except KeyboardInterrupt:
        say("Interrupted. The same call goes on where this one ended.", error=True)
        return INTERRUPTED
    except Diverged as error:
        say(f"Error: {error}", error=True)
        return BROKEN
    except OSError as error:
        why = error.strerror or error
        say(f"Error: Reading, or writing to {out}, failed ({why}).", error=True)
        return BROKEN
    for name, reason in list(photographs.skipped.items())[:LISTED]:
        say(f"Skipped: {name}: {reason}", error=True)
    say(f"Decoder: {out / DECODER}; settings: {out / SETTINGS}")
    return SKIPPED if photographs.skipped else 0


def _prepared(
    data: Sequence[str], config: "Config"
) -> "tuple[Subject, Photographs, Batches, Architecture]":
    """The network, the photographs and the form of the decoder, all checked."""
    import jax

    from xattr.cli._subject import find_subject
    from xattr.decoder import Photographs, architecture

    weights = None if config.weights is None else Path(config.weights)
    subject = find_subject(config.model, weights, config.size)
    photographs = Photographs(
        list(data),
        subject.preprocess,
        labels=config.labels,
        held_out=config.held_out,
        by=config.by,
        seed=config.split_seed,
    )
    settings = config.settings
    batches = photographs.batches(
        settings.batch_size, seed=settings.seed, augment=config.augment
    )
    form = architecture(
        subject.model,
        jax.ShapeDtypeStruct((1, *subject.preprocess.shape), "float32"),
        _sites(config, subject),
        channels=config.channels,
        output=config.output,
        bias=config.bias,
        quantiles=config.quantiles,
    )
    if config.final_quantiles is not None:
        replace(form, quantiles=config.final_quantiles)  # refused now if they are wrong
    _check_step(subject, form, settings)
    return subject, photographs, batches, form


def _fitted(
    subject: "Subject",
    batches: "Batches",
    form: "Architecture",
    config: "Config",
    out: Path,
    *,
    tensorboard: bool,
) -> "Trained":
    """Take the steps that the folder lacks, and show how they go."""
    from xattr.decoder import Report, fit

    with (
        interruptible() as interruption,
        progress_bar(doing="training", unit="steps") as bar,
        _warnings_said(bar),
    ):

        def watch(number: int, report: Report) -> None:
            bar.show(number, config.settings.num_steps, _told(report))
            interruption.check()

        found, _ = fit(
            subject.model,
            batches,
            architecture=form,
            settings=config.settings,
            folder=out,
            checkpoint_every=config.checkpoint_every,
            keep=config.keep,
            tensorboard=tensorboard,
            watch=watch,
        )
    return found


def _final(found: "Trained", config: "Config") -> "Trained":
    """The decoder as it is written, with the quantiles of its use."""
    if config.final_quantiles is None:
        return found
    form = replace(found.architecture, quantiles=config.final_quantiles)
    return replace(found, architecture=form)


def _check_step(subject: "Subject", form: "Architecture", settings: "Settings") -> None:
    """Refuse terms and fills that there are not, before anything is written."""
    import jax

    from xattr.decoder import init, step
    from xattr.decoder._state import Batch

    many = settings.batch_size
    images = jax.ShapeDtypeStruct((many, *subject.preprocess.shape), "float32")
    labels = jax.ShapeDtypeStruct((many,), "int32")

    def first(images: Any, labels: Any) -> Any:
        state = init(subject.model, form, settings)
        batch = Batch(images, labels)
        return step(subject.model, state, batch, architecture=form, settings=settings)

    jax.eval_shape(first, images, labels)


def _sites(config: "Config", subject: "Subject") -> tuple[str, ...]:
    """What the decoder reads."""
    if config.sites:
        return config.sites
    if subject.site is None:
        raise ValueError(
            f"`--config` names no sites, and {subject.name} has none by default: "
            "`Config(sites=('relu:3',))`; `python -m xattr sites` lists them."
        )
    return (subject.site,)


def _told(report: Any) -> str:
    """How a step went, in a few words."""
    return (
        f"loss {float(report['total']):.3f}, mask {float(report['mask_mean']):.2f}, "
        f"as classified {float(report['kept_accuracy']):.0%}"
    )


@contextmanager
def _warnings_said(bar: Bar) -> Iterator[None]:
    """Say alarms beside the bar."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: bar.say(f"Warning: {message}")
        yield
