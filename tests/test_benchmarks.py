"""Benchmarks can at least be imported, and the one for a GPU runs small: nobody does by chance."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_models import SHAPES

SCRIPTS = sorted(path.stem for path in Path("benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_can_be_imported(name: str, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert importlib.import_module(f"benchmarks.{name}").__doc__


SMALL = "--device cpu --small --side 300 -b 60 -s rfm-dip --repeats 1 --no-compile"


def test_the_gpu_benchmark_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(SMALL.split())
    out = capsys.readouterr().out
    for name in SHAPES:
        part = out.partition(f"\n{name} (small)")[2].partition("\n\n")[0]
        rows = {row[2]: row for line in part.splitlines() if (row := line.split())[0] == "rfm-dip"}
        assert set(rows) == {"in", "ahead", "warm", "floor", "plain"}
        assert int(rows["ahead"][3]) > 0
        assert 0 < float(rows["ahead"][11]) < float(rows["ahead"][10])  # floor, total
        assert "same tokens: True" in part
        assert len(re.findall(r"[\d.]+ ms a token behind 60", part)) == 2


def test_the_gpu_benchmark_says_where_there_is_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cuda:99"])
    assert "no CUDA device" in capsys.readouterr().err
