"""Sums of 16-bit pixels within masks of short runs, sixteen pixels at once.

A cell is some ten pixels wide: to step through runs so short costs more than to add them up. Here a mask is a list of
words of sixteen neighbouring pixels, of which those at the end may not be wanted. The slow twin is
`roi_sums.sum_rois_reference`.
"""

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_bytes import load_u16
from scanimage_nwb.kernels.roi_sums import moved_pixel, stays_inside

__all__ = ["SIGNED", "UNSIGNED", "WORD_PIXELS", "list_words", "sum_words"]

UNSIGNED = np.uint16(0)
SIGNED = np.uint16(0x8000)
"""Turns an int16 into an uint16 that is larger by 2^15."""
WORD_PIXELS: Final = 16
_BITS: Final = 4
"""Of the pixels at a word's end that are not wanted."""
_UNWANTED: Final = WORD_PIXELS - 1
_LOW = np.uint64(0xFFFFFFFF)
_FLUSH = 1 << 12
"""So many words are added before half of a sum could overflow."""


@intrinsic
def _sum_word(_context: Any, data: Any, at: Any, unwanted: Any, flip: Any) -> Any:
    """Return the sum of sixteen pixels from a byte on but the unwanted ones at the end, as two halves of 32 bits.

    Written out because numba does not turn a loop over so few pixels into instructions that take them all.
    """
    signature = types.uint64(data, types.int64, types.int32, types.uint16)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, pairs = ir.VectorType(ir.IntType(16), WORD_PIXELS), ir.VectorType(ir.IntType(32), WORD_PIXELS // 2)
        array = context.make_array(signature.args[0])(context, builder, args[0])
        start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        word = builder.load(builder.bitcast(builder.gep(start, [args[1]]), pixels.as_pointer()), align=1)
        word = builder.xor(word, _spread(builder, args[3], WORD_PIXELS))
        from_end = ir.Constant(pixels, list(range(WORD_PIXELS, 0, -1)))
        unwanted = _spread(builder, builder.trunc(args[2], ir.IntType(16)), WORD_PIXELS)
        wanted = builder.icmp_unsigned(">", from_end, unwanted)
        word = builder.bitcast(builder.select(wanted, word, ir.Constant(pixels, None)), pairs)
        low = builder.and_(word, ir.Constant(pairs, [0xFFFF] * (WORD_PIXELS // 2)))
        sums = builder.add(low, builder.lshr(word, ir.Constant(pairs, [16] * (WORD_PIXELS // 2))))
        for n in (WORD_PIXELS // 4, WORD_PIXELS // 8):
            sums = builder.add(_cut(builder, sums, 0, n), _cut(builder, sums, n, n))
        return builder.bitcast(sums, ir.IntType(64))

    return signature, codegen


def _spread(builder: Any, value: Any, n: int) -> Any:
    """Return a vector of one value."""
    empty = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    one = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, empty, ir.Constant(ir.VectorType(ir.IntType(32), n), [0] * n))


def _cut(builder: Any, vector: Any, first: int, n: int) -> Any:
    """Return some neighbouring elements of a vector."""
    places = ir.Constant(ir.VectorType(ir.IntType(32), n), list(range(first, first + n)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), places)


@numba.njit(cache=True, nogil=True)
def list_words(runs: NDArray[np.int32], bounds: NDArray[np.int64], words: NDArray[np.int32]) -> None:
    """List the words of runs of pixels.

    Parameters
    ----------
    runs : ndarray of int32, shape (runs, 2)
        First pixel of each run, and the one behind its last.
    bounds : ndarray of int64, shape (runs + 1,)
        Words of run r are ``bounds[r]:bounds[r + 1]``: its pixels over `WORD_PIXELS`, rounded up.
    words : ndarray of int32
        Filled: 16 * first pixel of the word + how many pixels at its end are not wanted.
    """
    for run in range(len(runs)):
        for k in range(bounds[run], bounds[run + 1]):
            first = runs[run, 0] + WORD_PIXELS * (k - bounds[run])
            words[k] = (first << _BITS) + max(WORD_PIXELS - (np.int64(runs[run, 1]) - first), 0)


@numba.njit(cache=True, nogil=True, inline="always")
def _sum_words(
    data: NDArray[np.uint8],
    words: NDArray[np.int32],
    cut: tuple[np.int64, np.int64],
    first_byte: np.int64,
    flip: np.uint16,
) -> np.int64:
    """Sum words of a frame that begins at a byte; slices would cost more than the sum."""
    total, stop, last = np.int64(0), cut[1], data.size - 2 * WORD_PIXELS
    while stop > cut[0] and first_byte + 2 * np.int64(words[stop - 1] >> _BITS) > last:
        stop -= 1  # pixels of the word that are not wanted lie behind the frames
        at = first_byte + 2 * np.int64(words[stop] >> _BITS)
        for k in range(WORD_PIXELS - (words[stop] & _UNWANTED)):
            total += np.int64(load_u16(data, at + 2 * k) ^ flip)
    for start in range(cut[0], stop, _FLUSH):
        halves = np.uint64(0)
        for k in range(np.uint64(start), np.uint64(min(start + _FLUSH, int(stop)))):
            own = words[k]
            halves += _sum_word(data, first_byte + 2 * np.int64(own >> _BITS), own & np.int32(_UNWANTED), flip)
        total += np.int64(halves & _LOW) + np.int64(halves >> np.uint64(32))
    return total


@numba.njit(cache=True, nogil=True)
def sum_words(
    frames: NDArray[np.uint8],
    pieces: NDArray[np.int64],
    pixels: NDArray[np.int32],
    bounds: NDArray[np.int64],
    words: NDArray[np.int32],
    flip: np.uint16,
    shifts: NDArray[np.int64],
    shape: tuple[int, int],
    wrap: bool,
    out: NDArray[np.int64],
) -> None:
    """Sum the pixels of every mask in every sample.

    Parameters
    ----------
    frames : ndarray of uint8, shape (n * planes * rows * columns * 2,)
        Bytes of samples of 16-bit pixels.
    pieces, pixels, shifts, shape, wrap
        As for `roi_sums.sum_rois`.
    bounds : ndarray of int64, shape (pieces + 1,)
        Words of piece p are ``words[bounds[p]:bounds[p + 1]]``.
    words : ndarray of int32
        As `list_words` gives them.
    flip : uint16
        `SIGNED` or `UNSIGNED`.
    out : ndarray of int64, shape (n, masks)
        Added to.
    """
    bias, n_bytes = np.int64(flip), 2 * shape[0] * shape[1]
    for i in range(len(shifts)):
        for p in range(len(pieces)):
            plane = pieces[p, 1]
            first_byte = (i * shifts.shape[1] + plane) * n_bytes
            total = np.int64(0)
            if stays_inside(pieces[p], shifts[i, plane], shape):
                moved = first_byte - 2 * (shifts[i, plane, 0] * shape[1] + shifts[i, plane, 1])
                total = _sum_words(frames, words, (bounds[p], bounds[p + 1]), moved, flip)
                total -= bias * (pieces[p, 3] - pieces[p, 2])
            else:
                for k in range(pieces[p, 2], pieces[p, 3]):
                    found = moved_pixel(pixels[k], shifts[i, plane], shape, wrap)
                    if found >= 0:
                        total += np.int64(load_u16(frames, first_byte + 2 * found) ^ flip) - bias
            out[i, pieces[p, 0]] += total
