from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures_raster import CONTAINERS, coordinate_raster
from uhrqa.raster import Raster, open_raster

SIDES = (331, 517)  # no multiple of any tile


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return coordinate_raster(*SIDES)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, picture: np.ndarray) -> dict:
    """The same picture in every container."""
    return {
        name: write(tmp_path_factory.mktemp(name), picture) for name, write in CONTAINERS.items()
    }


@pytest.fixture(params=list(CONTAINERS))
def container(request: pytest.FixtureRequest, stored: dict) -> Path | np.ndarray:
    return stored[request.param]


@pytest.fixture
def raster(container: Path | np.ndarray):
    with open_raster(container) as opened:
        assert isinstance(opened, Raster)
        yield opened
