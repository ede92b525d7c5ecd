"""From what was typed to a plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xattr.cli._choices import choose_methods, choose_target
from xattr.cli._decoder_folder import check_parameters, decoder_of, with_decoder
from xattr.cli._needs import check_needs, check_site
from xattr.cli._options import Precision, matmul_precision

if TYPE_CHECKING:
    from xattr.run import Plan


def plan_from_options(
    methods: Sequence[str],
    *,
    num_records: int,
    model: str = "mobilenet_v2",
    weights: Path | None = None,
    target: str = "predicted",
    has_labels: bool = False,
    site: str | None = None,
    decoder: Path | None = None,
    batch_size: int = 8,
    seed: int = 0,
    precision: Precision = "default",
    **settings: Any,
) -> "Plan":
    """What to compute, checked as far as it can be before the model is traced.

    Args:
      methods: as `choose_methods` takes them.
      num_records: how many records there are; tiles are not larger than needed.
      model: name of a network.
      weights: file of its weights.
      target: "predicted", a class as `choose_target` takes it; or "label".
      has_labels: whether "label" may be the target.
      site: where methods that read a site read; the network's own by default.
      decoder: folder of a trained decoder, which is then a method too; that of the
        network itself, if `decoder` is among the methods and none is given.
      batch_size: photographs computed together, at most.
      seed: of methods that draw at random.
      precision: of matrix products.
      **settings: further attributes of `Plan`.

    Raises:
      ImportError: if the network's package is not installed.
      OSError: if weights cannot be read.
      ValueError: for a wrong option, in the command line's words.
    """
    from xattr.cli.methods import METHODS
    from xattr.models import load
    from xattr.run import Plan

    decoder = decoder_of(methods, decoder, model)
    chosen = choose_methods(methods, with_decoder(METHODS, decoder, model))
    check_site(site, chosen)
    check_needs(chosen)
    tile_size = _tile_size(batch_size, num_records)
    pretrained = load(model, weights=weights)
    if decoder is not None:
        check_parameters(decoder, pretrained.model)
    return Plan(
        pretrained=pretrained,
        methods=chosen,
        target=_target(target, pretrained.classes, has_labels),
        site=site or pretrained.site,
        tile_size=tile_size,
        seed=seed,
        precision=matmul_precision(precision),
        **settings,
    )


def _target(
    text: str, classes: Sequence[str], has_labels: bool
) -> int | Literal["predicted", "label"]:
    """The class to explain."""
    if has_labels and text.strip().casefold() == "label":
        return "label"
    index = choose_target(text, classes)
    return "predicted" if index is None else index


def _tile_size(batch_size: int, num_records: int) -> int:
    """Records computed together: no more than there are, rounded up.

    Example:
      >>> _tile_size(8, 100), _tile_size(8, 3)
      (8, 4)
    """
    if not 1 <= batch_size <= 256 or batch_size & (batch_size - 1):
        below = 1 << (min(max(batch_size, 1), 256).bit_length() - 1)
        raise ValueError(
            f"`--batch-size` {batch_size} is no power of two up to 256: "
            f"`--batch-size {below}`."
        )
    return min(batch_size, 1 << max(num_records - 1, 0).bit_length())
