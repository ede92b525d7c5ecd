"""Saliency decoders: small networks that learn to say which part of an image decides.

A decoder reads feature maps of a classifier and gives a mask of the image's size. It is
trained so that the classifier decides from what the mask keeps as it does from the
whole; afterwards an explanation costs little more than a forward pass.
"""

from xattr.decoder._architecture import Architecture, Output, architecture
from xattr.decoder._bundled import BUNDLED, bundled
from xattr.decoder._classifier import Trainable, evaluated, trainable
from xattr.decoder._collapse import collapsed
from xattr.decoder._config import Config, read_config
from xattr.decoder._decoder import Decoder
from xattr.decoder._discriminator import (
    Discriminator,
    adversarial_loss,
    discriminator_loss,
)
from xattr.decoder._features import features_and_outputs
from xattr.decoder._fills import FILLS, fill, hide, keep
from xattr.decoder._fit import Diverged, fit
from xattr.decoder._hinges import confused_area, destroyer, kept_area, preserver
from xattr.decoder._losses import (
    cross_entropy,
    divergence,
    hidden_cross_entropy,
    hidden_entropy,
    score_drop,
)
from xattr.decoder._method import as_method, decode
from xattr.decoder._objective import RAMPED, TERMS, objective
from xattr.decoder._photographs import Photographs
from xattr.decoder._regularizers import (
    area,
    area_power,
    binary,
    compactness,
    smoothness,
    sparsity,
    target_area,
    total_variation,
)
from xattr.decoder._settings import Settings
from xattr.decoder._state import Batch, State
from xattr.decoder._step import Report, init, step, trained
from xattr.decoder._trained import Trained, load, save
from xattr.decoder._upsample import transposed_convolution
from xattr.decoder._views import Views

__all__ = [
    "BUNDLED",
    "FILLS",
    "RAMPED",
    "TERMS",
    "Architecture",
    "Batch",
    "Config",
    "Decoder",
    "Discriminator",
    "Diverged",
    "Output",
    "Photographs",
    "Report",
    "Settings",
    "State",
    "Trainable",
    "Trained",
    "Views",
    "adversarial_loss",
    "architecture",
    "area",
    "area_power",
    "as_method",
    "binary",
    "bundled",
    "collapsed",
    "compactness",
    "confused_area",
    "cross_entropy",
    "decode",
    "destroyer",
    "discriminator_loss",
    "divergence",
    "evaluated",
    "features_and_outputs",
    "fill",
    "fit",
    "hidden_cross_entropy",
    "hidden_entropy",
    "hide",
    "init",
    "keep",
    "kept_area",
    "load",
    "objective",
    "preserver",
    "read_config",
    "save",
    "score_drop",
    "smoothness",
    "sparsity",
    "step",
    "target_area",
    "total_variation",
    "trainable",
    "trained",
    "transposed_convolution",
]
