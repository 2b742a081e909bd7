"""Photons given to the masks that they lie in: counts, sums of delays and phasors, and histograms, in one pass.

`add_photons_reference` is the slow twin.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_photons", "add_photons_reference"]


@numba.njit(cache=True, nogil=True)
def add_photons(
    pixels: NDArray[np.uint32],
    delay_bins: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    wrap: bool,
    members: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]],
    values: NDArray[np.float64],
    bin_of: NDArray[np.int32],
    sums: NDArray[np.float64],
    histograms: NDArray[np.float64],
) -> None:
    """Add photons to every mask that their pixel belongs to.

    Parameters
    ----------
    pixels, delay_bins : ndarray
        Photons, page after page, as recorded.
    bounds : ndarray of int64, shape (n + 1,)
        Photons of page i are ``bounds[i]`` to ``bounds[i + 1] - 1``.
    pages : ndarray of int64, shape (n, 5)
        Row of `sums`, row of `histograms`, plane, dy and dx of each page.
    shape : tuple of int
        Rows and columns.
    wrap : bool
        Photons moved across an edge come in on the other side; else they are left out.
    members : tuple of ndarray
        Masks of voxel v are ``members[1][members[0][v]:members[0][v + 1]]``, their weights in ``members[2]``.
    values : ndarray of float64, shape (num_bins, quantities)
        What a photon of each delay bin adds to each quantity.
    bin_of : ndarray of int32, shape (num_bins,)
        Bin of the histogram for each delay bin.
    sums : ndarray of float64, shape (rows, masks, quantities)
        Added to.
    histograms : ndarray of float64, shape (rows, masks, bins)
        Added to, unless it has no row.
    """
    starts, masks, weights = members
    n_rows, n_columns = shape
    n_quantities = values.shape[1]
    for i in range(len(pages)):
        dy, dx = pages[i, 3], pages[i, 4]
        first_voxel = pages[i, 2] * n_rows * n_columns
        own = sums[pages[i, 0]]
        for k in range(bounds[i], bounds[i + 1]):
            pixel = np.int64(pixels[k])
            if dy != 0 or dx != 0:
                row, column = pixel // n_columns + dy, pixel % n_columns + dx
                if wrap:
                    row, column = row % n_rows, column % n_columns
                elif row < 0 or row >= n_rows or column < 0 or column >= n_columns:
                    continue
                pixel = row * n_columns + column
            voxel = first_voxel + pixel
            for j in range(starts[voxel], starts[voxel + 1]):
                mask, weight, delay = masks[j], weights[j], delay_bins[k]
                for quantity in range(n_quantities):
                    own[mask, quantity] += weight * values[delay, quantity]
                if len(histograms):
                    histograms[pages[i, 1], mask, bin_of[delay]] += weight


def add_photons_reference(
    photons: NDArray[np.int64], masks: NDArray, values: NDArray[np.float64], n_samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add photons the slow way.

    Parameters
    ----------
    photons : ndarray of int64, shape (n, 5)
        Sample, plane, row, column (after shifting) and delay bin.
    masks : ndarray, shape (masks, planes, rows, columns)
    values : ndarray of float64, shape (num_bins, quantities)
    n_samples : int

    Returns
    -------
    sums : ndarray, shape (samples, masks, quantities)
    histograms : ndarray, shape (samples, masks, num_bins)
    """
    sums = np.zeros((n_samples, len(masks), values.shape[1]))
    histograms = np.zeros((n_samples, len(masks), len(values)))
    for sample, plane, row, column, delay in photons:
        if row < 0 or row >= masks.shape[2] or column < 0 or column >= masks.shape[3]:
            continue
        weight = masks[:, plane, row, column].astype(np.float64)
        sums[sample] += weight[:, np.newaxis] * values[delay]
        histograms[sample, :, delay] += weight
    return sums, histograms
