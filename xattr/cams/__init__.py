"""Class activation maps: methods that read one site of the model."""

from xattr.cams._ablation_cam import ablation_cam
from xattr.cams._cam import cam
from xattr.cams._eigen_cam import eigen_cam
from xattr.cams._eigen_grad_cam import eigen_grad_cam
from xattr.cams._grad_cam import grad_cam
from xattr.cams._grad_cam_elementwise import grad_cam_elementwise
from xattr.cams._grad_cam_plus_plus import grad_cam_plus_plus
from xattr.cams._gradient_cams import gradient_cams
from xattr.cams._guided_grad_cam import guided_grad_cam
from xattr.cams._hires_cam import hires_cam
from xattr.cams._integrated_grad_cam import integrated_grad_cam
from xattr.cams._is_cam import is_cam
from xattr.cams._layer_cam import layer_cam
from xattr.cams._opti_cam import opti_cam
from xattr.cams._score_cam import score_cam
from xattr.cams._shapley_cam import shapley_cam
from xattr.cams._smooth_grad_cam_plus_plus import smooth_grad_cam_plus_plus
from xattr.cams._ss_cam import ss_cam
from xattr.cams._xgrad_cam import xgrad_cam

__all__ = [
    "ablation_cam",
    "cam",
    "eigen_cam",
    "eigen_grad_cam",
    "grad_cam",
    "grad_cam_elementwise",
    "grad_cam_plus_plus",
    "gradient_cams",
    "guided_grad_cam",
    "hires_cam",
    "integrated_grad_cam",
    "is_cam",
    "layer_cam",
    "opti_cam",
    "score_cam",
    "shapley_cam",
    "smooth_grad_cam_plus_plus",
    "ss_cam",
    "xgrad_cam",
]
