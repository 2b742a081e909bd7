"""Masks: made from arrays, lists and polygons, and given back; bad ones refused by name."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces import RoiSet


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), weighted=st.booleans(), flat=st.booleans())
def test_masks_come_back(seed: int, weighted: bool, flat: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, 2 if flat else 3).tolist())
    masks = rng.random((int(rng.integers(1, 7)), *shape)) < 0.4
    masks[(slice(None), *(0 for _ in shape))] = True
    masks = masks * rng.random(masks.shape).astype("f4") + masks if weighted else masks
    rois = RoiSet.from_masks(masks, ids=[f"cell {i}" for i in range(len(masks))])
    volume = masks[:, np.newaxis] if flat else masks
    np.testing.assert_array_equal(rois.to_masks(), volume)
    assert rois.to_masks().dtype == masks.dtype
    again = RoiSet.from_pixels(
        [rois.pixels(i)[0] for i in range(len(rois))],
        volume.shape[1:],
        weights=[rois.pixels(i)[1] for i in range(len(rois))],
    )
    np.testing.assert_array_equal(again.to_masks(), volume)
    wanted = rng.permutation(len(masks))[: max(1, len(masks) // 2)]
    chosen = pickle.loads(pickle.dumps(rois.select(wanted)))
    np.testing.assert_array_equal(chosen.to_masks(), volume[wanted])
    assert chosen.ids == tuple(f"cell {i}" for i in wanted)
    at = np.indices(volume.shape[1:])
    for i in range(len(rois)):
        expected = [(axis * volume[i]).sum() / volume[i].sum() for axis in at]
        np.testing.assert_allclose(rois.centroid[i], expected, rtol=1e-5)
        planes = np.unique(np.nonzero(volume[i])[0])
        assert rois.plane[i] == (planes[0] if len(planes) == 1 else -1)


def test_labels_keep_their_numbers() -> None:
    labels = np.zeros((2, 3, 4), np.uint16)
    labels[:, 0, 0] = 9
    labels[1, 2] = 4
    rois = RoiSet.from_labels(labels, names={9: "soma"})
    assert rois.ids == (4, 9)
    assert rois.names == ("4", "soma")
    assert rois.plane.tolist() == [1, -1]
    np.testing.assert_array_equal(rois.to_masks(), [labels == 4, labels == 9])


def test_polygons_that_share_an_edge_share_no_pixel() -> None:
    left = [(0, 0), (0, 3), (5, 3), (5, 0)]
    right = [(0, 3), (0, 6), (5, 6), (5, 3)]
    masks = RoiSet.from_polygons([left, right], (8, 8)).to_masks()[:, 0]
    assert masks.sum(axis=0).max() == 1
    np.testing.assert_array_equal(np.argwhere(masks.any(axis=0)).max(axis=0), [4, 5])
    triangle = RoiSet.from_polygons([[(-0.5, -0.5), (9.5, -0.5), (-0.5, 9.5)]], (10, 10)).to_masks()[0, 0]
    np.testing.assert_array_equal(triangle, np.add(*np.indices((10, 10))) <= 8)
    beyond = RoiSet.from_polygons([[(-9, -9), (-9, 1.5), (1.5, 1.5), (1.5, -9)]], (2, 8, 8), planes=[1])
    np.testing.assert_array_equal(np.argwhere(beyond.to_masks()[0]), [[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]])


SQUARE = np.ones((2, 3, 3), bool)
BAD: list[tuple[Any, str]] = [
    (lambda: RoiSet.from_masks(SQUARE * np.nan), r"mask 0 has a weight of nan \(18 such"),
    (
        lambda: RoiSet.from_masks(SQUARE * np.array([1, -np.inf])[:, None, None], ids=["a", "b"]),
        "mask 'b' has a weight",
    ),
    (lambda: RoiSet.from_masks(SQUARE, ids=[3, 3]), "id 3 is given to two"),
    (lambda: RoiSet.from_masks(SQUARE, ids=[3, "3"]), "id '3' is given to two"),
    (lambda: RoiSet.from_masks(SQUARE, ids=[3]), "1 ids were given for 2"),
    (lambda: RoiSet.from_masks(SQUARE, names=["x"]), "names has 1"),
    (lambda: RoiSet.from_masks(SQUARE, properties={"accepted": [True]}), "accepted has 1"),
    (lambda: RoiSet.from_masks(SQUARE & [[[True]], [[False]]], ids=["a", "b"]), "mask 'b' has no pixel"),
    (lambda: RoiSet.from_masks(-1.0 * SQUARE), "add up to -9"),
    (lambda: RoiSet.from_masks(SQUARE[0]), r"shape \(3, 3\)"),
    (lambda: RoiSet.from_masks(SQUARE.astype(complex)), "complex128"),
    (lambda: RoiSet.from_masks(np.zeros((0, 3, 3))), "there is no mask"),
    (lambda: RoiSet.from_labels(np.zeros((3, 3), int)), "no label but 0"),
    (lambda: RoiSet.from_labels(np.full((3, 3), -1)), "whole numbers from 0"),
    (lambda: RoiSet.from_labels(np.ones((3, 3))), "float64"),
    (lambda: RoiSet.from_pixels([[(0, 3)]], (3, 3), ids=["x"]), "mask 'x' has a pixel at plane 0, row 0, column 3"),
    (lambda: RoiSet.from_pixels([[(-1, 0)]], (3, 3)), "row -1"),
    (lambda: RoiSet.from_pixels([[(1, 1), (1, 1)]], (3, 3)), "row 1, column 1 twice"),
    (lambda: RoiSet.from_pixels([[(1.5, 1)]], (3, 3)), "float64"),
    (lambda: RoiSet.from_pixels([[(1, 1)]], (3, 3), weights=[[1, 2]]), "one for each pixel"),
    (lambda: RoiSet.from_pixels([[(1, 1)]], (3,)), "shape of the field"),
    (lambda: RoiSet.from_polygons([[(0, 0), (1, 1)]], (3, 3)), "at least three"),
    (lambda: RoiSet.from_polygons([[(0, 0), (0, np.nan), (1, 1)]], (3, 3)), "finite"),
    (lambda: RoiSet.from_polygons([[(9, 9), (9, 8), (8, 8)]], (3, 3), ids=["far"]), "mask 'far' has no pixel"),
    (lambda: RoiSet.from_masks(SQUARE).in_plane(2, 2), "plane 2; there are 2"),
    (lambda: RoiSet.from_masks(SQUARE[None]).in_plane(0, 2), "expected masks of one plane"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_masks_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(RoiError, match=message):
        make()
