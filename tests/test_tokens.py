from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.geometry import Size
from uhrqa.tokens import VisualTokens, end_rows, fit_rows, place_in, pool
from uhrqa.vlm import placement
from uhrqa.vlm.placement import Placement


def grid(rows: int, cols: int, level: int = 1) -> VisualTokens:
    """Tokens whose embedding is their number."""
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(cols))
    y, x = place[:, 0].float() * 10, place[:, 1].float() * 10
    count = rows * cols
    return VisualTokens(
        torch.arange(count).float()[:, None],
        torch.stack([x, y, x + 10, y + 10], 1),
        torch.full((count,), level),
        place[:, 0],
        place[:, 1],
        torch.tensor([[rows, cols]]).expand(count, -1),
        torch.ones(count, dtype=torch.int64),
    )


NEWLINE = torch.tensor([-1.0])


def test_a_separator_ends_every_row_of_every_level() -> None:
    tokens = VisualTokens.cat([grid(2, 2), grid(1, 2, level=2)])
    ended = end_rows(tokens, NEWLINE)
    assert ended.embed.flatten().tolist() == [0, 1, -1, 2, 3, -1, 0, 1, -1]
    assert ended.is_separator.tolist() == [False, False, True] * 3
    assert ended.level.tolist() == [1] * 6 + [2] * 3


def test_rows_without_tokens_get_no_separator() -> None:
    tokens = grid(3, 3).take(torch.tensor([1, 6, 8]))
    assert end_rows(tokens, NEWLINE).embed.flatten().tolist() == [1, -1, 6, 8, -1]


def test_without_a_newline_nothing_changes() -> None:
    tokens = grid(2, 2)
    assert end_rows(tokens, None) is tokens


@given(st.permutations(range(12)), st.integers(0, 20), st.booleans())
def test_what_fits_is_the_longest_prefix_within_the_budget(order, budget: int, with_rows) -> None:
    tokens, newline = grid(4, 3), NEWLINE if with_rows else None
    wanted = torch.tensor(order)
    kept = fit_rows(tokens, wanted, budget, newline)
    cost = len(end_rows(tokens.take(kept), newline))
    assert cost <= budget
    assert kept.tolist() == sorted(order[: len(kept)])
    if len(kept) < 12:
        more = torch.tensor(sorted(order[: len(kept) + 1]))
        assert len(end_rows(tokens.take(more), newline)) > budget


def test_merging_means_embeddings_and_encloses_boxes() -> None:
    merged = grid(4, 4).take(torch.tensor([0, 5])).merge()
    assert merged.embed.tolist() == [[2.5]]
    assert merged.box.tolist() == [[0, 0, 20, 20]]
    assert merged.weight.tolist() == [2]


def test_a_merged_token_lies_at_the_rounded_mean_of_its_members() -> None:
    merged = grid(4, 4).take(torch.tensor([1, 6, 14])).merge()  # (0, 1), (1, 2), (3, 2)
    assert (merged.row.tolist(), merged.col.tolist()) == ([1], [2])
    assert merged.grid.tolist() == [[4, 4]]


def test_a_bool_mask_takes_like_indices() -> None:
    tokens = grid(2, 2)
    mask = torch.tensor([True, False, False, True])
    assert tokens.take(mask).embed.flatten().tolist() == [0, 3]


def test_depth_is_the_log_of_tokens_along_the_longer_side() -> None:
    centre, depth = place_in(Size(40, 80), grid(4, 8))
    assert depth.tolist() == [3.0] * 32
    assert centre[0].tolist() == [5 / 80, 5 / 40]


def test_placement_reads_both_tables_linearly() -> None:
    placement = Placement(2, grid=2)
    with torch.no_grad():
        placement.position[0] = torch.tensor([[0.0, 1.0], [0.0, 1.0]])  # grows with x
        placement.scale[3, 1], placement.scale[4, 1] = 10.0, 20.0
    centre = torch.tensor([[0.25, 0.5], [0.5, 0.5], [0.75, 0.1]])
    added = placement(centre, torch.tensor([3.0, 3.5, 4.0]))
    torch.testing.assert_close(added, torch.tensor([[0.0, 10.0], [0.5, 15.0], [1.0, 20.0]]))


def test_tokens_are_placed_in_parts_as_at_once(monkeypatch) -> None:
    table = Placement(1, grid=2)
    torch.nn.init.normal_(table.position, generator=torch.Generator().manual_seed(0))
    tokens = grid(5, 7)
    whole = table.place(tokens, Size(50, 70)).embed
    assert not torch.equal(whole, tokens.embed)
    monkeypatch.setattr(placement, "CHUNK", 4)
    assert torch.equal(table.place(tokens, Size(50, 70)).embed, whole)
    wide = replace(tokens, embed=torch.cat([tokens.embed, tokens.embed], 1))
    placed = table.place(wide, Size(50, 70)).embed
    assert torch.equal(placed, torch.cat([whole, tokens.embed], 1))  # inner layers' part stays


def test_pooling_averages_square_groups_and_remembers_them() -> None:
    pooled, group = pool(grid(4, 6), 2)
    # rows 0-1, cols 0-1 hold 0, 1, 6, 7
    assert pooled.embed.flatten().tolist() == [3.5, 5.5, 7.5, 15.5, 17.5, 19.5]
    assert pooled.box[0].tolist() == [0, 0, 20, 20]
    assert pooled.row.tolist() == [0, 0, 0, 1, 1, 1]
    assert pooled.weight.tolist() == [4] * 6
    assert group[:8].tolist() == [0, 0, 1, 1, 2, 2, 0, 0]


def test_pooling_a_part_of_a_level_groups_by_place_not_by_number() -> None:
    some = grid(4, 4).take(torch.tensor([3, 7, 10, 11, 15]))
    pooled, group = pool(some, 2)
    assert pooled.embed.flatten().tolist() == [5.0, 12.0]
    assert group.tolist() == [0, 0, 1, 1, 1]
