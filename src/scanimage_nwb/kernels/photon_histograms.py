"""Count the photons of .siff pages by delay and class of pixels, straight from a block of the file.

The photons of a compressed page lie in the order of pixels, so that those of neighbouring pixels of one class are one
stretch of the strip: the counts are only summed to find where it ends.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_bytes import (
    BEYOND_BINS,
    COMPRESSED,
    MISMATCH,
    OUTSIDE_BLOCK,
    OUTSIDE_PAGE,
    PLAIN,
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

__all__ = ["class_histogram", "class_histogram_reference"]

_N_LANES = 4
_RUN_COST = 2
"""What a run costs, measured in photons that are looked at one by one; to look for these costs a sixteenth a pixel."""
_LANE_BITS = np.uint64(_N_LANES - 1)
"""Photons of a decay's peak come in a row: several tables keep each from waiting for the one before."""
_FEW_PHOTONS = 1 << 13
"""A raw page of fewer photons is done sooner with one table."""


@numba.njit(cache=True, nogil=True)
def class_histogram(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    num_bins: int,
    classes: NDArray[np.uint16],
    runs: NDArray[np.int64],
    plane: NDArray[np.int64],
    out: NDArray[np.int64],
    faults: NDArray[np.int64],
) -> None:
    """Count the photons of every class of pixels by delay bin.

    Parameters
    ----------
    data, pages, shape, plane, faults
        As for `photon_sums.sum_classes`; plain pages have no photons.
    num_bins : int
        Number of delay bins, at most 65,536.
    classes : ndarray of uint16, shape (planes, height * width)
        Class of each pixel; class 0 is not wanted.
    runs : ndarray of int64, shape (planes, runs, 2)
        As for `photon_sums.sum_classes`. If a single run makes all of each plane one class, the counts of compressed
        pages need not be in the block, and are not looked at.
    out : ndarray of int64, shape (n or 1, number of classes - 1, num_bins)
        Filled: for each page, or for all together.
    """
    whole = runs.shape[1] == 1
    rows, columns = np.empty(shape[0], np.int64), np.empty(shape[1], np.int64)
    # The last column takes what lies beyond the last bin, so that no photon needs a branch.
    lanes = np.zeros((_N_LANES, out.shape[1] + 1, num_bins + 1), np.uint32)
    filled = np.empty(0, np.uint32)  # made when it is needed: large memory comes from the system, and goes back
    out[:] = 0
    for i in range(len(pages)):
        page, own, fault, n_lanes = pages[i], plane[i], faults[i], _N_LANES
        if not lies_in_block(data, page, shape, page[0] == COMPRESSED and not whole, page[0] != PLAIN):
            fault[OUTSIDE_BLOCK] = 1
        elif page[0] == RAW:
            place(shape[0], page[4], shape[1], rows)
            place(shape[1], page[5], np.int64(1), columns)
            n_lanes = 1 if page[2] // 8 < _FEW_PHOTONS else _N_LANES
            fault[OUTSIDE_PAGE] += _add_raw(data, page, rows, columns, classes[own], lanes[:n_lanes])
        elif page[0] == COMPRESSED and whole:
            _add_stretch(data, page[1], page[2] // 2, lanes[:, runs[own, 0, 1]])
        elif page[0] == COMPRESSED and 0 < _RUN_COST * runs.shape[1] <= page[2] // 2 + classes.shape[1] // 16:
            fault[MISMATCH] += _add_runs(data, page, shape, runs[own], lanes)
        elif page[0] == COMPRESSED:
            if filled.size == 0:
                filled = np.empty(classes.shape[1], np.uint32)
            fault[MISMATCH] += _add_filled(data, page, shape, classes[own], lanes, filled)
        fault[BEYOND_BINS] += _take_beyond(lanes[:n_lanes])
        if i + 1 == len(pages) or len(out) > 1:
            _add_lanes(lanes[:n_lanes] if len(out) > 1 else lanes, out[min(i, len(out) - 1)])


@numba.njit(cache=True, nogil=True)
def _take_beyond(lanes: NDArray[np.uint32]) -> np.int64:
    """Empty the last column, and return what was in it."""
    n, last = np.int64(0), lanes.shape[2] - 1
    for lane in range(len(lanes)):
        for found in range(lanes.shape[1]):
            n += lanes[lane, found, last]
            lanes[lane, found, last] = 0
    return n


@numba.njit(cache=True, nogil=True)
def _add_lanes(lanes: NDArray[np.uint32], out: NDArray[np.int64]) -> None:
    """Add the tables up, but for class 0, and empty them."""
    for found in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[found, k] = lanes[0, found + 1, k]
        for lane in range(1, len(lanes)):
            for k in range(out.shape[1]):
                out[found, k] += np.int64(lanes[lane, found + 1, k])
    lanes[:] = 0


@numba.njit(cache=True, nogil=True)
def _add_raw(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    own: NDArray[np.uint16],
    lanes: NDArray[np.uint32],
) -> int:
    """Count the photons of a raw page; return how many lie outside."""
    n_outside, start, last = 0, page[1], np.uint64(lanes.shape[2] - 1)
    height, width = np.uint64(rows.size), np.uint64(columns.size)
    flat, n_classes, n_columns = lanes.reshape(-1), np.uint64(lanes.shape[1]), np.uint64(lanes.shape[2])
    alone = len(lanes) == 1
    for k in range(page[2] // 8):
        photon = load_u64(data, start + 8 * k)
        y, x = photon >> np.uint64(48), photon >> np.uint64(32) & np.uint64(0xFFFF)
        if y >= height or x >= width:
            n_outside += 1
            continue
        row = np.uint64(own[np.uint64(rows[y] + columns[x])])
        if not alone:
            row += (np.uint64(k) & _LANE_BITS) * n_classes
        flat[row * n_columns + min(photon & np.uint64(0xFFFFFFFF), last)] += np.uint32(1)
    return n_outside


@numba.njit(cache=True, nogil=True)
def _add_runs(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    shape: tuple[int, int],
    runs: NDArray[np.int64],
    lanes: NDArray[np.uint32],
) -> np.int64:
    """Count the photons of a compressed page run by run; return how many more its counts have than its strip."""
    done, n_photons = np.int64(0), page[2] // 2
    for rank in range(n_segments(page, shape)):
        source, target, length = segment(rank, page, shape)
        end, run = target + length, first_run(runs, target)
        while target < end:
            stop = min(runs[run, 0], end)
            n = sum_run(data, page[3] + 2 * source, stop - target)
            here = min(n, max(0, n_photons - done))
            if runs[run, 1] == 0:
                lanes[0, 0, lanes.shape[2] - 1] += _count_beyond(data, page[1] + 2 * done, here, lanes.shape[2] - 1)
            else:
                _add_stretch(data, page[1] + 2 * done, here, lanes[:, runs[run, 1]])
            done += n
            source += stop - target
            target, run = stop, run + 1
    return done - n_photons


@numba.njit(cache=True, nogil=True)
def _add_stretch(data: NDArray[np.uint8], start: int, n: int, lanes: NDArray[np.uint32]) -> None:
    """Count delay bins that follow one another."""
    last, low = np.uint64(lanes.shape[1] - 1), np.uint64(0xFFFF)
    for k in range(n // 4):
        four = load_u64(data, start + 8 * k)
        lanes[0, min(four & low, last)] += np.uint32(1)
        lanes[1, min(four >> np.uint64(16) & low, last)] += np.uint32(1)
        lanes[2, min(four >> np.uint64(32) & low, last)] += np.uint32(1)
        lanes[3, min(four >> np.uint64(48), last)] += np.uint32(1)
    for k in range(n // 4 * 4, n):
        lanes[0, min(np.uint64(load_u16(data, start + 2 * k)), last)] += np.uint32(1)


@numba.njit(cache=True, nogil=True)
def _count_beyond(data: NDArray[np.uint8], start: int, n: int, num_bins: int) -> np.uint32:
    """Return how many of some delay bins that follow one another are too large."""
    found = np.uint32(0)
    for k in range(n):
        found += np.uint32(load_u16(data, start + 2 * k) >= num_bins)
    return found


@numba.njit(cache=True, nogil=True)
def _add_filled(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    shape: tuple[int, int],
    own: NDArray[np.uint16],
    lanes: NDArray[np.uint32],
    filled: NDArray[np.uint32],
) -> np.int64:
    """Count the photons of a compressed page pixel by pixel; return how many more its counts have than its strip."""
    done, n_photons, last = np.int64(0), page[2] // 2, np.uint64(lanes.shape[2] - 1)
    flat, n_classes, n_columns = lanes.reshape(-1), np.uint64(lanes.shape[1]), np.uint64(lanes.shape[2])
    strip_at, counts_at = page[1], page[3]
    for k in range(find_filled(data, counts_at, own.size, filled)):
        source = filled[np.uint64(k)]
        n = np.int64(load_u16(data, counts_at + 2 * np.int64(source)))
        found = np.uint64(own[land(source, page, shape)])
        for photon in range(done, min(done + n, n_photons)):
            delay = np.uint64(load_u16(data, strip_at + 2 * photon))
            row = (np.uint64(photon) & _LANE_BITS) * n_classes + found
            flat[row * n_columns + min(delay, last)] += np.uint32(1)
        done += n
    return done - n_photons


def class_histogram_reference(
    pixels: NDArray[np.int64], delay_bins: NDArray[np.int64], classes: NDArray[np.uint16], out_shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count the photons of one page by class (from 1) and delay bin the slow way, shape (classes - 1, num_bins)."""
    out = np.zeros(out_shape, np.int64)
    for pixel, delay_bin in zip(pixels, delay_bins, strict=True):
        if classes[pixel] > 0:
            out[classes[pixel] - 1, delay_bin] += 1
    return out
