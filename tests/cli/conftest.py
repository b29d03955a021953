"""What the command-line tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from uhrqa.cli import app

SIZE = (300, 400)  # rows, columns


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A small tiled TIFF."""
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64), photometric="rgb")
    return str(tmp_path / "a.tif")


@pytest.fixture
def uhrqa(capsys, monkeypatch, tmp_path: Path) -> Callable[..., Outcome]:
    """Run a command in this process, in an empty working directory and with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))
    monkeypatch.delenv("UHRQA_CACHE", raising=False)

    def call(*args: object) -> Outcome:
        code = app.run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def start(*args: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from uhrqa.cli import main; main()", *map(str, args)],
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
