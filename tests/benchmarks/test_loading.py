"""Data sets in every form they are met in, and what is said of the odd and the broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.makers import (
    CHANGES,
    CHOICES,
    LRS,
    MANY,
    code,
    make_lrs,
    picture,
    write_lines,
    xlrs_rows,
)
from uhrqa.benchmarks import TASKS
from uhrqa.benchmarks.items import DataSet, Item, shard_of
from uhrqa.benchmarks.places import Places, opened
from uhrqa.benchmarks.records import read_picture
from uhrqa.benchmarks.run import _boxes
from uhrqa.errors import QuestionError
from uhrqa.geometry import Box
from uhrqa.raster import open_raster

MME = {
    "Question_id": "perception/remote_sensing/color/1", "Question type": "Multiple Choice",
    "Image": "remote_sensing/1.png", "Text": "What color?", "Answer choices": CHOICES,
    "Ground truth": "B", "Task": "Perception", "Subtask": "Remote Sensing", "Category": "Color",
}  # fmt: skip
RSHR = {
    "id": 1, "images": ["images/a.png"], "category": "color", "question": "What color?",
    "options": {"B": "White", "A": "Red"}, "answer": "B) White",
}  # fmt: skip
XLRS = {**xlrs_rows()[0], "image": "a.png"}


def load(task: str, path: Path, split: str = "") -> DataSet:
    found: DataSet = TASKS.load(task).load(path, split)
    return found


def pictures(items: tuple[Item, ...]) -> list[list[bytes]]:
    return [[read_picture(place) for place in item.embedded] for item in items]


def test_lrs_vqa_knows_its_subsets_and_finds_moved_images(tmp_path: Path) -> None:
    found = load("lrs-vqa", make_lrs(tmp_path).parent)
    assert [item.subset for item in found.items] == ["FAIR", "GLH-Bridge", "FAIR", "STAR"]
    assert found.items[0].question == LRS[0]["text"]
    places = Places.around(found.files, None)
    assert places.missing(found.items) == {"LRS_VQA/image/3.png": 1}
    assert places.find("LRS_VQA/image/2.png") is not None
    assert str(places.find("LRS_VQA/image/1.tif")).endswith("image/1.png")
    assert places.how == {"by stem": 1}
    said = " ".join(places.notes(places.missing(found.items), 1))
    assert "images missing: 1 (LRS_VQA/image/3.png), needed by 1 question" in said


def test_flattened_images_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "2.png").write_bytes(picture())
    places = Places([tmp_path])
    assert places.find("LRS_VQA/image/2.png") == tmp_path / "flat" / "2.png"
    assert places.how == {"by name": 1}


def test_records_without_truth_or_category_do_not_count_in_lrs_vqa(tmp_path: Path) -> None:
    rows = [LRS[0], {**LRS[1], "ground_truth": ""}, {**LRS[3], "category": None}]
    found = load("lrs-vqa", write_lines(tmp_path / "q.jsonl", rows))
    assert [item.number for item in found.items] == [1]
    assert found.notes == (
        "records without truth or category, left out as in the official scorer: 2 (2, 3)",
    )


def test_mme_in_its_three_forms_is_one_data_set(tmp_path: Path) -> None:
    monitoring = {**MME, "Subtask": "Monitoring", "Ground truth": "E"}
    array = tmp_path / "MME_RealWorld.json"
    array.write_text(json.dumps([monitoring, MME]))
    found = load("mme-realworld-rs", array)
    assert [(item.number, item.category) for item in found.items] == [(2, "color")]
    assert found.notes == ("records of other sub-tasks, left out: 1",)
    heads = ["index", "image", "question", "multi-choice options", "answer", "category"]
    cells = ["7", code(), "What color?", str(CHOICES), "B", "Perception/Remote Sensing"]
    table = tmp_path / "lite.tsv"
    table.write_text(
        "\t".join([*heads, "l2-category"]) + "\n" + "\t".join([*cells, "color"]) + "\n"
    )
    kit = load("mme-realworld-rs", table)
    assert kit.items[0].choices == found.items[0].choices == tuple(CHOICES)
    assert (kit.items[0].id, kit.items[0].category) == ("7", "color")
    assert pictures(kit.items) == [[picture()]]


def test_json_lines_under_the_name_of_an_array_are_read(tmp_path: Path) -> None:
    path = tmp_path / "MME_RealWorld_RS.json"
    path.write_text(json.dumps(MME) + "\n" + json.dumps(MME) + "\n")
    assert len(load("mme-realworld-rs", path).items) == 2


def test_xlrs_in_its_four_forms_is_one_data_set(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    cells = [[0], [1, 2], [3]]
    rows = xlrs_rows()
    for entry, seeds in zip(rows, cells, strict=True):
        entry["image"] = [{"bytes": picture(seed), "path": f"{seed}.png"} for seed in seeds]
    table = arrow.Table.from_pylist(rows)
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    folder = tmp_path / "lite" / "train"
    folder.mkdir(parents=True)
    shard = str(folder / "data-00000-of-00001.arrow")
    with arrow.OSFile(shard, "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    lines = xlrs_rows()
    for entry, seeds in zip(lines, cells, strict=True):
        codes = [code(seed) for seed in seeds]
        entry["image"] = codes if len(codes) > 1 else codes[0]
    kit = xlrs_rows()
    for entry, line in zip(kit, lines, strict=True):
        options = "\n".join(CHOICES[:4])
        entry["multi-choice options"] = f"The choices are listed below:\n{options}\n\nAnswer:"
        entry["image"] = line["image"]
    forms = [
        load("xlrs", tmp_path / "x.parquet"),
        load("xlrs", tmp_path / "lite"),
        load("xlrs", write_lines(tmp_path / "x.jsonl", lines)),
        load("xlrs", write_lines(tmp_path / "kit.jsonl", kit)),
    ]
    assert {form.digest for form in forms} == {forms[0].digest}
    for form in forms:
        assert pictures(form.items) == [[picture(seed) for seed in seeds] for seeds in cells]
        assert [item.many for item in form.items] == [True, False, False]
    assert forms[3].items[0].ready.startswith("The choices are listed below:\n(A) Black")


def test_a_short_category_of_xlrs_is_taken_for_the_whole_one(tmp_path: Path) -> None:
    rows = [{**entry, "image": code()} for entry in xlrs_rows()]
    rows[1]["category"] = "Counting with changing detection"
    found = load("xlrs", write_lines(tmp_path / "x.jsonl", rows))
    assert found.items[1].category == CHANGES
    assert found.items[0].category == MANY
    assert any("is taken for" in note for note in found.notes)


def test_rshr_keeps_misspelt_codes_and_mends_truths(tmp_path: Path) -> None:
    rows = [
        RSHR,
        {**RSHR, "category": "regionla_counting", "images": "images/a.png", "answer": "b"},
        {**RSHR, "category": "regional_counting", "options": ["x", "y"], "answer": ["A", "B"]},
        {**RSHR, "options": None},
    ]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(rows))
    found = load("rshr", tmp_path)
    assert [item.truth for item in found.items] == ["B", "B", "AB"]
    assert [item.category for item in found.items[1:]] == ["regionla_counting"] * 2
    assert found.items[0].choices == ("A. Red", "B. White")
    assert found.items[2].choices == ("A. x", "B. y")
    assert found.items[2].many
    assert any("left out: 1" in note for note in found.notes)
    assert any("'regional_counting' is taken for 'regionla_counting'" in n for n in found.notes)


def test_rsvqa_joins_three_files_and_leaves_out_what_is_not_active(tmp_path: Path) -> None:
    common = {"img_id": 0, "type": "area", "question": "?", "active": True}
    files = {
        "questions": [{**common, "id": 0, "answers_ids": [5]},
                      {**common, "id": 1, "answers_ids": [6], "active": False}],
        "answers": [{"id": 5, "answer": "7m2"}, {"id": 6, "answer": "no"}],
        "images": [{"id": 0, "active": True}],
    }  # fmt: skip
    for kind, rows in files.items():
        (tmp_path / f"USGS_split_test_{kind}.json").write_text(json.dumps({kind: rows}))
    for place in (tmp_path, tmp_path / "USGS_split_test_questions.json"):
        found = load("rsvqa-hr", place)
        assert [(item.truth, item.images) for item in found.items] == [("7m2", ("0.tif",))]
        assert "records that are not active, left out: 1" in found.notes
    with pytest.raises(QuestionError, match=r"USGS_split_val_questions\.json: cannot be read"):
        load("rsvqa-hr", tmp_path, "val")


GRO = {
    "question_id": "LRS-GRO-1", "image_name": "a.png", "question": "?", "ground_truth": "x",
    "type": "global", "bbox": [],
}  # fmt: skip


def test_questions_of_another_task_are_refused_and_unknown_categories_told(tmp_path: Path) -> None:
    strange = {**LRS[1], "category": "Counting/Overall counting", "question_id": "x_9"}
    found = load("lrs-vqa", write_lines(tmp_path / "a.jsonl", [*LRS, strange]))
    assert found.notes == ("category 'Counting/Overall counting' is none of the 8 that are known",)
    only = write_lines(tmp_path / "b.jsonl", [strange])
    with pytest.raises(QuestionError, match=r"of a known category .*, but of Counting/O"):
        load("lrs-vqa", only)
    found = load("lrs-gro", write_lines(tmp_path / "c.jsonl", [GRO, {**GRO, "type": "count"}]))
    assert "category 'count' is none of the 3 that are known" in found.notes
    with pytest.raises(QuestionError, match=r"\(global, region, object\), but of count"):
        load("lrs-gro", write_lines(tmp_path / "c.jsonl", [{**GRO, "type": "count"}]))


def test_lrs_gro_leaves_out_answers_and_what_models_are_trained_on(tmp_path: Path) -> None:
    answer = {**GRO, "answer1": "x", "answer2": None}
    write_lines(tmp_path / "answers.jsonl", [answer])
    write_lines(tmp_path / "sft.jsonl", [{**GRO, "stage_1_reasoning": "as it is so"}])
    with pytest.raises(QuestionError, match=r"no questions in .*, but answers\.jsonl, sft\.jsonl;"):
        load("lrs-gro", tmp_path)
    mine = write_lines(tmp_path / "mine.jsonl", [GRO])
    found = load("lrs-gro", tmp_path)
    assert found.files == (mine,)
    assert "files beside the questions, left out: answers.jsonl, sft.jsonl" in found.notes
    official = write_lines(tmp_path / "rl.jsonl", [GRO])
    assert load("lrs-gro", tmp_path).files == (official,)
    assert load("lrs-gro", tmp_path / "sft.jsonl").files == (tmp_path / "sft.jsonl",)


def test_boxes_that_show_nothing_are_told(tmp_path: Path) -> None:
    sized = {**LRS[0], "image_size": [400, 300]}
    boxes = [[-5, 20, 60, 9000], [50000, 0, 50010, 10], [10, 10, 5, 5], [0, 300, 9, 310]]
    rows = [{**sized, "question_id": f"FAIR_{n}", "hbox": box} for n, box in enumerate(boxes)]
    told = "records whose box is inverted or lies outside the image, asked without it: "
    found = load("lrs-vqa", write_lines(tmp_path / "a.jsonl", rows))
    assert found.notes == (f"{told}3 (2, 3, 4)",)
    rows = [{**row, "image_size": None} for row in rows]
    assert load("lrs-vqa", write_lines(tmp_path / "a.jsonl", rows)).notes == (f"{told}1 (3)",)
    framed = [{**GRO, "bbox": box} for box in [[0, 0, 1024, 9], [1024, 0, 1030, 9], [9, 9, 9, 9]]]
    found = load("lrs-gro", write_lines(tmp_path / "b.jsonl", framed))
    assert f"{told}2 (2, 3)" in found.notes


def test_several_images_are_shown_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1, (60, 80)))
    (tmp_path / "b.png").write_bytes(picture(2, (90, 50)))
    item = Item(1, "q", "?", "A", "c", images=("a.png", "b.png"))
    with opened(item, Places([tmp_path])) as raster:
        assert tuple(raster.size) == (90, 80 + 16 + 50)


def test_boxes_are_cut_at_the_edges_and_scaled_from_their_frame() -> None:
    image = np.zeros((1024, 2048, 3), np.uint8)
    boxes = ((-23.0, 20, 60, 1089), (100, 900, 120, 880), (3000, 0, 3010, 9))
    with open_raster(image) as raster:
        ours = _boxes(Item(1, "q", "?", "A", "c", boxes=boxes), raster)
        assert ours == (Box(0, 20, 60, 1024),)
        framed = Item(1, "q", "?", "A", "c", boxes=((10, 20, 30, 40),), frame=1024)
        assert _boxes(framed, raster) == (Box(20, 40, 60, 80),)


def test_lmms_evals_parquet_of_mme_has_its_pictures_as_text(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = [
        {"index": "3", "bytes": code(seed), "question": "?", "multi-choice options": CHOICES,
         "answer": "B", "category": "Perception/Remote Sensing", "l2-category": "color"}
        for seed in (1, 2)
    ]  # fmt: skip
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "m.parquet")
    found = load("mme-realworld-rs", tmp_path / "m.parquet")
    assert pictures(found.items) == [[picture(1)], [picture(2)]]
    assert [(item.category, item.choices) for item in found.items] == [
        ("color", tuple(CHOICES))
    ] * 2


def test_shards_keep_questions_about_one_image_together(tmp_path: Path) -> None:
    items = load("lrs-vqa", make_lrs(tmp_path)).items
    parts = [[item.number for item in shard_of(items, part, 2)] for part in (1, 2)]
    assert parts == [[1, 3, 4], [2]]


@pytest.mark.parametrize(
    ("task", "base", "change", "fault"),
    [
        ("lrs-vqa", LRS[0], {"text": None}, "record 2: no 'text'"),
        ("lrs-vqa", LRS[0], {"text": 5}, "record 2: 'text' is no text"),
        ("lrs-vqa", LRS[0], {"image": 3}, "record 2: no 'image'"),
        ("lrs-vqa", LRS[0], {"hbox": [1, 2]}, "record 2: 'hbox' is not four numbers"),
        ("lrs-vqa", LRS[0], {"text": "\ud800"}, "record 2: not valid Unicode"),
        ("rshr", RSHR, {"options": {"A": "Red", "B": "\ud800"}}, "record 2: not valid Unicode"),
        ("lrs-vqa", LRS[0], {"question_id": [1]}, "record 2: 'question_id' is neither"),
        ("mme-realworld-rs", MME, {"Ground truth": "G"}, "record 2: 'ground_truth' is 'G'"),
        ("mme-realworld-rs", MME, {"Answer choices": "[1"}, "record 2: 'answer_choices' is no"),
        ("mme-realworld-rs", MME, {"Ground truth": "E", "Answer choices": CHOICES[:4]},
         "'ground_truth' is 'E', none of its 4 choices"),
        ("rshr", RSHR, {"answer": "A, D"}, "'answer' is 'AD', and D none of its 2 choices"),
        ("xlrs", XLRS, {"answer": "AE"}, "'answer' is 'AE', and E none of its 4 choices"),
        ("xlrs", XLRS, {"answer": "Black"}, "'answer' is 'Black', no letters"),
        ("lrs-vqa", LRS[0], {"hbox": [0, 0, 1, float("nan")]}, "'hbox' is not four numbers"),
        ("lrs-vqa", LRS[0], {"hbox": [None, 1, 2, 3]}, "not four numbers: [null, 1, 2, 3]"),
        ("xlrs", XLRS, {"multi-choice options": []}, "'multi_choice_options' is empty"),
        ("xlrs", XLRS, {"multi-choice options": None}, "no 'multi_choice_options'"),
        ("xlrs", XLRS, {"multi-choice options": [1]}, "'multi_choice_options' is no list of texts"),
        ("rshr", RSHR, {"answer": None}, "no 'answer'"),
        ("rshr", RSHR, {"answer": "none"}, "record 2: 'answer' is 'none', no letter"),
        ("rshr", RSHR, {"options": 5}, "record 2: 'options' is neither"),
        ("xlrs", XLRS, {"bbox": [0, 0, 1, 1]}, "grounding set"),
        ("lrs-gro", {"question_id": "1", "image_name": "a", "question": "?", "ground_truth": "x",
                     "type": "global"}, {"type": ""}, "record 2: 'type' is empty"),
    ],
)  # fmt: skip
def test_a_broken_record_is_one_line_with_its_number(
    tmp_path: Path, task: str, base: dict, change: dict, fault: str
) -> None:
    path = write_lines(tmp_path / "q.jsonl", [base, {**base, **change}])
    found = load(task, path)
    assert [item.number for item in found.items] == [1]
    (broken,) = found.broken
    assert broken.number == 2
    assert broken.problem.startswith(f"{path}: record 2: ")
    assert fault in broken.problem
    assert "\n" not in broken.problem


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            b'{"question_id": "FAIR_1", "ima',
            "not JSON: Unterminated string starting at (column 27)",
        ),
        (b"\xff\xfe", "not UTF-8 at byte 1"),
        (b"[1]", "not an object but '[1]'"),
        (b"null", "not an object but 'null'"),
        (b"[" * 100_000, "not JSON: "),
    ],
)
def test_a_damaged_line_is_left_out_and_told(tmp_path: Path, line: bytes, fault: str) -> None:
    path = tmp_path / "q.jsonl"
    whole = [json.dumps(row).encode() for row in LRS]
    path.write_bytes(b"\n".join([whole[0], b"", line, *whole[1:], line]) + b"\n")
    found = load("lrs-vqa", path)
    assert [item.number for item in found.items] == [1, 3, 4, 5]
    assert [part.number for part in found.broken] == [2, 6]
    assert found.broken[0].problem.startswith(f"{path}: record 2: {fault}")
    assert len(found.broken[0].problem) < len(str(path)) + 100


def test_a_record_is_told_by_its_place_in_its_own_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", LRS[:3])
    write_lines(tmp_path / "b.jsonl", [LRS[3], {**LRS[3], "image": None}])
    found = load("lrs-vqa", tmp_path)
    assert [item.number for item in found.items] == [1, 2, 3, 4]
    assert [(part.number, part.problem) for part in found.broken] == [
        (5, f"{tmp_path / 'b.jsonl'}: record 2: no 'image'")
    ]


def test_a_line_of_a_table_with_other_columns_is_left_out(tmp_path: Path) -> None:
    heads = "index\timage\tquestion\tanswer\tcategory\tmulti-choice options"
    cells = "7\ta.png\tWhat?\tB\tcolor\t" + str(CHOICES)
    path = tmp_path / "lite.tsv"
    path.write_bytes(f"{heads}\n{cells}\n7\ta.png\n{cells}\n".encode())
    found = load("mme-realworld-rs", path)
    assert [item.number for item in found.items] == [1, 3]
    assert found.broken[0].problem == f"{path}: record 2: 2 columns where the first line has 6"
    path.write_bytes(path.read_bytes().replace(b"7\ta.png\n", cells.encode() + b"\xff\n"))
    assert "'answer_choices' is no list" in load("mme-realworld-rs", path).broken[0].problem
    path.write_bytes(path.read_bytes().replace(b"\xff", b"").replace(b"What", b"\xff", 1))
    assert "record 1: not valid Unicode" in load("mme-realworld-rs", path).broken[0].problem


def test_when_every_record_is_broken_there_is_nothing_to_ask(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{**LRS[0], "text": 5, "image": 1}] * 3)
    with pytest.raises(
        QuestionError, match=r"no record can be asked: .*record 1: .*\(and 2 more\)"
    ):
        load("lrs-vqa", path)


def test_a_repeated_id_and_an_html_entity_are_asked_and_told(tmp_path: Path) -> None:
    odd = {**LRS[0], "ground_truth": "can&rsquo;t determine"}
    found = load("lrs-vqa", write_lines(tmp_path / "q.jsonl", [*LRS, odd]))
    assert [item.number for item in found.items] == [1, 2, 3, 4, 5]
    assert found.items[4].truth == "can&rsquo;t determine"
    assert found.notes == (
        "records with HTML entities, asked and scored as they are written: 1 (5)",
        "records with the id of an earlier one, asked all the same: 1 (5 as 1)",
    )


def test_a_file_without_records_and_a_cut_array_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(b"\n")
    with pytest.raises(QuestionError, match="holds no record"):
        load("lrs-vqa", tmp_path / "q.jsonl")
    cut = tmp_path / "dataset.json"
    cut.write_text(json.dumps([RSHR, RSHR], indent=1)[:-40])
    with pytest.raises(QuestionError, match=r"not JSON, or not whole: .* \(line \d+, column \d+\)"):
        load("rshr", cut)
    cut.write_bytes(b'[{"id": "\xff"}]')
    with pytest.raises(QuestionError, match="not UTF-8 at byte 10"):
        load("rshr", cut)


def test_rsvqa_leaves_out_questions_that_lead_to_no_answer(tmp_path: Path) -> None:
    good: dict = {"id": 0, "img_id": 0, "type": "count", "question": "?", "answers_ids": [0]}
    odd: list[dict] = [{"answers_ids": [9]}, {"answers_ids": []}, {"question": 3}, {"type": None}]
    rows = {
        "questions": [good, *(good | change for change in odd)],
        "answers": [{"id": 0, "answer": "2"}],
        "images": [],
    }
    for kind, part in rows.items():
        (tmp_path / f"USGS_split_test_{kind}.json").write_text(json.dumps({kind: part}))
    found = load("rsvqa-hr", tmp_path)
    assert [item.number for item in found.items] == [1]
    assert [part.number for part in found.broken] == [2, 3, 4, 5]
    assert "record 2: no question with an answer: missing 9" in found.broken[0].problem
    assert "record 4: 'question', 'answer' or 'type' is no text" in found.broken[2].problem


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_cut_file_of_columns_is_one_line(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / f"data-0.{suffix}"
    path.write_bytes(b"PAR1 and no more of it")
    with pytest.raises(QuestionError, match="or not whole"):
        load("xlrs", path)
    with pytest.raises(QuestionError, match="no such file"):
        load("xlrs", tmp_path / "none")
