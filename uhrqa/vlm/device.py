"""Where a model computes, how precisely, and with which attention. Reads no file."""

from __future__ import annotations

import importlib.util

import torch

from uhrqa.config import ATTENTION, DTYPES
from uhrqa.errors import ConfigError
from uhrqa.registry import suggest


def choose_device(device: str | None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        ConfigError: not a device, or not on this machine.
    """
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        if chosen.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{chosen.type} devices are not supported")
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        there = ", ".join(["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())])
        raise ConfigError(f"device '{device}' is not on this machine; there is: {there}") from error
    return chosen


def choose_dtype(dtype: str | None, device: torch.device) -> torch.dtype | str:
    """The precision asked for; float32 on a CPU and the checkpoint's own elsewhere.

    Raises:
        ConfigError: not a known precision.
    """
    if dtype is None or dtype == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if dtype not in DTYPES:
        raise ConfigError(f"unknown dtype '{dtype}'{suggest(dtype, DTYPES)}")
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


def choose_attention(attention: str, device: torch.device) -> str:
    """The decoder's attention backend.

    Raises:
        ConfigError: unknown, or it cannot run here.
    """
    if attention not in ATTENTION:
        raise ConfigError(f"unknown attention '{attention}'{suggest(attention, ATTENTION)}")
    if attention == "flash_attention_2":
        if importlib.util.find_spec("flash_attn") is None:
            raise ConfigError(
                "attention flash_attention_2: flash-attn is not installed; "
                "pip install 'uhrqa[flash]', or use sdpa"
            )
        if device.type != "cuda":
            raise ConfigError(f"attention flash_attention_2 needs a GPU, not {device}; use sdpa")
    return attention
