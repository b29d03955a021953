"""Where a model computes, how precisely, and with which attention. Reads no file."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch

from uhrqa.config import ATTENTION, DEVICE_MAPS, DTYPES, QUANTISED
from uhrqa.errors import ConfigError
from uhrqa.registry import suggest
from uhrqa.vlm.at_hand import check_packages


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
        check_packages(attention=attention)
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
    check_packages(device_map=device_map, quantize=quantize)
    placing: dict[str, Any] = {}
    if device_map:
        placing["device_map"] = device_map
    if quantize:
        placing.setdefault("device_map", {"": device})
        placing["quantization_config"] = _quantisation(quantize, device)
    return placing


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


class PrecisionWarning(UserWarning):
    """Weights are held in another precision than was asked for."""


def held_precision(decoder: Any) -> str:  # noqa: ANN401 - a decoder of transformers
    """What a decoder's layers are held in: `bfloat16`, or `int8 (bitsandbytes)` where quantised.

    Args:
        decoder: quantised or not.
    """
    small, kept, usual = _matrices(decoder)
    if not small:
        return usual
    weight = next(iter(small))
    name = str(getattr(weight, "quant_type", "int8"))  # nf4, of weights of four bits
    return f"{name} (bitsandbytes)" + (f", experts {usual}" if kept else "")


def warn_of_precision(decoder: Any, quantize: str) -> None:  # noqa: ANN401 - as above
    """Tell what of a decoder was asked to be quantised and is not."""
    small, kept, usual = _matrices(decoder)
    packed = 2 if quantize == "4bit" else 1
    rest = sum(weight.numel() for weight in kept)
    whole = rest + packed * sum(weight.numel() for weight in small)
    if rest:
        warnings.warn(
            f"quantize {quantize}: {rest:,} of {whole:,} weights of the decoder's layers stay "
            f"{usual}: bitsandbytes takes no experts; --dtype bfloat16 or --device-map auto helps "
            "where memory is short",
            PrecisionWarning,
            stacklevel=2,
        )


def _matrices(decoder: Any) -> tuple[list[Any], list[Any], str]:  # noqa: ANN401 - as above
    """Matrices of the layers, quantised and not, and the dtype of what is not."""
    weights = [weight for weight in decoder.layers.parameters() if weight.ndim > 1]
    small = [weight for weight in weights if not weight.is_floating_point()]
    kept = [weight for weight in weights if weight.is_floating_point()]
    return small, kept, str(decoder.dtype).removeprefix("torch.")


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
