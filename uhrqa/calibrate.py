"""Measure what `Rates` holds: layers without a model, tiles of a file that is written for it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from uhrqa.geometry import Box, Size
from uhrqa.machine import processor_name, resident_memory
from uhrqa.raster import open_raster
from uhrqa.rates import Rates

CPU_SHAPES = ((256, 512), (1024, 192), (2048, 96))  # width, tokens
GPU_SHAPES = ((1024, 4096), (4096, 4096))
RUNS = 5  # of each measurement; the median counts
HEAD = 64  # width of an attention head
SCENE = 2048  # px, side of the image whose tiles are read
TILE = 336
FINER = 1.4  # source pixels per pixel of a tile, along a side


def device_name(device: torch.device) -> str:
    """A device's name; of a CPU with the threads that torch uses."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{processor_name()} ({threads} thread{'s' if threads > 1 else ''})"


@torch.inference_mode()
def measure(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure a device; takes a few seconds.

    Args:
        device: where models will compute.
        dtype: what their weights will be held in.
    """
    base = resident_memory()
    shapes = GPU_SHAPES if device.type == "cuda" else CPU_SHAPES
    flops = {width: _layer_rate(width, tokens, device, dtype) for width, tokens in shapes}
    small, wide = (_Layer(width, device, dtype) for width in (HEAD, shapes[-1][0]))
    launching = _seconds(lambda: small(small.tokens(1)), device)
    one = wide.tokens(1)
    streaming = max(_seconds(lambda: wide(one), device) - launching, 1e-9)
    return Rates(
        device_name(device),
        flops,
        wide.weights * dtype.itemsize / streaming,
        launching,
        _tile_rate(),
        base,
    )


class _Layer:
    """A transformer layer of random weights: attention, and a gated MLP of 8/3 the width."""

    def __init__(self, width: int, device: torch.device, dtype: torch.dtype) -> None:
        random = torch.Generator(device).manual_seed(0)
        inner = 8 * width // 3 // HEAD * HEAD or HEAD
        shapes = [(3 * width, width), (width, width), (2 * inner, width), (width, inner)]
        self._matrices = [
            torch.randn(shape, generator=random, device=device, dtype=dtype) / width**0.5
            for shape in shapes
        ]
        self._width = width
        self._scale = torch.ones(width, device=device, dtype=dtype)
        self.weights: int = sum(matrix.numel() for matrix in self._matrices)

    def tokens(self, count: int) -> Tensor:
        """`[1, count, width]` to go through it."""
        return torch.ones(1, count, self._width, device=self._scale.device, dtype=self._scale.dtype)

    def __call__(self, hidden: Tensor) -> Tensor:
        mixed, out, up, down = self._matrices
        normed = functional.rms_norm(hidden, (self._width,), self._scale)
        rows = functional.linear(normed, mixed)
        q, k, v = rows.view(1, hidden.shape[1], 3, -1, HEAD).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=hidden.shape[1] > 1)
        hidden = hidden + functional.linear(seen.transpose(1, 2).flatten(2), out)
        normed = functional.rms_norm(hidden, (self._width,), self._scale)
        gate, other = functional.linear(normed, up).chunk(2, -1)
        return hidden + functional.linear(functional.silu(gate) * other, down)

    def flops(self, count: int) -> int:
        """As `uhrqa.cost` counts a causal pass."""
        return 2 * count * self.weights + 4 * (count * (count + 1) // 2) * self._width


def _layer_rate(width: int, tokens: int, device: torch.device, dtype: torch.dtype) -> float:
    layer = _Layer(width, device, dtype)
    hidden = layer.tokens(tokens)
    return layer.flops(tokens) / _seconds(lambda: layer(hidden), device)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Median of a few runs, behind one that warms up."""
    took = []
    for _ in range(1 + RUNS):
        begin = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - begin)
    return statistics.median(took[1:])


def _tile_rate() -> float:
    """Pixels of tiles per second, from a Deflate TIFF of smooth ground with some noise."""
    import tifffile

    y, x = np.mgrid[:SCENE, :SCENE]
    noise = np.random.default_rng(0).integers(0, 12, (SCENE, SCENE, 3))
    pixels = (noise + (y // 16 + x // 16)[..., None] % 240).astype(np.uint8)
    source = TILE * FINER
    starts = [source * step for step in range(int(SCENE // source))]
    out = Size(TILE, TILE)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "tiles.tif")
        tifffile.imwrite(
            path, pixels, tile=(256, 256), compression="zlib", predictor=2, photometric="rgb"
        )
        with open_raster(path) as raster:
            begin = time.perf_counter()
            for top in starts:
                for left in starts:
                    raster.read(Box(left, top, left + source, top + source), out)
            took = time.perf_counter() - begin
    return len(starts) ** 2 * out.area / took
