"""Every method of the table, ready to run on the small network of the tests."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import xattr
from tests import networks, transformers
from tests.networks import SHAPE
from xattr.cli.methods import METHODS

SITE = "relu:1"

# Fewer steps and smaller windows than the defaults, where those would only cost time.
SMALL: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"num_steps": 6},
    "expected_gradients": {"num_samples": 5},
    "guided_integrated_gradients": {"num_steps": 12},
    "blur_integrated_gradients": {"num_steps": 6, "max_stddev": 4.0},
    "xrai": {"num_steps": 4},
    # Below the last ReLU, above which this network is linear.
    "conductance": {"num_steps": 4, "site": "conv:1"},
    "layer_integrated_gradients": {"num_steps": 4, "site": "conv:1"},
    "integrated_grad_cam": {"num_steps": 5},
    "opti_cam": {"num_steps": 3},
    "extremal_perturbation": {"num_steps": 4, "cell_size": 3, "reach": 4},
    # Without this baseline, all of an image of noise would be kept, or none of it.
    "meaningful_perturbation": {
        "num_steps": 4,
        "cell_size": 3,
        "mask_stddev": 1.0,
        "baseline": -2.0,
    },
    # Above the last site this network is linear, where noise changes nothing.
    "smooth_grad_cam_plus_plus": {"site": "conv:1"},
    "occlusion": {"window": (4, 3), "stride": (3, 2)},
    # Below the last ReLU, where no one gradient gives all channels.
    "ablation_cam": {"site": "conv:1"},
    "ss_cam": {"num_samples": 3},
    "is_cam": {"num_steps": 2},
    "rise": {"num_masks": 6, "grid": 3},
    # Cells that tile the quarter of the image that a dummy test blanks.
    "feature_ablation": {"grid": (4, 2)},
    "shapley_sampling": {"grid": (4, 2), "num_permutations": 3},
    "lime": {"grid": (4, 2), "num_samples": 40},
    # Fewer than all, so that it draws.
    "kernel_shap": {"grid": (4, 2), "num_samples": 60},
    "sobol": {"grid": (4, 2), "num_designs": 4},
    "hsic": {"grid": (4, 2), "num_samples": 20},
}
# They are dear, or all but a rule of theirs is tested by another row: what every
# method keeps to is tested of them apart.
APART = {
    "attention_rollout",
    "blur_integrated_gradients",
    "contrastive_excitation_backprop",
    "deconvnet",
    "deepshap",
    "eigen_grad_cam",
    "expected_gradients",
    "extremal_perturbation",
    "feature_ablation",
    "generic_attention",
    "grad_cam_elementwise",
    "grad_cam_plus_plus",
    "guided_grad_cam",
    "guided_integrated_gradients",
    "hires_cam",
    "hsic",
    "input_x_gradient",
    "integrated_grad_cam",
    "is_cam",
    "kernel_shap",
    "layer_integrated_gradients",
    "lime",
    "meaningful_perturbation",
    "opti_cam",
    "shapley_sampling",
    "smooth_grad_cam_plus_plus",
    "ss_cam",
    "transformer_attribution",
    "vargrad",
    "xgrad_cam",
    "xrai",
}
COMBINED = {
    "smoothgrad": xattr.smoothgrad(xattr.gradient, num_samples=4),
    "vargrad": xattr.vargrad(xattr.gradient, num_samples=4),
}


@dataclass(frozen=True)
class Case:
    """A method with all it needs bound, but for a key, and a model that it can read.

    Attributes:
      name: of its row.
      method: the method.
      random: whether it needs a key.
      grid: rows and columns of its maps; None for those of the images.
      attention: whether its model is the transformer, of three classes.
    """

    name: str
    method: Any
    random: bool
    grid: tuple[int, int] | None
    attention: bool

    @property
    def targets(self) -> jax.Array:
        """Three classes."""
        return jnp.array([0, 1, 2] if self.attention else [0, 3, 1])

    def model(self, seed: int = 1, dtype: Any = jnp.float32) -> xattr.Model:
        """A small network that the method can read."""
        return _model(seed, dtype, self.attention)

    def images(self, n: int, *, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
        """Noise in the shape that the network takes."""
        of = transformers if self.attention else networks
        return of.images(n, seed=seed, dtype=dtype)


@functools.cache
def _model(seed: int, dtype: Any, attention: bool) -> xattr.Model:
    if not attention:
        return networks.tiny_convnet(jax.random.key(seed), dtype=dtype)
    model = transformers.tiny_vit(seed)
    params = jax.tree.map(lambda x: x.astype(dtype), model.params)
    return xattr.Model(model.apply, params)


def quadrants(n: int) -> jax.Array:
    """Four square segments per image, as masks."""
    h, w, _ = SHAPE
    rows, columns = jnp.arange(h)[:, None] < h // 2, jnp.arange(w)[None] < w // 2
    masks = [rows & columns, rows & ~columns, ~rows & columns, ~rows & ~columns]
    return jnp.broadcast_to(jnp.stack(masks), (n, 4, h, w))


def _xrai(model, images, targets=None, **options):
    """XRAI takes the segments of each image, which follow the batch."""
    return xattr.xrai(
        model,
        images,
        targets,
        segments=quadrants(len(images)),
        min_new_pixels=1,
        **options,
    )


def _case(name: str) -> Case:
    row = METHODS[name]
    method: Any = COMBINED.get(name, row.method)
    options: dict[str, Any] = {"site": SITE} if row.site else {}
    options |= SMALL.get(name, {})
    if name == "xrai":
        method = _xrai
    if name in ("expected_gradients", "deepshap"):
        noise = jax.random.normal(jax.random.key(7), (4, *SHAPE))
        options["baselines"] = noise
    if options:
        method = functools.partial(method, **options)
    grid = (2, 2) if row.attention else (6, 6) if row.site else None
    if name == "guided_grad_cam":
        grid = None
    return Case(name, method, row.random, grid, row.attention)


# A row that is another with other hyperparameters keeps to what that keeps to.
CASES = {name: _case(name) for name, row in METHODS.items() if not row.of}
