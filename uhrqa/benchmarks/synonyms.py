"""Whether two words mean the same, for the benchmarks whose authors ask WordNet.

Path similarity above 0.8 comes to this: two words share a synset. The table lies in
`uhrqa.benchmarks.wordnet`; where there is none, only equal words are the same, and the measure has
another name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

EXACT, SYNSETS = "exact match", "accuracy"
Sharing = Callable[[str, str], bool | None]


@cache
def sharing() -> Sharing | None:
    """`share_synset`: whether two words share a synset; None where there is no table."""
    try:
        module = importlib.import_module("uhrqa.benchmarks.wordnet")
    except ModuleNotFoundError:
        return None
    share: Sharing = module.share_synset
    return share if share("building", "building") is not None else None


def measure() -> str:
    """What a share of right answers is called: the authors' word only where their rule is held."""
    return SYNSETS if sharing() is not None else EXACT


def same_meaning(one: str, other: str) -> bool:
    """Whether two texts are equal or share a synset; without a table, whether they are equal."""
    if one == other:
        return True
    share = sharing()
    return share is not None and bool(share(one, other))
