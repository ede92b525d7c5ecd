"""IS-CAM: Score-CAM with scores averaged while the masks fade in."""

from jaxtyping import PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._masked_scores import masked_scores, softmax_over_channels
from xattr.cams._site_gradient import Map, finish, weighted
from xattr.images import Resize
from xattr.paths._baselines import Baseline


@compiled
def is_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    num_steps: int = 10,
    num_channels: int | None = None,
    baseline: Baseline = 0.0,
    resize: Resize = "bilinear",
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells speak for the target, by views through each channel as it fades in.

    With $A^d$ the site's channels, $m_d$ the same enlarged to the image, then moved and
    scaled to [0, 1], and $S$ = `num_steps`:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d w_d A^d_{ij}\Big), \qquad
       w = \mathrm{softmax}_d\Big(\tfrac1S \sum_{s=1}^S
       f\big(\tfrac sS m_d \odot x + (1 - \tfrac sS m_d) \odot b\big)\Big) $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      site: exact name or module path of the activation: usually the last one that has
        a spatial grid. Each of its channels costs $S$ evaluations per image.
      num_steps: $S$, steps from no mask to all of it; with 1 it is `score_cam` with
        this score.
      num_channels: at most how many channels are used, those that vary most over the
        cells of the image; all when None. The others are left out of the sums.
      baseline: $b$, what stands where a mask hides the image, in the units of the
        images: a number, a color, or images that broadcast to `images`.
      resize: how channels are enlarged, `bilinear`, `align_corners` or `nearest`; see
        `xattr.images.resize`.
      relu: keep only evidence for the target, as published; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: masked images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of its activations.

    Raises:
      TypeError: if `num_steps` or `num_channels` is no whole number.
      ValueError: if `num_steps` or `num_channels` < 1, the images are not `n h w c`,
        the baseline does not broadcast to them, the site is unknown, ambiguous or
        inside a loop, or its axes can't be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[0.0], [3.0]]]])
      >>> is_cam(model, x, site="relu:0", axes="nhwc", num_steps=2)
      Array([[[0., 3.]]], dtype=float32)

    References:
      [naidu2020iscam]; [fernandez2020torchcam].

    Notes:
      The number of steps and the score are torch-cam's, which adds the steps up: its
      masks grow to $(S + 1) / 2$ times their size. Here the last one is the whole mask,
      the end of the integral. The score of the image itself, which is taken away before
      the softmax, is not seen by it, and left out.
    """
    del key
    check_count("num_steps", num_steps)

    def partial(masks, keys, index):
        del keys
        share = (index % num_steps + 1).astype(masks.dtype) / num_steps
        return share[:, None, None] * masks

    found = masked_scores(
        model,
        images,
        targets,
        site=site,
        axes=axes,
        baseline=baseline,
        resize=resize,
        score=score,
        num_channels=num_channels,
        chunk_size=chunk_size,
        num_copies=num_steps,
        alter=partial,
    )
    maps = weighted(found.activations, softmax_over_channels(found))
    return finish(maps, relu, images)
