"""What a model needs before it can be loaded, looked for without torch: its import is slow."""

from __future__ import annotations

import importlib.util

from uhrqa.errors import ConfigError
from uhrqa.vlm.card import Card
from uhrqa.vlm.config_checks import check_counts
from uhrqa.vlm.headers import read_headers
from uhrqa.vlm.pickles import is_pickled

MAP, BITS = ("accelerate",), ("bitsandbytes", "accelerate")


def check_at_hand(
    card: Card,
    *,
    allow_pickle: bool = False,
    device_map: str | None = None,
    quantize: str | None = None,
    attention: str | None = None,
) -> None:
    """Refuse a model that could not be loaded, as loading would, but at once.

    Args:
        card: of the model.
        allow_pickle: read `pytorch_model*.bin` where there is no safetensors.
        device_map: as `load_model` takes it.
        quantize: alike.
        attention: alike.

    Raises:
        CheckpointError: its files are not on this machine, or not whole.
        ConfigError: a package that one of the others needs is not installed.
    """
    check_packages(device_map=device_map, quantize=quantize, attention=attention)
    path = card.find_weights()
    check_counts(path, card.config)
    if not is_pickled(path, allow_pickle):
        read_headers(path)


def check_packages(
    *, device_map: str | None = None, quantize: str | None = None, attention: str | None = None
) -> None:
    """Refuse what needs a package that is not installed.

    Raises:
        ConfigError: which one, and how to install it.
    """
    if device_map:
        _need(f"device_map {device_map}", MAP, "map")
    if quantize:
        _need(f"quantize {quantize}", BITS, "quant")
    if attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ConfigError(
            "attention flash_attention_2: flash-attn is not installed; "
            "pip install 'uhrqa[flash]', or use sdpa"
        )


def _need(what: str, packages: tuple[str, ...], extra: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"{what}: {package} is not installed; pip install 'uhrqa[{extra}]', or leave it out"
            )
