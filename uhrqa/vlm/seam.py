"""What everything above the models knows of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from uhrqa.vlm.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Many

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
    from uhrqa.vlm.sequence import Generation, Prompt, Sequence, Unanswered


class SceneModel(Protocol):
    """What a scene needs of a model: it sees tiles, and attends to them for a question."""

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


class VisionLanguageModel(SceneModel, Protocol):
    """The seam between models and everything above them: a model that also answers."""

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

    def generate_together(self, waiting: Many[Unanswered]) -> list[Generation]:
        """What `generate` gives for each, their tokens written side by side.

        Errors as for `generate`, and torch's own where memory runs out.
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
