"""Vision-language models behind one seam.

A family overrides how tiles become features and which places visual tokens get; prompts,
assembling, reading attention and generating are shared. Knows nothing of rasters, pyramids or
strategies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from uhrqa.vlm.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Many
    from pathlib import Path

    import torch
    from torch import Tensor

    from uhrqa.drops import Drop
    from uhrqa.tokens import VisualTokens
    from uhrqa.vlm.card import Card
    from uhrqa.vlm.choosing import Choices
    from uhrqa.vlm.multiscale import Multiscale
    from uhrqa.vlm.paired import Paired
    from uhrqa.vlm.placement import Placement
    from uhrqa.vlm.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Prompt:
    """A tokenised question with one place for the image.

    Attributes:
        before: token ids before the image.
        after: token ids after it; the question is among them.
        between: token ids between two levels of the image.
        asked: how many at the end of `after` are this question's own; None: all.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    between: tuple[int, ...] = ()
    asked: int | None = None

    def __len__(self) -> int:
        return len(self.before) + len(self.after)

    def text_length(self, tokens: VisualTokens) -> int:
        """Text tokens of a sequence that holds these visual tokens."""
        return len(self) + tokens.level_changes * len(self.between)

    def length(self, tokens: VisualTokens) -> int:
        """All tokens of that sequence."""
        return self.text_length(tokens) + len(tokens)


@dataclass(frozen=True, slots=True)
class Sequence:
    """What enters the decoder.

    Attributes:
        embeds: `[1, S, D]`.
        visual: `[N]` places of the visual tokens, separators included.
        text_after: `[M]` places of the text behind the image.
        positions: `[3, 1, S]` rotary positions: time, row, column; None where they count up from 0.
        deep: `[L, N, D]` what the decoder's first L layers add to the visual tokens, in the order
            of their places; None for most families.
    """

    embeds: Tensor
    visual: Tensor
    text_after: Tensor
    positions: Tensor | None = None
    deep: Tensor | None = None

    def inputs(self) -> dict[str, Any]:
        """What a decoder is called with."""
        inputs: dict[str, Any] = {"inputs_embeds": self.embeds}
        if self.positions is not None:
            inputs["position_ids"] = self.positions
        if self.deep is not None:
            seen = self.visual.new_zeros(1, self.embeds.shape[1]).bool()
            seen[0, self.visual] = True
            inputs |= {"visual_pos_masks": seen, "deepstack_visual_embeds": list(self.deep)}
        return inputs


@dataclass(frozen=True, slots=True)
class ScoredChoice:
    """One of the answers to choose from.

    Attributes:
        text: as it was given.
        probability: among the choices; they sum to 1.
        logprob: natural logarithm of the probability that the model writes it at all.
    """

    text: str
    probability: float
    logprob: float


@dataclass(frozen=True, slots=True)
class Generation:
    """What the decoder wrote.

    Attributes:
        text: decoded, without special tokens, stripped.
        ids: token ids, the end token excluded.
        steps: tokens that passed after the prefill.
        prefill_seconds: time to the first token.
        decode_seconds: time of all further tokens.
        choices: the answers it was to choose from; none where it wrote freely.
        passes: the steps, in runs that each began behind the prompt; None: in one.
        held: first tokens of the prompt that an earlier question had run.
    """

    text: str
    ids: tuple[int, ...]
    steps: int
    prefill_seconds: float
    decode_seconds: float
    choices: tuple[ScoredChoice, ...] = ()
    passes: tuple[int, ...] | None = None
    held: int = 0


class VisionLanguageModel(Protocol):
    """The seam between models and everything above them."""

    @property
    def card(self) -> Card:
        """Geometry and defaults."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def precision(self) -> str:
        """What the decoder's weights are held in, in a word or two: `float32`."""
        ...

    @property
    def newline(self) -> Tensor | None:
        """`[D]`, the learned row end; None when the model has none."""
        ...

    @property
    def placement(self) -> Placement | Multiscale | None:
        """Tables of UHR-BAT Eq. 5, where the checkpoint brings them."""
        ...

    @property
    def rfm_layers(self) -> int:
        """Layers of the Region Focus Module; 0 when there is none."""
        ...

    @property
    def paired(self) -> Paired | None:
        """Towers that see patches and questions in one space, where the card names some."""
        ...

    @property
    def fill(self) -> tuple[int, int, int]:
        """RGB of padding: the colour that normalises to zero."""
        ...

    def encode_tiles(self, pixels: Tensor) -> Tensor:
        """Visual tokens of tiles.

        From `[T, 3, B, B]` uint8; `[T, n, n, D]`, n x n tokens a tile in raster order. D is the
        decoder's width, or a multiple of it where inner layers take features, too.
        """
        ...

    def watch_tiles(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Visual tokens of tiles, and what the vision tower makes of each.

        Args:
            pixels: `[T, 3, B, B]` uint8.

        Returns:
            What `encode_tiles` gives, and `[T, n, n, 1 + d]` float32: how much the tower attends to
            a token inside its tile, then its key, both from the layer that features are taken from
            and means over heads. Attention is the class token's, or the mean over all patches where
            there is none; a token made of several patches has their mean.
        """
        ...

    def build_prompt(self, question: str, history: Turns = ()) -> Prompt:
        """Tokenise a question, behind those asked before, in the checkpoint's own template.

        Raises:
            QuestionError: empty, it holds the image token, or there is no place for `history`.
        """
        ...

    def assemble(self, prompt: Prompt, tokens: VisualTokens) -> Sequence:
        """Put visual tokens, separators among them, at the image's place.

        Returns:
            Embeddings of `prompt.length(tokens)` tokens in the decoder's dtype, and who is where.
        """
        ...

    def attend(
        self,
        sequence: Sequence,
        *,
        layer: int | None,
        rows: Tensor,
        columns: Tensor,
        blank: Tensor | None = None,
    ) -> Tensor:
        """How much some text rows attend to some visual tokens.

        Args:
            sequence: visual tokens and question.
            layer: decoder layer to read; None for the Region Focus Module's last.
            rows: `[M]` positions of the query tokens.
            columns: `[N]` positions the softmax runs over.
            blank: `[N]` bool, empty columns: no token sees them, yet they keep a place in the
                softmax, one above their logit, as in the released LRS-VQA code.

        Returns:
            `[N]` mean over heads and rows, float32 on the CPU; sums to 1.

        Raises:
            ValueError: no such layer, or no Region Focus Module.
        """
        ...

    def generate(
        self,
        sequence: Sequence,
        max_new_tokens: int,
        drops: Iterable[Drop] = (),
        prefix: Prefix | None = None,
    ) -> Generation:
        """The greedy answer, of at most `max_new_tokens`, 1 or more.

        Args:
            sequence: visual tokens and question.
            max_new_tokens: tokens that are written at most.
            drops: visual tokens that leave between two layers, first layer first.
            prefix: shared with other questions: what stands before a question runs once.

        Raises:
            ConfigError: drops in a decoder whose layers see less than all that stands before.
        """
        ...

    def spell(self, choices: Many[str]) -> Choices:
        """Answers to choose from, as the tokenizer spells them.

        Raises:
            ConfigError: it cannot tell two of them apart, or has no tokens for one.
        """
        ...

    def choose(
        self,
        sequence: Sequence,
        choices: Choices,
        drops: Iterable[Drop] = (),
        prefix: Prefix | None = None,
    ) -> Generation:
        """The most probable of some answers, and the probability of each.

        One pass where each is one token; arguments and errors as for `generate`.
        """
        ...


def load_model(  # noqa: PLR0913 - each a choice of the user's
    name: str = "tiny",
    *,
    device: str | None = None,
    dtype: str | None = None,
    attention: str = "auto",
    rfm: str | Path | None = None,
    clip: str | Path | None = None,
    allow_pickle: bool = False,
    device_map: str | None = None,
    quantize: str | None = None,
) -> VisionLanguageModel:
    """Load a checkpoint.

    Args:
        name: a card's name, a directory, or a hub id that is in the local cache, `org/name` or
            `org/name@revision`.
        device: `cpu`, `cuda`, `cuda:1` ...; the first GPU if there is one, when None.
        dtype: `float32`, `bfloat16` or `float16`; float32 on a CPU and the checkpoint's own on a
            GPU, when None.
        attention: `sdpa`, `flash_attention_2`, or `auto`: flash-attn where it is installed and the
            model is in half precision on a GPU.
        rfm: file of a Region Focus Module, instead of the card's.
        clip: directory of a whole CLIP or SigLIP for `relevance=clip`, instead of the card's.
        allow_pickle: read `pytorch_model*.bin` where there is no safetensors; tensors alone are
            taken from it, and a pickle that holds anything else is refused.
        device_map: `auto` puts the parts on all devices there are (needs accelerate).
        quantize: `8bit` or `4bit` weights of the decoder's linear layers (needs bitsandbytes);
            experts stay as they are, which a `PrecisionWarning` tells.

    Raises:
        UnknownNameError: no such model.
        CardError: the model's card is not valid.
        CheckpointError: weights are missing, mismatched, pickled or damaged.
        ConfigError: no such device, dtype, attention backend or package here.
    """
    from uhrqa.vlm.card import load_card
    from uhrqa.vlm.families import find_class

    card = load_card(name) if clip is None else replace(load_card(name), clip=str(clip))
    model: VisionLanguageModel = find_class(card.family).load(
        card,
        device=device,
        dtype=dtype,
        attention=attention,
        rfm=rfm,
        allow_pickle=allow_pickle,
        device_map=device_map,
        quantize=quantize,
    )
    return model
