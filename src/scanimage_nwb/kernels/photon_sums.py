"""Count the photons of .siff pages by class of pixels, straight from a block of the file; delay bins are not read.

What a compressed page costs follows from the fewest of three things: the bands of rows that are alike (stripes and
boxes; their counts are added column by column), the runs of neighbouring pixels of one class (large regions that
somebody drew), or the pixels that hold photons at all.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_bytes import (
    COMPRESSED,
    MISMATCH,
    OUTSIDE_BLOCK,
    OUTSIDE_PAGE,
    RAW,
    find_filled,
    first_run,
    land,
    lies_in_block,
    load_u16,
    load_u64,
    n_segments,
    place,
    segment,
    sum_run,
)

__all__ = ["sum_classes", "sum_classes_reference"]

_RUN_COST = 3
"""What a run costs, measured in photons that are looked at one by one."""
_COLUMNS_A_PHOTON = 4
"""Columns of a band that cost as much as a photon."""
_FEW_CLASSES = 256
"""Photons of one class come in a row: of so many classes, four tables keep each from waiting for the one before."""


@numba.njit(cache=True, nogil=True)
def sum_classes(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    classes: NDArray[np.uint16],
    runs: NDArray[np.int64],
    bands: NDArray[np.int64],
    plane: NDArray[np.int64],
    out: NDArray[np.int64],
    faults: NDArray[np.int64],
) -> None:
    """Count the photons of every class of pixels.

    Parameters
    ----------
    data : ndarray of uint8
        The block.
    pages : ndarray of int64, shape (n, len(PAGE_COLUMNS))
        Its pages, of any kind.
    shape : tuple of int
        Height and width of the pages.
    classes : ndarray of uint16, shape (planes, groups, height * width)
        Class of each pixel, from 0, in each group of masks.
    runs : ndarray of int64, shape (planes, runs, 2)
        Of a single group, the pixel behind the last one of each run of pixels of one class, and that class; repeated
        at the end where planes have fewer. Without runs if there are too many.
    bands : ndarray of int64, shape (planes, bands)
        Of a single group, the row behind the last one of each band of rows that are alike; repeated and left out
        likewise.
    plane : ndarray of int64, shape (n,)
        First index of `classes` for each page.
    out : ndarray of int64, shape (n, groups, number of classes)
        Filled.
    faults : ndarray of int64, shape (n, len(FAULTS))
        Added to.
    """
    n_pixels = classes.shape[2]
    rows, columns = np.empty(shape[0], np.int64), np.empty(shape[1], np.int64)
    lanes = np.zeros((4 if out.shape[2] <= _FEW_CLASSES else 1, out.shape[2]), np.uint32)
    per_column = np.empty(shape[1], np.uint32)
    filled = np.empty(0, np.uint32)  # made when it is needed: large memory comes from the system, and goes back
    for i in range(len(pages)):
        page, own = pages[i], classes[plane[i]]
        out[i] = 0
        if not lies_in_block(data, page, shape, page[0] != RAW, page[0] == RAW):
            faults[i, OUTSIDE_BLOCK] = 1
            continue
        if page[0] == RAW:
            place(shape[0], page[4], shape[1], rows)
            place(shape[1], page[5], np.int64(1), columns)
            n_outside = 0
            for g in range(len(own)):
                n_outside = _sum_raw(data, page, rows, columns, own[g], lanes)
                _add_lanes(lanes, out[i, g])
            faults[i, OUTSIDE_PAGE] += n_outside
            continue
        cost = page[2] // 2 if page[0] == COMPRESSED else n_pixels // 16
        run_cost = _RUN_COST * runs.shape[1] if runs.shape[1] > 0 else cost + 1
        band_cost = bands.shape[1] * shape[1] // _COLUMNS_A_PHOTON if bands.shape[1] > 0 else cost + 1
        total = np.int64(0)
        if band_cost <= min(run_cost, cost):
            total = _sum_bands(data, page, shape, own[0], bands[plane[i]], per_column, out[i, 0])
        elif run_cost <= cost:
            total = _sum_runs(data, page, shape, runs[plane[i]], out[i, 0])
        else:
            if filled.size == 0:
                filled = np.empty(n_pixels, np.uint32)
            n = find_filled(data, page[3], n_pixels, filled)
            for g in range(len(own)):
                total = _sum_filled(data, page, shape, own[g], lanes, filled[:n])
                _add_lanes(lanes, out[i, g])
        if page[0] == COMPRESSED:
            faults[i, MISMATCH] += total - page[2] // 2


@numba.njit(cache=True, nogil=True)
def _add_lanes(lanes: NDArray[np.uint32], out: NDArray[np.int64]) -> None:
    """Add the tables to what is there, and empty them."""
    for lane in lanes:
        for k in range(out.size):
            out[k] += lane[k]
    lanes[:] = 0


@numba.njit(cache=True, nogil=True)
def _sum_raw(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    own: NDArray[np.uint16],
    lanes: NDArray[np.uint32],
) -> int:
    """Count the photons of a raw page; return how many lie outside."""
    n_outside, start = 0, page[1]
    height, width = np.uint64(rows.size), np.uint64(columns.size)
    flat, n_classes = lanes.reshape(-1), np.uint64(lanes.shape[1])
    lane_bits = np.uint64(lanes.shape[0] - 1)
    for k in range(page[2] // 8):
        photon = load_u64(data, start + 8 * k)
        y, x = photon >> np.uint64(48), photon >> np.uint64(32) & np.uint64(0xFFFF)
        if y >= height or x >= width:
            n_outside += 1
            continue
        flat[(np.uint64(k) & lane_bits) * n_classes + own[np.uint64(rows[y] + columns[x])]] += np.uint32(1)
    return n_outside


@numba.njit(cache=True, nogil=True)
def _sum_bands(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    shape: tuple[int, int],
    own: NDArray[np.uint16],
    bands: NDArray[np.int64],
    per_column: NDArray[np.uint32],
    out: NDArray[np.int64],
) -> np.int64:
    """Add the counts of a page band by band, each by column; return their sum."""
    height, width = shape
    total, first, band = np.int64(0), 0, 0
    while first < height:
        per_column[:] = 0
        for row in range(first, bands[band]):
            source = row - page[4] if row >= page[4] else row - page[4] + height
            _add_row(data, page[3] + 2 * source * width, per_column)
        for x in range(width):
            column = x + page[5] if x + page[5] < width else x + page[5] - width
            out[own[first * width + column]] += per_column[x]
            total += per_column[x]
        first, band = bands[band], band + 1
    return total


@numba.njit(cache=True, nogil=True)
def _add_row(data: NDArray[np.uint8], start: int, per_column: NDArray[np.uint32]) -> None:
    """Add the counts of one row of a page."""
    for x in range(per_column.size):
        per_column[x] += np.uint32(load_u16(data, start + 2 * x))


@numba.njit(cache=True, nogil=True)
def _sum_runs(
    data: NDArray[np.uint8], page: NDArray[np.int64], shape: tuple[int, int], runs: NDArray[np.int64], out: NDArray
) -> np.int64:
    """Add the counts of a page run by run; return their sum."""
    total = np.int64(0)
    for rank in range(n_segments(page, shape)):
        source, target, length = segment(rank, page, shape)
        end, run = target + length, first_run(runs, target)
        while target < end:
            stop = min(runs[run, 0], end)
            found = sum_run(data, page[3] + 2 * source, stop - target)
            out[runs[run, 1]] += found
            total += found
            source += stop - target
            target, run = stop, run + 1
    return total


@numba.njit(cache=True, nogil=True)
def _sum_filled(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    shape: tuple[int, int],
    own: NDArray[np.uint16],
    lanes: NDArray[np.uint32],
    filled: NDArray[np.uint32],
) -> np.int64:
    """Add the counts of a page pixel by pixel, of those that have any; return their sum."""
    counts_at, total = page[3], np.int64(0)
    turned = page[4] != 0 or page[5] != 0
    flat, n_classes = lanes.reshape(-1), np.uint64(lanes.shape[1])
    lane_bits = np.uint64(lanes.shape[0] - 1)
    for k in range(filled.size):
        source = filled[k]
        count = load_u16(data, counts_at + 2 * np.int64(source))
        total += count
        pixel = land(source, page, shape) if turned else np.uint64(source)
        flat[(np.uint64(k) & lane_bits) * n_classes + own[pixel]] += np.uint32(count)
    return total


def sum_classes_reference(pixels: NDArray[np.int64], classes: NDArray[np.uint16], n_classes: int) -> NDArray[np.int64]:
    """Count the photons of one page by class the slow way: ``classes[group, pixel]`` to shape (groups, n_classes)."""
    return np.array([np.bincount(own[pixels], minlength=n_classes) for own in classes])
