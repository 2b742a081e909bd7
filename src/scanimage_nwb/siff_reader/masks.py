"""Many masks in one pass: pixels that belong to the same masks form a class, and photons are counted by class.

Masks that do not overlap make one class each, so that a hundred of them cost what one does. Masks that overlap make
one class of every set of masks that some pixel lies in. Where these are too many (random masks), masks are taken in
groups of a few: each group has no more classes than it has subsets, and a pass counts for all groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MaskGroup",
    "Masks",
    "as_counts",
    "find_bands",
    "find_runs",
    "leave_out_edges",
    "make_masks",
    "whole_field",
]

_FEW_RUNS = 4
"""Runs of pixels are listed where they hold so many pixels on average."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskGroup:
    """Some of the masks, as classes of pixels."""

    masks: slice
    """Which masks."""
    classes: NDArray[np.uint16]
    """Class of each pixel, shape (planes or 1, pixels); class 0 is in no mask."""
    members: NDArray[np.float64] | None
    """1 where a class is part of a mask, shape (n_classes, n_masks); None if class c is mask c - 1."""
    n_classes: int
    """Number of classes."""

    def sum(self, per_class: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return sums of masks from sums of classes.

        Parameters
        ----------
        per_class : ndarray of int64, shape (n, n_classes - 1, ...)
            From class 1 on.

        Returns
        -------
        ndarray of int64, shape (n, n_masks, ...)
        """
        if self.members is None:
            return per_class
        # float64 holds whole numbers up to 2^53, more photons than a file can have, and is what BLAS multiplies.
        if per_class.ndim == 2:
            return (per_class.astype(np.float64) @ self.members[1:]).astype(np.int64)
        flat = per_class.reshape(*per_class.shape[:2], -1).astype(np.float64)
        summed = (self.members[1:].T @ flat).astype(np.int64)
        return summed.reshape(len(per_class), -1, *per_class.shape[2:])


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
            found[group.masks] = group.sum(per_class).T
        return found[:, plane]

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
    masks: ArrayLike | Sequence[ArrayLike], shape: tuple[int, int], n_planes: int, *, class_bits: int = 10
) -> Masks:
    """Return masks as kernels take them.

    Parameters
    ----------
    masks : array-like, shape (masks, [planes,] height, width)
        Boolean, or weights; overlaps are allowed.
    shape : tuple of int
        Height and width of a page.
    n_planes : int
        Planes of a volume.
    class_bits : int
        Masks that overlap make at most ``2 ** class_bits`` classes a group.

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
    >>> group.classes.tolist(), group.sum(np.array([[3, 4]])).tolist()
    ([[2, 1, 2, 1]], [[4, 3, 7]])
    """
    stack = np.asarray(masks)
    expected = f"(masks, {shape[0]}, {shape[1]}) or (masks, {n_planes}, {shape[0]}, {shape[1]})"
    if stack.ndim not in (3, 4) or stack.shape[-2:] != shape or (stack.ndim == 4 and stack.shape[1] != n_planes):
        raise ValueError(f"masks have shape {stack.shape}; expected {expected}")
    if stack.dtype.kind not in "buif" or (stack.dtype.kind == "f" and not np.isfinite(stack).all()):
        raise ValueError(f"masks are of type {stack.dtype}; expected bool, or finite weights")
    own_planes = stack.shape[1] if stack.ndim == 4 else 1
    if stack.dtype != bool:
        weights = stack.reshape(len(stack), own_planes, -1).astype(np.float64)
        return Masks(len(stack), own_planes, (), weights)
    flat = stack.reshape(len(stack), own_planes * shape[0] * shape[1])
    return Masks(len(stack), own_planes, tuple(_make_groups(flat, own_planes, class_bits)))


def _make_groups(flat: NDArray[np.bool_], n_planes: int, class_bits: int) -> list[MaskGroup]:
    """Return boolean masks of shape (masks, planes * pixels) in as few groups as they need."""
    n_masks, every = len(flat), slice(0, len(flat))
    if np.add.reduce(flat, axis=0, dtype=np.uint32).max(initial=0) <= 1 and n_masks < 1 << 16:
        classes = np.zeros(flat.shape[1], np.uint16)
        mask, pixel = np.nonzero(flat)
        classes[pixel] = mask + 1
        return [MaskGroup(every, classes.reshape(n_planes, -1), None, n_masks + 1)]
    found = _distinct_sets(flat, 1 << class_bits)
    if found is not None:
        return [MaskGroup(every, found[0].reshape(n_planes, -1), found[1], len(found[1]))]
    groups = []
    for first in range(0, n_masks, class_bits):
        part = flat[first : first + class_bits]
        classes = np.zeros(flat.shape[1], np.uint16)
        for bit, mask in enumerate(part):
            classes |= mask.astype(np.uint16) << np.uint16(bit)
        members = (np.arange(1 << len(part))[:, np.newaxis] >> np.arange(len(part)) & 1).astype(np.float64)
        groups.append(MaskGroup(slice(first, first + len(part)), classes.reshape(n_planes, -1), members, len(members)))
    return groups


def _distinct_sets(flat: NDArray[np.bool_], most: int) -> tuple[NDArray[np.uint16], NDArray[np.float64]] | None:
    """Return the class of each pixel, and the masks of each class; None if there are more than `most`."""
    packed = np.ascontiguousarray(np.packbits(flat, axis=0).T)
    wide = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    wide[:, : packed.shape[1]] = packed
    keys = np.zeros(len(packed), np.uint64)
    for word in wide.view(np.uint64).T:
        keys = (keys ^ word) * np.uint64(0x9E3779B97F4A7C15)  # odd: words alone stay distinct
        keys ^= keys >> np.uint64(29)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) >= most or (wide[first][inverse] != wide).any():  # two sets of one key: no more than a loss of speed
        return None
    members = flat[:, first].T.astype(np.float64)
    order = np.argsort(members.any(axis=1), kind="stable")
    has_empty = not members.any(axis=1).all()
    rank = np.empty(len(first), np.uint16)
    rank[order] = np.arange(len(first)) + (not has_empty)
    members = members[order] if has_empty else np.concatenate([np.zeros((1, len(flat))), members[order]])
    return rank[inverse.reshape(-1)], members


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
    return Masks(1, 1, (MaskGroup(slice(0, 1), classes, None, 2),))


def as_counts(sums: NDArray) -> NDArray:
    """Return sums of photons as uint64, or weighted sums as they are."""
    return sums.view(np.uint64) if sums.dtype == np.int64 else sums
