"""What a checkpoint brings besides its model: a Region Focus Module, positional tables.

In a stock checkpoint these are files beside the weights, in an original one tensors among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from uhrqa.errors import CheckpointError
from uhrqa.rfm import load_rfm, rfm_depth, rfm_of
from uhrqa.vlm.card import Card
from uhrqa.vlm.directory import SCALE_TABLES
from uhrqa.vlm.layouts import EXTRAS, rfm_name
from uhrqa.vlm.loading import check_finite
from uhrqa.vlm.multiscale import MAP, MLP, Multiscale
from uhrqa.vlm.placement import Placement
from uhrqa.vlm.shards import read_under
from uhrqa.vlm.source import Source

Module = TypeVar("Module", bound=nn.Module | None)


def load_focus(
    card: Card, path: Path, source: Source | None, decoder: nn.Module, file: str | Path | None
) -> nn.Module | None:
    """The Region Focus Module, where there is one.

    Args:
        card: of the checkpoint.
        path: its directory.
        source: its original layout, if it has one.
        decoder: of the model.
        file: another module than the card's.

    Raises:
        CheckpointError: it does not fit, holds what is no number, or the card has one and the
            checkpoint has none.
    """
    where, module = path, None
    if file or card.rfm:
        where = Path(file) if file else path / str(card.rfm)
        check_depth(where, rfm_depth(where), decoder)
        module = load_rfm(where, decoder)
    elif source is not None and source.layout.rfm_layers:
        check_depth(path, source.layout.rfm_layers, decoder)
        module = rfm_of(rfm_tensors(path), decoder, path)
    elif card.rfm_layers:
        raise CheckpointError(
            f"{path}: no Region Focus Module, and the card says one of {card.rfm_layers} layers; "
            "is the download complete?"
        )
    return _finite(where, module)


def check_depth(where: Path, depth: int, decoder: nn.Module) -> None:
    """Refuse a Region Focus Module with more layers than the decoder it was made from.

    Raises:
        CheckpointError: both numbers.
    """
    layers = len(decoder.get_submodule("layers"))  # type: ignore[arg-type]
    if depth > layers:
        raise CheckpointError(
            f"{where}: a Region Focus Module of {depth} layers, and the decoder has {layers}; it "
            "is another model's"
        )


def _finite(where: Path, module: Module) -> Module:
    """The same, whose tensors have been looked at.

    Raises:
        CheckpointError: one holds what is no number.
    """
    if module is not None:
        check_finite(where, module.state_dict().items())
    return module


def rfm_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of an original checkpoint's RFM, as in an RFM's file."""
    (prefix,) = EXTRAS["rfm"]
    found = read_under(path, (prefix,))
    return {name: value for name, value in found.items() if rfm_name(prefix + name)}


def scale_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of an original checkpoint's UHR-BAT tables, as `Multiscale.of` names them."""
    return {
        prefix + name: value
        for prefix, kind in ((MAP, "scale_maps"), (MLP, "token_mlp"))
        for name, value in read_under(path, EXTRAS[kind]).items()
    }


def load_tables(card: Card, path: Path, source: Source | None) -> Placement | Multiscale | None:
    """What is added to visual tokens for their place and scale, where a checkpoint has it.

    Raises:
        CheckpointError: it is damaged, or a checkpoint of UHR-BAT lacks it.
    """
    if card.placement:
        tables = Placement.load(path / card.placement)
        own, width = tables.position.shape[0], card.dims.decoder.width
        if own != width:
            raise CheckpointError(
                f"{path / card.placement}: tables of width {own}, the decoder has {width}"
            )
        return _finite(path / card.placement, tables)
    state: dict[str, Tensor] = {}
    file = path
    if source is not None:
        state = scale_tensors(path)
    elif (path / SCALE_TABLES).is_file():
        file = path / SCALE_TABLES
        try:
            state = load_file(file)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file}: not readable as safetensors ({error})") from error
    if not state:
        if card.layout == "uhr-bat":
            raise CheckpointError(f"{path / SCALE_TABLES}: missing; convert the checkpoint again")
        return None
    side, cell = card.dims.vision.side, float(card.pixels_per_token)
    return _finite(file, Multiscale.of(state, side, cell, file))
