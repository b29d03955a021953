"""What a device could do at best, measured where the models run: the floor of every stage.

The floor knows FLOPs over the rate of a large matrix product, decoder weights over the rate of
memory, and tiles over the rate of copies to the device. It leaves out decoding of files, choosing,
and launching of operations, which are work that could be hidden or spared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from uhrqa.account import Answer
from uhrqa.vlm.batching import TILE_BATCH
from uhrqa.vlm.family import Family

GPU_SIDE, CPU_SIDE = 8192, 256  # of matrices
GPU_VALUES, CPU_VALUES = 2**29, 2**20  # of a tensor written anew: more than caches hold
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates of one device.

    Attributes:
        flops: a second, of a bfloat16 matrix product.
        memory: bytes a second, read and written.
        copied: bytes a second to the device, from pinned memory where that helps.
        pageable: the same from ordinary memory.
        hidden: share of a copy that is hidden behind a product on another stream; None on a CPU.
    """

    flops: float
    memory: float
    copied: float
    pageable: float
    hidden: float | None


def fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of some runs behind one that is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])


def measure(device: torch.device, tile: int) -> Limits:
    """Measure a device; copies are batches of tiles of that side."""
    on_gpu = device.type == "cuda"
    side = GPU_SIDE if on_gpu else CPU_SIDE
    matrix = torch.ones(side, side, dtype=torch.bfloat16, device=device)
    product = fastest(lambda: matrix @ matrix, device)
    values = torch.ones(GPU_VALUES if on_gpu else CPU_VALUES, dtype=torch.bfloat16, device=device)
    written = fastest(lambda: values.clone(), device)
    plain = torch.zeros(TILE_BATCH, 3, tile, tile, dtype=torch.uint8)
    batch = plain.pin_memory() if on_gpu else plain
    copy = fastest(lambda: batch.to(device, copy=True, non_blocking=True), device)
    slow = fastest(lambda: plain.to(device, copy=True), device)
    return Limits(
        2 * side**3 / product,
        2 * values.nbytes / written,
        batch.nbytes / copy,
        plain.nbytes / slow,
        _hidden(matrix, batch, product, copy) if on_gpu else None,
    )


def _hidden(matrix: Tensor, batch: Tensor, product: float, copy: float) -> float:
    """Share of the shorter of copy and product that is gained by running them side by side."""
    beside = torch.cuda.Stream(matrix.device)  # type: ignore[no-untyped-call]

    def both() -> Tensor:
        with torch.cuda.stream(beside):
            moved = batch.to(matrix.device, copy=True, non_blocking=True)
        moved.record_stream(torch.cuda.current_stream(matrix.device))
        return matrix @ matrix

    return (product + copy - fastest(both, matrix.device)) / min(product, copy)


def floor(answer: Answer, model: Family, limits: Limits) -> dict[str, float]:
    """Seconds by stage that a question cannot go below on a device of these rates."""
    cost, tile = answer.cost, model.card.tile
    layers = model.model.get_decoder().layers
    weights = sum(part.nbytes for part in layers.parameters())
    weights += model.model.get_output_embeddings().weight.nbytes
    return {
        "read": answer.counts.tiles_encoded * 3 * tile**2 / limits.copied,
        "encode": (cost.vision + cost.projector) / limits.flops,
        "relevance": cost.relevance / limits.flops,
        "select": 0.0,
        "prefill": cost.prefill / limits.flops,
        "decode": answer.counts.steps * weights / limits.memory,
    }
