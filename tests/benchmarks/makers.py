"""Small made-up data sets, written where a test asks for them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uhrqa.benchmarks.rows import BenchRow

CHOICES = ["(A) Black", "(B) White", "(C) Red", "(D) Grey", "(E) This image doesn't feature it."]
SUFFIX = "\n Answer the question using a single word or phrase."
MANY = "Land use classification/Overall Land use classification"
CHANGES = "Counting/Counting with changing detection"


def picture(seed: int = 0, size: tuple[int, int] = (60, 80)) -> bytes:
    """A PNG file."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def code(seed: int = 0) -> str:
    return base64.b64encode(picture(seed)).decode()


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LRS: list[dict[str, Any]] = [
    {"question_id": "FAIR_1", "image": "LRS_VQA/image/1.tif", "category": "reasoning",
     "text": f"Is it next to a road?{SUFFIX}", "ground_truth": "yes", "hbox": [-5, 20, 60, 9000]},
    {"question_id": "GLH-Bridge_1", "image": "LRS_VQA/image/2.png", "category": "count",
     "text": f"How many bridges?{SUFFIX}", "ground_truth": "2"},
    {"question_id": "FAIR_2", "image": "LRS_VQA/image/1.tif", "category": "count",
     "text": f"How many ships?{SUFFIX}", "ground_truth": "3"},
    {"question_id": "STAR_1", "image": "LRS_VQA/image/3.png", "category": "count",
     "text": f"How many docks?{SUFFIX}", "ground_truth": "4"},
]  # fmt: skip


def make_lrs(root: Path) -> Path:
    """LRS-VQA as it is unpacked; of image 1 only a converted copy, image 3 is missing."""
    folder = root / "LRS_VQA" / "image"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(picture(1, (300, 400)))
    (folder / "2.png").write_bytes(picture(2, (300, 400)))
    return write_lines(folder.parent / "LRS_VQA_merged.jsonl", LRS)


def xlrs_rows() -> list[dict[str, Any]]:
    """Three rows: several letters, two images, one of each."""
    common = {"multi-choice options": CHOICES[:4], "l2-category": "default"}
    return [
        {"index": 0, "question": "What land use?", "answer": "AC", "category": MANY, **common},
        {"index": 1, "question": "How many were added?", "answer": "B", "category": CHANGES,
         **common},
        {"index": 2, "question": "Which way?", "answer": "D",
         "category": "Complex reasoning/Route planning", **common},
    ]  # fmt: skip


def row(number: int, said: str | None, truth: str = "B", **parts: Any) -> BenchRow:
    """A row with what a test does not care about filled in."""
    values: dict[str, Any] = {
        "id": f"q{number}", "question_id": f"q{number}", "number": number, "group": number,
        "way": "uniform", "category": "color", "subset": "", "images": ("a.png",),
        "question": "?", "choices": tuple(CHOICES), "truth": truth, "prompt": "? B",
    } | parts  # fmt: skip
    error = "" if said is not None else "missing image: a.png"
    return BenchRow(**{"prediction": said, "error": error} | values)
