"""Held-out accuracy of the embedded model, through the same calls a user makes.

`python -m uhrqa.training.evaluate` prints Markdown tables: strategies by budget, by category and by
image size, next to the answer that is most common for a category.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from uhrqa import FeatureCache, ask, load_model
from uhrqa.answer import Evidence
from uhrqa.errors import BudgetError
from uhrqa.synth.demo import demo_scene, held_out
from uhrqa.synth.questions import Question
from uhrqa.synth.raster import SceneRaster
from uhrqa.vlm import VisionLanguageModel

log = logging.getLogger(__name__)

PRIOR = "most common answer"
STRATEGIES = (
    "rfm-dip", "region-merge", "attention-topk", "random", "uniform", "downsample", "thumbnail",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One question answered one way.

    Attributes:
        strategy: name, or `PRIOR`.
        budget: the cap given.
        category: of the question.
        side: longer side of the scene.
        right: the answer is the expected one, letter case aside.
        found: share of the objects asked about whose centre a kept token shows; None for none.
        kept: visual tokens in the answering pass.
        tiles: tiles encoded, those shared with earlier questions left out.
        seconds: wall time.
    """

    strategy: str
    budget: int
    category: str
    side: int
    right: bool
    found: float | None = None
    kept: int = 0
    tiles: int = 0
    seconds: float = 0.0


def common_answers(scenes: int = 400) -> dict[str, str]:
    """The most common answer of each category, over other scenes than those evaluated."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for _, questions in held_out(scenes, seed=77):
        for question in questions:
            seen[question.category][question.answer] += 1
    return {category: counts.most_common(1)[0][0] for category, counts in seen.items()}


def share_found(evidence: Iterable[Evidence], question: Question) -> float | None:
    """Share of the question's objects whose centre lies in a kept, unmerged token of a tile."""
    if not question.things:
        return None
    boxes = [e.box for e in evidence if e.level > 0 and e.weight == 1]
    kept = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    hits = []
    for box in question.boxes[: len(question.things)]:
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        inside = (kept[:, 0] <= x) & (x < kept[:, 2]) & (kept[:, 1] <= y) & (y < kept[:, 3])
        hits.append(bool(inside.any()))
    return float(np.mean(hits))


def evaluate(
    model: VisionLanguageModel,
    strategies: Sequence[str],
    budgets: Sequence[int],
    scenes: int,
    seed: int = 0,
) -> list[Row]:
    """Ask every held-out question with every strategy at every budget."""
    prior = common_answers()
    rows: list[Row] = []
    for index, (scene, questions) in enumerate(held_out(scenes, seed)):
        raster, features = SceneRaster(scene), FeatureCache()
        side = max(scene.size)
        for question in questions:
            right = prior.get(question.category) == question.answer
            rows.append(Row(PRIOR, 0, question.category, side, right))
            for strategy in strategies:
                for budget in budgets:
                    row = _ask(model, raster, features, question, strategy, budget)
                    if row is not None:
                        rows.append(row)
        log.info("scene %d of %d: %s", index + 1, scenes, _so_far(rows))
    return rows


def _ask(
    model: VisionLanguageModel,
    raster: SceneRaster,
    features: FeatureCache,
    question: Question,
    strategy: str,
    budget: int,
) -> Row | None:
    try:
        answer = ask(
            raster, question.text, model=model, strategy=strategy, budget=budget, features=features
        )
    except BudgetError:
        return None  # a strategy that needs more than this
    return Row(
        strategy,
        budget,
        question.category,
        max(raster.size),
        answer.text.strip().lower() == question.answer,
        share_found(answer.evidence, question),
        answer.counts.kept,
        answer.counts.tiles_encoded,
        sum(answer.seconds.values()),
    )


def demo_share(model: VisionLanguageModel, count: int, strategy: str | None = None) -> list[float]:
    """Share of demonstration scenes with all three answers right, and of each question."""
    right = []
    for seed in range(count):
        scene, questions = demo_scene(seed)
        raster, features = SceneRaster(scene), FeatureCache()
        said = [
            ask(raster, q.text, model=model, strategy=strategy, features=features).text
            for q in questions
        ]
        right.append([text == q.answer for text, q in zip(said, questions, strict=True)])
        log.info("demo %d: %s", seed, list(zip(said, [q.answer for q in questions], strict=True)))
    table = np.array(right, dtype=float)
    return [float(table.all(1).mean()), *table.mean(0).tolist()]


def _so_far(rows: list[Row]) -> str:
    table = tabulate(rows, lambda row: row.strategy)
    return "  ".join(f"{name} {cells['all'][0]:.3f}" for name, cells in table.items())


def tabulate(
    rows: Iterable[Row], by: Callable[[Row], str], across: Callable[[Row], str] | None = None
) -> dict[str, dict[str, tuple[float, int]]]:
    """Share right and count, by line and column; every line has a column `all`."""
    cells: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[by(row)]["all"].append(row.right)
        if across is not None:
            cells[by(row)][across(row)].append(row.right)
    return {
        line: {name: (float(np.mean(hits)), len(hits)) for name, hits in columns.items()}
        for line, columns in cells.items()
    }


def markdown(table: dict[str, dict[str, tuple[float, int]]], head: str) -> str:
    """A table of shares; the counts stand in the heading."""
    columns = sorted({name for cells in table.values() for name in cells}, key=_column_order)
    counts = {c: max(cells[c][1] for cells in table.values() if c in cells) for c in columns}
    lines = [
        f"| {head} | " + " | ".join(f"{name} (n={counts[name]})" for name in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for line, cells in table.items():
        shares = [f"{cells[name][0]:.3f}" if name in cells else "-" for name in columns]
        lines.append(f"| {line} | " + " | ".join(shares) + " |")
    return "\n".join(lines)


def _column_order(name: str) -> tuple[bool, int, str]:
    return name != "all", int(name) if name.isdigit() else 0, name


def report(rows: list[Row]) -> str:
    """All tables."""
    asked = [row for row in rows if row.strategy != PRIOR]
    middle = sorted({row.budget for row in asked})[len({row.budget for row in asked}) // 2]
    chosen = [row for row in rows if row.budget in (0, middle)]
    return "\n\n".join(
        [
            markdown(tabulate(asked, lambda r: r.strategy, lambda r: str(r.budget)), "by budget"),
            markdown(tabulate(chosen, lambda r: r.strategy, lambda r: r.category),
                     f"by category, budget {middle}"),
            markdown(tabulate(chosen, lambda r: r.strategy, lambda r: str(r.side)),
                     f"by image side in px, budget {middle}"),
        ]
    )  # fmt: skip


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scenes", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--budgets", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--demos", type=int, default=0, help="demonstration scenes to try")
    parser.add_argument("--json", type=Path, help="file for the rows")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    model = load_model(args.model)
    rows = evaluate(model, args.strategies, args.budgets, args.scenes, args.seed)
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    text = report(rows)
    if args.demos:
        share = demo_share(model, args.demos)
        text += f"\n\ndemonstration scenes all right, count, colour, yes/no: {share}"
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
