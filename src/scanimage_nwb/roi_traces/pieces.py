"""Masks as the kernels take them: cut into pieces, one for each plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import RoiError
from scanimage_nwb.kernels import roi_sums, roi_words
from scanimage_nwb.roi_traces.roi_set import RoiSet

__all__ = ["Pieces", "cut_into_pieces", "refuse_lost_masks"]

_ROWS_AT_ONCE = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Masks of one or several sets, one behind the other."""

    table: NDArray[np.int64]
    """One row for each mask and plane it lies in; see `kernels.roi_sums.PIECE`."""
    pixels: NDArray[np.int32]
    """Pixels of the pieces within their plane."""
    runs: NDArray[np.int32]
    """The same pixels as runs, shape (runs, 2): the first, and the one behind the last."""
    weights: NDArray[np.float64] | None
    """Weight of each; None if all are 1."""
    shape: tuple[int, int, int]
    """Planes, rows and columns."""
    n_rois: int
    """Number of masks."""
    words: tuple[NDArray[np.int64], NDArray[np.int32]]
    """The same pixels by sixteens: bounds of the pieces, and words; see `kernels.roi_words`."""

    def add_sums(self, frames: NDArray, shifts: NDArray[np.int64], out: NDArray, *, wrap: bool) -> None:
        """Add the sums of all masks in some samples.

        Parameters
        ----------
        frames : ndarray, shape (n, planes, rows, columns)
            Contiguous, of a native type of numbers.
        shifts : ndarray of int64, shape (n, planes, 2)
            dy and dx of each frame.
        out : ndarray of int64 or float64, shape (n, n_rois)
            Added to.
        wrap : bool
            Whether pixels moved across an edge come from the other side.
        """
        flat = frames.reshape(*frames.shape[:2], -1)
        if frames.dtype in (np.int16, np.uint16) and self.weights is None:
            flip = roi_words.SIGNED if frames.dtype == np.int16 else roi_words.UNSIGNED
            pixels, data = self.pixels, frames.reshape(-1).view(np.uint8)
            roi_words.sum_words(data, self.table, pixels, *self.words, flip, shifts, self.shape[1:], wrap, out)
            return
        zero = out.dtype.type(0)
        roi_sums.sum_rois(
            flat, self.table, self.pixels, self.runs, self.weights, shifts, self.shape[1:], wrap, zero, out
        )

    def weigh(self, shifts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the sum of weights, and the number of pixels, that shifts leave in the frame.

        Parameters
        ----------
        shifts : ndarray of int64, shape (n, planes, 2)

        Returns
        -------
        tuple of ndarray, shape (n, n_rois)
        """
        out = np.zeros((len(shifts), self.n_rois))
        n_pixels = np.zeros((len(shifts), self.n_rois), np.int64)
        roi_sums.weigh_rois(self.table, self.pixels, self.weights, shifts, self.shape[1:], out, n_pixels)
        return out, n_pixels


def cut_into_pieces(sets: Sequence[RoiSet]) -> Pieces:
    """Return the masks of some sets as pieces, the masks of the second set behind those of the first.

    Parameters
    ----------
    sets : sequence of RoiSet
        All of one shape.

    Returns
    -------
    Pieces
    """
    shape = sets[0].shape
    plane_size = shape[1] * shape[2]
    before = np.cumsum([0, *(rois.n_rois for rois in sets)])
    owner = np.concatenate([rois.owner + n for rois, n in zip(sets, before, strict=False)])
    plane, pixels = np.divmod(np.concatenate([rois.voxels for rois in sets]), plane_size)
    weights = None
    if any(rois.weights is not None for rois in sets):
        weights = np.concatenate(
            [np.ones(len(rois.voxels)) if rois.weights is None else rois.weights for rois in sets]
        ).astype(np.float64)
    new_piece = (np.diff(owner, prepend=-1) != 0) | (np.diff(plane, prepend=-1) != 0)
    starts = np.flatnonzero(new_piece)
    run_starts = np.flatnonzero(new_piece | (np.diff(pixels, prepend=-2) != 1))
    run_ends = pixels[np.append(run_starts[1:], len(pixels)) - 1] + 1 if len(pixels) else pixels
    runs = np.stack([pixels[run_starts], run_ends], axis=1).astype(np.int32)
    table = np.zeros((len(starts), len(roi_sums.PIECE)), np.int64)
    if len(starts):
        row, column = np.divmod(pixels, shape[2])
        table[:, 0], table[:, 1], table[:, 2] = owner[starts], plane[starts], starts
        table[:, 3] = np.append(starts[1:], len(pixels))
        for at, axis in ((4, row), (6, column)):
            table[:, at] = np.minimum.reduceat(axis, starts)
            table[:, at + 1] = np.maximum.reduceat(axis, starts)
        table[:, 8] = np.searchsorted(run_starts, starts)
        table[:, 9] = np.append(table[1:, 8], len(runs))
    return Pieces(table, pixels.astype(np.int32), runs, weights, shape, int(before[-1]), _list_words(table, runs))


def _list_words(table: NDArray[np.int64], runs: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the runs of pieces as words of `WORD_PIXELS` pixels."""
    bounds = np.concatenate([[0], np.cumsum(-(-(runs[:, 1] - runs[:, 0]) // roi_words.WORD_PIXELS))]).astype(np.int64)
    words = np.empty(bounds[-1], np.int32)
    roi_words.list_words(runs, bounds, words)
    return bounds[np.append(table[:, 8], len(runs))], words


def refuse_lost_masks(rois: RoiSet, shifts: NDArray[np.int64]) -> None:
    """Refuse masks of which a shift leaves nothing in the frame.

    Parameters
    ----------
    rois : RoiSet
        The masks.
    shifts : ndarray of int64, shape (n, planes, 2)
        dy and dx of every sample and plane.

    Raises
    ------
    RoiError
        Names mask, sample and shift.
    """
    unique, first = np.unique(shifts.reshape(len(shifts), -1), axis=0, return_index=True)
    pieces = cut_into_pieces([rois])
    for start in range(0, len(unique), _ROWS_AT_ONCE):
        cut = unique[start : start + _ROWS_AT_ONCE]
        _, n_pixels = pieces.weigh(np.ascontiguousarray(cut.reshape(-1, *shifts.shape[1:])))
        lost = np.argwhere(n_pixels == 0)
        if len(lost):
            rank, roi = lost[0]
            sample = first[start + rank]
            plane = max(int(rois.plane[roi]), 0)
            raise RoiError(
                f"mask {rois.ids[roi]!r} lies outside the frame after shifting: sample {sample} is shifted by (dy, dx) "
                f"= {tuple(shifts[sample, plane].tolist())}, and nothing of the mask is left "
                f"({len(np.unique(lost[:, 1]))} such masks). Leave it out, limit the shifts, or give edges='wrap' to "
                "take pixels from the other side"
            )
