"""Decoders that the package brings along."""

from pathlib import Path

from xattr.decoder._trained import Trained, load

BUNDLED = ("mobilenet_v2",)


def bundled(model: str) -> Trained:
    """The decoder that the package brings along for a network, with its own weights.

    Trained on photographs without labels (`experiments/saliency_decoder`), with the
    network as it was. Its masks are for the class that is asked for.

    Args:
      model: one of `BUNDLED`, networks of `xattr.models.load`.

    Raises:
      ValueError: if there is none for the network.

    Example:
      >>> form = bundled("mobilenet_v2").architecture
      >>> form.sites, form.size
      (('features/18', 'features/13'), (224, 224))
    """
    return load(bundled_file(model))[0]


def bundled_file(model: str) -> Path:
    """Where a decoder lies that the package brings along."""
    if model not in BUNDLED:
        raise ValueError(
            f"`model`={model!r}; the package brings a decoder along for "
            f"{', '.join(BUNDLED)} only. Others are trained with `python -m xattr "
            f"decoder train`: `load(path)`."
        )
    return Path(__file__).parent / "bundled" / f"{model}.safetensors"
