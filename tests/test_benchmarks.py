"""The benchmarks can at least be imported: nobody runs them by chance."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

SCRIPTS = sorted(path.stem for path in Path("benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_can_be_imported(name: str, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert importlib.import_module(f"benchmarks.{name}").__doc__
