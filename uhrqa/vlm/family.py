"""What all model families share: prompts, assembling, reading attention, generating.

A family says how tiles become features and which place in the decoder's input, and which position
there, each visual token gets. All else is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from uhrqa.drops import Drop
from uhrqa.relevance import RowProbe, listening, read_rows
from uhrqa.tokens import VisualTokens
from uhrqa.vlm.batching import Batching
from uhrqa.vlm.card import Card
from uhrqa.vlm.choosing import Choices, spell
from uhrqa.vlm.decoding import Decoding
from uhrqa.vlm.device import (
    held,
    held_precision,
    place_of,
)
from uhrqa.vlm.multiscale import Multiscale
from uhrqa.vlm.packing import packing_order
from uhrqa.vlm.paired import Paired
from uhrqa.vlm.placement import Placement
from uhrqa.vlm.prefix import Prefix
from uhrqa.vlm.prompting import Prompter
from uhrqa.vlm.sequence import Generation, Prompt, Sequence, Unanswered
from uhrqa.vlm.tower import TowerListener, fold
from uhrqa.vlm.turns import Turns


@dataclass
class Family(ABC):
    """A loaded checkpoint; `uhrqa.vlm.opening` reads one.

    Attributes:
        marks: tokens around the image, where the chat template leaves them to a processor.
        card: geometry and defaults.
        model: the weights, in evaluation mode.
        tokenizer: of the checkpoint.
        mean: `[3, 1, 1]` of the channels in [0, 1], on the model's device.
        std: `[3, 1, 1]`, alike.
        placement: tables of UHR-BAT Eq. 5, ours or those of its release, where there are any.
        rfm: the Region Focus Module, where there is one.
        paired: towers for `relevance=clip`, where the card names some.
        batching: how many tiles are encoded at once.
    """

    marks: ClassVar[tuple[str, str] | None] = None

    card: Card
    model: Any  # a PreTrainedModel; its parts are typed loosely
    tokenizer: PreTrainedTokenizerBase
    mean: Tensor
    std: Tensor
    placement: Placement | Multiscale | None = None
    rfm: nn.Module | None = None
    paired: Paired | None = None
    batching: Batching = field(default_factory=Batching)

    @abstractmethod
    def features(self, pixels: Tensor) -> Tensor:
        """Visual tokens of tiles.

        Args:
            pixels: `[T, 3, B, B]` normalised, in the model's dtype and on its device.

        Returns:
            `[T, n * n, D]` in raster order; D holds what inner layers of the decoder take, too.
        """

    def order(self, tokens: VisualTokens) -> Tensor:
        """`[N]` which token stands where."""
        return packing_order(tokens, self.card)

    def positions(self, slots: Tensor, tokens: VisualTokens, length: int) -> Tensor | None:
        """Rotary positions of a sequence; None where they count up from 0.

        Args:
            slots: `[N]` places of the visual tokens in the sequence, ascending.
            tokens: those N tokens.
            length: S of the sequence.

        Returns:
            `[3, 1, S]` time, row and column.
        """
        return None

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return place_of(self.model.get_input_embeddings())

    @property
    def precision(self) -> str:
        """What the decoder's weights are held in."""
        return held_precision(self.model.get_decoder())

    @property
    def newline(self) -> Tensor | None:
        """`[D]`, the learned row end; None where rows have none."""
        if not self.card.row_ends:
            return None
        return held(self.model.model, "image_newline").to(self.device)

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
        side = self.card.dims.vision.side
        parts = list(self.batching.run(self._encode_batch, pixels))
        return torch.cat(parts).unflatten(1, (side, side))

    def _encode_batch(self, pixels: Tensor) -> Tensor:
        moved = pixels.to(self.device, non_blocking=True)  # as uint8; not waited for where pinned
        scaled = (moved.float() / 255 - self.mean) / self.std
        return self.features(scaled.to(self.model.dtype))

    @torch.inference_mode()
    def watch_tiles(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `VisionLanguageModel.watch_tiles`."""
        side = self.card.dims.vision.side
        parts = list(self.batching.run(self._watch_batch, pixels))
        features, traits = (torch.cat(part) for part in zip(*parts, strict=True))
        return features.unflatten(1, (side, side)), traits.unflatten(1, (side, side))

    def _watch_batch(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.card.dims.vision
        listener = TowerListener(vision.used_layers - 1, vision.has_class_token)
        with listening(listener):
            features = self._encode_batch(pixels)
        return features, self.token_traits(listener.traits(len(pixels)))

    def token_traits(self, patches: Tensor) -> Tensor:
        """Traits of tokens, `[T, n * n, k]`, from those of a tower's patches, `[T, S, k]`."""
        return fold(patches, self.card.dims.vision.features)

    def build_prompt(self, question: str, history: Turns = ()) -> Prompt:
        """See `VisionLanguageModel.build_prompt`."""
        return self.prompter.build(question, history)

    @property
    def prompter(self) -> Prompter:
        """What writes prompts."""
        return Prompter(self.card, self.tokenizer, self.model.config.image_token_id, self.marks)

    @torch.inference_mode()
    def assemble(self, prompt: Prompt, tokens: VisualTokens) -> Sequence:
        """See `VisionLanguageModel.assemble`."""
        order = self.order(tokens)
        placed = tokens.take(order)
        run = placed.runs()
        slots = len(prompt.before) + torch.arange(len(placed)) + run * len(prompt.between)
        length = prompt.length(tokens)
        ids = torch.zeros(length, dtype=torch.int64)
        text = torch.ones(length, dtype=torch.bool)
        text[slots] = False
        ids[text] = torch.tensor(
            [*prompt.before, *prompt.between * placed.level_changes, *prompt.after],
            dtype=torch.int64,
        )
        embeds = self.model.get_input_embeddings()(ids.to(self.device))
        width = embeds.shape[-1]
        where = slots.to(self.device)
        embeds[where] = placed.embed[:, :width].to(embeds)
        visual = torch.empty_like(where)
        visual[order.to(self.device)] = where
        return Sequence(
            embeds[None],
            visual,
            torch.arange(length - len(prompt.after), length, device=self.device),
            self._positions(slots, placed, length),
            self._deep(placed, width),
        )

    def _positions(self, slots: Tensor, placed: VisualTokens, length: int) -> Tensor | None:
        found = self.positions(slots, placed, length)
        return None if found is None else found.to(self.device)

    def _deep(self, placed: VisualTokens, width: int) -> Tensor | None:
        """`[L, N, D]` what layers of the decoder add to the visual tokens."""
        if placed.embed.shape[1] == width:
            return None
        deep = placed.embed[:, width:].unflatten(1, (-1, width))
        return deep.transpose(0, 1).to(self.device, self.model.dtype)

    def attend(
        self,
        sequence: Sequence,
        *,
        layer: int | None,
        rows: Tensor,
        columns: Tensor,
        blank: Tensor | None = None,
    ) -> Tensor:
        """See `VisionLanguageModel.attend`."""
        decoder: nn.Module = self.model.get_decoder()
        if layer is None:
            if self.rfm is None:
                raise ValueError("this model has no Region Focus Module")
            decoder, layer = self.rfm, self.rfm_layers - 1
        inputs, bias = sequence.inputs(), None
        if blank is not None:
            seen = torch.ones(sequence.embeds.shape[:2], dtype=torch.int64, device=self.device)
            seen[0, columns[blank.to(columns.device)]] = 0
            inputs["attention_mask"], bias = seen, blank.float().to(self.device)
        return read_rows(decoder, inputs, [RowProbe(layer, rows, columns, bias)])[0]

    @torch.inference_mode()
    def generate(
        self,
        sequence: Sequence,
        max_new_tokens: int,
        drops: Iterable[Drop] = (),
        prefix: Prefix | None = None,
    ) -> Generation:
        """See `VisionLanguageModel.generate`."""
        return self._decoding.generate(self._refined(sequence), max_new_tokens, drops, prefix)

    @torch.inference_mode()
    def generate_together(self, waiting: Many[Unanswered]) -> list[Generation]:
        """See `VisionLanguageModel.generate_together`."""
        refined = [replace(entry, sequence=self._refined(entry.sequence)) for entry in waiting]
        return self._decoding.generate_together(refined)

    def spell(self, choices: Many[str]) -> Choices:
        """See `VisionLanguageModel.spell`."""
        return spell(choices, self.tokenizer)

    @torch.inference_mode()
    def choose(
        self,
        sequence: Sequence,
        choices: Choices,
        drops: Iterable[Drop] = (),
        prefix: Prefix | None = None,
    ) -> Generation:
        """See `VisionLanguageModel.choose`."""
        return self._decoding.choose(self._refined(sequence), choices, drops, prefix)

    @property
    def _decoding(self) -> Decoding:
        return Decoding(self.model, self.tokenizer)

    def _refined(self, sequence: Sequence) -> Sequence:
        """The sequence whose visual tokens passed UHR-BAT's MLP, where the checkpoint has it."""
        if isinstance(self.placement, Multiscale):
            return self.placement.refine(sequence)
        return sequence
