from __future__ import annotations

import numpy as np

from uhrqa.geometry import Box, Size
from uhrqa.raster import open_raster
from uhrqa.raster.side_by_side import SideBySide


def test_each_image_is_where_it_is_said_to_be_and_between_them_is_none() -> None:
    left = np.full((40, 30, 3), 10, np.uint8)
    right = np.arange(20 * 50 * 3, dtype=np.uint8).reshape(20, 50, 3)
    with SideBySide([open_raster(left), open_raster(right)]) as both:
        assert both.size == Size(40, 30 + 16 + 50)
        assert both.boxes() == (Box(0, 0, 30, 40), Box(46, 0, 96, 20))
        whole = both.read(Box.whole(both.size), both.size)
        assert (whole.array[:, :30] == 10).all()
        assert (whole.array[:20, 46:] == right).all()
        shown = np.zeros(both.size, bool)
        shown[:, :30] = shown[:20, 46:] = True
        assert (whole.mask == shown).all()
        assert not whole.array[~shown].any()


def test_a_window_across_the_gap_is_a_part_of_the_whole_also_when_it_is_reduced() -> None:
    images = [np.full((64, 64, 3), value, np.uint8) for value in (50, 200)]
    with SideBySide([open_raster(image) for image in images]) as both:
        part = both.read(Box(32, 0, 112, 64), Size(16, 20))
        assert (part.array[:, :8] == 50).all()
        assert (part.array[:, 12:] == 200).all()
        assert not part.mask[:, 8:12].any()
        beyond = both.read(Box(-40, -40, -8, -8), Size(4, 4))
        assert not beyond.mask.any()
