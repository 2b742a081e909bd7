"""Sums of 16-bit pixels within masks of short runs, four pixels at once.

A cell is some ten pixels wide: to step through runs so short costs more than to add them up. Here a mask is a list of
words of four neighbouring pixels, of which those at the end may not be wanted. The slow twin is
`roi_sums.sum_rois_reference`.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_bytes import load_u16, load_u64
from scanimage_nwb.kernels.roi_sums import moved_pixel, stays_inside

__all__ = ["SIGNED", "UNSIGNED", "list_words", "sum_words"]

UNSIGNED = np.uint64(0)
SIGNED = np.uint64(0x8000800080008000)
"""Turns four int16 into four uint16, each larger by 2^15."""
_LANES = np.uint64(0x0000FFFF0000FFFF)
_LOW = np.uint64(0xFFFFFFFF)
_FLUSH = 1 << 14
"""So many words are added before half a word could overflow."""


@numba.njit(cache=True, nogil=True)
def list_words(runs: NDArray[np.int32], bounds: NDArray[np.int64], words: NDArray[np.int32]) -> None:
    """List the words of runs of pixels.

    Parameters
    ----------
    runs : ndarray of int32, shape (runs, 2)
        First pixel of each run, and the one behind its last.
    bounds : ndarray of int64, shape (runs + 1,)
        Words of run r are ``bounds[r]:bounds[r + 1]``: a quarter of its pixels, rounded up.
    words : ndarray of int32
        Filled: 4 * first pixel of the word + how many pixels at its end are not wanted.
    """
    for run in range(len(runs)):
        for k in range(bounds[run], bounds[run + 1]):
            first = runs[run, 0] + 4 * (k - bounds[run])
            words[k] = 4 * first + max(4 - (np.int64(runs[run, 1]) - first), 0)


@numba.njit(cache=True, nogil=True, inline="always")
def _sum_words(
    data: NDArray[np.uint8],
    words: NDArray[np.int32],
    cut: tuple[np.int64, np.int64],
    first_byte: np.int64,
    flip: np.uint64,
) -> np.int64:
    """Sum words of a frame that begins at a byte; slices would cost more than the sum."""
    total, stop, last = np.int64(0), cut[1], data.size - 8
    while stop > cut[0] and first_byte + 2 * np.int64(words[stop - 1] >> 2) > last:
        stop -= 1  # pixels of the word that are not wanted lie behind the frames
        behind = first_byte + 2 * np.int64(words[stop] >> 2) - last
        word = (load_u64(data, last) >> np.uint64(8 * behind) ^ flip) << np.uint64((words[stop] & 3) << 4)
        total += _fold((word & _LANES) + (word >> np.uint64(16) & _LANES))
    for start in range(cut[0], stop, _FLUSH):
        pairs = np.uint64(0)
        for k in range(np.uint64(start), np.uint64(min(start + _FLUSH, int(stop)))):
            own = words[k]
            word = (load_u64(data, first_byte + 2 * np.int64(own >> 2)) ^ flip) << np.uint64((own & 3) << 4)
            pairs += (word & _LANES) + (word >> np.uint64(16) & _LANES)
        total += _fold(pairs)
    return total


@numba.njit(cache=True, nogil=True, inline="always")
def _fold(pairs: np.uint64) -> np.int64:
    """Return the sum of both halves."""
    return np.int64(pairs & _LOW) + np.int64(pairs >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def sum_words(
    frames: NDArray[np.uint8],
    pieces: NDArray[np.int64],
    pixels: NDArray[np.int32],
    bounds: NDArray[np.int64],
    words: NDArray[np.int32],
    flip: np.uint64,
    shifts: NDArray[np.int64],
    shape: tuple[int, int],
    wrap: bool,
    out: NDArray[np.int64],
) -> None:
    """Sum the pixels of every mask in every sample.

    Parameters
    ----------
    frames : ndarray of uint8, shape (n * planes * rows * columns * 2,)
        Bytes of samples of 16-bit pixels; four pixels or more.
    pieces, pixels, shifts, shape, wrap
        As for `roi_sums.sum_rois`.
    bounds : ndarray of int64, shape (pieces + 1,)
        Words of piece p are ``words[bounds[p]:bounds[p + 1]]``.
    words : ndarray of int32
        As `list_words` gives them.
    flip : uint64
        `SIGNED` or `UNSIGNED`.
    out : ndarray of int64, shape (n, masks)
        Added to.
    """
    bias, n_bytes = np.int64(flip >> np.uint64(48)), 2 * shape[0] * shape[1]
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
                        total += np.int64(np.uint64(load_u16(frames, first_byte + 2 * found)) ^ np.uint64(bias)) - bias
            out[i, pieces[p, 0]] += total
