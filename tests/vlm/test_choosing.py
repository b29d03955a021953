"""Given answers and shared prefixes, in every family, against stock transformers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from transformers import DynamicCache

from tests.families import make_carded, stock_inputs
from tests.vlm.test_families import image_of, nothing_pruned
from uhrqa import ask, load_model
from uhrqa.choices import check_choices, parse_choices
from uhrqa.cost import decode_flops, prefill_flops
from uhrqa.drops import Drop
from uhrqa.errors import ConfigError
from uhrqa.vlm.families import FAMILIES
from uhrqa.vlm.prefix import Prefix, branch
from uhrqa.vlm.sequence import Sequence

QUESTIONS = ["How many ships are there?", "Is there a tank?", "What color?"]
LETTERS = ("A", "B", "C", "D")
WORDS = ("yes", "no", "not at all")


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pair(family: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our model and the stock one of the same weights."""
    path = make_carded(tmp_path_factory.mktemp("choosing") / family, family)
    kind = getattr(transformers, f"{FAMILIES[family].kind}ForConditionalGeneration")
    return load_model(str(path), device="cpu"), kind.from_pretrained(path).eval()


@torch.no_grad()
def stock_logprob(stock: Any, inputs: dict[str, torch.Tensor], ids: tuple[int, ...]) -> float:
    """Log-probability of some tokens behind a prompt, from one pass over all, nothing cached."""
    length = inputs["input_ids"].shape[1]
    longer = dict(inputs)
    tail = torch.tensor([ids])
    longer["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    longer["attention_mask"] = torch.ones_like(longer["input_ids"])
    if "mm_token_type_ids" in inputs:
        kinds = inputs["mm_token_type_ids"]
        longer["mm_token_type_ids"] = torch.cat([kinds, torch.zeros_like(tail).to(kinds)], 1)
    logits = stock(**longer).logits[0, length - 1 : -1].float()
    rows = logits - logits.exp().sum(-1, keepdim=True).log()  # a log-softmax by hand
    return float(sum(row[token] for row, token in zip(rows, ids, strict=True)))


@pytest.mark.parametrize("texts", [LETTERS, WORDS])
def test_choices_are_scored_as_a_log_softmax_over_stock_logits_has_them(
    family, pair, texts
) -> None:
    ours, stock = pair
    inputs = stock_inputs(family, image_of(family, 0), QUESTIONS[0])
    sequence = nothing_pruned(ours, image_of(family, 0), QUESTIONS[0])
    choices = ours.spell(texts)
    found = ours.choose(sequence, choices)
    end = (2,) if choices.ended else ()
    expected = [
        np.logaddexp.reduce([stock_logprob(stock, inputs, (*ids, *end)) for ids in ways])
        for ways in choices.spellings
    ]
    assert [choice.text for choice in found.choices] == list(texts)
    assert [choice.logprob for choice in found.choices] == pytest.approx(expected, abs=2e-3)
    shares = np.exp(expected) / np.exp(expected).sum()
    assert [choice.probability for choice in found.choices] == pytest.approx(shares, abs=1e-3)
    assert found.text == texts[int(np.argmax(expected))]


def test_single_letters_take_no_pass_behind_the_prefill(pair) -> None:
    ours, _ = pair
    choices = ours.spell(LETTERS)
    short = [ways for ways in choices.spellings if all(len(ids) == 1 for ids in ways)]
    found = ours.choose(nothing_pruned(ours, image_of("llava", 0), "?"), choices)
    assert found.steps == sum(len(ids) - 1 for ways in choices.spellings for ids in ways)
    assert found.steps == 0 or len(short) < len(LETTERS)


def test_answers_behind_a_shared_prefix_are_those_of_each_alone(family, pair) -> None:
    ours, _ = pair
    image, prefix = image_of(family, 1), Prefix()
    for number, question in enumerate([*QUESTIONS, QUESTIONS[0]]):
        sequence = nothing_pruned(ours, image, question)
        alone = ours.generate(sequence, 12)
        shared = ours.generate(sequence, 12, prefix=prefix)
        assert shared.ids == alone.ids
        assert shared.held == (int(sequence.visual.max()) + 1 if number else 0)
        scored = ours.choose(sequence, ours.spell(WORDS), prefix=prefix)
        expected = ours.choose(sequence, ours.spell(WORDS))
        assert [c.logprob for c in scored.choices] == pytest.approx(
            [c.logprob for c in expected.choices], abs=2e-3
        )
        assert scored.held > 0


def test_another_image_or_a_drop_takes_nothing_of_a_prefix(family, pair) -> None:
    ours, _ = pair
    prefix = Prefix()
    ours.generate(nothing_pruned(ours, image_of(family, 1), "?"), 2, prefix=prefix)
    other = nothing_pruned(ours, image_of(family, 2), "?")
    dropping = ours.generate(other, 2, (Drop(1, 2),), prefix)
    assert dropping.held == 0
    assert dropping.ids == ours.generate(other, 2, (Drop(1, 2),)).ids
    fresh = ours.generate(other, 2, prefix=prefix)
    assert (fresh.held, fresh.ids) == (0, ours.generate(other, 2).ids)


def test_choices_of_several_tokens_are_weighed_behind_dropped_ones(family, pair) -> None:
    ours, _ = pair
    sequence = nothing_pruned(ours, image_of(family, 1), "?")
    drops = (Drop(1, 2),)
    choices = ours.spell(WORDS)
    found = ours.choose(sequence, choices, drops)
    decoding = ours._decoding
    with torch.inference_mode():
        for told, ways in zip(found.choices, choices.spellings, strict=True):
            totals = []
            for ids in ways:
                start = decoding.prefill(sequence, drops, choices.longest, None)
                row, total = start.last, torch.zeros(())
                for step, token in enumerate(ids):  # a pass for each
                    total = total + row.float().log_softmax(-1)[token]
                    row = decoding.follow(start, start.cache, (token,), step)[-1]
                if choices.ended:
                    ends = row.float().log_softmax(-1)[sorted(decoding.stops)]
                    total = total + ends.logsumexp(0)
                totals.append(total)
            expected = float(torch.stack(totals).logsumexp(0))
            assert told.logprob == pytest.approx(expected, abs=1e-4)


def plain_decoder(inputs_embeds: Tensor, past_key_values: DynamicCache, **_: object) -> Any:
    """A layer whose keys are the embeddings themselves."""
    keys = inputs_embeds[:, None]
    past_key_values.update(keys, keys, 0)
    return SimpleNamespace(last_hidden_state=inputs_embeds)


@pytest.mark.parametrize("part", ["positions", "deep"])
def test_a_beginning_that_differs_in_more_than_embeddings_is_run_anew(part: str) -> None:
    def run(seed: int) -> int:
        values = torch.rand(3, 1, 6, generator=torch.Generator().manual_seed(seed))
        sequence = Sequence(torch.ones(1, 6, 4), torch.arange(1, 4), torch.tensor([5]))
        return prefix.run(plain_decoder, replace(sequence, **{part: values}), DynamicCache())[2]

    prefix = Prefix()
    assert [run(seed) for seed in (1, 1, 2, 2, 1)] == [0, 4, 0, 4, 0]


def test_a_branch_grows_alone(pair) -> None:
    ours, _ = pair
    decoder, config = ours.model.get_decoder(), ours.model.config.get_text_config()
    cache = transformers.DynamicCache(config=config)
    decoder(input_ids=torch.tensor([[3, 4, 5]]), past_key_values=cache, use_cache=True)
    layer: Any = cache.layers[0]
    before = layer.keys.clone()
    other = branch(cache)
    decoder(input_ids=torch.tensor([[6]]), past_key_values=other, use_cache=True)
    assert (cache.get_seq_length(), other.get_seq_length()) == (3, 4)
    assert torch.equal(layer.keys, before)


def test_logits_are_computed_at_the_last_position_of_a_prefill_alone(pair) -> None:
    ours, _ = pair
    seen: list[int] = []
    hook = ours.model.get_output_embeddings().register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[1])
    )
    try:
        ours.generate(nothing_pruned(ours, image_of("llava", 0), "?"), 1)
    finally:
        hook.remove()
    assert seen == [1]


def test_a_choice_that_begins_another_is_ended(pair) -> None:
    ours, _ = pair
    assert not ours.spell(("yes", "no")).ended
    choices = ours.spell(("1", "10"))
    assert choices.ended == any(
        b[: len(a)] == a for a in choices.spellings[0] for b in choices.spellings[1]
    )
    found = ours.choose(nothing_pruned(ours, image_of("llava", 0), "?"), choices)
    if choices.ended:
        assert sum(choice.logprob > -1e-9 for choice in found.choices) == 0
        assert found.passes == tuple(len(ids) for ways in choices.spellings for ids in ways)


def test_an_answer_of_choices_is_counted_and_told(vlm) -> None:
    image = np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)
    answer = ask(image, "which?", model=vlm, strategy="downsample", budget=60, choices=WORDS)
    record = answer.to_dict()
    assert answer.text in WORDS
    assert [choice["text"] for choice in record["choices"]] == list(WORDS)
    assert sum(choice["probability"] for choice in record["choices"]) == pytest.approx(1)
    counts, decoder = answer.counts, vlm.card.dims.decoder
    length = counts.text + counts.kept
    choices = vlm.spell(WORDS)
    fed = [len(ids) - 1 + choices.ended for ways in choices.spellings for ids in ways]
    assert counts.steps == sum(fed)
    assert answer.cost.decode == sum(decode_flops(decoder, length, steps) for steps in fed)
    assert ask(image, "which?", model=vlm, budget=60).to_dict()["choices"] == []


def test_questions_about_one_selection_pay_for_its_prefix_once(vlm) -> None:
    image = np.random.default_rng(0).integers(0, 255, (420, 300, 3), dtype=np.uint8)
    prefix, decoder = Prefix(), vlm.card.dims.decoder
    for strategy, shares in (("downsample", True), ("rfm-dip", False)):
        how: dict[str, Any] = {"model": vlm, "strategy": strategy, "budget": 60}
        ask(image, QUESTIONS[0], prefix=prefix, **how)
        answer = ask(image, QUESTIONS[1], prefix=prefix, **how)
        alone = ask(image, QUESTIONS[1], **how)
        assert answer.text == alone.text
        assert [e.box for e in answer.evidence] == [e.box for e in alone.evidence]
        held = answer.counts.prompt_reused
        assert (held > answer.counts.kept) == shares
        assert alone.cost.prefill - answer.cost.prefill == prefill_flops(decoder, held, logits=0)


@pytest.mark.parametrize("text", ["", "A", "A,", "A,,B", "A,B,A", "A, A"])
def test_bad_choices_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="choices"):
        parse_choices(text)


def test_choices_keep_their_case_and_lose_blanks() -> None:
    assert parse_choices("A, b ,B") == ("A", "b", "B")
    assert check_choices(["1, 2", "3"]) == ("1, 2", "3")
