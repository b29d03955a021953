"""Where memory runs out, fewer tiles are encoded at once, and what comes of them is the same."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from uhrqa import ask, load_model
from uhrqa.errors import SmallerBatchWarning
from uhrqa.vlm.batching import TILE_BATCH, Batching

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    MemoryError(),
]


class Cramped:
    """Work that has room for some tiles alone."""

    def __init__(self, most: int, error: BaseException) -> None:
        self.most, self.error = most, error
        self.sizes: list[int] = []

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(pixels))
        if len(pixels) > self.most:
            raise self.error
        return pixels * 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("most", [1, 5, 31])
def test_the_batch_is_halved_until_it_fits_and_stays_so(most, error) -> None:
    batching, work = Batching(), Cramped(most, error)
    pixels = torch.arange(70).view(70, 1, 1, 1)
    with pytest.warns(SmallerBatchWarning, match="memory ran out with 32 tiles") as told:
        first = torch.cat(list(batching.run(work, pixels)))
    assert torch.equal(first, pixels * 2)
    assert len(told) == 1
    assert most / 2 < batching.size <= most
    tried = len(work.sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = torch.cat(list(batching.run(work, pixels)))
    assert torch.equal(again, first)
    assert max(work.sizes[tried:]) == batching.size  # what failed is not tried again


@pytest.mark.filterwarnings("ignore::uhrqa.errors.SmallerBatchWarning")
def test_what_not_even_one_tile_fits_and_other_errors_are_raised() -> None:
    with pytest.raises(MemoryError):
        list(Batching().run(Cramped(0, MemoryError()), torch.zeros(4, 1, 1, 1)))
    batching = Batching()
    with pytest.raises(RuntimeError, match="shapes"):
        list(batching.run(Cramped(2, RuntimeError("shapes differ")), torch.zeros(4, 1, 1, 1)))
    assert batching.size == TILE_BATCH


def test_an_answer_keeps_the_same_tokens_in_little_memory(checkpoint, monkeypatch) -> None:
    image = np.random.default_rng(0).integers(0, 255, (900, 700, 3), dtype=np.uint8)
    model: Any = load_model(str(checkpoint), device="cpu")
    for strategy in ("rfm-dip", "divprune", "visionzip"):
        how: dict[str, Any] = {"model": model, "strategy": strategy, "budget": 90}
        plain = ask(image, "how many?", **how)
        real = model.features

        def cramped(pixels, real=real):
            if len(pixels) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(pixels)

        monkeypatch.setattr(model, "features", cramped)
        model.batching = Batching()
        with pytest.warns(SmallerBatchWarning):
            small = ask(image, "how many?", **how)
        monkeypatch.undo()
        assert model.batching.size <= 3
        assert small.text == plain.text
        assert [e.box for e in small.evidence] == [e.box for e in plain.evidence]
        assert small.counts == plain.counts
