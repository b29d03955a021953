"""What a run keeps on disk: its checkpoint's parts, its log, its module."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from pickle import UnpicklingError
from typing import Any

from uhrqa.batch.entries import digest
from uhrqa.batch.lines import open_to_append
from uhrqa.distill.examples import Example
from uhrqa.distill.recall import Check
from uhrqa.distill.student import Losses
from uhrqa.errors import ConfigError, OutputError
from uhrqa.training.progress import Stage

DAMAGED = (
    OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
    UnpicklingError,
)  # fmt: skip
"""What torch raises where a checkpoint is none."""


@dataclass
class Settings:
    """What two runs that share a checkpoint have in common; part of the checkpoint."""

    file: Path
    values: dict[str, Any]

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self.values

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Compare with a checkpoint's.

        Raises:
            OutputError: they differ.
        """
        for name in {**saved, **self.values}:
            its, ours = saved.get(name), self.values.get(name)
            if its != ours:
                raise OutputError(
                    f"{self.file}: a run with other settings was stopped here: its {name} is "
                    f"{its}, now {ours}; ask for the same, start anew with --overwrite, or name "
                    "another file with -o"
                )


@dataclass
class Curve:
    """The losses so far, and how the module did before its first step; part of the checkpoint."""

    losses: list[Losses] = field(default_factory=list)
    before: Check | None = None

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        rows = [list(asdict(losses).values()) for losses in self.losses]
        return {"losses": rows, "before": self.before.to_dict() if self.before else None}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.losses = [Losses(*row) for row in saved["losses"]]
        self.before = Check.of_dict(saved["before"]) if saved["before"] else None


@dataclass(frozen=True, slots=True)
class Files:
    """What a run reads and writes.

    Attributes:
        rfm: the module's file.

    Raises:
        ConfigError: its name has another ending.
    """

    rfm: Path

    def __post_init__(self) -> None:
        if self.rfm.suffix != ".safetensors":
            raise ConfigError(f"-o {self.rfm}: write a name that ends with .safetensors")

    @property
    def checkpoint(self) -> Path:
        """All a stopped run needs to go on."""
        return self.rfm.with_suffix(".checkpoint")

    @property
    def log(self) -> Path:
        """For people."""
        return self.rfm.with_suffix(".log")

    @contextmanager
    def held(self, *, overwrite: bool) -> Iterator[None]:
        """Keep other runs from writing here, and clear away what this one is to overwrite.

        Raises:
            OutputError: the module is there already, another run writes here, or nothing can be
                written.
        """
        self._refuse_finished(overwrite)
        descriptor = open_to_append(self.log)
        try:
            self._refuse_finished(overwrite)  # by a run that held the log until now
            if overwrite:
                self._clear(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _refuse_finished(self, overwrite: bool) -> None:
        if self.rfm.exists() and not overwrite and not self.checkpoint.exists():
            raise OutputError(
                f"{self.rfm}: is there already; train it anew with --overwrite, or name another "
                "file with -o (a finished run cannot be made longer: its learning rate fell over "
                "its --steps)"
            )

    def _clear(self, log: int) -> None:
        try:
            self.checkpoint.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.checkpoint}: cannot be removed: {error.strerror}") from error
        os.ftruncate(log, 0)

    def write_line(self, text: str) -> None:
        """Add a line to the log, with the time."""
        try:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        except OSError as error:
            raise OutputError(f"{self.log}: cannot be written: {error.strerror}") from error


def digest_of(examples: Sequence[Example]) -> str:
    """What tells these questions from others, in 16 letters, wherever their file lies."""
    rows = [
        [PurePath(example.place).name, example.text, list(example.boxes)] for example in examples
    ]
    return digest(json.dumps(rows))


def resume(stage: Stage) -> bool:
    """Load the checkpoint, if there is one.

    Raises:
        OutputError: it is damaged, or another run's.
    """
    try:
        return stage.resume()
    except DAMAGED as error:
        raise OutputError(
            f"{stage.file}: cannot be read ({type(error).__name__}); start anew with --overwrite"
        ) from error


def tick(stage: Stage) -> None:
    """Count a step, and save when it is time.

    Raises:
        OutputError: the checkpoint cannot be written.
    """
    try:
        stage.tick()
    except (OSError, RuntimeError) as error:
        raise unwritable(stage.file, error) from error


def unwritable(file: Path, error: Exception) -> OutputError:
    """The error that says so."""
    lines = str(error).splitlines() or [type(error).__name__]
    return OutputError(f"{file}: cannot be written ({lines[0][:200]})")
