"""From sums of classes of pixels to sums of masks: each mask is a list of classes.

`add_masks_reference` is the slow twin.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_masks", "add_masks_reference"]


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
