"""Hub ids with and without a revision, from a local cache made by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from uhrqa import load_model
from uhrqa.errors import CheckpointError, UhrqaError
from uhrqa.vlm import card as cards
from uhrqa.vlm.card import load_card

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
