"""The benchmarks can at least be imported: nobody runs them by chance."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

SCRIPTS = sorted(path.stem for path in Path("benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_can_be_imported(name: str, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    module = importlib.import_module(f"benchmarks.{name}")
    is_run = "__main__" in Path(f"benchmarks/{name}.py").read_text()
    assert hasattr(module, "main") == is_run  # the others are what these share
