"""Pixels that are missing, each the weighted mean of its eight neighbors."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

# Estimated error over the range of the known pixels at which the iteration ends.
_TOLERANCE = 2e-6
# Some 25 steps reach it on images of 1024 x 700, whatever is missing.
_MAX_STEPS = 100


def impute(
    images: Float[Array, "n h w c"], missing: Bool[Array, "n h w"]
) -> Float[Array, "n h w c"]:
    r"""Images whose missing pixels are the weighted means of their neighbors.

    All missing pixels $u$ at once solve, with $v$ the neighbors inside of the image,

    $$ \sum_{v} w_{uv} (x_u - x_v) = 0 $$

    where $w$ is 1/6 for neighbors that share a side and 1/12 for those at a corner. The
    matrix is symmetric and positive, and is never formed: conjugate gradients, with a
    multigrid cycle as the preconditioner, so that large holes take few steps too.
    """
    wide = jnp.promote_types(images.dtype, jnp.float32)
    planes = jnp.moveaxis(images, -1, 1).astype(wide)
    filled = jax.vmap(_impute_one)(planes, missing[:, None])
    return jnp.moveaxis(filled, 1, -1).astype(images.dtype)


def _impute_one(
    image: Float[Array, "c h w"], missing: Bool[Array, "1 h w"]
) -> Float[Array, "c h w"]:
    known = jnp.where(missing, 0, image)
    mean = known.sum((1, 2), keepdims=True) / (~missing).sum()
    # The first guess is the mean; around it, numbers are small and round less.
    guess = jnp.where(missing, 0, image - mean)
    goal = _TOLERANCE * jnp.ptp(guess)
    grids = _grids(missing)

    def goes_on(state: tuple[Array, ...]) -> Array:
        count, *_, error = state
        return (error > goal) & (count < _MAX_STEPS)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        count, x, residual, direction, product, _ = state
        change = jnp.where(missing, _laplacian(direction), 0)
        # The first step is the whole guess, from nothing.
        best = product / (direction * change).sum()
        length = jnp.where(count == 0, 1, best)
        x, residual = x + length * direction, residual - length * change
        # The cycle nearly solves the system: what it returns is nearly the error.
        cycle = _cycle(residual, grids)
        last, product = product, (residual * cycle).sum()
        direction = cycle + jnp.where(count == 0, 0, product / last) * direction
        return count + 1, x, residual, direction, product, jnp.abs(cycle).max()

    zeros, one = jnp.zeros_like(guess), jnp.ones((), guess.dtype)
    start = (jnp.zeros((), int), zeros, zeros, guess, one, one * jnp.inf)
    _, x, *_ = jax.lax.while_loop(goes_on, step, start)
    return jnp.where(missing, mean + x, image)


def _grids(missing: Bool[Array, "1 h w"]) -> list[Bool[Array, "1 _ _"]]:
    """What is missing, on grids of half the size each: blocks where all pixels are."""
    grids = [missing]
    while grids[-1].size > 1:
        blocks = _blocks(grids[-1], fill=True)
        grids.append(blocks[0] & blocks[1] & blocks[2] & blocks[3])
    return grids


def _cycle(
    residual: Float[Array, "c h w"], grids: list[Bool[Array, "1 _ _"]]
) -> Float[Array, "c h w"]:
    """About the solution for a residual, by one multigrid V-cycle.

    A sweep of damped Jacobi, what is left of the residual summed over blocks and solved
    likewise on the coarser grid, and another sweep. It is a symmetric and positive
    function of the residual, as conjugate gradients need.
    """
    missing, *coarser = grids
    x = jnp.where(missing, residual / 16, 0)
    if not coarser:
        return x
    left = jnp.where(missing, residual - _laplacian(x), 0)
    a, b, c, d = _blocks(left, fill=0)
    coarse = _cycle(a + b + c + d, coarser)
    _, h, w = missing.shape
    x += coarse.repeat(2, axis=1).repeat(2, axis=2)[:, :h, :w]
    return jnp.where(missing, x + (residual - _laplacian(x)) / 16, 0)


def _blocks(x: Shaped[Array, "c h w"], fill: float | bool) -> list[Array]:
    """The four pixels of each block of 2 x 2, with `fill` beyond an odd size."""
    _, h, w = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2)), constant_values=fill)
    return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _laplacian(x: Float[Array, "c h w"]) -> Float[Array, "c h w"]:
    """Twelve times by how much each pixel is above its neighbors, weighted.

    Weights of 1, 2, 1 both ways, 4 for the pixel itself. In an even color these sums
    are exact: in large holes, errors of one sign would add up.

    A convolution, because XLA fuses differences of slices into all that reads them, and
    then takes them again for each: many times slower on a CPU.
    """
    sums = x[:, None]
    for shape in ((1, 1, 3, 1), (1, 1, 1, 3)):
        kernel = jnp.array((1, 2, 1), x.dtype).reshape(shape)
        sums = jax.lax.conv_general_dilated(
            sums, kernel, (1, 1), "SAME", precision=jax.lax.Precision.HIGHEST
        )
    _, h, w = x.shape
    # From sums of lines: as a constant of this size it has crashed XLA on a CPU.
    whole = _inside(h, x.dtype)[:, None] * _inside(w, x.dtype)[None]
    return whole[None] * x - sums[:, 0]


def _inside(size: int, dtype: jnp.dtype) -> Float[Array, " size"]:
    """Sum of the weights 1, 2, 1 that fall inside of a line."""
    place = jnp.arange(size)
    return (4 - (place == 0) - (place == size - 1)).astype(dtype)
