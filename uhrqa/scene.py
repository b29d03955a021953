"""A scene: a raster seen through a model for one question, encoded on demand, with a ledger.

Strategies ask it for tokens and relevance and never see pixels, prompts or devices. It knows
nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from uhrqa.clip_relevance import clip_relevance
from uhrqa.clustering import KMeans
from uhrqa.config import MOST_SEED
from uhrqa.diversity import WIDTH
from uhrqa.encoding import TileEncoder
from uhrqa.errors import ConfigError, RasterError
from uhrqa.features import FeatureCache
from uhrqa.geometry import Size
from uhrqa.ledger import Choosing, Ledger
from uhrqa.pyramid import Level, Tile
from uhrqa.raster import Pixels, Raster
from uhrqa.relevance_pass import RelevanceReader
from uhrqa.scene_shape import SceneShape
from uhrqa.tile_cap import TileCap
from uhrqa.tokens import VisualTokens
from uhrqa.vlm import Prompt, SceneModel
from uhrqa.vlm.turns import Turns

NOTHING = "every pixel is transparent or no-data: there is nothing to look at"

ONE_TILE = "or use -s thumbnail (1 tile)"


class Scene(SceneShape):
    """One image and one question, seen through a model.

    Args:
        raster: where pixels come from.
        model: what encodes and attends.
        question: the user's words.
        features: encoded tiles shared with other questions about the same image.
        max_tiles: cap on tiles encoded for this question.
        seed: of every random choice a strategy makes.
        history: what was asked before, oldest first; it stands in the prompt.
        preface: what the model is told before the question, if anything.
        ahead: batches of tiles read before they are asked for, see `TileBatches`.

    Attributes:
        reader: whose relevance is read, and other ways to read it than `relevance`.

    Raises:
        QuestionError: the question is empty or holds the image token.
        ConfigError: the seed is out of range.
        ValueError: the cache holds another image or model.
    """

    encoder_type: ClassVar[type[TileEncoder]] = TileEncoder

    def __init__(  # noqa: PLR0913 - rare ones are keyword-only
        self,
        raster: Raster,
        model: SceneModel,
        question: str,
        *,
        features: FeatureCache | None = None,
        max_tiles: int | None = None,
        seed: int = 0,
        history: Turns = (),
        preface: str = "",
        ahead: int | None = None,
    ) -> None:
        self.question = question
        self.preface = preface
        self.prompt: Prompt = model.build_prompt(
            f"{preface} {question}" if preface else question, history
        )
        self.features = FeatureCache() if features is None else features
        self.max_tiles = max_tiles
        if not 0 <= seed <= MOST_SEED:
            raise ConfigError(f"seed {seed}: give a whole number from 0 to 2**63 - 1")
        self.seed = seed
        self.ledger = Ledger()
        self.reader = RelevanceReader(model, self.prompt, self.ledger)
        self._cap = TileCap(max_tiles)
        encoder = self.encoder_type(raster, model, self.features, self.ledger, ahead)
        super().__init__(raster, model, encoder)

    @property
    def tiles_left(self) -> int | None:
        """Tiles this question may still use; None when there is no cap.

        Cached tiles count too, so that an answer does not depend on questions asked before.
        """
        return self._cap.left

    def require_tiles(self, levels: Iterable[Level], instead: str = ONE_TILE) -> None:
        """Refuse before anything is read when whole levels are more than the cap on tiles.

        Args:
            levels: all of whose tiles are needed.
            instead: what else than more tiles would do.

        Raises:
            BudgetError: names the least feasible cap.
        """
        self._cap.require(levels, instead)

    def generator(self) -> torch.Generator:
        """A fresh random source that depends on the seed alone."""
        return torch.Generator().manual_seed(self.seed)

    def shown_cells(self, level: Level) -> Tensor:
        """`[rows, cols]` bool, tokens that show image; read where that is not known."""
        return self._encoder.shown_cells(level)

    def tokens(
        self,
        level: Level,
        tiles: Iterable[Tile] | None = None,
        *,
        masked: bool = False,
        placed: int = 1,
    ) -> VisualTokens:
        """Visual tokens of some tiles of a level (all by default), in raster order.

        Tokens that show nothing but padding or no-data are left out. Encodes what is not cached.

        Args:
            level: the level.
            tiles: some of its tiles.
            masked: those that show no-data alone are taken, too.
            placed: how often the checkpoint's tables of place and scale are added, where it has
                any.

        Raises:
            BudgetError: more tiles than `max_tiles` would have to be encoded.
            RasterError: the image cannot be read there, or a tiled level shows nothing at all.
        """
        return self.placed(self._see(level, tiles, masked=masked)[0], placed)

    def watched(self, level: Level) -> tuple[VisualTokens, Tensor]:
        """All tokens of a level, and what the vision tower makes of each inside its tile.

        Returns:
            N tokens as `tokens` gives them, and `[N, 1 + d]` float32: how much the tower attends to
            a token, then its key. Pooled tokens have the mean of what they are made of.

        Raises:
            BudgetError: more tiles than `max_tiles` would have to be encoded.
            RasterError: the image cannot be read there, or it shows nothing at all.
        """
        tokens, traits = self._see(level, watch=True)
        tokens = self.placed(tokens)
        return tokens, torch.zeros(len(tokens), 2) if traits is None else traits

    def _see(
        self,
        level: Level,
        tiles: Iterable[Tile] | None = None,
        *,
        masked: bool = False,
        watch: bool = False,
    ) -> tuple[VisualTokens, Tensor | None]:
        """Tokens of tiles as encoded, and what the tower makes of them where that was watched."""
        wanted = sorted(set(level.tiles() if tiles is None else tiles), key=_raster_order)
        self._cap.check(level, wanted)
        have, missing = self._encoder.encode(level, wanted, masked=masked, watch=watch)
        fresh = self._cap.use(level, wanted)
        self.ledger.reused[level] += len(fresh - set(missing))
        encoded = {tile: have[tile] for tile in wanted}
        tokens, traits = self._encoder.lay_out(level, encoded, masked)
        if tiles is None and level.index and not len(tokens):
            raise RasterError(f"{self.raster.path}: {NOTHING}")
        self.ledger.seen[level] += self._encoder.count_in(level, tokens, fresh)
        return tokens, traits

    def placed(self, tokens: VisualTokens, times: int = 1) -> VisualTokens:
        """Tokens with the checkpoint's tables of place and scale added, where it has any."""
        if self.model.placement is not None:
            for _ in range(times):
                tokens = self.model.placement.place(tokens, self.size)
        return tokens

    def features_of(self, tokens: VisualTokens) -> Tensor:
        """`[N, D]` what enters the decoder, without what its inner layers add."""
        return tokens.embed[:, : self.model.card.dims.decoder.width]

    def relevance(
        self,
        tokens: VisualTokens,
        context: VisualTokens | None = None,
        *,
        source: str = "auto",
        layer: int | None = None,
        rows: str = "last",
    ) -> Tensor:
        """How much the question attends to each of `tokens`, in one relevance pass.

        Asked again about the same tokens, it answers without another pass.

        Args:
            tokens: N tokens in raster order, as `tokens` gives them.
            context: tokens that stand before them in the pass but get no score (the thumbnail).
            source: `rfm`, `llm`, `auto`, or `clip`, which sees no context.
            layer: decoder layer for `llm`, negative from the last one; the card's by default.
            rows: `last` text token, or the mean over all `text` tokens behind the image.

        Returns:
            `[N]` float32, softmax over `tokens` alone, mean over heads; sums to 1. Where the pass
            would not fit the model's context, neighbouring tokens are pooled and share a score.

        Raises:
            ConfigError: an attention the model does not have, or another word.
            BudgetError: question and `context` leave no room in the model's context.

        Source: Luo et al. 2025, Sec. 4.1.2; Dang et al. 2026, Eq. 2.
        """
        towers = self.model.paired
        if self.reader.source(source) == "clip" and towers is not None:
            return self.reader.once(
                ("clip",),
                tokens,
                lambda: clip_relevance(self._encoder, towers, tokens, self.question),
            )
        return self.reader.read(tokens, context, source=source, layer=layer, rows=rows)

    def overview(self, out: Size) -> Pixels:
        """The whole image in `out` pixels; the read is noted in the ledger."""
        return self._encoder.overview(out)

    def note_choosing(self, points: int, picks: int, *, has_factor: bool = False) -> None:
        """Note in the ledger that tokens are compared one by one with all; see `Choosing`."""
        width = self.model.card.dims.decoder.width
        compared = min(width, WIDTH)
        if has_factor:  # its rank: after that many picks nothing adds anything
            picks = min(picks, compared)
        self.ledger.choosings.append(Choosing(points, picks, width, compared, has_factor))

    def kmeans(self, tokens: VisualTokens, places: Tensor, how: KMeans) -> Tensor:
        """`[N]` regions of tokens at `[N, 2]` places, at most `how.k`; noted in the ledger."""
        width = self.model.card.dims.decoder.width
        self.ledger.clusterings += how.passes(len(tokens), width)
        return self._clustered(tokens, places, how)

    def _clustered(self, tokens: VisualTokens, places: Tensor, how: KMeans) -> Tensor:
        return how.regions(self.features_of(tokens), places, self.seed)


def _raster_order(tile: Tile) -> tuple[int, int]:
    return tile.row, tile.col
