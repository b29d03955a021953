"""The tables count what they say they count."""

from __future__ import annotations

import pytest

from uhrqa.answer import Evidence
from uhrqa.geometry import Box
from uhrqa.synth.questions import Question
from uhrqa.training.evaluate import (
    PRIOR,
    Row,
    common_answers,
    markdown,
    report,
    share_found,
    tabulate,
)

ROWS = [
    Row(PRIOR, 0, "count", 1024, True),
    Row(PRIOR, 0, "color", 2048, False),
    Row("rfm-dip", 128, "count", 1024, False),
    Row("rfm-dip", 256, "count", 1024, True),
    Row("rfm-dip", 256, "color", 2048, True),
]


def test_shares_and_counts_are_those_of_the_rows() -> None:
    table = tabulate(ROWS, lambda row: row.strategy, lambda row: row.category)
    assert table["rfm-dip"] == {
        "all": (pytest.approx(2 / 3), 3),
        "count": (0.5, 2),
        "color": (1.0, 1),
    }


def test_a_table_shows_a_dash_where_nothing_was_asked() -> None:
    text = markdown({"a": {"all": (0.5, 2), "count": (0.5, 2)}, "b": {"all": (1.0, 1)}}, "by")
    assert text.splitlines()[0] == "| by | all (n=2) | count (n=2) |"
    assert text.splitlines()[3] == "| b | 1.000 | - |"


def test_budgets_stand_in_the_order_of_their_numbers() -> None:
    rows = [Row("x", budget, "count", 1024, True) for budget in (1024, 128, 512)]
    head = markdown(tabulate(rows, lambda r: r.strategy, lambda r: str(r.budget)), "b")
    assert head.splitlines()[0] == "| b | all (n=3) | 128 (n=1) | 512 (n=1) | 1024 (n=1) |"


def test_the_report_sets_the_common_answer_beside_the_middle_budget() -> None:
    by_category = report(ROWS).split("\n\n")[1]
    assert "budget 256" in by_category
    assert f"| {PRIOR} | 0.500 |" in by_category
    assert "| rfm-dip | 1.000 |" in by_category


def test_an_object_is_found_by_an_unmerged_token_over_its_centre() -> None:
    boxes = (Box(0, 0, 10, 10), Box(100, 100, 110, 110), Box(40, 40, 50, 50))
    question = Question("?", "2", "count", boxes, (0, 1, 2))
    over, beside = Box(4, 4, 8, 8), Box(90, 90, 104, 104)
    evidence = [Evidence(over, 1, 0.5, 1), Evidence(beside, 1, 0.5, 1)]
    evidence += [Evidence(Box(0, 0, 200, 200), 1, 0.1, 9)]  # merged: shows nothing alone
    evidence += [Evidence(Box(40, 40, 60, 60), 0, None, 1)]  # thumbnail
    assert share_found(evidence, question) == pytest.approx(1 / 3)
    assert share_found(evidence, Question("?", "no", "existence")) is None


def test_the_common_answers_cover_the_categories() -> None:
    common = common_answers(40)
    assert common["existence"] in ("yes", "no")
    assert common["count"].isdigit()
