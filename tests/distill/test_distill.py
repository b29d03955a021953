"""A module learns its teacher's attention, goes on where it was stopped, and `--rfm` takes it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.distill.makers import write_questions
from tests.families import TILE, make_family
from uhrqa import ask, load_model
from uhrqa.batch.lines import open_to_append
from uhrqa.distill import run as running
from uhrqa.distill.examples import Course, Example, hold_out, read_examples
from uhrqa.distill.reader import Reader
from uhrqa.distill.recall import check
from uhrqa.distill.recipe import Recipe, choose_layers, choose_pairs
from uhrqa.distill.run import distill
from uhrqa.distill.state import Files
from uhrqa.distill.student import Student
from uhrqa.errors import ConfigError, OutputError
from uhrqa.rfm import rfm_depth
from uhrqa.training.distillation import MSE_SCALE, Weights, distillation_loss, distillation_terms

RECIPE = Recipe((0, 2), (0, 1), steps=6, batch=2, lr=1e-3, held_out=1)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    return read_examples(write_questions(tmp_path_factory.mktemp("questions")))


@pytest.fixture(scope="module")
def files(examples: list[Example], vlm: Any, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """An undisturbed run's."""
    return Files(tmp_path_factory.mktemp("whole") / "rfm.safetensors")


@pytest.fixture(scope="module")
def outcome(examples: list[Example], vlm: Any, files: Files) -> running.Outcome:
    with files.held(overwrite=False):
        return distill(vlm, examples, RECIPE, files)


def by_hand(student: list[list[float]], teacher: list[list[float]], visual: list[int]) -> float:
    """Eq. 4-6 with plain floats: lambda_hr is 2, both others 1; heads in rows."""

    def kl(places: list[int]) -> float:
        total = 0.0
        for s, t in zip(student, teacher, strict=True):
            zs, zt = (sum(math.exp(row[k]) for k in places) for row in (s, t))
            for k in places:
                p = math.exp(t[k]) / zt
                total += p * math.log(p / (math.exp(s[k]) / zs))
        return total / len(student)

    squares = [(s[k] - t[k]) ** 2 for s, t in zip(student, teacher, strict=True) for k in visual]
    mse = MSE_SCALE * sum(squares) / len(squares)
    return kl(list(range(len(student[0])))) + 2 * kl(visual) + mse


def test_the_loss_is_the_papers_worked_by_hand() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 3, 6)).round(2).tolist()
    visual = torch.tensor([[False, True, True, False, True, False]])
    found = distillation_loss(torch.tensor([student]), torch.tensor([teacher]), visual)
    assert float(found) == pytest.approx(by_hand(student, teacher, [1, 2, 4]), rel=1e-5)


def test_every_factor_weighs_its_own_term() -> None:
    student, teacher = torch.randn(2, 1, 3, 6)
    visual = torch.tensor([[False, True, True, False, True, False]])
    terms = distillation_terms(student, teacher, visual)
    whole, local, mse = float(terms.whole), float(terms.local), float(terms.mse)
    assert min(whole, local, mse) > 0
    assert float(terms.total(Weights(0.0, 2.0, 1.0))) == pytest.approx(mse)
    assert float(terms.total(Weights(3.0, 0.0, 0.0))) == pytest.approx(3 * whole)
    assert float(terms.total(Weights(3.0, 2.0, 0.5))) == pytest.approx(
        3 * (whole + 2 * local) + 0.5 * mse
    )


def test_the_module_learns_and_its_teacher_stays(
    examples: list[Example], vlm: Any, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in vlm.model.state_dict().items()}
    recipe = replace(RECIPE, steps=20, held_out=0)
    files = Files(tmp_path / "rfm.safetensors")
    vlm.model.requires_grad_(True)  # what keeps it as it is must not be this
    try:
        found = distill(vlm, examples, recipe, files)
    finally:
        vlm.model.requires_grad_(False)
    assert found.after.losses.total < 0.7 * found.before.losses.total
    assert found.curve[-1].total < found.curve[0].total
    assert not found.held_out
    after = vlm.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(value.grad is None for value in vlm.model.parameters())


def test_a_module_of_the_decoders_own_layers_has_nothing_to_learn(
    examples: list[Example], vlm: Any
) -> None:
    student = Student(vlm, Recipe((0, 1, 2), (0, 2)))
    reader = Reader(vlm, 2)
    losses, own, teacher = student.measure(reader.read(examples[0]))
    assert losses.total == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(own, teacher)


def test_the_scores_are_those_a_relevance_pass_reads(examples: list[Example], vlm: Any) -> None:
    from uhrqa.raster import open_raster
    from uhrqa.scene import Scene

    reading = Reader(vlm, 2).read(examples[0])
    student = Student(vlm, Recipe((0, 2), (0, 1)))
    _, own, teacher = student.measure(reading)
    with open_raster(examples[0].place) as raster:
        scene = Scene(raster, vlm, examples[0].text)
        thumbnail, tokens = (scene.tokens(scene.pyramid[level]) for level in (0, 1))
        expected = scene.relevance(tokens, thumbnail, source="llm", layer=2)
        by_module = scene.relevance(tokens, thumbnail, source="rfm")  # copies of layers 0 and 2
    torch.testing.assert_close(teacher, expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(own, by_module, atol=1e-6, rtol=1e-4)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    examples: list[Example], vlm: Any, files: Files, outcome: running.Outcome, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    again = Files(tmp_path / "rfm.safetensors")
    recipe = replace(RECIPE, save_every=0.0)
    real, taken = Course.take, []

    def take(course: Course, step: int) -> list[Example]:
        taken.append(step)
        if taken == [0, 1, 2, 3]:
            raise KeyboardInterrupt
        return real(course, step)

    monkeypatch.setattr(Course, "take", take)
    with pytest.raises(KeyboardInterrupt):
        distill(vlm, examples, recipe, again)
    assert again.checkpoint.exists()
    with again.held(overwrite=False):
        found = distill(vlm, examples, recipe, again)
    assert taken == [0, 1, 2, 3, 3, 4, 5]
    assert found.curve == outcome.curve
    assert found.before == outcome.before
    mine, theirs = load_file(again.rfm), load_file(files.rfm)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert not again.checkpoint.exists()
    log = again.log.read_text()
    assert "goes on at step 3 of 6" in log
    assert log.count(" over taught layers\n") == 1  # of the steps; the checks are of one layer
    assert log.count(" of the last layer on ") == 2


def test_a_run_with_other_settings_is_not_gone_on_with(
    examples: list[Example], vlm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path / "rfm.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(running, "save_rfm", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OutputError, match="cannot be written"):
            distill(vlm, examples, replace(RECIPE, steps=1), files)
    with pytest.raises(OutputError, match=r"its lr is 0\.001, now 0\.1"):
        distill(vlm, examples, replace(RECIPE, steps=1, lr=0.1), files)
    with pytest.raises(OutputError, match=r"its steps is 1, now 2"):
        distill(vlm, examples, replace(RECIPE, steps=2), files)
    files.checkpoint.write_bytes(b"torn")
    with pytest.raises(OutputError, match="--overwrite"):
        distill(vlm, examples, replace(RECIPE, steps=1), files)


def test_a_file_that_is_there_is_kept_unless_told(tmp_path: Path) -> None:
    files = Files(tmp_path / "rfm.safetensors")
    files.rfm.touch()
    files.checkpoint.touch()
    files.log.write_text("of a run before\n")
    with files.held(overwrite=False):  # a stopped run is to go on
        assert files.log.read_text()
        with (
            pytest.raises(OutputError, match="another run is writing"),
            files.held(overwrite=True),
        ):
            pass
        assert files.checkpoint.exists()
    with files.held(overwrite=True):
        assert not files.checkpoint.exists()
        assert not files.log.read_text()
    longer = "is there already; .*a finished run cannot be made longer"
    with pytest.raises(OutputError, match=longer), files.held(overwrite=False):
        pass
    with pytest.raises(ConfigError, match="ends with"):
        Files(tmp_path / "rfm.pt")


def test_a_run_that_another_one_has_just_finished_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path / "rfm.safetensors")

    def after_another(path: Path) -> int:
        files.rfm.touch()
        return open_to_append(path)

    monkeypatch.setattr("uhrqa.distill.state.open_to_append", after_another)
    with pytest.raises(OutputError, match="is there already"), files.held(overwrite=False):
        pass


def test_an_image_may_be_an_address(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"image": "https://example.com/a.tif", "question": "how many?"}\n')
    (found,) = read_examples(file)
    assert found.place == "https://example.com/a.tif"


def test_recomputing_layers_changes_no_loss(examples: list[Example], vlm: Any) -> None:
    reader = Reader(vlm, 2)
    losses, grads = [], []
    for recompute in (False, True):
        recipe = replace(RECIPE, recompute=recompute, batch=1)
        student = Student(vlm, recipe)
        ran: list[int] = []
        student.rfm.get_submodule("layers.0.mlp").register_forward_pre_hook(
            lambda *_, ran=ran: ran.append(0)
        )
        losses.append(student.step([reader.read(examples[0])], 1.0))
        assert len(ran) == 1 + recompute
        grads.append(student.rfm.get_parameter("layers.0.self_attn.q_proj.weight").grad)
    assert losses[0] == losses[1]
    torch.testing.assert_close(grads[0], grads[1])


def test_mixed_precision_keeps_the_module_in_float32(examples: list[Example], vlm: Any) -> None:
    reader = Reader(vlm, 2)
    students = [Student(vlm, replace(RECIPE, mixed=mixed)) for mixed in (False, True)]
    whole, mixed = (student.step([reader.read(examples[0])] * 2, 1.0) for student in students)
    assert mixed.total != whole.total
    assert mixed.total == pytest.approx(whole.total, rel=0.1)
    assert {value.dtype for value in students[1].rfm.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["llava_next", "qwen2_5_vl", "qwen3_vl"])
def test_the_file_is_one_that_questions_are_asked_with(tmp_path: Path, family: str) -> None:
    path = make_family(tmp_path / family, family)
    examples = read_examples(write_questions(tmp_path, images=1, side=4 * TILE[family]))
    model: Any = load_model(str(path), device="cpu")
    files = Files(tmp_path / "rfm.safetensors")
    found = distill(model, examples, replace(RECIPE, steps=6, held_out=None), files)
    assert found.after.losses.total < found.before.losses.total
    assert rfm_depth(files.rfm) == 2
    with_rfm = load_model(str(path), device="cpu", rfm=files.rfm)
    answer = ask(
        examples[0].place, "how many ships?", model=with_rfm, strategy="rfm-dip", budget=400
    )
    assert {entry.source for entry in answer.relevance} == {"rfm"}


def test_deeper_levels_are_seen_through_the_teachers_tiles(vlm: Any, tmp_path: Path) -> None:
    (example, *_) = read_examples(write_questions(tmp_path, images=1, side=700))
    reader = Reader(vlm, 2, levels=3, tiles=3)
    levels: Counter[int] = Counter()
    for draw in range(12):
        tokens = reader.read(example, (draw,)).tokens
        levels[int(tokens.level[0])] += 1
        if int(tokens.level[0]) > 1:
            assert len(tokens) <= 3 * vlm.card.tokens_per_tile
    assert set(levels) == {1, 2, 3}
    assert int(reader.read(example).tokens.level[0]) == 1


def test_recall_counts_boxes_and_knows_chance(examples: list[Example], vlm: Any) -> None:
    student = Student(vlm, Recipe((0, 1, 2), (0, 2)))
    reader = Reader(vlm, 2)
    found = check(student, examples, reader.read)
    assert (found.questions, found.boxes) == (6, 3)
    assert all(recall.module == recall.teacher for recall in found.recalls)
    count = len(reader.read(examples[0]).tokens)
    quarter = found.recalls[-1]
    assert quarter.chance == pytest.approx(int(0.25 * count) / count)
    whole = replace(examples[0], boxes=examples[0].boxes * 2)
    assert check(student, [whole], reader.read).boxes == 2
    assert check(student, [examples[1]], reader.read).recalls == ()


def test_an_epoch_takes_every_question_once_and_a_shelf_of_images_at_a_time() -> None:
    lines = [Example(f"line {k}", Path(f"{k // 2}.tif"), "?") for k in range(140)]
    course = Course(lines, 7, 3)
    first, second = ([e for step in range(a, a + 20) for e in course.take(step)] for a in (0, 20))
    for epoch in (first, second):
        assert sorted(epoch, key=lines.index) == lines
        assert len({example.place for example in epoch[:64]}) == 32
    assert first != second
    assert Course(lines, 7, 3).take(11) == course.take(11)
    assert Course(lines, 7, 4).take(0) != course.take(0)


def test_images_are_held_out_with_all_their_questions() -> None:
    lines = [Example(f"line {k}", Path(f"{k // 2}.tif"), "?") for k in range(40)]
    trained, held = hold_out(lines, None, 0)
    assert len(held) == 4
    assert not {e.place for e in trained} & {e.place for e in held}
    assert hold_out(lines[:2], None, 0)[1] == []
    assert len(hold_out(lines[:4], None, 0)[1]) == 2
    with pytest.raises(ConfigError, match="hold out 19 at most"):
        hold_out(lines, 20, 0)


@pytest.mark.parametrize(
    ("written", "depth", "held", "teacher", "expected"),
    [
        (None, None, 28, 14, (0, 5, 10, 14)),
        (None, 3, 28, 14, (0, 7, 14)),
        (None, 1, 28, 14, (14,)),
        (None, None, 5, 2, (0, 2)),
        (None, 4, 5, 2, (0, 2, 3, 4)),
        ("1,5,-1", None, 28, 14, (1, 5, 27)),
    ],
)
def test_layers_are_those_written_or_spread_evenly(written, depth, held, teacher, expected) -> None:
    assert choose_layers(written, depth, held, teacher) == expected


def test_pairs_end_with_the_layer_that_is_read() -> None:
    assert choose_pairs("0,-1", 4) == (0, 3)
    assert choose_pairs("-1", 4) == (3,)
    assert choose_pairs("0,-1", 1) == (0,)
    assert choose_pairs("all", 3) == (0, 1, 2)
    with pytest.raises(ConfigError, match="teach it too"):
        choose_pairs("0,1", 4)
