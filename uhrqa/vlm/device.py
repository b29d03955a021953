"""Where a model computes, how precisely, and with which attention. Reads no file."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from uhrqa.config import ATTENTION, DEVICE_MAPS, DTYPES, QUANTISED
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


def choose_attention(attention: str, device: torch.device, dtype: torch.dtype | None = None) -> str:
    """The decoder's attention backend.

    Args:
        attention: its name, or `auto` for flash-attn where it is installed and can run.
        device: where the decoder is.
        dtype: of its weights; None where that is not known yet, and `auto` stays.

    Raises:
        ConfigError: unknown, or it cannot run here.
    """
    if attention not in ATTENTION:
        raise ConfigError(f"unknown attention '{attention}'{suggest(attention, ATTENTION)}")
    if attention == "auto" and dtype is not None:
        halves = dtype in (torch.float16, torch.bfloat16)
        there = importlib.util.find_spec("flash_attn") is not None
        return "flash_attention_2" if halves and there and device.type == "cuda" else "sdpa"
    if attention == "flash_attention_2":
        if importlib.util.find_spec("flash_attn") is None:
            raise ConfigError(
                "attention flash_attention_2: flash-attn is not installed; "
                "pip install 'uhrqa[flash]', or use sdpa"
            )
        if device.type != "cuda":
            raise ConfigError(f"attention flash_attention_2 needs a GPU, not {device}; use sdpa")
    return attention


def precision_text(dtype: str | None, quantize: str | None, device: torch.device) -> str:
    """What the weights are held in, in a word or two, as runs are told apart by it.

    Raises:
        ConfigError: not a known precision.
    """
    held_in = str(choose_dtype(dtype, device))
    return f"{held_in}, {quantize}" if quantize else held_in


UNQUANTISED = ("model.vision_tower", "model.visual", "model.multi_modal_projector", "lm_head")
"""Beginnings of names: parts that see pixels or write words stay as they are."""


def choose_placing(
    device_map: str | None, quantize: str | None, device: torch.device
) -> dict[str, Any]:
    """What `from_pretrained` is told about where and how the weights are held.

    Args:
        device_map: `auto`, for parts over all devices, or None.
        quantize: `8bit` or `4bit`, or None.
        device: where it goes when there is no map.

    Returns:
        Keywords; none where the model is simply moved to its device afterwards.

    Raises:
        ConfigError: not known, or a package that it needs is not installed.
    """
    for key, value, known in (
        ("device_map", device_map, DEVICE_MAPS),
        ("quantize", quantize, QUANTISED),
    ):
        if value is not None and value not in known:
            raise ConfigError(f"unknown {key} '{value}'{suggest(value, known)}")
    placing: dict[str, Any] = {}
    if device_map:
        _need(f"device_map {device_map}", ("accelerate",), "map")
        placing["device_map"] = device_map
    if quantize:
        _need(f"quantize {quantize}", ("bitsandbytes", "accelerate"), "quant")
        placing.setdefault("device_map", {"": device})
        placing["quantization_config"] = _quantisation(quantize, device)
    return placing


def _need(what: str, packages: tuple[str, ...], extra: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"{what}: {package} is not installed; pip install 'uhrqa[{extra}]', or leave it out"
            )


def _quantisation(quantize: str, device: torch.device) -> Any:  # noqa: ANN401 - untyped there
    """Settings of bitsandbytes; a list of our own replaces the parts it would spare by itself."""
    from transformers import BitsAndBytesConfig

    spared = list(UNQUANTISED)
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=spared)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32 if device.type == "cpu" else torch.bfloat16,
        llm_int8_skip_modules=spared,
    )


def place_of(module: Any) -> torch.device:  # noqa: ANN401 - a module, perhaps under a hook
    """Where a module computes: where its weights are, unless a hook fetches them from elsewhere."""
    hook = getattr(module, "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is None:
        device = next(module.parameters()).device
    return torch.device(device)


def held(module: Any, name: str) -> torch.Tensor:  # noqa: ANN401 - a module, perhaps under a hook
    """A tensor of a module, fetched from where it is kept when its module is not in use."""
    tensor: torch.Tensor = getattr(module, name)
    return module._hf_hook.weights_map[name] if tensor.is_meta else tensor
