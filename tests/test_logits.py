from __future__ import annotations

import pytest
import torch
from transformers import MistralConfig, MistralModel

from tests.test_relevance import KINDS, decoder
from uhrqa.logits import read_logits
from uhrqa.relevance import probed_name


@pytest.mark.parametrize(("config", "kind"), KINDS)
def test_logits_are_those_whose_softmax_the_eager_map_holds(config, kind) -> None:
    model = decoder(config, kind)
    embeds = torch.randn(1, 40, 64)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        full = model(inputs_embeds=embeds, output_attentions=True).attentions
    model.set_attn_implementation(probed_name("sdpa"))
    found = read_logits(model, {"inputs_embeds": embeds}, (0, 2), 39)
    assert set(found) == {0, 2}
    for layer, logits in found.items():
        torch.testing.assert_close(logits.softmax(-1), full[layer][0, :, 39], atol=1e-6, rtol=1e-5)


def test_a_sliding_window_hides_what_lies_before_it() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 50}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "sliding_window": 8}
    model = MistralModel(MistralConfig(**sizes, **heads)).eval()  # type: ignore[arg-type]
    embeds = torch.randn(1, 40, 64)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        full = model(inputs_embeds=embeds, output_attentions=True).attentions[1][0, :, 39]
    model.set_attn_implementation(probed_name("sdpa"))
    logits = read_logits(model, {"inputs_embeds": embeds}, (1,), 39)[1]
    torch.testing.assert_close(logits.softmax(-1), full, atol=1e-6, rtol=1e-5)
    assert int((full > 0).sum(-1).max()) == 8


def test_no_layer_runs_behind_the_last_that_is_read_unless_it_must() -> None:
    model = decoder(*KINDS[0])
    model.set_attn_implementation(probed_name("sdpa"))
    ran: list[int] = []
    for index, layer in enumerate(model.layers):
        layer.mlp.register_forward_hook(lambda *_, index=index: ran.append(index))
    inputs = {"inputs_embeds": torch.randn(1, 9, 64)}
    first = read_logits(model, inputs, (0, 1), 8)
    assert ran == [0]
    again = read_logits(model, inputs, (0, 1), 8, ends=False)
    assert ran == [0, 0, 1, 2]
    assert torch.equal(first[1], again[1])


def test_gradients_reach_the_layers_before() -> None:
    model = decoder(*KINDS[0])
    model.set_attn_implementation(probed_name("sdpa"))
    logits = read_logits(model, {"inputs_embeds": torch.randn(1, 9, 64)}, (2,), 8)[2]
    logits.square().sum().backward()
    assert float(model.layers[0].mlp.up_proj.weight.grad.abs().max()) > 0
    assert model.layers[2].mlp.up_proj.weight.grad is None


def test_a_layer_that_is_not_there_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="were not reached"):
        read_logits(decoder(*KINDS[0]), {"inputs_embeds": torch.randn(1, 9, 64)}, (0,), 8)
