"""What training a decoder gives, in memory and on disk."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from xattr.decoder._architecture import Architecture
from xattr.decoder._decoder import Decoder, definition

_FACTS = "xattr.decoder"


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params"],
    meta_fields=["architecture"],
)
@dataclass(frozen=True, eq=False)
class Trained:
    """A decoder that was trained: a pytree whose parameters are data.

    Attributes:
      architecture: its form, part of the program.
      params: its parameters.
    """

    architecture: Architecture
    params: nnx.State

    @property
    def decoder(self) -> Decoder:
        """The network itself: from feature maps to the logits of the mask."""
        graph, _ = definition(self.architecture)
        return nnx.merge(graph, self.params)

    def __repr__(self) -> str:
        arrays = len(jax.tree.leaves(self.params))
        return f"Trained({', '.join(self.architecture.sites)}, <{arrays} arrays>)"


def save(
    trained: Trained, path: str | os.PathLike, *, about: Mapping[str, Any] | None = None
) -> None:
    """Write a trained decoder, and what it belongs to, as one safetensors file.

    Parameters are named by their place in the network, as in `blocks/0/kernel`; the
    architecture and `about` are JSON in the file's metadata. The same decoder gives
    the same bytes.

    Args:
      trained: what is written.
      path: a file that is not there yet.
      about: what else is kept, as JSON: the model's name, its preprocessing.

    Raises:
      ValueError: if the file is there.
    """
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    if path.exists():
        raise ValueError(f"`path`={str(path)!r} is there; a new file is needed.")
    named = _named(trained.params)
    arrays = {name: np.asarray(variable[...]) for name, variable in named.items()}
    facts = {"about": dict(about or {}), "architecture": asdict(trained.architecture)}
    content = to_bytes(arrays, {_FACTS: json.dumps(facts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(
    path: str | os.PathLike, *, architecture: Architecture | None = None
) -> tuple[Trained, dict[str, Any]]:
    """A decoder that was written, and what it belongs to.

    Args:
      path: the file.
      architecture: what it must be; whatever it is when None.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if the file is none of a decoder's, or not whole; or if it is of
        another architecture, or its arrays are.
    """
    facts, arrays = _read(Path(path))
    found = _architecture(path, facts["architecture"])
    if architecture is not None:
        _check_same(path, found, architecture)
    _check_arrays(path, arrays, found)
    return Trained(found, _filled(found, arrays)), facts["about"]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The facts and the arrays of a file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} is no file; a decoder is one.")
    try:
        with safe_open(path, framework="np") as file:
            facts = (file.metadata() or {}).get(_FACTS)
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"{str(path)!r} is not a whole safetensors file: {error}."
        ) from error
    if facts is None:
        raise ValueError(f"{str(path)!r} holds arrays, but no saliency decoder.")
    return json.loads(facts), arrays


def _named(params: nnx.State) -> dict[str, nnx.Variable]:
    """Parameters by their place in the network, as in `blocks/0/kernel`."""
    return {"/".join(map(str, path)): x for path, x in nnx.to_flat_state(params)}


def _filled(architecture: Architecture, arrays: Mapping[str, Any]) -> nnx.State:
    _, params = definition(architecture)
    places = zip(nnx.to_flat_state(params), _named(params), strict=True)
    return nnx.from_flat_state(
        [(path, x.replace(jnp.asarray(arrays[name]))) for (path, x), name in places]
    )


def _architecture(path: str | os.PathLike, fields: Mapping[str, Any]) -> Architecture:
    """The architecture, of whose tuples JSON made lists."""
    try:
        return Architecture(**{name: _tuples(field) for name, field in fields.items()})
    except TypeError as error:
        raise ValueError(
            f"{str(path)!r} holds a decoder of another version of this package "
            f"({error}). Read it with that one, or train it again."
        ) from error


def _tuples(field: Any) -> Any:
    return tuple(map(_tuples, field)) if isinstance(field, list) else field


def _check_same(
    path: str | os.PathLike, found: Architecture, wanted: Architecture
) -> None:
    theirs, ours = asdict(found), asdict(wanted)
    if parts := [
        f"{name} {theirs[name]!r} instead of {ours[name]!r}"
        for name in ours
        if theirs[name] != ours[name]
    ]:
        raise ValueError(
            f"the decoder in {str(path)!r} has another `architecture`: "
            f"{'; '.join(parts)}. Give another path, or take it as it is: "
            f"`load({str(path)!r})`."
        )


def _check_arrays(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    architecture: Architecture,
) -> None:
    _, params = definition(architecture)
    wanted = {name: list(x.shape) for name, x in _named(params).items()}
    found = {name: list(x.shape) for name, x in arrays.items()}
    wrong = sorted(k for k in wanted | found if wanted.get(k) != found.get(k))
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{str(path)!r} holds arrays of another architecture than it says: "
            f"{name!r} is {found.get(name, 'missing')}, expected "
            f"{wanted.get(name, 'none')} ({len(wrong)} of {len(wanted)} differ). Write "
            f"it again with `save(trained, path)`."
        )
