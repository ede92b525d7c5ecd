"""From a method and a model to a file."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array

from xattr._checks import check_count
from xattr._types import Method, Predictor
from xattr.export._description import (
    INPUTS,
    OUTPUTS,
    described,
    hyperparameters,
    method_name,
    versions,
)
from xattr.export._file import FORMAT, Parts, write

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def save_explainer(
    path: str | os.PathLike,
    method: Method,
    model: Predictor,
    *,
    image_shape: Sequence[int],
    images: Literal["uint8", "float32"] = "uint8",
    batch: int | Literal["any"] = 1,
    targets: int | Literal["predicted", "given"] = "predicted",
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write an explainer: a method and a model, compiled up to the machine.

    The file needs JAX alone, or any other runtime of StableHLO: neither this library
    nor the code of the model.

    Args:
      path: file to write. It is there whole, or not at all.
      method: the method, its hyperparameters bound:
        `functools.partial(xattr.grad_cam, site="features/12")`.
      model: function from a batch of images to outputs; its weights go into the file.
        Models that were rewritten for the CPU, as `models.load` does by default, are
        slow elsewhere: `load(name, rewrite=False)`.
      image_shape: `h w c` of the images.
      images: "uint8" for bytes, of which the model gets 1/255; "float32" for what the
        model takes.
      batch: number of images per call; "any" for a program that takes any number of
        them, and explains them one after another.
      targets: "predicted", "given" for a second input, or one class index.
      platforms: where it shall run; "cpu", "cuda", "rocm" and "tpu" are known.
      seed: of a method that draws at random: it draws alike for every image, so that
        maps depend neither on the batch nor on the place in it.
      about: what else the description shall hold, such as the names of the classes.

    Returns:
      The description, as the file has it.

    Raises:
      TypeError: if `batch`, `seed` or a target is of another kind.
      ValueError: if an argument is none of the above, or the program holds what can't
        be exported for all of the platforms.

    Example:
      >>> import numpy as np, tempfile, xattr
      >>> model = lambda x: x.sum((1, 2))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     facts = save_explainer(
      ...         f"{folder}/sum", xattr.gradient, model, image_shape=(2, 2, 3)
      ...     )
      ...     explain = xattr.load_explainer(f"{folder}/sum")
      >>> facts["inputs"][0]["shape"], facts["outputs"][0]["shape"]
      ([1, 2, 2, 3], [1, 2, 2, 3])
      >>> maps, classes = explain(np.array([[[[0, 9, 0]] * 2] * 2], np.uint8))
      >>> classes, maps[0, 0, 0]
      (Array([1], dtype=int32), Array([0., 1., 0.], dtype=float32))
    """
    _check(image_shape, images, batch, targets, platforms, seed)
    exported = _exported(
        functools.partial(_explain, method, model, targets, seed),
        _inputs(image_shape, images, batch, targets),
        batch,
        platforms,
    )
    facts = {
        "format": FORMAT,
        "method": method_name(method),
        "hyperparameters": hyperparameters(method),
        "targets": targets,
        "seed": seed,
        "precision": _precision(),
        **(about or {}),
        "batch": batch,
        "inputs": described(INPUTS, exported.in_avals, images),
        "outputs": described(OUTPUTS, exported.out_avals),
        "platforms": list(exported.platforms),
        "stablehlo": {
            "first_argument_is_platform": len(exported.platforms) > 1,
            "calling_convention": exported.calling_convention_version,
        },
        "versions": versions(),
    }
    program = bytes(exported.serialize())
    write(Path(path), Parts(facts, program, exported.mlir_module_serialized))
    return facts


def _check(
    image_shape: Sequence[int],
    images: str,
    batch: int | str,
    targets: int | str,
    platforms: Sequence[str],
    seed: int,
) -> None:
    """Refuse what no program can be made of."""
    for size in image_shape:
        check_count("image_shape", size)
    check_count("seed", seed, least=0)
    _check_choice("images", images, ("uint8", "float32"))
    if isinstance(batch, str):
        _check_choice("batch", batch, ("any",))
    else:
        check_count("batch", batch)
    if isinstance(targets, str):
        _check_choice("targets", targets, ("predicted", "given"))
    else:
        check_count("targets", targets, least=0)
    if not platforms or isinstance(platforms, str):
        raise ValueError(
            f"`platforms`={platforms!r}; it must be names, one or more of "
            f"{', '.join(_PLATFORMS)}: `platforms=('cpu',)`."
        )
    for platform in platforms:
        _check_choice("platforms", platform, _PLATFORMS)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(
            f"`{name}`={value!r} is not known. Allowed: "
            f"{', '.join(map(repr, allowed))}."
        )


def _precision() -> str:
    chosen = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return chosen or "default"


def _explain(
    method: Method,
    model: Predictor,
    targets: int | str,
    seed: int,
    images: Array,
    given: Array | None = None,
) -> tuple[Array, Array]:
    """Maps and the classes they explain; bytes become what the model takes."""
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32) / 255
    if given is not None:
        classes = given
    elif isinstance(targets, int):
        classes = jnp.full(images.shape[0], targets, jnp.int32)
    else:
        classes = model(images).argmax(-1).astype(jnp.int32)
    keys = jnp.broadcast_to(jax.random.key(seed), images.shape[:1])
    return method(model, images, classes, key=keys), classes


def _inputs(
    shape: Sequence[int], images: str, batch: int | str, targets: int | str
) -> list[jax.ShapeDtypeStruct]:
    n = batch if isinstance(batch, int) else export.symbolic_shape("n")[0]
    found = [jax.ShapeDtypeStruct((n, *shape), images)]
    given = jax.ShapeDtypeStruct((n,), jnp.int32)
    return [*found, given] if targets == "given" else found


def _exported(
    function: Callable[..., Any],
    inputs: Sequence[jax.ShapeDtypeStruct],
    batch: int | str,
    platforms: Sequence[str],
) -> Any:
    def of_each(*rows: Array) -> Any:
        one = function(*(row[None] for row in rows))
        return jax.tree.map(lambda x: x[0], one)

    # Of an unknown number of images nobody knows how many fit into memory.
    whole = function if isinstance(batch, int) else lambda *x: _map(of_each, *x)
    try:
        return export.export(jax.jit(whole), platforms=tuple(platforms))(*inputs)
    except NotImplementedError as error:
        raise ValueError(
            f"The program can't be exported for {', '.join(platforms)}: {error}. Fewer "
            f"may do: `platforms={tuple(platforms[:1])!r}`."
        ) from error


def _map(function: Callable[..., Any], *rows: Array) -> Any:
    return jax.lax.map(lambda row: function(*row), rows)
