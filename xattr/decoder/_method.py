"""A trained decoder as a method: the mask from the pass that classifies."""

import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_pictures
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import predicted
from xattr._types import Images, Keys, Method, Predictor
from xattr.decoder._architecture import Architecture, check_num_classes
from xattr.decoder._features import check_logits, features_and_outputs
from xattr.decoder._trained import Trained


def decode(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    decoder: Trained,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n h w 1"]:
    r"""Which part of the image decides, as a trained network has learnt to read it.

    With $A$ the feature maps of the decoder's sites and $D$ the decoder:

    $$ m = \sigma\big(D(A(x), c)\big) $$

    One whose `output` is `evidence` also reads the evidence for $c$ at its first site,
    which takes a derivative of what the model does above it.

    Args:
      model: function from a batch of images to outputs: the one that the decoder was
        trained with.
      images: images to explain, in the units that the model takes.
      targets: one class index per image; the predicted classes, from the same pass,
        when None. Of no effect on a decoder whose `output` is `agnostic`.
      decoder: what training gave. Its parameters are data, so that others of the same
        architecture compile nothing again.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The mask, in [0, 1]: 1 where the image is kept, 0 where it can go. A class that is
      out of range is refused; inside of `jit`, where it can't be seen, its mask is not
      a number.

    Raises:
      ValueError: if images have another size, sites another shape, or the model another
        number of classes than the decoder was made for; or a target is none of them.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from flax import nnx
      >>> from xattr.decoder import Decoder, Trained, architecture
      >>> def model(x):
      ...     cells = jax.lax.conv_general_dilated(
      ...         x, jnp.ones((2, 2, 1, 3)), (2, 2), "VALID",
      ...         dimension_numbers=("NHWC", "HWIO", "NHWC"))
      ...     return jax.nn.relu(cells).mean((1, 2))
      >>> x = jnp.ones((1, 4, 4, 1))
      >>> form = architecture(model, x, "relu:0", channels=(2,), bias=0.0)
      >>> params = nnx.state(Decoder(form, rngs=nnx.Rngs(0)))
      >>> nothing_learnt = Trained(form, jax.tree.map(jnp.zeros_like, params))
      >>> decode(model, x, decoder=nothing_learnt)[0, 0, :, 0]
      Array([0.5, 0.5, 0.5, 0.5], dtype=float32)

    References:
      [dabkowski2017real].
    """
    _check_targets(targets, decoder.architecture)
    return _decode(
        model, images, targets, decoder=decoder, chunk_size=chunk_size, key=key
    )


def as_method(trained: Trained) -> Method:
    """A trained decoder as a method like any other.

    Args:
      trained: what training gave.

    Returns:
      `decode` with this decoder: `method(model, images, targets=None, *, key=None)`.
    """
    return functools.partial(decode, decoder=trained)


@compiled
def _decode(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    decoder: Trained,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n h w 1"]:
    del key
    _check_images(images, decoder.architecture)

    def evaluate(rows: Any, _: Array) -> Array:
        images, targets = rows
        return _mask(model, images, targets, decoder)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]


def _mask(model: Predictor, images: Images, targets: Any, decoder: Trained) -> Array:
    form = decoder.architecture
    features, outputs = features_and_outputs(
        model, images, form.sites, targets, evidence=form.output == "evidence"
    )
    if form.output != "agnostic":
        check_logits(outputs)
        check_num_classes(outputs, form, model="model", decoder="decoder")
        targets = predicted(outputs) if targets is None else targets
    return decoder.decoder.mask(features, targets).astype(images.dtype)


def _check_images(images: Images, architecture: Architecture) -> None:
    check_pictures(images)
    found, wanted = images.shape[1:3], architecture.size
    if found != wanted:
        raise ValueError(
            f"`images` are {found[0]} x {found[1]}, but this decoder was made for "
            f"{wanted[0]} x {wanted[1]}: `xattr.images.resize(images, {wanted})`."
        )


def _check_targets(targets: Any, architecture: Architecture) -> None:
    """Refuse classes that are none, where they can be seen."""
    if targets is None or architecture.output == "agnostic":
        return
    try:
        classes = np.asarray(targets)
    except jax.errors.TracerArrayConversionError:
        return
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(
            f"`targets` is {classes.dtype}{list(classes.shape)}; a decoder needs one "
            f"class index per image, such as `jnp.array([207, 282])`."
        )
    most = architecture.num_classes - 1
    if wrong := [int(c) for c in classes if not 0 <= c <= most]:
        raise ValueError(
            f"`targets` has class {wrong[0]}, but `decoder` knows 0 to {most}. For the "
            f"predicted classes use `targets=None`."
        )
