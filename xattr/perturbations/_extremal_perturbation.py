"""Extremal perturbation: of all regions of one size, the one that excites a class."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import (
    check_count,
    check_not_negative,
    check_pictures,
    check_positive,
)
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.images._blur import gaussian_blur
from xattr.paths._baselines import Baseline, one_baseline
from xattr.perturbations._smooth_mask import Cells, Frame, SmoothMask
from xattr.program import hoist

Game = Literal["preserve", "delete", "dual"]
Mask = Float[Array, "n h w"]

# Values of a mask that differ by less are equal: rounding must not order pixels.
_ROUNDING = 1e-5


@compiled
def extremal_perturbation(
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree = None,
    *,
    area: float = 0.1,
    game: Game = "preserve",
    num_steps: int = 800,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    area_weight: float = 300.0,
    area_growth: float = 1.0035,
    cell_size: int = 7,
    reach: int = 21,
    num_levels: int = 8,
    max_stddev: float = 20.0,
    flip: bool = True,
    baseline: Baseline | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n h w 1"]:
    r"""Which region, of a given share of the image, scores highest on its own.

    With $m$ a mask that is smooth by construction (a soft maximum of bumps, one for
    each cell, whose heights in [0, 1] are what is optimized), $x_m$ the image perturbed
    where $m$ is 0, and $r_a$ as many ones as the region has pixels after zeros:

    $$ \max_m\; f(x_m) - \lambda_t\, \operatorname{mean}
       \big(\operatorname{sort}(m) - r_a\big)^2, \qquad
       \lambda_t = \lambda_0\, g^t $$

    by gradient steps with momentum, from all ones on.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      area: share of the image's pixels that the region has, in (0, 1).
      game: `preserve`, the region that scores highest alone; `delete`, the one without
        which the rest scores lowest; `dual`, the difference of the two, at twice the
        cost.
      num_steps: gradients per image.
      learning_rate: size of the steps.
      momentum: share of the last step's direction that is kept; the gradient has the
        other share, but in the first step, which is all gradient.
      area_weight: $\lambda_0$, price of a region of another size at first.
      area_growth: $g$, growth of that price from step to step.
      cell_size: pixels from one bump to the next.
      reach: scale of the bumps in pixels: nothing smaller can be shown.
      num_levels: number of images from the most blurred to the sharp one, between
        which the mask chooses; not used with a `baseline`.
      max_stddev: standard deviation of the strongest blur, in pixels.
      flip: whether the model sees the mirrored image in every second step.
      baseline: what the image fades to where the mask is 0, in the units of the images:
        a number, a color, or images that broadcast to `images`; when None, the image
        is blurred there. Black of normalized images is the data set's mean color here.
      score: scalar being maximized; `xattr.margin` is the contrastive reward.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A mask in [0, 1], near 1 in the region, whose mean is near `area` after enough
      steps, or less where part of the region lies outside of the image.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if `images` are not `n h w c`, a setting is out of range, or the
        baseline does not broadcast to the images.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x[:, 3, 12:13, 0]
      >>> x = jnp.ones((1, 16, 16, 1))
      >>> settings = dict(cell_size=2, reach=2, area_weight=30.0, flip=False)
      >>> mask = extremal_perturbation(model, x, **settings, baseline=0.0)[0, ..., 0]
      >>> bool(mask[3, 12] > 0.9), bool(mask[12, 3] < 0.1)
      (True, True)

    References:
      [fong2019understanding], eq. 2 to 5.

    Notes:
      The authors' code counts the area in the mask's frame, the image and a margin: its
      0.1 is 0.135 of an image of 224 x 224, so pass `area=0.135` for its masks. Here as
      there, the price is that of the frame, so that bumps gain nothing from the border.
      Among equal pixels the code's order of sorting, the lowest rows first, decides
      which belong to the region; here they share it. Its blur finds zeros outside of a
      normalized image; here nothing is outside.
    """
    del key
    _check(area, game, momentum)
    check_pictures(images)
    check_count("num_steps", num_steps, least=0)
    check_count("cell_size", cell_size)
    check_count("reach", reach)
    check_count("num_levels", num_levels, least=2)
    check_positive("learning_rate", learning_rate, 0.01)
    check_not_negative("area_weight", area_weight, 300.0)
    check_positive("area_growth", area_growth, 1.0035)
    check_positive("max_stddev", max_stddev, 20.0)
    fills = None if baseline is None else one_baseline(images, baseline)
    targets = resolve_targets(model, images, targets, chunk_size)
    height, width = images.shape[1:3]
    masks = SmoothMask((height, width), cell_size, reach)
    count = max(1, round(area * height * width))

    def evaluate(rows, _):
        images, targets, fills = rows
        if fills is None:
            perturbed = _blurring(images, num_levels, max_stddev)
        else:
            perturbed = _fading(images, fills)

        def scored(mask: Mask, t: Array) -> Array:
            shown = perturbed(mask[..., None].astype(images.dtype))
            if flip:
                shown = jnp.where(t % 2 == 0, shown[:, :, ::-1], shown)
            return score_and_targets(score, model(shown), targets)[0].sum()

        def loss(heights: Cells, t: Array) -> Array:
            frame = masks.frame(heights)
            mask = masks.inside(frame)
            weight = area_weight * area_growth ** t.astype(frame.dtype)
            total = weight * area_error(frame, count).sum()
            if game != "delete":
                total -= scored(mask, t)
            if game != "preserve":
                total += scored(1 - mask, t)
            return total

        dtype = jnp.promote_types(images.dtype, jnp.float32)
        # Like the images, so that it is spread over devices as they are.
        one = jnp.ones_like(images[:, :1, :1, 0], dtype)
        start = jnp.broadcast_to(one, (images.shape[0], *masks.cells))
        found = _descend(loss, start, num_steps, learning_rate, momentum)
        return masks.inside(masks.frame(found))[..., None].astype(images.dtype)

    rows = images, targets, fills
    return evaluate_all(evaluate, rows, chunk_size=chunk_size)[:, 0]


def area_error(frame: Frame, count: int) -> Float[Array, " n"]:
    """Mean square of what each pixel lacks to 1, the `count` largest, or to 0, others.

    Pixels as large as the smallest of the largest share what is left of the count.
    """
    flat = frame.reshape(frame.shape[0], -1)
    least = _largest(jax.lax.stop_gradient(flat), count)[:, None]
    above, equal = flat > least + _ROUNDING, jnp.abs(flat - least) <= _ROUNDING
    share = (count - above.sum(1, keepdims=True)) / equal.sum(1, keepdims=True)
    ones = jnp.where(above, 1, jnp.where(equal, share, 0)).astype(flat.dtype)
    return (flat**2 + ones * (1 - 2 * flat)).mean(axis=1)


def _largest(flat: Float[Array, "n p"], count: int) -> Float[Array, " n"]:
    """The value, to rounding, that `count` of each row's values reach, by bisection.

    Cheaper than to sort all pixels in every step.
    """

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        many = (flat > middle[:, None]).sum(axis=1) >= count
        return jnp.where(many, middle, low), jnp.where(many, high, middle)

    low, high = flat.min(axis=1) - _ROUNDING, flat.max(axis=1)
    return jax.lax.fori_loop(0, 24, halve, (low, high))[1]


def _fading(images: Images, fills: Images) -> Callable[[Images], Images]:
    return lambda keep: fills + keep * (images - fills)


def _blurring(
    images: Images, num_levels: int, max_stddev: float
) -> Callable[[Images], Images]:
    """From a mask to the image, at each pixel as sharp as the mask says."""
    last = num_levels - 1
    stddevs = [max_stddev * (1 - level / last) for level in range(last)]
    levels = [*(gaussian_blur(images, stddev) for stddev in stddevs), images]
    changes = [b - a for a, b in zip(levels[:-1], levels[1:], strict=True)]

    def perturbed(keep: Images) -> Images:
        place = keep * last
        # At a level, the slope is the one towards the sharper side.
        level = jnp.clip(jnp.floor(jax.lax.stop_gradient(place)), 0, last - 1)
        shown = levels[0]
        for k, change in enumerate(changes):
            passed = jnp.where(level == k, place - k, 0)
            shown = shown + jnp.where(level > k, 1, passed) * change
        return shown

    return perturbed


def _descend(
    loss: Callable[[Cells, Array], Array],
    start: Cells,
    num_steps: int,
    learning_rate: float,
    momentum: float,
) -> Cells:
    """Where gradient steps with momentum and dampening arrive, within [0, 1]."""
    slope = hoist(jax.grad(loss), start, jnp.zeros((), int))

    def step(state, t):
        heights, velocity = state
        gradient = slope(heights, t)
        mean = momentum * velocity + (1 - momentum) * gradient
        velocity = jnp.where(t == 0, gradient, mean)
        return (jnp.clip(heights - learning_rate * velocity, 0, 1), velocity), None

    state = start, jnp.zeros_like(start)
    (found, _), _ = jax.lax.scan(step, state, jnp.arange(num_steps))
    return found


def _check(area: float, game: Game, momentum: float) -> None:
    if not 0 < area < 1:
        raise ValueError(
            f"`area`={area}; it must be between 0 and 1, a share of the image: "
            f"`area=0.1`."
        )
    if game not in get_args(Game):
        raise ValueError(f"`game`={game!r}; it must be 'preserve', 'delete' or 'dual'.")
    if not isinstance(momentum, jax.Array) and not 0 <= momentum < 1:
        raise ValueError(
            f"`momentum`={momentum}; it must be at least 0 and less than 1: "
            f"`momentum=0.9`."
        )
