"""The report says what the rows say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.evaluation.makers import MANIFEST, row
from uhrqa.errors import ConfigError
from uhrqa.evaluation import plot
from uhrqa.evaluation.page import command_of, markdown_page, markdown_table
from uhrqa.evaluation.row_log import Results
from uhrqa.evaluation.rows import Refusal
from uhrqa.evaluation.tables import (
    Table,
    accuracy_table,
    chosen_budget,
    refusal_lines,
    report_tables,
)


def results() -> Results:
    """Two questions about two scenes; at 64 `full` answers one of them, at 128 none."""
    found = Results(MANIFEST)
    for scene, side in enumerate((4096, 8192)):
        common: dict[str, Any] = {
            "scene": scene,
            "side": side,
            "kept": 100,
            "tiles": 3,
            "tflops": 0.5,
        }
        found.add(row("rfm-dip", 64, right=False, **{**common, "kept": 60}))
        found.add(row("rfm-dip", 256, right=scene == 0, found=0.5, **common))
        found.add(row("majority", 0, right=False, scene=scene, side=side))
        found.add(row("oracle", 0, **common))
        found.add(Refusal(scene, 0, "full", 256, reason="needs 900"))
    found.add(row("full", 64, side=4096))
    found.add(Refusal(1, 0, "full", 64, reason="needs 900"))
    return found


def test_accuracy_stands_by_strategy_and_budget_with_its_interval() -> None:
    table = accuracy_table(results())
    assert table.heads == ("strategy", "64", "256", "no budget")
    assert table.title.startswith("Right of 2 questions")
    assert table.lines == [
        ("rfm-dip", ".00 [.00, .00]", ".50 [.00, 1.00]", "-"),
        ("full", "1.00 [-] n=1", "refused", "-"),
        ("majority", "-", "-", ".00 [.00, .00]"),
        ("oracle", "-", "-", "1.00 [1.00, 1.00]"),
    ]


def test_tables_of_one_budget_show_that_budget_and_the_controls() -> None:
    _, category, _, side, cost = report_tables(results())
    assert category.lines == [("rfm-dip", ".50"), ("majority", ".00"), ("oracle", "1.00")]
    assert side.heads == ("strategy", "4096 (n=1)", "8192 (n=1)")
    assert side.lines[0] == ("rfm-dip", "1.00", ".00")
    assert cost.lines[0] == ("rfm-dip", "0.50", "100", "3.0", "0.500", "-", "-")
    _, category, _, side, _ = report_tables(results(), at=64)
    assert category.lines[:2] == [("rfm-dip", ".00"), ("full", "1.00 n=1")]
    assert side.lines[1] == ("full", "1.00", "-")


def test_the_budget_shown_is_256_or_a_middle_one_unless_it_is_named() -> None:
    assert chosen_budget([512, 64, 128]) == 128
    assert chosen_budget([512, 64, 128, 256]) == 256
    assert chosen_budget([64, 128, 512], 512) == 512
    assert chosen_budget([]) == 0
    with pytest.raises(ConfigError, match="--at 100: nothing is asked at that budget; there are 6"):
        chosen_budget([64, 128, 512], 100)


def test_refusals_are_counted_by_strategy_and_budget() -> None:
    assert refusal_lines(results()) == [
        "full at 256: 2 questions refused: needs 900",
        "full at 64: 1 question refused: needs 900",
    ]


def test_the_page_holds_tables_picture_refusals_and_the_command() -> None:
    tables = report_tables(results())
    page = markdown_page(results(), tables, "synth.svg")
    assert "![accuracy against visual tokens](synth.svg)" in page
    assert "2 questions about 2 scenes of the test split" in page
    assert all(markdown_table(table) in page for table in tables)
    assert "- full at 64: 1 question refused" in page
    command = "uhrqa eval synth -m tiny -s rfm-dip -b 128 --scenes 2 --sides 512 --split test"
    assert command_of(MANIFEST) == f"{command} --seed 0 --dtype float32"
    assert command in page
    assert "![" not in markdown_page(results(), tables)


def test_a_markdown_table_has_a_line_for_each_line() -> None:
    text = markdown_table(Table("t", ("a", "b"), [("1", "2")]))
    assert text == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_plot_leaves_out_what_was_asked_of_easier_questions_only() -> None:
    found = plot.points(results())
    assert set(found) == {"rfm-dip", "majority", "oracle"}
    assert [(p.tokens, p.share) for p in found["rfm-dip"]] == [(60, 0), (100, 0.5)]


def test_labels_move_apart_in_their_order_and_no_further_than_needed() -> None:
    assert plot.spread_labels([0.9, 0.1], 0.1) == [0.9, 0.1]
    assert plot.spread_labels([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert plot.spread_labels([0.5, 0.52, 0.62], 0.1) == pytest.approx([0.4467, 0.5467, 0.6467],
                                                                       abs=1e-4)  # fmt: skip
    assert plot.spread_labels([], 0.1) == []


def test_a_plot_is_drawn_with_every_strategy_named_and_the_same_every_time(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    one, other = tmp_path / "a.svg", tmp_path / "b.svg"
    plot.draw_plot(results(), one)
    plot.draw_plot(results(), other)
    text = one.read_text()
    assert one.read_bytes() == other.read_bytes()
    assert all(f">{name}<" in text for name in ("rfm-dip", "oracle 1.00", "majority 0.00"))
    plot.draw_plot(results(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_one_line_names_the_extra(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'uhrqa\[plot\]'"):
        plot.require_matplotlib(tmp_path / "a.svg")
    with pytest.raises(ConfigError, match=r"ends with \.svg or \.png"):
        plot.require_matplotlib(tmp_path / "a.pdf")
