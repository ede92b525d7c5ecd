"""Explain what image models decide, and what they have learnt.

Every name below is loaded when it is first used: importing the package loads JAX and
NumPy alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xattr._version import __version__

# Where each public name lives.
_NAMES = {
    "chunk_memory": "_budget",
    "open_run": "run",
    "Explainer": "export",
    "load_explainer": "export",
    "save_explainer": "export",
    "Model": "_model",
    "from_function": "_model",
    "from_linen": "_model",
    "from_nnx": "_model",
    "logit": "_scores",
    "probability": "_scores",
    "margin": "_scores",
    "finer": "_scores",
    "rest": "_scores",
    "unit": "_scores",
    "segment": "_scores",
    "box": "_scores",
    "pixel_target": "_regions",
    "region_target": "_regions",
    "class_target": "_regions",
    "Site": "program",
    "at_site": "program",
    "sites": "program",
    "receptive_field": "program",
    "record": "program",
    "edit": "program",
    "gradient": "gradients",
    "input_x_gradient": "gradients",
    "smoothgrad": "combinators",
    "vargrad": "combinators",
    "times_input": "combinators",
    "absolute": "combinators",
    "ensemble": "combinators",
    "blur_integrated_gradients": "paths",
    "expected_gradients": "paths",
    "guided_integrated_gradients": "paths",
    "integrated_gradients": "paths",
    "xrai": "paths",
    "conductance": "paths",
    "internal_influence": "paths",
    "layer_integrated_gradients": "paths",
    "deeplift": "relevance",
    "deepshap": "relevance",
    "full_grad": "relevance",
    "full_gradients": "relevance",
    "attention_rollout": "relevance",
    "generic_attention": "relevance",
    "transformer_attribution": "relevance",
    "lrp": "relevance",
    "deconvnet": "relevance",
    "guided_backprop": "relevance",
    "excitation_backprop": "relevance",
    "contrastive_excitation_backprop": "relevance",
    "ablation_cam": "cams",
    "cam": "cams",
    "eigen_cam": "cams",
    "eigen_grad_cam": "cams",
    "grad_cam": "cams",
    "grad_cam_elementwise": "cams",
    "grad_cam_plus_plus": "cams",
    "gradient_cams": "cams",
    "guided_grad_cam": "cams",
    "hires_cam": "cams",
    "integrated_grad_cam": "cams",
    "is_cam": "cams",
    "layer_cam": "cams",
    "opti_cam": "cams",
    "score_cam": "cams",
    "shapley_cam": "cams",
    "smooth_grad_cam_plus_plus": "cams",
    "ss_cam": "cams",
    "xgrad_cam": "cams",
    "OcclusionResponse": "perturbations",
    "local_update": "perturbations",
    "feature_ablation": "perturbations",
    "hsic": "perturbations",
    "kernel_shap": "perturbations",
    "lime": "perturbations",
    "extremal_perturbation": "perturbations",
    "meaningful_perturbation": "perturbations",
    "occlusion": "perturbations",
    "occlusion_map": "perturbations",
    "occlusion_response": "perturbations",
    "rise": "perturbations",
    "shapley_sampling": "perturbations",
    "sobol": "perturbations",
}

_PACKAGES = (
    "compare",
    "data",
    "graph",
    "images",
    "metrics",
    "models",
    "program",
    "render",
    "run",
    "testing",
)

__all__ = ["__version__", *_NAMES, *_PACKAGES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        module = importlib.import_module(f"xattr.{_NAMES[name]}")
        return getattr(module, name)
    if name in _PACKAGES:
        return importlib.import_module(f"xattr.{name}")
    raise AttributeError(f"module 'xattr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from xattr import (
        compare,
        data,
        graph,
        images,
        metrics,
        models,
        program,
        render,
        run,
        testing,
    )
    from xattr._budget import chunk_memory
    from xattr._model import Model, from_function, from_linen, from_nnx
    from xattr._regions import class_target, pixel_target, region_target
    from xattr._scores import (
        box,
        finer,
        logit,
        margin,
        probability,
        rest,
        segment,
        unit,
    )
    from xattr.cams import (
        ablation_cam,
        cam,
        eigen_cam,
        eigen_grad_cam,
        grad_cam,
        grad_cam_elementwise,
        grad_cam_plus_plus,
        gradient_cams,
        guided_grad_cam,
        hires_cam,
        integrated_grad_cam,
        is_cam,
        layer_cam,
        opti_cam,
        score_cam,
        shapley_cam,
        smooth_grad_cam_plus_plus,
        ss_cam,
        xgrad_cam,
    )
    from xattr.combinators import (
        absolute,
        ensemble,
        smoothgrad,
        times_input,
        vargrad,
    )
    from xattr.export import Explainer, load_explainer, save_explainer
    from xattr.gradients import gradient, input_x_gradient
    from xattr.paths import (
        blur_integrated_gradients,
        conductance,
        expected_gradients,
        guided_integrated_gradients,
        integrated_gradients,
        internal_influence,
        layer_integrated_gradients,
        xrai,
    )
    from xattr.perturbations import (
        OcclusionResponse,
        extremal_perturbation,
        feature_ablation,
        hsic,
        kernel_shap,
        lime,
        local_update,
        meaningful_perturbation,
        occlusion,
        occlusion_map,
        occlusion_response,
        rise,
        shapley_sampling,
        sobol,
    )
    from xattr.program import Site, at_site, edit, receptive_field, record, sites
    from xattr.relevance import (
        attention_rollout,
        contrastive_excitation_backprop,
        deconvnet,
        deeplift,
        deepshap,
        excitation_backprop,
        full_grad,
        full_gradients,
        generic_attention,
        guided_backprop,
        lrp,
        transformer_attribution,
    )
    from xattr.run import open_run
