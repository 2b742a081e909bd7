"""Copy pages with their rows and columns moved around, as `numpy.roll` moves them."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["copy_rolled", "copy_rolled_reference"]


@numba.njit(cache=True, nogil=True)
def copy_rolled(pages: NDArray[np.uint8], shifts: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    """Copy pages, each shifted on its own.

    Parameters
    ----------
    pages : ndarray of uint8, shape (n, rows, bytes of a row)
        Pages as bytes, whatever the type of their pixels.
    shifts : ndarray of int64, shape (n, 2)
        Rows and bytes that each is shifted by, not negative and smaller than the page.
    out : ndarray of uint8, shape of `pages`
        Filled; not the same memory.
    """
    n, height, width = pages.shape
    for i in range(n):
        dy, dx = shifts[i, 0], shifts[i, 1]
        for y in range(height):
            target = y + dy if y + dy < height else y + dy - height
            _copy(pages[i, y, : width - dx], out[i, target, dx:])
            _copy(pages[i, y, width - dx :], out[i, target, :dx])


@numba.njit(cache=True, nogil=True)
def _copy(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Copy bytes that follow one another."""
    for i in range(source.size):
        target[i] = source[i]


def copy_rolled_reference(pages: NDArray[np.uint8], shifts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return shifted pages the slow way."""
    return np.array([np.roll(page, shift, (0, 1)) for page, shift in zip(pages, shifts, strict=True)])
