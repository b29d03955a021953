"""Where the images of labels lie. Opens them for their size alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from uhrqa.errors import LabelError
from uhrqa.geometry import Size
from uhrqa.raster import open_raster

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".zarr"})


class Images:
    """A directory of images, or one image.

    Args:
        place: the directory, with all below it, or the file (or Zarr store) of the only image.

    Raises:
        LabelError: nothing is there.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        if not place.exists():
            raise LabelError(f"{place}: not there; say with --images where the images are")
        self._sizes: dict[Path, Size] = {}

    def find(self, name: str, where: str) -> tuple[Path, Size]:
        """An image and its size, by its path below the directory, its name, or its stem.

        Args:
            name: as labels give it; of labels that name none, the stem of their file.
            where: record that asks for it, for messages.

        Raises:
            LabelError: there is none, or several.
            RasterError: it cannot be opened.
        """
        path = self._path(name, where)
        if path not in self._sizes:
            with open_raster(path) as raster:
                self._sizes[path] = raster.size
        return path, self._sizes[path]

    def _path(self, name: str, where: str) -> Path:
        if _is_image(self.place):
            return self.place
        if name and _is_image(self.place / name):
            return self.place / name
        file = Path(name.replace("\\", "/")).name
        known = self._by_name.get(file, []) or self._by_stem.get(Path(file).stem, [])
        known = known or self._by_stem.get(file, [])  # `P0001.v2`: no suffix of an image
        if len(known) == 1:
            return known[0]
        if not known:
            raise LabelError(
                f"{where}: no image '{name}' in {self.place} ({len(self._files)} images there); "
                "say with --images where it is"
            )
        raise LabelError(
            f"{where}: '{name}' may be {known[0]} or {known[1]}; say with --images which directory"
        )

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(path for path in self.place.rglob("*") if _is_image(path))

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self._files:
            found.setdefault(path.name, []).append(path)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self._files:
            found.setdefault(path.stem, []).append(path)
        return found


def require_size(said: tuple[object, object], size: Size, where: str) -> None:
    """That labels say of their image what it is, where they say anything.

    Args:
        said: width and height, as the labels have them.
        size: of the image.
        where: record, for messages.

    Raises:
        LabelError: they say another size.
    """
    if said != (None, None) and said != (size.w, size.h):
        raise LabelError(
            f"{where}: labels are of an image of {said[0]} x {said[1]} px, the image has {size}; "
            "take the image that was labelled"
        )


def _is_image(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES:
        return False
    return path.is_file() or path.suffix.lower() == ".zarr"
