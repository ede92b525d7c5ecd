"""The model that a command is about: a network by name, or a user's own."""

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xattr._model import Model, refuse_nnx
from xattr.images import Preprocess, Stretch


@dataclass(frozen=True)
class Subject:
    """A model and what images it takes.

    Attributes:
      name: as it was asked for.
      model: from a batch of images to outputs.
      preprocess: from a photograph to one image.
      site: where CAMs read unless told otherwise, if anything is known of that.
      weights: where they come from, for people.
    """

    name: str
    model: Any
    preprocess: Preprocess | Stretch
    site: str | None
    weights: str


def find_subject(name: str, weights: Path | None, size: int | None) -> Subject:
    """A network with its weights, or random ones; or `module:attribute`.

    The attribute is an `xattr.Model`, a function of a batch of images, or what
    `xattr.models.load` returns; the module is looked for in the working directory too.

    Raises:
      ImportError: if there is no such module.
      TypeError: if the attribute is no model.
      ValueError: if there is no such network or attribute, or an option has no meaning.
    """
    if ":" in name:
        return _own(name, weights, size)
    if size is not None:
        raise ValueError(
            f"`--size` is given, but {name!r} has its own. It serves a model of yours: "
            "`--model module:attribute`."
        )
    return _network(name, weights)


def _network(name: str, weights: Path | None) -> Subject:
    """One of the package's; random weights where it has none and none are given."""
    from xattr import from_nnx, models
    from xattr.models._bundled import class_names
    from xattr.models._presets import find_preset
    from xattr.program import rewrite

    preset = find_preset(name)
    if weights is None and not preset.bundled:
        count = len(class_names(preset.labels))
        model = rewrite(from_nnx(models.untrained(name, num_classes=count)))
        return Subject(name, model, preset.preprocess, preset.site, "random")
    found = models.load(name, weights=weights)
    shown = "bundled" if weights is None else weights.name
    return Subject(name, found.model, found.preprocess, found.site, shown)


def _own(name: str, weights: Path | None, size: int | None) -> Subject:
    """What a module of the user's holds."""
    from xattr.models import Pretrained

    if weights is not None:
        raise ValueError(
            f"`--weights` is given, but {name!r} brings its own. Leave it out."
        )
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError(f"`--model` {name!r} must be `module:attribute`.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"`--model` {name!r}: {found!r} has no {part!r}.")
        found = getattr(found, part)
    if isinstance(found, Pretrained) and size is None:
        return Subject(name, found.model, found.preprocess, found.site, "its own")
    model = found.model if isinstance(found, Pretrained) else found
    refuse_nnx(model)
    if not callable(model):
        raise TypeError(
            f"`--model` {name!r} is a {type(model).__name__}; it must be a function "
            "of a batch of images, such as `xattr.from_function(apply, params)`."
        )
    if not isinstance(model, Model):
        # As an argument of compiled programs, which a function alone can't be.
        model = Model(_called, model)
    side = size or 224
    return Subject(name, model, Preprocess(size=side, resize=side), None, "its own")


def _called(function: Any, images: Any) -> Any:
    return function(images)
