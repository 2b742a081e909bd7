"""Maps of listed photons, as `photon_lists.decode_photons` lists them.

Each kernel does the photons of many pages in one call; the ``_reference`` beside it does one page the slow way.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_bytes import OVERFLOW

__all__ = [
    "delay_map",
    "delay_map_reference",
    "phasor_map",
    "phasor_map_reference",
]

_MOST = (1 << 16) - 1
"""Photons of a pixel that a count holds."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def delay_map(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    scale: tuple[float, float],
    mean: NDArray[np.float64],
    counts: NDArray[np.uint16],
    faults: NDArray[np.int64],
) -> None:
    """Average the delay of every pixel's photons.

    Parameters
    ----------
    pixels, delay_bins, bounds
        Photons of n pages.
    scale : tuple of float
        Width of a delay bin, and what is subtracted from the mean, in seconds. Bins count at their centre.
    mean : ndarray of float64, shape (n, pixels)
        Filled; NaN without photons. Sums of bins are whole numbers below 2^53, so that no bit of them is lost.
    counts : ndarray of uint16, shape (n, pixels)
        Filled.
    faults : ndarray of int64, shape (n, len(FAULTS))
        Added to: photons that did not fit `counts`; the page is then not right.
    """
    width_s, offset_s = scale
    for i in range(len(bounds) - 1):
        sums, found = mean[i], counts[i]
        sums[:] = 0
        found[:] = 0
        for k in range(bounds[i], bounds[i + 1]):
            pixel = pixels[k]
            n = found[pixel]
            if n == _MOST:
                faults[i, OVERFLOW] += 1
                continue
            found[pixel] = n + 1
            sums[pixel] += delay_bins[k]
        for pixel in range(sums.size):
            sums[pixel] = (sums[pixel] / found[pixel] + 0.5) * width_s - offset_s


def delay_map_reference(
    pixels: NDArray[np.int64], delay_bins: NDArray[np.int64], n_pixels: int, scale: tuple[float, float]
) -> NDArray[np.float64]:
    """Average the delay of every pixel of one page the slow way; parameters as for `delay_map`."""
    mean = np.full(n_pixels, np.nan)
    for pixel in np.unique(pixels):
        mean[pixel] = (delay_bins[pixels == pixel].mean() + 0.5) * scale[0] - scale[1]
    return mean


@numba.njit(cache=True, nogil=True, error_model="numpy")
def phasor_map(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    table: NDArray[np.complex128],
    phasor: NDArray[np.complex128],
    counts: NDArray[np.uint16],
    faults: NDArray[np.int64],
) -> None:
    """Average the phasor of every pixel's photons.

    Parameters
    ----------
    pixels, delay_bins, bounds, counts, faults
        As for `delay_map`.
    table : ndarray of complex128, shape (num_bins,)
        Phasor of a photon in each delay bin.
    phasor : ndarray of complex128, shape (n, pixels)
        Filled: g + i s; NaN without photons.
    """
    for i in range(len(bounds) - 1):
        sums, found = phasor[i], counts[i]
        sums[:] = 0
        found[:] = 0
        for k in range(bounds[i], bounds[i + 1]):
            pixel = pixels[k]
            n = found[pixel]
            if n == _MOST:
                faults[i, OVERFLOW] += 1
                continue
            found[pixel] = n + 1
            sums[pixel] += table[delay_bins[k]]
        for pixel in range(sums.size):
            n_photons = np.float64(found[pixel])
            sums[pixel] = complex(sums[pixel].real / n_photons, sums[pixel].imag / n_photons)


def phasor_map_reference(
    pixels: NDArray[np.int64], delay_bins: NDArray[np.int64], n_pixels: int, table: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """Average the phasor of every pixel of one page the slow way; parameters as for `phasor_map`."""
    phasor = np.full(n_pixels, complex(np.nan, np.nan))
    for pixel in np.unique(pixels):
        phasor[pixel] = table[delay_bins[pixels == pixel]].mean()
    return phasor
