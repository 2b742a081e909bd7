"""Kernels of mask sums against their slow twins, on random input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels import class_sums, local_products, roi_sums
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


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([np.int16, np.uint16]),
    wrap=st.booleans(),
    largest=st.integers(0, 12),
    density=st.sampled_from([0.1, 0.6, 1.0]),
)
def test_words_of_sixteen_bits(seed: int, dtype: type, wrap: bool, largest: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    n, planes, rows, columns = rng.integers(1, 5), rng.integers(1, 4), rng.integers(1, 9), rng.integers(1, 12)
    masks = rng.random((rng.integers(1, 6), planes, rows, columns)) < density
    masks[:, rng.integers(planes), rng.integers(rows), rng.integers(columns)] = True
    info = np.iinfo(dtype)
    frames = rng.integers(info.min, info.max, (n, planes, rows, columns), dtype, endpoint=True)
    frames[rng.random(frames.shape) < 0.3] = rng.choice([info.min, info.max])
    shifts = rng.integers(-largest, largest + 1, (n, planes, 2))
    out = np.ones((n, len(masks)), np.int64)
    cut_into_pieces([RoiSet.from_masks(masks)]).add_sums(frames, shifts, out, wrap=wrap)
    expected = roi_sums.sum_rois_reference(frames.astype(np.int64), masks, shifts, wrap=wrap)
    np.testing.assert_array_equal(out, 1 + expected)


def test_words_of_a_mask_that_overflows_32_bits() -> None:
    frames = np.full((2, 1, 600, 700), 65535, np.uint16)
    out = np.zeros((2, 1), np.int64)
    rois = RoiSet.from_masks(np.ones((1, 600, 700), bool))
    cut_into_pieces([rois]).add_sums(frames, np.zeros((2, 1, 2), np.int64), out, wrap=False)
    assert out.tolist() == [[600 * 700 * 65535]] * 2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_masks_of_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_masks, n_classes, n_columns = (int(own) for own in rng.integers(1, 9, 4))
    per_class, columns = rng.integers(0, 99, (n, n_classes)), rng.integers(0, n_columns, n)
    masks = rng.random((n_masks, n_classes)) < 0.4
    starts = np.concatenate([[0], np.cumsum(masks.sum(axis=1))])
    out = np.zeros((n_masks, n_columns), np.int64)
    class_sums.add_masks(per_class, starts, np.nonzero(masks)[1].astype(np.int32), columns, out)
    np.testing.assert_array_equal(out, class_sums.add_masks_reference(per_class, masks, columns, n_columns))


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


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n_pixels=st.integers(1, 30), n_classes=st.integers(1, 5))
def test_pixels_are_summed_by_class(seed: int, n_pixels: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    n, planes, groups = rng.integers(0, 5), rng.integers(1, 4), rng.integers(1, 3)
    pixels = rng.integers(-(2**15), 2**15, (n, n_pixels)).astype(rng.choice(["i2", "i4", "u2", "f4"]))
    classes = rng.integers(0, n_classes, (planes, groups, n_pixels)).astype(np.uint16)
    plane = rng.integers(0, planes, n)
    expected = class_sums.sum_pixel_classes_reference(pixels, classes, plane, n_classes)
    out = np.full_like(expected, -1)
    class_sums.sum_pixel_classes(pixels, classes, plane, out)
    assert (out == expected).all()
