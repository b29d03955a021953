"""What tells that an image on a server was replaced. Reads the first bytes of its files alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from uhrqa.raster.formats import MAGIC
from uhrqa.raster.image_files import BESIDE
from uhrqa.raster.stores import AbsentError, NoRangesError, beside, open_store, told

if TYPE_CHECKING:
    from obstore import ObjectMeta

Version = tuple[object, ...]
MAGIC_BYTES = max(map(len, MAGIC))


def stamp(url: str) -> str:
    """The ETag of an image, or its size and date, and of a TIFF those of the files beside it.

    One request; of a TIFF three more at once, as only more of it would tell whether it has
    overviews itself and so none of them is read.

    Raises:
        RasterError: the image, or a file beside it, cannot be asked for.
    """
    import obstore

    try:
        own, is_tiff = _seen(url)
    except NoRangesError:  # no TIFF is read from there
        with told(url):
            return repr(version(obstore.head(open_store(url), "")))
    if not is_tiff:
        return repr(own)
    with ThreadPoolExecutor(len(BESIDE)) as pool:
        found = list(pool.map(lambda suffix: _version_beside(url, suffix), BESIDE))
    return repr([own, *found] if any(found) else own)


def version(meta: ObjectMeta) -> Version:
    """What an answer says about the file that it is of."""
    return meta["e_tag"], meta["last_modified"], meta["size"]


def _version_beside(url: str, suffix: str) -> Version | None:
    """Of what `RemoteFile.beside` would find: some servers answer with a page."""
    try:
        found, is_tiff = _seen(beside(url, suffix))
    except (AbsentError, NoRangesError):
        return None
    return found if is_tiff else None


def _seen(url: str) -> tuple[Version, bool]:
    """Version of a file, and whether it is a TIFF."""
    import obstore

    with told(url):
        answer = obstore.get(open_store(url), "", options={"range": (0, MAGIC_BYTES)})
        start = bytes(answer.bytes())
    is_tiff = any(start.startswith(magic) for magic, name in MAGIC.items() if name == "tiff")
    return version(answer.meta), is_tiff
