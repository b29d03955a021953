"""The Region Focus Module: a shallow decoder whose attention tells where to look.

It has the architecture of the model's own decoder with R layers, takes the same embeddings, and is
read in its last layer. It is built from a decoder handed to it and never imports a family.

File: safetensors with `layers.{i}.…` as in the decoder, R layers, and metadata `format: uhrqa-rfm`.
Its depth can be read without torch or numpy; what builds a module imports torch.

Source: Luo et al. 2025, "Attention Distillation for Key Region Focus".
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from uhrqa.aside import draft_of
from uhrqa.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = "uhrqa-rfm"


def empty_rfm(decoder: nn.Module, depth: int) -> nn.Module:
    """A decoder like `decoder` with `depth` layers, no embedding and no final norm, on meta."""
    import torch
    from torch import nn

    config: Any = copy.deepcopy(decoder.config)
    config.num_hidden_layers = depth
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:depth]
    with torch.device("meta"):
        rfm: Any = type(decoder)(config)
    rfm.embed_tokens = None
    rfm.norm = nn.Identity()
    # Rotary tables are buffers no checkpoint holds; on meta they would stay garbage.
    rfm.rotary_emb = copy.deepcopy(decoder.rotary_emb)
    module: nn.Module = rfm
    return module


def from_layers(decoder: nn.Module, layers: tuple[int, ...]) -> nn.Module:
    """An RFM that starts as a copy of some decoder layers.

    Args:
        decoder: a transformers text decoder.
        layers: indices of R of its layers, the sparse subset m_1 ... m_R of the paper.

    Returns:
        A decoder of R layers whose weights are copies, to be trained.
    """
    rfm = empty_rfm(decoder, len(layers))
    state: dict[str, Tensor] = {}
    for index, layer in enumerate(layers):
        for name, value in decoder.get_submodule(f"layers.{layer}").state_dict().items():
            state[f"layers.{index}.{name}"] = value.detach().clone()
    rfm.load_state_dict(state, strict=True, assign=True)
    return rfm


def rfm_depth(file: Path) -> int:
    """Layers R of a Region Focus Module, read from its file's header alone.

    Raises:
        CheckpointError: unreadable, not an RFM, or without layers.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, file.stat().st_size)))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: cannot be read as safetensors ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{file}: cannot be read as safetensors (its header is no object)")
    _check_format(file, header.get("__metadata__") or {})
    return _depth(file, header)


def load_rfm(file: Path, decoder: nn.Module) -> nn.Module:
    """Read an RFM for a decoder, strictly.

    Args:
        file: safetensors file.
        decoder: the text decoder it was distilled from; gives architecture, device and dtype.

    Raises:
        CheckpointError: unreadable, not an RFM, or its tensors do not fit the decoder.
    """
    with _opened(file) as tensors:
        state = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
    return rfm_of(state, decoder, file)


def rfm_of(state: Mapping[str, Tensor], decoder: nn.Module, file: Path) -> nn.Module:
    """An RFM of its tensors, strictly.

    Args:
        state: tensors by their names in an RFM's file.
        decoder: gives architecture, device and dtype.
        file: where they come from, for messages.

    Raises:
        CheckpointError: they do not fit the decoder.
    """
    rfm = empty_rfm(decoder, _depth(file, state))
    weight = next(decoder.parameters())  # the embeddings, in the precision that computes
    hook = getattr(decoder.embed_tokens, "_hf_hook", None)  # where they are kept elsewhere
    place = getattr(hook, "execution_device", None) or weight.device
    wanted = {name: tuple(value.shape) for name, value in rfm.state_dict().items()}
    there = {name: tuple(value.shape) for name, value in state.items()}
    if fault := describe_misfit(there, wanted):
        raise CheckpointError(f"{file}: does not fit this model's decoder: {fault}")
    rfm.load_state_dict(
        {key: value.to(place, weight.dtype) for key, value in state.items()},
        strict=True,
        assign=True,
    )
    return rfm.eval().requires_grad_(False)


def save_rfm(
    rfm: nn.Module, file: Path, layers: tuple[int, ...], dtype: torch.dtype | None = None
) -> None:
    """Write a module; a kill while writing leaves what was there.

    Args:
        rfm: an RFM; the rest of its decoder is left out.
        file: safetensors file.
        layers: indices of the decoder's layers it started from.
        dtype: of the file; float16 when None.
    """
    import torch
    from safetensors.torch import save_file

    state = {
        name: value.detach().to("cpu", dtype or torch.float16).contiguous()
        for name, value in rfm.state_dict().items()
        if name.startswith("layers.")
    }
    with draft_of(file, alone=True) as draft:
        save_file(state, draft, {"format": FORMAT, "layers": json.dumps(list(layers))})


def describe_misfit(
    there: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> str | None:
    """How the shapes of a module's tensors differ from those that are wanted; None when none does.

    Args:
        there: in the file, by name.
        wanted: by the decoder.
    """
    if missing := sorted(wanted.keys() - there.keys()):
        return f"{_few(missing)} of {len(wanted)} tensors are missing; copy the file again"
    if odd := sorted(name for name in wanted if wanted[name] != there[name]):
        shown = f"{odd[0]} is {list(there[odd[0]])} in the file, {list(wanted[odd[0]])} wanted"
        return f"{len(odd)} of {len(wanted)} tensors, {shown}; it is another model's"
    if extra := sorted(there.keys() - wanted.keys()):
        return f"{_few(extra)} tensors have no place in it; it is another model's"
    return None


def _few(names: list[str]) -> str:
    rest = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{len(names)} ({', '.join(names[:2])}{rest})"


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """The tensors of an RFM's file.

    Raises:
        CheckpointError: not a safetensors file, or its metadata is not that of an RFM.
    """
    try:
        with safe_open(str(file), framework="pt") as tensors:
            _check_format(file, tensors.metadata() or {})
            yield tensors
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read as safetensors ({error})") from error


def _check_format(file: Path, meta: object) -> None:
    """Refuse a safetensors file whose metadata is not that of an RFM.

    Raises:
        CheckpointError: shows what it is.
    """
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise CheckpointError(f"{file}: not a Region Focus Module (metadata {json.dumps(meta)})")


def _depth(file: Path, names: Iterable[str]) -> int:
    """Layers that tensors belong to, by their names.

    Raises:
        CheckpointError: none.
    """
    depth = len({name.split(".")[1] for name in names if name.startswith("layers.")})
    if not depth:
        raise CheckpointError(f"{file}: holds no layers; not a Region Focus Module")
    return depth
