"""FAIR1M's XML files: one an image, four corners and a name for each object."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from uhrqa.errors import LabelError
from uhrqa.labels.images import Images, require_size
from uhrqa.labels.objects import (
    Labelled,
    LabelledImage,
    Labels,
    category_of,
    once,
    outline,
    require_inside,
)


def read_fair1m(path: Path, images: Images) -> Labels:
    """The objects of one image.

    Raises:
        LabelError: the file is not of this format, or an object lies outside the image.
        RasterError: the image cannot be opened.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise LabelError(f"{path}: not XML: {error}; copy it again") from error
    name = (root.findtext("source/filename") or "").strip() or path.stem
    image, size = images.find(name, str(path))
    require_size((_side(root, "width"), _side(root, "height")), size, str(path))
    things = []
    for number, node in enumerate(root.iterfind("objects/object"), start=1):
        where = f"{path}: object {number}"
        things.append((require_inside(_object(node, where), size, where), where))
    objects, repeated = once(things)
    found = LabelledImage(str(image), size, objects)
    categories = tuple(sorted({thing.category for thing in objects}))
    return Labels((found,), categories, repeated=repeated)


def _side(root: Element, name: str) -> int | None:
    text = root.findtext(f"size/{name}", "").strip()
    return int(text) if text.isdecimal() else None


def _object(node: Element, where: str) -> Labelled:
    frame = node.findtext("coordinate", "pixel").strip()
    if frame != "pixel":
        raise LabelError(f"{where}: its coordinates are '{frame}'; only pixel is read")
    points = [(point.text or "").split(",") for point in node.iterfind("points/point")]
    category = category_of(node.findtext("possibleresult/name"), where)
    return Labelled(category, outline([value for point in points for value in point], where))
