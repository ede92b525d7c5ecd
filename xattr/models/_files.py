"""Files of weights."""

import os
from pathlib import Path

import numpy as np

from xattr.models._torch_file import read_torch


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors or torch `state_dict` file by name.

    What the file is, is read from its first bytes, not from its name.

    Args:
      path: the file.

    Returns:
      Arrays in the types and layout of the file.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is of neither kind, or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`weights`={str(path)!r} is not a file. It must be a safetensors or "
            "torch state_dict file."
        )
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"PK"):
        return read_torch(path)
    if start[8:] == b"{":
        return _read_safetensors(path)
    if start.startswith(b"\x80"):
        raise ValueError(
            f"{path} is a bare pickle, as torch wrote before version 1.6; those are "
            "not read. Load it in torch and save it anew: "
            '`torch.save(model.state_dict(), "weights.pt")`.'
        )
    raise ValueError(
        f"{path} is neither a safetensors nor a torch file; it begins with "
        f"{start[:8]!r}."
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file; its reader checks all offsets against the size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}.") from error
