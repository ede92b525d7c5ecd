"""Files and data sets: what there is to explain, and reading it without surprises."""

from xattr.data._archive_source import MAX_BYTES, ArchiveSource
from xattr.data._file_source import FileSource
from xattr.data._grain_source import GrainSource
from xattr.data._loader import Tile, load_tiles
from xattr.data._open_source import open_source
from xattr.data._read import (
    MAX_PIXELS,
    UnreadableImage,
    decode_image,
    read_image,
)
from xattr.data._read_slot import Slot
from xattr.data._record import Record, Refused, Source, pixels_of
from xattr.data._sources import Found, Problem, display_name, find_images
from xattr.data._tfds_source import TFDSSource
from xattr.data._trouble import SourceLost

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "ArchiveSource",
    "FileSource",
    "Found",
    "GrainSource",
    "Problem",
    "Record",
    "Refused",
    "Slot",
    "Source",
    "SourceLost",
    "TFDSSource",
    "Tile",
    "UnreadableImage",
    "decode_image",
    "display_name",
    "find_images",
    "load_tiles",
    "open_source",
    "pixels_of",
    "read_image",
]
