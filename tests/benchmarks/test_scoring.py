"""Every official rule and trap, with the example it was found by."""

from __future__ import annotations

import pytest

from tests.benchmarks.makers import CHOICES, row
from uhrqa.benchmarks import TASKS, synonyms
from uhrqa.benchmarks.letters import (
    mme_authors,
    mme_lmms_eval,
    mme_vlmevalkit,
    rshr_letters,
    strict_letters,
    xlrs_letters,
)
from uhrqa.benchmarks.rsvqa_hr import area_bin
from uhrqa.benchmarks.task import Task

COUNTS = ("(A) 4", "(B) 3", "(C) 11", "(D) lower right", "(E) not there")
LONG = "it is on the roof of one of those sheds over there"


def right(task: str, said: str, truth: str, scoring: str = "official", **parts) -> bool:
    found: Task = TASKS.load(task)
    _, rule = found.scorers[scoring]()
    return rule(said, row(1, said, truth, **parts))[1]


@pytest.fixture
def no_table(monkeypatch):
    monkeypatch.setattr(synonyms, "sharing", lambda: None)


@pytest.fixture
def small_table(monkeypatch):
    """Words that share a synset, as WordNet has them."""
    pairs = [{"2", "two"}, {"grey", "gray"}, {"circular", "round"}, {"parked", "parking"}]
    monkeypatch.setattr(synonyms, "sharing", lambda: lambda one, other: {one, other} in pairs)


@pytest.mark.parametrize(
    ("said", "authors", "lmms", "kit"),
    [
        ("B", "B", "B", "B"),
        ("(C) Red", "C", "C", "C"),
        ("", "A", "A", "A"),
        ("Answer: B", "A", "A", "A"),
        ("Both are shown, so D", "B", "B", "B"),
        ("Best option: C", "B", "C", "C"),
        ("The best answer is: D", "D", "D", "D"),
        ("b", "A", "B", "B"),
        ("white", "B", "", ""),
        ("<answer>d</answer>", "", "", "D"),
        (LONG, "", "", ""),
    ],
)
def test_the_three_rules_of_mme(said: str, authors: str, lmms: str, kit: str) -> None:
    assert mme_authors(said, CHOICES) == authors
    assert mme_lmms_eval(said, CHOICES) == lmms
    assert mme_vlmevalkit(said, CHOICES) == kit


@pytest.mark.parametrize(("said", "letter"), [("3", "B"), ("lower right", "D"), ("4", "A")])
def test_a_bare_value_scores_in_the_authors_script_alone(said: str, letter: str) -> None:
    assert mme_authors(said, COUNTS) == letter
    assert mme_lmms_eval(said, COUNTS) == ""


def test_a_long_answer_without_a_capital_is_none_even_where_a_choice_holds_it() -> None:
    assert len(LONG.split()) > 10
    assert mme_authors(LONG, (f"(A) {LONG}",)) == ""
    assert mme_authors(LONG[:20], (f"(A) {LONG}",)) == "A"


def test_an_empty_answer_is_a_for_mme_and_wrong_for_us_and_for_xlrs() -> None:
    for scoring in ("official", "lmms-eval", "vlmevalkit"):
        assert right("mme-realworld-rs", "", "A", scoring)
    assert not right("mme-realworld-rs", "", "A", "strict")
    assert not right("xlrs", "", "A")
    assert not right("rshr", "", "A", "strict")


@pytest.mark.parametrize(
    ("said", "letters"),
    [
        ("B", "B"), ("A C", "AC"), ("A, C", "AC"), ("AC", "AC"), ("(A) and (C)", "AC"),
        ("(A) C", "A"), ("(D) Red", "D"), ("(b)", ""), ("(b) B", "B"), ("D) Red", "DE"),
        ("Answer: B", "AEB"), ("Answer: D", "AED"), ("A. Black", "ABC"), ("A and C", "ADC"),
        ("The best answer is B", "B"), ("b", ""), ("", ""), ("The best option is B", "EB"),
        ("Best answer: C", "BEAC"),
    ],
)  # fmt: skip
def test_the_letters_of_xlrs(said: str, letters: str) -> None:
    assert xlrs_letters(said) == letters


@pytest.mark.parametrize("said", ["<answer>B</answer>", r"\boxed{B}", "The correct option is B"])
def test_wrappings_are_wrong_for_xlrs(said: str) -> None:
    assert not right("xlrs", said, "B")


def test_a_truth_with_a_blank_never_matches_officially() -> None:
    assert right("xlrs", "A C", "AC")
    assert right("xlrs", "C A", "AC")
    assert not right("xlrs", "A", "AC")
    assert not right("xlrs", "A C", "A C")
    assert right("xlrs", "A C", "A,C", "strict")


@pytest.mark.parametrize(
    ("said", "letters"),
    [("Answer: B", "AEB"), ("Option B", "B"), ("b", "B"), ("B<|im_end|>", "B"), ("A F", "AF")],
)
def test_the_letters_of_rshr(said: str, letters: str) -> None:
    assert set(rshr_letters(said)) == set(letters)


@pytest.mark.parametrize(
    ("said", "letters"),
    [
        ("B", "B"), ("b", "B"), ("(B)", "B"), ("B.", "B"), ("(B) White", "B"), ("white", "B"),
        ("A C", "AC"), ("A and C", "AC"), ("CA", "AC"), ("", ""), ("Answer: B", ""),
        ("B) Red", ""), ("I think B", ""), ("Bad", ""),
    ],
)  # fmt: skip
def test_the_strict_rule_takes_letters_and_choices_alone(said: str, letters: str) -> None:
    assert strict_letters(said, CHOICES) == letters


def test_lrs_vqa_strips_nothing(no_table) -> None:
    assert right("lrs-vqa", "Yes", "yes")
    assert right("lrs-vqa", "Parking lot", "parking lot")
    for said in ("urban.", " urban", "urban\n"):
        assert not right("lrs-vqa", said, "urban")
    assert right("lrs-vqa", " Urban. ", "urban", "strict")
    assert not right("lrs-vqa", "two", "2")


def test_lrs_vqa_takes_words_of_one_synset(small_table) -> None:
    assert right("lrs-vqa", "Two", "2")
    assert right("lrs-vqa", "grey", "gray")
    assert right("lrs-vqa", "round", "circular")
    assert not right("lrs-vqa", "2.", "2")
    assert not right("lrs-vqa", "two", "2", "strict")


def test_without_a_table_the_measure_has_another_name(monkeypatch, no_table) -> None:
    assert TASKS.load("lrs-vqa").scorers["official"]()[0] == "exact match"
    monkeypatch.setattr(synonyms, "sharing", lambda: lambda one, other: True)
    assert TASKS.load("lrs-vqa").scorers["official"]()[0] == "accuracy"
    assert TASKS.load("lrs-gro").scorers["official"]()[0] == "accuracy"


def test_lrs_gro_strips_and_lowers_and_reads_answer_tags(small_table) -> None:
    assert right("lrs-gro", " yes\n", "Yes")
    assert right("lrs-gro", "<think>…</think><answer> Grey </answer>", "gray")
    assert not right("lrs-gro", "yes.", "Yes")


@pytest.mark.parametrize(
    ("area", "name"),
    [
        (0, "0m2"), (10, "between 0m2 and 10m2"), (10.5, "between 10m2 and 100m2"),
        (100, "between 10m2 and 100m2"), (1000, "between 100m2 and 1000m2"),
        (1934, "more than 1000m2"),
    ],
)  # fmt: skip
def test_areas_are_binned_with_edges_in_the_lower_bin(area: float, name: str) -> None:
    assert area_bin(area) == name


def test_rsvqa_bins_answer_and_truth() -> None:
    assert right("rsvqa-hr", "2500 m2", "1934m2", category="area")
    assert right("rsvqa-hr", "more than 1000m2", "1934m2", category="area")
    assert not right("rsvqa-hr", "5m2", "0m2", category="area")
    assert not right("rsvqa-hr", "2500 m2", "1934m2", "strict", category="area")
    assert right("rsvqa-hr", "Yes", "yes", category="presence")
