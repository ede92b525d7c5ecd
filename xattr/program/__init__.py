"""Reading a model: its sites, its activations, edited and perturbed forms of it."""

from xattr.program._above import Split, split_at
from xattr.program._affine import affine_above
from xattr.program._at_site import arranged, at_site
from xattr.program._attention import Attention, attentions
from xattr.program._biases import Biased, biased
from xattr.program._composite import Composite, Operation, Reference, Rule, Where
from xattr.program._edit import Perturbed, edit, perturb, record
from xattr.program._hoist import hoist
from xattr.program._memory import Footprint, footprint, live_bytes
from xattr.program._operations import operations
from xattr.program._parameters import Layer, parameter_layers
from xattr.program._receptive_field import receptive_field
from xattr.program._rewrite import original, rewrite
from xattr.program._rules import replace_rules, ruled
from xattr.program._sites import Site, sites
from xattr.program._token_grid import token_grid
from xattr.program._window import (
    Boxes,
    Savings,
    local_outputs,
    local_savings,
)

__all__ = [
    "Attention",
    "Biased",
    "Boxes",
    "Composite",
    "Footprint",
    "Layer",
    "Operation",
    "Reference",
    "Perturbed",
    "Rule",
    "Savings",
    "Site",
    "Split",
    "Where",
    "affine_above",
    "arranged",
    "at_site",
    "attentions",
    "biased",
    "edit",
    "footprint",
    "hoist",
    "live_bytes",
    "local_outputs",
    "local_savings",
    "operations",
    "original",
    "parameter_layers",
    "perturb",
    "receptive_field",
    "record",
    "replace_rules",
    "rewrite",
    "ruled",
    "sites",
    "split_at",
    "token_grid",
]
