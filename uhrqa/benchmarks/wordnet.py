"""Whether two words share a synset of WordNet 3.0, from a table that comes with the package.

LRS-VQA and others count an answer as right when WordNet's path similarity with the truth exceeds
0.8. Path similarity is 1 / (1 + d) with d the steps between two synsets: 1, 0.5, 0.33 and so on.
So the rule means that the two words share a synset, in any sense and part of speech.

The table (`wordnet.z`, made by `python -m benchmarks.pack_wordnet`) holds every lemma with the
numbers of those of its synsets that have other lemmas too; a synset of one lemma is shared by
nothing but this lemma. WordNet's licence is beside it, in `WORDNET.txt`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).with_name("wordnet.z")
DETACHMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"),
             ("shes", "sh"), ("men", "man"), ("ies", "y")),
    "verb": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""),
             ("ing", "e"), ("ing", "")),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip
"""Endings of each part of speech, and what stands there in the lemma (morphy, WordNet 3.0)."""


@dataclass(slots=True)
class Part:
    """One part of speech.

    Attributes:
        synsets: lemma to the numbers of its synsets with other lemmas, as text.
        exceptions: irregular form to its lemmas, as text.
    """

    synsets: dict[str, str] = field(default_factory=dict)
    exceptions: dict[str, str] = field(default_factory=dict)


def share_synset(a: str, b: str, again: bool = False) -> bool | None:
    """Whether two words share a synset; None where the table is absent.

    Nothing is done to the words but what WordNet does: small letters, and their lemmas by morphy.
    Words with blanks have no synset; WordNet writes `parking_lot`.

    Args:
        a: a word.
        b: another one.
        again: detach endings again and again until a lemma is found, as NLTK did up to 3.8.1; it
            does it once since 3.9.

    Source: WordNet 3.0, morphy(7WN); NLTK's `wordnet.synsets` and `path_similarity`.
    """
    table = load_table(TABLE)
    if table is None:
        return None
    return not synsets(table, a, again).isdisjoint(synsets(table, b, again))


@lru_cache(maxsize=2)
def load_table(path: Path) -> Mapping[str, Part] | None:
    """The packed table by part of speech; None where there is none."""
    try:
        text = zlib.decompress(path.read_bytes()).decode()
    except FileNotFoundError:
        return None
    return read_parts(text.splitlines())


def read_parts(lines: Iterable[str]) -> dict[str, Part]:
    """Parts of speech from a table's lines: `= noun`, then lemmas; `~ noun`, then exceptions."""
    parts = {name: Part() for name in DETACHMENTS}
    into: dict[str, str] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in ("=", "~"):
            into = parts[rest].synsets if word == "=" else parts[rest].exceptions
        else:
            into[word] = rest
    return parts


def synsets(table: Mapping[str, Part], word: str, again: bool = False) -> set[tuple[str, str]]:
    """What a word may mean: (part of speech, number), and (part of speech, lemma)."""
    found: set[tuple[str, str]] = set()
    for name, part in table.items():
        for lemma in lemmas(part, DETACHMENTS[name], word.lower(), again):
            found.add((name, lemma))  # no number is a lemma: see `benchmarks.pack_wordnet`
            found.update((name, number) for number in part.synsets[lemma].split())
    return found


def lemmas(
    part: Part, detachments: tuple[tuple[str, str], ...], form: str, again: bool = False
) -> list[str]:
    """The lemmas that a form may be of, itself first.

    Source: morphy(7WN): an irregular form has the lemmas of its list; another one those that are
    left when an ending is taken off.
    """
    if form in part.exceptions:
        return _known(part, [form, *part.exceptions[form].split()])
    forms = _detached([form], detachments)
    found = _known(part, [form, *forms])
    while again and forms and not found:
        forms = _detached(forms, detachments)
        found = _known(part, forms)
    return found


def _detached(forms: list[str], detachments: tuple[tuple[str, str], ...]) -> list[str]:
    return [
        form[: len(form) - len(old)] + new
        for form in forms
        for old, new in detachments
        if form.endswith(old)
    ]


def _known(part: Part, forms: list[str]) -> list[str]:
    return [form for form in dict.fromkeys(forms) if form in part.synsets]
