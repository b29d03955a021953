"""Records are LRS-VQA's, the same each time, and balanced where that is asked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.labels.makers import image_of, square
from uhrqa.errors import LabelError, OutputError
from uhrqa.geometry import Box, Size
from uhrqa.labels.objects import Labelled, LabelledImage, Labels, upright
from uhrqa.labels.records import Wanted, make_records, write_records

OFFICIAL = {"question_id", "image", "category", "text", "ground_truth", "image_size", "hbox",
            "rbox", "abs_size", "size_bin"}  # fmt: skip
OURS = {"target_px", "hboxes", "rboxes", "crop", "crop_scale"}
NAMES = ("airplane", "bridge", "ship")


def many(count: int = 40) -> Labels:
    """Images that mostly have one bridge, and some ships."""
    rng = np.random.default_rng(0)
    images = []
    for n in range(count):
        things = [square("bridge", 700, 300, 60)]
        things += [
            square("ship", rng.uniform(60, 1140), rng.uniform(60, 1140), rng.uniform(20, 90))
            for _ in range(int(rng.integers(0, 5)))
        ]
        images.append(LabelledImage(f"images/{n}.png", Size(1200, 1500), tuple(things)))
    return Labels(tuple(images), NAMES)


def test_records_have_the_keys_of_lrs_vqa(tmp_path: Path) -> None:
    for record in make_records(many(), Wanted("my_set"), tmp_path):
        assert set(record) <= OFFICIAL | OURS
        assert record["question_id"].split("_")[0] == "my-set"
        assert record["text"].endswith("\n Answer the question using a single word or phrase.")
        assert record["image_size"] == [1500, 1200]
        if record["category"] in ("position", "object category"):
            x0, y0, x1, y1 = record["hbox"]
            assert record["crop"] == [max(0, x0 - 400), max(0, y0 - 400), min(1500, x1 + 400),
                                      min(1200, y1 + 400)]  # fmt: skip
        if record["category"] == "count":
            assert "hbox" not in record
            assert len(record["hboxes"]) == int(record["ground_truth"])


def test_boxes_do_not_grow_by_rounding_noise(tmp_path: Path) -> None:
    box = Box(100 - 1e-7, 99.9999999, 140 + 1e-7, 160.04)
    image = image_of(Labelled("ship", upright(box)), square("bridge", 700.5, 300.5))
    every = make_records(Labels((image,), NAMES), Wanted(), tmp_path)
    written = [box for record in every for box in record.get("hboxes", [])]
    assert [100, 100, 140, 160] in written
    assert [680, 280, 721, 321] in written  # half pixels are no noise
    crops = [record["crop"] for record in every if "crop" in record]
    assert [0, 0, 540, 560] in crops


def test_images_are_named_as_seen_from_the_file(tmp_path: Path) -> None:
    image = image_of(square("ship", 90, 90))
    labels = Labels((LabelledImage(str(tmp_path / "b" / "x.png"), *_rest(image)),), NAMES)
    (name,) = {record["image"] for record in make_records(labels, Wanted(), tmp_path / "a")}
    assert name == "../b/x.png"


def _rest(image: LabelledImage) -> tuple[Size, tuple]:
    return image.size, image.objects


def test_the_same_labels_give_the_same_records_and_an_image_its_own(tmp_path: Path) -> None:
    labels = many(4)
    first = make_records(labels, Wanted(), tmp_path)
    assert make_records(labels, Wanted(), tmp_path) == first
    assert make_records(labels, Wanted(seed=1), tmp_path) != first
    fewer = make_records(Labels(labels.images[:2], NAMES), Wanted(), tmp_path)
    assert first[: len(fewer)] == fewer


def test_answers_are_balanced_where_that_is_asked_for(tmp_path: Path) -> None:
    every = make_records(many(), Wanted(), tmp_path)
    chosen = make_records(many(), Wanted(per_category=1), tmp_path)
    per_image = Counter((record["image"], record["category"]) for record in chosen)
    assert set(per_image.values()) == {1}

    def share_of_ones(records: list) -> float:
        counts = Counter(r["ground_truth"] for r in records if r["category"] == "count")
        return counts["1"] / counts.total()

    assert share_of_ones(every) > 0.5
    assert share_of_ones(chosen) < 0.4
    for category in ("existence", "relation"):
        answers = Counter(r["ground_truth"] for r in chosen if r["category"] == category)
        assert abs(answers["yes"] - answers["no"]) <= 3


def test_small_images_are_left_out_and_none_is_an_error(tmp_path: Path) -> None:
    small = LabelledImage("s.png", Size(1023, 4000), (square("ship", 90, 90),))
    labels = Labels((small, *many(1).images), NAMES)
    assert {r["image"] for r in make_records(labels, Wanted(), tmp_path)} == {
        r["image"] for r in make_records(many(1), Wanted(), tmp_path)
    }
    with pytest.raises(LabelError, match="the largest has 1023\\); add --min-side 1023"):
        make_records(Labels((small,), NAMES), Wanted(), tmp_path)
    with pytest.raises(LabelError, match="nothing to ask about 1 images"):
        make_records(Labels((image_of(),), ()), Wanted(), tmp_path)


def test_a_file_is_written_once_and_no_other_is_replaced(tmp_path: Path) -> None:
    records = make_records(many(2), Wanted(), tmp_path)
    path = tmp_path / "q.jsonl"
    write_records(records, path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == records
    write_records(records, path)
    with pytest.raises(OutputError, match="is there, and differs"):
        write_records(records[1:], path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["q.jsonl"]
    with pytest.raises(OutputError, match="cannot be written"):
        write_records(records, tmp_path / "none" / "q.jsonl")
