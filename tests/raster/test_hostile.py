"""Hostile files: refused in one line, in bounded time and memory; no crash, no hang."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.raster.hostile_files import CORPUS

MUTATIONS = int(os.environ.get("UHRQA_MUTATIONS", "2000"))  # `make fuzz`: 50,000
WORKERS = 2
MOST_SECONDS = 2  # of a CPU
MOST_BYTES = 500 * 2**20
ROOT = Path(__file__).parents[2]


def run(*words: object) -> list[dict[str, Any]]:
    """What a worker tells of each file; the file at which it died, if it did."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.raster.hostile", *map(str, words)],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=280 + MUTATIONS,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"died at {lines[-1:]}: {done.stderr[-2000:]}"
    return [line for line in lines if "name" in line]


def wrong(results: list[dict[str, Any]]) -> list[str]:
    """What a file must not do."""
    return [
        f"{one['name']}: {one['outcome']} ({one['seconds']} s, {one['bytes'] >> 20} MiB)"
        for one in results
        if one["outcome"].startswith("escaped")
        or one["seconds"] > MOST_SECONDS
        or one["bytes"] > MOST_BYTES
        or "\n" in one["outcome"]
    ]


def test_files_made_to_hurt_are_refused_in_one_line(tmp_path: Path):
    results = run("corpus", tmp_path / "corpus")
    assert len(results) == len(CORPUS) >= 60
    assert wrong(results) == []
    read = [one["name"] for one in results if one["outcome"] == "read"]
    assert [name for name in read if not name.startswith("odd")] == []


def test_damaged_files_are_refused_or_read(tmp_path: Path):
    share = MUTATIONS // WORKERS
    firsts = range(0, MUTATIONS, share)
    with ThreadPoolExecutor(WORKERS) as pool:
        parts = list(
            pool.map(
                lambda first: run(
                    "mutations", tmp_path / str(first), "--first", first, "--count", share
                ),
                firsts,
            )
        )
    results = [one for part in parts for one in part]
    assert len(results) == MUTATIONS
    assert wrong(results) == []
    refused = sum(one["outcome"].startswith("refused") for one in results)
    assert 0.2 < refused / MUTATIONS < 0.9  # else nothing is damaged, or all of it is


@pytest.mark.filterwarnings("ignore::uhrqa.errors.NoOverviewWarning")
@pytest.mark.parametrize("packer", ["deflate", "lzw", "packbits"])
def test_bytes_that_cannot_become_a_tile_are_told_before_it_is_made(tmp_path: Path, packer: str):
    from tests.raster.hostile import look
    from uhrqa.reading import Reading

    path = tmp_path / f"{packer}-for-a-huge-tile.tif"
    CORPUS[path.name](path)
    assert re.search(rf"\d+ bytes of {packer} become \d+ at most", look(path, Reading()))


@pytest.mark.parametrize("name", ["tile-of-a-gigapixel.tif", "bomb-gzip.zarr"])
def test_a_refusal_names_the_file(tmp_path: Path, name: str):
    from tests.raster.hostile import look
    from uhrqa.reading import Reading

    CORPUS[name](tmp_path / name)
    assert look(tmp_path / name, Reading()).startswith(f"refused: {tmp_path / name}: ")
