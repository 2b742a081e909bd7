"""Photons sorted by pixel within their frame, as steps from one to the next.

Slow twins end in ``_reference``.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "count_steps",
    "count_steps_reference",
    "pixel_steps",
    "pixel_steps_reference",
    "raw_photons",
    "raw_photons_reference",
]


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
    place = np.zeros(n_pixels + 1, np.int64)
    for i in range(len(bounds) - 1):
        start, stop = bounds[i], bounds[i + 1]
        previous, ascending = np.int64(0), True
        for k in range(start, stop):
            pixel = np.int64(pixels[k])
            if pixel < previous:
                ascending = False
                break
            steps[k], delays[k] = pixel - previous, delay_bins[k]
            previous = pixel
        if ascending:
            continue
        place[:] = 0
        for k in range(start, stop):
            place[pixels[k] + 1] += 1
        previous, n = np.int64(0), start
        for at in range(n_pixels):
            here = place[at + 1]
            place[at] = n
            for _ in range(here):
                steps[n] = at - previous
                previous = np.int64(at)
                n += 1
        for k in range(start, stop):
            pixel = np.int64(pixels[k])
            delays[place[pixel]] = delay_bins[k]
            place[pixel] += 1


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
def raw_photons(
    steps: NDArray, delay_bins: NDArray[np.uint16], bounds: NDArray[np.int64], width: int, out: NDArray[np.uint64]
) -> None:
    """Turn steps into photons as raw pages of a .siff hold them, ``y << 48 | x << 32 | delay_bin``.

    Parameters
    ----------
    steps, delay_bins : ndarray of uint16 or uint32, uint16, shape (n_photons,)
        As `pixel_steps` gives them.
    bounds : ndarray of int64, shape (n_frames + 1,)
        Photons of frame i are ``bounds[i]:bounds[i + 1]``.
    width : int
        Pixels of a row.
    out : ndarray of uint64, shape (n_photons,)
        Filled.
    """
    for i in range(len(bounds) - 1):
        x, y = np.int64(0), np.int64(0)
        for k in range(bounds[i], bounds[i + 1]):
            x += np.int64(steps[k])
            if x >= width:  # most photons lie in the row of the one before
                y += x // width
                x = x % width
            out[k] = np.uint64(y) << np.uint64(48) | np.uint64(x) << np.uint64(32) | np.uint64(delay_bins[k])


def raw_photons_reference(
    steps: NDArray, delay_bins: NDArray[np.uint16], bounds: NDArray[np.int64], width: int
) -> NDArray[np.uint64]:
    """Return what `raw_photons` fills in, the slow way."""
    pixels = np.concatenate([np.cumsum(part.astype(np.uint64)) for part in np.split(steps, bounds[1:-1])])
    y, x = pixels // np.uint64(width), pixels % np.uint64(width)
    photons: NDArray[np.uint64] = y * np.uint64(1 << 48) + x * np.uint64(1 << 32) + delay_bins.astype(np.uint64)
    return photons


@numba.njit(cache=True, nogil=True)
def count_steps(steps: NDArray, counts: NDArray[np.uint16]) -> int:
    """Turn the steps of one frame into the photons of every pixel.

    Parameters
    ----------
    steps : ndarray of uint16 or uint32, shape (n_photons,)
        As `pixel_steps` gives them.
    counts : ndarray of uint16, shape (n_pixels,)
        Filled.

    Returns
    -------
    int
        0; or 1 if a photon lies outside the frame, 2 if a pixel has more photons than a count holds: then `counts` are
        not to be used.
    """
    counts[:] = 0
    pixel = np.int64(0)
    for step in steps:
        pixel += np.int64(step)
        if pixel >= len(counts):
            return 1
        counts[pixel] += 1
        if counts[pixel] == 0:
            return 2
    return 0


def count_steps_reference(steps: NDArray, n_pixels: int) -> NDArray[np.int64]:
    """Return the photons of every pixel, the slow way."""
    return np.bincount(np.cumsum(steps, dtype=np.int64), minlength=n_pixels)
