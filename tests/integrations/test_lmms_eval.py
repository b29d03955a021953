"""lmms-eval finds `uhrqa` and its own tasks run on our strategies: `make test-lmms`.

Without lmms-eval only the first test runs.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import uhrqa
from uhrqa.errors import ConfigError, QuestionError, UnknownNameError

needs_lmms = pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None, reason="lmms-eval is not installed"
)
TASK = """\
task: uhr_toy
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_visual: !function toy.pictures
doc_to_text: !function toy.text
doc_to_target: answer
generation_kwargs: {max_new_tokens: 8, until: ["\\n"]}
process_results: !function toy.results
metric_list: [{metric: right, aggregation: mean, higher_is_better: true}]
"""
CODE = """\
from PIL import Image


def pictures(doc):
    return [Image.open(doc["image"]).convert("RGB")]


def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def results(doc, answers):
    return {"right": float(answers[0] == doc["answer"])}
"""


def model(**settings: Any) -> Any:
    from uhrqa.integrations.lmms_eval_model import UhrqaModel

    return UhrqaModel(device="cpu", **settings)


def requests_for(lm: Any, pictures: list[Any], text: str, **generation: Any) -> list[Any]:
    lm.task_dict = {"t": {"test": [pictures]}}
    return [SimpleNamespace(args=(text, generation, lambda doc: doc, 0, "t", "test"))]


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (400, 500, 3), np.uint8)
    return Image.fromarray(pixels)


def test_the_entry_point_leads_to_a_function_that_imports_nothing_yet() -> None:
    project = tomllib.loads((Path(uhrqa.__file__).parents[1] / "pyproject.toml").read_text())
    target = project["project"]["entry-points"]["lmms_eval.models"]["uhrqa"]
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert any("lmms-eval" in need for need in project["project"]["optional-dependencies"]["lmms"])


@needs_lmms
def test_lmms_eval_accepts_the_class() -> None:
    from lmms_eval.models.registry_v2 import ModelRegistryV2

    from uhrqa.integrations.lmms_eval import manifest
    from uhrqa.integrations.lmms_eval_model import UhrqaModel

    registry = ModelRegistryV2()
    registry.register_manifest(manifest())
    assert registry.get_model_class("uhrqa") is UhrqaModel


@needs_lmms
def test_an_answer_is_the_one_ask_gives(picture: Image.Image) -> None:
    lm = model(strategy="uniform", budget=128, batch_size=1, level=1)
    (answer,) = lm.generate_until(requests_for(lm, [picture], "how many ships?", max_new_tokens=8))
    wanted = uhrqa.ask(
        np.asarray(picture), "how many ships?", model=lm.model, strategy="uniform",
        options={"level": "1"}, budget=128, max_new_tokens=8,
    )  # fmt: skip
    assert answer == wanted.text


@needs_lmms
def test_all_that_was_given_reaches_ask(picture: Image.Image, monkeypatch: Any) -> None:
    given: dict[str, Any] = {}

    def ask(*words: Any, **settings: Any) -> Any:
        given.update(settings)
        return SimpleNamespace(text="3")

    monkeypatch.setattr("uhrqa.integrations.lmms_eval_model.ask", ask)
    lm = model(strategy="rfm-dip", budget="4k", seed=5, keep_ratio=0.5, batch_size="8")
    assert lm.generate_until(requests_for(lm, [picture], "how many?", max_new_tokens=9)) == ["3"]
    del given["model"]
    assert given == {"strategy": "rfm-dip", "options": {"keep_ratio": "0.5"}, "budget": "4k",
                     "seed": 5, "max_new_tokens": 9}  # fmt: skip


@needs_lmms
def test_several_pictures_are_shown_side_by_side(picture: Image.Image, monkeypatch: Any) -> None:
    given: list[Any] = []

    def ask(raster: Any, text: str, **_: Any) -> Any:
        given.extend([tuple(raster.size), text])
        return SimpleNamespace(text="3")

    monkeypatch.setattr("uhrqa.integrations.lmms_eval_model.ask", ask)
    lm = model()
    lm.generate_until(requests_for(lm, [picture, picture], "how many?"))
    assert given[0] == (400, 500 + 16 + 500)
    assert given[1].startswith("The two images are shown side by side: the first on the left")


@needs_lmms
def test_a_path_is_opened_and_a_stop_word_ends_the_answer(tmp_path: Path, picture: Any) -> None:
    picture.save(tmp_path / "a.png")
    lm = model(strategy="thumbnail")
    whole = lm.generate_until(requests_for(lm, [str(tmp_path / "a.png")], "how many ships?"))
    assert len(whole[0]) > 0
    cut = lm.generate_until(requests_for(lm, [picture], "how many ships?", until=[whole[0][-1]]))
    assert cut[0] == whole[0].partition(whole[0][-1])[0]


@needs_lmms
def test_what_cannot_be_asked_is_refused(picture: Image.Image, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match="add strategy=NAME"):
        model(keep_ratio=0.5)
    with pytest.raises(UnknownNameError, match="rfm-dip"):
        model(strategy="rfm-dop")
    lm = model(strategy="thumbnail")
    with pytest.raises(QuestionError, match="t, question 0: has no picture"):
        lm.generate_until(requests_for(lm, [], "how many?"))
    for call in (lm.loglikelihood, lm.generate_until_multi_round):
        with pytest.raises(ConfigError, match="generate_until task"):
            call([])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes"):
        model()


@needs_lmms
def test_a_task_of_lmms_eval_runs_by_name(tmp_path: Path, picture: Image.Image) -> None:
    picture.save(tmp_path / "a.png")
    row = {"image": str(tmp_path / "a.png"), "question": "how many ships?"}
    answer = uhrqa.ask(row["image"], row["question"], strategy="uniform", budget=128).text
    rows = [row | {"answer": answer}, row | {"answer": "none of these"}]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "toy.py").write_text(CODE)
    (tmp_path / "tasks" / "toy.yaml").write_text(TASK.replace("DATA", str(data)))
    done = subprocess.run(
        [sys.executable, "-m", "lmms_eval", "--model", "uhrqa", "--tasks", "uhr_toy",
         "--include_path", tmp_path / "tasks", "--output_path", tmp_path / "out",
         "--model_args", "pretrained=tiny,strategy=uniform,budget=128", "--device", "cpu"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = (tmp_path / "out").rglob("*_results.json")
    assert json.loads(results.read_text())["results"]["uhr_toy"]["right,none"] == 0.5
