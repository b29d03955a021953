"""Hub ids with and without a revision, from a local cache made by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from uhrqa import load_model
from uhrqa.errors import CheckpointError, UhrqaError
from uhrqa.vlm import card as cards
from uhrqa.vlm.card import load_card
from uhrqa.vlm.hub import has_cached

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def cache(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with two commits of `org/name`: `main` is the new one, `v1` the old one."""
    place = tmp_path / "hub"
    repo = place / "models--org--name"
    for commit in (OLD, NEW):
        shutil.copytree(checkpoint, repo / "snapshots" / commit)
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 2048
    (repo / "snapshots" / OLD / "config.json").write_text(json.dumps(config))
    (repo / "refs" / "refs" / "pr").mkdir(parents=True)
    for name, commit in {"main": NEW, "v1": OLD, "refs/pr/1": OLD}.items():
        (repo / "refs" / name).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    monkeypatch.setenv("HF_HUB_CACHE", str(place))
    return place


@pytest.mark.parametrize("mark", ["", "hub:"])
@pytest.mark.parametrize(
    ("revision", "context"),
    [("", 4096), ("@main", 4096), ("@v1", 2048), (f"@{OLD}", 2048), ("@refs/pr/1", 2048)],
)
def test_a_revision_is_found_and_kept(cache: Path, mark: str, revision: str, context: int) -> None:
    name = f"{mark}org/name{revision}"
    card = load_card(name)
    assert (card.name, card.context) == (name, context)
    commit = NEW if context == 4096 else OLD
    assert card.find_weights() == cache / "models--org--name" / "snapshots" / commit


def test_a_model_of_a_revision_loads(cache: Path) -> None:
    model = load_model("org/name@v1", device="cpu")
    assert model.card.name == "org/name@v1"
    assert model.card.context == 2048


def test_a_revision_that_is_not_cached_is_named(cache: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_card("org/name@v2")
    assert str(caught.value) == (
        "org/name: revision v2 is not in the hub cache; "
        "download it once with: hf download org/name --revision v2"
    )


@pytest.mark.parametrize("name", ["org/na me@v1", "org/name@", "org/../name@v1", "org/name@../x"])
def test_a_strange_id_is_one_line(cache: Path, name: str) -> None:
    try:
        assert load_card(name).name == name
    except UhrqaError as error:
        assert "\n" not in str(error)


def test_a_revision_takes_the_place_of_the_cards(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(
        (cache / "models--org--name" / "snapshots" / NEW / "config.json").read_text()
    )
    card = {"weights": "hub:org/name@v1", "budget": 77, "config": config}
    (tmp_path / "own.yaml").write_text(json.dumps(card))
    monkeypatch.setattr(cards, "PLACES", (tmp_path,))
    assert load_card("own").find_weights().name == OLD
    for name, commit in {"org/name@v1": OLD, f"org/name@{NEW}": NEW}.items():
        found = load_card(name)
        assert (found.budget, found.find_weights().name) == (77, commit)
    assert load_card("org/name").budget != 77


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HUB_CACHE": "a", "HF_HOME": "b"}, "a"),
        ({"HUGGINGFACE_HUB_CACHE": "c", "HF_HOME": "b"}, "c"),
        ({"HF_HOME": "b", "XDG_CACHE_HOME": "d"}, "b/hub"),
        ({"XDG_CACHE_HOME": "d"}, "d/huggingface/hub"),
        ({}, ".cache/huggingface/hub"),
    ],
)
def test_the_cache_is_looked_up_where_huggingface_hub_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: str
) -> None:
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "", **variables}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    code = "from huggingface_hub.constants import HF_HUB_CACHE as place; print(place)"
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert theirs.stdout.strip() == str(tmp_path / place)
    assert not has_cached("org/name@v1")
    (tmp_path / place / "models--org--name").mkdir(parents=True)
    assert has_cached("org/name@v1")
