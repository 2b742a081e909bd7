"""List the photons of .siff pages one by one, straight from a block of the file.

`decode_photons_reference` is the slow twin; what the other photon kernels must give follows from its photons, and the
tests compute it so.
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
    copy_run,
    lies_in_block,
    load_u16,
    load_u64,
    place,
    sum_run,
)

__all__ = ["SPARE_PHOTONS", "decode_photons", "decode_photons_reference"]

SPARE_PHOTONS = 2
"""Places that the lists of photons must have beyond the last photon."""


@numba.njit(cache=True, nogil=True)
def decode_photons(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    num_bins: int,
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    faults: NDArray[np.int64],
) -> None:
    """List the pixel and delay bin of every photon.

    Parameters
    ----------
    data, pages, shape, faults
        As for `count_photons`; plain pages have no photons.
    num_bins : int
        Number of delay bins, at most 65,536.
    pixels, delay_bins : ndarray of uint32, uint16, shape (photons of the block + SPARE_PHOTONS,)
        Filled from the start: pixel ``y * width + x`` after the shift, and delay bin.
    bounds : ndarray of int64, shape (n + 1,)
        Filled: photons of page i are ``bounds[i]:bounds[i + 1]``.
    """
    height, width = shape
    rows, columns = np.empty(height, np.int64), np.empty(width, np.int64)
    n = np.int64(0)
    bounds[0] = 0
    for i in range(len(pages)):
        page, fault = pages[i], faults[i]
        in_block = lies_in_block(data, page, shape, page[0] == COMPRESSED, page[0] != PLAIN)
        n_photons = 0 if page[0] == PLAIN else page[2] // (8 if page[0] == RAW else 2)
        if not in_block or n_photons > pixels.size - SPARE_PHOTONS - n:
            fault[OUTSIDE_BLOCK] = 1
            bounds[i + 1] = n
            continue
        place(height, page[4], width, rows)
        place(width, page[5], np.int64(1), columns)
        if page[0] == RAW:
            for at in range(page[1], page[1] + page[2] // 8 * 8, 8):
                photon = load_u64(data, at)
                y, x = np.int64(photon >> np.uint64(48)), np.int64(photon >> np.uint64(32) & np.uint64(0xFFFF))
                delay = np.int64(photon & np.uint64(0xFFFFFFFF))
                if y >= height or x >= width:
                    fault[OUTSIDE_PAGE] += 1
                elif delay >= num_bins:
                    fault[BEYOND_BINS] += 1
                else:
                    pixels[n] = rows[y] + columns[x]
                    delay_bins[n] = delay
                    n += 1
        elif page[0] == COMPRESSED:
            n = _decode_compressed(data, page, num_bins, rows, columns, pixels, delay_bins, n, fault)
        bounds[i + 1] = n


@numba.njit(cache=True, nogil=True)
def _decode_compressed(
    data: NDArray[np.uint8],
    page: NDArray[np.int64],
    num_bins: int,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    first: int,
    fault: NDArray[np.int64],
) -> int:
    """List the photons of one compressed page from place `first` on, and return where the next ones go.

    If counts and strip disagree none is listed. Two places are written for every pixel and the place moves on by its
    count, which spares a branch that nobody can predict; so `pixels` must have `SPARE_PHOTONS` places to spare.
    """
    width, n_photons = columns.size, page[2] // 2
    turn, total, n = width - page[5], np.int64(0), first
    for y in range(rows.size):
        source = page[3] + 2 * y * width
        here = sum_run(data, source, width)
        total += here
        if here == 0 or total > n_photons:
            continue
        n = _decode_run(data, source, turn, rows[y] + page[5], pixels, n)
        n = _decode_run(data, source + 2 * turn, width - turn, rows[y], pixels, n)
    if total != n_photons:
        fault[MISMATCH] += total - n_photons
        return first
    copy_run(data, page[1], delay_bins[first : first + n_photons])
    return _drop_beyond(num_bins, pixels, delay_bins, first, n, fault)


@numba.njit(cache=True, nogil=True)
def _decode_run(
    data: NDArray[np.uint8], source: int, n_pixels: int, pixel: int, pixels: NDArray[np.uint32], n: int
) -> int:
    """List the pixels of neighbours' photons, which land from `pixel` on; return the place behind the last."""
    n_fours = n_pixels // 4 * 4
    for x in range(0, n_fours, 4):
        four = load_u64(data, source + 2 * x)
        if four == 0:  # most pixels are empty
            continue
        for lane in range(4):
            n = _repeat(pixels, pixel + x + lane, n, np.int64(four & np.uint64(0xFFFF)))
            four >>= np.uint64(16)
    for x in range(n_fours, n_pixels):
        n = _repeat(pixels, pixel + x, n, np.int64(load_u16(data, source + 2 * x)))
    return n


@numba.njit(cache=True, nogil=True, inline="always")
def _repeat(pixels: NDArray[np.uint32], pixel: int, n: int, count: int) -> int:
    """Write a pixel `count` times from place `n` on, at least twice, and return the place behind the last."""
    pixels[np.uint64(n)] = pixel
    pixels[np.uint64(n + 1)] = pixel
    for k in range(2, count):
        pixels[np.uint64(n + k)] = pixel
    return n + count


@numba.njit(cache=True, nogil=True)
def _drop_beyond(
    num_bins: int, pixels: NDArray[np.uint32], delay_bins: NDArray[np.uint16], first: int, n: int, fault: NDArray
) -> int:
    """Take photons beyond the last delay bin out of a list."""
    largest = np.uint16(0)
    for delay_bin in delay_bins[first:n]:
        largest = max(largest, delay_bin)
    if largest < num_bins:
        return n
    kept = first
    for k in range(first, n):
        if delay_bins[k] < num_bins:
            pixels[kept], delay_bins[kept] = pixels[k], delay_bins[k]
            kept += 1
    fault[BEYOND_BINS] += n - kept
    return kept


def decode_photons_reference(
    data: NDArray[np.uint8], page: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pixel and delay bin of each photon of one sound page, the slow way; parameters as for `decode_photons`."""
    kind, strip_at, strip_bytes, counts_at, dy, dx = page.tolist()
    height, width = shape
    strip = data[strip_at : strip_at + strip_bytes].tobytes()
    if kind == RAW:
        photons = np.frombuffer(strip, "<u8")
        y, x = (photons >> np.uint64(48)).astype(np.int64), (photons >> np.uint64(32)).astype(np.int64) & 0xFFFF
        delay_bin = (photons & np.uint64(0xFFFFFFFF)).astype(np.int64)
    else:
        counts = np.frombuffer(data[counts_at : counts_at + 2 * height * width].tobytes(), "<u2")
        y, x = np.divmod(np.repeat(np.arange(height * width), counts), width)
        delay_bin = np.frombuffer(strip, "<u2").astype(np.int64)
    return (y + dy) % height * width + (x + dx) % width, delay_bin
