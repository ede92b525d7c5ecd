"""Torch's tensors to the parameters of a network, and back."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import nnx

from xattr.models._network import Network

# Flax's name of a parameter -> torch's.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "slope": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# A linear layer that torch keeps as parameters of the module around it.
_UNWRAPPED = "in_proj."
# Names of torchvision's first vision transformers -> those of its later ones.
_RENAMED = {".mlp.linear_1.": ".mlp.0.", ".mlp.linear_2.": ".mlp.3."}
_LISTED = 8


def with_tensors(network: Network, tensors: Mapping[str, np.ndarray]) -> Network:
    """Put torch's tensors in place of a network's parameters.

    Convolutions are turned from O I H W to H W I O, linear layers transposed, and
    floating-point values cast to float32.

    Args:
      network: may be abstract (`nnx.eval_shape`); its own values are not read.
      tensors: arrays by torchvision's names, its older ones for vision transformers
        too. Batch counters and a common "module." prefix are dropped.

    Returns:
      A new network with the values of `tensors`.

    Raises:
      TypeError: if a tensor is not of floating point.
      ValueError: if tensors are missing, surplus, misshapen or not finite; the
        first of each kind are named, the rest counted.

    Example:
      >>> from flax import nnx
      >>> from xattr.models._cifar_resnet import cifar_resnet
      >>> network = nnx.eval_shape(lambda: cifar_resnet(depth=8, rngs=nnx.Rngs(0)))
      >>> ones = {n: np.ones(s, "f4") for n, s in torch_shapes(network).items()}
      >>> float(with_tensors(network, ones).head.linear.kernel.min())
      1.0
    """
    definition, state = nnx.split(network)
    tensors = _tidied(tensors)
    _check(tensors, torch_shapes(network))
    filled = [
        (path, variable.replace(jnp.asarray(_to_flax(tensors[name]))))
        for path, variable in nnx.to_flat_state(state)
        for name in [_torch_name(path, network.prefixes)]
    ]
    return nnx.merge(definition, nnx.from_flat_state(filled))


def torch_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes that a network's weights have in torch's files."""
    _, state = nnx.split(network)
    return {
        _torch_name(path, network.prefixes): _torch_shape(variable.shape)
        for path, variable in nnx.to_flat_state(state)
    }


def to_tensors(network: Network) -> dict[str, np.ndarray]:
    """Return a network's parameters under torchvision's names, in torch's layout.

    Args:
      network: one of this package's networks.

    Returns:
      float32 arrays; what `with_tensors` takes, `safetensors.numpy.save_file` writes
      and torch's `load_state_dict` reads.
    """
    _, state = nnx.split(network)
    return {
        _torch_name(path, network.prefixes): _to_torch(np.asarray(variable[...]))
        for path, variable in nnx.to_flat_state(state)
    }


def _torch_name(path: tuple, prefixes: tuple[str, str]) -> str:
    """Name of a parameter in torch's files."""
    part, *modules, leaf = path
    prefix = prefixes[("features", "head").index(part)]
    name = prefix + ".".join(map(str, [*modules, _LEAVES.get(leaf, leaf)]))
    return name.replace(_UNWRAPPED, _UNWRAPPED.replace(".", "_"))


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in _to_torch_axes(len(shape)))


def _to_torch_axes(rank: int) -> tuple[int, ...]:
    return {4: (3, 2, 0, 1), 2: (1, 0)}.get(rank, tuple(range(rank)))


def _to_torch(value: np.ndarray) -> np.ndarray:
    return np.array(value.transpose(_to_torch_axes(value.ndim)), order="C")


def _to_flax(value: np.ndarray) -> np.ndarray:
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim, tuple(range(value.ndim)))
    return np.ascontiguousarray(value.transpose(axes), dtype=np.float32)


def _tidied(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop counters and the prefix of data-parallel training; give names of today."""
    prefix = "module."
    if not tensors or not all(name.startswith(prefix) for name in tensors):
        prefix = ""
    return {
        _renamed(name.removeprefix(prefix)): value
        for name, value in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def _check(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise an error that names the tensors that don't fit `shapes`."""
    common = [name for name in shapes if name in tensors]
    problems = {
        "missing": [f"{name} {shapes[name]}" for name in shapes.keys() - tensors],
        "surplus": [
            f"{name} {tensors[name].shape}" for name in tensors.keys() - shapes.keys()
        ],
        "misshapen": [
            f"{name} {tensors[name].shape} instead of {shapes[name]}"
            for name in common
            if tensors[name].shape != shapes[name]
        ],
    }
    found = "; ".join(
        f"{len(names)} {kind}: {_listed(names)}"
        for kind, names in problems.items()
        if names
    )
    if found:
        raise ValueError(
            f"The weights do not fit this network. {found}. Is `name` the network "
            "they were trained for? `xattr.models.names()` lists all."
        )
    _check_values({name: tensors[name] for name in common})


def _check_values(tensors: Mapping[str, np.ndarray]) -> None:
    """Raise an error that names the tensors whose values can't be weights."""
    wrong = [
        f"{name} ({value.dtype})"
        for name, value in tensors.items()
        if not jnp.issubdtype(value.dtype, jnp.floating)
    ]
    if wrong:
        raise TypeError(
            f"Weights must be of floating point; {len(wrong)} are not: "
            f"{_listed(wrong)}. Save the network before it is quantized."
        )
    with np.errstate(over="ignore"):
        infinite = [
            name
            for name, value in tensors.items()
            if not np.isfinite(value.astype(np.float32)).all()
        ]
    if infinite:
        raise ValueError(
            f"Weights must be finite float32; {len(infinite)} tensors have NaN or "
            f"infinity: {_listed(infinite)}."
        )


def _listed(names: list[str]) -> str:
    """Sort the first few names and count the rest."""
    shown, rest = sorted(names)[:_LISTED], len(names) - _LISTED
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
