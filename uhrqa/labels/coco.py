"""COCO's JSON: one file for many images, upright boxes as x, y, width, height.

A segmentation of one quadrilateral, as oriented boxes are often written, is taken instead of the
box; other masks are not: LRS-VQA's rules are about boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from uhrqa.errors import LabelError
from uhrqa.geometry import Box
from uhrqa.labels.images import Images, require_size
from uhrqa.labels.objects import (
    Labelled,
    LabelledImage,
    Labels,
    category_of,
    once,
    outline,
    require_inside,
    upright,
)
from uhrqa.labels.texts import read_json, rows_of, shown

ADVICE = "a COCO file has images, annotations and categories"
Key = int | str


def read_coco(path: Path, images: Images) -> Labels:
    """The objects of every image that the file lists.

    Of a category that has a crowd (`iscrowd`) in an image, nothing is asked about that image.

    Raises:
        LabelError: the file is not of this format, or an object lies outside its image.
        RasterError: an image cannot be opened.
    """
    document = read_json(path)
    names = {
        key: category_of(row.get("name"), where)
        for key, row, where in _keyed(document, "categories", "category", path)
    }
    rows: dict[Key, list[tuple[dict[str, Any], str]]] = {
        key: [] for key, _, _ in _keyed(document, "images", "image", path)
    }
    for row, where in rows_of(document, "annotations", f"{path}: annotation", ADVICE):
        _known(row, "image_id", rows, where).append((row, where))
    found = [
        _image(row, rows[key], names, images, where)
        for key, row, where in _keyed(document, "images", "image", path)
    ]
    repeated = tuple(where for _, again in found for where in again)
    categories = tuple(sorted(set(names.values())))
    return Labels(tuple(image for image, _ in found), categories, repeated=repeated)


def _image(
    row: Mapping[str, Any],
    annotations: list[tuple[dict[str, Any], str]],
    names: Mapping[Key, str],
    images: Images,
    where: str,
) -> tuple[LabelledImage, tuple[str, ...]]:
    """An image, and the places of annotations that are written twice."""
    name = row.get("file_name")
    if not isinstance(name, str) or not name.strip():
        raise LabelError(f"{where}: file_name is {shown(name)}; name the image")
    image, size = images.find(name, where)
    require_size((row.get("width"), row.get("height")), size, where)
    things, crowds = [], set()
    for annotation, at in annotations:
        category = _known(annotation, "category_id", names, at)
        if annotation.get("iscrowd"):
            crowds.add(category)
        else:
            thing = Labelled(category, _outline(annotation, at))
            things.append((require_inside(thing, size, at), at))
    objects, repeated = once(things)
    return LabelledImage(str(image), size, objects, frozenset(crowds)), repeated


def _outline(row: Mapping[str, Any], where: str) -> tuple[tuple[float, float], ...]:
    parts = row.get("segmentation")
    first = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    if isinstance(first, list) and len(first) == 8:
        return outline(first, where)
    try:
        x, y, w, h = map(float, row["bbox"])
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(
            f"{where}: bbox is {shown(row.get('bbox'))}; write [x, y, width, height]"
        ) from error
    box = upright(Box(x, y, x + w, y + h))
    if not (w > 0 and h > 0):
        raise LabelError(f"{where}: bbox is {w:g} x {h:g} px; remove it, or give it a size")
    return outline([value for point in box for value in point], where)


def _keyed(
    document: Any,  # noqa: ANN401 - whatever the file holds
    name: str,
    what: str,
    path: Path,
) -> Iterator[tuple[Key, dict[str, Any], str]]:
    """The id, the row, and its place for messages; each id once."""
    seen: set[Key] = set()
    for row, where in rows_of(document, name, f"{path}: {what}", ADVICE):
        key = row.get("id")
        if isinstance(key, bool) or not isinstance(key, int | str) or key in seen:
            raise LabelError(f"{where}: id is {shown(key)}; give each {what} a number of its own")
        seen.add(key)
        yield key, row, where


def _known(row: Mapping[str, Any], name: str, known: Mapping[Key, Any], where: str) -> Any:  # noqa: ANN401
    key = row.get(name)
    if key is None:
        raise LabelError(f"{where}: {name} is missing; {ADVICE}")
    if not isinstance(key, int | str) or key not in known:
        raise LabelError(f"{where}: {name} {key!r} is not in the file; it lists {len(known)}")
    return known[key]
