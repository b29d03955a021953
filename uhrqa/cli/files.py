"""Files that a command is given: written, and kept from being written over what it reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.config import AUTO, Settings
from uhrqa.errors import OutputError

if TYPE_CHECKING:
    from uhrqa.cli.options import Given

Name = Path | str | None
Inputs = Mapping[str, Iterable[Name]]

OF_MODELS = (
    "model*.safetensors", "pytorch_model*.bin", "*config.json", "*.index.json", "tokenizer*",
    "merges.txt", "vocab.*",
)  # fmt: skip
"""What belongs to a checkpoint in its directory, where a Region Focus Module may be written."""


def write_text(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written: {reason}") from error


def refuse_same(outputs: Mapping[str, Name], inputs: Inputs) -> None:
    """Refuse outputs that are an input or each other, before anything is read or computed.

    Args:
        outputs: files by the option that names each; None and `-` are none.
        inputs: files by what they are, such as "the image"; what lies in a directory belongs to
            it. None, and what is no file here, is none.

    Raises:
        OutputError: names the file and what it is.
    """
    met: dict[object, str] = {}
    for option, output in outputs.items():
        if output is None or output == "-" or _is_device(Path(output)):
            continue
        path = Path(output)
        other = met.setdefault(_which(path), option)
        if other != option:
            raise OutputError(f"{path}: is named by {other} too; name another one with {option}")
        if _state(path) is None:
            continue
        for what, files in inputs.items():
            if any(_is_part(path, Path(file)) for file in files if file is not None):
                raise OutputError(f"{path}: is {what}; name another one with {option}")


def require_writable(*outputs: Name) -> None:
    """Refuse what could not be written in the end, before anything is computed.

    Raises:
        OutputError: a file's directory does not exist, or the file may not be written.
    """
    for path in (Path(output) for output in outputs if output is not None and output != "-"):
        if not _is_directory(path.parent):
            raise OutputError(f"{path}: there is no directory {path.parent}; make it first")
        if _is_directory(path):
            raise OutputError(f"{path}: cannot be written: it is a directory; name a file")
        try:
            there = path if path.exists() else path.parent
        except OSError as error:  # a name that no system takes
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
        if not os.access(there, os.W_OK):
            raise OutputError(f"{path}: cannot be written: Permission denied")


def inputs_of(given: Given, strategy: Any = None) -> Inputs:  # noqa: ANN401 - a dataclass of any kind
    """The files that options shared by many commands name, and those of a strategy."""
    from uhrqa.strategies import input_files

    model = Path(given.settings.model).expanduser()
    return {
        "a file of the model": [model] if is_file(model) else _files_of_model(model),
        "the Region Focus Module": [given.rfm],
        "the file of the region": [given.placing.roi],
        "a file the strategy reads": input_files(strategy).values() if strategy else [],
    }


def _files_of_model(directory: Path) -> list[Path]:
    """Those of a checkpoint; none where the model is a name."""
    return [file for pattern in OF_MODELS for file in directory.glob(pattern)]


def is_file(path: Path) -> bool:
    """Whether a regular file is there; a name that no system takes is none."""
    state = _state(path)
    return state is not None and stat.S_ISREG(state.st_mode)


def _is_directory(path: Path) -> bool:
    state = _state(path)
    return state is not None and stat.S_ISDIR(state.st_mode)


def _is_device(path: Path) -> bool:
    """Whether nothing is kept there: a pipe, a terminal, /dev/null."""
    return _state(path) is not None and not is_file(path) and not _is_directory(path)


def _is_part(path: Path, whole: Path) -> bool:
    """Whether a file is another one, or lies in a directory; what leads nowhere holds nothing."""
    if _is_directory(whole):
        return whole.resolve() in path.resolve().parents
    return _state(whole) is not None and path.samefile(whole)


def _which(path: Path) -> object:
    """What all names of a file have in common."""
    state = _state(path)
    if state is not None:
        return state.st_dev, state.st_ino
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # such a name is told when it is opened
        return path


def _state(path: Path) -> os.stat_result | None:
    """None where nothing is, or the name is none that the system takes."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def cache_directory(settings: Settings) -> Path:
    """Where what is kept between runs lies: `UHRQA_CACHE`, or the user's cache."""
    if settings.cache:
        return Path(settings.cache).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("uhrqa", appauthor=False)


def kept_directory(settings: Settings, wanted: str | None, name: str, option: str) -> Path:
    """A directory of what is kept for later runs, made when missing.

    Args:
        settings: tell where the user's cache is.
        wanted: the directory; None or `auto`: the one called `name` in the user's cache.
        name: see there.
        option: what it is given with, for the message.

    Raises:
        OutputError: it cannot be made.
    """
    automatic = wanted in (None, AUTO)
    found = cache_directory(settings) / name if automatic else Path(str(wanted)).expanduser()
    try:
        found.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{option} {found}: is a file; name a directory") from error
    except OSError as error:
        raise OutputError(
            f"{option} {found}: cannot be made: {error.strerror}; name another directory"
        ) from error
    return found
