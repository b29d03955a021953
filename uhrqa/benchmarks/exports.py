"""A result file as the authors' scripts and the two harnesses read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uhrqa.benchmarks.rows import BenchRow, Outcome
from uhrqa.benchmarks.scores import OFFICIAL, score_rows, scoring_of, task_of
from uhrqa.errors import OutputError, UnknownNameError
from uhrqa.registry import suggest

NO_ANSWER = "Failed to obtain answer"  # what VLMEvalKit asks again
LMMS_TASKS = {"xlrs": "xlrs-lite", "mme-realworld-rs": "mmerealworld"}
KIT_COLUMNS = ("index", "question", "multi-choice options", "answer", "category", "l2-category")


def _rows(outcome: Outcome) -> list[BenchRow]:
    """Those of the strategy, in the order of the data set."""
    return sorted(outcome.main, key=lambda row: row.number)


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _array(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _model(outcome: Outcome) -> str:
    return str(outcome.manifest.get("model", {}).get("name", "uhrqa"))


def lrs_vqa(outcome: Outcome) -> str:
    """LRS-VQA's answer lines, with `id` for its scorer and `question_id` for its other scripts."""
    return _lines(
        [
            {
                "id": row.id,
                "question_id": row.id,
                "prompt": row.prompt,
                "category": row.category,
                "text": row.prediction or "",
                "ground_truth": row.truth,
                "answer_id": f"uhrqa-{row.number}",
                "model_id": _model(outcome),
                "metadata": {},
            }
            for row in _rows(outcome)
        ]
    )


def mme(outcome: Outcome) -> str:
    """MME-RealWorld's one array, with the answer as `Output`."""
    return _array(
        [
            {
                "Question_id": row.id,
                "Question Type": "Multiple Choice",
                "Image": row.images[0] if row.images else "",
                "Text": row.question,
                "Answer choices": list(row.choices),
                "Ground truth": row.truth,
                "Task": "Perception",
                "Subtask": "Remote Sensing",
                "Category": row.category,
                **{k: v for k, v in row.official.items() if k in ("Dataset",)},
                "Output": row.prediction or "",
            }
            for row in _rows(outcome)
        ]
    )


def lrs_gro(outcome: Outcome) -> str:
    """ZoomEarth's answer lines; the second answer is null, so that its scorer takes the first."""
    return _lines(
        [
            {
                "question_id": row.id,
                "ground_truth": row.truth,
                "answer1": row.prediction or "",
                "answer2": None,
                "prompt": row.prompt,
                "category": row.official.get("category", ""),
                "type": row.category,
                "image": row.images[0] if row.images else "",
                "error": row.error,
                "model_id": _model(outcome),
            }
            for row in _rows(outcome)
        ]
    )


def from_log(outcome: Outcome) -> str:
    """For lmms-eval's `--model from_log`; `doc_id` counts the records of the file asked."""
    content = {
        "args": {"model": "uhrqa", "model_args": "", "limit": None},
        "model_configs": {"task": _lmms_task(outcome)},
        "time": "0101_0000",
        "logs": [
            {"doc_id": row.number - 1, "resps": [[row.prediction or ""]]} for row in _rows(outcome)
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _lmms_task(outcome: Outcome) -> str:
    name = task_of(outcome.manifest).name
    if name not in LMMS_TASKS:
        raise OutputError(f"lmms-eval has no task for {name}; it has {', '.join(LMMS_TASKS)}")
    return LMMS_TASKS[name]


def lmms_samples(outcome: Outcome) -> str:
    """The lines that lmms-eval's `--log_samples` writes."""
    task = task_of(outcome.manifest)
    name = _lmms_task(outcome)
    metrics = ("xlrs_micro_score", "xlrs_macro_score") if task.name == "xlrs" else (
        "mme_realworld_score",
    )  # fmt: skip
    _, rule = scoring_of(task, "lmms-eval" if "lmms-eval" in task.scorers else OFFICIAL)
    lines = []
    for entry in score_rows(_rows(outcome), rule):
        row = entry.row
        category, _, sub = row.category.partition("/")
        detail = {
            "question_id": row.id,
            "category": category,
            "sub_category": sub or row.category,
            "task_category": row.official.get("l2-category", "default"),
            "pred_answer": entry.parsed,
            "answer": row.truth,
        }
        lines.append(
            {
                "doc_id": row.number - 1,
                "target": row.truth,
                "filtered_resps": row.prediction,
                "input": row.prompt,
                **dict.fromkeys(metrics, detail),
            }
        )
    return _lines(lines) if name else ""


def vlmevalkit(outcome: Outcome) -> str:
    """VLMEvalKit's table as JSON, for `run.py --mode eval`; every column but the picture."""
    task = task_of(outcome.manifest)
    if task.name not in LMMS_TASKS:
        raise OutputError(f"VLMEvalKit has no data set for {task.name}")
    rows = []
    for row in _rows(outcome):
        xlrs = task.name == "xlrs"
        category = row.category if xlrs else "Perception/Remote Sensing"
        l2 = row.official.get("l2-category", "default") if xlrs else row.category
        options = row.prompt.removeprefix(row.question) if xlrs else str(list(row.choices))
        values = (row.id, row.question, options, row.truth, category, l2)
        said = NO_ANSWER if row.prediction is None else row.prediction
        rows.append({**dict(zip(KIT_COLUMNS, values, strict=True)), "prediction": said})
    return _array(rows)


EXPORTS: Mapping[str, Callable[[Outcome], str]] = {
    "lrs-vqa": lrs_vqa,
    "mme": mme,
    "lrs-gro": lrs_gro,
    "lmms-from-log": from_log,
    "lmms-samples": lmms_samples,
    "vlmevalkit": vlmevalkit,
}
"""Name of a form to what writes a result file in it."""
OF_TASK = {"lrs-vqa": "lrs-vqa", "mme": "mme-realworld-rs", "lrs-gro": "lrs-gro"}


def exported(outcome: Outcome, form: str) -> str:
    """A result file in another form.

    Raises:
        UnknownNameError: no such form.
        OutputError: the form is of another benchmark, or there is no row.
    """
    if form not in EXPORTS:
        raise UnknownNameError(f"unknown form '{form}'{suggest(form, EXPORTS)}")
    task = task_of(outcome.manifest)
    if OF_TASK.get(form, task.name) != task.name:
        raise OutputError(f"form '{form}' is for {OF_TASK[form]}, and these results of {task.name}")
    if not outcome.rows:
        raise OutputError("there is no row to export")
    return EXPORTS[form](outcome)
