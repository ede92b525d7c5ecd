"""What training a decoder gives, in memory and on disk."""

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
    """Write a trained decoder, and what it belongs to.

    Args:
      trained: what is written.
      path: a folder that is not there yet.
      about: what else is kept, as JSON: the model's name, its preprocessing.

    Raises:
      ValueError: if the folder is there.
    """
    import orbax.checkpoint as ocp

    folder = Path(path).absolute()
    if folder.exists():
        raise ValueError(f"`path`={str(path)!r} is there; a new folder is needed.")
    named = _named(trained.params)
    arrays = {name: variable[...] for name, variable in named.items()}
    facts = {
        "about": dict(about or {}),
        "architecture": asdict(trained.architecture),
        "shapes": {name: [list(x.shape), str(x.dtype)] for name, x in arrays.items()},
    }
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        checkpointer.save(
            folder,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays),
                facts=ocp.args.JsonSave(facts),
            ),
        )


def load(
    path: str | os.PathLike, *, architecture: Architecture | None = None
) -> tuple[Trained, dict[str, Any]]:
    """A decoder that was written, and what it belongs to.

    Args:
      path: the folder.
      architecture: what it must be; whatever it is when None.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it is of another architecture, or its arrays are.
    """
    import orbax.checkpoint as ocp

    folder = Path(path).absolute()
    if not (folder / "facts").is_dir():
        raise FileNotFoundError(f"{str(path)!r} holds no saliency decoder.")
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        facts = checkpointer.restore(
            folder, args=ocp.args.Composite(facts=ocp.args.JsonRestore())
        )["facts"]
        found = _architecture(path, facts)
        if architecture is not None:
            _check_same(path, found, architecture)
        _check_arrays(path, facts["shapes"], found)
        like = {name: np.empty(*x) for name, x in facts["shapes"].items()}
        arrays = checkpointer.restore(
            folder, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(like))
        )["arrays"]
    return Trained(found, _filled(found, arrays)), facts["about"]


def _named(params: nnx.State) -> dict[str, nnx.Variable]:
    """Parameters by their place in the network, as in `blocks/0/kernel`."""
    return {"/".join(map(str, path)): x for path, x in nnx.to_flat_state(params)}


def _filled(architecture: Architecture, arrays: Mapping[str, Any]) -> nnx.State:
    _, params = definition(architecture)
    places = zip(nnx.to_flat_state(params), _named(params), strict=True)
    return nnx.from_flat_state(
        [(path, x.replace(jnp.asarray(arrays[name]))) for (path, x), name in places]
    )


def _architecture(path: str | os.PathLike, facts: Mapping[str, Any]) -> Architecture:
    if "architecture" not in facts:
        raise FileNotFoundError(f"{str(path)!r} holds no saliency decoder.")
    fields = facts["architecture"]
    quantiles = fields["quantiles"]
    return Architecture(
        **{
            **fields,
            "quantiles": None if quantiles is None else tuple(quantiles),
            "sites": tuple(fields["sites"]),
            "shapes": tuple(map(tuple, fields["shapes"])),
            "size": tuple(fields["size"]),
            "channels": tuple(fields["channels"]),
        }
    )


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
    path: str | os.PathLike, shapes: Mapping[str, Any], architecture: Architecture
) -> None:
    _, params = definition(architecture)
    wanted = {name: list(x.shape) for name, x in _named(params).items()}
    found = {name: shape for name, (shape, _) in shapes.items()}
    wrong = sorted(k for k in wanted | found if wanted.get(k) != found.get(k))
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{str(path)!r} holds arrays of another architecture than it says: "
            f"{name!r} is {found.get(name, 'missing')}, expected "
            f"{wanted.get(name, 'none')} ({len(wrong)} of {len(wanted)} differ). Write "
            f"it again with `save(trained, path)`."
        )
