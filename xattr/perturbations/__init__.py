"""Methods that change the image and watch the score; no gradient is needed."""

from xattr.perturbations._occlusion import occlusion

__all__ = ["occlusion"]
