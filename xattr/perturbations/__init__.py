"""Methods that change the image and watch the score; no gradient is needed."""

from xattr.perturbations._occlusion import occlusion
from xattr.perturbations._occlusion_map import occlusion_map
from xattr.perturbations._occlusion_response import (
    OcclusionResponse,
    occlusion_response,
)

__all__ = ["OcclusionResponse", "occlusion", "occlusion_map", "occlusion_response"]
