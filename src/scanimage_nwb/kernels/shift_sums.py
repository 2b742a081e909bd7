"""Frames added up where they belong, on a canvas larger than they are, and how long they looked at each place."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_boxes", "add_boxes_reference", "add_shifted", "add_shifted_reference"]


@numba.njit(cache=True, nogil=True)
def add_shifted(
    frames: NDArray, which: NDArray[np.int64], first: NDArray[np.int64], sign: float, canvas: NDArray
) -> None:
    """Add frames to a canvas.

    Parameters
    ----------
    frames : ndarray of any number type, shape (m, rows, columns)
        Frames.
    which : ndarray of int64, shape (n,)
        Frames that are added.
    first : ndarray of int64, shape (n, 2)
        Where the first pixel of each lands.
    sign : float
        1 to add them, -1 to take them off.
    canvas : ndarray of float32 or float64
        Added to; must hold every frame where it lands.
    """
    factor = np.float32(sign)
    for k in range(len(which)):
        frame = frames[which[k]]
        for y in range(frame.shape[0]):
            source = frame[y]
            target = canvas[first[k, 0] + y, first[k, 1] : first[k, 1] + source.size]
            for x in range(source.size):
                target[x] += factor * np.float32(source[x])


def add_shifted_reference(
    frames: NDArray, which: NDArray[np.int64], first: NDArray[np.int64], sign: float, canvas: NDArray
) -> None:
    """Add frames to a canvas the slow way; parameters as for `add_shifted`."""
    _, rows, columns = frames.shape
    for rank, (y, x) in zip(which, first, strict=True):
        canvas[y : y + rows, x : x + columns] += sign * frames[rank].astype(float)


@numba.njit(cache=True, nogil=True)
def add_boxes(first: NDArray[np.int64], shape: tuple[int, int], weight: NDArray[np.float64], canvas: NDArray) -> None:
    """Fill a canvas with the sum of weighted boxes.

    Parameters
    ----------
    first : ndarray of int64, shape (n, 2)
        Where the first pixel of each box lands.
    shape : tuple of int
        Rows and columns of a box.
    weight : ndarray of float64, shape (n,)
        What each adds.
    canvas : ndarray of float32
        Filled; must hold every box. Where no box is, it is 0 but for rounding, and never below.
    """
    rows, columns = canvas.shape
    corners = np.zeros((rows + 1, columns + 1), np.float64)
    for k in range(len(first)):
        y, x = first[k, 0], first[k, 1]
        corners[y, x] += weight[k]
        corners[y + shape[0], x] -= weight[k]
        corners[y, x + shape[1]] -= weight[k]
        corners[y + shape[0], x + shape[1]] += weight[k]
    above = np.zeros(columns)
    for y in range(rows):
        along = 0.0
        for x in range(columns):
            along += corners[y, x]
            above[x] += along
            canvas[y, x] = max(above[x], 0.0)


def add_boxes_reference(
    first: NDArray[np.int64], shape: tuple[int, int], weight: NDArray[np.float64], canvas: NDArray
) -> None:
    """Fill a canvas with the sum of weighted boxes the slow way; parameters as for `add_boxes`."""
    canvas[:] = 0
    for (y, x), own in zip(first, weight, strict=True):
        canvas[y : y + shape[0], x : x + shape[1]] += own
