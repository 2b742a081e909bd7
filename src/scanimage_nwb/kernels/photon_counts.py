"""Count the photons of every pixel of .siff pages, straight from a block of the file."""

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_bytes import (
    COMPRESSED,
    MISMATCH,
    OUTSIDE_BLOCK,
    OUTSIDE_PAGE,
    OVERFLOW,
    RAW,
    copy_run,
    lies_in_block,
    load_u64,
    place,
    sum_run,
)

__all__ = ["count_photons"]

MOST = (1 << 16) - 1
"""Photons of a pixel that a count holds."""


@numba.njit(cache=True, nogil=True)
def count_photons(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    out: NDArray[np.uint16],
    faults: NDArray[np.int64],
) -> None:
    """Count the photons of every pixel; delay bins are not looked at.

    Parameters
    ----------
    data : ndarray of uint8
        The block.
    pages : ndarray of int64, shape (n, len(PAGE_COLUMNS))
        Its pages, of any kind.
    shape : tuple of int
        Height and width of the pages.
    out : ndarray of uint16, shape (n, height * width)
        Filled. A pixel of a raw page may have more photons than it holds; such a page has an overflow among its faults.
    faults : ndarray of int64, shape (n, len(FAULTS))
        Added to.
    """
    height, width = shape
    rows, columns = np.empty(height, np.int64), np.empty(width, np.int64)
    for i in range(len(pages)):
        page, target, fault = pages[i], out[i], faults[i]
        if not lies_in_block(data, page, shape, page[0] != RAW, page[0] == RAW):
            fault[OUTSIDE_BLOCK] = 1
            continue
        place(height, page[4], width, rows)
        if page[0] == RAW:
            target[:] = 0
            place(width, page[5], np.int64(1), columns)
            fault[OUTSIDE_PAGE] += _count_raw(data, page, rows, columns, target, fault)
            continue
        total, turn = np.int64(0), width - page[5]
        for line in range(height):
            source = page[3] + 2 * line * width
            total += sum_run(data, source, width)
            copy_run(data, source, target[rows[line] + page[5] : rows[line] + width])
            copy_run(data, source + 2 * turn, target[rows[line] : rows[line] + page[5]])
        if page[0] == COMPRESSED:
            fault[MISMATCH] += total - page[2] // 2


@numba.njit(cache=True, nogil=True)
def _count_raw(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    target: NDArray[np.uint16],
    fault: NDArray[np.int64],
) -> int:
    """Count the photons of a raw page; return how many lie outside."""
    n_outside, start = 0, page[1]
    height, width = np.uint64(rows.size), np.uint64(columns.size)
    for k in range(page[2] // 8):
        photon = load_u64(data, start + 8 * k)
        y, x = photon >> np.uint64(48), photon >> np.uint64(32) & np.uint64(0xFFFF)
        if y >= height or x >= width:
            n_outside += 1
            continue
        pixel = np.uint64(rows[y] + columns[x])
        found = target[pixel]
        if found == MOST:
            fault[OVERFLOW] += 1
        else:
            target[pixel] = found + 1
    return n_outside
