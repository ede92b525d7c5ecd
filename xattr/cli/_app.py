"""The commands, gathered."""

import typer

from xattr.cli._bench import bench
from xattr.cli._compare import compare
from xattr.cli._decoder import app as decoder
from xattr.cli._explain import explain
from xattr.cli._export import export
from xattr.cli._graph import app as graph
from xattr.cli._methods import methods
from xattr.cli._metrics import metrics
from xattr.cli._models import models
from xattr.cli._report import report
from xattr.cli._run import app as run
from xattr.cli._sites import sites

app = typer.Typer(
    name="xattr",
    help="Explain what image models decide.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(explain)
app.command()(report)
app.command()(methods)
app.command()(compare)
app.command()(metrics)
app.command()(sites)
app.command()(models)
app.command()(bench)
app.command()(export)
app.add_typer(decoder, name="decoder")
app.add_typer(graph, name="graph")
app.add_typer(run, name="run")


def _show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from xattr._version import __version__

        typer.echo(f"xattr-jax {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        help="Show the version.",
        is_eager=True,
        callback=_show_version,
    ),
) -> None:
    """Explain what image models decide: attribution maps of real photographs."""
