"""What the vision tower attends to, of every family, against the maps of eager attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from tests.families import CELL, make_carded
from uhrqa import load_model
from uhrqa.cost import watch_flops
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.tower import fold, patch_traits


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def path(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_carded(tmp_path_factory.mktemp("towers") / family, family, tiles=2)  # windows


@pytest.fixture(scope="module")
def ours(path: Path) -> Any:
    return load_model(str(path), device="cpu")


def tiles_of(model: Any, count: int) -> torch.Tensor:
    side = model.card.tile
    pixels = np.random.default_rng(0).integers(0, 255, (count, 3, side, side), dtype=np.uint8)
    return torch.from_numpy(pixels)


def test_attention_is_that_of_the_eager_map(family, path, ours) -> None:
    if "qwen" in family:
        return  # their towers give no maps; the tests below are of them, too
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    stock = kind.from_pretrained(path, attn_implementation="eager").eval()
    pixels = tiles_of(ours, 2)
    _, traits = ours.watch_tiles(pixels)
    vision = ours.card.dims.vision
    scaled = (pixels.float() / 255 - ours.mean) / ours.std
    with torch.inference_mode():
        out = stock.model.vision_tower(scaled, output_attentions=True)
    attention = out.attentions[vision.used_layers - 1].mean(1)  # [T, S, S]
    has_none = family == "llava_onevision"
    expected = attention.mean(1) if has_none else attention[:, 0, 1:]
    cells = round(expected.shape[1] ** 0.5) // vision.side
    side = vision.side
    grid = expected.reshape(2, side, cells, side, cells).mean((2, 4))
    torch.testing.assert_close(traits[..., 0], grid, atol=1e-6, rtol=1e-4)


def test_features_are_those_of_encoding_and_traits_of_each_tile_alone(ours) -> None:
    pixels = tiles_of(ours, 3)
    features, traits = ours.watch_tiles(pixels)
    torch.testing.assert_close(features, ours.encode_tiles(pixels))
    side = ours.card.dims.vision.side
    assert traits.shape[:3] == (3, side, side)
    _, alone = ours.watch_tiles(pixels[1:2])
    torch.testing.assert_close(alone[0], traits[1], atol=1e-4, rtol=1e-4)


def test_mean_received_attention_adds_up_to_one_a_tile(family, ours) -> None:
    _, traits = ours.watch_tiles(tiles_of(ours, 2))
    vision = ours.card.dims.vision
    patches = (vision.tile // vision.patch) ** 2 / vision.features
    whole = traits[..., 0].sum((1, 2)) * patches
    if vision.has_class_token:
        assert bool((whole < 1).all())  # the class token sees itself, too
    else:
        torch.testing.assert_close(whole, torch.ones(2))


def test_a_trait_is_that_of_its_place_in_the_tile(family, ours) -> None:
    if family.startswith("llava"):  # one patch is one token there, in the order of the map above
        return
    side, tile, cell = ours.card.dims.vision.side, ours.card.tile, CELL.get(family, 14)
    plain = torch.full((1, 3, tile, tile), 120, dtype=torch.uint8)
    _, before = ours.watch_tiles(plain)
    for row, col in ((0, side - 1), (side - 1, 0), (side // 2, 1)):
        pixels = plain.clone()
        pixels[..., row * cell : (row + 1) * cell, col * cell : (col + 1) * cell] = 240
        moved = (ours.watch_tiles(pixels)[1] - before)[0, ..., 1:].norm(dim=-1)
        assert divmod(int(moved.argmax()), side) == (row, col)


def test_watching_costs_what_the_counter_sees(ours) -> None:
    pixels = tiles_of(ours, 3)

    def counted(run: Any) -> int:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run(pixels)
        return int(counter.get_total_flops())

    more = counted(ours.watch_tiles) - counted(ours.encode_tiles)
    assert more == watch_flops(ours.card.dims, 3)


def test_the_class_token_ranks_where_there_is_one_and_all_patches_where_not() -> None:
    query, key = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2)
    query[0, 0, 0, 0], key[0, 0, 2, 0] = 1, torch.tensor(2.0).log()
    found = patch_traits(query, key, 1.0, class_token=True)
    torch.testing.assert_close(found[0, :, 0], torch.tensor([0.25, 0.5]))
    found = patch_traits(query, key, 1.0, class_token=False)
    row, even = torch.tensor([0.25, 0.25, 0.5]), torch.full((3,), 1 / 3)
    torch.testing.assert_close(found[0, :, 0], (row + 2 * even) / 3)
    torch.testing.assert_close(found[0, :, 1:], key[0, 0])


def test_a_token_of_several_patches_has_their_mean() -> None:
    patches = torch.arange(16.0).reshape(1, 16, 1)
    assert fold(patches, 4).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert fold(patches, 16).flatten().tolist() == list(range(16))
