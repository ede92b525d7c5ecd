"""Class activation maps: methods that read one site of the model."""

from xattr.cams._grad_cam import grad_cam

__all__ = ["grad_cam"]
