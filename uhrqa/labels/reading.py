"""Files of labels by format: one table, one file a format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from uhrqa.errors import LabelError
from uhrqa.labels.images import Images
from uhrqa.labels.objects import Labels
from uhrqa.registry import Registry

Reader = Callable[[Path, Images], Labels]

FORMATS = Registry(
    "format of labels",
    {
        "dota": "uhrqa.labels.dota:read_dota",
        "coco": "uhrqa.labels.coco:read_coco",
        "fair1m": "uhrqa.labels.fair1m:read_fair1m",
        "geojson": "uhrqa.labels.geojson:read_geojson",
    },
)
SUFFIXES = {"dota": ".txt", "coco": ".json", "fair1m": ".xml", "geojson": ".geojson"}


def read_labels(path: Path, format: str, images: Images) -> Labels:
    """Everything in a file of labels, or in all of a directory, in the order of names.

    Args:
        path: the file or directory.
        format: a name in `FORMATS`.
        images: where images are.

    Raises:
        UnknownNameError: no such format.
        LabelError: nothing is there, or a record cannot be used; the message has its number.
        RasterError: an image cannot be opened.
    """
    read: Reader = FORMATS.load(format)
    parts: list[Labels] = []
    for file in _files(path, SUFFIXES[format]):
        try:
            parts.append(read(file, images))
        except UnicodeDecodeError as error:
            raise LabelError(f"{file}: not UTF-8 at byte {error.start + 1}") from error
        except OSError as error:
            raise LabelError(f"{file}: cannot be read: {error.strerror}") from error
    found = [image for part in parts for image in part.images]
    _require_once([image.path for image in found], path)
    categories = sorted({name for part in parts for name in part.categories})
    repeated = tuple(where for part in parts for where in part.repeated)
    outside = sum(part.outside for part in parts)
    return Labels(tuple(found), tuple(categories), outside, repeated)


def _files(path: Path, suffix: str) -> list[Path]:
    if not path.exists():
        raise LabelError(f"{path}: no such file or directory of labels")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == suffix)
    if not files:
        raise LabelError(f"{path}: holds no file *{suffix}; name the directory of labels")
    return files


def _require_once(images: list[str], path: Path) -> None:
    seen: set[str] = set()
    for image in images:
        if image in seen:
            raise LabelError(
                f"{path}: labels {image} twice; name with --images the directory of all images"
            )
        seen.add(image)
