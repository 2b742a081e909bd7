"""Kernels of mask sums against their slow twins, on random input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels import local_products, roi_sums
from scanimage_nwb.roi_traces.pieces import cut_into_pieces
from scanimage_nwb.roi_traces.roi_set import RoiSet


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), weighted=st.booleans(), wrap=st.booleans(), largest=st.integers(0, 12))
def test_sums_and_weights(seed: int, weighted: bool, wrap: bool, largest: int) -> None:
    rng = np.random.default_rng(seed)
    n, planes, rows, columns = rng.integers(1, 5), rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 9)
    masks = rng.random((rng.integers(1, 6), planes, rows, columns)) < rng.random()
    masks[:, rng.integers(planes), rng.integers(rows), rng.integers(columns)] = True
    if weighted:
        masks = masks * rng.integers(1, 5, masks.shape)
    frames = rng.integers(-500, 500, (n, planes, rows, columns)).astype(rng.choice(["i2", "i4", "f8"]))
    shifts = rng.integers(-largest, largest + 1, (n, planes, 2))
    pieces = cut_into_pieces([RoiSet.from_masks(masks)])
    flat = frames.reshape(n, planes, -1)
    zero = np.float64(0) if weighted or frames.dtype.kind == "f" else np.int64(0)
    out = np.zeros((n, len(masks)), type(zero))
    weights = pieces.weights
    roi_sums.sum_rois(
        flat, pieces.table, pieces.pixels, pieces.runs, weights, shifts, (int(rows), int(columns)), wrap, zero, out
    )
    np.testing.assert_array_equal(out, roi_sums.sum_rois_reference(frames, masks, shifts, wrap=wrap))
    found = pieces.weigh(shifts)
    for own, expected in zip(found, roi_sums.weigh_rois_reference(masks, shifts), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_the_slow_twin_is_numpy() -> None:
    frames = np.arange(12).reshape(1, 1, 3, 4)
    mask = np.zeros((1, 1, 3, 4), bool)
    mask[0, 0, 0] = True
    down = np.array([[[1, 0]]])
    assert roi_sums.sum_rois_reference(frames, mask, down, wrap=True) == 8 + 9 + 10 + 11
    assert roi_sums.sum_rois_reference(frames, mask, down, wrap=False) == 0
    assert roi_sums.weigh_rois_reference(mask, down)[1] == 0


@pytest.mark.parametrize("shape", [(5, 1, 1), (3, 1, 4), (2, 6, 1), (7, 5, 6)])
def test_products_of_neighbours(shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(1).integers(-9, 9, shape).astype(np.int16)
    found = np.zeros(shape[1:]), np.zeros(shape[1:]), np.zeros((4, *shape[1:]))
    local_products.add_products(frames, *found)
    for own, expected in zip(found, local_products.add_products_reference(frames), strict=True):
        np.testing.assert_array_equal(own, expected)
