"""What a run's manifest says of its model: the SHA-256 of every file.

Those of large files are kept between runs, by path, size and time of change: a run that goes on
does not read 16 GB again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.batch import fingerprint
from uhrqa.cli.console import print_note
from uhrqa.cli.files import cache_directory
from uhrqa.cli.identity import MOST_HASHED, card_identity, checkpoint_files
from uhrqa.cli.report import bytes_text
from uhrqa.errors import CheckpointError

if TYPE_CHECKING:
    from uhrqa.cli.options import Given
    from uhrqa.vlm.card import Card

AT_ONCE = 4  # files
LONG = 10**9  # bytes; that many are worth a word before they are read


def model_manifest(card: Card, given: Given) -> dict[str, Any]:
    """A model by its name and what its files hold, JSON-ready; where they lie does not matter.

    Raises:
        CheckpointError: a hub id that is not in the local cache, or a file that cannot be read.
    """
    files = checkpoint_files(card)
    if given.rfm is not None:
        files[f"rfm/{Path(given.rfm).name}"] = Path(given.rfm)
    digests = digests_of(files, cache_directory(given.settings) / "sha256", given.quiet)
    return {
        "name": card.name,
        "family": card.family,
        "sha256": digests,
        "stamp": fingerprint({"card": card_identity(card), "files": digests}),
    }


def digests_of(files: Mapping[str, Path], kept: Path, quiet: bool) -> dict[str, str]:
    """SHA-256 of files.

    Args:
        files: by the names they get.
        kept: directory of digests of earlier runs; made when there is something to keep.
        quiet: say nothing about large files.

    Raises:
        CheckpointError: one cannot be read.
    """
    found: dict[str, str] = {}
    try:
        states = {name: file.stat() for name, file in files.items()}
        places = {name: kept / _key(files[name], state) for name, state in states.items()}
        found = {name: text for name, place in places.items() if (text := _read(place))}
        size = sum(state.st_size for name, state in states.items() if name not in found)
        if size >= LONG and not quiet:
            print_note(f"uhrqa: reading {bytes_text(size)} for the SHA-256 of the weights, once")
        unknown = [name for name in files if name not in found]
        with ThreadPoolExecutor(AT_ONCE) as pool:  # hashlib lets threads run side by side
            for name, text in zip(
                unknown, pool.map(_digest, [files[n] for n in unknown]), strict=True
            ):
                found[name] = text
                if states[name].st_size > MOST_HASHED:
                    _keep(places[name], text)
    except OSError as error:
        raise CheckpointError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return {name: found[name] for name in files}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _key(file: Path, state: os.stat_result) -> str:
    text = f"{file.resolve()} {state.st_size} {state.st_mtime_ns}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _read(place: Path) -> str:
    """A digest that was kept; the empty text where there is none."""
    try:
        text = place.read_text()
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch("[0-9a-f]{64}", text) else ""


def _keep(place: Path, digest: str) -> None:
    """Keep a digest; a cache that cannot be written costs time and nothing else."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(digest)
