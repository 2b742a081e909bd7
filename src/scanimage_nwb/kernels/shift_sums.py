"""Frames added up where they belong, on a canvas larger than they are."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_shifted", "add_shifted_reference"]


@numba.njit(cache=True, nogil=True)
def add_shifted(frames: NDArray, first: NDArray[np.int64], weight: NDArray[np.float32], canvas: NDArray) -> None:
    """Add frames to a canvas.

    Parameters
    ----------
    frames : ndarray of any number type, shape (n, rows, columns)
        Frames.
    first : ndarray of int64, shape (n, 2)
        Where the first pixel of each lands.
    weight : ndarray of float32, shape (n,)
        Factor of each; frames of weight 0 are passed over.
    canvas : ndarray of float32 or float64
        Added to; must hold every frame where it lands.
    """
    for k in range(len(frames)):
        factor = weight[k]
        if factor == 0:
            continue
        for y in range(frames.shape[1]):
            source = frames[k, y]
            target = canvas[first[k, 0] + y, first[k, 1] : first[k, 1] + frames.shape[2]]
            for x in range(frames.shape[2]):
                target[x] += factor * np.float32(source[x])


def add_shifted_reference(frames: NDArray, first: NDArray[np.int64], weight: NDArray, canvas: NDArray) -> None:
    """Add frames to a canvas the slow way; parameters as for `add_shifted`."""
    _, rows, columns = frames.shape
    for frame, (y, x), factor in zip(frames, first, weight, strict=True):
        canvas[y : y + rows, x : x + columns] += factor * frame.astype(float)
