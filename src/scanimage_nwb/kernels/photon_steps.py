"""Photons sorted by pixel within their frame, as steps from one to the next.

Slow twins end in ``_reference``.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_pages", "fill_pages_reference", "pixel_steps", "pixel_steps_reference"]

_MOST = (1 << 16) - 1
"""Photons of a pixel that a count holds."""


@numba.njit(cache=True, nogil=True)
def pixel_steps(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    n_pixels: int,
    steps: NDArray,
    delays: NDArray[np.uint16],
) -> None:
    """Sort the photons of each frame by pixel; those of one pixel keep their order.

    Parameters
    ----------
    pixels, delay_bins : ndarray of uint32, uint16, shape (n_photons,)
        Photons, frame after frame; pixels below `n_pixels`.
    bounds : ndarray of int64, shape (n_frames + 1,)
        Photons of frame i are ``bounds[i]:bounds[i + 1]``.
    n_pixels : int
        Pixels of a frame.
    steps : ndarray of uint16 or uint32, shape (n_photons,)
        Filled: pixel minus the pixel before it in the frame; of the first photon, its pixel.
    delays : ndarray of uint16, shape (n_photons,)
        Filled: delay bins in that order.
    """
    digit_bits = 1
    while n_pixels > 1 << 2 * digit_bits:
        digit_bits += 1
    places = np.empty((2, 1 << digit_bits), np.int64)
    longest = 0
    for i in range(len(bounds) - 1):
        longest = max(longest, bounds[i + 1] - bounds[i])
    half_sorted, ordered = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    for i in range(len(bounds) - 1):
        start, stop = bounds[i], bounds[i + 1]
        previous, ascending = np.uint32(0), True
        for k in range(start, stop):
            pixel = pixels[k]
            if pixel < previous:
                ascending = False
                break
            steps[k], delays[k] = pixel - previous, delay_bins[k]
            previous = pixel
        if ascending:
            continue
        _sort_photons(pixels[start:stop], delay_bins[start:stop], digit_bits, places, half_sorted, ordered)
        before = np.uint64(0)
        for k in range(stop - start):
            pixel_at = ordered[k] >> np.uint64(16)
            steps[start + k], delays[start + k] = pixel_at - before, ordered[k] & np.uint64(0xFFFF)
            before = pixel_at


@numba.njit(cache=True, nogil=True)
def _sort_photons(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    digit_bits: int,
    places: NDArray[np.int64],
    half_sorted: NDArray[np.uint64],
    ordered: NDArray[np.uint64],
) -> None:
    """Fill `ordered` with ``pixel << 16 | delay_bin`` by pixel: a radix sort, by the lower half of the bits first.

    `places` are scratch, shape (2, 2 ** digit_bits); a pixel has no more than twice `digit_bits`.
    """
    shift, mask = np.uint64(digit_bits), np.uint64((1 << digit_bits) - 1)
    places[:] = 0
    for pixel in pixels:
        places[0, np.uint64(pixel) & mask] += 1
        places[1, np.uint64(pixel) >> shift] += 1
    for digit in range(2):
        n = 0
        for value in range(places.shape[1]):
            here = places[digit, value]
            places[digit, value] = n
            n += here
    for k in range(pixels.size):
        pixel = np.uint64(pixels[k])
        place = places[0, pixel & mask]
        places[0, pixel & mask] = place + 1
        half_sorted[place] = pixel << np.uint64(16) | np.uint64(delay_bins[k])
    for k in range(pixels.size):
        photon = half_sorted[k]
        high = photon >> (np.uint64(16) + shift)
        place = places[1, high]
        places[1, high] = place + 1
        ordered[place] = photon


def pixel_steps_reference(
    pixels: NDArray[np.uint32], delay_bins: NDArray[np.uint16], bounds: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Return steps and delay bins, the slow way; parameters as for `pixel_steps`."""
    frame = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    order = np.lexsort((pixels, frame))
    ordered = pixels[order].astype(np.int64)
    steps = np.diff(ordered, prepend=0)
    first = np.flatnonzero(np.diff(frame, prepend=-1))
    steps[first] = ordered[first]
    return steps, delay_bins[order]


@numba.njit(cache=True, nogil=True)
def fill_pages(
    steps: NDArray,
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    is_raw: NDArray[np.bool_],
    shape: tuple[int, int],
    out: NDArray[np.uint16],
) -> tuple[int, int]:
    """Make pages of a .siff from steps, one behind the other.

    A raw page has ``y << 48 | x << 32 | delay_bin`` for each photon; a compressed one the counts of all pixels, and
    behind them the delay bins, unless there are none.

    Parameters
    ----------
    steps : ndarray of uint16 or uint32, shape (n_photons,)
        As `pixel_steps` gives them.
    delay_bins : ndarray of uint16, shape (n_photons or 0,)
        Without delays, those of raw pages are 0.
    bounds : ndarray of int64, shape (n_pages + 1,)
        Photons of page i are ``bounds[i]:bounds[i + 1]``.
    is_raw : ndarray of bool, shape (n_pages,)
        Which pages are raw.
    shape : tuple of int
        Rows and columns.
    out : ndarray of uint16
        Filled.

    Returns
    -------
    page : int
        The first that cannot be made, -1 if there is none.
    fault : int
        1 if a photon of it lies outside the page, 2 if a pixel has more photons than a count holds.
    """
    at, n_pixels = 0, shape[0] * shape[1]
    for i in range(len(bounds) - 1):
        start, stop = bounds[i], bounds[i + 1]
        if is_raw[i]:
            _fill_raw(steps[start:stop], delay_bins[start:stop], shape[1], out[at : at + 4 * (stop - start)])
            at += 4 * (stop - start)
            continue
        fault = _count_steps(steps[start:stop], out[at : at + n_pixels])
        if fault:
            return i, fault
        at += n_pixels
        own = delay_bins[start:stop]
        out[at : at + own.size] = own
        at += own.size
    return -1, 0


@numba.njit(cache=True, nogil=True)
def _fill_raw(steps: NDArray, delay_bins: NDArray[np.uint16], width: int, out: NDArray[np.uint16]) -> None:
    """Make a raw page; a photon outside it stays outside."""
    x, y = np.int64(0), np.int64(0)
    for k in range(steps.size):
        x += np.int64(steps[k])
        if x >= width:  # most photons lie in the row of the one before
            y += x // width
            x = x % width
        out[4 * k] = delay_bins[k] if delay_bins.size else 0
        out[4 * k + 1] = 0
        out[4 * k + 2] = x
        out[4 * k + 3] = y if y < _MOST else _MOST


@numba.njit(cache=True, nogil=True)
def _count_steps(steps: NDArray, counts: NDArray[np.uint16]) -> int:
    """Turn the steps of one page into the photons of every pixel; return what is at fault, as `fill_pages` does."""
    counts[:] = 0
    pixel, n_pixels = np.int64(0), np.int64(counts.size)
    for step in steps:
        pixel += np.int64(step)
        if pixel >= n_pixels:
            return 1
        found = counts[np.uint64(pixel)]
        if found == _MOST:
            return 2
        counts[np.uint64(pixel)] = found + 1
    return 0


def fill_pages_reference(
    steps: NDArray,
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    is_raw: NDArray[np.bool_],
    shape: tuple[int, int],
) -> bytes:
    """Return what `fill_pages` fills in, the slow way."""
    found, delays = b"", delay_bins.astype("<u8")
    for start, stop, raw in zip(bounds[:-1], bounds[1:], is_raw, strict=True):
        pixels = np.cumsum(steps[start:stop].astype(np.uint64))
        if raw:
            y, x = pixels // np.uint64(shape[1]), pixels % np.uint64(shape[1])
            own = delays[start:stop] if len(delays) else np.uint64(0)
            found += (y * np.uint64(1 << 48) + x * np.uint64(1 << 32) + own).astype("<u8").tobytes()
        else:
            counts = np.bincount(pixels.astype(np.int64), minlength=shape[0] * shape[1])
            found += counts.astype("<u2").tobytes() + delays[start:stop].astype("<u2").tobytes()
    return found
