"""Guided Grad-CAM: guided backpropagation where Grad-CAM finds the class."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._grad_cam import grad_cam
from xattr.images import resize
from xattr.relevance import guided_backprop


@compiled
def guided_grad_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""Which details speak for anything, where the class is: both maps' product.

    With $L$ the map of `xattr.grad_cam`, $s$ that of `xattr.guided_backprop`, and $U$
    the enlargement of a map to the image's size:

    $$ a_{hwc} = U(L)_{hw} \, s_{hwc} $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation that Grad-CAM reads: usually
        the last one that has a spatial grid.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The signed signal, of the images' shape; zero where Grad-CAM has nothing for the
      target.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).mean((1, 2))
      >>> x = jnp.array([[[[4.0], [-8.0]]]])
      >>> guided_grad_cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[[1.],
               [0.]]]], dtype=float32)

    References:
      [selvaraju2017grad], sec. 3.2.

    Notes:
      Maps are enlarged as everywhere here, and as the paper says, bilinearly; captum's
      `GuidedGradCam` takes the nearest cell by default.
    """
    del key
    options = {"score": score, "chunk_size": chunk_size}
    maps = grad_cam(model, images, targets, site=site, axes=axes, **options)
    signal = guided_backprop(model, images, targets, **options)
    return signal * resize(maps, (images.shape[1], images.shape[2]))[..., None]
