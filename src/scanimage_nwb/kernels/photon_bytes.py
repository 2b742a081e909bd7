"""Photons of .siff pages as bytes: how a block of pages is described to the kernels, and what all of them use.

A block is bytes of the file and one row for each page in it (see `PAGE_COLUMNS`), so that one call does many pages.
Shifts follow `np.roll`: a photon at (y, x) lands at ((y + dy) mod height, (x + dx) mod width). Nothing is written
out of bounds: what lies outside is dropped and counted in `faults`.

Numba looks for changes of a kernel in its own file only: after a change of a function here, delete `__pycache__`.
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
    "copy_run",
    "find_filled",
    "first_run",
    "land",
    "lies_in_block",
    "load_u16",
    "load_u64",
    "n_segments",
    "place",
    "segment",
    "sum_run",
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

OUTSIDE_PAGE, BEYOND_BINS, MISMATCH, OVERFLOW, OUTSIDE_BLOCK = range(len(FAULTS))


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


load_u16 = _loader(16)
load_u64 = _loader(64)

_PIXELS_A_WORD: Final = 64


@intrinsic
def _filled_bits(_context: Any, data: Any, at: Any) -> Any:
    """Return which of 64 neighbouring counts are not 0, one bit each, the first one lowest.

    Written out because numba compiles a loop over the counts to one branch a pixel that nobody can predict.
    """
    signature = types.uint64(data, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        counts = ir.VectorType(ir.IntType(16), _PIXELS_A_WORD)
        place = builder.bitcast(builder.gep(start, [args[1]]), counts.as_pointer())
        zeros = ir.Constant(counts, None)
        return builder.bitcast(
            builder.icmp_unsigned("!=", builder.load(place, align=1), zeros), ir.IntType(_PIXELS_A_WORD)
        )

    return signature, codegen


@intrinsic
def _lowest_bit(_context: Any, word: Any) -> Any:
    """Return the place of the lowest bit that is set."""

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(word), codegen


@numba.njit(cache=True, nogil=True)
def lies_in_block(
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
def place(size: int, shift: int, stride: int, places: NDArray[np.int64]) -> None:
    """Write where each row or column lands."""
    for i in range(size - shift):
        places[i] = (i + shift) * stride
    for i in range(size - shift, size):
        places[i] = (i + shift - size) * stride


@numba.njit(cache=True, nogil=True)
def sum_run(data: NDArray[np.uint8], source: int, n_pixels: int) -> np.int64:
    """Return the sum of the counts of neighbouring pixels."""
    low, total = np.uint64(0x0000FFFF0000FFFF), np.int64(0)
    done, fours = 0, n_pixels // 4
    while done < fours:
        pairs = np.uint64(0)
        chunk = min(done + (1 << 14), fours)  # each half of `pairs` holds the sum of half of 2^16 pixels
        for k in range(done, chunk):
            four = load_u64(data, source + 8 * k)
            pairs += (four & low) + (four >> np.uint64(16) & low)
        total += np.int64(pairs & np.uint64(0xFFFFFFFF)) + np.int64(pairs >> np.uint64(32))
        done = chunk
    for x in range(4 * fours, n_pixels):
        total += load_u16(data, source + 2 * x)
    return total


@numba.njit(cache=True, nogil=True)
def segment(rank: int, page: NDArray[np.int64], shape: tuple[int, int]) -> tuple[int, int, int]:
    """Return where stretches of pixels that stay together under a page's shift begin and land, and their length.

    There are `n_segments` of them, in the order of the file.
    """
    height, width = shape
    if page[5] == 0:
        n_first = (height - page[4]) * width
        return (0, page[4] * width, n_first) if rank == 0 else (n_first, 0, page[4] * width)
    y, turn = rank // 2, width - page[5]
    line = (y + page[4]) % height * width
    return (y * width, line + page[5], turn) if rank % 2 == 0 else (y * width + turn, line, page[5])


@numba.njit(cache=True, nogil=True)
def n_segments(page: NDArray[np.int64], shape: tuple[int, int]) -> int:
    """Return how many segments a page's shift makes."""
    return 2 if page[5] == 0 else 2 * shape[0]


@numba.njit(cache=True, nogil=True)
def first_run(runs: NDArray[np.int64], pixel: int) -> int:
    """Return the run that holds a pixel; `runs` are as for `photon_sums.sum_classes`, of one plane."""
    low, high = 0, len(runs) - 1
    while low < high:
        middle = (low + high) // 2
        if runs[middle, 0] > pixel:
            high = middle
        else:
            low = middle + 1
    return low


@numba.njit(cache=True, nogil=True)
def land(source: np.uint32, page: NDArray[np.int64], shape: tuple[int, int]) -> np.uint64:
    """Return where a pixel lands under a page's shift."""
    height, width = np.uint32(shape[0]), np.uint32(shape[1])
    y, x = source // width + np.uint32(page[4]), source % width + np.uint32(page[5])
    y, x = y - height if y >= height else y, x - width if x >= width else x
    return np.uint64(y * width + x)


@numba.njit(cache=True, nogil=True)
def find_filled(data: NDArray[np.uint8], counts_at: int, n_pixels: int, filled: NDArray[np.uint32]) -> int:
    """List the pixels that have photons, in order; return how many there are. `filled` needs a place for each pixel."""
    n, one = np.uint64(0), np.uint64(1)
    for k in range(n_pixels // _PIXELS_A_WORD):
        bits = _filled_bits(data, counts_at + 2 * _PIXELS_A_WORD * k)
        while bits:
            filled[n] = _PIXELS_A_WORD * k + np.int64(_lowest_bit(bits))
            n += one
            bits &= bits - one
    for pixel in range(n_pixels // _PIXELS_A_WORD * _PIXELS_A_WORD, n_pixels):
        filled[n] = pixel
        n += np.uint64(load_u16(data, counts_at + 2 * pixel) != 0)
    return int(n)


@numba.njit(cache=True, nogil=True)
def copy_run(data: NDArray[np.uint8], source: int, target: NDArray) -> None:
    """Copy the counts of neighbouring pixels."""
    for x in range(target.size):
        target[x] = load_u16(data, source + 2 * x)
