"""Given answers as a tokenizer spells them.

An answer may be written with or without a blank before it, which are other tokens: both are
spellings of it, and its probability is the sum of theirs. Where one spelling begins another
(`1` and `10`), each is followed by the end of the answer, so that the shorter is not preferred for
being short.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from transformers import PreTrainedTokenizerBase

from uhrqa.errors import ConfigError

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """Answers to choose from.

    Attributes:
        texts: as they were given.
        spellings: token ids of each, in one way or more.
        ended: the end of the answer belongs to each.
    """

    texts: tuple[str, ...]
    spellings: tuple[tuple[Ids, ...], ...]
    ended: bool

    @property
    def longest(self) -> int:
        """Tokens of the longest, its end included."""
        return max(len(ids) for ways in self.spellings for ids in ways) + self.ended


def spell(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Choices:
    """Answers as token ids.

    Raises:
        ConfigError: the tokenizer makes the same tokens of two of them, or none of one.
    """
    ways = tuple(_ways(text, tokenizer) for text in texts)
    for (one, first), (other, second) in combinations(zip(texts, ways, strict=True), 2):
        if set(first) & set(second):
            raise ConfigError(
                f"choices: the model's tokenizer cannot tell '{one}' from '{other}'; "
                "write others, for example A and B"
            )
    unknown = [text for text, found in zip(texts, ways, strict=True) if not found]
    if unknown:
        raise ConfigError(f"choices: the model's tokenizer has no tokens for '{unknown[0]}'")
    return Choices(tuple(texts), ways, _is_begun(ways))


def _ways(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[Ids, ...]:
    unknown = tokenizer.unk_token_id
    found = (
        tuple(tokenizer(form, add_special_tokens=False).input_ids) for form in (text, f" {text}")
    )
    return tuple(dict.fromkeys(ids for ids in found if ids and unknown not in ids))


def _is_begun(ways: Iterable[tuple[Ids, ...]]) -> bool:
    """Whether a spelling of one answer begins a spelling of another."""
    return any(
        a == b[: len(a)] or b == a[: len(b)]
        for first, second in combinations(ways, 2)
        for a in first
        for b in second
    )
