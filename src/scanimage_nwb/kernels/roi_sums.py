"""Sums of pixels within masks that are lists of pixels.

A mask is cut into pieces, one for each plane it lies in. Each kernel has a ``_reference`` beside it, the slow twin.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PIECE",
    "moved_pixel",
    "stays_inside",
    "sum_rois",
    "sum_rois_reference",
    "weigh_rois",
    "weigh_rois_reference",
]

PIECE = ("roi", "plane", "start", "stop", "top", "bottom", "left", "right", "first_run", "last_run")
"""Columns of a table of pieces: the mask, its plane, its pixels, the box that holds them, ends included, and its runs:
pixels that follow one another, which are summed more than twice as fast as pixels from a list."""


@numba.njit(cache=True, nogil=True, inline="always")
def moved_pixel(pixel: int, shift: NDArray[np.int64], shape: tuple[int, int], wrap: bool) -> int:
    """Return the pixel of the frame as recorded that a shift brings to `pixel`; -1 if there is none."""
    row, column = pixel // shape[1] - shift[0], pixel % shape[1] - shift[1]
    if wrap:
        row, column = row % shape[0], column % shape[1]
    elif row < 0 or row >= shape[0] or column < 0 or column >= shape[1]:
        return -1
    return row * shape[1] + column


@numba.njit(cache=True, nogil=True, inline="always")
def stays_inside(piece: NDArray[np.int64], shift: NDArray[np.int64], shape: tuple[int, int]) -> bool:
    """Tell whether a shift needs no pixel from outside the frame."""
    top, bottom = piece[4] - shift[0], piece[5] - shift[0]
    left, right = piece[6] - shift[1], piece[7] - shift[1]
    return top >= 0 and bottom < shape[0] and left >= 0 and right < shape[1]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def _sum_piece(
    frame: NDArray,
    piece: NDArray[np.int64],
    pixels: NDArray[np.int32],
    runs: NDArray[np.int32],
    weights: NDArray[np.float64] | None,
    shift: NDArray[np.int64],
    shape: tuple[int, int],
    wrap: bool,
    zero: float,
) -> float:
    """Sum one piece of a mask in one frame; sums may be taken in any order, so that they are taken fast."""
    total = zero
    if stays_inside(piece, shift, shape):
        offset = shift[0] * shape[1] + shift[1]
        if weights is None:
            for run in range(piece[8], piece[9]):
                for k in range(np.uint64(runs[run, 0] - offset), np.uint64(runs[run, 1] - offset)):
                    total += frame[k]
        else:
            for k in range(piece[2], piece[3]):
                total += frame[np.uint64(pixels[k] - offset)] * weights[k]
        return total
    for k in range(piece[2], piece[3]):
        found = moved_pixel(pixels[k], shift, shape, wrap)
        if found >= 0:
            if weights is None:
                total += frame[found]
            else:
                total += frame[found] * weights[k]
    return total


@numba.njit(cache=True, nogil=True)
def sum_rois(
    frames: NDArray,
    pieces: NDArray[np.int64],
    pixels: NDArray[np.int32],
    runs: NDArray[np.int32],
    weights: NDArray[np.float64] | None,
    shifts: NDArray[np.int64],
    shape: tuple[int, int],
    wrap: bool,
    zero: float,
    out: NDArray,
) -> None:
    """Sum the pixels of every mask in every sample.

    Parameters
    ----------
    frames : ndarray, shape (n, planes, pixels)
        Samples.
    pieces : ndarray of int64, shape (pieces, 10)
        See `PIECE`.
    pixels : ndarray of int32
        Pixels of the pieces, row * columns + column.
    runs : ndarray of int32, shape (runs, 2)
        The same pixels: first of a run, and the one behind its last.
    weights : ndarray of float64 or None
        Weight of each; None if all are 1.
    shifts : ndarray of int64, shape (n, planes, 2)
        dy and dx that bring a frame to where the masks were drawn, as `numpy.roll` does.
    shape : tuple of int
        Rows and columns.
    wrap : bool
        Pixels moved across an edge come from the other side; else they are left out.
    zero : int or float
        0 of the type that is summed in.
    out : ndarray of int64 or float64, shape (n, masks)
        Added to.
    """
    for i in range(len(frames)):
        for p in range(len(pieces)):
            piece = pieces[p]
            plane = piece[1]
            out[i, piece[0]] += _sum_piece(
                frames[i, plane], piece, pixels, runs, weights, shifts[i, plane], shape, wrap, zero
            )


def sum_rois_reference(frames: NDArray, masks: NDArray, shifts: NDArray[np.int64], *, wrap: bool) -> NDArray:
    """Sum samples within masks the slow way.

    Parameters
    ----------
    frames : ndarray, shape (n, planes, rows, columns)
    masks : ndarray, shape (masks, planes, rows, columns)
    shifts : ndarray of int64, shape (n, planes, 2)
    wrap : bool

    Returns
    -------
    ndarray, shape (n, masks)
    """
    moved = np.zeros_like(frames)
    for i, plane in np.ndindex(*shifts.shape[:2]):
        dy, dx = shifts[i, plane]
        moved[i, plane] = np.roll(frames[i, plane], (dy, dx), (0, 1))
        if not wrap:
            moved[i, plane][~_came_from_inside(frames.shape[2:], dy, dx)] = 0
    return np.array([[(frame * mask).sum() for mask in masks] for frame in moved])


def _came_from_inside(shape: tuple[int, int], dy: int, dx: int) -> NDArray[np.bool_]:
    """Return which pixels of a shifted frame were in it before."""
    row, column = np.indices(shape)
    return (row - dy >= 0) & (row - dy < shape[0]) & (column - dx >= 0) & (column - dx < shape[1])


@numba.njit(cache=True, nogil=True)
def weigh_rois(
    pieces: NDArray[np.int64],
    pixels: NDArray[np.int32],
    weights: NDArray[np.float64] | None,
    shifts: NDArray[np.int64],
    shape: tuple[int, int],
    out: NDArray[np.float64],
    n_pixels: NDArray[np.int64],
) -> None:
    """Sum the weights of the pixels of every mask that a shift leaves in the frame, and count them.

    Parameters
    ----------
    pieces, pixels, weights, shifts, shape
        As for `sum_rois`.
    out : ndarray of float64, shape (n, masks)
        Added to.
    n_pixels : ndarray of int64, shape (n, masks)
        Added to.
    """
    for p in range(len(pieces)):
        piece = pieces[p]
        whole = 0.0
        for k in range(piece[2], piece[3]):
            whole += 1.0 if weights is None else weights[k]
        for i in range(len(shifts)):
            shift = shifts[i, piece[1]]
            if stays_inside(piece, shift, shape):
                out[i, piece[0]] += whole
                n_pixels[i, piece[0]] += piece[3] - piece[2]
                continue
            for k in range(piece[2], piece[3]):
                if moved_pixel(pixels[k], shift, shape, False) >= 0:
                    out[i, piece[0]] += 1.0 if weights is None else weights[k]
                    n_pixels[i, piece[0]] += 1


def weigh_rois_reference(masks: NDArray, shifts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Do the same the slow way; parameters as for `sum_rois_reference`."""
    kept = np.array([[_came_from_inside(masks.shape[2:], *shift) for shift in planes] for planes in shifts])
    weights = np.array([[(inside * mask).sum() for mask in masks] for inside in kept], np.float64)
    return weights, np.array([[(inside & (mask != 0)).sum() for mask in masks] for inside in kept])
