from __future__ import annotations

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    Qwen2Config,
    Qwen2Model,
)

from uhrqa.relevance import RowProbe, probed_name, read_rows
from uhrqa.rfm import from_layers

KINDS = [(Qwen2Config, Qwen2Model), (LlamaConfig, LlamaModel), (MistralConfig, MistralModel)]


def decoder(config, kind):
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 50}
    return kind(config(**sizes, num_attention_heads=8, num_key_value_heads=2)).eval()


@pytest.mark.parametrize(("config", "kind"), KINDS)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_rows_equal_those_of_the_full_eager_map(config, kind, layer: int) -> None:
    model = decoder(config, kind)
    embeds = torch.randn(1, 40, 64)
    columns, rows = torch.arange(3, 30), torch.tensor([35, 39])
    model.set_attn_implementation("eager")
    with torch.no_grad():
        full = model(inputs_embeds=embeds, output_attentions=True).attentions[layer][0]
    picked = full[:, rows][:, :, columns]  # [H, M, N]
    expected = (picked / picked.sum(-1, keepdim=True)).mean((0, 1))
    model.set_attn_implementation(probed_name("sdpa"))
    scores = read_rows(model, {"inputs_embeds": embeds}, [RowProbe(layer, rows, columns)])[0]
    torch.testing.assert_close(scores, expected, atol=1e-7, rtol=1e-5)
    assert float(scores.sum()) == pytest.approx(1)


@pytest.mark.parametrize("window", [8, 24, 100])
def test_a_sliding_window_hides_what_lies_before_it(window: int) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 50}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "sliding_window": window}
    model = MistralModel(MistralConfig(**sizes, **heads)).eval()  # type: ignore[arg-type]
    embeds = torch.randn(1, 40, 64)
    columns, rows = torch.arange(3, 30), torch.tensor([35, 39])
    model.set_attn_implementation("eager")
    with torch.no_grad():
        full = model(inputs_embeds=embeds, output_attentions=True).attentions[2][0]
    picked = full[:, rows][:, :, columns]
    part = (picked / picked.sum(-1, keepdim=True)).nan_to_num(0).mean((0, 1))
    model.set_attn_implementation(probed_name("sdpa"))
    (scores,) = read_rows(model, {"inputs_embeds": embeds}, [RowProbe(2, rows, columns)])
    assert float(scores.sum()) == pytest.approx(1)
    if window == 8:  # row 39 sees none of them, row 35 those from 28 on
        assert scores[:-2].abs().max() == 0
    torch.testing.assert_close(scores, part / part.sum(), atol=1e-6, rtol=1e-5)


def test_the_probed_backend_computes_what_the_plain_one_does() -> None:
    model = decoder(*KINDS[0])
    embeds = torch.randn(1, 30, 64)
    with torch.no_grad():
        plain = model(inputs_embeds=embeds).last_hidden_state
        model.set_attn_implementation(probed_name("sdpa"))
        probed = model(inputs_embeds=embeds).last_hidden_state
    assert torch.equal(plain, probed)


def test_an_rfm_of_all_layers_reads_what_the_decoder_reads() -> None:
    model = decoder(*KINDS[0])
    model.set_attn_implementation(probed_name("sdpa"))
    embeds = torch.randn(1, 30, 64)
    rows, columns = torch.tensor([29]), torch.arange(20)
    direct = read_rows(model, {"inputs_embeds": embeds}, [RowProbe(2, rows, columns)])[0]
    rfm = from_layers(model, (0, 1, 2))
    assert torch.equal(
        direct, read_rows(rfm, {"inputs_embeds": embeds}, [RowProbe(2, rows, columns)])[0]
    )
    sparse = from_layers(model, (0, 2))
    assert not torch.equal(
        direct, read_rows(sparse, {"inputs_embeds": embeds}, [RowProbe(1, rows, columns)])[0]
    )


def test_a_decoder_without_the_probe_is_a_programming_error() -> None:
    model = decoder(*KINDS[0])
    with pytest.raises(ValueError, match="was not reached"):
        read_rows(
            model,
            {"inputs_embeds": torch.randn(1, 9, 64)},
            [RowProbe(0, torch.tensor([8]), torch.arange(4))],
        )
