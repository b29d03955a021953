"""Seconds of a decoded token: with the growing cache that is used, a static one, and compiled.

Whether the last two pay is for a GPU to say; until then they are here and not in the product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from uhrqa.vlm.family import Family

STEPS = 32  # timed tokens
UNTIMED = 3  # before them: launching, and for a compiled decoder recording
Decoder = Callable[..., Any]


def compiled(decoder: Any) -> Decoder:  # noqa: ANN401 - a decoder of transformers
    """The decoder through `torch.compile`, with CUDA graphs where there is a GPU."""
    found: Decoder = torch.compile(decoder, mode="reduce-overhead", dynamic=False)
    return found


@torch.inference_mode()
def token_seconds(
    model: Family, length: int, *, static: bool, wrap: Callable[[Any], Decoder] | None = None
) -> tuple[float, float]:
    """Seconds of a token behind a prompt, and of the first ones, which compile.

    Args:
        model: whose decoder.
        length: tokens of the prompt.
        static: room for all tokens is taken beforehand.
        wrap: what is done to the decoder first.
    """
    decoder, config = model.model.get_decoder(), model.model.config.get_text_config()
    size = length + UNTIMED + STEPS
    cache: Any = (
        StaticCache(config=config, max_cache_len=size) if static else DynamicCache(config=config)
    )
    embeds = torch.zeros(
        1, length, config.hidden_size, device=model.device, dtype=model.model.dtype
    )
    decoder(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
    follow = decoder if wrap is None else wrap(decoder)
    head, taken = model.model.get_output_embeddings(), list[float]()
    token: Tensor = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    for _ in range(UNTIMED + STEPS):
        begin = time.perf_counter()
        out = follow(input_ids=token, past_key_values=cache, use_cache=True)
        token = head(out.last_hidden_state)[:, -1].argmax(-1, keepdim=True)
        token.cpu()  # as the product looks whether an answer ends: waits for the device
        taken.append(time.perf_counter() - begin)
    first, rest = sum(taken[:UNTIMED]), sorted(taken[UNTIMED:])
    return rest[len(rest) // 2], first


def print_decoding(model: Family, length: int, *, compiling: bool) -> None:
    """A line for each way; one that fails says why."""
    ways: list[tuple[str, bool, Callable[[Any], Decoder] | None]] = [
        ("growing cache (as used)", False, None),
        ("static cache", True, None),
    ]
    if compiling:
        ways.append(("static cache, torch.compile", True, compiled))
    for name, static, wrap in ways:
        try:
            each, first = token_seconds(model, length, static=static, wrap=wrap)
        except Exception as error:  # noqa: BLE001 - what a compiler says, whatever its type
            print(f"  {name}: {type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        print(f"  {name}: {1000 * each:.2f} ms a token behind {length}, the first {UNTIMED} took "
              f"{first:.2f} s", flush=True)  # fmt: skip
