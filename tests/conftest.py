"""Fixtures many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.checkpoints import add_rfm, make_checkpoint
from uhrqa.vlm import VisionLanguageModel, load_model


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of whoever runs it."""
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("NO_COLOR", "FORCE_COLOR", "UHRQA_MODEL", "UHRQA_STRATEGY", "UHRQA_BUDGET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors: more threads only get in each other's way, and sums would depend on them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small LLaVA-NeXT checkpoint with an RFM. Do not write into it."""
    return add_rfm(make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "qwen2"))


@pytest.fixture(scope="session")
def vlm(checkpoint: Path) -> VisionLanguageModel:
    """That checkpoint, loaded."""
    return load_model(str(checkpoint), device="cpu")
