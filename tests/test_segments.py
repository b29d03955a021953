"""Labels of pixels become regions of tokens."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uhrqa import segments
from uhrqa.errors import ConfigError, what_lacks
from uhrqa.geometry import Box, Size
from uhrqa.segments import OUTSIDE, as_regions, superpixels, vote


def boxes_of(rows: int, cols: int, side: float) -> torch.Tensor:
    corners = [(c * side, r * side) for r in range(rows) for c in range(cols)]
    return torch.tensor([[x, y, x + side, y + side] for x, y in corners])


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from(["uint8", "int16", "int64"]))
@settings(deadline=None, max_examples=30)
def test_the_most_common_label_wins_and_ties_go_to_the_smallest(seed, kinds, dtype) -> None:
    labels = np.random.default_rng(seed).integers(0, kinds, (12, 18)).astype(dtype)
    found = vote(labels, boxes_of(2, 3, 6), Size(12, 18), 6).tolist()
    for token, label in enumerate(found):
        row, col = divmod(token, 3)
        block = labels[row * 6 : row * 6 + 6, col * 6 : col * 6 + 6].flatten().tolist()
        assert label == min(set(block), key=lambda own: (-block.count(own), own))


def test_labels_may_have_any_resolution() -> None:
    coarse = np.arange(6).reshape(2, 3)
    fine = coarse.repeat(40, 0).repeat(40, 1)
    boxes = boxes_of(2, 3, 100)
    for labels in (coarse, fine):
        assert vote(labels, boxes, Size(200, 300), 14).tolist() == [0, 1, 2, 3, 4, 5]


def test_what_lies_beyond_the_image_has_no_vote() -> None:
    labels = np.array([[5]])
    boxes = torch.tensor([[90.0, 0.0, 190.0, 100.0], [100.0, 0.0, 200.0, 100.0], [-50, -50, 0, 0]])
    assert vote(labels, boxes, Size(100, 100), 10).tolist() == [5, OUTSIDE, OUTSIDE]


def test_labels_may_reach_beyond_a_window() -> None:
    labels = np.arange(9).reshape(3, 3)  # of 300 x 300 px, of which a window shows the last 200
    found = vote(labels, boxes_of(2, 3, 100), Size(200, 200), 10, Box(-100, -100, 200, 200))
    assert found.tolist() == [4, 5, OUTSIDE, 7, 8, OUTSIDE]


def test_votes_in_parts_are_the_votes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 5, (60, 60))
    whole = vote(labels, boxes_of(6, 6, 10), Size(60, 60), 10)
    monkeypatch.setattr(segments, "SAMPLES", 700)
    assert torch.equal(vote(labels, boxes_of(6, 6, 10), Size(60, 60), 10), whole)


def test_regions_are_dense_and_left_out_tokens_stand_alone() -> None:
    labels = torch.tensor([900, 0, -4, 900, 0, OUTSIDE, OUTSIDE])
    assert as_regions(labels).tolist() == [0, 1, 2, 0, 1, 3, 3]
    assert as_regions(labels, singles=True).tolist() == [0, 1, 2, 0, 3, 4, 5]


def test_superpixels_follow_colour() -> None:
    pytest.importorskip("skimage", reason="needs uhrqa[regions]")
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 255
    labels = superpixels(pixels, 6)
    assert labels.shape == (40, 60)
    assert not set(labels[:, :30].flatten()) & set(labels[:, 30:].flatten())


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ConfigError, match=r"scikit-image is not installed; pip install 'uhrqa"):
        superpixels(np.zeros((4, 4, 3), np.uint8), 2)


def test_what_a_package_needs_is_named_where_that_is_missing() -> None:
    lacks = ModuleNotFoundError("No module named 'joblib'", name="joblib")
    assert what_lacks(lacks, "sklearn", "scikit-learn") == (
        "joblib is not installed, which scikit-learn needs"
    )
    broken = ImportError("libgomp.so.1: cannot open shared object file")
    assert what_lacks(broken, "sklearn", "scikit-learn") == (
        "scikit-learn cannot be imported (libgomp.so.1: cannot open shared object file)"
    )
