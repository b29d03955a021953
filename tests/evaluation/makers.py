"""Rows and runs the evaluation tests share."""

from __future__ import annotations

from typing import Any

from uhrqa.evaluation.rows import Row
from uhrqa.evaluation.run import Plan
from uhrqa.evaluation.source import Source
from uhrqa.strategies import make_strategy

MANIFEST = {
    "model": {"name": "tiny", "stamp": "0123"},
    "dtype": "torch.float32",
    "scenes": 2,
    "sides": [512],
    "split": "test",
    "strategies": {"rfm-dip": {}},
    "budgets": [128],
    "seed": 0,
    "versions": {"uhrqa": "0.1.0"},
}


def row(strategy: str = "rfm-dip", budget: int = 128, right: bool = True, **parts: Any) -> Row:
    """A row with what a test does not care about filled in."""
    expected = parts.pop("expected", "red")
    said = parts.pop("said", expected if right else "blue")
    values: dict[str, Any] = {
        "scene": 0,
        "question": 0,
        "text": "?",
        "category": "color",
        "side": 4096,
    }
    values |= {"target": 10.0, **parts}
    return Row(strategy=strategy, budget=budget, expected=expected, said=said, **values)


def small_plan(strategies: tuple[str, ...] = ("uniform",), limit: int | None = 3) -> Plan:
    """Questions about two small scenes."""
    made = {name: make_strategy(name) for name in strategies}
    return Plan(Source(2, sides=(512,)), made, (60,), limit, max_new_tokens=3)
