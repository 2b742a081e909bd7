"""From pixels to sums of their classes, and from these to sums of masks: each mask is a list of classes.

The ``_reference`` of each kernel is its slow twin.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_masks", "add_masks_reference", "sum_pixel_classes", "sum_pixel_classes_reference"]

_N_TABLES = 4
"""Neighbouring pixels are often of one class: several tables keep each from waiting for the one before."""


@numba.njit(cache=True, nogil=True)
def sum_pixel_classes(pixels: NDArray, classes: NDArray[np.uint16], plane: NDArray[np.int64], out: NDArray) -> None:
    """Sum the pixels of every class.

    Parameters
    ----------
    pixels : ndarray of any number type, shape (n, n_pixels)
        Frames.
    classes : ndarray of uint16, shape (planes, groups, n_pixels)
        Class of each pixel, smaller than `n_classes`, in each group.
    plane : ndarray of int64, shape (n,)
        Plane of `classes` for each frame.
    out : ndarray of int64 or float64, shape (n, groups, n_classes)
        Filled.
    """
    n_classes, n_pixels = out.shape[2], pixels.shape[1]
    tables = np.empty((_N_TABLES, n_classes), out.dtype)
    for i in range(len(pixels)):
        frame = pixels[i]
        for group in range(classes.shape[1]):
            own = classes[plane[i], group]
            tables[:] = 0
            whole = n_pixels // _N_TABLES * _N_TABLES
            for pixel in range(0, whole, _N_TABLES):
                for table in range(_N_TABLES):
                    tables[table, np.uint64(own[pixel + table])] += frame[pixel + table]
            for pixel in range(whole, n_pixels):
                tables[0, np.uint64(own[pixel])] += frame[pixel]
            for found in range(n_classes):
                out[i, group, found] = tables[:, found].sum()


def sum_pixel_classes_reference(
    pixels: NDArray, classes: NDArray[np.uint16], plane: NDArray[np.int64], n_classes: int
) -> NDArray:
    """Return sums of classes the slow way; parameters as for `sum_pixel_classes`."""
    kind = np.float64 if pixels.dtype.kind == "f" else np.int64
    out = np.zeros((len(pixels), classes.shape[1], n_classes), kind)
    for i, group in np.ndindex(out.shape[:2]):
        np.add.at(out[i, group], classes[plane[i], group], pixels[i].astype(kind))
    return out


@numba.njit(cache=True, nogil=True)
def add_masks(
    per_class: NDArray[np.int64],
    starts: NDArray[np.int64],
    members: NDArray[np.int32],
    columns: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Add the sums of the classes of every mask, and turn pages into columns.

    Parameters
    ----------
    per_class : ndarray of int64, shape (n, n_classes)
        Sums of classes of each page.
    starts : ndarray of int64, shape (n_masks + 1,)
        Classes of mask m are ``members[starts[m]:starts[m + 1]]``.
    members : ndarray of int32
        Classes of the masks.
    columns : ndarray of int64, shape (n,)
        Column of `out` that each page is added to.
    out : ndarray of int64, shape (n_masks, columns)
        Added to.
    """
    for mask in range(len(starts) - 1):
        row = out[mask]
        for k in range(starts[mask], starts[mask + 1]):
            own = np.uint64(members[k])
            for i in range(len(columns)):
                row[np.uint64(columns[i])] += per_class[i, own]


def add_masks_reference(
    per_class: NDArray[np.int64], masks: NDArray[np.bool_], columns: NDArray[np.int64], n_columns: int
) -> NDArray[np.int64]:
    """Return sums of masks the slow way: ``masks[mask, class]`` tells which classes a mask is made of."""
    out = np.zeros((len(masks), n_columns), np.int64)
    for mask, own in enumerate(masks):
        np.add.at(out[mask], columns, (per_class * own).sum(axis=1))
    return out
