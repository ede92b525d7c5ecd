"""A method and a model in one file, for programs that have neither."""

from xattr.export._load import Explainer, load_explainer
from xattr.export._save import save_explainer

__all__ = ["Explainer", "load_explainer", "save_explainer"]
