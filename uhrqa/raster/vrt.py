"""GDAL's virtual rasters: the files that one names, looked at before GDAL opens any of them.

A VRT is text that anyone may have written, and GDAL takes each name in it for anything it can open:
an address, a database, another VRT. Only files on the disk are let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from uhrqa.errors import RasterError

MAX_BYTES = 2**26
MAX_DEPTH = 8  # of VRTs that name VRTs
NAMES = re.compile(r"source(filename|dataset|band)?|.*file(name)?|.*path|dataset")
NO_FILE = re.compile(r"/vsi|[a-z0-9_+]{2,}:|[<{]", re.IGNORECASE)  # an address, a driver, a text
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
    for name in _names(path):
        if NO_FILE.match(name):
            raise RasterError(
                f"{whole}: it names {name[:80]!r}; of a VRT only files on the disk are read, "
                "download it and name the copy"
            )
        for file in (Path(path).parent / name, Path(name)):  # an attribute says which
            if file.is_file() and is_text(str(file)):
                check_names(str(file), (*above, resolved))


def _names(path: str) -> Iterator[str]:
    """What a VRT names, as GDAL reads it: names of elements in any case."""
    if Path(path).stat().st_size > MAX_BYTES:
        raise RasterError(f"{path}: text of more than {MAX_BYTES >> 20} MiB, which is no image")
    try:
        root = ElementTree.fromstring(Path(path).read_bytes())
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise RasterError(f"{path}: neither an image nor a readable VRT ({error})") from error
    if root.tag.lower() != "vrtdataset":
        raise RasterError(
            f"{path}: {root.tag[:40]!r} in XML, which is not read; of XML only VRT is"
        )
    for element in root.iter():
        text = (element.text or "").strip()
        if text and NAMES.fullmatch(element.tag.lower()):
            yield text
