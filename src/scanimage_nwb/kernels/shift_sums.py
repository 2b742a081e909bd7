"""Frames added up where they belong, on a canvas larger than they are."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_shifted", "add_shifted_reference"]


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
