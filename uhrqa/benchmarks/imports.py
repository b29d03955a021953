"""Answers that others have written, as rows: what the authors' scripts and the harnesses leave.

Each file holds truths as well, so that it is scored without data set, images or model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from uhrqa.benchmarks.fields import Fields
from uhrqa.benchmarks.lrs_vqa import subset_of
from uhrqa.benchmarks.records import read_records
from uhrqa.benchmarks.rows import SCHEMA, BenchRow, Outcome, read_outcome
from uhrqa.errors import QuestionError

Reader = Callable[[Fields], BenchRow]
KIT, REMOTE = "VLMEvalKit table", "Remote Sensing"


def read_any(path: Path) -> Outcome:
    """A result file of ours, or one of the others'.

    Raises:
        QuestionError: it cannot be read, or is of no form that is known.
    """
    try:
        with path.open("rb") as file:
            ours = file.read(12).startswith(b'{"manifest"')
    except OSError as error:
        raise QuestionError(f"{path}: cannot be read: {error.strerror}") from error
    return read_outcome(path) if ours else _read_others(path)


def _read_others(path: Path) -> Outcome:
    every = [Fields(path, record, {}) for record in read_records(path)]  # all, or none
    kind, task, reader = _form(path, every)
    rows = [reader(fields) for fields in every]
    if kind == KIT and str(every[0].get("category")).endswith(REMOTE):
        task = "mme-realworld-rs"
    manifest = {
        "schema": SCHEMA,
        "task": {"name": task},
        "from": kind,
        "model": {"name": str(every[0].get("model_id") or path.stem)},
        "strategy": {"name": "imported"},
    }
    return Outcome(manifest, rows)


def _form(path: Path, every: list[Fields]) -> tuple[str, str, Reader]:
    for form, (task, needed, reader) in FORMS.items():
        if every and every[0].has(*needed):
            return form, task, reader
    if every and every[0].has("doc_id", "resps") and not every[0].has("target"):
        raise QuestionError(f"{path}: is a log for lmms-eval's from_log, and holds no truths")
    known = ", ".join(FORMS)
    raise QuestionError(f"{path}: is no result of ours, nor one of {known}")


def _row(fields: Fields, *, prediction: object, **values: Any) -> BenchRow:  # noqa: ANN401
    if not isinstance(prediction, str | None):
        raise fields.error("the answer is no text")
    name = values.pop("id")
    filled = {"subset": "", "images": (), "choices": (), "question": "", "prompt": "", **values}
    return BenchRow(
        name, name, fields.number, fields.number, "imported", prediction=prediction,
        error="" if prediction is not None else "no answer", **filled,
    )  # fmt: skip


def _lrs_vqa(fields: Fields) -> BenchRow:
    name = fields.id("question_id", "id")
    return _row(
        fields,
        id=name,
        prediction=fields.get("text"),
        category=fields.text("category"),
        truth=fields.text("ground_truth"),
        subset=subset_of(str(name)),
        prompt=fields.maybe("prompt"),
    )


def _mme(fields: Fields) -> BenchRow:
    return _row(
        fields,
        id=fields.id("question_id"),
        prediction=fields.get("output"),
        category=fields.text("category").lower(),
        truth=fields.text("ground_truth"),
        question=fields.text("text"),
        choices=tuple(fields.get("answer_choices") or ()),
        images=fields.names("image"),
    )


def _lrs_gro(fields: Fields) -> BenchRow:
    second = fields.get("answer2")
    return _row(
        fields,
        id=fields.id("question_id"),
        prediction=second if second is not None else fields.get("answer1"),
        category=fields.text("type"),
        truth=fields.text("ground_truth"),
    )


def _kit(fields: Fields) -> BenchRow:
    category, finer = fields.text("category"), fields.maybe("l2_category")
    remote = category.endswith(REMOTE)
    return _row(
        fields,
        id=fields.id("index"),
        prediction=fields.get("prediction"),
        category=finer.lower() if remote else category,
        truth=fields.text("answer"),
        question=fields.maybe("question"),
        official={"l2-category": finer},
    )


def _lmms(fields: Fields) -> BenchRow:
    xlrs: Mapping[str, Any] = fields.get("xlrs_micro_score") or {}
    detail: Mapping[str, Any] = xlrs or fields.get("mme_realworld_score") or {}
    said = fields.get("filtered_resps")
    category = f"{detail.get('category')}/{detail.get('sub_category')}"
    return _row(
        fields,
        id=detail.get("question_id", fields.number),
        prediction=said[0] if isinstance(said, list) and said else said,
        category=category if xlrs else str(detail.get("task_category")).lower(),
        truth=fields.text("target"),
    )


FORMS: Mapping[str, tuple[str, tuple[str, ...], Reader]] = {
    "MME-RealWorld answers": ("mme-realworld-rs", ("Question_id", "Output"), _mme),
    "LRS-GRO answers": ("lrs-gro", ("question_id", "answer1", "ground_truth"), _lrs_gro),
    "LRS-VQA answers": ("lrs-vqa", ("text", "ground_truth", "category", "prompt"), _lrs_vqa),
    "lmms-eval samples of XLRS": ("xlrs", ("filtered_resps", "xlrs_micro_score"), _lmms),
    "lmms-eval samples of MME-RealWorld": (
        "mme-realworld-rs",
        ("filtered_resps", "mme_realworld_score"),
        _lmms,
    ),
    KIT: ("xlrs", ("index", "prediction", "answer", "category"), _kit),
}
"""What a file is called, the task it is of, the fields that tell it, and what reads a record."""
