from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.drops import Drop, Stage, load, stages


def test_stages_follow_the_drops() -> None:
    drops = (Drop(2, 50), Drop(5, 80), Drop(6, 10))  # the second one has nothing left to drop
    parts = stages(100, drops, 8)
    assert parts == (Stage(2, 100), Stage(3, 50), Stage(1, 50), Stage(2, 10))
    assert load(100, drops, 8) == 53  # (200 + 150 + 50 + 20) / 8 = 52.5


def test_without_drops_all_layers_see_what_enters() -> None:
    assert stages(7, (), 28) == (Stage(28, 7),)
    assert load(7, (), 28) == 7


@pytest.mark.parametrize("at", [(0,), (8,), (3, 3), (5, 2), (-1,)])
def test_drops_where_there_is_no_layer_or_out_of_order_are_refused(at) -> None:
    with pytest.raises(ValueError, match="give 1 to 7, ascending"):
        stages(10, [Drop(layer, 5) for layer in at], 8)


def test_a_drop_of_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="keep 1 or more"):
        stages(10, [Drop(2, 0)], 8)


@given(st.integers(1, 5000), st.sets(st.integers(1, 31), max_size=4), st.integers(1, 5000))
def test_the_mean_lies_between_what_enters_and_what_is_left(tokens, at, keep) -> None:
    drops = [Drop(layer, keep) for layer in sorted(at)]
    parts = stages(tokens, drops, 32)
    assert sum(part.layers for part in parts) == 32
    assert parts[-1].tokens <= load(tokens, drops, 32) <= parts[0].tokens == tokens
