"""`uhrqa models inspect`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.originals import make_original
from uhrqa.vlm.headers import read_headers


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_a_checkpoint_is_told_part_by_part(uhrqa, checkpoint: Path) -> None:
    outcome = uhrqa("models", "inspect", checkpoint)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0].endswith("llava_next, LlavaNextForConditionalGeneration, stock layout")
    assert lines[-1] == "loads, by its headers: no weight was looked at"
    assert "qwen2: 4 layers of 48, 4 heads, 2 of keys, MLP 96, 320 words, context 4,096" in lines[4]
    assert "3 layers of 32, tiles of 56 px in patches of 14" in lines[3]
    told = {line.split()[0] for line in lines[1:-1]}
    assert told >= {"weights", "tower", "projector", "newline", "decoder", "head", "rfm"}
    assert told >= {"tokenizer", "template", "processor"}
    assert len(told) == len(lines) - 2, "a label stands twice"


def test_the_last_line_is_the_first_fault_and_the_exit_code_says_so(uhrqa, copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    outcome = uhrqa("models", "inspect", copy)
    assert outcome.code == 4
    assert outcome.out.splitlines()[-1].startswith(f"does not load: {copy}: no tokenizer")
    assert uhrqa("models", "inspect", copy, "-q").out == outcome.out.splitlines()[-1] + "\n"


def test_names_that_do_not_match_are_listed(uhrqa, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 5
    config["text_config"]["layer_types"] = ["full_attention"] * 5
    (copy / "config.json").write_text(json.dumps(config))
    outcome = uhrqa("models", "inspect", copy)
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("  missing")]
    assert line.split()[1:3] == ["12:", "model.language_model.layers.4.input_layernorm.weight,"]
    assert line.count("layers.4.") == 12
    last = outcome.out.splitlines()[-1]
    assert "12 missing weights, first model.language_model.layers.4.input_layernorm" in last
    assert last.count("layers.4.") == 3
    assert " and 9 more; the files do not match" in last


def test_a_long_list_is_cut_in_text_and_whole_in_json(uhrqa, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 6
    config["text_config"]["layer_types"] = ["full_attention"] * 6
    (copy / "config.json").write_text(json.dumps(config))
    (line,) = [
        line for line in uhrqa("models", "inspect", copy).out.splitlines() if "missing  " in line
    ]
    assert line.endswith(" and 4 more (--json lists all)")
    assert len(json.loads(uhrqa("models", "inspect", copy, "--json").out)["missing"]) == 24


def test_what_is_renamed_and_what_is_dropped_is_told(uhrqa, tmp_path: Path) -> None:
    make_original(tmp_path / "model", "llava-1.5")
    lines = uhrqa("models", "inspect", tmp_path / "model").out.splitlines()
    told = {line.split()[0]: line for line in lines}
    found = json.loads(uhrqa("models", "inspect", tmp_path / "model", "--json").out)
    assert f"  renamed    {found['renamed']} tensors" in told["renamed"]
    kept = len(read_headers(tmp_path / "model")) - found["renamed"]
    assert kept == 1 + len(found["dropped"])  # lm_head has the same name in both
    assert "layers.0.self_attn.rotary_emb.inv_freq" in told["dropped"]


def test_json_says_the_same(uhrqa, copy: Path) -> None:
    good = uhrqa("models", "inspect", copy, "--json")
    found = json.loads(good.out)
    assert (good.code, found["loads"], found["fault"]) == (0, True, None)
    assert found["schema"] == "uhrqa.checkpoint/1"
    assert found["bytes"] == sum(part["bytes"] for part in found["parts"].values())
    (copy / "model.safetensors").unlink()
    bad = uhrqa("models", "inspect", copy, "--json")
    found = json.loads(bad.out)
    assert (bad.code, found["loads"]) == (4, False)
    assert "no model*.safetensors" in found["fault"]


def test_what_cannot_be_looked_at_is_an_error_of_its_own(uhrqa, copy: Path) -> None:
    assert uhrqa("models", "inspect").code == 2
    assert uhrqa("models", "inspect", "tinny").code == 2
    (copy / "config.json").write_text('{"model_type": "llama"}')
    outcome = uhrqa("models", "inspect", copy)
    assert (outcome.code, outcome.out) == (4, "")
    assert "a text-only model" in outcome.err
    assert outcome.err.count("\n") == 1
    outcome = uhrqa("models", "inspect", copy, "--json")
    found = json.loads(outcome.out)
    assert (outcome.code, outcome.err, found["loads"]) == (4, "", False)
    assert (found["schema"], found["name"]) == ("uhrqa.checkpoint/1", str(copy))
    assert "a text-only model" in found["fault"]


def test_an_original_checkpoint_is_called_one_also_where_its_tower_is_missing(
    uhrqa, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    make_original(tmp_path / "model", "llava-1.5", tower=False)
    outcome = uhrqa("models", "inspect", tmp_path / "model")
    assert outcome.code == 4
    assert outcome.out.splitlines()[0].endswith("original LLaVA (llava) layout")
    assert "holds no vision tower" in outcome.out.splitlines()[-1]


def test_the_head_of_geollava_is_listed_before_and_after_converting(uhrqa, tmp_path: Path) -> None:
    make_original(tmp_path / "model", "geollava-8k")
    assert uhrqa("models", "convert", tmp_path / "model", tmp_path / "stock").code == 0
    lines = [
        [line for line in uhrqa("models", "inspect", path).out.splitlines() if "reghead" in line]
        for path in (tmp_path / "model", tmp_path / "stock")
    ]
    assert lines[0] == lines[1] == ["  reghead    1,161 numbers, 4.6 kB"]


def test_what_is_assumed_is_noted_by_inspect_and_once_by_a_run(uhrqa, copy: Path, image) -> None:
    asked = ("ask", image, "how many?", "-m", copy, "-b", "60", "--max-new-tokens", "1")
    assert "uhrqa: note: " not in uhrqa(*asked).err
    (copy / "generation_config.json").unlink()
    note = f"{copy}: no generation_config.json, so config.json and tokenizer say where an answer"
    assert f"  note       {note}" in " ".join(uhrqa("models", "inspect", copy).out.split("\n"))
    outcome = uhrqa(*asked)
    assert outcome.code == 0
    assert outcome.err.count("uhrqa: note: ") == 1
    assert note in outcome.err
    assert uhrqa(*asked, "-q").err == ""


def test_listing_still_needs_no_word_more(uhrqa) -> None:
    assert "tiny" in uhrqa("models", "-q").out.split()
    assert uhrqa("models", "nosuch").code == 2
