from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from uhrqa.budget import PAPERS
from uhrqa.errors import ConfigError, UnknownNameError
from uhrqa.strategies import STRATEGIES, describe, input_files, make_strategy
from uhrqa.strategies.views import SHARES


@pytest.mark.parametrize(
    ("name", "key", "text", "value"),
    [
        ("rfm-dip", "keep_ratio", "0.5", 0.5),
        ("rfm-dip", "keep_ratio", "1", 1.0),  # a whole number where a share is meant
        ("rfm-dip", "newlines", "false", False),
        ("rfm-dip", "newlines", "No", False),
        ("rfm-dip", "layer", "none", None),
        ("rfm-dip", "layer", "3", 3),
        ("rfm-dip", "relevance", "llm", "llm"),
        ("region-merge", "scales", "672,1344", (672, 1344)),
        ("region-merge", "scales", "672", (672,)),
        ("region-merge", "shares", [1, 2], (1, 2)),  # as a YAML file gives it
    ],
)
def test_text_is_read_as_the_options_type(name, key, text, value) -> None:
    read = getattr(make_strategy(name, {key: text}), key)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("relevance", "gradcam"),
        ("overflow", "never"),
        ("keep_ratio", "much"),
        ("keep_ratio", "0"),
        ("newlines", "3"),
        ("max_tiles", "2.5"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"rfm-dip: {key}={text}"):
        make_strategy("rfm-dip", {key: text})


def test_mistyped_names_are_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'rfm-dip'"):
        make_strategy("rfm-dpi")
    with pytest.raises(UnknownNameError, match="no option 'keep_raito'; did you mean 'keep_ratio'"):
        make_strategy("rfm-dip", {"keep_raito": "1"})
    with pytest.raises(UnknownNameError, match="no option 'scales'; known: "):  # none is near
        make_strategy("rfm-dip", {"scales": "native"})


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_option_has_a_meaning(name: str) -> None:
    summary, options = describe(name)
    assert summary.endswith(".")
    assert all(meaning for _, _, meaning in options)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_default_is_described_as_it_is_typed(name: str) -> None:
    defaults = {key: default for key, default, _ in describe(name)[1]}
    assert make_strategy(name, defaults) == make_strategy(name)
    assert not {"None", "True", "False"} & set(defaults.values())


def test_describing_all_strategies_imports_no_torch() -> None:
    code = (
        "import sys; from uhrqa.strategies import STRATEGIES, describe; "
        "[describe(name) for name in STRATEGIES]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("region-merge", "shares", "80,a"),
        ("region-merge", "scales", "672,x"),
        ("region-merge", "shares", "1.5,2"),
        ("region-merge", "scales", "112.5"),
        ("region-merge", "coord_weight", "1e999"),
        ("region-merge", "scales", "56,112,168,224,448"),  # more views than shares
        ("rfm-dip", "layer", "{[]:1}"),
        ("rfm-dip", "max_tiles", True),
    ],
)
def test_odd_values_give_one_line_not_a_traceback(name: str, key: str, value) -> None:
    with pytest.raises(ConfigError) as caught:
        make_strategy(name, {key: value})
    assert "\n" not in str(caught.value)


def test_names_can_be_looked_up_like_in_any_mapping() -> None:
    assert "rfm-dip" in STRATEGIES
    assert "no such" not in STRATEGIES
    assert STRATEGIES.get("no such") is None


def test_the_files_that_options_name_are_known() -> None:
    assert input_files(make_strategy("region-merge", {"labels": "a.tif"})) == {
        "labels": Path("a.tif")
    }
    assert input_files(make_strategy("region-merge")) == {}


def test_budgets_by_a_papers_name_are_the_sums_of_their_shares() -> None:
    assert {name: sum(shares) for name, shares in SHARES.items()} == PAPERS
