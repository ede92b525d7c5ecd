"""The folder of a decoder: what it is trained on and how, and the decoder itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xattr._differences import differences
from xattr.cli._folder import write_whole

if TYPE_CHECKING:
    from xattr.cli.methods import MethodRow
    from xattr.decoder import Trained

SETTINGS, DECODER, NAME = "decoder.json", "decoder.safetensors", "decoder"


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


def file_of(path: Path) -> Path:
    """Where the decoder lies: in a folder, or the file itself."""
    return path if path.is_file() else path / DECODER


def load_trained(path: Path) -> "tuple[Trained, dict[str, Any]]":
    """The decoder of a folder, or of its file alone, and what it belongs to.

    Raises:
      FileNotFoundError: if there is none, or its training is not finished.
    """
    from xattr.decoder import load

    if file_of(path).is_file():
        return load(file_of(path))
    if (path / SETTINGS).is_file():
        raise FileNotFoundError(
            f"The decoder of {path} is not trained to the end; the call of `decoder "
            "train` that began it goes on with it."
        )
    raise FileNotFoundError(f"{path} holds no decoder; see `decoder train`.")


def decoder_of(methods: Sequence[str], folder: Path | None, model: str) -> Path | None:
    """The folder or file of the decoder that is asked for, if one is.

    Args:
      methods: as `choose_methods` takes them.
      folder: what was given; None for the one that the package brings along.
      model: the network that is explained.

    Raises:
      ValueError: if a decoder is asked for and the network has none.
    """
    typed = {name.strip().casefold() for text in methods for name in text.split(",")}
    if folder is not None or NAME not in typed:
        return folder
    from xattr.decoder._bundled import BUNDLED, bundled_file

    if model not in BUNDLED:
        raise ValueError(
            f"The method `{NAME}` needs what `decoder train` has written, `--decoder "
            f"DIR`: the package brings one along for {', '.join(BUNDLED)} only, not "
            f"for {model}."
        )
    return bundled_file(model)


def check_parameters(folder: Path, model: Any) -> None:
    """Refuse a network of the right name with other parameters.

    Raises:
      ValueError: if the decoder was trained on others.
    """
    about = load_trained(folder)[1]
    if about.get("parameters") not in (None, parameters_of(model)):
        file = about.get("weights_file")
        how = "without `--weights`" if file is None else f"with `--weights {file}`"
        raise ValueError(
            f"The decoder of {folder} was trained on other parameters of this "
            f"network, those that it has {how}. Explain these, or give `--decoder` "
            "with one that was trained on yours."
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
