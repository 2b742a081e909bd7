"""Sums of 16-bit pixels within masks of short runs, four pixels at once.

A cell is some ten pixels wide: to step through runs so short costs more than to add them up. Here a mask is a list of
words of four neighbouring pixels of a row, each with the pixels of it that are wanted. The slow twin is
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
def list_words(
    runs: NDArray[np.int32], bounds: NDArray[np.int64], places: NDArray[np.int32], wanted: NDArray[np.uint64]
) -> None:
    """List the words of runs of pixels.

    Parameters
    ----------
    runs : ndarray of int32, shape (runs, 2)
        First pixel of each run, and the one behind its last.
    bounds : ndarray of int64, shape (runs + 1,)
        Words of run r are ``bounds[r]:bounds[r + 1]``: a quarter of its pixels, rounded up.
    places : ndarray of int32
        Filled: first pixel of each word.
    wanted : ndarray of uint64
        Filled: all bits of the pixels that belong to the run.
    """
    for run in range(len(runs)):
        for k in range(bounds[run], bounds[run + 1]):
            first = runs[run, 0] + 4 * (k - bounds[run])
            n = min(np.int64(runs[run, 1]) - first, np.int64(4))
            places[k] = first
            wanted[k] = ~np.uint64(0) >> np.uint64(16 * (4 - n))


@numba.njit(cache=True, nogil=True, inline="always")
def _sum_words(
    data: NDArray[np.uint8],
    places: NDArray[np.int32],
    wanted: NDArray[np.uint64],
    words: tuple[np.int64, np.int64],
    first_byte: np.int64,
    end: np.int64,
    flip: np.uint64,
) -> np.int64:
    """Sum words of a frame that begins at a byte, up to the end of all frames; slices would cost more than the sum."""
    total, stop = np.int64(0), words[1]
    while stop > words[0] and first_byte + 2 * np.int64(places[stop - 1]) > end - 8:
        stop -= 1  # pixels of the word that are not wanted lie behind the frames
        behind = first_byte + 2 * np.int64(places[stop]) - (end - 8)
        word = (load_u64(data, end - 8) >> np.uint64(8 * behind) ^ flip) & wanted[stop]
        total += _fold((word & _LANES) + (word >> np.uint64(16) & _LANES))
    for start in range(words[0], stop, _FLUSH):
        pairs = np.uint64(0)
        for k in range(np.uint64(start), np.uint64(min(start + _FLUSH, stop))):
            word = (load_u64(data, first_byte + 2 * np.int64(places[k])) ^ flip) & wanted[k]
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
    words: NDArray[np.int64],
    places: NDArray[np.int32],
    wanted: NDArray[np.uint64],
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
    words : ndarray of int64, shape (pieces + 1,)
        Words of piece p are ``words[p]:words[p + 1]``.
    places, wanted : ndarray
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
                total = _sum_words(frames, places, wanted, (words[p], words[p + 1]), moved, frames.size, flip)
                total -= bias * (pieces[p, 3] - pieces[p, 2])
            else:
                for k in range(pieces[p, 2], pieces[p, 3]):
                    found = moved_pixel(pixels[k], shifts[i, plane], shape, wrap)
                    if found >= 0:
                        total += np.int64(np.uint64(load_u16(frames, first_byte + 2 * found)) ^ np.uint64(bias)) - bias
            out[i, pieces[p, 0]] += total
