"""`uhrqa batch` with a real model, killed and started again."""

from __future__ import annotations

import json
import shutil
import signal
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr

from tests.cli.conftest import start
from uhrqa.asker import Asker
from uhrqa.cli import identity
from uhrqa.errors import CheckpointError
from uhrqa.vlm import card
from uhrqa.vlm.llava import Llava


@pytest.fixture
def questions(tmp_path: Path, image: str) -> Path:
    """Two images, four questions, one bad image, one bad line."""
    (tmp_path / "b.tif").write_bytes(Path(image).read_bytes())
    (tmp_path / "bad.tif").write_text("text")
    rows = [
        {"image": "a.tif", "question": "how many ships?"},
        {"image": "b.tif", "question": "what colour?"},
        {"image": "a.tif", "question": "how many ships?"},
        {"image": "bad.tif", "question": "how many?", "id": "x"},
        {"image": "a.tif", "question": "rural or urban?"},
    ]
    lines = [json.dumps(row) for row in rows]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join([*lines, "nonsense"]) + "\n")
    return path


def records_of(path: Path) -> dict[str, dict]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({record["id"] for record in records}) == len(records)
    return {record["id"]: record for record in records}


def test_a_batch_answers_what_it_can_and_counts_what_failed(uhrqa, questions, checkpoint) -> None:
    outcome = uhrqa("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "4 answered, 0 done before, 2 failed" in outcome.err
    assert "uhrqa: 1 failed: line 6: " in outcome.err
    assert "see the error key in out.jsonl; --retry-failed" in outcome.err
    found = records_of(Path("out.jsonl"))
    assert set(found) == {"line-1", "line-2", "line-3", "x", "line-5", "line-6"}
    assert "error" in found["x"]
    assert "error" in found["line-6"]
    assert found["line-1"]["answer"] == found["line-3"]["answer"]
    assert "evidence" not in found["line-1"]
    # The second question about a.tif finds all its tiles encoded.
    assert found["line-3"]["counts"]["tiles_encoded"] == 0
    assert found["line-3"]["counts"]["tiles_reused"] == found["line-1"]["counts"]["tiles_encoded"]


def test_answers_written_together_are_the_same(uhrqa, questions, checkpoint) -> None:
    args = ("batch", questions, "-m", checkpoint, "-b", "60", "-o")
    uhrqa(*args, "alone.jsonl")
    outcome = uhrqa(*args, "together.jsonl", "--together", "3")
    assert "4 answered, 0 done before, 2 failed" in outcome.err
    alone, together = records_of(Path("alone.jsonl")), records_of(Path("together.jsonl"))
    assert list(alone) == list(together)
    for name, record in alone.items():
        other = together[name]
        assert [record.get(key) for key in ("answer", "error", "cost", "counts", "bytes_read")] == [
            other.get(key) for key in ("answer", "error", "cost", "counts", "bytes_read")
        ]
    assert "0 answered, 4 done before" in uhrqa(*args, "together.jsonl").err


def test_together_and_a_limit_of_memory_exclude_each_other(uhrqa, questions, checkpoint) -> None:
    args = ("batch", questions, "-m", checkpoint, "-o", "out.jsonl", "--together", "2")
    outcome = uhrqa(*args, "--max-memory", "8GB")
    assert outcome.code == 2
    assert "--together 2 does not go with --max-memory" in outcome.err
    assert not Path("out.jsonl").exists()


def test_the_same_command_again_does_nothing_and_another_run_is_refused(
    uhrqa, questions, checkpoint
) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint)
    uhrqa(*args, "-b", "60")
    before = Path("out.jsonl").read_bytes()
    outcome = uhrqa(*args, "-b", "60")
    assert outcome.code == 1
    assert "0 answered, 4 done before, 2 failed" in outcome.err
    outcome = uhrqa(*args, "-b", "61")
    assert outcome.code == 6
    assert "--restart" in outcome.err
    assert Path("out.jsonl").read_bytes() == before


def test_the_file_of_questions_is_never_the_output(uhrqa, questions, checkpoint) -> None:
    before = questions.read_bytes()
    outcome = uhrqa("batch", questions, "-o", questions, "-m", checkpoint, "--restart")
    assert outcome.code == 6
    assert questions.read_bytes() == before


def test_records_go_to_stdout_with_a_dash(uhrqa, questions, checkpoint) -> None:
    outcome = uhrqa("batch", questions, "-o", "-", "-m", checkpoint, "-b", "60", "-q", "--evidence")
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(records) == 6
    assert all("evidence" in record for record in records if "error" not in record)
    assert outcome.err == ""


def test_a_model_that_is_broken_is_not_an_error_of_every_question(
    uhrqa, questions, tmp_path
) -> None:
    outcome = uhrqa("batch", questions, "-o", "out.jsonl", "-m", tmp_path)
    assert outcome.code == 4
    assert not Path("out.jsonl").exists()


def test_a_replaced_image_is_asked_about_again_and_its_old_answers_go(
    uhrqa, questions, checkpoint
) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    before = records_of(Path("out.jsonl"))
    pixels = np.random.default_rng(1).integers(0, 255, (350, 420, 3), np.uint8)
    tifffile.imwrite("a.tif", pixels, tile=(64, 64), photometric="rgb")
    outcome = uhrqa(*args)
    assert "3 answered, 1 done before, 2 failed" in outcome.err
    assert outcome.err.count("warning: out.jsonl: lines about an image that was replaced") == 1
    after = records_of(Path("out.jsonl"))
    assert set(after) == set(before)
    assert (before["line-1"]["height"], after["line-1"]["height"]) == (300, 350)
    assert after["line-2"] == before["line-2"]
    assert "4 done before" in uhrqa(*args).err


def test_a_chunk_of_a_zarr_written_anew_is_another_image(uhrqa, tmp_path, checkpoint) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(300, 400, 3), chunks=(100, 100, 3), dtype="uint8"
    )
    array[:] = 80
    Path("q.jsonl").write_text('{"image": "a.zarr", "question": "how many?"}\n')
    args = ("batch", "q.jsonl", "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    assert "0 answered, 1 done before" in uhrqa(*args).err
    array[100:200, 100:200] = 90
    assert "1 answered, 0 done before" in uhrqa(*args).err
    assert len(records_of(Path("out.jsonl"))) == 1


def test_ids_come_back_as_they_were_given(uhrqa, image, checkpoint) -> None:
    ids = [7, "7", None, "line-3", "é"]
    rows = [{"image": "a.tif", "question": "how many?", "id": id_} for id_ in ids]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = ("batch", "q.jsonl", "-m", checkpoint, "-b", "60", "-o")
    assert uhrqa(*args, "out.jsonl").code == 0
    assert list(records_of(Path("out.jsonl"))) == [7, "7", "line-3-2", "line-3", "é"]
    assert "0 answered, 5 done before" in uhrqa(*args, "out.jsonl").err
    found = [json.loads(line)["id"] for line in uhrqa(*args, "-").out.splitlines()]
    assert found == [7, "7", "line-3-2", "line-3", "é"]


@pytest.mark.parametrize("quiet", [False, True])
def test_damaged_lines_of_the_output_are_told_and_asked_again(
    uhrqa, questions, checkpoint, quiet: bool
) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    lines = Path("out.jsonl").read_text().splitlines()
    lines[2] = lines[2][:100]
    Path("out.jsonl").write_text("\n".join(lines)[:-50])
    outcome = uhrqa(*args, *(["-q"] if quiet else []))
    warning = "uhrqa: warning: out.jsonl: line 3 is damaged and left out; "
    assert outcome.err.count(warning) == (0 if quiet else 1)
    assert outcome.err == "" if quiet else "1 answered, 3 done before, 2 failed" in outcome.err
    assert len(records_of(Path("out.jsonl"))) == 6
    assert "damaged" not in uhrqa(*args).err


@pytest.mark.parametrize(
    ("questions", "output", "code", "message"),
    [
        ("empty.jsonl", "out", 3, "empty.jsonl: no questions"),
        (".", "out", 3, ".: cannot be read: Is a directory"),
        ("q.jsonl", ".", 6, ".: cannot be written: Is a directory"),
        ("q.jsonl", "no/out", 6, "no/out: cannot be written: No such file"),
        ("q.jsonl", "x" * 300, 6, ": cannot be written: File name too long"),
        ("q.jsonl", "link", 6, "link: is the file of questions; name another one"),
        ("q.jsonl", "a.tif", 6, "a.tif: line 1 is no answer of ours; name another file"),
        ("q.jsonl", "/dev/null", 6, "not a regular file; use `-o -`"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_its_code(
    uhrqa, image, checkpoint, questions: str, output: str, code: int, message: str
) -> None:
    Path("empty.jsonl").write_bytes(b"\xef\xbb\xbf\r\n")
    Path("q.jsonl").write_text('{"image": "a.tif", "question": "?"}\n')
    Path("link").hardlink_to("q.jsonl")
    before = Path(image).read_bytes()
    outcome = uhrqa("batch", questions, "-o", output, "-m", checkpoint)
    assert outcome.code == code
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert Path(image).read_bytes() == before


def test_starting_over_spares_an_image_of_the_questions(uhrqa, questions, checkpoint) -> None:
    before = Path("a.tif").read_bytes()
    outcome = uhrqa("batch", questions, "-o", "a.tif", "-m", checkpoint, "--restart")
    assert outcome.code == 6
    assert "is an image of a question" in outcome.err
    assert Path("a.tif").read_bytes() == before


@pytest.mark.parametrize(("output", "again"), [("out.jsonl", True), ("-", False)])
def test_only_what_remembers_can_go_on(
    uhrqa, monkeypatch, questions, checkpoint, output: str, again: bool
) -> None:
    def steps(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Asker, "steps", steps)
    outcome = uhrqa("batch", questions, "-o", output, "-m", checkpoint)
    assert outcome.code == 130
    assert "stopped with 5 of 6 left" in outcome.err
    assert ("run it again to go on" in outcome.err) == again


@pytest.fixture
def own_checkpoint(checkpoint, tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may change."""
    return Path(shutil.copytree(checkpoint, tmp_path / "ck"))


@pytest.mark.parametrize("option", ["--restart", "--retry-failed"])
def test_a_model_that_cannot_be_loaded_costs_no_answer(
    uhrqa, monkeypatch, questions, checkpoint, option
) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    before = Path("out.jsonl").read_bytes()

    def fail(*_: object) -> None:
        raise CheckpointError("damaged")

    with monkeypatch.context() as patch:
        patch.setattr("uhrqa.cli.batch.load", fail)
        assert uhrqa(*args, option).code == 4
    assert Path("out.jsonl").read_bytes() == before
    outcome = uhrqa(*args, option)
    done = 0 if option == "--restart" else 4
    assert f"{4 - done} answered, {done} done before, 2 failed" in outcome.err
    assert len(records_of(Path("out.jsonl"))) == 6


def test_damaged_weights_and_restart_leave_the_answers(uhrqa, questions, own_checkpoint) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", own_checkpoint, "-b", "60")
    uhrqa(*args)
    before = Path("out.jsonl").read_bytes()
    weights = own_checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert uhrqa(*args, "--restart").code == 4
    assert Path("out.jsonl").read_bytes() == before


def test_a_model_is_the_same_by_any_name(uhrqa, questions, own_checkpoint) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-b", "60", "-m")
    uhrqa(*args, "ck")
    Path("link").symlink_to("ck")
    for name in ("./ck", "ck/", own_checkpoint, "link"):
        assert "4 done before" in uhrqa(*args, name).err


@pytest.mark.parametrize(
    ("name", "most_hashed"),
    [
        ("model.safetensors", identity.MOST_HASHED),
        ("model.safetensors", 0),
        ("rfm.safetensors", identity.MOST_HASHED),
        ("tokenizer.json", identity.MOST_HASHED),
    ],
)
def test_a_model_that_was_changed_is_another_run(
    uhrqa, monkeypatch, questions, own_checkpoint, name: str, most_hashed: int
) -> None:
    monkeypatch.setattr(identity, "MOST_HASHED", most_hashed)
    args = ("batch", questions, "-o", "out.jsonl", "-b", "60", "-m", "ck")
    uhrqa(*args)
    assert "4 done before" in uhrqa(*args).err
    file = own_checkpoint / name
    content = bytearray(file.read_bytes())
    if name.endswith("json"):
        content += b"\n"
    else:
        content[-1] ^= 1
    file.write_bytes(content)
    outcome = uhrqa(*args)
    assert outcome.code == 6
    assert "another run" in outcome.err


@pytest.mark.parametrize("package", ["imagecodecs", "tokenizers", "flash-attn"])
def test_another_version_of_what_decides_answers_is_another_run(
    uhrqa, monkeypatch, questions, checkpoint, package: str
) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    monkeypatch.setattr(identity, "version", lambda name: "0" if name == package else version(name))
    outcome = uhrqa(*args)
    assert outcome.code == 6
    assert "another run" in outcome.err


def test_options_count_by_what_they_mean(uhrqa, monkeypatch, questions, checkpoint) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60", "-s", "random")
    uhrqa(*args, "--option", "level=1")
    assert "4 done before" in uhrqa(*args, "--option", "level= 1").err
    assert uhrqa(*args, "--option", "level=2").code == 6
    real = card.load_card
    options = {"random": {"level": 1}}
    monkeypatch.setattr(card, "load_card", lambda name: replace(real(name), options=options))
    assert "4 done before" in uhrqa(*args).err
    options["random"]["level"] = 2
    assert uhrqa(*args).code == 6


def test_another_precision_is_another_run(uhrqa, monkeypatch, questions, checkpoint) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    assert "4 done before" in uhrqa(*args, "--dtype", "float32", "--device", "cpu").err
    assert uhrqa(*args, "--dtype", "bfloat16").code == 6
    monkeypatch.setattr("uhrqa.vlm.device.choose_device", lambda _: torch.device("cuda"))
    assert uhrqa(*args).code == 6  # there the checkpoint's own would hold


def test_another_rfm_is_another_run(uhrqa, questions, checkpoint) -> None:
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    uhrqa(*args)
    assert uhrqa(*args, "--rfm", checkpoint / "rfm.safetensors").code == 6


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_question_that_takes_too_much_memory_is_told_the_remedy(
    uhrqa, monkeypatch, caplog, questions, checkpoint, error
) -> None:
    real = Asker.steps

    def steps(asker, raster, question, *rest):
        if question == "what colour?":
            raise error
        return real(asker, raster, question, *rest)

    monkeypatch.setattr(Asker, "steps", steps)
    uhrqa("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    found = records_of(Path("out.jsonl"))
    assert found["line-2"]["error"].startswith("out of memory; use fewer tokens (-b)")
    assert "answer" in found["line-1"]
    assert "Traceback" not in caplog.text


def test_an_output_whose_name_reads_like_an_option_can_be_meant(
    uhrqa, questions, checkpoint
) -> None:
    uhrqa("batch", questions, "-o", "./level=2", "-m", checkpoint, "-b", "60")
    assert len(records_of(Path("level=2"))) == 6


def test_stopped_by_any_signal_the_same_command_goes_on(
    tmp_path: Path, image: str, checkpoint: Path
) -> None:
    rows = [{"image": "a.tif", "question": f"how many {n}?"} for n in range(60)]
    questions = tmp_path / "many.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out.jsonl"
    output.touch()
    args = ("batch", questions, "-o", output, "-m", checkpoint, "-b", "60")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        before = output.stat().st_size
        process = start(*args)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and output.stat().st_size == before:
            time.sleep(0.005)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert "Traceback" not in err
        assert ("left; run it again to go on" in err) == (number != signal.SIGKILL)
        assert before < output.stat().st_size
    process = start(*args)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "0 done before" not in err
    assert set(records_of(output)) == {f"line-{n}" for n in range(1, 61)}


def test_questions_that_keep_the_same_tokens_share_their_prefix(
    uhrqa, questions, checkpoint, image
) -> None:
    args = ("-m", checkpoint, "-b", "60", "-s", "downsample", "-q")
    uhrqa("batch", questions, "-o", "out.jsonl", *args)
    found = records_of(Path("out.jsonl"))
    counts = {name: found[name]["counts"] for name in ("line-1", "line-3", "line-5")}
    assert counts["line-1"]["prompt_reused"] == 0
    for name in ("line-3", "line-5"):
        assert counts[name]["prompt_reused"] > counts[name]["kept"] == counts["line-1"]["kept"]
        assert found[name]["tflops"]["prefill"] < found["line-1"]["tflops"]["prefill"]
    alone = json.loads(uhrqa("ask", image, "rural or urban?", *args, "--json").out)
    assert found["line-5"]["answer"] == alone["answer"]


def test_a_line_brings_its_own_choices_and_the_run_those_of_the_others(
    uhrqa, tmp_path, image, checkpoint
) -> None:
    rows = [{"image": image, "question": "which?", "choices": ["left", "right"]},
            {"image": image, "question": "which?"}]  # fmt: skip
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    args = ("batch", "q.jsonl", "-o", "out.jsonl", "-m", checkpoint, "-b", "60")
    assert uhrqa(*args, "--choices", "A,B").code == 0
    found = records_of(Path("out.jsonl"))
    assert found["line-1"]["answer"] in ("left", "right")
    assert found["line-2"]["answer"] in ("A", "B")
    assert [entry["text"] for entry in found["line-2"]["choices"]] == ["A", "B"]
    assert uhrqa(*args).code == 6  # another run


def test_a_batch_goes_on_in_little_memory_and_says_so_once(
    uhrqa, questions, checkpoint, monkeypatch
) -> None:
    args = ("batch", questions, "-m", checkpoint, "-b", "60", "-s", "visionzip", "-o")
    uhrqa(*args, "plenty.jsonl")
    real = Llava.features

    def cramped(self, pixels):
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, pixels)

    monkeypatch.setattr(Llava, "features", cramped)
    outcome = uhrqa(*args, "little.jsonl")
    assert "4 answered, 0 done before, 2 failed" in outcome.err
    assert outcome.err.count("memory ran out") == 1
    plenty, little = records_of(Path("plenty.jsonl")), records_of(Path("little.jsonl"))
    for name in ("line-1", "line-2", "line-3", "line-5"):
        assert little[name]["answer"] == plenty[name]["answer"]


@pytest.mark.parametrize("kind", ["tif", "zarr"])
def test_a_file_that_a_strategy_reads_decides_by_its_content(
    uhrqa, questions, checkpoint, kind: str
) -> None:
    def write(first: int) -> None:
        labels = np.full((30, 40), 2, np.uint8)
        labels[:, :20] = first
        if kind == "tif":
            tifffile.imwrite("labels.tif", labels)
        else:
            array = zarr.create_array(
                "labels.zarr", shape=labels.shape, dtype="uint8", overwrite=True
            )
            array[:] = labels

    how = ("-s", "region-merge", "--option", f"labels=labels.{kind}")
    args = ("batch", questions, "-o", "out.jsonl", "-m", checkpoint, "-b", "60", *how)
    write(1)
    uhrqa(*args)
    assert "0 answered, 4 done before" in uhrqa(*args).err
    write(3)
    outcome = uhrqa(*args)
    assert outcome.code == 6
    assert "another run" in outcome.err


def test_an_input_that_is_empty_is_not_appended_to(uhrqa, questions, checkpoint) -> None:
    Path("labels.tif").touch()
    how = ("-m", checkpoint, "-s", "region-merge", "--option", "labels=labels.tif")
    outcome = uhrqa("batch", questions, "-o", "labels.tif", *how)
    assert outcome.code == 6
    assert "labels.tif: is a file the strategy reads; name another one with -o" in outcome.err
    assert not Path("labels.tif").read_bytes()
