"""Which letter an answer gives, by the rules of those who publish a data set, and by a strict one.

The rules of others are followed to the letter, faults included; what they do to an answer is told
beside each. Facts about them were read off runs of their code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LETTERS = "ABCDE"
OPENINGS = ("The best answer is", "The correct answer is", "The answer is", "The answer")
CLOSINGS = ("The best option is", "The correct option is", "Best answer:", "Best option:")
GLUED = ("The best option isThe correct option is", "Best answer:Best option:")
"""What two missing commas make of `CLOSINGS` in the authors' scripts: texts that never match."""
MOST_WORDS = 10  # a longer answer without a capital letter is none
BARE = tuple(f"({letter})" for letter in LETTERS)
TEMPLATE = re.compile(r"<\|[^|<>]*\|>|</?s>")
TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
CHOICE = re.compile(r"\s*\(?([A-Fa-f])\s*[).:]\s*(.*)", re.DOTALL)
LONE = re.compile(r"\(?([A-Fa-f])\)?[.:]?")


def mme_letter(said: str, choices: Sequence[str], prefixes: Sequence[str]) -> str:
    """MME-RealWorld's rule.

    An empty answer is the first choice, as it is part of every text. `Answer: B` is A.

    Args:
        said: the answer.
        choices: a text that only occurs in a choice's text stands for it.
        prefixes: texts that are left out.

    Returns:
        A capital letter, or the empty text.
    """
    text = said.strip()
    for prefix in prefixes:
        text = text.replace(prefix, "")
    found = re.search(f"[{LETTERS}]", text)
    if found is None and len(text.split()) > MOST_WORDS:
        return ""
    if found is not None:
        return found[0]
    return next((choice[1:2] for choice in choices if text.lower() in choice.lower()), "")


def mme_authors(said: str, choices: Sequence[str]) -> str:
    """The rule as in the authors' script, which looks into the record's own choices."""
    return mme_letter(said, choices, (*OPENINGS, *GLUED))


def mme_lmms_eval(said: str, choices: Sequence[str]) -> str:
    """The rule as in lmms-eval, which knows no texts of choices."""
    return mme_letter(said, BARE, (*OPENINGS, *CLOSINGS))


def mme_vlmevalkit(said: str, choices: Sequence[str]) -> str:
    """The rule as in VLMEvalKit: what stands between answer tags goes first, in capitals."""
    tagged = TAGGED.search(said)
    return mme_lmms_eval(tagged[1].upper() if tagged else said, choices)


def xlrs_letters(said: str, choices: Sequence[str] = ()) -> str:
    """XLRS-Bench's rule, the same in lmms-eval and in VLMEvalKit.

    Letters in brackets if there are any, else every letter a to e of the text, inside words too, so
    that `Answer: B` is A, B and E. Without any capital letter there is no answer.

    Returns:
        Capital letters, each once, in order of appearance.
    """
    text = said.strip()
    for prefix in (*OPENINGS, *GLUED):
        text = text.replace(prefix, "")
    if not re.search(f"[{LETTERS}]", text):
        return ""
    found = re.findall(r"\(([a-eA-E])\)", text) or re.findall(r"[a-eA-E]", text)
    return "".join(dict.fromkeys("".join(found).upper()))


def rshr_letters(said: str, choices: Sequence[str] = ()) -> str:
    """The rule of UHR-BAT's script for RSHR-Bench: every letter A to F of the upper-cased text."""
    found = re.findall("[A-F]", TEMPLATE.sub("", said).upper())
    return "".join(dict.fromkeys(found))


def strict_letters(said: str, choices: Sequence[str] = ()) -> str:
    """Our rule: an answer is a letter, or letters, or a choice as it is written, and nothing else.

    `B`, `b`, `(B)`, `B.`, `B) Red` and `Red` are B where that choice is red; `A C`, `A, C`, `AC`
    and `A and C` are A and C. Whatever else is said, and nothing at all, is no answer.

    Returns:
        Capital letters in alphabetical order, or the empty text.
    """
    text = TEMPLATE.sub("", said).strip()
    texts = {letter: words for letter, words in map(split_choice, choices) if letter}
    for letter, words in texts.items():
        if text.rstrip(".").casefold() == words.rstrip(".").casefold():
            return letter
    opening = CHOICE.fullmatch(text)
    if opening and opening[2]:
        letter, words = opening[1].upper(), opening[2].strip().rstrip(".").casefold()
        if words == texts.get(letter, "").rstrip(".").casefold():
            return letter
    parts = [part for part in re.split(r"[\s,;]+|\band\b", text) if part]
    if len(parts) == 1 and re.fullmatch("[A-F]{2,}", parts[0]):
        parts = list(parts[0])
    if not parts or not all(LONE.fullmatch(part) for part in parts):
        return ""
    return "".join(sorted({part.strip("().:").upper() for part in parts}))


def unoffered(truth: str, choices: Sequence[str]) -> str:
    """Letters of a truth that none of its choices has; where these have none, they count from A."""
    if any(choice.startswith(f"({truth})") for choice in choices):  # as nearly all are written
        return ""
    letters = {
        split_choice(choice)[0] or chr(ord("A") + index) for index, choice in enumerate(choices)
    }
    return "".join(sorted(set(re.findall("[A-Z]", truth.upper())) - letters))


def split_choice(choice: str) -> tuple[str, str]:
    """Letter and text of a choice as it is written; no letter where it has none."""
    found = CHOICE.fullmatch(choice)
    return (found[1].upper(), found[2].strip()) if found else ("", choice.strip())
