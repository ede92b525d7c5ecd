"""Explanatory graphs: the part patterns that are mixed in a network's channels."""

from xattr.graph._and_or import (
    PartLocation,
    PartTemplates,
    fit_part,
    joined_nodes,
    locate_part,
    mean_position,
    normalized_distance,
)
from xattr.graph._constants import Constants
from xattr.graph._constellation import (
    Constellation,
    fit_constellation,
    place_constellation,
)
from xattr.graph._default_sites import default_sites
from xattr.graph._discriminative_patches import (
    DiscriminativePatches,
    detect_patches,
    fit_discriminative_patches,
)
from xattr.graph._explained import Effect, ablate, logit_effect, node_units
from xattr.graph._feature_files import load_features, save_features
from xattr.graph._features import extract, mass
from xattr.graph._fit import Fit, default_nodes, fit, infer, with_stds
from xattr.graph._graph import Features, Graph, Layer, Placement, Site
from xattr.graph._heat import heat_map
from xattr.graph._instability import (
    Interval,
    instability_interval,
    interval,
    location_instability,
)
from xattr.graph._landmark_regression import (
    LandmarkRegression,
    RegressionIntervals,
    landmark_regression,
    regression_intervals,
)
from xattr.graph._layer import Fitted, State, fit_layer, init, place, step
from xattr.graph._part_proposals import Proposals, part_proposals
from xattr.graph._patches import node_strengths, top_images, top_nodes, top_patches
from xattr.graph._purity import filter_purity, landmark_discs, part_purity
from xattr.graph._raw_peaks import raw_peaks
from xattr.graph._save import load, save
from xattr.graph._share import explained_shares
from xattr.graph._sweep import Above
from xattr.graph._synthesis import kept_units, pattern_activations
from xattr.graph._unit_std import unit_std

__all__ = [
    "Above",
    "Constants",
    "Constellation",
    "DiscriminativePatches",
    "Effect",
    "Features",
    "Fit",
    "Fitted",
    "Graph",
    "Interval",
    "LandmarkRegression",
    "Layer",
    "PartLocation",
    "PartTemplates",
    "Placement",
    "Proposals",
    "RegressionIntervals",
    "Site",
    "State",
    "ablate",
    "default_nodes",
    "default_sites",
    "detect_patches",
    "explained_shares",
    "extract",
    "filter_purity",
    "fit",
    "fit_constellation",
    "fit_discriminative_patches",
    "fit_layer",
    "fit_part",
    "heat_map",
    "infer",
    "init",
    "instability_interval",
    "interval",
    "joined_nodes",
    "kept_units",
    "landmark_discs",
    "landmark_regression",
    "load",
    "load_features",
    "locate_part",
    "location_instability",
    "logit_effect",
    "mass",
    "mean_position",
    "node_strengths",
    "node_units",
    "normalized_distance",
    "part_proposals",
    "part_purity",
    "pattern_activations",
    "place",
    "place_constellation",
    "raw_peaks",
    "regression_intervals",
    "save",
    "save_features",
    "step",
    "top_images",
    "top_nodes",
    "top_patches",
    "unit_std",
    "with_stds",
]
