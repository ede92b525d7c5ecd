"""Reading a model: its sites, its activations, edited and perturbed forms of it."""

from xattr.program._affine import affine_above
from xattr.program._edit import Perturbed, edit, perturb, record
from xattr.program._memory import live_bytes
from xattr.program._rewrite import rewrite
from xattr.program._sites import Site, sites

__all__ = [
    "Perturbed",
    "Site",
    "affine_above",
    "edit",
    "live_bytes",
    "perturb",
    "record",
    "rewrite",
    "sites",
]
