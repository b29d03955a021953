"""What goes into a decoder and what comes out: prompts, sequences, answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from uhrqa.tokens import VisualTokens
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
class Unanswered:
    """A sequence that waits for its answer.

    Attributes:
        sequence: visual tokens and question.
        longest: tokens that are written at most.
        prefix: shared with other questions: what stands before a question runs once.
    """

    sequence: Sequence
    longest: int
    prefix: Prefix | None = None


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
