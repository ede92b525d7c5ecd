"""Methods that distribute a score among what it was computed from."""

from xattr.relevance._absorbed import absorbed
from xattr.relevance._attention_rollout import attention_rollout
from xattr.relevance._composites import (
    epsilon,
    epsilon_alpha2_beta1,
    epsilon_alpha2_beta1_flat,
    epsilon_gamma_box,
    epsilon_plus,
    epsilon_plus_flat,
)
from xattr.relevance._contrastive_excitation_backprop import (
    contrastive_excitation_backprop,
)
from xattr.relevance._deconvnet import deconvnet
from xattr.relevance._deeplift import deeplift
from xattr.relevance._deepshap import deepshap
from xattr.relevance._excitation_backprop import excitation_backprop
from xattr.relevance._full_grad import full_grad
from xattr.relevance._full_gradients import full_gradients
from xattr.relevance._generic_attention import generic_attention
from xattr.relevance._guided_backprop import guided_backprop
from xattr.relevance._lrp import lrp
from xattr.relevance._rules import (
    alpha_beta,
    flat,
    gamma,
    halves,
    keep,
    numerator,
    proportional,
    stabilized,
    w_square,
    z_box,
    z_plus,
)
from xattr.relevance._transformer_attribution import transformer_attribution

__all__ = [
    "absorbed",
    "alpha_beta",
    "attention_rollout",
    "contrastive_excitation_backprop",
    "deconvnet",
    "deeplift",
    "deepshap",
    "epsilon",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box",
    "epsilon_plus",
    "epsilon_plus_flat",
    "excitation_backprop",
    "flat",
    "full_grad",
    "full_gradients",
    "gamma",
    "generic_attention",
    "guided_backprop",
    "halves",
    "keep",
    "lrp",
    "numerator",
    "proportional",
    "stabilized",
    "transformer_attribution",
    "w_square",
    "z_box",
    "z_plus",
]
