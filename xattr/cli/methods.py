"""The table of methods: what the command line offers and the contract suite tests."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

import xattr
from xattr import relevance
from xattr._types import Method
from xattr.program import Composite

Prepare = Callable[[Float[np.ndarray, "n h w c"]], dict[str, Any]]
Baselines = Callable[[Float[Array, "n h w c"]], dict[str, Any]]


@dataclass(frozen=True)
class MethodRow:
    """One method as the command line runs it.

    Attributes:
      name: how it is asked for.
      family: where it belongs: gradients, paths, relevance, cams, perturbations.
      method: the method, its hyperparameters at their defaults, or at smaller ones
        where those would take minutes a photograph.
      summary: what its numbers mean, in a line.
      site: whether it reads a site of the model.
      attention: whether it reads the attention of a transformer, and nothing else.
      random: whether it needs a key.
      needs: module of an optional dependency, or empty.
      prepare: host function from images to further arguments, a row per image.
      baselines: function from images to further arguments that depend on their shape
        alone.
      of: the method that it is with other hyperparameters than its defaults, or empty.
    """

    name: str
    family: str
    method: Method
    summary: str
    site: bool = False
    attention: bool = False
    random: bool = False
    needs: str = ""
    prepare: Prepare | None = None
    baselines: Baselines | None = None
    of: str = ""

    def arguments(self, images: np.ndarray) -> dict[str, Any]:
        """What the method needs beside images and targets, but for key and site."""
        prepared = self.prepare(images) if self.prepare else {}
        return prepared | (
            self.baselines(jnp.asarray(images)) if self.baselines else {}
        )


def _row(
    method: Method, options: dict[str, Any] | None = None, **traits: Any
) -> MethodRow:
    """A method as it is, or with options where its defaults take minutes a photo."""
    name = method.__name__
    summary = (method.__doc__ or "").strip().splitlines()[0]
    family = method.__module__.split(".")[1]
    bound = functools.partial(method, **options) if options else method
    return MethodRow(name, family, bound, summary, **traits)


def _lrp(composite: Callable[[], Composite]) -> MethodRow:
    """LRP by another composite."""
    summary = (composite.__doc__ or "").strip().splitlines()[0]
    return MethodRow(
        f"lrp_{composite.__name__}",
        "relevance",
        functools.partial(xattr.lrp, composite=composite()),
        f"Layer-wise relevance propagation: {summary}",
        of="lrp",
    )


def _combined(combinator: Callable[[Method], Method], **traits: Any) -> MethodRow:
    summary = (combinator.__doc__ or "").strip().splitlines()[0]
    return MethodRow(
        combinator.__name__,
        "gradients",
        combinator(xattr.gradient),
        summary,
        random=True,
        **traits,
    )


def black_grey_white(images: Float[Array, "n h w c"]) -> dict[str, Any]:
    """Three plain images as a data set of baselines."""
    levels = jnp.array([0.0, 0.5, 1.0])[:, None, None, None]
    return {"baselines": jnp.broadcast_to(levels, (3, *images.shape[1:]))}


def black_and_white(images: Float[Array, "n h w c"]) -> dict[str, Any]:
    """Where XRAI's paths begin."""
    levels = jnp.array([0.0, 1.0])[:, None, None, None, None]
    return {"baseline": jnp.broadcast_to(levels, (2, 1, *images.shape[1:]))}


def segments(images: Float[np.ndarray, "n h w c"]) -> dict[str, Any]:
    """The segments of XRAI."""
    return {"segments": pad_segments(xattr.images.segments(images))}


def pad_segments(
    segments: Bool[np.ndarray, "n m h w"],
) -> Bool[np.ndarray, "n m_padded h w"]:
    """Empty segments up to a power of two, 64 at least, so that few programs serve.

    Example:
      >>> pad_segments(np.ones((1, 65, 2, 2), bool)).shape
      (1, 128, 2, 2)
    """
    count = segments.shape[1]
    size = max(64, 1 << (count - 1).bit_length())
    return np.pad(segments, ((0, 0), (0, size - count), (0, 0), (0, 0)))


def _by_cell(method: Method) -> Method:
    """The map of a site's units, summed over the channels of each cell."""

    @functools.wraps(method)
    def summed(*args: Any, **kwargs: Any) -> Float[Array, "n i j"]:
        maps = method(*args, **kwargs)
        if maps.ndim != 4:
            raise ValueError(
                f"`site`={kwargs.get('site')!r} has units of shape {maps.shape[1:]}; "
                f"a map needs rows and columns. Choose a site with a spatial grid."
            )
        return xattr.images.channel_sum(maps)

    return summed


_ROWS = [
    _row(xattr.gradient),
    _row(xattr.input_x_gradient),
    _combined(xattr.smoothgrad),
    _combined(xattr.vargrad),
    _row(xattr.integrated_gradients),
    _row(xattr.expected_gradients, random=True, baselines=black_grey_white),
    _row(xattr.guided_integrated_gradients),
    _row(xattr.blur_integrated_gradients),
    _row(xattr.xrai, needs="skimage", prepare=segments, baselines=black_and_white),
    _row(_by_cell(xattr.conductance), site=True),
    _row(_by_cell(xattr.layer_integrated_gradients), site=True),
    _row(xattr.full_grad),
    _row(xattr.guided_backprop),
    _row(xattr.deconvnet),
    _row(xattr.lrp),
    _lrp(relevance.epsilon),
    _lrp(relevance.epsilon_plus_flat),
    _lrp(relevance.epsilon_alpha2_beta1),
    _lrp(relevance.epsilon_alpha2_beta1_flat),
    _lrp(relevance.epsilon_gamma_box),
    _row(xattr.deeplift),
    _row(xattr.deepshap, baselines=black_grey_white),
    _row(xattr.excitation_backprop),
    _row(xattr.contrastive_excitation_backprop),
    _row(xattr.attention_rollout, attention=True),
    _row(xattr.generic_attention, attention=True),
    _row(xattr.transformer_attribution, attention=True),
    _row(xattr.cam, site=True),
    _row(xattr.grad_cam, site=True),
    _row(xattr.grad_cam_plus_plus, site=True),
    _row(xattr.guided_grad_cam, site=True),
    _row(xattr.hires_cam, site=True),
    _row(xattr.layer_cam, site=True),
    _row(xattr.grad_cam_elementwise, site=True),
    _row(xattr.xgrad_cam, site=True),
    _row(xattr.eigen_cam, site=True),
    _row(xattr.eigen_grad_cam, site=True),
    _row(xattr.smooth_grad_cam_plus_plus, site=True, random=True),
    _row(xattr.shapley_cam, site=True),
    _row(xattr.integrated_grad_cam, site=True),
    _row(xattr.ablation_cam, site=True),
    _row(xattr.score_cam, site=True),
    _row(xattr.ss_cam, {"num_samples": 4}, site=True, random=True),
    _row(xattr.is_cam, {"num_steps": 4}, site=True),
    _row(xattr.opti_cam, site=True),
    _row(xattr.occlusion),
    _row(xattr.rise, random=True),
    _row(xattr.feature_ablation),
    _row(xattr.shapley_sampling, random=True),
    _row(xattr.lime, random=True),
    _row(xattr.kernel_shap, random=True),
    _row(xattr.sobol),
    _row(xattr.hsic, random=True),
    _row(xattr.meaningful_perturbation, random=True),
    _row(xattr.extremal_perturbation),
]

METHODS: dict[str, MethodRow] = {row.name: row for row in _ROWS}
