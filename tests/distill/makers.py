"""Small files of questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile


def write_questions(folder: Path, images: int = 3, each: int = 2, side: int = 150) -> Path:
    """Noise images and questions about them, every other one with a box."""
    lines: list[dict[str, Any]] = []
    for image in range(images):
        pixels = np.random.default_rng(image).integers(0, 255, (side, side, 3), np.uint8)
        tifffile.imwrite(folder / f"{image}.tif", pixels, photometric="rgb")
        for turn in range(each):
            line = {"image": f"{image}.tif", "question": f"how many ships are at {turn}?"}
            lines.append(line if turn % 2 else {**line, "hbox": [40, 40, 60, 60]})
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
