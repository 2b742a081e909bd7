"""Decode the photons of .siff pages, straight from a block of the file.

A block is bytes of the file and one row for each page in it (see `PAGE_COLUMNS`), so that one call does many pages.
Shifts follow `np.roll`: a photon at (y, x) lands at ((y + dy) mod height, (x + dx) mod width). Nothing is written
out of bounds: what lies outside is dropped and counted in `faults`. `decode_photons_reference` is the slow twin of
the decoder; what the others must give follows from its photons, and the tests compute it so.
"""

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = [
    "COMPRESSED",
    "FAULTS",
    "PAGE_COLUMNS",
    "PLAIN",
    "RAW",
    "SPARE_PHOTONS",
    "count_photons",
    "decode_photons",
    "decode_photons_reference",
    "field_histogram",
    "sum_classes",
]

RAW: Final = 0
"""One uint64 per photon: ``y << 48 | x << 32 | delay_bin``."""
COMPRESSED: Final = 1
"""One uint16 delay bin per photon, by pixel; the uint16 counts of all pixels lie elsewhere."""
PLAIN: Final = 2
"""uint16 counts of all pixels, and no delays."""

PAGE_COLUMNS: Final = ("kind", "strip_at", "strip_bytes", "counts_at", "dy", "dx")
"""Columns of a block's page rows: kind; where strip and counts begin in the block (-1 if not there); shift >= 0."""
FAULTS: Final = ("outside_page", "beyond_bins", "count_mismatch", "overflow", "outside_block")
"""Columns of the faults of a page: photons with x or y outside; with a delay bin too large; photons that the counts
have more than the strip; photons that did not fit the output's type; 1 if the page does not lie in the block."""

_OUTSIDE_PAGE, _BEYOND_BINS, _MISMATCH, _OVERFLOW, _OUTSIDE_BLOCK = range(len(FAULTS))
SPARE_PHOTONS: Final = 2
"""Places that the lists of photons must have beyond the last photon."""
_N_LANES = 4
"""Photons of one pixel or decay peak come in a row: several histograms keep each from waiting for the one before."""


def _loader(bits: int) -> Any:
    """Return an intrinsic that reads an unsigned little-endian integer at any byte offset of an array."""

    @intrinsic
    def load(_context: Any, data: Any, at: Any) -> Any:
        signature = types.Integer.from_bitwidth(bits, signed=False)(data, types.int64)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
            place = builder.bitcast(builder.gep(start, [args[1]]), ir.IntType(bits).as_pointer())
            return builder.load(place, align=1)

        return signature, codegen

    return load


_load_u16 = _loader(16)
_load_u64 = _loader(64)


@numba.njit(cache=True, nogil=True)
def _lies_in_block(
    data: NDArray[np.uint8], page: NDArray[np.int64], shape: tuple[int, int], counts: bool, strip: bool
) -> bool:
    """Tell whether the counts or the strip of a page, as needed, lie in the block, and its shift on the page."""
    size = data.size
    if not (0 <= page[4] < shape[0] and 0 <= page[5] < shape[1]):
        return False
    if strip and not (0 <= page[1] <= size and 0 <= page[2] <= size - page[1]):
        return False
    return not counts or (page[3] >= 0 and 2 * shape[0] * shape[1] <= size - page[3])


@numba.njit(cache=True, nogil=True)
def _place(size: int, shift: int, stride: int, places: NDArray[np.int64]) -> None:
    """Write where each row or column lands."""
    for i in range(size):
        places[i] = (i + shift) % size * stride


@numba.njit(cache=True, nogil=True)
def count_photons(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    most: int,
    out: NDArray,
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
    most : int
        The largest number that `out` holds.
    out : ndarray of uint16 or uint32, shape (n, height * width)
        Filled.
    faults : ndarray of int64, shape (n, len(FAULTS))
        Added to.
    """
    height, width = shape
    rows, columns = np.empty(height, np.int64), np.empty(width, np.int64)
    for i in range(len(pages)):
        page, target, fault = pages[i], out[i], faults[i]
        if not _lies_in_block(data, page, shape, page[0] != RAW, page[0] == RAW):
            fault[_OUTSIDE_BLOCK] = 1
            continue
        _place(height, page[4], width, rows)
        if page[0] == RAW:
            target[:] = 0
            _place(width, page[5], 1, columns)
            for at in range(page[1], page[1] + page[2] // 8 * 8, 8):
                photon = _load_u64(data, at)
                y, x = np.int64(photon >> np.uint64(48)), np.int64(photon >> np.uint64(32) & np.uint64(0xFFFF))
                if y >= height or x >= width:
                    fault[_OUTSIDE_PAGE] += 1
                    continue
                pixel = rows[y] + columns[x]
                found = target[pixel]
                if found == most:
                    fault[_OVERFLOW] += 1
                else:
                    target[pixel] = found + 1
            continue
        total, turn = np.int64(0), width - page[5]
        for line in range(height):
            source = page[3] + 2 * line * width
            total += _sum_run(data, source, width)
            _copy_run(data, source, target[rows[line] + page[5] : rows[line] + width])
            _copy_run(data, source + 2 * turn, target[rows[line] : rows[line] + page[5]])
        if page[0] == COMPRESSED:
            fault[_MISMATCH] += total - page[2] // 2


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
        in_block = _lies_in_block(data, page, shape, page[0] == COMPRESSED, page[0] != PLAIN)
        n_photons = 0 if page[0] == PLAIN else page[2] // (8 if page[0] == RAW else 2)
        if not in_block or n_photons > pixels.size - SPARE_PHOTONS - n:
            fault[_OUTSIDE_BLOCK] = 1
            bounds[i + 1] = n
            continue
        _place(height, page[4], width, rows)
        _place(width, page[5], 1, columns)
        if page[0] == RAW:
            for at in range(page[1], page[1] + page[2] // 8 * 8, 8):
                photon = _load_u64(data, at)
                y, x = np.int64(photon >> np.uint64(48)), np.int64(photon >> np.uint64(32) & np.uint64(0xFFFF))
                delay = np.int64(photon & np.uint64(0xFFFFFFFF))
                if y >= height or x >= width:
                    fault[_OUTSIDE_PAGE] += 1
                elif delay >= num_bins:
                    fault[_BEYOND_BINS] += 1
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
        here = _sum_run(data, source, width)
        total += here
        if here == 0 or total > n_photons:
            continue
        n = _decode_run(data, source, turn, rows[y] + page[5], pixels, n)
        n = _decode_run(data, source + 2 * turn, width - turn, rows[y], pixels, n)
    if total != n_photons:
        fault[_MISMATCH] += total - n_photons
        return first
    _copy_run(data, page[1], delay_bins[first : first + n_photons])
    return _drop_beyond(num_bins, pixels, delay_bins, first, n, fault)


@numba.njit(cache=True, nogil=True)
def _sum_run(data: NDArray[np.uint8], source: int, n_pixels: int) -> np.int64:
    """Return the sum of the counts of neighbouring pixels, fewer than 2^17."""
    low, fours = np.uint64(0x0000FFFF0000FFFF), n_pixels // 4
    total, pairs = np.int64(0), np.uint64(0)
    for k in range(fours):  # each half of `pairs` holds the sum of half of the pixels
        four = _load_u64(data, source + 8 * k)
        pairs += (four & low) + (four >> np.uint64(16) & low)
    total += np.int64(pairs & np.uint64(0xFFFFFFFF)) + np.int64(pairs >> np.uint64(32))
    for x in range(4 * fours, n_pixels):
        total += _load_u16(data, source + 2 * x)
    return total


@numba.njit(cache=True, nogil=True)
def _copy_run(data: NDArray[np.uint8], source: int, target: NDArray) -> None:
    """Copy the counts of neighbouring pixels."""
    for x in range(target.size):
        target[x] = _load_u16(data, source + 2 * x)


@numba.njit(cache=True, nogil=True)
def _decode_run(
    data: NDArray[np.uint8], source: int, n_pixels: int, pixel: int, pixels: NDArray[np.uint32], n: int
) -> int:
    """List the pixels of neighbours' photons, which land from `pixel` on; return the place behind the last."""
    n_fours = n_pixels // 4 * 4
    for x in range(0, n_fours, 4):
        four = _load_u64(data, source + 2 * x)
        if four == 0:  # most pixels are empty
            continue
        for lane in range(4):
            n = _repeat(pixels, pixel + x + lane, n, np.int64(four & np.uint64(0xFFFF)))
            four >>= np.uint64(16)
    for x in range(n_fours, n_pixels):
        n = _repeat(pixels, pixel + x, n, np.int64(_load_u16(data, source + 2 * x)))
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
    fault[_BEYOND_BINS] += n - kept
    return kept


@numba.njit(cache=True, nogil=True)
def field_histogram(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    num_bins: int,
    out: NDArray[np.int64],
    faults: NDArray[np.int64],
) -> None:
    """Count the photons of every delay bin; the counts of compressed pages need not be in the block.

    Parameters
    ----------
    data, pages, shape, num_bins, faults
        As for `decode_photons`.
    out : ndarray of int64, shape (n, num_bins)
        Filled.
    """
    height, width = shape
    # All values of 16 bits have a place, so that the loop need not ask; what lies beyond is counted at the end.
    lanes = np.zeros((_N_LANES, 1 << 16), np.uint32)
    for i in range(len(pages)):
        page, fault = pages[i], faults[i]
        if not _lies_in_block(data, page, shape, False, page[0] != PLAIN):
            fault[_OUTSIDE_BLOCK] = 1
            out[i] = 0
            continue
        largest = np.int64(num_bins - 1)
        if page[0] == RAW:
            lane = 0
            for at in range(page[1], page[1] + page[2] // 8 * 8, 8):
                photon = _load_u64(data, at)
                y, x = np.int64(photon >> np.uint64(48)), np.int64(photon >> np.uint64(32) & np.uint64(0xFFFF))
                delay = np.int64(photon & np.uint64(0xFFFFFFFF))
                if y >= height or x >= width:
                    fault[_OUTSIDE_PAGE] += 1
                elif delay >= num_bins:
                    fault[_BEYOND_BINS] += 1
                else:
                    lanes[lane, delay] += np.uint32(1)
                    lane = (lane + 1) & (_N_LANES - 1)
        elif page[0] == COMPRESSED:
            whole = page[1] + page[2] // 8 * 8
            for at in range(page[1], whole, 8):
                four = _load_u64(data, at)
                a, b = np.int64(four & np.uint64(0xFFFF)), np.int64(four >> np.uint64(16) & np.uint64(0xFFFF))
                c, d = np.int64(four >> np.uint64(32) & np.uint64(0xFFFF)), np.int64(four >> np.uint64(48))
                lanes[0, a] += np.uint32(1)
                lanes[1, b] += np.uint32(1)
                lanes[2, c] += np.uint32(1)
                lanes[3, d] += np.uint32(1)
                largest = max(largest, a, b, c, d)
            for at in range(whole, page[1] + page[2] // 2 * 2, 2):
                a = np.int64(_load_u16(data, at))
                lanes[0, a] += np.uint32(1)
                largest = max(largest, a)
        for k in range(num_bins):
            out[i, k] = np.int64(lanes[0, k]) + lanes[1, k] + lanes[2, k] + lanes[3, k]
        for k in range(num_bins, largest + 1):
            fault[_BEYOND_BINS] += np.int64(lanes[0, k]) + lanes[1, k] + lanes[2, k] + lanes[3, k]
        lanes[:, : largest + 1] = 0


@numba.njit(cache=True, nogil=True)
def sum_classes(
    data: NDArray[np.uint8],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    classes: NDArray[np.int32],
    plane: NDArray[np.int64],
    out: NDArray[np.int64],
    faults: NDArray[np.int64],
) -> None:
    """Count the photons of every class of pixels; delay bins are not looked at.

    Parameters
    ----------
    data, pages, shape, faults
        As for `count_photons`.
    classes : ndarray of int32, shape (planes, height * width)
        Class of each pixel, from 0.
    plane : ndarray of int64, shape (n,)
        Row of `classes` for each page.
    out : ndarray of int64, shape (n, number of classes)
        Filled.
    """
    height, width = shape
    rows, columns = np.empty(height, np.int64), np.empty(width, np.int64)
    lanes = np.zeros((_N_LANES, out.shape[1]), np.int64)
    for i in range(len(pages)):
        page, fault, own, target = pages[i], faults[i], classes[plane[i]], out[i]
        target[:] = 0
        if not _lies_in_block(data, page, shape, page[0] != RAW, page[0] == RAW):
            fault[_OUTSIDE_BLOCK] = 1
            continue
        _place(height, page[4], width, rows)
        _place(width, page[5], 1, columns)
        if page[0] == RAW:
            for at in range(page[1], page[1] + page[2] // 8 * 8, 8):
                photon = _load_u64(data, at)
                y, x = np.int64(photon >> np.uint64(48)), np.int64(photon >> np.uint64(32) & np.uint64(0xFFFF))
                if y >= height or x >= width:
                    fault[_OUTSIDE_PAGE] += 1
                else:
                    target[own[rows[y] + columns[x]]] += 1
            continue
        total, turn = np.int64(0), width - page[5]
        for line in range(height):
            source = page[3] + 2 * line * width
            here = _sum_run(data, source, width)
            total += here
            if here != 0:
                _sum_run_by_class(data, source, turn, own[rows[line] + page[5] :], lanes)
                _sum_run_by_class(data, source + 2 * turn, width - turn, own[rows[line] :], lanes)
        for lane in range(_N_LANES):
            for k in range(target.size):
                target[k] += lanes[lane, k]
                lanes[lane, k] = 0
        if page[0] == COMPRESSED:
            fault[_MISMATCH] += total - page[2] // 2


@numba.njit(cache=True, nogil=True)
def _sum_run_by_class(
    data: NDArray[np.uint8], source: int, n_pixels: int, own: NDArray[np.int32], lanes: NDArray[np.int64]
) -> None:
    """Add the counts of neighbouring pixels to their classes."""
    n_fours = n_pixels // 4 * 4
    for x in range(0, n_fours, 4):
        four = _load_u64(data, source + 2 * x)
        if four == 0:  # most pixels are empty
            continue
        lanes[0, np.uint64(own[x])] += np.int64(four & np.uint64(0xFFFF))
        lanes[1, np.uint64(own[x + 1])] += np.int64(four >> np.uint64(16) & np.uint64(0xFFFF))
        lanes[2, np.uint64(own[x + 2])] += np.int64(four >> np.uint64(32) & np.uint64(0xFFFF))
        lanes[3, np.uint64(own[x + 3])] += np.int64(four >> np.uint64(48))
    for x in range(n_fours, n_pixels):
        lanes[0, own[x]] += np.int64(_load_u16(data, source + 2 * x))


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
