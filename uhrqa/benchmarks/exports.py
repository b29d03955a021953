"""A result file as the authors' scripts and the two harnesses read it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uhrqa.benchmarks.mme_realworld import LITE
from uhrqa.benchmarks.rows import BenchRow, Outcome
from uhrqa.benchmarks.scores import OFFICIAL, scoring_of, task_of
from uhrqa.errors import OutputError, UnknownNameError
from uhrqa.registry import suggest

WRONG = "this question was not answered, and so it has to be counted as a wrong one"
"""Stands for no answer where the empty text would be A: no capital, and more than ten words."""
LMMS_TASKS = {"xlrs": "xlrs-lite", "mme-realworld-rs": "mmerealworld"}
MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""What `pandas.read_csv` takes for a missing value."""
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
                "Output": WRONG if row.prediction is None else row.prediction,
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
    """For lmms-eval's `--model from_log`; `doc_id` counts the records of the file asked.

    It wants an answer to every record: those of other sub-tasks, broken ones and those without an
    answer get one that is wrong. A run that was limited ends with the last record asked.
    """
    said = {row.number: row.prediction for row in outcome.main}
    last = max(said)
    if outcome.manifest.get("limit") is None:
        last = max(last, outcome.manifest.get("data", {}).get("records", 0))
    answers = (said.get(number) for number in range(1, last + 1))
    content = {
        "args": {"model": "uhrqa", "model_args": "", "limit": None},
        "model_configs": {"task": _lmms_task(outcome)},
        "time": "0101_0000",
        "logs": [
            {"doc_id": at, "resps": [[WRONG if answer is None else answer]]}
            for at, answer in enumerate(answers)
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _lmms_task(outcome: Outcome) -> str:
    name = task_of(outcome.manifest).name
    if name not in LMMS_TASKS:
        raise OutputError(f"lmms-eval has no task for {name}; it has {', '.join(LMMS_TASKS)}")
    if name == "mme-realworld-rs":
        files = " ".join(outcome.manifest.get("data", {}).get("files", ())).lower()
        if re.search("[\u4e00-\u9fff]", outcome.rows[0].question):
            return f"{LMMS_TASKS[name]}_cn"
        if "lite" in files or len(outcome.main) == sum(LITE.values()):
            return f"{LMMS_TASKS[name]}_lite"
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
    for row in _rows(outcome):
        said = WRONG if row.prediction is None else row.prediction
        detail = {
            "question_id": row.id,
            **_lmms_category(task.name, row),
            "pred_answer": rule(said, row)[0],
            "answer": row.truth,
        }
        lines.append(
            {
                "doc_id": row.number - 1,
                "target": row.truth,
                "filtered_resps": said,
                "input": row.prompt,
                **dict.fromkeys(metrics, detail),
            }
        )
    return _lines(lines) if name else ""


def _lmms_category(task: str, row: BenchRow) -> dict[str, str]:
    """Where a question belongs, in the three fields of lmms-eval's own results."""
    if task == "xlrs":
        category, _, sub = row.category.partition("/")
        finest = row.official.get("l2-category", "default")
    else:
        category, sub, finest = "Perception", "Remote Sensing", row.category
    return {"category": category, "sub_category": sub, "task_category": finest}


def vlmevalkit(outcome: Outcome) -> str:
    """VLMEvalKit's table of tab-separated values, for `run.py --mode eval`, without pictures.

    Its scorers take no JSON, and pandas reads the table for them: see `_as_text`.
    """
    task = task_of(outcome.manifest)
    if task.name not in LMMS_TASKS:
        raise OutputError(f"VLMEvalKit has no data set for {task.name}")
    file = io.StringIO()
    table = csv.writer(file, delimiter="\t", lineterminator="\n")
    table.writerow((*KIT_COLUMNS, "prediction"))
    for row in _rows(outcome):
        xlrs = task.name == "xlrs"
        category = row.category if xlrs else "Perception/Remote Sensing"
        l2 = row.official.get("l2-category", "default") if xlrs else row.category
        options = row.prompt.removeprefix(row.question) if xlrs else str(list(row.choices))
        said = WRONG if row.prediction is None else _as_text(row.prediction)
        table.writerow((row.id, row.question, options, row.truth, category, l2, said))
    return file.getvalue()


def _as_text(said: str) -> str:
    """An answer that pandas takes for a text: it reads `NA` as missing and `3` as a number.

    Neither can be scored there. What is put before them changes no letter that is found in them.
    """
    if not said:
        return " "  # which is stripped
    try:
        float(said)
    except ValueError:
        return f"'{said}'" if said in MISSING else said
    return f"'{said}'"


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
        raise OutputError("there is no answer to export; if the run was stopped, start it again")
    return EXPORTS[form](outcome)
