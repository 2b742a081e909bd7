"""Maps and histograms of listed photons, as `photons.decode_photons` lists them.

Each kernel does the photons of many pages in one call; the ``_reference`` beside it does one page the slow way.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "class_histogram",
    "class_histogram_reference",
    "delay_map",
    "delay_map_reference",
    "phasor_map",
    "phasor_map_reference",
    "sum_members",
    "sum_members_reference",
]

_SMALL_TABLE = 1 << 16
"""Histograms of classes with no more places than this are gathered before they are given to masks."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def delay_map(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    scale: tuple[float, float],
    most: int,
    mean: NDArray[np.float64],
    counts: NDArray,
) -> int:
    """Average the delay of every pixel's photons.

    Parameters
    ----------
    pixels, delay_bins, bounds
        Photons of n pages.
    scale : tuple of float
        Width of a delay bin, and what is subtracted from the mean, in seconds. Bins count at their centre.
    most : int
        The largest number that `counts` holds.
    mean : ndarray of float64, shape (n, pixels)
        Filled; NaN without photons. Sums of bins are whole numbers below 2^53, so that no bit of them is lost.
    counts : ndarray of uint16 or uint32, shape (n, pixels)
        Filled.

    Returns
    -------
    int
        Photons that did not fit `counts`.
    """
    overflow = 0
    width_s, offset_s = scale
    for i in range(len(bounds) - 1):
        sums, found = mean[i], counts[i]
        sums[:] = 0
        found[:] = 0
        for k in range(bounds[i], bounds[i + 1]):
            pixel = pixels[k]
            n = found[pixel]
            if n == most:
                overflow += 1
                continue
            found[pixel] = n + 1
            sums[pixel] += delay_bins[k]
        for pixel in range(sums.size):
            sums[pixel] = (sums[pixel] / found[pixel] + 0.5) * width_s - offset_s
    return overflow


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
    most: int,
    phasor: NDArray[np.complex128],
    counts: NDArray,
) -> int:
    """Average the phasor of every pixel's photons.

    Parameters
    ----------
    pixels, delay_bins, bounds, most, counts
        As for `delay_map`.
    table : ndarray of complex128, shape (num_bins,)
        Phasor of a photon in each delay bin.
    phasor : ndarray of complex128, shape (n, pixels)
        Filled: g + i s; NaN without photons.

    Returns
    -------
    int
        Photons that did not fit `counts`.
    """
    overflow = 0
    for i in range(len(bounds) - 1):
        sums, found = phasor[i], counts[i]
        sums[:] = 0
        found[:] = 0
        for k in range(bounds[i], bounds[i + 1]):
            pixel = pixels[k]
            n = found[pixel]
            if n == most:
                overflow += 1
                continue
            found[pixel] = n + 1
            sums[pixel] += table[delay_bins[k]]
        for pixel in range(sums.size):
            n_photons = np.float64(found[pixel])
            sums[pixel] = complex(sums[pixel].real / n_photons, sums[pixel].imag / n_photons)
    return overflow


def phasor_map_reference(
    pixels: NDArray[np.int64], delay_bins: NDArray[np.int64], n_pixels: int, table: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """Average the phasor of every pixel of one page the slow way; parameters as for `phasor_map`."""
    phasor = np.full(n_pixels, complex(np.nan, np.nan))
    for pixel in np.unique(pixels):
        phasor[pixel] = table[delay_bins[pixels == pixel]].mean()
    return phasor


@numba.njit(cache=True, nogil=True)
def class_histogram(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    classes: NDArray[np.int32],
    plane: NDArray[np.int64],
    rows: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]],
    bin_of: NDArray[np.int32],
    target: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Add photons to the delay histograms of every mask that their pixel belongs to.

    Parameters
    ----------
    pixels, delay_bins, bounds
        Photons of n pages.
    classes : ndarray of int32, shape (planes, pixels)
        Class of each pixel, from 0.
    plane : ndarray of int64, shape (n,)
        Row of `classes` for each page.
    rows : tuple of ndarray
        For class c, the masks ``rows[1][rows[0][c]:rows[0][c + 1]]`` with their weights in ``rows[2]``.
    bin_of : ndarray of int32, shape (num_bins,)
        Bin of the histogram for each delay bin; -1 leaves it out.
    target : ndarray of int64, shape (n,)
        First index of `out` for each page.
    out : ndarray of float64, shape (targets, masks, bins)
        Added to.
    """
    starts, masks, weights = rows
    n_classes, n_bins = starts.size - 1, out.shape[2]
    if n_classes * n_bins <= _SMALL_TABLE:
        _small_class_histogram(pixels, delay_bins, bounds, classes, plane, rows, bin_of, target, out)
        return
    for i in range(len(bounds) - 1):
        own, histogram = classes[plane[i]], out[target[i]]
        for k in range(bounds[i], bounds[i + 1]):
            delay_bin = bin_of[delay_bins[k]]
            if delay_bin < 0:
                continue
            found = own[pixels[k]]
            for j in range(starts[found], starts[found + 1]):
                histogram[masks[j], delay_bin] += weights[j]


@numba.njit(cache=True, nogil=True)
def _small_class_histogram(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    classes: NDArray[np.int32],
    plane: NDArray[np.int64],
    rows: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]],
    bin_of: NDArray[np.int32],
    target: NDArray[np.int64],
    out: NDArray,
) -> None:
    """Do the same where all classes' histograms fit the cache: count by class first, then give to masks.

    No photon then takes a branch; those in no mask or left-out bin fall into class 0 or a spare last column.
    """
    starts, masks, weights = rows
    n_classes, n_bins, n_pages = starts.size - 1, out.shape[2], len(bounds) - 1
    table = np.zeros((2, n_classes, n_bins + 1), np.uint32)
    column = np.empty(bin_of.size, np.int64)
    for k in range(bin_of.size):
        column[k] = bin_of[k] if bin_of[k] >= 0 else n_bins
    for i in range(n_pages):
        own, start, stop = classes[plane[i]], bounds[i], bounds[i + 1]
        for k in range(start, stop - 1, 2):
            table[0, np.uint64(own[pixels[k]]), np.uint64(column[delay_bins[k]])] += np.uint32(1)
            table[1, np.uint64(own[pixels[k + 1]]), np.uint64(column[delay_bins[k + 1]])] += np.uint32(1)
        if (stop - start) % 2:
            table[0, own[pixels[stop - 1]], column[delay_bins[stop - 1]]] += np.uint32(1)
        if i + 1 < n_pages and target[i + 1] == target[i]:
            continue
        for found in range(n_classes):
            for j in range(starts[found], starts[found + 1]):
                histogram, weight = out[target[i], masks[j]], weights[j]
                for k in range(n_bins):
                    histogram[k] += weight * (np.float64(table[0, found, k]) + table[1, found, k])
        table[:] = 0


def class_histogram_reference(
    pixels: NDArray[np.int64], delay_bins: NDArray[np.int64], weights: NDArray[np.float64], num_bins: int
) -> NDArray[np.float64]:
    """Return the histograms of masks, shape (masks, num_bins), from ``weights[mask, pixel]``, the slow way."""
    return np.array([np.bincount(delay_bins, mask[pixels], num_bins) for mask in weights])


@numba.njit(cache=True, nogil=True)
def sum_members(per_class: NDArray[np.int64], members: NDArray, out: NDArray) -> None:
    """Sum classes into the masks that they belong to.

    Parameters
    ----------
    per_class : ndarray of int64, shape (n, classes)
        Photons of each class.
    members : ndarray of uint8 or float64, shape (classes, masks)
        Weight of each mask in each class.
    out : ndarray of uint32 or float64, shape (n, masks)
        Filled. A page has fewer than 2^32 photons, and whole numbers below 2^53 are exact in float64.
    """
    n_masks = members.shape[1]
    for i in range(len(per_class)):
        sums = out[i]
        sums[:] = 0
        for found in range(per_class.shape[1]):
            if per_class[i, found] != 0:
                row, count = members[found], sums.dtype.type(per_class[i, found])
                for j in range(n_masks):
                    sums[j] += row[j] * count


def sum_members_reference(per_class: NDArray[np.int64], members: NDArray) -> NDArray[np.float64]:
    """Sum classes into masks the slow way; parameters as for `sum_members`."""
    return per_class.astype(np.float64) @ members.astype(np.float64)
