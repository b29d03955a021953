"""Every family: stock `generate` token for token, rows of eager attention, exact costs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from tests.families import (
    SIDE,
    TILE,
    left_padded,
    make_carded,
    make_family,
    prompt_of,
    stock_inputs,
)
from tests.tiles import pixels_of
from uhrqa import ask, load_model
from uhrqa.cost import prefill_flops, projector_flops, vision_flops, weight_bytes
from uhrqa.errors import BudgetError
from uhrqa.geometry import Size
from uhrqa.plan import plan
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import open_raster
from uhrqa.relevance import RowProbe, fill_cache, read_rows
from uhrqa.scene import Scene
from uhrqa.strategies import STRATEGIES
from uhrqa.tokens import VisualTokens, end_rows
from uhrqa.vlm.families import FAMILIES

QUESTIONS = ["How many ships are there?", "Is there a tank? yes or no", "What color?"]
NEW = 32


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def path(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_carded(tmp_path_factory.mktemp("families") / family, family)


@pytest.fixture(scope="module")
def ours(family: str, path: Path) -> Any:
    return load_model(str(path), device="cpu")


@pytest.fixture(scope="module")
def stock(family: str, path: Path) -> Any:
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    return kind.from_pretrained(path).eval()


def image_of(family: str, seed: int) -> np.ndarray:
    side = TILE[family]
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


def nothing_pruned(model: Any, image: np.ndarray, question: str) -> Any:
    """The sequence of an image of one tile, as the family's own processor would pack it."""
    scene = Scene(open_raster(image), model, question)
    tokens = scene.tokens(scene.pyramid.thumbnail)
    if model.newline is not None:
        finest = end_rows(scene.tokens(scene.pyramid.finest), model.newline)
        tokens = VisualTokens.cat([tokens, finest])
    return model.assemble(scene.prompt, tokens)


def answers_of(stock: Any, inputs: dict[str, torch.Tensor]) -> list[list[int]]:
    written = stock.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    written = written[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: row.index(2)] if 2 in row else row for row in written]


def test_nothing_pruned_gives_the_tokens_of_stock_generate(family, ours, stock) -> None:
    parts, told = [], []
    for seed, question in enumerate(QUESTIONS):
        image = image_of(family, seed)
        inputs = stock_inputs(family, image, question)
        sequence = nothing_pruned(ours, image, question)
        assert sequence.embeds.shape[1] == inputs["input_ids"].shape[1]
        told.append(list(ours.generate(sequence, NEW).ids))
        assert answers_of(stock, inputs) == [told[-1]]
        parts.append(inputs)
    assert answers_of(stock, left_padded(parts)) == told
    assert len({tuple(ids) for ids in told}) > 1  # so that equal tokens mean something


def test_tiles_and_thumbnail_stand_where_the_processor_puts_them(ours, stock, family) -> None:
    """InternVL: tile after tile, the thumbnail last. Qwen-VL: two images between marks."""
    side = TILE[family]
    rng = np.random.default_rng(7)
    if family == "internvl":
        image = rng.integers(0, 255, (2 * side, 2 * side, 3), dtype=np.uint8)
        scene = Scene(open_raster(image), ours, QUESTIONS[0])
        thumbnail = scene.tokens(scene.pyramid.thumbnail)
        level = Level(1, scene.size, scene.size, side)
        assert level.tile_count == 4
        (whole,) = pixels_of(scene, scene.pyramid.thumbnail, [Tile(0, 0)])
        read = whole.permute(1, 2, 0).numpy()
        cut = [image[y : y + side, x : x + side] for y in (0, side) for x in (0, side)]
        inputs = prompt_of(family, [*cut, read], QUESTIONS[0], [5 * SIDE[family] ** 2])
        tokens = VisualTokens.cat([thumbnail, scene.tokens(level)])
    elif "qwen" in family:
        image = image_of(family, 5)
        scene = Scene(open_raster(image), ours, QUESTIONS[0])
        tokens = VisualTokens.cat([scene.tokens(level) for level in scene.pyramid])
        count = SIDE[family] ** 2
        inputs = prompt_of(family, [image, image], QUESTIONS[0], [count, count])
    else:
        return
    sequence = ours.assemble(scene.prompt, tokens)
    assert sequence.embeds.shape[1] == inputs["input_ids"].shape[1]
    with torch.inference_mode():
        expected = stock(**inputs).logits[0, -1]
        last = ours.model.get_decoder()(
            **sequence.inputs(), attention_mask=torch.ones(sequence.embeds.shape[:2])
        ).last_hidden_state[:, -1]
        found = ours.model.get_output_embeddings()(last)[0]
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
    moved = tokens.take(torch.arange(len(tokens)).roll(3))
    with torch.inference_mode():
        other = ours.assemble(scene.prompt, moved)
        swapped = ours.model.get_decoder()(
            **other.inputs(), attention_mask=torch.ones(other.embeds.shape[:2])
        ).last_hidden_state[:, -1]
    assert not torch.allclose(swapped, last, atol=2e-3)  # so that places matter


def test_a_hot_cell_stays_where_it_is_whatever_the_packing(family, ours) -> None:
    side = TILE[family]
    image = np.random.default_rng(0).integers(0, 255, (3 * side, 3 * side, 3), dtype=np.uint8)
    scene = Scene(open_raster(image), ours, "how many?")
    tokens = scene.tokens(scene.pyramid.finest)
    rows, cols = scene.token_grid(scene.pyramid.finest)
    assert torch.equal(tokens.row * cols + tokens.col, torch.arange(rows * cols))
    order = ours.order(tokens)
    assert torch.equal(order.sort().values, torch.arange(len(tokens)))
    if family == "internvl":
        first = order[: SIDE[family] ** 2]
        assert set(tokens.row[first].tolist()) == set(tokens.col[first].tolist()) == {0, 1}
        chosen = tokens.take(torch.tensor([5, 2, 9]))
        assert torch.equal(ours.order(chosen), torch.arange(3))  # a strategy's own order stays


def test_tokens_along_a_side_are_those_of_the_tower(family, ours) -> None:
    pixels = torch.randint(0, 255, (3, 3, TILE[family], TILE[family]), dtype=torch.uint8)
    together = ours.encode_tiles(pixels)
    side = SIDE[family]
    assert together.shape == (3, side, side, ours.card.dims.token_width)
    alone = torch.cat([ours.encode_tiles(tile[None]) for tile in pixels])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=2e-4)


def test_a_token_is_that_of_its_place_in_the_tile(family, ours) -> None:
    if family.startswith("llava"):  # one patch is one token there
        return
    side, cell = SIDE[family], TILE[family] // SIDE[family]
    plain = torch.full((1, 3, TILE[family], TILE[family]), 90, dtype=torch.uint8)
    for row, col in ((0, 0), (0, side - 1), (side - 1, 0)):
        marked = plain.clone()
        marked[..., row * cell : (row + 1) * cell, col * cell : (col + 1) * cell] = 240
        change = (ours.encode_tiles(marked) - ours.encode_tiles(plain))[0].norm(dim=-1)
        assert divmod(int(change.argmax()), side) == (row, col)


def test_positions_of_kept_tokens_are_those_of_the_full_grid(family, ours, stock) -> None:
    if "qwen" not in family:
        assert nothing_pruned(ours, image_of(family, 0), "How many?").positions is None
        return
    side = TILE[family]
    image = np.random.default_rng(0).integers(0, 255, (3 * side, 2 * side, 3), dtype=np.uint8)
    scene = Scene(open_raster(image), ours, "How many?")
    levels = list(scene.pyramid)
    tokens = VisualTokens.cat([scene.tokens(level) for level in levels])
    sequence = ours.assemble(scene.prompt, tokens)
    grids = [scene.token_grid(level) for level in levels]
    config = ours.model.config
    ids = list(scene.prompt.before)
    for index, (rows, cols) in enumerate(grids):
        ids += [config.image_token_id] * (rows * cols)
        ids += scene.prompt.between if index + 1 < len(grids) else scene.prompt.after
    ids_row = torch.tensor([ids])
    assert scene.prompt.between == (config.vision_end_token_id, config.vision_start_token_id)
    expected, _ = stock.model.get_rope_index(
        ids_row,
        (ids_row == config.image_token_id).int(),
        torch.tensor([(1, 2 * rows, 2 * cols) for rows, cols in grids]),
    )
    assert torch.equal(sequence.positions, expected)
    kept = torch.tensor([0, 3, len(tokens) - 9, len(tokens) - 1])
    pruned = ours.assemble(scene.prompt, tokens.take(kept))
    assert torch.equal(
        pruned.positions[..., pruned.visual], sequence.positions[..., sequence.visual[kept]]
    )
    assert torch.equal(
        pruned.positions[..., pruned.text_after], sequence.positions[..., sequence.text_after]
    )


def test_rows_equal_those_of_the_eager_map(family, ours, path) -> None:
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    eager = kind.from_pretrained(path, attn_implementation="eager").eval().get_decoder()
    sequence = nothing_pruned(ours, image_of(family, 3), QUESTIONS[0])
    with torch.inference_mode():
        out = eager(
            **sequence.inputs(),
            attention_mask=torch.ones(sequence.embeds.shape[:2]),
            output_attentions=True,
            use_cache=False,
        )
    for layer in (0, 2, 3):
        for rows in (sequence.text_after[-1:], sequence.text_after):
            part = out.attentions[layer][0][:, rows][..., sequence.visual]
            expected = (part / part.sum(-1, keepdim=True)).mean((0, 1))
            found = ours.attend(sequence, layer=layer, rows=rows, columns=sequence.visual)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def eager(family: str, path: Path) -> Any:
    """The checkpoint on the plain kernels, which torch's counter sees in full."""
    model: Any = load_model(str(path), device="cpu")
    model.model.set_attn_implementation("eager")
    model.model.set_experts_implementation("eager")
    return model


def counted(run: Any) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def test_encoding_costs_what_the_counter_sees(family, eager) -> None:
    dims, tiles = eager.card.dims, 3
    pixels = torch.zeros(tiles, 3, TILE[family], TILE[family], dtype=torch.uint8)
    ours = vision_flops(dims, tiles) + projector_flops(dims, tiles * dims.vision.features)
    assert counted(lambda: eager.encode_tiles(pixels)) == ours


@pytest.mark.parametrize("tile", [84, 112, 140])
def test_windows_at_the_edge_of_a_tile_cost_less(path, family, eager, tile) -> None:
    if family != "qwen2_5_vl":
        return
    card = replace(eager.card, tile_side=tile)
    model = replace(eager, card=card)
    pixels = torch.zeros(2, 3, tile, tile, dtype=torch.uint8)
    dims = card.dims
    assert dims.vision.window_pairs < dims.vision.tokens**2
    ours = vision_flops(dims, 2) + projector_flops(dims, 2 * dims.vision.features)
    assert counted(lambda: model.encode_tiles(pixels)) == ours


def test_a_prefill_costs_what_the_counter_sees(family, eager) -> None:
    sequence = nothing_pruned(eager, image_of(family, 0), QUESTIONS[0])
    dims, n = eager.card.dims, sequence.embeds.shape[1]
    expected = prefill_flops(dims.decoder, n, causal=False)
    assert counted(lambda: eager.generate(sequence, 1)) == expected


def test_weights_weigh_what_the_parameters_do(family, eager) -> None:
    parameters = list(eager.model.parameters())
    real = sum(p.numel() for p in parameters)
    vectors = sum(p.numel() for p in parameters if p.ndim < 2)
    tables = 36 * eager.card.dims.vision.width  # of positions: not all towers have one
    assert real - vectors == pytest.approx(weight_bytes(eager.card.dims, 1), abs=tables)


def padded(sequences: list[Any]) -> tuple[dict[str, Any], list[int]]:
    """Decoder inputs of a left-padded batch, and how far each sequence was moved."""
    longest = max(s.embeds.shape[1] for s in sequences)
    shifts = [longest - s.embeds.shape[1] for s in sequences]

    def moved(part: torch.Tensor, dim: int, shift: int) -> torch.Tensor:
        around = (0, 0) * (part.ndim - 1 - dim) + (shift, 0)
        return torch.nn.functional.pad(part, around)

    pairs = list(zip(sequences, shifts, strict=True))
    inputs: dict[str, Any] = {
        "inputs_embeds": torch.cat([moved(s.embeds, 1, shift) for s, shift in pairs]),
        "attention_mask": torch.cat(
            [moved(torch.ones(1, s.embeds.shape[1]), 1, shift) for s, shift in pairs]
        ),
    }
    positions = [torch.arange(s.embeds.shape[1])[None] for s in sequences]
    if sequences[0].positions is not None:
        positions = [s.positions for s in sequences]
    last = positions[0].ndim - 1
    inputs["position_ids"] = torch.cat(
        [moved(part, last, shift) for part, shift in zip(positions, shifts, strict=True)], last - 1
    )
    if sequences[0].deep is not None:
        masks = [moved(s.inputs()["visual_pos_masks"], 1, shift) for s, shift in pairs]
        inputs["visual_pos_masks"] = torch.cat(masks)
        inputs["deepstack_visual_embeds"] = list(torch.cat([s.deep for s in sequences], 1))
    return inputs, shifts


def test_rows_of_a_padded_batch_are_those_of_each_alone(family, ours) -> None:
    decoder, layer = ours.model.get_decoder(), 2
    sequences = [nothing_pruned(ours, image_of(family, i), q) for i, q in enumerate(QUESTIONS)]
    alone = [ours.attend(s, layer=layer, rows=s.text_after, columns=s.visual) for s in sequences]
    inputs, shifts = padded(sequences)
    probes = [
        RowProbe(layer, s.text_after + shift, s.visual + shift)
        for s, shift in zip(sequences, shifts, strict=True)
    ]
    assert max(shifts) > 0
    for found, expected in zip(read_rows(decoder, inputs, probes), alone, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_rows_behind_a_cached_visual_prefix_are_those_of_the_whole(family, ours) -> None:
    decoder, layer = ours.model.get_decoder(), 2
    image = image_of(family, 0)
    sequences = [nothing_pruned(ours, image, question) for question in QUESTIONS]
    held = int(sequences[0].visual.max()) + 1
    prefix = sequences[0].inputs()
    prefix["inputs_embeds"] = prefix["inputs_embeds"][:, :held]
    for name in ("position_ids", "visual_pos_masks"):
        if name in prefix:
            prefix[name] = prefix[name][..., :held]
    cache = fill_cache(decoder, prefix, layer)
    for sequence in sequences:  # one after the other: the cache is as it was
        inputs = {"inputs_embeds": sequence.embeds[:, held:]}
        if sequence.positions is not None:
            inputs["position_ids"] = sequence.positions[..., held:]
        probe = RowProbe(layer, sequence.text_after - held, sequence.visual)
        expected = ours.attend(
            sequence, layer=layer, rows=sequence.text_after, columns=sequence.visual
        )
        (found,) = read_rows(decoder, inputs, [probe], cache)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        assert cache.get_seq_length() == held


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("shape", [(301, 257), (40, 30)])
def test_every_strategy_answers_within_its_budget(family, ours, strategy, shape) -> None:
    image = np.random.default_rng(3).integers(0, 255, (*shape, 3), dtype=np.uint8)
    answered = 0
    for budget in (30, 2000):
        try:
            answer = ask(image, "how many?", model=ours, strategy=strategy, budget=budget,
                         max_new_tokens=4)  # fmt: skip
        except BudgetError as error:
            assert error.least is not None
            assert error.least > budget
            continue
        answered += 1
        kept = [entry for entry in answer.evidence if entry.weight]
        assert 0 < answer.counts.kept <= budget
        assert len(kept) == answer.counts.entering - answer.counts.separators
        levels = {entry.level for entry in kept}
        between = len(ours.build_prompt("?").between)
        prompt = ours.build_prompt("how many?")
        assert answer.counts.text == len(prompt) + between * (len(levels) - 1)
        for entry in kept:
            assert 0 <= entry.box.x0 < entry.box.x1 <= shape[1]
            assert 0 <= entry.box.y0 < entry.box.y1 <= shape[0]
        planned = plan(Size(*shape), ours.card, strategy, budget,
                       question_tokens=len(prompt), steps=answer.counts.steps)  # fmt: skip
        if planned.bound == "exact":
            assert planned.counts.kept == answer.counts.kept
            assert planned.cost.prefill == answer.cost.prefill
            assert planned.cost.vision == answer.cost.vision
            assert planned.cost.relevance == answer.cost.relevance
    assert answered


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl"])
def test_a_configuration_with_the_decoder_beside_the_tower_loads_the_same(name, tmp_path) -> None:
    """As Qwen2-VL and Qwen2.5-VL were published."""
    whole = make_family(tmp_path / "whole", name)
    flat = Path(shutil.copytree(whole, tmp_path / "flat"))
    config = json.loads((whole / "config.json").read_text())
    text = config.pop("text_config")
    text.pop("model_type")
    (flat / "config.json").write_text(json.dumps({**text, **config}))
    for path in (whole, flat):
        (tmp_path / f"{path.name}.yaml").write_text(f"weights: {path.name}\ntile_side: 56\n")
    one, other = (load_model(str(path), device="cpu") for path in (whole, flat))
    assert other.card.dims == one.card.dims
    assert other.card.context == one.card.context
    image = image_of(name, 0)
    told = [ask(image, "how many?", model=model, budget=30).text for model in (one, other)]
    assert told[0] == told[1]


def test_the_context_has_room_for_the_marks_between_levels(tmp_path) -> None:
    path = make_family(tmp_path / "small", "qwen2_vl")
    config = json.loads((path / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 150
    (path / "config.json").write_text(json.dumps(config))
    (tmp_path / "small.yaml").write_text("weights: small\ntile_side: 56\n")
    model = load_model(str(path), device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (400, 300, 3), dtype=np.uint8)
    for strategy in ("region-merge", "uniform"):
        answer = ask(image, "how many?", model=model, strategy=strategy, budget=5000,
                     max_new_tokens=20)  # fmt: skip
        assert answer.counts.text + answer.counts.kept + 20 <= 150
        assert "lowered from 5000" in answer.notes[0]
