"""Where settings come from, and which source wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from uhrqa.config import DOCS, READERS, Settings, load_settings
from uhrqa.errors import ConfigError


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A working directory, and an environment with a place for the user's own file."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    (home / "uhrqa").mkdir(parents=True)
    return work, {"XDG_CONFIG_HOME": str(home)}


def write_user_file(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["XDG_CONFIG_HOME"]) / "uhrqa" / "config.yaml"
    path.write_text(text)
    return path


def test_with_nothing_given_every_setting_is_the_default(places) -> None:
    work, environ = places
    settings = load_settings(environ=environ, directory=work)
    assert settings.model == "tiny"
    assert settings.budget is None
    assert {origin for _, _, origin in settings.rows()} == {"default"}


def test_each_source_wins_over_the_next(places) -> None:
    work, environ = places
    user = write_user_file(environ, "seed: 1\nmodel: a\nbudget: 1k\nmax_tiles: 9\n")
    project = work / "uhrqa.yaml"
    project.write_text("seed: 2\nmodel: b\nbudget: 2k\n")
    environ |= {"UHRQA_SEED": "3", "UHRQA_MODEL": "c"}
    settings = load_settings({"seed": 4, "dtype": None}, environ=environ, directory=work)
    assert (settings.seed, settings.model, settings.budget, settings.max_tiles) == (4, "c", 2000, 9)
    assert settings.origins == {
        "seed": "--seed",
        "model": "UHRQA_MODEL",
        "budget": str(project),
        "max_tiles": str(user),
    }


def test_an_empty_variable_counts_as_not_given(places) -> None:
    work, environ = places
    assert load_settings(environ=environ | {"UHRQA_MODEL": ""}, directory=work).model == "tiny"


def test_an_empty_file_and_a_null_value_change_nothing(places) -> None:
    work, environ = places
    write_user_file(environ, "# nothing yet\n")
    (work / "uhrqa.yaml").write_text("model:\n")
    assert load_settings(environ=environ, directory=work) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bugdet: 4k\n", "unknown key 'bugdet'; did you mean 'budget'"),
        ("max-tiles: 4\n", "did you mean 'max_tiles'"),
        ("budget: many\n", "budget 'many' is not a number of tokens"),
        ("budget: 0\n", "leaves no token"),
        ("budget: [1, 2]\n", "bad value .* not a list"),
        ("seed: true\n", "not a bool"),
        ("seed: -1\n", "expected a whole number, 0 to 9223372036854775807"),
        ("seed: 9223372036854775808\n", "expected a whole number, 0 to"),
        ("device: gpu\n", "expected auto, cpu, cuda or cuda:N"),
        ("device: cuda:x\n", "expected auto, cpu, cuda or cuda:N"),
        ("seed: 1.5\n", "not a float"),
        ("max_tiles: 0\n", "1 or more"),
        ("dtype: float23\n", "did you mean 'float32'"),
        ("model: ''\n", "expected a text"),
        ("- model\n", "this is a list"),
        ("model: [\n", "line 2: not valid YAML"),
        ("model: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_names_the_file(places, text: str, message: str) -> None:
    work, environ = places
    (work / "uhrqa.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(environ=environ, directory=work)
    assert str(work / "uhrqa.yaml") in str(caught.value)


def test_a_mistyped_variable_is_an_error_with_a_suggestion(places) -> None:
    work, environ = places
    with pytest.raises(ConfigError, match="unknown variable UHRQA_BUGDET; did you mean 'UHRQA_BUD"):
        load_settings(environ=environ | {"UHRQA_BUGDET": "4k"}, directory=work)


def test_a_bad_budget_names_the_variable_or_flag_that_gave_it(places) -> None:
    work, environ = places
    with pytest.raises(ConfigError, match=r"^UHRQA_BUDGET: budget 'x'"):
        load_settings(environ=environ | {"UHRQA_BUDGET": "x"}, directory=work)
    with pytest.raises(ConfigError, match=r"^--budget: budget 'x'"):
        load_settings({"budget": "x"}, environ=environ, directory=work)


def test_every_setting_is_documented() -> None:
    assert set(DOCS) == set(READERS)
    assert all(DOCS.values())
