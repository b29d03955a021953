"""Original LLaVA checkpoints that several tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.originals import RELEASES, make_original


@pytest.fixture(scope="package")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every release, in one file or in three. Do not write into them."""
    top = tmp_path_factory.mktemp("originals")
    for index, release in enumerate(RELEASES):
        make_original(top / release, release, files=1 + index % 2 * 2)
    return {release: top / release for release in RELEASES}


@pytest.fixture
def copy_of(originals: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A release to write into."""
    return lambda release: Path(shutil.copytree(originals[release], tmp_path / release))
