"""How good an explanation is: numbers for maps, one for each image."""

from xattr.metrics._adcc import Adcc, adcc
from xattr.metrics._average_drop import average_drop
from xattr.metrics._average_gain import average_gain
from xattr.metrics._average_increase import average_increase
from xattr.metrics._average_precision import (
    PixelCounts,
    average_precision,
    pixel_average_precision,
    pixel_counts,
)
from xattr.metrics._average_sensitivity import average_sensitivity
from xattr.metrics._box_overlaps import box_overlaps, max_box_accuracy
from xattr.metrics._boxes_to_masks import boxes_to_masks
from xattr.metrics._completeness_gap import completeness_gap
from xattr.metrics._complexity import effective_size, entropy, gini
from xattr.metrics._curve import Curve
from xattr.metrics._data_randomization import data_randomization
from xattr.metrics._deletion import deletion
from xattr.metrics._energy_pointing_game import energy_pointing_game
from xattr.metrics._faithfulness_correlation import faithfulness_correlation
from xattr.metrics._hog import hog_pearson
from xattr.metrics._infidelity import infidelity
from xattr.metrics._insertion import insertion
from xattr.metrics._invariance import implementation_invariance, input_invariance
from xattr.metrics._iou import iou
from xattr.metrics._local_lipschitz import local_lipschitz
from xattr.metrics._max_sensitivity import max_sensitivity
from xattr.metrics._mean_over_classes import mean_over_classes
from xattr.metrics._mu_fidelity import mu_fidelity
from xattr.metrics._parameter_randomization import (
    Randomization,
    normal_like,
    parameter_randomization,
    permuted,
    randomized_layers,
)
from xattr.metrics._pic import aic, median_curve, sic
from xattr.metrics._pointing_game import is_difficult, pointing_game
from xattr.metrics._random_logit import random_logit
from xattr.metrics._region_perturbation import region_perturbation
from xattr.metrics._relevance_mass import relevance_mass
from xattr.metrics._relevance_rank import relevance_rank
from xattr.metrics._road import Road, road
from xattr.metrics._sensitivity_n import SensitivityN, sensitivity_n
from xattr.metrics._similarity import cosine, pearson, spearman
from xattr.metrics._ssim import ssim
from xattr.metrics._top_k_intersection import top_k_intersection

__all__ = [
    "Adcc",
    "Curve",
    "PixelCounts",
    "Randomization",
    "Road",
    "SensitivityN",
    "adcc",
    "aic",
    "average_drop",
    "average_gain",
    "average_increase",
    "average_precision",
    "average_sensitivity",
    "box_overlaps",
    "boxes_to_masks",
    "completeness_gap",
    "cosine",
    "data_randomization",
    "deletion",
    "effective_size",
    "energy_pointing_game",
    "entropy",
    "faithfulness_correlation",
    "gini",
    "hog_pearson",
    "implementation_invariance",
    "infidelity",
    "input_invariance",
    "insertion",
    "iou",
    "is_difficult",
    "local_lipschitz",
    "max_box_accuracy",
    "max_sensitivity",
    "mean_over_classes",
    "median_curve",
    "mu_fidelity",
    "normal_like",
    "parameter_randomization",
    "pearson",
    "permuted",
    "pixel_average_precision",
    "pixel_counts",
    "pointing_game",
    "random_logit",
    "randomized_layers",
    "region_perturbation",
    "relevance_mass",
    "relevance_rank",
    "road",
    "sensitivity_n",
    "sic",
    "spearman",
    "ssim",
    "top_k_intersection",
]
