"""Masks made from masks: neuropil around them, and the background outside all."""

import warnings

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import RoiError, ScanImageNwbWarning
from scanimage_nwb.roi_traces.roi_set import RoiSet

__all__ = ["background_rois", "neuropil_rois"]

_LARGEST_RADIUS_PX = 64
"""A ring further out says nothing of the tissue around a cell."""


def neuropil_rois(rois: RoiSet, *, inner_gap_px: float = 2.0, min_pixels: int = 350) -> RoiSet:
    """Return a ring around each mask, without the pixels of any mask.

    A ring begins behind the gap and is as thin as it can be: all pixels nearer than some distance, in the plane (or
    planes) of the mask. suite2p's defaults are 2 pixels and 350.

    Parameters
    ----------
    rois : RoiSet
        Masks.
    inner_gap_px : float
        Pixels no farther from the mask than this are left out.
    min_pixels : int
        A ring has at least so many pixels, in every plane, if there are so many within 64 pixels of the mask.

    Returns
    -------
    RoiSet
        With the ids of `rois`, and weights of 1. Masks that are crowded in have an empty ring: a warning counts them.

    Raises
    ------
    RoiError
        If the gap is negative, or no pixel is wanted.

    Examples
    --------
    >>> mask = np.zeros((1, 9, 9), bool)
    >>> mask[0, 4, 4] = True
    >>> rings = neuropil_rois(RoiSet.from_masks(mask), inner_gap_px=1, min_pixels=8)
    >>> rings.n_voxels.tolist(), bool(rings.to_masks()[0, 0, 4, 5])
    ([8], False)
    """
    if not inner_gap_px >= 0 or min_pixels < 1:
        raise RoiError(f"{inner_gap_px=}, {min_pixels=}; expected a gap of 0 or more, and at least one pixel")
    occupied = np.zeros(int(np.prod(rois.shape)), bool)
    occupied[rois.voxels] = True
    occupied = occupied.reshape(rois.shape)
    voxels, owner = [], []
    for roi in range(rois.n_rois):
        pixels = rois.pixels(roi)[0]
        for plane in np.unique(pixels[:, 0]):
            ring = _ring(pixels[pixels[:, 0] == plane, 1:], occupied[plane], inner_gap_px, min_pixels)
            voxels.append(np.ravel_multi_index((np.full(len(ring), plane), *ring.T), rois.shape))
            owner.append(np.full(len(ring), roi))
    rings = RoiSet._from_lists(
        np.concatenate(owner),
        np.concatenate(voxels),
        None,
        rois.shape,
        ids=rois.ids,
        names=rois.names,
        may_be_empty=True,
    )
    empty = np.flatnonzero(rings.n_voxels == 0)
    if empty.size:
        warnings.warn(
            f"{empty.size} of {rois.n_rois} masks (first: {rois.ids[empty[0]]!r}) have no free pixel around them: "
            "their neuropil is NaN",
            ScanImageNwbWarning,
            stacklevel=2,
        )
    return rings


def _ring(pixels: NDArray[np.int64], occupied: NDArray[np.bool_], gap: float, min_pixels: int) -> NDArray[np.int64]:
    """Return the pixels of one ring in one plane, shape (n, 2)."""
    from scipy.ndimage import distance_transform_edt

    # Grown until the ring is whole: a box that is too small would cut its corners.
    margin = int(np.ceil(gap)) + 8
    while True:
        low = np.maximum(pixels.min(axis=0) - margin, 0)
        high = np.minimum(pixels.max(axis=0) + margin + 1, occupied.shape)
        outside = np.ones(high - low, bool)
        outside[tuple((pixels - low).T)] = False
        distance = distance_transform_edt(outside)
        free = ~occupied[low[0] : high[0], low[1] : high[1]] & (distance > gap) & (distance <= margin)
        reached = np.sort(distance[free])
        if len(reached) >= min_pixels or margin >= _LARGEST_RADIUS_PX:
            break
        margin = min(2 * margin, max(_LARGEST_RADIUS_PX, int(np.ceil(gap))))
    farthest = reached[min(min_pixels, len(reached)) - 1] if len(reached) else 0.0
    return np.argwhere(free & (distance <= farthest)) + low


def background_rois(rois: RoiSet) -> RoiSet:
    """Return one mask for each plane: all pixels that lie in no mask.

    Parameters
    ----------
    rois : RoiSet
        Masks.

    Returns
    -------
    RoiSet
        Ids are ``background0``, ``background1`` … by plane; those of planes that are full have no pixel.
    """
    free = np.ones(int(np.prod(rois.shape)), bool)
    free[rois.voxels] = False
    voxels = np.flatnonzero(free)
    return RoiSet._from_lists(
        voxels // (rois.shape[1] * rois.shape[2]),
        voxels,
        None,
        rois.shape,
        ids=[f"background{plane}" for plane in range(rois.shape[0])],
        may_be_empty=True,
    )
