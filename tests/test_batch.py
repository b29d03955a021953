"""Batches: no answer lost, none repeated, whatever happens in between. No model takes part."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uhrqa.batch import (
    Answerer,
    AnswerFile,
    AskedAgainWarning,
    Entry,
    Question,
    Record,
    fingerprint,
    read_entries,
    run_batch,
)
from uhrqa.batch.scan import Scan
from uhrqa.batch.stamp import stamp_image
from uhrqa.errors import OutputError, QuestionError, RasterError

RUN = fingerprint({"model": "fake"})


def to_lines(*rows: object) -> list[bytes]:
    return [row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows]


def three_questions(directory: Path = Path()) -> list[Entry]:
    rows = [
        {"image": "a.tif", "question": "one?"},
        {"image": "b.tif", "question": "two?"},
        {"image": "a.tif", "question": "three?"},
    ]
    return read_entries(to_lines(*rows), directory)


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class FakeImages:
    """Answers with the question turned round; counts what it was asked and stops when told."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.opened: list[str] = []
        self.asked: list[str] = []
        self.calls: list[int] = []
        self.stop_after = stop_after

    @contextmanager
    def __call__(self, path: Path | str) -> Iterator[Answerer]:
        name = Path(path).name
        if name.startswith("bad"):
            raise RasterError(f"{name}: not an image")
        self.opened.append(name)
        yield self.answers

    def answers(self, questions: Sequence[Question]) -> list[Record | Exception]:
        self.calls.append(len(questions))
        found: list[Record | Exception] = []
        for question in questions:
            try:
                found.append(self.answer(question))
            except ZeroDivisionError as error:
                found.append(error)
        return found

    def answer(self, question: Question) -> Record:
        if self.stop_after == len(self.asked):
            raise KeyboardInterrupt
        self.asked.append(question.text)
        if question.text == "broken?":
            raise ZeroDivisionError("division by zero")
        return {"answer": question.text[::-1]}


# --- the questions file


def test_a_line_becomes_a_question_with_its_path_relative_to_the_file() -> None:
    rows = to_lines({"image": "x/../a.tif", "question": "Où?", "id": 7, "truth": "kept out"})
    assert read_entries(rows, Path("data")) == [
        Entry(1, 7, read_entries(rows, Path())[0].key, "x/../a.tif", Path("data/x/../a.tif"), "Où?")
    ]


def test_choices_of_a_line_are_read_and_are_part_of_the_question() -> None:
    lines = [{"image": "a.tif", "question": "?", "id": n} for n in range(3)]
    rows = [dict(lines[0], choices=["A", "B "]), dict(lines[0], choices="A,B"),
            dict(lines[0], choices=["A", "C"]), dict(lines[0], choices=None), lines[0]]  # fmt: skip
    one, same, other, none, plain = (read_entries(to_lines(row), Path())[0] for row in rows)
    assert one.choices == same.choices == ("A", "B")
    assert one.key == same.key != other.key
    assert none.choices == plain.choices == ()
    assert none.key == plain.key != one.key
    for bad in (3, ["A"], ["A", 4], ["A", "A"], ["A", ""]):
        (entry,) = read_entries(to_lines(dict(lines[0], choices=bad)), Path())
        assert "choices" in entry.error, bad


def test_choices_reach_who_answers(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []

    class Images(FakeImages):
        def answer(self, question: Question) -> Record:
            seen.append(question.choices)
            return {"answer": question.text}

    rows = [{"image": "a.tif", "question": "?", "choices": ["x", "y"]},
            {"image": "a.tif", "question": "?"}]  # fmt: skip
    entries = read_entries(to_lines(*rows), tmp_path)
    with AnswerFile(tmp_path / "out.jsonl", "run", entries) as sink:
        run_batch(entries, sink, Images())
    assert seen == [("x", "y"), ()]


def test_an_absolute_path_stays_absolute() -> None:
    (entry,) = read_entries(to_lines({"image": "/in/a.tif", "question": "?"}), Path("data"))
    assert entry.path == Path("/in/a.tif")


def test_a_path_that_begins_with_the_directory_of_the_file_is_found_beside_it(
    tmp_path: Path, monkeypatch
) -> None:
    home = tmp_path / "LRS_VQA"
    (home / "image").mkdir(parents=True)
    (home / "image" / "1.tif").write_text("one")
    (tmp_path / "2.tif").write_text("not meant")
    rows = [
        {"image": "LRS_VQA/image/1.tif", "text": "?", "question_id": "FAIR_1"},
        {"image": "image/1.tif", "text": "?"},
        {"image": "LRS_VQA/none.tif", "text": "?"},
        {"image": "LRS_VQA/" + 300 * "x", "text": "?"},
        {"image": "2.tif", "text": "?"},
    ]
    first, second, *others = read_entries(to_lines(*rows), home)
    assert (first.id, first.image) == ("FAIR_1", "LRS_VQA/image/1.tif")
    assert first.path.read_text() == second.path.read_text() == "one"
    assert [entry.path for entry in others] == [home / str(row["image"]) for row in rows[2:]]
    monkeypatch.chdir(home)
    assert read_entries(to_lines(rows[0]), Path())[0].path.read_text() == "one"
    (home / "LRS_VQA" / "image").mkdir(parents=True)
    (home / "LRS_VQA" / "image" / "1.tif").write_text("nearer")
    assert read_entries(to_lines(rows[0]), home)[0].path.read_text() == "nearer"


@pytest.mark.parametrize(
    ("id_", "kept"), [(7, 7), (-1, -1), ("7", "7"), ("é", "é"), (None, "line-1")]
)
def test_an_id_keeps_its_type_and_null_is_none(id_: object, kept: object) -> None:
    (entry,) = read_entries(to_lines({"image": "a", "question": "b", "id": id_}), Path())
    assert (entry.id, type(entry.id), entry.error) == (kept, type(kept), "")


def test_a_number_and_a_text_are_two_ids() -> None:
    rows = to_lines(*({"image": "a", "question": "b", "id": id_} for id_ in (7, "7")))
    first, second = read_entries(rows, Path())
    assert first.key != second.key
    assert not second.error


@pytest.mark.parametrize("turn", [1, -1], ids=["before", "behind"])
def test_a_line_without_an_id_takes_none_that_is_written(turn: int) -> None:
    rows = [
        {"image": "a", "question": "?"},
        {"image": "a", "question": "?", "id": "line-1"},
        {"image": "a", "question": "?", "id": "line-1-2"},
        {"image": "a", "question": "?", "id": "line-4"},
        {"image": "a", "question": "?"},
    ][::turn]
    entries = read_entries(to_lines(*rows, b"nonsense\n"), Path())
    assert len({entry.id for entry in entries}) == len({entry.key for entry in entries}) == 6
    assert not any(entry.error for entry in entries[:5])
    assert entries[0 if turn == 1 else 4].id == ("line-1-3" if turn == 1 else "line-5")


def test_lines_of_a_windows_editor_are_read() -> None:
    rows = to_lines({"image": "a", "question": "b"}, {"image": "c", "question": "d"})
    windows = b"\xef\xbb\xbf" + b"".join(rows).replace(b"\n", b"\r\n") + b"\r\n"
    entries = read_entries(windows.splitlines(keepends=True), Path())
    assert [(entry.line, entry.image, entry.error) for entry in entries] == [
        (1, "a", ""),
        (2, "c", ""),
    ]


def test_blank_lines_and_a_byte_order_mark_do_not_count() -> None:
    rows = to_lines(b"\xef\xbb\xbf" + to_lines({"image": "a", "question": "b"})[0], b" \r\n")
    (entry,) = read_entries(rows, Path())
    assert (entry.line, entry.id, entry.error) == (1, "line-1", "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"nonsense\n", "not JSON: Expecting value (column 1)"),
        (b'{"image":\n', "not JSON: Expecting value (column 10)"),
        (b"[1]\n", "not an object"),
        (b'{"image": "a.tif"}\n', "'question' is missing"),
        (b'{"image": "a.tif", "qestion": "?"}\n', "did you mean 'qestion'"),
        (b'{"image": "a.tif", "question": "  "}\n', "'question' is not a text, or an empty one"),
        (b'{"image": 3, "question": "?"}\n', "'image' is not a text"),
        (b'{"image": "a\\u0000b", "question": "?"}\n', "'image' is not a text"),
        (b'{"image": "a", "question": "?", "id": {}}\n', "'id' is neither"),
        (b'{"image": "a", "question": "?", "id": true}\n', "'id' is neither"),
        (b'{"image": "a", "question": "?", "id": 1.5}\n', "'id' is neither"),
        (b'{"image": "a", "question": "?", "id": ""}\n', "or an empty one"),
        (b"\xff\xfe{}\n", "not UTF-8 at byte 1; save the file as UTF-8"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_bad_line_says_what_is_wrong_and_does_not_stop_the_others(
    line: bytes, problem: str
) -> None:
    bad, good = read_entries([line, *to_lines({"image": "a", "question": "b"})], Path())
    assert problem in bad.error
    assert bad.error.startswith("line 1: ")
    assert not good.error


def test_a_second_use_of_an_id_is_an_error_that_names_the_first() -> None:
    row = {"image": "a", "question": "b", "id": "q"}
    first, second = read_entries(to_lines(row, row), Path())
    assert not first.error
    assert second.error == "line 2: id 'q' is already taken by line 1"


def test_equal_questions_on_different_lines_are_two_questions() -> None:
    row = {"image": "a", "question": "b"}
    first, second = read_entries(to_lines(row, row), Path())
    assert first.key != second.key


@pytest.mark.parametrize("lines", [[], [b"\n"], [b"\xef\xbb\xbf\r\n", b"\r\n"]])
def test_a_file_without_questions_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(QuestionError, match="no questions"):
        read_entries(lines, Path())


# --- running


def run(path: Path, entries: list[Entry], images: FakeImages, **options: bool):
    with AnswerFile(path, RUN, entries, **options) as sink:
        return run_batch(entries, sink, images)


def test_every_image_is_opened_once_for_all_its_questions(tmp_path: Path) -> None:
    images = FakeImages()
    summary = run(tmp_path / "out", three_questions(), images)
    assert images.opened == ["a.tif", "b.tif"]
    assert images.asked == ["one?", "three?", "two?"]
    assert (summary.answered, summary.failed, summary.skipped) == (3, 0, 0)


def test_questions_of_one_image_are_asked_together(tmp_path: Path, caplog) -> None:
    texts = ["1?", "2?", "broken?", "4?", "5?"]
    rows = [{"image": "a.tif", "question": text} for text in texts]
    entries = read_entries(to_lines(*rows, {"image": "b.tif", "question": "6?"}), Path())
    images = FakeImages()
    with AnswerFile(tmp_path / "out", RUN, entries) as sink:
        summary = run_batch(entries, sink, images, together=3)
    assert images.calls == [3, 2, 1]
    assert (summary.answered, summary.failed) == (5, 1)
    assert [record["question"] for record in records_of(tmp_path / "out")] == [*texts, "6?"]


def test_a_record_holds_the_question_its_answer_and_where_it_came_from(tmp_path: Path) -> None:
    entries = three_questions()
    run(tmp_path / "out", entries, FakeImages())
    assert records_of(tmp_path / "out")[0] == {
        "id": "line-1",
        "line": 1,
        "image": "a.tif",
        "question": "one?",
        "answer": "?eno",
        "key": entries[0].key,
        "stamp": None,
        "run": RUN,
    }


def test_bad_lines_bad_images_and_our_own_mistakes_become_records(tmp_path: Path, caplog) -> None:
    entries = read_entries(
        to_lines(
            {"image": "bad.tif", "question": "one?", "id": "x"},
            b"nonsense\n",
            {"image": "a.tif", "question": "broken?", "id": "y"},
            {"image": "a.tif", "question": "last?", "id": "z"},
        ),
        Path(),
    )
    summary = run(tmp_path / "out", entries, FakeImages())
    found = {record["id"]: record.get("error") for record in records_of(tmp_path / "out")}
    assert found["x"] == "bad.tif: not an image"
    assert str(found["line-2"]).startswith("line 2: not JSON: Expecting value")
    assert found["y"] == "ZeroDivisionError: division by zero"
    assert found["z"] is None
    assert (summary.answered, summary.failed) == (1, 3)
    assert "Traceback" in caplog.text  # a mistake of ours is not hidden


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    entries = three_questions()
    run(tmp_path / "out", entries, FakeImages())
    before = (tmp_path / "out").read_bytes()
    images = FakeImages()
    assert run(tmp_path / "out", entries, images).skipped == 3
    assert images.asked == []
    assert (tmp_path / "out").read_bytes() == before


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200)), max_size=6))
def test_stopped_anywhere_and_started_again_nothing_is_lost_or_repeated(
    tmp_path: Path, cuts: list[tuple[int, int]]
) -> None:
    """Each cut: stop after so many answers, then tear so many bytes off the last line."""
    path = tmp_path / "out"
    path.unlink(missing_ok=True)
    entries = three_questions()
    for stop_after, torn in cuts:
        try:
            run(path, entries, FakeImages(stop_after))
        except KeyboardInterrupt:
            content = path.read_bytes()
            whole = content[: content[:-1].rfind(b"\n") + 1]
            path.write_bytes(content[: max(len(whole), len(content) - torn)])
    run(path, entries, FakeImages())
    assert Counter(record["id"] for record in records_of(path)) == {
        "line-1": 1,
        "line-2": 1,
        "line-3": 1,
    }


def test_a_whole_last_line_without_its_line_end_is_kept(tmp_path: Path) -> None:
    entries = three_questions()
    run(tmp_path / "out", entries, FakeImages())
    path = tmp_path / "out"
    path.write_bytes(path.read_bytes()[:-1])
    images = FakeImages()
    run(path, entries, images)
    assert images.asked == []
    assert len(records_of(path)) == 3


def test_lines_added_to_the_questions_are_answered_and_the_rest_left_alone(tmp_path: Path) -> None:
    entries = three_questions()
    run(tmp_path / "out", entries[:2], FakeImages())
    images = FakeImages()
    run(tmp_path / "out", entries, images)
    assert images.asked == ["three?"]


def test_failed_questions_are_asked_again_only_when_wanted(tmp_path: Path) -> None:
    entries = read_entries(to_lines({"image": "bad.tif", "question": "?"}), Path())
    path = tmp_path / "out"
    run(path, entries, FakeImages())
    assert run(path, entries, FakeImages()).skipped == 1
    assert run(path, entries, FakeImages(), retry_failed=True).failed == 1
    assert len(records_of(path)) == 1


def test_the_error_of_a_line_that_was_mended_makes_way_for_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "out"
    run(path, read_entries([b"nonsense\n"], Path()), FakeImages())
    run(path, read_entries(to_lines({"image": "a", "question": "b?"}), Path()), FakeImages())
    (record,) = records_of(path)
    assert record["answer"] == "?b"


def test_one_file_under_several_names_is_opened_once(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    (tmp_path / "b.tif").symlink_to("a.tif")
    names = ("a.tif", "b.tif", "./a.tif", "x/../a.tif")
    rows = to_lines(*({"image": name, "question": f"{name}?"} for name in names))
    images = FakeImages()
    run(tmp_path / "out", read_entries(rows, tmp_path), images)
    assert images.opened == ["a.tif"]
    assert len(images.asked) == 4


def test_a_path_through_a_link_is_the_file_the_system_finds_there(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    (tmp_path / "far" / "a.tif").write_text("far")
    (tmp_path / "a.tif").write_text("near")
    rows = to_lines({"image": "link/../a.tif", "question": "?"})
    (entry,) = read_entries(rows, tmp_path)
    assert entry.path.read_text() == "far"


def test_a_path_no_system_takes_does_not_stop_the_others(tmp_path: Path) -> None:
    rows = [
        b'{"image": "\\ud800", "question": "one?"}\n',
        *to_lines({"image": "a", "question": "b"}),
    ]
    summary = run(tmp_path / "out", read_entries(rows, tmp_path), FakeImages())
    assert (summary.answered, summary.failed) == (1, 1)


# --- an image that was replaced under its name is asked about again


@pytest.fixture
def answered(tmp_path: Path) -> tuple[Path, list[Entry]]:
    """An output with answers about two images that are there, and the questions behind it."""
    for name in "ab":
        (tmp_path / f"{name}.tif").write_text(name)
    entries = three_questions(tmp_path)
    run(tmp_path / "out", entries, FakeImages())
    return tmp_path / "out", entries


def replace_content(image: Path) -> None:
    image.write_text("another one")


def replace_by_equal_size(image: Path) -> None:
    image.write_text("z")
    os.utime(image, ns=(1, 1))


@pytest.mark.parametrize("change", [replace_content, replace_by_equal_size])
def test_questions_about_a_replaced_image_are_asked_again(
    answered, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path, entries = answered
    change(tmp_path / "a.tif")
    images = FakeImages()
    with pytest.warns(AskedAgainWarning, match=r"image that was replaced since.*: 2$"):
        summary = run(path, entries, images)
    assert images.asked == ["one?", "three?"]
    assert (summary.answered, summary.skipped) == (2, 1)
    assert sorted(record["id"] for record in records_of(path)) == ["line-1", "line-2", "line-3"]
    assert run(path, entries, FakeImages()).skipped == 3


def test_an_image_that_changes_while_it_is_asked_about_is_asked_again(tmp_path: Path) -> None:
    image, path = tmp_path / "a.tif", tmp_path / "out"
    image.write_text("one")

    class Changing(FakeImages):
        def answer(self, question: Question) -> Record:
            image.write_text("another one")
            return super().answer(question)

    entries = read_entries(to_lines({"image": "a.tif", "question": "?"}), tmp_path)
    run(path, entries, Changing())
    with pytest.warns(AskedAgainWarning):
        assert run(path, entries, FakeImages()).answered == 1


def test_an_image_that_is_gone_keeps_its_answers(answered, tmp_path: Path) -> None:
    path, entries = answered
    before = path.read_bytes()
    (tmp_path / "a.tif").unlink()
    assert run(path, entries, FakeImages()).skipped == 3
    assert path.read_bytes() == before


def test_an_image_that_was_missing_and_is_there_now_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "out"
    entries = read_entries(to_lines({"image": "bad/a.tif", "question": "?"}), tmp_path)

    class Images(FakeImages):
        @contextmanager
        def __call__(self, path: Path | str) -> Iterator[Answerer]:
            if not Path(path).exists():
                raise RasterError("no such file")
            yield self.answers

    assert run(path, entries, Images()).failed == 1
    assert run(path, entries, Images()).skipped == 1
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.tif").write_text("image")
    with pytest.warns(AskedAgainWarning):
        assert run(path, entries, Images()).answered == 1
    assert len(records_of(path)) == 1


def test_a_chunk_written_again_makes_another_zarr(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    (store / "c" / "0").mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    (store / "c" / "0" / "0").write_text("chunk")
    stamp = stamp_image(store)
    assert stamp_image(store) == stamp
    os.utime(store / "c" / "0" / "0", ns=(1, 1))
    assert stamp_image(store) != stamp
    stamp = stamp_image(store)
    (store / "c" / "0" / "1").write_text("chunk")
    assert stamp_image(store) != stamp


def test_a_directory_that_is_no_image_is_not_walked_through(tmp_path: Path, monkeypatch) -> None:
    def walk(*_: object) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr(os, "walk", walk)
    assert stamp_image(tmp_path)


# --- damaged lines of the output


def damage(path: Path, *numbers: int, by: bytes = b"garbage\n") -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    for number in numbers:
        lines[number - 1] = by
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("by", [b"garbage\n", b"\xff\0\n", b"[1]\n", b'{"id": "line-', b"gar"])
def test_a_damaged_line_is_left_out_and_asked_again(
    answered, recwarn: pytest.WarningsRecorder, number: int, by: bytes
) -> None:
    path, entries = answered
    if number < 3 and not by.endswith(b"\n"):
        by += b"\n"
    damage(path, number, by=by)
    is_torn = by == b'{"id": "line-'
    summary = run(path, entries, FakeImages())
    assert (summary.answered, summary.skipped) == (1, 2)
    assert sorted(record["id"] for record in records_of(path)) == ["line-1", "line-2", "line-3"]
    told = [str(warning.message) for warning in recwarn]
    assert len(told) == (0 if is_torn else 1)
    assert all(f"out: line {number} is damaged and left out" in line for line in told)


def test_several_damaged_lines_are_one_warning(answered) -> None:
    path, entries = answered
    damage(path, 1, 3)
    with pytest.warns(AskedAgainWarning, match="lines 1, 3 are damaged") as told:
        run(path, entries, FakeImages())
    assert len(told) == 1


def test_two_lines_that_ran_together_are_asked_again(answered) -> None:
    path, entries = answered
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:30] + b"".join(others))
    with pytest.warns(AskedAgainWarning, match="line 1 is damaged"):
        assert run(path, entries, FakeImages()).answered == 2
    assert len(records_of(path)) == 3


def test_damaged_lines_stay_until_the_first_answer(answered) -> None:
    path, entries = answered
    damage(path, 2)
    before = path.read_bytes()
    with pytest.warns(AskedAgainWarning), pytest.raises(KeyboardInterrupt):
        run(path, entries, FakeImages(stop_after=0))
    assert path.read_bytes() == before


def test_blank_lines_of_the_output_do_not_count(answered) -> None:
    path, entries = answered
    path.write_bytes(b"\n" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert run(path, entries, FakeImages()).skipped == 3


def test_an_object_of_another_kind_is_no_damage(answered) -> None:
    path, entries = answered
    damage(path, 2, by=b'{"note": "mine"}\n')
    before = path.read_bytes()
    with pytest.raises(OutputError, match="line 2 is no answer of ours; remove it"):
        run(path, entries, FakeImages())
    assert path.read_bytes() == before


def test_a_large_file_that_is_not_ours_is_refused_at_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    lines = iter([b"II*\0\n"] * 1000)
    with pytest.raises(OutputError, match="line 1 is no answer"):
        Scan(path, RUN, three_questions(), retry_failed=False).read(lines)
    assert len(list(lines)) == 900


def test_an_image_of_a_question_is_never_the_output(answered, tmp_path: Path) -> None:
    _, entries = answered
    with pytest.raises(OutputError, match="is an image of a question"):
        AnswerFile(tmp_path / "b.tif", RUN, entries, restart=True)
    assert (tmp_path / "b.tif").read_text() == "b"


# --- what is there is kept until there is something better


@pytest.fixture
def half_failed(tmp_path: Path) -> tuple[Path, list[Entry]]:
    """An output with one answer and one error, and the questions behind it."""
    rows = [{"image": "a.tif", "question": "one?"}, {"image": "bad.tif", "question": "two?"}]
    entries = read_entries(to_lines(*rows), Path())
    run(tmp_path / "out", entries, FakeImages())
    return tmp_path / "out", entries


@pytest.mark.parametrize("option", ["restart", "retry_failed"])
def test_a_run_that_ends_before_its_first_answer_leaves_the_output_alone(
    half_failed, option: str
) -> None:
    path, entries = half_failed
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), AnswerFile(path, RUN, entries, **{option: True}):
        raise KeyboardInterrupt
    assert path.read_bytes() == before


def test_a_torn_line_is_cut_off_only_with_the_first_answer(half_failed) -> None:
    path, entries = half_failed
    path.write_bytes(path.read_bytes() + b'{"id": "li')
    with AnswerFile(path, RUN, entries) as sink:
        assert path.read_bytes().endswith(b'{"id": "li')
        sink.append({"id": "x", "key": "y"})
    assert [record["id"] for record in records_of(path)] == ["line-1", "line-2", "x"]


@pytest.mark.parametrize("way", ["torn", "retry_failed", "restart"])
def test_an_output_behind_a_link_stays_behind_it(half_failed, tmp_path: Path, way: str) -> None:
    path, entries = half_failed
    path.chmod(0o640)
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "real")
    path.symlink_to(tmp_path / "elsewhere" / "real")
    if way == "torn":
        path.write_bytes(path.read_bytes() + b'{"id": "li')
        run(path, entries, FakeImages())
    else:
        run(path, entries, FakeImages(), **{way: True})
    assert path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert {record["id"] for record in records_of(path)} == {"line-1", "line-2"}
    assert [entry.name for entry in (tmp_path / "elsewhere").iterdir()] == ["real"]


def test_a_rewrite_leaves_every_other_file_alone(half_failed, tmp_path: Path) -> None:
    path, entries = half_failed
    (tmp_path / "out.tmp").write_text("mine")
    run(path, entries, FakeImages(), retry_failed=True)
    assert (tmp_path / "out.tmp").read_text() == "mine"
    assert {entry.name for entry in tmp_path.iterdir()} == {"out", "out.tmp"}


def test_a_rewritten_file_is_still_locked(half_failed) -> None:
    path, entries = half_failed
    with AnswerFile(path, RUN, entries, retry_failed=True) as sink:
        sink.append({"id": "x", "key": "y"})
        with pytest.raises(OutputError, match="another run is writing"):
            AnswerFile(path, RUN, entries)


def test_only_what_must_be_known_of_an_answer_is_held_in_memory(tmp_path: Path) -> None:
    path, entries = tmp_path / "out", three_questions()
    with AnswerFile(path, RUN, entries) as sink:
        for entry in entries:
            sink.append({"id": entry.id, "key": entry.key, "answer": "x" * 2_000_000})
    tracemalloc.start()
    try:
        with AnswerFile(path, RUN, entries):
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000  # of one line of 2 MB, not of three


# --- what is refused


def test_answers_of_another_run_are_refused_and_left_alone(tmp_path: Path) -> None:
    entries = three_questions()
    path = tmp_path / "out"
    run(path, entries, FakeImages())
    before = path.read_bytes()
    with pytest.raises(
        OutputError, match=r"answers of another run .* or start over with --restart"
    ):
        AnswerFile(path, fingerprint({"model": "other"}), entries)
    assert path.read_bytes() == before


def test_a_question_that_changed_since_it_was_answered_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "out", three_questions(), FakeImages())
    changed = read_entries(to_lines({"image": "a.tif", "question": "ONE?"}), Path())
    with pytest.raises(OutputError, match="question 'line-1' has changed"):
        AnswerFile(tmp_path / "out", RUN, changed)


@pytest.mark.parametrize("text", ["my notes\nof today", "my notes", '{"image": "a'])
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(
        OutputError, match=r"line 1 is no answer of ours; name another file with -o$"
    ):
        AnswerFile(path, RUN, three_questions())
    assert path.read_text() == text


@pytest.mark.parametrize("torn", [b"{", b'{"id": "line-3", "li', b"\0" * 9])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path, entries = tmp_path / "out", three_questions()
    run(path, entries[:2], FakeImages())
    path.write_bytes(path.read_bytes() + torn)
    assert run(path, entries, FakeImages()).answered == 1
    assert len(records_of(path)) == 3


def test_restart_throws_away_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("anything")
    run(path, three_questions(), FakeImages(), restart=True)
    assert len(records_of(path)) == 3


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    with (
        AnswerFile(tmp_path / "out", RUN, three_questions()),
        pytest.raises(OutputError, match="another run is writing"),
    ):
        AnswerFile(tmp_path / "out", RUN, three_questions())


@pytest.mark.parametrize("name", ["", "no/such/directory/out", "/dev/full"])
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError):
        AnswerFile(tmp_path / name, RUN, three_questions())


def test_half_a_character_in_a_question_is_an_error_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = read_entries([b'{"image": "a", "question": "\\ud800?"}\n'], Path())
    reasons = run(tmp_path / "out", entries, FakeImages()).reasons
    assert reasons == {"line 1: 'question' is not valid Unicode: half of a surrogate pair": 1}
    assert not caplog.text


def test_an_address_on_a_server_is_kept_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uhrqa.raster.stores.RETRIES", 0)
    image = "https://127.0.0.1:9/a/b.tif"
    entries = read_entries(to_lines({"image": image, "question": "how many?"}), tmp_path)
    assert entries[0].place == image
    opened = []

    class Images(FakeImages):
        @contextmanager
        def __call__(self, path: Path | str) -> Iterator[Answerer]:
            opened.append(path)
            yield self.answers

    assert run(tmp_path / "out", entries, Images()).answered == 1
    assert opened == [image]
