"""Two words share a synset exactly when the rule, written out over WordNet's own files, says so."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from benchmarks.pack_wordnet import NOTICE, notice, pack
from uhrqa.benchmarks import wordnet
from uhrqa.benchmarks.wordnet import TABLE, load_table, share_synset

# What NLTK 3.9 says of LRS-VQA's scorer: path similarity above 0.8 in any pair of senses.
SAME = [("2", "two"), ("2", "ii"), ("2", "deuce"), ("25", "twenty-five"), ("0", "zero"),
        ("grey", "gray"), ("buildings", "building"), ("parked", "park"), ("parked", "parking"),
        ("circular", "round"), ("dark", "blue"), ("no", "nobelium"), ("building", "construction"),
        ("rectangular", "orthogonal"), ("parking_lot", "car_park"), ("Yes", "yes"),
        ("geese", "goose"), ("flying", "fly"), ("larger", "large")]  # fmt: skip
OTHER = [("urban.", "urban"), ("2.", "two"), ("2.0", "two"), ("02", "two"), ("2 bridges", "two"),
         ("twenty five", "25"), ("none", "0"), ("airplane", "aircraft"), ("ship", "vessel"),
         ("rectangular", "rectangle"), ("circular", "circle"), ("parking lot", "car park"),
         ("dock", "dockings"), ("", "")]  # fmt: skip

INDEX = {
    "noun": ["box n 1 1 @ 1 0 00000011", "crate n 2 1 @ 2 0 00000011 00000012",
             "man n 1 1 @ 1 0 00000013", "lady n 1 0 1 0 00000014", "bus n 1 0 1 0 00000015",
             "leaf n 1 0 1 0 00000016", "dock n 1 0 1 0 00000017", "boxing n 1 0 1 0 00000018",
             "foot n 1 0 1 0 00000019", "base n 1 0 1 0 00000020",
             "feet n 1 0 1 0 00000021", "paws n 1 0 1 0 00000021"],
    "verb": ["box v 1 1 @ 1 0 00000011", "dock v 1 0 1 0 00000031", "moor v 1 0 1 0 00000031",
             "bake v 1 0 1 0 00000032", "carry v 1 0 1 0 00000033", "go v 1 0 1 0 00000034",
             "crate v 1 0 1 0 00000035"],
    "adj": ["big a 1 0 1 0 00000041", "large a 1 1 & 1 0 00000041", "nice a 1 0 1 0 00000042"],
    "adv": ["big r 1 0 1 0 00000051", "boastfully r 1 0 1 0 00000051"],
}  # fmt: skip
EXCEPTIONS = {"noun": ["feet foot", "bases basis base", "oxen ox"], "verb": ["went go"],
              "adj": ["bigger big"], "adv": []}  # fmt: skip
HEAD = ["  1 This software is provided  ", "  2   ", "  3 WordNet 3.0 Copyright  "]
WORDS = ["box", "boxes", "boxed", "boxing", "crate", "crates", "men", "man", "lady", "ladies",
         "buses", "bus", "leaves", "leaf", "dock", "docks", "docking", "dockings", "moored", "moor",
         "bake", "baked", "baking", "carries", "carry", "went", "go", "big", "bigger", "biggest",
         "large", "larger", "nicest", "nice", "boastfully", "feet", "foot", "bases", "base", "oxen",
         "paws", "BOX", "x", "", "a box"]  # fmt: skip
ENDINGS = {
    "noun": {"s": [""], "ses": ["s"], "ves": ["f"], "xes": ["x"], "zes": ["z"], "ches": ["ch"],
             "shes": ["sh"], "men": ["man"], "ies": ["y"]},
    "verb": {"s": [""], "ies": ["y"], "es": ["e", ""], "ed": ["e", ""], "ing": ["e", ""]},
    "adj": {"er": ["", "e"], "est": ["", "e"]},
    "adv": {},
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in INDEX:
        (tmp_path / f"index.{name}").write_text("\n".join([*HEAD, *INDEX[name]]) + "\n")
        (tmp_path / f"{name}.exc").write_text("".join(f"{line}\n" for line in EXCEPTIONS[name]))
    return tmp_path


def offsets(word: str, again: bool) -> set[tuple[str, str]]:
    """All synsets of a word by the rule written out, from the lines of the files."""
    found = set()
    for part, lines in INDEX.items():
        known = {line.split()[0]: [f for f in line.split() if len(f) == 8] for line in lines}
        irregular = {line.split()[0]: line.split()[1:] for line in EXCEPTIONS[part]}
        form = word.lower()
        if form in irregular:
            bases = {form, *irregular[form]}
        else:
            left = shorter({form}, part)
            bases = {form} | left
            while again and left and not bases & set(known):
                bases = left = shorter(left, part)
        for base in bases & set(known):
            found |= {(part, offset) for offset in known[base]}
    return found


def shorter(forms: set[str], part: str) -> set[str]:
    return {
        form.removesuffix(old) + new
        for form in forms
        for old, several in ENDINGS[part].items()
        for new in several
        if form.endswith(old)
    }


@pytest.mark.parametrize("again", [False, True])
def test_every_pair_is_judged_as_the_rule_written_out_says(
    files: Path, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = files / "small.z"
    packed.write_bytes(pack(files))
    monkeypatch.setattr(wordnet, "TABLE", packed)
    found = {(a, b): share_synset(a, b, again=again) for a, b in product(WORDS, repeat=2)}
    wanted = {(a, b): bool(offsets(a, again) & offsets(b, again)) for a, b in found}
    assert found == wanted
    assert found["dock", "dockings"] is again
    assert sum(map(bool, found.values())) > 80


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_counts_as_right_in_lrs_vqa(one: str, other: str) -> None:
    assert share_synset(one, other) is True
    assert share_synset(other, one) is True


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_counts_as_wrong_in_lrs_vqa(one: str, other: str) -> None:
    assert share_synset(one, other) is False
    assert share_synset(other, one) is False


def test_older_nltk_takes_endings_off_again() -> None:
    assert share_synset("dock", "dockings", again=True) is True


def test_the_table_has_all_of_wordnet_and_is_small() -> None:
    table = load_table(TABLE)
    assert table is not None
    sizes = [len(table[name].synsets) for name in ("noun", "verb", "adj", "adv")]
    assert sizes == [117798, 11529, 21479, 4481]  # WNSTATS(7WN): unique strings of WordNet 3.0
    assert TABLE.stat().st_size < 3e6
    assert "Copyright 2006 by Princeton University" in NOTICE.read_text()


def test_without_a_table_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wordnet, "TABLE", tmp_path / "none.z")
    assert share_synset("grey", "gray") is None


def test_the_same_files_pack_to_the_same_bytes_and_bring_their_licence(files: Path) -> None:
    assert pack(files) == pack(files)
    assert notice(files).endswith("This software is provided\n\nWordNet 3.0 Copyright\n")
