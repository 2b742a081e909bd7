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
    segment,
    sum_run,
)
from scanimage_nwb.kernels.positioned_reads import read_spans

__all__ = ["class_histogram", "class_histogram_reference", "read_class_histogram"]

_N_LANES = 4
"""Tables, as photons of a decay's peak come in a row: several keep each from waiting for the one before."""
_RUN_COST = 2
"""What a run costs, measured in photons that are looked at one by one; to look for these costs a sixteenth a pixel."""
_FEW_PHOTONS = 1 << 13
"""A page of fewer photons is done sooner with one table."""
_PHOTONS_AT_ONCE = 1 << 10
"""Few enough that what is known of each stays near the processor."""


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
    few = np.empty((2, _PHOTONS_AT_ONCE), np.uint32)
    # The last column takes what lies beyond the last bin, so that no photon needs a branch.
    lanes = np.zeros((_N_LANES, out.shape[1] + 1, num_bins + 1), np.uint32)
    filled = np.empty(0, np.uint32)  # made when it is needed: large memory comes from the system, and goes back
    if len(pages) == 0:
        out[:] = 0
    for i in range(len(pages)):
        page, own, fault = pages[i], plane[i], faults[i]
        n_photons = page[2] // (8 if page[0] == RAW else 2)
        tables = lanes[: 1 if n_photons < _FEW_PHOTONS else _N_LANES]
        if not lies_in_block(data, page, shape, page[0] == COMPRESSED and not whole, page[0] != PLAIN):
            fault[OUTSIDE_BLOCK] = 1
        elif page[0] == RAW:
            n_outside = _add_raw(data, page, shape, classes[own], tables, few)
            fault[OUTSIDE_PAGE] += n_outside
            fault[BEYOND_BINS] -= n_outside
        elif page[0] == COMPRESSED and whole:
            _add_stretch(data, page[1], n_photons, tables[:, runs[own, 0, 1]])
        elif page[0] == COMPRESSED and 0 < _RUN_COST * runs.shape[1] <= n_photons + classes.shape[1] // 16:
            fault[MISMATCH] += _add_runs(data, page, shape, runs[own], tables)
        elif page[0] == COMPRESSED:
            if filled.size == 0:
                filled = np.empty(classes.shape[1], np.uint32)
            fault[MISMATCH] += _add_filled(data, page, shape, classes[own], tables, filled)
        fault[BEYOND_BINS] += _take_beyond(tables)
        if i + 1 == len(pages) or len(out) > 1:
            _add_lanes(tables if len(out) > 1 else lanes, out[min(i, len(out) - 1)])


@numba.njit(cache=True, nogil=True)
def read_class_histogram(
    descriptor: int,
    fills: NDArray[np.int64],
    reads: NDArray[np.int64],
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    num_bins: int,
    classes: NDArray[np.uint16],
    runs: NDArray[np.int64],
    plane: NDArray[np.int64],
    out: NDArray[np.int64],
    faults: NDArray[np.int64],
) -> int:
    """Fill a buffer from a file, time and again, and count the photons of each page in it.

    Parameters
    ----------
    descriptor, reads, data
        As for `positioned_reads.read_spans`.
    fills : ndarray of int64, shape (n + 1, 2)
        Ranks of the page and the read with which each fill begins, and of those behind the last.
    pages, shape, num_bins, classes, runs, plane, out, faults
        As for `class_histogram`; `out` for each page.

    Returns
    -------
    int
        Rank of the first fill that could not be read; the number of fills if all could. Those behind it are not done.
    """
    for i in range(len(fills) - 1):
        begin, end, own = fills[i, 0], fills[i + 1, 0], reads[fills[i, 1] : fills[i + 1, 1]]
        if read_spans(descriptor, own, data) < len(own):
            return i
        found, fault = out[begin:end], faults[begin:end]
        class_histogram(data, pages[begin:end], shape, num_bins, classes, runs, plane[begin:end], found, fault)
    return len(fills) - 1


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
    shape: tuple[int, int],
    own: NDArray[np.uint16],
    lanes: NDArray[np.uint32],
    few: NDArray[np.uint32],
) -> np.uint32:
    """Count the photons of a raw page, those outside in the last column; return how many of these there are."""
    n_outside, n_photons = np.uint32(0), page[2] // 8
    flat, n_classes, n_columns = lanes.reshape(-1), np.uint64(lanes.shape[1]), np.uint64(lanes.shape[2])
    lane_bits = np.uint64(len(lanes) - 1)
    for first in range(0, n_photons, few.shape[1]):
        n = min(few.shape[1], n_photons - first)
        n_outside += _split(data, page, first, n, shape, lanes.shape[2] - 1, few)
        for k in range(n):
            row = (np.uint64(k) & lane_bits) * n_classes + np.uint64(own[np.uint64(few[0, k])])
            flat[row * n_columns + np.uint64(few[1, k])] += np.uint32(1)
    return n_outside


@numba.njit(cache=True, nogil=True)
def _split(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    first: int,
    n: int,
    shape: tuple[int, int],
    num_bins: int,
    few: NDArray[np.uint32],
) -> np.uint32:
    """Write where raw photons land and their delay bins, at most `num_bins`; for those outside, 0 and `num_bins`.

    No branch and no lookup, so that the compiler makes it do many photons at once. Returns how many are outside.
    """
    n_outside, low, last = np.uint32(0), np.uint64(0xFFFFFFFF), np.uint32(num_bins)
    height, width, dy, dx = np.uint32(shape[0]), np.uint32(shape[1]), np.uint32(page[4]), np.uint32(page[5])
    start, pixel, delay_bin = page[1] + 8 * first, few[0], few[1]
    for k in range(n):
        photon = load_u64(data, start + 8 * k)
        y_x = np.uint32(photon >> np.uint64(32))
        y, x = y_x >> np.uint32(16), y_x & np.uint32(0xFFFF)
        outside = (y >= height) | (x >= width)
        n_outside += np.uint32(outside)
        to_y, to_x = np.uint32(y + dy), np.uint32(x + dx)
        to_y, to_x = min(to_y, np.uint32(to_y - height)), min(to_x, np.uint32(to_x - width))  # what is below 0 is large
        pixel[k] = np.uint32(0) if outside else np.uint32(to_y * width + to_x)
        delay_bin[k] = last if outside else min(np.uint32(photon & low), last)
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
    second, third, fourth = (1, 2, 3) if len(lanes) == _N_LANES else (0, 0, 0)
    for k in range(n // 4):
        four = load_u64(data, start + 8 * k)
        lanes[0, min(four & low, last)] += np.uint32(1)
        lanes[second, min(four >> np.uint64(16) & low, last)] += np.uint32(1)
        lanes[third, min(four >> np.uint64(32) & low, last)] += np.uint32(1)
        lanes[fourth, min(four >> np.uint64(48), last)] += np.uint32(1)
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
    lane_bits = np.uint64(len(lanes) - 1)
    flat, n_classes, n_columns = lanes.reshape(-1), np.uint64(lanes.shape[1]), np.uint64(lanes.shape[2])
    strip_at, counts_at = page[1], page[3]
    for k in range(find_filled(data, counts_at, own.size, filled)):
        source = filled[np.uint64(k)]
        n = np.int64(load_u16(data, counts_at + 2 * np.int64(source)))
        found = np.uint64(own[land(source, page, shape)])
        for photon in range(done, min(done + n, n_photons)):
            delay = np.uint64(load_u16(data, strip_at + 2 * photon))
            row = (np.uint64(photon) & lane_bits) * n_classes + found
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
