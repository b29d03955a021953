"""How budgets are written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.budget import MOST_TOKENS, Budget, parse_budget, parse_tokens
from uhrqa.errors import BudgetError, ConfigError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("4096", 4096),
        ("4k", 4000),  # 1k = 1000, as in the papers
        ("4K", 4000),
        ("4Ki", 4096),
        ("4ki", 4096),
        ("1.5k", 1500),
        ("1M", 1_000_000),
        ("1Mi", 2**20),
        ("0.5Ki", 512),
        (" 12 ", 12),
        ("1", 1),
        ("0.001k", 1),
        ("144.0", 144),
    ],
)
def test_a_budget_is_read_as_people_write_it(text: str, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "leaves no token"),
        ("0k", "leaves no token"),
        ("-4", "not a number of tokens"),
        ("-4k", "not a number of tokens"),
        ("", "not a number of tokens"),
        ("k", "not a number of tokens"),
        ("four", "not a number of tokens; write a whole number"),
        ("xlrs", "number of tokens; it names how region-merge shares 11100: -b 11100 -o shares=xl"),
        ("4kb", "not a number of tokens"),
        ("4G", "not a number of tokens"),
        ("1e3", "not a number of tokens"),
        ("4_096", "not a number of tokens"),
        ("٤", "not a number of tokens"),  # a digit, but not one of ours
        ("nan", "not a number of tokens"),
        ("1.5", "is 1.5 tokens"),
        ("1.2345k", "is 1234.5 tokens"),
        ("9999999999k", "is above"),
        ("9" * 5000, "not a number of tokens"),  # more digits than int() takes
    ],
)
def test_nonsense_is_refused_with_the_way_to_write_it(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_tokens(text)


@given(st.integers(1, MOST_TOKENS))
def test_every_whole_number_reads_as_itself(tokens: int) -> None:
    assert parse_tokens(str(tokens)) == tokens


@given(st.text(max_size=8))
def test_any_text_is_a_budget_or_written_wrongly(text: str) -> None:
    try:
        assert parse_tokens(text) >= 1
    except ConfigError as error:
        assert "budget" in str(error)


@pytest.mark.parametrize(("tokens", "tiles"), [(0, None), (-1, None), (10, 0), (10, -3)])
def test_a_cap_below_one_names_the_least(tokens: int, tiles: int | None) -> None:
    with pytest.raises(BudgetError) as caught:
        Budget(tokens, tiles)
    assert caught.value.least == 1


@pytest.mark.parametrize("written", [4000, "4k", "4000", np.int64(4000), Budget(4000)])
def test_a_budget_may_be_given_as_number_text_or_budget(written) -> None:
    assert Budget.of(written) == Budget(4000)
    assert Budget.of(written, 7) == Budget(4000, 7)


@pytest.mark.parametrize(
    ("own", "more", "both"), [(5, 7, 5), (7, 5, 5), (None, 5, 5), (5, None, 5)]
)
def test_of_two_caps_on_tiles_the_smaller_holds(own, more, both) -> None:
    assert Budget.of(Budget(10, own), more).tiles == both


@pytest.mark.parametrize("wrong", [4.0, True, None, [4]])
def test_what_is_no_budget_is_a_type_error(wrong) -> None:
    with pytest.raises(TypeError):
        Budget.of(wrong)


def test_auto_starts_with_an_eighth_and_doubles() -> None:
    assert [rung.tokens for rung in Budget.of("auto", usual=800).rungs()] == [100, 200, 400, 800]
    assert [rung.tokens for rung in Budget.of("AUTO:4k", 9).rungs()] == [500, 1000, 2000, 4000]
    assert {rung.tiles for rung in Budget.of("auto:4k", 9).rungs()} == {9}
    assert [rung.tokens for rung in Budget.of("auto:3").rungs()] == [1, 3]
    assert Budget(7).rungs() == (Budget(7),)


@pytest.mark.parametrize("text", ["auto:", "auto:0", "auto:much", "automatic", "auto,4k"])
def test_auto_is_followed_by_nothing_or_by_a_number(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_budget(text)


def test_auto_without_a_number_needs_a_usual_budget() -> None:
    with pytest.raises(ConfigError, match="say how much it may spend, as in auto:4k"):
        Budget.of("auto")
