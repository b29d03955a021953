"""How fast a device is, as `uhrqa profile --calibrate` measured it, and where that is kept.

Knows no model and imports no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from uhrqa.aside import clear_drafts, draft_of
from uhrqa.errors import OutputError
from uhrqa.kept_files import ABANDONED

FILE = "rates.json"
USUAL = "tiff"  # stands for decoders that were not measured
MEASURE = "uhrqa profile --calibrate measures this machine in some 15 CPU seconds"


@dataclass(frozen=True, slots=True)
class Decoder:
    """Seconds that a way to decode takes, from a file in the page cache.

    Attributes:
        opening: of the first file in a process, the loading of a library in it.
        pixel: of each pixel decoded.
        byte: of each byte in storage beside that, which tells what is lossy from what is not.
    """

    opening: float
    pixel: float
    byte: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured on one device with one precision.

    Attributes:
        device: its name, for people.
        flops: FLOPs per second of a layer's matrices over many tokens, by its width.
        attention: FLOPs per second of causal attention, attended pairs counted.
        weight_bytes: bytes of weights a second that one token alone goes through.
        layer_seconds: what a layer takes whatever its size: the launching of its operations.
        copied: bytes a second of a large tensor written anew.
        tile_seconds: what a tile takes that is read, whatever its size.
        pixels: of a tile resampled per second.
        halved: pixels per second of an image that coarse levels are made of in memory.
        decoders: how fast each decodes; that of TIFF is always among them.
        start_seconds: of the first question of a process, whatever it asks about.
        base_bytes: what the process holds before there is a model.
    """

    device: str
    flops: Mapping[int, float]
    attention: float
    weight_bytes: float
    layer_seconds: float
    copied: float
    tile_seconds: float
    pixels: float
    halved: float
    decoders: Mapping[str, Decoder]
    start_seconds: float
    base_bytes: int

    def at(self, width: int) -> float:
        """FLOPs per second at a width: interpolated over its logarithm, level beyond both ends."""
        known = sorted(self.flops)
        if width <= known[0] or width >= known[-1]:
            return self.flops[known[0] if width <= known[0] else known[-1]]
        above = next(index for index, each in enumerate(known) if each > width)
        low, high = known[above - 1], known[above]
        share = math.log(width / low) / math.log(high / low)
        return self.flops[low] * (1 - share) + self.flops[high] * share

    def decoder(self, name: str) -> Decoder:
        """What was measured of a decoder, of the other way of its format, or of TIFF.

        Args:
            name: of a raster; may be empty.
        """
        known = self.decoders
        return known.get(name) or known.get(name.split(" ")[0]) or known[USUAL]


def load_rates(directory: Path, device: str, dtype: str) -> Rates | None:
    """What was measured, or None: not yet, or the file is not one of ours.

    Args:
        directory: of the cache.
        device: its name, as `device_name` gives it.
        dtype: what the weights are held in.
    """
    found = _read(directory / FILE).get(_key(device, dtype))
    if not isinstance(found, dict):
        return None
    try:
        flops = {int(width): float(rate) for width, rate in found.pop("flops").items()}
        decoders = {name: Decoder(**entry) for name, entry in found.pop("decoders").items()}
        rates = Rates(flops=flops, decoders=decoders, **found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    others = (getattr(rates, field.name) for field in fields(rates) if field.type == "float")
    figures = [*flops.values(), *others]
    figures += [n for entry in decoders.values() for n in (entry.opening, entry.pixel, entry.byte)]
    whole = flops and USUAL in decoders
    return rates if whole and all(isinstance(n, float) and n > 0 for n in figures) else None


def save_rates(directory: Path, rates: Rates, dtype: str) -> Path:
    """Keep what was measured, beside that of other devices.

    Returns:
        The file.

    Raises:
        OutputError: it cannot be written.
    """
    path = directory / FILE
    table = {**_read(path), _key(rates.device, dtype): asdict(rates)}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        clear_drafts(path, ABANDONED)
        with draft_of(path) as draft:
            draft.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _key(device: str, dtype: str) -> str:
    return f"{device}, {dtype}"


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
