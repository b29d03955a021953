"""Tokens dropped inside the decoder, against stock layers run one by one without a cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.families import TILE, make_family
from uhrqa import ask, load_model
from uhrqa.drops import Drop
from uhrqa.errors import ConfigError
from uhrqa.raster import open_raster
from uhrqa.scene import Scene
from uhrqa.tokens import VisualTokens
from uhrqa.vlm import Sequence
from uhrqa.vlm.families import FAMILIES

QUESTIONS = ["How many ships are there?", "Is there a tank? yes or no", "What color?"]
NEW = 12
FAMILY = ["llava_next", "qwen2_5_vl", "qwen3_vl"]
# qwen3_vl's decoder takes features of inner tower layers behind its layers 0 and 1
DROPS = [(Drop(1, 4),), (Drop(2, 5),), (Drop(1, 6), Drop(2, 3), Drop(3, 1))]


@pytest.fixture(scope="module", params=FAMILY)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our model and the stock one of a family, of the same weights."""
    family = str(request.param)
    path = make_family(tmp_path_factory.mktemp("dropping") / family, family)
    if "qwen" in family:
        card = f"weights: {family}\ntile_side: {TILE[family]}\n"
        (path.parent / f"{family}.yaml").write_text(card)
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    stock = kind.from_pretrained(path, attn_implementation="eager").eval()
    return load_model(str(path), device="cpu"), stock


def sequence_of(model: Any, seed: int) -> Sequence:
    """Two levels of an image, and a question."""
    side = 2 * TILE["llava_next"]
    image = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    scene = Scene(open_raster(image), model, QUESTIONS[seed])
    tokens = VisualTokens.cat(
        [scene.tokens(level) for level in (scene.pyramid[0], scene.pyramid[1])]
    )
    return model.assemble(scene.prompt, tokens)


def reference(stock: Any, sequence: Sequence, drops: tuple[Drop, ...], steps: int) -> list[int]:
    """Greedy tokens; nothing is cached, and every layer gets its tokens by explicit index."""
    weights: dict[int, torch.Tensor] = {}
    hooks = [
        layer.self_attn.register_forward_hook(
            lambda _, __, out, index=index: weights.__setitem__(index, out[1][0])
        )
        for index, layer in enumerate(stock.get_decoder().layers)
    ]
    gone: dict[int, set[int]] = {}  # by layer, found in the first pass
    ids: list[int] = []
    while len(ids) < steps:
        last = one_pass(
            stock, sequence, ids, {drop.layer: drop.keep for drop in drops}, gone, weights
        )
        token = int(stock.get_output_embeddings()(last).argmax())
        if token == 2:
            break
        ids.append(token)
    for hook in hooks:
        hook.remove()
    return ids


def one_pass(stock, sequence, ids, wanted, gone, weights) -> torch.Tensor:
    """The last token's final hidden state behind the prompt and the tokens written so far."""
    decoder, table = stock.get_decoder(), stock.get_input_embeddings()
    hidden = torch.cat([sequence.embeds, table(torch.tensor([ids], dtype=torch.int64))], 1)
    present = list(range(hidden.shape[1]))  # places in the whole sequence
    positions = torch.arange(hidden.shape[1])[None]
    if sequence.positions is not None:
        added = torch.arange(len(ids)) + 1 + sequence.positions[..., -1:]
        positions = torch.cat([sequence.positions, added], -1)
    visual = sequence.visual.sort().values.tolist()
    for index, layer in enumerate(decoder.layers):
        if index in wanted:
            if index not in gone:
                row = weights[index - 1].mean(0)[-1].tolist()
                there = sorted((-row[i], p) for i, p in enumerate(present) if p in visual)
                gone[index] = {place for _, place in there[wanted[index] :]}
            where = [i for i, place in enumerate(present) if place not in gone[index]]
            hidden, present = hidden[:, where], [present[i] for i in where]
        hidden = layer(
            hidden,
            attention_mask=torch.full((len(present),) * 2, -1e30).triu(1)[None, None],
            position_embeddings=decoder.rotary_emb(hidden, positions[..., present]),
        )
        if sequence.deep is not None and index < len(sequence.deep):
            for added, place in zip(sequence.deep[index], visual, strict=True):
                if place in present:
                    hidden[0, present.index(place)] += added
    return decoder.norm(hidden)[0, -1]


@pytest.mark.parametrize("drops", DROPS, ids=str)
def test_dropping_gives_the_tokens_of_stock_layers_by_explicit_index(pair, drops) -> None:
    model, stock = pair
    differs = 0
    for seed in range(len(QUESTIONS)):
        sequence = sequence_of(model, seed)
        told = list(model.generate(sequence, NEW, drops).ids)
        with torch.inference_mode():
            assert told == reference(stock, sequence, drops, NEW)
        differs += told != list(model.generate(sequence, NEW).ids)
    assert differs  # so that equal tokens mean something


def test_a_drop_of_nothing_gives_the_tokens_of_no_drop(pair) -> None:
    model, _ = pair
    for seed in range(len(QUESTIONS)):
        sequence = sequence_of(model, seed)
        told = model.generate(sequence, NEW, (Drop(2, len(sequence.visual)),)).ids
        assert told == model.generate(sequence, NEW).ids


def test_a_decoder_that_looks_back_less_than_the_prompt_is_refused(pair) -> None:
    model, _ = pair
    sequence = sequence_of(model, 0)
    decoder = model.model.get_decoder()
    kinds = getattr(decoder.config, "layer_types", None)
    decoder.config.sliding_window, decoder.config.layer_types = 8, ["sliding_attention"] * 4
    try:
        with pytest.raises(ConfigError, match="look back 8 tokens"):
            model.generate(sequence, NEW, (Drop(1, 2),))
    finally:
        decoder.config.sliding_window, decoder.config.layer_types = None, kinds


def test_an_answer_says_what_enters_and_what_layers_see_on_average(vlm) -> None:
    image = np.random.default_rng(1).integers(0, 255, (420, 300, 3), dtype=np.uint8)
    answer = ask(image, "how many?", model=vlm, strategy="fastv", budget=60)
    counts, layers = answer.counts, vlm.card.dims.decoder.layers
    first, rest = counts.stages
    assert counts.entering == first.tokens > 60 >= counts.kept
    assert (first.layers, rest.layers) == (2, layers - 2)
    spent = 2 * first.tokens + (layers - 2) * rest.tokens
    assert counts.kept == -(-spent // layers)
    assert answer.to_dict()["counts"]["entering"] == counts.entering
    assert f"{counts.kept} on average over layers" in answer.steps[-1]


def test_order_of_the_visual_tokens_in_the_prompt_does_not_matter_to_deep_features(pair) -> None:
    model, _ = pair
    sequence = sequence_of(model, 1)
    turned = replace(sequence, visual=sequence.visual.flip(0))
    assert model.generate(turned, NEW, DROPS[0]).ids == model.generate(sequence, NEW, DROPS[0]).ids
