"""`run.json`: what a store holds, and the refusal to mix two runs in one."""

import json
from collections.abc import Mapping
from typing import Any

from xattr._differences import differences
from xattr.data import Source
from xattr.run._compiler import compiler
from xattr.run._computation import Computation
from xattr.run._layout import ROWS, RUN, SHARD, STAGED, to_json
from xattr.run._place import Place

FORMAT = 1


class RunMismatch(ValueError):
    """A store holds another run."""


def open_manifest(
    place: Place, computation: Computation, source: Source, about: Mapping[str, Any]
) -> None:
    """Write `run.json`, or compare with the one that is there.

    Args:
      place: the store.
      computation: what is computed, and with what.
      source: of what.
      about: facts that change no result, kept as the first process tells them.

    Raises:
      RunMismatch: if the store holds another run, and says what differs; or results
        of which nothing tells what they are.
    """
    compiled = compiler(
        computation.device,
        chunk_memory=computation.plan.chunk_memory,
        num_perturbation=computation.num_perturbation,
    )
    settings = computation.plan.identity()
    settings |= {
        "records": {"count": len(source), "fingerprint": source.fingerprint()},
        "shard_size": SHARD,
        "compiler": compiled,
    }
    open_settings(place, settings, about)


def open_settings(
    place: Place, settings: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Write `run.json`, or compare its settings with these. As `open_manifest`."""
    new = {"format": FORMAT, "run": dict(settings), "about": dict(about)}
    content, state = place.read_with_state(RUN)
    if content is None:
        if place.names(ROWS) or place.names(STAGED):
            raise RunMismatch(
                f"{place} holds results, but no {RUN} that tells what of. Give another "
                "folder."
            )
        if place.write_if(RUN, to_json(new), state):
            return
        content = place.read(RUN) or b""
    old = read_manifest(content, place)
    lines = differences(old["run"], json.loads(to_json(new))["run"])
    if lines:
        listed = "\n  ".join(lines)
        raise RunMismatch(
            f"{place} holds another run:\n  {listed}\nGive what it was begun with, or "
            "another folder."
        )


def read_manifest(content: bytes | None, place: Place) -> dict[str, Any]:
    """What a `run.json` says.

    Raises:
      RunMismatch: if there is none, or none of this format.
    """
    try:
        manifest = json.loads(content or b"")
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise RunMismatch(f"{place} holds no run: it has no {RUN} of this format.")
    return manifest
