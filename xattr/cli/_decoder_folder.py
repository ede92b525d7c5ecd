"""The folder of a decoder: what it is trained on and how, and the decoder itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xattr._differences import differences
from xattr.cli._folder import write_whole

if TYPE_CHECKING:
    from xattr.cli.methods import MethodRow
    from xattr.decoder import Trained

SETTINGS, DECODER, NAME = "decoder.json", "decoder", "decoder"


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what a decoder is trained on and how, or find the same there.

    Raises:
      ValueError: if the folder holds something else; says what differs.
    """
    text = json.dumps(settings, indent=1)
    file = folder / SETTINGS
    if file.is_file():
        lines = differences(json.loads(file.read_text()), json.loads(text))
        if lines:
            raise ValueError(
                f"`--out` {folder} was begun otherwise; {'; '.join(lines)}. Give "
                "another folder."
            )
        return
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(
            f"`--out` {folder} holds files that `decoder train` has not written. Give "
            "another folder."
        )
    write_whole(file, lambda out: out.write(text.encode()))


def settings_of(folder: Path) -> dict[str, Any]:
    """What a decoder is trained on and how.

    Raises:
      FileNotFoundError: if none was begun there.
    """
    file = folder / SETTINGS
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no decoder; see `decoder train`.")
    return json.loads(file.read_text())


def load_trained(folder: Path) -> "tuple[Trained, dict[str, Any]]":
    """The decoder of a folder, and what it belongs to.

    Raises:
      FileNotFoundError: if there is none, or its training is not finished.
    """
    from xattr.decoder import load

    if (folder / DECODER).is_dir():
        return load(folder / DECODER)
    if (folder / SETTINGS).is_file():
        raise FileNotFoundError(
            f"The decoder of {folder} is not trained to the end; the call of `decoder "
            "train` that began it goes on with it."
        )
    return load(folder)


def check_parameters(folder: Path, model: Any) -> None:
    """Refuse a network of the right name with other parameters.

    Raises:
      ValueError: if the decoder was trained on others.
    """
    own = load_trained(folder)[1].get("parameters")
    if own not in (None, parameters_of(model)):
        raise ValueError(
            f"`--decoder` {folder} was trained on other parameters of this network: "
            "give `--weights` as they were given to `decoder train`."
        )


def parameters_of(model: Any) -> str:
    """What tells the parameters of a network from others."""
    import jax

    from xattr.run._described import digest

    return digest(jax.tree.leaves(model))


def with_decoder(
    table: "Mapping[str, MethodRow]", folder: Path | None, model: str | None = None
) -> "Mapping[str, MethodRow]":
    """The table of methods, and a trained decoder as one of them.

    Args:
      table: the methods.
      folder: of the decoder; None for the table as it is.
      model: the network that is explained.

    Raises:
      FileNotFoundError: if there is no decoder.
      ValueError: if it was trained for another network.
    """
    if folder is None:
        return table
    from xattr.cli.methods import MethodRow
    from xattr.decoder import as_method, decode

    found, about = load_trained(folder)
    own = about.get("model")
    if model is not None and own not in (None, model):
        raise ValueError(
            f"`--decoder` {folder} was trained for {own}, not for {model}: `--model "
            f"{own}`."
        )
    summary = (decode.__doc__ or "").strip().splitlines()[0]
    return {**table, NAME: MethodRow(NAME, NAME, as_method(found), summary)}
