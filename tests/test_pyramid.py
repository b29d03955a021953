from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uhrqa.geometry import Box, Size
from uhrqa.pyramid import Level, Pyramid, Tile, fill_tiles

SIZES = st.builds(Size, st.integers(1, 40_000), st.integers(1, 40_000))


def test_levels_of_the_paper_for_4000_px() -> None:
    # Luo et al. 2025: 1 thumbnail, then 3 x 3, 6 x 6 and 12 x 12 tiles of 336 px
    pyramid = Pyramid.build(Size(4000, 4000), 336, 1008)
    assert [level.tile_count for level in pyramid] == [1, 9, 36, 144]
    assert [level.size.w for level in pyramid] == [336, 1008, 2016, 4032]


def test_level_one_of_a_27k_image_is_small_whatever_its_size() -> None:
    pyramid = Pyramid.build(Size(25207, 27328), 336, 1008)
    assert [level.grid for level in pyramid] == [
        (1, 1), (3, 3), (5, 5), (10, 11), (19, 21), (38, 41), (76, 82),
    ]  # fmt: skip


@given(SIZES)
def test_every_level_fills_its_tiles_along_one_side_and_keeps_the_shape(size: Size) -> None:
    pyramid = Pyramid.build(size, 336, 1008)
    for level in pyramid.levels[1:]:
        rows, cols = level.grid
        short = min(rows * 336 - level.size.h, cols * 336 - level.size.w)
        assert short <= 1  # a pixel is lost to rounding where the other side has one pixel
        sy, sx = level.scale
        assert abs(sy * size.h - sx * size.h) <= 1 or abs(sy * size.w - sx * size.w) <= 1
    assert 1008 / 1.5 <= max(pyramid[1].size) <= 1008 * 2 or max(size) < 1008


@given(SIZES)
def test_levels_grow_and_the_finest_has_at_least_the_source_resolution(size: Size) -> None:
    sides = [max(level.size) for level in Pyramid.build(size, 112, 896)]
    assert sides == sorted(sides)
    assert sides[-1] >= max(size)


@given(SIZES, st.integers(0, 10_000))
def test_tiles_cover_the_source_without_overlap(size: Size, pick: int) -> None:
    levels = Pyramid.build(size, 336, 1008).levels
    level = levels[pick % len(levels)]
    rows, cols = level.grid
    corner = level.box(Tile(rows - 1, cols - 1))
    assert corner.x1 >= size.w * (1 - 1e-9)
    assert corner.y1 >= size.h * (1 - 1e-9)
    if cols > 1:
        assert level.box(Tile(0, 0)).x1 == pytest.approx(level.box(Tile(0, 1)).x0)


@given(SIZES, st.integers(0, 10_000))
def test_a_tile_lies_in_no_tile_but_itself(size: Size, pick: int) -> None:
    level = Pyramid.build(size, 336, 1008).finest
    rows, cols = level.grid
    tile = Tile(pick % rows, pick % cols)
    assert level.tiles_in(level.box(tile)) == {tile}


def test_tiles_in_finds_those_a_box_touches() -> None:
    level = Level(1, Size(1000, 1000), Size(1000, 1000), 100)
    found = level.tiles_in(Box(95, 50, 105, 60))
    assert found == {Tile(0, 0), Tile(0, 1)}
    assert level.tiles_in(Box(-50, -50, -1, -1)) == set()
    assert level.tiles_in(Box(100, 0, 200, 100)) == {Tile(0, 1)}  # edges do not touch


def test_views_keep_the_shape_and_stop_where_no_detail_is_left() -> None:
    views = Pyramid.views(Size(1000, 2000), 336, (672, 1344, 2688, 4032))
    assert [level.size for level in views.levels[1:]] == [
        Size(336, 672),
        Size(672, 1344),
        Size(1344, 2688),
    ]  # fmt: skip - 4032 would be more than twice the image's 2000 px
    tiny = Pyramid.views(Size(10, 10), 336, (672, 1344))
    assert [level.size for level in tiny.levels[1:]] == [Size(672, 672)]


def test_the_thumbnail_keeps_the_shape_or_fills_its_tile() -> None:
    size = Size(500, 1000)
    assert Pyramid.build(size, 336, 1008).thumbnail.size == Size(168, 336)
    assert Pyramid.build(size, 336, 1008, stretch=True).thumbnail.size == Size(336, 336)


def test_a_level_a_little_above_whole_tiles_shrinks_unless_it_is_the_finest() -> None:
    # 8192 / 8 = 1024 px are 3.05 tiles of 336; Eq. 3 would make 16 tiles of what fits 9
    pyramid = Pyramid.build(Size(8192, 8192), 336, 1008)
    assert pyramid[1].tile_count == 9
    assert Pyramid.build(Size(1024, 1024), 336, 1008).finest.tile_count == 16


def test_filling_tiles_follows_equation_3() -> None:
    # 1000 px are 3 tiles of 336: r = 3 * 336 / 1000
    assert fill_tiles(Size(1000, 500), Size(4000, 2000), 336) == Size(1008, 504)
