"""Measure what `Rates` holds: layers without a model, and tiles of files written for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from uhrqa.machine import processor_name, resident_memory
from uhrqa.raster.speed import measure_reading, seconds
from uhrqa.rates import Decoder, Rates

CPU_SHAPES = ((128, 2048), (256, 2048), (1024, 256), (2048, 96))  # width, tokens
GPU_SHAPES = ((1024, 4096), (4096, 4096))
CPU_TOKENS, GPU_TOKENS = 2048, 8192  # that attend to each other
HEADS, HEAD = 4, 64  # of attention: their number and width
LAYERS = 8  # of a decoder that computes next to nothing
COPIED = 2**23  # numbers, 32 MB: more than caches hold


def device_name(device: torch.device) -> str:
    """A device's name; of a CPU with the threads that torch uses."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{processor_name()} ({threads} thread{'s' if threads > 1 else ''})"


@torch.inference_mode()
def measure(device: torch.device, dtype: torch.dtype, start_seconds: float) -> Rates:
    """Measure a device; takes a few seconds.

    Args:
        device: where models will compute.
        dtype: what their weights will be held in.
        start_seconds: what the first question took, behind which there is next to nothing.
    """
    base, on_gpu = resident_memory(), device.type == "cuda"
    shapes = GPU_SHAPES if on_gpu else CPU_SHAPES
    flops = {width: _layer_rate(width, tokens, device, dtype) for width, tokens in shapes}
    small, wide = (_Layer(width, device, dtype) for width in (HEAD, shapes[-1][0]))
    one, few = wide.tokens(1), small.tokens(1)
    streaming = _seconds(lambda: wide.mixed(one), device) - _seconds(
        lambda: small.mixed(few), device
    )
    reading = measure_reading()
    return Rates(
        device_name(device),
        flops,
        _attention_rate(GPU_TOKENS if on_gpu else CPU_TOKENS, device, dtype),
        wide.weights * dtype.itemsize / max(streaming, 1e-9),
        _launching(device, dtype),
        _copy_rate(torch.device("cpu")),
        reading.tile,
        1 / reading.pixel,
        1 / reading.halved,
        {name: Decoder(*each) for name, each in reading.decoders.items()},
        start_seconds,
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

    def mixed(self, hidden: Tensor) -> Tensor:
        """All but attention itself: values pass as they are."""
        mixing, out, up, down = self._matrices
        normed = functional.layer_norm(hidden, (self._width,), self._scale)
        _, _, values = functional.linear(normed, mixing).chunk(3, -1)
        hidden = hidden + functional.linear(values, out)
        normed = functional.layer_norm(hidden, (self._width,), self._scale)
        gate, other = functional.linear(normed, up).chunk(2, -1)
        return hidden + functional.linear(functional.silu(gate) * other, down)


def _layer_rate(width: int, tokens: int, device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs per second of a layer's matrices, with all that is computed between them."""
    layer = _Layer(width, device, dtype)
    hidden = layer.tokens(tokens)
    return 2 * tokens * layer.weights / _seconds(lambda: layer.mixed(hidden), device)


def _attention_rate(tokens: int, device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs per second of causal attention, attended pairs counted."""
    q = torch.ones(1, HEADS, tokens, HEAD, device=device, dtype=dtype)
    attend = functional.scaled_dot_product_attention
    flops = 4 * (tokens * (tokens + 1) // 2) * HEADS * HEAD
    return flops / _seconds(lambda: attend(q, q, q, is_causal=True), device)


def _copy_rate(device: torch.device) -> float:
    """Bytes a second of a large tensor written anew."""
    values = torch.ones(COPIED, device=device)
    return values.nbytes / _seconds(lambda: values.clone(), device)


def _launching(device: torch.device, dtype: torch.dtype) -> float:
    """Seconds of a layer that has next to nothing to compute, as transformers runs it."""
    from transformers import Qwen2Config, Qwen2Model

    config = Qwen2Config(
        vocab_size=8,
        hidden_size=HEAD,
        intermediate_size=HEAD,
        num_hidden_layers=LAYERS,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    model: Any = Qwen2Model(config)
    model = model.eval().to(device, dtype)
    token = torch.zeros(1, 1, dtype=torch.long, device=device)
    return _seconds(lambda: model(token), device) / LAYERS


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """See `seconds`; a GPU is waited for."""
    if device.type != "cuda":
        return seconds(run)

    def waited() -> None:
        run()
        torch.cuda.synchronize(device)

    return seconds(waited, elsewhere=True)
