"""Methods that change the image and watch the score."""

from xattr.perturbations._extremal_perturbation import extremal_perturbation
from xattr.perturbations._feature_ablation import feature_ablation
from xattr.perturbations._hsic import hsic
from xattr.perturbations._kernel_shap import kernel_shap
from xattr.perturbations._lime import lime
from xattr.perturbations._local_update import local_update
from xattr.perturbations._meaningful_perturbation import meaningful_perturbation
from xattr.perturbations._occlusion import occlusion
from xattr.perturbations._occlusion_map import occlusion_map
from xattr.perturbations._occlusion_response import (
    OcclusionResponse,
    occlusion_response,
)
from xattr.perturbations._rise import rise
from xattr.perturbations._shapley_sampling import shapley_sampling
from xattr.perturbations._sobol import sobol

__all__ = [
    "OcclusionResponse",
    "extremal_perturbation",
    "feature_ablation",
    "hsic",
    "kernel_shap",
    "lime",
    "local_update",
    "meaningful_perturbation",
    "occlusion",
    "occlusion_map",
    "occlusion_response",
    "rise",
    "shapley_sampling",
    "sobol",
]
