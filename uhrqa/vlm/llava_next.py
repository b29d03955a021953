"""LLaVA-NeXT: CLIP tower, two-layer projector, any decoder transformers pairs with it.

Overrides how tiles become features. Packing follows transformers: thumbnail first, then the tiles'
grid with one learned newline at the end of every row.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor, nn
from transformers import DynamicCache, LlavaNextForConditionalGeneration, PreTrainedTokenizerBase

from uhrqa.errors import QuestionError
from uhrqa.relevance import RowProbe, probed_name, read_rows
from uhrqa.rfm import load_rfm
from uhrqa.tokens import VisualTokens
from uhrqa.vlm import Generation, Prompt, Sequence
from uhrqa.vlm.card import Card
from uhrqa.vlm.device import choose_attention, choose_device, choose_dtype
from uhrqa.vlm.loading import load_strictly, load_tokenizer, read_normalisation, weights_of
from uhrqa.vlm.placement import Placement

TILE_BATCH = 32


@dataclass
class LlavaNext:
    """A loaded checkpoint. Use `load`.

    Attributes:
        card: geometry and defaults.
        model: the weights, in evaluation mode.
        tokenizer: of the checkpoint.
        mean: `[3, 1, 1]` of the channels in [0, 1], on the model's device.
        std: `[3, 1, 1]`, alike.
        placement: tables of UHR-BAT Eq. 5, where there are any.
        rfm: the Region Focus Module, where there is one.
    """

    card: Card
    model: LlavaNextForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    mean: Tensor
    std: Tensor
    placement: Placement | None = None
    rfm: nn.Module | None = None

    @classmethod
    def load(
        cls,
        card: Card,
        *,
        device: str | None = None,
        dtype: str | None = None,
        attention: str = "sdpa",
        rfm: str | Path | None = None,
    ) -> LlavaNext:
        """Read weights, tokenizer and extras of a card.

        Raises:
            CheckpointError: any of them is missing, mismatched, pickled or damaged.
            ConfigError: no such device, dtype or attention backend.
        """
        place = choose_device(device)
        backend = choose_attention(attention, place)
        path = weights_of(card)
        model = load_strictly(
            LlavaNextForConditionalGeneration,
            path,
            dtype=choose_dtype(dtype, place),
            attention="sdpa",  # of the vision tower: its sequences are short
        )
        model.to(place)
        decoder = model.get_decoder()
        decoder.set_attn_implementation(probed_name(backend))
        focus = Path(rfm) if rfm else path / card.rfm if card.rfm else None
        tables = Placement.load(path / card.placement) if card.placement else None
        mean, std = (
            torch.tensor(part, device=place).view(3, 1, 1) for part in read_normalisation(path)
        )
        return cls(
            card,
            model,
            load_tokenizer(path),
            mean,
            std,
            tables.to(place) if tables else None,
            load_rfm(focus, decoder) if focus else None,
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def newline(self) -> Tensor:
        """`[D]`, the learned row end."""
        newline: Tensor = self.model.model.image_newline
        return newline

    @property
    def rfm_layers(self) -> int:
        """Layers of the Region Focus Module; 0 when there is none."""
        return len(self.rfm.get_submodule("layers")) if self.rfm is not None else 0  # type: ignore[arg-type]

    @property
    def fill(self) -> tuple[int, int, int]:
        """RGB of padding: the colour that normalises to zero."""
        red, green, blue = (round(255 * float(part)) for part in self.mean.flatten())
        return red, green, blue

    @torch.inference_mode()
    def encode_tiles(self, pixels: Tensor) -> Tensor:
        """See `VisionLanguageModel.encode_tiles`."""
        config = self.model.config
        layers = config.vision_feature_layer
        features = []
        for batch in pixels.split(TILE_BATCH):
            scaled = (batch.to(self.device).float() / 255 - self.mean) / self.std
            out = self.model.model.vision_tower(
                scaled.to(self.model.dtype), output_hidden_states=True
            )
            wanted = [layers] if isinstance(layers, int) else layers
            hidden = torch.cat([out.hidden_states[layer] for layer in wanted], dim=-1)
            if config.vision_feature_select_strategy == "default":
                hidden = hidden[:, 1:]
            features.append(self.model.model.multi_modal_projector(hidden))
        side = self.card.tile // self.card.pixels_per_token
        return torch.cat(features).unflatten(1, (side, side))

    def build_prompt(self, question: str) -> Prompt:
        """See `VisionLanguageModel.build_prompt`."""
        image_id = self.model.config.image_token_id
        image = str(self.tokenizer.convert_ids_to_tokens(image_id))
        if not question.strip():
            raise QuestionError("the question is empty")
        if image in question:
            raise QuestionError(f"the question holds the image token {image}; leave it out")
        text = self._render(question.strip(), image)
        bos = self.tokenizer.bos_token
        ids = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos))).input_ids
        at = ids.index(image_id)
        return Prompt(tuple(ids[:at]), tuple(ids[at + 1 :]))

    def _render(self, question: str, image: str) -> str:
        if not self.tokenizer.chat_template:
            return self.card.prompt.replace("<image>", image).replace("{question}", question)
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        for content in (parts, f"{image}\n{question}"):
            chat: Any = [{"role": "user", "content": content}]
            try:
                rendered = self.tokenizer.apply_chat_template(
                    chat, tokenize=False, add_generation_prompt=True
                )
            except (TypeError, ValueError, TemplateError):  # a template for the other form
                continue
            text = str(rendered)
            if text.count(image) == 1 and question in text:
                return text
        raise QuestionError(f"{self.card.name}: its chat template has no place for an image")

    @torch.inference_mode()
    def assemble(self, prompt: Prompt, tokens: VisualTokens) -> Sequence:
        """See `VisionLanguageModel.assemble`."""
        embed = self.model.get_input_embeddings()
        before, after = (
            embed(torch.tensor(part, dtype=torch.int64, device=self.device))
            for part in (prompt.before, prompt.after)
        )
        embeds = torch.cat([before, tokens.embed.to(before), after])[None]
        start, end = len(before), len(before) + len(tokens)
        visual = torch.arange(start, end, device=self.device)
        return Sequence(embeds, visual, torch.arange(end, embeds.shape[1], device=self.device))

    def attend(
        self, sequence: Sequence, *, layer: int | None, rows: Tensor, columns: Tensor
    ) -> Tensor:
        """See `VisionLanguageModel.attend`."""
        decoder: nn.Module = self.model.get_decoder()
        if layer is None:
            if self.rfm is None:
                raise ValueError("this model has no Region Focus Module")
            decoder, layer = self.rfm, self.rfm_layers - 1
        return read_rows(decoder, sequence.embeds, RowProbe(layer, rows, columns))

    @torch.inference_mode()
    def generate(self, sequence: Sequence, max_new_tokens: int) -> Generation:
        """See `VisionLanguageModel.generate`."""
        decoder, head = self.model.get_decoder(), self.model.get_output_embeddings()
        cache = DynamicCache(config=self.model.config.get_text_config())
        stops = self._stop_ids()
        ids: list[int] = []
        begin = time.perf_counter()
        inputs = {"inputs_embeds": sequence.embeds}
        prefill, step = 0.0, 0
        for step in range(max_new_tokens):
            hidden = decoder(**inputs, past_key_values=cache, use_cache=True).last_hidden_state
            token = int(head(hidden[:, -1]).argmax(-1))
            if step == 0:
                prefill = time.perf_counter() - begin
            if token in stops:
                break
            ids.append(token)
            inputs = {"input_ids": torch.tensor([[token]], device=self.device)}
        total = time.perf_counter() - begin
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()
        return Generation(text, tuple(ids), step, prefill, total - prefill)

    def _stop_ids(self) -> set[int]:
        stops: set[int] = set()
        for config in (self.model.generation_config, self.model.config.text_config, self.tokenizer):
            found = getattr(config, "eos_token_id", None)
            stops.update([found] if isinstance(found, int) else found or [])
        return stops
