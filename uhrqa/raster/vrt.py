"""GDAL's virtual rasters: the files that one names, looked at before GDAL opens any of them.

A VRT is text that anyone may have written, and GDAL takes each name in it for anything it can open:
an address, a database, another VRT. So does it with the `.aux.xml` beside any image. Names stand in
elements of many kinds, so every text and attribute is looked at. What is written elsewhere, as in
the tags of a TIFF, is kept from the network by GDAL's options; by `cli/network.py` also where these
do not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from uhrqa.errors import RasterError
from uhrqa.raster.formats import ZARR_FILES

MAX_BYTES = 2**26
MAX_DEPTH = 8  # of VRTs that name VRTs
NAMES = re.compile(r"source(filename|dataset|band)?|.*file(name)?|.*path|dataset")
NO_FILE = re.compile(r"/vsi|[a-z0-9_+]{2,}:|[<{]", re.IGNORECASE)  # an address, a driver, a text
ADDRESS = re.compile(r"/vsi\w+[/?]|^\s*\S*://|<\s*(gdal_|wms_|wcs_|vrt)", re.IGNORECASE)
SIDE = ".aux.xml"
LONGEST_NAME = 4096
TEXT = (b"<", b"{")


def is_text(path: str) -> bool:
    """Whether a file is text of the kind that names other files: XML or JSON."""
    with Path(path).open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(TEXT)


def check_names(path: str, above: tuple[str, ...] = ()) -> None:
    """Refuse a VRT that names anything but image files and other such VRTs.

    Args:
        path: of the VRT.
        above: the VRTs that name it.

    Raises:
        RasterError: it does, names itself, is nested deeply, or is no VRT.
    """
    resolved = str(Path(path).resolve())
    whole = above[0] if above else path
    if resolved in above or len(above) > MAX_DEPTH:
        raise RasterError(f"{whole}: a VRT that names itself or is nested deeper than {MAX_DEPTH}")
    check_side_file(path, whole)
    for file in sorted(named_files(path, whole)):
        if is_text(str(file)):
            check_names(str(file), (*above, resolved))
        else:
            check_side_file(str(file), whole)


def named_files(path: str, whole: str | None = None) -> set[Path]:
    """The files on the disk that a VRT names, whether beside it or where we are.

    Args:
        path: of the VRT.
        whole: the VRT that names it, for the message.

    Raises:
        RasterError: it names what is no file on the disk, or is no VRT.
    """
    return {place for place in _places(path, whole or path) if _is_file(place)}


def named_stores(path: str) -> set[Path]:
    """The Zarr directories that a VRT names; errors as `named_files`."""
    return {
        place for place in _places(path, path) if any(_is_file(place / name) for name in ZARR_FILES)
    }


def check_side_file(path: str, whole: str | None = None) -> None:
    """Refuse the `.aux.xml` beside an image where it names a server.

    Args:
        path: of the image.
        whole: the VRT that names it, for the message.

    Raises:
        RasterError: it does, or is no XML.
    """
    side = f"{path}{SIDE}"
    if _is_file(Path(side)):
        for _, text in _texts(_root(side, f"{side}: no readable XML, remove it")):
            _refuse_address(whole or path, text, f"{side} names")


def _places(path: str, whole: str) -> Iterator[Path]:
    """Where what a VRT names may lie: beside it, or where we are; an attribute says which."""
    folders = (Path(path).parent, Path())
    return (folder / name for name in _names(path, whole) for folder in folders)


def _names(path: str, whole: str) -> set[str]:
    """What a VRT may name: the texts that are short enough and no number.

    Raises:
        RasterError: it names what is no file on the disk, or is no VRT.
    """
    root = _root(path, f"{path}: neither an image nor a readable VRT")
    if root.tag.lower() != "vrtdataset":
        raise RasterError(
            f"{path}: {root.tag[:40]!r} in XML, which is not read; of XML only VRT is"
        )
    found = set()
    for tag, text in _texts(root):
        _refuse_address(whole, text, "it names")
        if NAMES.fullmatch(tag) and NO_FILE.match(text):
            raise _refusal(whole, text, "it names")
        if len(text) < LONGEST_NAME and not _is_number(text):
            found.add(text)
    return found


def _root(path: str, what: str) -> ElementTree.Element:
    if Path(path).stat().st_size > MAX_BYTES:
        raise RasterError(f"{path}: text of more than {MAX_BYTES >> 20} MiB, which is no image")
    try:
        return ElementTree.fromstring(Path(path).read_bytes())
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise RasterError(f"{what} ({error})") from error


def _texts(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """The element's name in small letters, and what stands in it: text, attributes, text behind."""
    for element in root.iter():
        for text in (element.text, element.tail, *element.attrib.values()):
            if text and (inner := text.strip()):
                yield element.tag.lower(), inner


def _refuse_address(whole: str, text: str, who: str) -> None:
    if ADDRESS.search(text):
        raise _refusal(whole, text, who)


def _refusal(whole: str, text: str, who: str) -> RasterError:
    return RasterError(
        f"{whole}: {who} {text[:80]!r}; of a VRT only files on the disk are read, "
        "download it and name the copy"
    )


def _is_number(text: str) -> bool:
    return text.replace(".", "").replace("-", "").isdigit()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False
