"""Functions whose perturbations are divided among simulated devices."""

from collections.abc import Callable, Iterator
from typing import Any

import jax


def divided(function: Callable[..., Any], shape: tuple[int, int] = (1, 2)) -> Any:
    """The function of images that are spread over `data`, of keys that are not."""
    automatic = (jax.sharding.AxisType.Auto,) * 2
    mesh = jax.make_mesh(shape, ("data", "perturbation"), axis_types=automatic)

    def call(images: Any, targets: Any = None, key: Any = None) -> Any:
        return jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(jax.P("data"), jax.P("data"), jax.P()),
            out_specs=jax.P("data"),
            check_vma=False,
        )(images, targets, key)

    return jax.jit(call)


def equations(function: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """Every equation of a function's program, those inside of others included."""
    yield from _inside(jax.make_jaxpr(function)(*arguments).jaxpr)


def operations(function: Callable[..., Any], *arguments: Any) -> list[str]:
    """Names of the operations of a function's program."""
    return [each.primitive.name for each in equations(function, *arguments)]


def _inside(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _inside(inner)
