"""Many masks in one pass: pixels that belong to the same masks form a class, and photons are counted by class.

Masks that do not overlap make one class each, so that a hundred of them cost what one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.kernels.photon_maps import sum_members

__all__ = ["MaskClasses", "make_classes"]

_FEW_CLASSES = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class MaskClasses:
    """Masks as classes of pixels."""

    classes: NDArray[np.int32]
    """Class of each pixel, shape (planes or 1, pixels); class 0 is in no mask."""
    starts: NDArray[np.int64]
    """Masks of class c are ``masks[starts[c]:starts[c + 1]]``, shape (n_classes + 1,)."""
    masks: NDArray[np.int32]
    """Rank of a mask for each pair of class and mask."""
    weights: NDArray[np.float64]
    """Weight of that mask in that class."""
    members: NDArray
    """Weight of each mask in each class, shape (n_classes, n_masks): uint8 of boolean masks, else float64."""
    n_masks: int
    """Number of masks."""
    is_weighted: bool
    """Whether sums are float64; those of boolean masks are uint64."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.starts) - 1

    def planes(self, plane: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of `classes` that holds for pages of these planes.

        Parameters
        ----------
        plane : ndarray of int64
            Plane of each page, -1 for flyback.

        Raises
        ------
        ValueError
            If masks differ by plane, and a page is flyback.
        """
        if len(self.classes) == 1:
            return np.zeros(len(plane), np.int64)
        if (plane < 0).any() or (plane >= len(self.classes)).any():
            raise ValueError("masks are given for each plane, but a frame asked for is flyback and lies in none")
        return plane

    def sum(self, per_class: NDArray) -> NDArray:
        """Return sums of masks from sums of classes.

        Parameters
        ----------
        per_class : ndarray of int64, shape (n, n_classes)

        Returns
        -------
        ndarray, shape (n, n_masks)
        """
        if self.n_classes <= _FEW_CLASSES or per_class.min(initial=0) < 0:
            # float64 holds whole numbers up to 2^53, more photons than a page can have, and is what BLAS multiplies.
            found = per_class.astype(np.float64) @ self.members.astype(np.float64)
        else:
            found = np.empty((len(per_class), self.n_masks), np.float64 if self.is_weighted else np.uint32)
            sum_members(per_class, self.members, found)
        return found if self.is_weighted else found.astype(per_class.dtype)


def make_classes(masks: ArrayLike | Sequence[ArrayLike], shape: tuple[int, int], n_planes: int) -> MaskClasses:
    """Return masks as classes of pixels.

    Parameters
    ----------
    masks : array-like, shape (masks, [planes,] height, width)
        Boolean, or weights; overlaps are allowed.
    shape : tuple of int
        Height and width of a page.
    n_planes : int
        Planes of a volume.

    Returns
    -------
    MaskClasses

    Raises
    ------
    ValueError
        If masks do not fit the pages, or weights are no finite numbers.

    Examples
    --------
    >>> left = np.array([[True, False], [True, False]])
    >>> found = make_classes([left, ~left, left | ~left], (2, 2), 1)
    >>> found.classes.tolist(), found.sum(np.array([[0, 3, 4]])).tolist()
    ([[2, 1, 2, 1]], [[4, 3, 7]])
    """
    stack = np.asarray(masks)
    expected = f"(masks, {shape[0]}, {shape[1]}) or (masks, {n_planes}, {shape[0]}, {shape[1]})"
    if stack.ndim not in (3, 4) or stack.shape[-2:] != shape or (stack.ndim == 4 and stack.shape[1] != n_planes):
        raise ValueError(f"masks have shape {stack.shape}; expected {expected}")
    if stack.dtype.kind not in "buif" or (stack.dtype.kind == "f" and not np.isfinite(stack).all()):
        raise ValueError(f"masks are of type {stack.dtype}; expected bool, or finite weights")
    n_masks = len(stack)
    flat = stack.reshape(n_masks, -1)
    members: NDArray
    if flat.dtype == bool:
        classes, members = _classes_of_bits(flat)
    else:
        rows, inverse = np.unique(flat.T.astype(np.float64), axis=0, return_inverse=True)
        classes, members = inverse.reshape(-1), rows
    empty = np.flatnonzero(~members.any(axis=1))
    order = np.concatenate([empty, np.flatnonzero(members.any(axis=1))]) if empty.size else np.arange(len(members))
    new_of_old = np.empty(len(members), np.int64)
    new_of_old[order] = np.arange(len(members)) + (0 if empty.size else 1)
    classes, members = new_of_old[classes], members[order]
    if not empty.size:
        members = np.concatenate([np.zeros((1, n_masks), members.dtype), members])
    pair_class, pair_mask = np.nonzero(members)
    starts = np.searchsorted(pair_class, np.arange(len(members) + 1))
    return MaskClasses(
        classes.astype(np.int32).reshape(-1, shape[0] * shape[1]),
        starts.astype(np.int64),
        pair_mask.astype(np.int32),
        members[pair_class, pair_mask].astype(np.float64),
        np.ascontiguousarray(members, np.uint8 if stack.dtype == bool else np.float64),
        n_masks,
        stack.dtype != bool,
    )


def _classes_of_bits(flat: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the class of each pixel, and the masks of each class, for boolean masks of shape (masks, pixels)."""
    packed = np.ascontiguousarray(np.packbits(flat, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1) if packed.shape[1] != 1 else packed[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return inverse.reshape(-1), flat[:, first].T
