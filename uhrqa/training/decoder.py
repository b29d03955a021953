"""The model in training: stock parts, and a forward pass that keeps the attention rows it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlavaNextForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, apply_rotary_pos_emb

from uhrqa.training.packing import Batch
from uhrqa.training.shape import Shape, llava, spread_out
from uhrqa.training.vocabulary import ASSISTANT, END, IMAGE, USER, token_id
from uhrqa.vlm.placement import Placement


@dataclass
class Learner:
    """All that stage 2 trains."""

    model: LlavaNextForConditionalGeneration
    placement: Placement
    tokenizer: PreTrainedTokenizerFast
    shape: Shape

    @classmethod
    def fresh(
        cls, shape: Shape, seed: int, tokenizer: PreTrainedTokenizerFast, device: str = "cpu"
    ) -> Learner:
        """Fresh weights."""
        torch.manual_seed(seed + 1)
        image = token_id(tokenizer, IMAGE)
        model = llava(shape, image, token_id(tokenizer, END))
        placement = Placement(shape.width)
        spread_out(placement, seed)
        for part in (model, placement):
            nn.Module.to(part, torch.device(device))  # the wrapper of `model.to` is typed wrongly
        return cls(model, placement, tokenizer, shape)

    @property
    def decoder(self) -> Any:  # noqa: ANN401 - transformers types its parts loosely
        """The stock decoder."""
        return self.model.model.language_model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def assistant(self) -> int:
        """The last prompt token."""
        return token_id(self.tokenizer, ASSISTANT)

    def parameters(self) -> list[nn.Parameter]:
        """Everything but the tower."""
        frozen = {id(p) for p in self.model.model.vision_tower.parameters()}
        own = [p for p in self.model.parameters() if id(p) not in frozen]
        return [*own, *self.placement.parameters()]

    def embed(self, batch: Batch) -> Tensor:
        """Input embeddings `[B, 1 + T + X, D]`."""
        projected = self.model.model.multi_modal_projector(batch.features)
        placed = projected + self.placement(batch.centre, batch.depth)
        tokens = batch.mix @ placed.float()
        newline = self.model.model.image_newline
        tokens = torch.where(batch.newline[..., None], newline, tokens)
        table = self.model.get_input_embeddings()
        user = batch.text.new_full((len(tokens), 1), token_id(self.tokenizer, USER))
        return torch.cat([table(user), tokens, table(batch.text)], 1)


def attention_bias(batch: Batch) -> Tensor:
    """`[B, 1, N, N]`: who sees whom, and how many tokens each stands for."""
    segment = batch.segment
    count = segment.shape[1]
    key, query = segment[:, None, :], segment[:, :, None]
    causal = torch.ones(count, count, device=segment.device).tril().bool()
    seen = ((key == 0) | (key == query)) & (key >= 0) & causal
    seen[:, :, 0] = True
    bias = batch.bias[:, None, :].expand(-1, count, -1)
    bias = torch.where(seen, bias, bias.new_full((), -1e9))[:, None]
    return bias.bfloat16() if torch.is_autocast_enabled(bias.device.type) else bias


@dataclass
class Trace:
    """What a pass through the decoder gives.

    Attributes:
        states: `[B, N, D]` after the last layer's norm.
        rows: attention logits of the asking tokens by layer: `[R, H, 1 + T + X]`, masked.
        inner: `[B, N, D]` states after each of the same layers.
    """

    states: Tensor
    rows: dict[int, Tensor]
    inner: dict[int, Tensor]


def run_layers(
    layers: list[Qwen2DecoderLayer],
    states: Tensor,
    turn: tuple[Tensor, Tensor],
    bias: Tensor,
    asks: Tensor,
    wanted: tuple[int, ...],
) -> Trace:
    """The stock layers' arithmetic, with attention rows of the asking tokens kept."""
    rows, inner = {}, {}
    b, at = asks.T
    for index, layer in enumerate(layers):
        own = layer.self_attn
        normed = layer.input_layernorm(states)
        split = (*normed.shape[:2], -1, own.head_dim)
        q, k, v = (
            part(normed).view(split).transpose(1, 2)
            for part in (own.q_proj, own.k_proj, own.v_proj)
        )
        q, k = apply_rotary_pos_emb(q, k, *turn)
        # Plain products: for heads this narrow they beat the fused kernel on a CPU threefold.
        score = q.to(v) @ k.to(v).transpose(2, 3) * own.head_dim**-0.5 + bias
        if index in wanted:
            rows[index] = score[b, :, at].float()
        mixed = score.softmax(-1, dtype=score.dtype) @ v
        states = states + own.o_proj(mixed.transpose(1, 2).flatten(2))
        states = states + layer.mlp(layer.post_attention_layernorm(states))
        if index in wanted:
            inner[index] = states
    return Trace(states, rows, inner)


def forward(learner: Learner, batch: Batch, wanted: tuple[int, ...] = (1, 2)) -> Trace:
    """Embed and decode a batch."""
    states = learner.embed(batch)
    turn = learner.decoder.rotary_emb(states, batch.position)
    layers = list(learner.decoder.layers)
    trace = run_layers(layers, states, turn, attention_bias(batch), batch.asks, wanted)
    return Trace(learner.decoder.norm(trace.states), trace.rows, trace.inner)
