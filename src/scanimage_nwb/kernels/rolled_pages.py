"""Pages with their rows and columns moved around, as `numpy.roll` moves them, with hardly more work than to read them.

A page that is read from its file in two parts, the second before the first, is turned as a whole: what leaves a row at
its end enters the next one. Only these few columns have to be moved afterwards, by one row.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.positioned_reads import read_span

__all__ = ["mend_columns", "mend_columns_reference", "read_rolled", "turns"]


def turns(shifts: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return by how much pages are turned as a whole so that `mend_columns` makes them shifted ones.

    Parameters
    ----------
    shifts : ndarray of int64, shape (n, 2)
        Rows and columns that each is shifted by, not negative and smaller than the page.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of int64, shape (n,)
        Not negative and smaller than the page.
    """
    rows, columns = shape
    dy, dx = shifts.T
    return (dy * columns + np.where(2 * dx <= columns, dx, dx - columns)) % (rows * columns)


@numba.njit(cache=True, nogil=True)
def read_rolled(
    descriptor: int,
    offsets: NDArray[np.int64],
    turn: NDArray[np.int64],
    shifts: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> int:
    """Read pages from a file, shifted.

    Parameters
    ----------
    descriptor : int
        Of the open file.
    offsets : ndarray of int64, shape (n,)
        Where each page begins.
    turn : ndarray of int64, shape (n,)
        What `turns` says of them.
    shifts : ndarray of int64, shape (n, 2)
        Rows and bytes that each is shifted by, not negative and smaller than the page.
    out : ndarray of uint8, shape (n, rows, bytes of a row), C-contiguous
        Filled.

    Returns
    -------
    int
        Rank of the first page that did not come whole (the file is too short, or a signal came between); the number
        of pages if all did. Those behind it are not read.
    """
    size = out.shape[1] * out.shape[2]
    for i in range(len(offsets)):
        page, place = out[i].reshape(-1), turn[i]
        whole = read_span(descriptor, page, place, offsets[i], size - place)
        if not (whole and read_span(descriptor, page, 0, offsets[i] + size - place, place)):
            return i
        if shifts[i, 1] > 0:
            mend_columns(out[i : i + 1], shifts[i : i + 1])
    return len(offsets)


@numba.njit(cache=True, nogil=True)
def mend_columns(pages: NDArray[np.uint8], shifts: NDArray[np.int64]) -> None:
    """Move the columns that entered the row beside their own.

    Parameters
    ----------
    pages : ndarray of uint8, shape (n, rows, bytes of a row)
        Pages as bytes, whatever the type of their pixels, turned by `turns`. Changed to shifted ones.
    shifts : ndarray of int64, shape (n, 2)
        Rows and bytes that each is shifted by, not negative and smaller than the page.
    """
    n, rows, columns = pages.shape
    kept = np.empty(columns, np.uint8)
    for i in range(n):
        page, dx = pages[i], shifts[i, 1]
        if 2 * dx <= columns:  # entered at the start of the row below
            kept[:dx] = page[0, :dx]
            for y in range(rows - 1):
                for x in range(dx):
                    page[y, x] = page[y + 1, x]
            page[rows - 1, :dx] = kept[:dx]
        else:  # entered at the end of the row above
            kept[dx:] = page[rows - 1, dx:]
            for y in range(rows - 1, 0, -1):
                for x in range(dx, columns):
                    page[y, x] = page[y - 1, x]
            page[0, dx:] = kept[dx:]


def mend_columns_reference(pages: NDArray[np.uint8], shifts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return shifted pages of turned ones the slow way: turn them back, and roll them."""
    own = turns(shifts, (pages.shape[1], pages.shape[2]))
    back = [np.roll(page, -turn) for page, turn in zip(pages, own, strict=True)]
    return np.array([np.roll(page, shift, (0, 1)) for page, shift in zip(back, shifts, strict=True)])
