from __future__ import annotations

import pytest

from uhrqa.strategies.one_level import even_grid


@pytest.mark.parametrize(("rows", "cols", "count"), [(72, 72, 72), (10, 40, 37), (1, 50, 7)])
def test_an_even_grid_spreads_over_both_axes(rows: int, cols: int, count: int) -> None:
    picks = even_grid(rows, cols, count)
    assert 0.6 * count <= len(picks.unique()) == len(picks) <= count
    down, across = (picks // cols).unique(), (picks % cols).unique()
    for used, side in ((down, rows), (across, cols)):
        gaps = used.diff()
        assert len(used) == 1 or int(gaps.max()) <= 2 * int(gaps.min())
        assert int(used[0]) <= side // 2
        assert int(used[-1]) >= side // 2


def test_an_even_grid_with_room_for_all_takes_all() -> None:
    assert even_grid(4, 5, 100).tolist() == list(range(20))
