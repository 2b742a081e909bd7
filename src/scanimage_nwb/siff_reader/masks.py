"""Many masks in one pass: pixels that belong to the same masks form a class, and photons are counted by class.

Masks that do not overlap make one class each, so that a hundred of them cost what one does. Masks that overlap make
one class of every set of masks that some pixel lies in. Where these are too many (random masks), masks are taken in
groups of a few: each group has no more classes than it has subsets, and a pass counts for all groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "MOST_CLASSES",
    "MaskGroup",
    "Masks",
    "as_counts",
    "find_bands",
    "find_runs",
    "leave_out_edges",
    "make_masks",
    "whole_field",
]

MOST_CLASSES = 1 << 13
"""Where masks overlap in more ways, to add classes up costs more than to count groups of masks one by one."""
_MOST_BITS = 10
"""Masks of a group, which has a class for each of their sets."""
_SPARSE = 0.1
"""Weights of which fewer are not 0 are multiplied one by one."""
_FEW_RUNS = 4
"""Runs of pixels are listed where they hold so many pixels on average."""


@dataclass(frozen=True, eq=False)
class MaskGroup:
    """Some of the masks, as classes of pixels."""

    masks: slice
    """Which masks."""
    classes: NDArray[np.uint16]
    """Class of each pixel, shape (planes or 1, pixels); class 0 is in no mask."""
    starts: NDArray[np.int64]
    """Mask i is made of the classes ``members[starts[i]:starts[i + 1]]``, shape (n_masks + 1,)."""
    members: NDArray[np.int32]
    """Classes of the masks, from 1."""
    n_classes: int
    """Number of classes."""

    @cached_property
    def is_disjoint(self) -> bool:
        """Whether class c is mask c - 1."""
        n = self.n_classes - 1
        return np.array_equal(self.starts, np.arange(n + 1)) and np.array_equal(self.members, np.arange(1, n + 1))

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        """1 where a mask holds a class, shape (n_masks, n_classes - 1)."""
        table = np.zeros((len(self.starts) - 1, self.n_classes - 1))
        table[np.repeat(np.arange(len(table)), np.diff(self.starts)), self.members - 1] = 1
        return table

    def sum(self, per_class: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return histograms of masks from histograms of classes.

        Parameters
        ----------
        per_class : ndarray of int64, shape (n, n_classes - 1, bins)
            From class 1 on.

        Returns
        -------
        ndarray of int64, shape (n, n_masks, bins)
        """
        if self.is_disjoint:
            return per_class
        # float64 holds whole numbers up to 2^53, more photons than a file can have, and is what BLAS multiplies.
        summed: NDArray[np.int64] = (self._table @ per_class.astype(np.float64)).astype(np.int64)
        return summed


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks as kernels take them: groups of classes, or weights."""

    n_masks: int
    """Number of masks."""
    n_planes: int
    """Planes that masks are given for; 1 if they are the same for all."""
    groups: tuple[MaskGroup, ...]
    """All masks; none if there are weights."""
    weights: NDArray[np.float64] | None = None
    """Weight of each pixel, shape (masks, planes, pixels)."""

    @property
    def dtype(self) -> type:
        """Type of sums: float64 of weighted masks, else int64."""
        return np.int64 if self.weights is None else np.float64

    @property
    def n_classes(self) -> int:
        """Largest number of classes of a group."""
        return max(group.n_classes for group in self.groups)

    @cached_property
    def stacked(self) -> NDArray[np.uint16]:
        """Class of each pixel in each group, shape (planes, groups, pixels)."""
        return np.stack([group.classes for group in self.groups], axis=1)

    @cached_property
    def runs(self) -> tuple[NDArray[np.int64], ...]:
        """Runs of pixels of one class, as `kernels.photon_sums` takes them, of each group."""
        return tuple(find_runs(group.classes) for group in self.groups)

    def n_pixels(self, plane: NDArray[np.int64]) -> NDArray:
        """Return the pixels of each mask on given planes of the masks, or their weights together, (masks, n)."""
        if self.weights is not None:
            return self.weights.sum(axis=2)[:, plane]
        found = np.empty((self.n_masks, self.n_planes), np.int64)
        for group in self.groups:
            per_class = np.array([np.bincount(own, minlength=group.n_classes)[1:] for own in group.classes])
            found[group.masks] = group.sum(per_class[..., np.newaxis])[..., 0].T
        return found[:, plane]

    @cached_property
    def weight_tables(self) -> "list[NDArray[np.float64] | csr_array]":
        """Weights of each plane, shape (masks, pixels): sparse if most are 0."""
        from scipy.sparse import csr_array

        assert self.weights is not None
        tables = [self.weights[:, plane] for plane in range(self.n_planes)]
        few = np.count_nonzero(self.weights) < _SPARSE * self.weights.size
        return [csr_array(table) for table in tables] if few else tables

    def planes(self, plane: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the plane of the masks that holds for pages of these planes.

        Parameters
        ----------
        plane : ndarray of int64
            Plane of each page, -1 for flyback.

        Raises
        ------
        ValueError
            If masks differ by plane, and a page is flyback.
        """
        if self.n_planes == 1:
            return np.zeros(len(plane), np.int64)
        if (plane < 0).any() or (plane >= self.n_planes).any():
            raise ValueError("masks are given for each plane, but a frame asked for is flyback and lies in none")
        return plane


def leave_out_edges(
    masks: Masks, plane: NDArray[np.int64], shifts: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[Masks, NDArray[np.int64]]:
    """Take from masks what a shift brought in from beyond the edge of the frame.

    Parameters
    ----------
    masks : Masks
        As `make_masks` makes them.
    plane : ndarray of int64, shape (n,)
        Plane of each page, -1 for flyback.
    shifts : ndarray of int64, shape (n, 2)
        dy and dx of each page, not negative and smaller than the page: remainders of height and width.
    shape : tuple of int
        Height and width of a page.

    Returns
    -------
    masks : Masks
        With a plane for every plane and shift that occur together.
    plane : ndarray of int64, shape (n,)
        Which of these each page has.

    Examples
    --------
    >>> masks = make_masks(np.ones((1, 2, 3), bool), (2, 3), 1)
    >>> cut, plane = leave_out_edges(masks, np.array([0, 0]), np.array([[0, 2], [0, 0]]), (2, 3))
    >>> cut.groups[0].classes[plane].tolist()
    [[1, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1]]
    """
    if not len(plane):
        return masks, plane
    kinds, own = np.unique(np.column_stack([masks.planes(plane), shifts]), axis=0, return_inverse=True)
    outside = np.zeros((len(kinds), *shape), bool)
    for pixels, shift in zip(outside, kinds[:, 1:].tolist(), strict=True):
        for axis, (by, n) in enumerate(zip(shift, shape, strict=True)):
            np.moveaxis(pixels, axis, 0)[slice(0, by) if by <= n / 2 else slice(by - n, None)] = True
    flat = outside.reshape(len(kinds), -1)
    groups = [
        replace(group, classes=np.where(flat, np.uint16(0), group.classes[kinds[:, 0]])) for group in masks.groups
    ]
    weights = None if masks.weights is None else np.where(flat, 0.0, masks.weights[:, kinds[:, 0]])
    return Masks(masks.n_masks, len(kinds), tuple(groups), weights), own.reshape(-1).astype(np.int64)


def make_masks(
    masks: ArrayLike | Sequence[ArrayLike],
    shape: tuple[int, int],
    n_planes: int,
    *,
    most_classes: int = MOST_CLASSES,
) -> Masks:
    """Return masks as kernels take them.

    Parameters
    ----------
    masks : array-like, shape (masks, [planes,] height, width)
        Boolean, or weights; overlaps are allowed. Whole numbers that are all 0 or 1 count as boolean.
    shape : tuple of int
        Height and width of a page.
    n_planes : int
        Planes of a volume.
    most_classes : int
        Masks that overlap in more ways are taken in groups of a few.

    Returns
    -------
    Masks

    Raises
    ------
    ValueError
        If masks do not fit the pages, or weights are no finite numbers.

    Examples
    --------
    >>> left = np.array([[True, False], [True, False]])
    >>> (group,) = make_masks([left, ~left, left | ~left], (2, 2), 1).groups
    >>> group.classes.tolist(), group.starts.tolist(), group.members.tolist()
    ([[2, 1, 2, 1]], [0, 1, 2, 4], [2, 1, 1, 2])
    """
    stack = np.asarray(masks)
    expected = f"(masks, {shape[0]}, {shape[1]}) or (masks, {n_planes}, {shape[0]}, {shape[1]})"
    if stack.ndim not in (3, 4) or stack.shape[-2:] != shape or (stack.ndim == 4 and stack.shape[1] != n_planes):
        raise ValueError(f"masks have shape {stack.shape}; expected {expected}")
    if stack.dtype.kind not in "buif" or (stack.dtype.kind == "f" and not np.isfinite(stack).all()):
        raise ValueError(f"masks are of type {stack.dtype}; expected bool, or finite weights")
    own_planes = stack.shape[1] if stack.ndim == 4 else 1
    if stack.dtype.kind in "ui" and stack.size and stack.min() >= 0 and stack.max() <= 1:
        stack = stack.astype(bool)
    if stack.dtype != bool:
        weights = stack.reshape(len(stack), own_planes, -1).astype(np.float64)
        return Masks(len(stack), own_planes, (), weights)
    flat = stack.reshape(len(stack), own_planes * shape[0] * shape[1])
    return Masks(len(stack), own_planes, tuple(_make_groups(flat, own_planes, most_classes)))


def _make_groups(flat: NDArray[np.bool_], n_planes: int, most_classes: int) -> list[MaskGroup]:
    """Return boolean masks of shape (masks, planes * pixels) in as few groups as they need."""
    n_masks, every = len(flat), slice(0, len(flat))
    if n_masks < 1 << 16 and np.count_nonzero(flat) == np.count_nonzero(flat.any(axis=0)):
        classes = np.zeros(flat.shape[1], np.uint16)
        place = np.flatnonzero(flat)
        classes[place % flat.shape[1]] = place // flat.shape[1] + 1
        starts = np.arange(n_masks + 1, dtype=np.int64)
        return [MaskGroup(every, classes.reshape(n_planes, -1), starts, starts[1:].astype(np.int32), n_masks + 1)]
    found = _distinct_sets(flat, most_classes)
    if found is not None:
        return [_group(every, found[0].reshape(n_planes, -1), found[1])]
    groups, class_bits = [], min(_MOST_BITS, most_classes.bit_length() - 1)
    for first in range(0, n_masks, class_bits):
        part = flat[first : first + class_bits]
        classes = np.zeros(flat.shape[1], np.uint16)
        for bit, mask in enumerate(part):
            classes |= mask.astype(np.uint16) << np.uint16(bit)
        table = np.arange(1 << len(part)) >> np.arange(len(part))[:, np.newaxis] & 1
        groups.append(_group(slice(first, first + len(part)), classes.reshape(n_planes, -1), table.astype(bool)))
    return groups


def _group(masks: slice, classes: NDArray[np.uint16], table: NDArray[np.bool_]) -> MaskGroup:
    """Return a group from a table of which mask holds which class, shape (n_masks, n_classes)."""
    starts = np.concatenate([[0], np.cumsum(table.sum(axis=1))]).astype(np.int64)
    return MaskGroup(masks, classes, starts, np.nonzero(table)[1].astype(np.int32), table.shape[1])


def _distinct_sets(flat: NDArray[np.bool_], most: int) -> tuple[NDArray[np.uint16], NDArray[np.bool_]] | None:
    """Return the class of each pixel, and the classes of each mask, (masks, classes); None if they are too many."""
    keys = np.zeros(flat.shape[1], np.uint64)
    for mask, key in zip(flat, np.random.default_rng(0).integers(1, 1 << 63, len(flat), np.uint64), strict=True):
        keys += mask * key  # a sum of random numbers tells which masks a pixel lies in
    distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if len(distinct) >= most:
        return None
    table, inverse = flat[:, first], inverse.reshape(-1)
    if any((own[inverse] != mask).any() for own, mask in zip(table, flat, strict=True)):
        return None  # two sets of one key: no more than a loss of speed
    if table[:, 0].any():  # no pixel lies outside all masks
        table, inverse = np.concatenate([np.zeros((len(flat), 1), bool), table], axis=1), inverse + 1
    return inverse.astype(np.uint16), table


def find_runs(classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the runs of pixels of one class.

    Parameters
    ----------
    classes : ndarray of uint16, shape (planes, pixels)

    Returns
    -------
    ndarray of int64, shape (planes, runs, 2)
        The pixel behind the last one of each run, and its class; the last one repeated where planes have fewer. No
        run at all if they are too many to be of use.

    Examples
    --------
    >>> find_runs(np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]], np.uint16)).tolist()
    [[[5, 0], [10, 1]]]
    """
    n_planes, n_pixels = classes.shape
    stops = [np.append(np.flatnonzero(np.diff(own)) + 1, n_pixels) for own in classes]
    most = max(len(own) for own in stops)
    if most * _FEW_RUNS > n_pixels and most > 1:
        return np.empty((n_planes, 0, 2), np.int64)
    runs = np.empty((n_planes, most, 2), np.int64)
    for plane, own in enumerate(stops):
        padded = np.pad(own, (0, most - len(own)), mode="edge")
        runs[plane] = np.column_stack([padded, classes[plane, padded - 1]])
    return runs


def find_bands(classes: NDArray[np.uint16], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the bands of rows in which every row has the same classes.

    Parameters
    ----------
    classes : ndarray of uint16, shape (planes, pixels)
    shape : tuple of int
        Height and width of a page.

    Returns
    -------
    ndarray of int64, shape (planes, bands)
        The row behind the last one of each band; the last one repeated where planes have fewer.

    Examples
    --------
    >>> find_bands(np.array([[0, 1, 0, 1, 2, 2]], np.uint16), (3, 2)).tolist()
    [[2, 3]]
    """
    by_row = classes.reshape(len(classes), *shape)
    stops = [np.append(np.flatnonzero((own[1:] != own[:-1]).any(axis=1)) + 1, shape[0]) for own in by_row]
    most = max(len(own) for own in stops)
    return np.stack([np.pad(own, (0, most - len(own)), mode="edge") for own in stops])


def whole_field(n_pixels: int) -> Masks:
    """Return the mask of all pixels."""
    classes = np.ones((1, n_pixels), np.uint16)
    return Masks(1, 1, (MaskGroup(slice(0, 1), classes, np.array([0, 1]), np.ones(1, np.int32), 2),))


def as_counts(sums: NDArray) -> NDArray:
    """Return sums of photons as uint64, or weighted sums as they are."""
    return sums.view(np.uint64) if sums.dtype == np.int64 else sums
