"""A run asks everything once, goes on where it stopped, and refuses another run's rows."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from tests.evaluation.makers import MANIFEST, row, small_plan
from uhrqa import ask
from uhrqa.errors import OutputError
from uhrqa.evaluation.row_log import RowLog, read_rows
from uhrqa.evaluation.rows import Refusal, Row, Trial, answered_row, unasked_row
from uhrqa.evaluation.run import asked, evaluate
from uhrqa.evaluation.source import subject_of
from uhrqa.features import FeatureCache
from uhrqa.synth.benchmark import benchmark


def measured(found: Row) -> dict[str, object]:
    """A row without what a clock or a warm cache decides."""
    return asdict(replace(found, seconds=0.0, bytes=0))


@pytest.fixture(scope="module")
def whole(vlm):
    """All outcomes of a small run."""
    log = RowLog(MANIFEST)
    evaluate(small_plan(("uniform", "full")), lambda: vlm, log)
    return log.results


def test_every_question_is_asked_in_every_way_once(whole) -> None:
    plan = small_plan(("uniform", "full"))
    wanted = {(0, number, *way) for number in range(3) for way in plan.ways}
    keys = [found.key for found in (*whole.rows, *whole.refusals)]
    assert set(keys) == wanted
    assert len(keys) == len(wanted) == 3 * 5


def test_a_budget_that_cannot_be_met_leaves_no_row_but_a_reason(whole) -> None:
    assert {refusal.strategy for refusal in whole.refusals} == {"full"}
    assert len(whole.refusals) == 3
    assert not [found for found in whole.rows if found.strategy == "full"]
    assert all("needs" in refusal.reason for refusal in whole.refusals)


def test_the_controls_see_what_they_should(whole) -> None:
    of = {name: [found for found in whole.rows if found.strategy == name]
          for name in ("majority", "blind", "oracle", "uniform")}  # fmt: skip
    assert {found.kept for found in of["blind"]} == {0}
    assert all(found.tflops == 0 for found in of["majority"])
    assert all(found.tflops > 0 for found in of["blind"])
    assert {found.found for found in of["oracle"]} <= {None, 1.0}
    assert {found.kept for found in of["uniform"]} <= set(range(17, 61))


def test_tiles_and_flops_are_those_of_a_question_asked_alone(vlm) -> None:
    subject = next(asked(small_plan()))
    case, features = subject.cases[0], FeatureCache()
    rows = []
    with subject.open() as raster:
        for _ in range(2):
            answer = ask(raster, case.text, model=vlm, strategy="uniform", budget=60,
                         max_new_tokens=3, features=features)  # fmt: skip
            trial = Trial(0, 0, "uniform", 60)
            rows.append(answered_row(trial, subject.side, case, answer, vlm.card.dims))
    cold, warm = rows
    assert warm.bytes == 0  # nothing was drawn again
    assert cold.tiles == warm.tiles > 1
    assert cold.tflops == warm.tflops


def test_the_size_asked_about_is_that_of_the_shortest_object() -> None:
    drawn = benchmark(12, "test", (1024,), 2)
    several = [(s, [q for q in questions if len(q.things) > 1]) for s, questions in drawn]
    lengths = [[s.things[i].length for i in q.things] for s, qs in several for q in qs]
    trial = Trial(0, 0, "majority", 0)
    found = [
        unasked_row(trial, subject.side, case, "").target
        for s, questions in several
        for subject in [subject_of(s, questions)]
        for case in subject.cases
    ]
    assert found == [min(some) for some in lengths]
    assert found != [max(some) for some in lengths]


def test_a_limit_counts_questions_over_all_scenes() -> None:
    every = [len(subject.cases) for subject in asked(small_plan(limit=None))]
    limited = [len(subject.cases) for subject in asked(small_plan(limit=every[0] + 1))]
    assert limited == [every[0], 1]


def test_a_stopped_run_goes_on_and_gives_the_same_rows(vlm, whole, tmp_path) -> None:
    path, plan = tmp_path / "rows.jsonl", small_plan(("uniform", "full"))
    with RowLog(MANIFEST, path) as log:
        evaluate(plan, lambda: vlm, log)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 15
    path.write_bytes(b"".join(lines[:8]) + lines[8][:30])  # killed within a line
    with RowLog(MANIFEST, path) as log:
        assert len(log.done) == 7
        evaluate(plan, lambda: vlm, log)
    found = read_rows(path)
    assert [measured(r) for r in found.rows] == [measured(r) for r in whole.rows]
    assert found.refusals == whole.refusals


def test_a_run_that_is_complete_loads_no_model(vlm, tmp_path) -> None:
    path, plan = tmp_path / "rows.jsonl", small_plan(limit=1)
    with RowLog(MANIFEST, path) as log:
        evaluate(plan, lambda: vlm, log)
    with RowLog(MANIFEST, path) as log:
        evaluate(plan, lambda: pytest.fail("loaded"), log)


def test_rows_of_another_run_are_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    with RowLog(MANIFEST, path) as log:
        log.append(row())
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"its scenes is 2, here is 3; name another file"):
        RowLog({**MANIFEST, "scenes": 3}, path)
    assert path.read_bytes() == before


def written(found: Row | Refusal) -> bytes:
    """A file of one outcome."""
    lines = {"manifest": MANIFEST}, {"row" if isinstance(found, Row) else "refused": asdict(found)}
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_whole_numbers_may_stand_where_fractions_do(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(written(row(target=12, tflops=1, found=None)))
    assert read_rows(path).rows[0].target == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"just text", "line 1 is no manifest"),
        (b"just text\n", "line 1 is no manifest"),
        (b'{"row": {}}\n', "line 1 is no manifest"),
        (json.dumps({"manifest": MANIFEST}).encode() + b'\n{"row": {"scene": 1}}\n', "line 2 is"),
        (json.dumps({"manifest": MANIFEST}).encode() + b"\n[1]\n", "line 2 is no row of ours"),
        (written(row(target="12")), "line 2 is no row of ours"),
        (written(row(said=None)), "line 2 is no row of ours"),
        (written(row(tflops="1")), "line 2 is no row of ours"),
        (written(Refusal(0, 0, "full", 60, None)), "line 2 is no row"),  # type: ignore[arg-type]
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path, content, message) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=message):
        RowLog(MANIFEST, path)
    assert path.read_bytes() == content


def test_a_file_whose_first_line_is_torn_is_begun_anew(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"manifest": {"mod')
    with RowLog(MANIFEST, path) as log:
        log.append(row())
    assert read_rows(path).rows == [row()]


def test_two_runs_do_not_write_to_one_file(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    with RowLog(MANIFEST, path), pytest.raises(OutputError, match="another run is writing"):
        RowLog(MANIFEST, path)


def test_rows_come_back_as_they_were(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    refusal = Refusal(0, 1, "full", 64, reason="budget of 64: é\ud800")
    with RowLog(MANIFEST, path) as log:
        log.append(row(target=None, found=0.5))
        log.append(refusal)
    found = read_rows(path)
    assert found.rows == [row(target=None, found=0.5)]
    assert found.refusals == [refusal]


def test_another_run_is_told_by_what_differs(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    held = {**MANIFEST, "strategies": {"rfm-dip": {"mass": 1.0}, "uniform": {"level": None}}}
    with RowLog(held, path):
        pass
    fewer = {**held, "strategies": {"rfm-dip": {"mass": 1.0}}}
    with pytest.raises(OutputError, match=r'strategies is \["rfm-dip", "uniform"\], here is'):
        RowLog(fewer, path)
    other = {**held, "strategies": {"rfm-dip": {"mass": 0.5}, "uniform": {"level": None}}}
    with pytest.raises(OutputError, match=r"strategies\.rfm-dip\.mass is 1\.0, here is 0\.5"):
        RowLog(other, path)
