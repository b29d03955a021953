"""The hard cap on what enters the answering pass, and how people write it.

Knows nothing of strategies: `uhrqa.selection` enforces the cap, this module only says what it is.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from fractions import Fraction

from uhrqa.errors import BudgetError, ConfigError

_WRITTEN = re.compile(r"(?P<number>\d{1,99}(?:\.\d{1,99})?)\s*(?P<unit>k|K|ki|Ki|M|Mi)?", re.ASCII)
_UNITS = {"": 1, "k": 1000, "ki": 1024, "m": 10**6, "mi": 2**20}
MOST_TOKENS = 10**9  # far past any context; keeps a slip of the finger from becoming a number
AUTO = "auto"
RUNGS = 4  # budgets that `auto` tries, each twice the one before; together below twice the last

PAPERS = {"default": 3000, "xlrs": 11_100, "mme": 6000, "rshr": 6000}
"""Budgets by UHR-BAT's names for their shares among views (appendix A)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a strategy may spend.

    Attributes:
        tokens: visual tokens, separators included, that may enter the answering pass.
            A strategy that drops some of them between the decoder's layers is held to the mean
            over layers.
        tiles: tiles that may be encoded, those of the relevance passes included; no cap when None.
        entering: visual tokens that may enter the decoder's first layer, whatever is dropped
            later: what its context has room for. No cap when None.
        auto: start with less, and go on to `tokens` only while the answer changes.

    Raises:
        BudgetError: a cap below 1.
    """

    tokens: int
    tiles: int | None = None
    auto: bool = False
    entering: int | None = None

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise BudgetError(f"a budget of {self.tokens} visual tokens: use 1 or more", least=1)
        if self.tiles is not None and self.tiles < 1:
            raise BudgetError(f"at most {self.tiles} tiles: use 1 or more", least=1)

    @classmethod
    def of(
        cls, tokens: Budget | int | str, tiles: int | None = None, *, usual: int | None = None
    ) -> Budget:
        """A budget from whatever a caller may write for one.

        Args:
            tokens: a budget, a number of visual tokens, or text as `parse_budget` reads it.
            tiles: cap on tiles; beside a budget that has one, the smaller holds.
            usual: the most that `auto` spends where it is written without a number; where None,
                it must have one.

        Raises:
            BudgetError: a cap below 1.
            ConfigError: text that is no budget.
            TypeError: neither a budget, nor a whole number, nor text.
        """
        if isinstance(tokens, Budget):
            caps = [cap for cap in (tokens.tiles, tiles) if cap is not None]
            return cls(tokens.tokens, min(caps, default=None), tokens.auto, tokens.entering)
        if isinstance(tokens, str):
            written = parse_budget(tokens)
            if isinstance(written, int):
                return cls(written, tiles)
            most = written.removeprefix(AUTO).removeprefix(":") or usual
            if most is None:
                raise ConfigError("budget 'auto': say how much it may spend, as in auto:4k")
            return cls(int(most), tiles, auto=True)
        if isinstance(tokens, bool):
            raise TypeError(f"a budget of {tokens}: give a whole number, '4k' or a Budget")
        return cls(operator.index(tokens), tiles)

    def rungs(self) -> tuple[Budget, ...]:
        """What is tried in turn: this one alone, or for `auto` 1/8, 1/4, 1/2 and all of it."""
        if not self.auto:
            return (self,)
        parts = {max(1, self.tokens >> halvings) for halvings in range(RUNGS)}
        return tuple(Budget(tokens, self.tiles) for tokens in sorted(parts))


def parse_budget(text: str) -> int | str:
    """Read a budget: a number of tokens, `auto`, or `auto:` and the most tokens it may spend.

    Returns:
        The number, or `auto` in one spelling: `auto`, `auto:4000`.

    Raises:
        ConfigError: neither.
    """
    word, colon, most = text.strip().partition(":")
    if word.lower() != AUTO:
        return parse_tokens(text)
    return f"{AUTO}:{parse_tokens(most)}" if colon else AUTO


def parse_tokens(text: str) -> int:
    """Read a number of tokens: `4096`, `4k` and `4K` (4000), `4Ki` (4096), `1.5k`, `1M`, `1Mi`.

    Raises:
        ConfigError: not such a number, less than 1, or not a whole number of tokens.
    """
    form = "write a whole number such as 4096, 4k (= 4000) or 4Ki (= 4096)"
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        name = text.strip().lower()
        if most := PAPERS.get(name):
            form = f"it names how region-merge shares {most}: -b {most} -o shares={name}"
        raise ConfigError(f"budget '{text}' is not a number of tokens; {form}")
    tokens = Fraction(match["number"]) * _UNITS[(match["unit"] or "").lower()]
    if tokens == 0:
        raise ConfigError(f"budget '{text}' leaves no token; use 1 or more")
    if tokens.denominator != 1:
        raise ConfigError(f"budget '{text}' is {float(tokens):g} tokens; {form}")
    if tokens > MOST_TOKENS:
        raise ConfigError(f"budget '{text}' is above {MOST_TOKENS} tokens; {form}")
    return int(tokens)
