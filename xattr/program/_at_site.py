"""A model up to one of its sites: the activation as what it puts out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._above import leading_to
from xattr.program._sites import Site, read
from xattr.program._trace import run_equations, trace, value_of


def at_site(model: Predictor, site: str, *, axes: str | None = None) -> Model:
    """The same model, whose outputs are the activation of a site.

    Any method then explains any unit of it, by the score `xattr.unit`: a channel, or a
    channel at one position. Nothing that the site does not need is computed.

    Args:
      model: function from a batch of images to outputs.
      site: exact name or module path of the activation.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.

    Returns:
      The model. Its outputs have the batch first and channels last: `n i j d` where
      the site has a grid.

    Raises:
      ValueError: when it is called, if the site is unknown, ambiguous or inside a loop,
        or which of its axes is the batch can't be read.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: (jax.nn.relu(x) ** 2).sum(-1)
      >>> hidden = at_site(model, "relu:0")
      >>> x = jnp.array([[-1.0, 3.0]])
      >>> hidden(x)
      Array([[0., 3.]], dtype=float32)
      >>> xattr.gradient(hidden, x, jnp.array([1]), score=xattr.unit)
      Array([[0., 1.]], dtype=float32)
    """
    return Model(_AtSite(site, axes), model)


class _AtSite(NamedTuple):
    """Calls a model as far as a site; equal when the names are."""

    site: str
    axes: str | None

    def __call__(self, model: Predictor, images: Images) -> Inexact[Array, "n ..."]:
        program = trace(model, images)
        reading = read(program)
        chosen = reading.select(self.site)

        def recorded(images: Any) -> Any:
            found = []

            def hook(activation: Any) -> Any:
                found.append(activation)
                return activation

            program.run(images, {reading.outputs[chosen.name]: hook})
            return found[0]

        closed = jax.make_jaxpr(recorded)(images)
        equations, _ = leading_to(closed.jaxpr.eqns, closed.jaxpr.outvars)
        inputs = (*closed.jaxpr.constvars, *closed.jaxpr.invars)
        values = dict(zip(inputs, (*closed.consts, images), strict=True))
        run_equations(equations, values)
        activation = value_of(closed.jaxpr.outvars[0], values)
        return arranged(activation, chosen, self.axes)


def arranged(
    array: Inexact[Array, "..."], site: Site, axes: str | None = None
) -> Inexact[Array, "n ..."]:
    """A site's activation with its batch first and its channels last.

    Args:
      array: as many values, in the axes of the site.
      site: the site.
      axes: letters of its axes; those that were read from the model when None.
    """
    letters = site.axes if axes is None else axes
    if len(letters) != len(site.shape) or letters.count("n") != 1:
        origin = "read from the model" if axes is None else "given"
        raise ValueError(
            f"`site`={site.name!r} has shape {site.shape} and axes {letters!r} "
            f"({origin}); one of them must be the batch. Say which axis is which with "
            f"`axes=`, for example `axes='nhwc'`, or `axes='n??'` for tokens."
        )
    if unknown := set(letters) - set(_ORDER):
        raise ValueError(
            f"`axes`={letters!r} has {', '.join(map(repr, sorted(unknown)))}; each "
            f"letter must be one of {_ORDER!r}: `axes='nchw'`."
        )
    places = sorted(range(len(letters)), key=lambda place: _ORDER.index(letters[place]))
    return jnp.transpose(array, places)


_ORDER = "ndhw?c"
