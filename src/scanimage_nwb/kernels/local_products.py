"""Running sums of frames, of which mean and correlation images are made; `add_products_reference` is the slow twin."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["NEIGHBOURS", "add_products", "add_products_reference"]

NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Half of the eight neighbours, as (row, column); the other half are the same pairs."""


@numba.njit(cache=True, nogil=True)
def add_products(
    frames: NDArray, sums: NDArray[np.float64], squares: NDArray[np.float64], products: NDArray[np.float64]
) -> None:
    """Add frames, their squares, and products of neighbouring pixels.

    Parameters
    ----------
    frames : ndarray, shape (n, rows, columns)
        Frames of one plane.
    sums, squares : ndarray of float64, shape (rows, columns)
        Added to.
    products : ndarray of float64, shape (4, rows, columns)
        Added to: pixel times its neighbour of each of `NEIGHBOURS`; where there is none, nothing.
    """
    n_rows, n_columns = sums.shape
    for frame in frames:
        for row in range(n_rows):
            here = frame[row]
            for column in range(n_columns):
                value = np.float64(here[column])
                sums[row, column] += value
                squares[row, column] += value * value
            for column in range(n_columns - 1):
                products[0, row, column] += np.float64(here[column]) * np.float64(here[column + 1])
            if row + 1 == n_rows:
                continue
            below = frame[row + 1]
            for column in range(1, n_columns):
                products[1, row, column] += np.float64(here[column]) * np.float64(below[column - 1])
            for column in range(n_columns):
                products[2, row, column] += np.float64(here[column]) * np.float64(below[column])
            for column in range(n_columns - 1):
                products[3, row, column] += np.float64(here[column]) * np.float64(below[column + 1])


def add_products_reference(frames: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return the three sums the slow way."""
    found = frames.astype(np.float64)
    products = np.zeros((len(NEIGHBOURS), *frames.shape[1:]))
    for (dy, dx), product in zip(NEIGHBOURS, products, strict=True):
        for row, column in np.ndindex(*frames.shape[1:]):
            if row + dy < frames.shape[1] and 0 <= column + dx < frames.shape[2]:
                product[row, column] = (found[:, row, column] * found[:, row + dy, column + dx]).sum()
    return found.sum(axis=0), (found**2).sum(axis=0), products
