"""The command `sites`."""

from xattr.cli._choices import for_command_line
from xattr.cli._console import fail, show_table
from xattr.cli._options import AnyModel, Size, Weights
from xattr.cli._subject import find_subject


def sites(
    model: AnyModel = "mobilenet_v2",
    weights: Weights = None,
    size: Size = None,
) -> None:
    """List a network's sites: every activation that can be read, in order.

    Without weights, shapes are those of the network as it was published.
    """
    import jax.numpy as jnp

    from xattr.program import sites as list_sites

    try:
        subject = find_subject(model, weights, size)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    found = list_sites(subject.model, jnp.zeros((1, *subject.preprocess.shape)))
    show_table(
        ("name", "module", "operation", "shape", "axes"),
        (
            (
                site.name,
                " ".join(site.modules),
                site.operation,
                " × ".join(map(str, site.shape)),
                site.axes,
            )
            for site in found
        ),
    )
