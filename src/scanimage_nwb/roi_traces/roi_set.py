"""`RoiSet`: masks with identity, kept as lists of voxels, so that a thousand of them cost little."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces.polygons import pixels_in_polygon
from scanimage_nwb.roi_traces.roi_checks import (
    RoiId,
    check_ids,
    check_weights,
    name_of,
    refuse_empty,
    refuse_twice,
    three_axes,
    volume_shape,
)

__all__ = ["RoiId", "RoiSet"]


@dataclass(frozen=True, slots=True, eq=False)
class RoiSet:
    """Masks of one plane or volume: overlapping or not, weighted or not, each in one plane or through several.

    A mask is the list of its voxels, counted plane by plane, row by row. Make one with `from_labels`, `from_masks`,
    `from_pixels` or `from_polygons`, which check what they are given.

    Examples
    --------
    >>> rois = RoiSet.from_labels(np.array([[1, 1, 0], [0, 7, 7]]))
    >>> rois.ids, rois.n_voxels.tolist(), rois.plane.tolist()
    ((1, 7), [2, 2], [0, 0])
    >>> rois.to_masks()[1, 0].tolist()
    [[False, False, False], [False, True, True]]
    """

    shape: tuple[int, int, int]
    """Planes, rows and columns of the volume that the masks lie in."""
    ids: tuple[RoiId, ...]
    """Identity of each mask: whole numbers or texts, none twice."""
    starts: NDArray[np.int64]
    """Voxels of mask i are ``voxels[starts[i]:starts[i + 1]]``, shape (n_rois + 1,)."""
    voxels: NDArray[np.int64]
    """Flat voxel, (plane * rows + row) * columns + column, ascending within a mask."""
    weights: NDArray[np.floating] | None = None
    """Weight of each voxel; None if all are 1."""
    names: tuple[str, ...] = ()
    """What people call the masks; by default their ids."""
    properties: Mapping[str, NDArray] = field(default_factory=dict)
    """Further facts, each of shape (n_rois, ...), such as ``accepted``."""

    @property
    def n_rois(self) -> int:
        """Number of masks."""
        return len(self.ids)

    def __len__(self) -> int:
        return self.n_rois

    @property
    def n_voxels(self) -> NDArray[np.int64]:
        """Voxels of each mask, shape (n_rois,)."""
        return np.diff(self.starts)

    @property
    def owner(self) -> NDArray[np.int64]:
        """Rank of the mask that each of `voxels` belongs to."""
        return np.repeat(np.arange(self.n_rois), self.n_voxels)

    @property
    def plane(self) -> NDArray[np.int64]:
        """Plane of each mask, -1 for a mask that lies in several (or has no voxel), shape (n_rois,)."""
        z = self.voxels // (self.shape[1] * self.shape[2])
        found = np.full(self.n_rois, -1)
        filled = np.flatnonzero(self.n_voxels)
        first, last = z[self.starts[filled]], z[self.starts[filled + 1] - 1]
        found[filled] = np.where(first == last, first, -1)
        return found

    @property
    def weight_sum(self) -> NDArray[np.float64]:
        """Sum of the weights of each mask, shape (n_rois,)."""
        if self.weights is None:
            return self.n_voxels.astype(np.float64)
        return np.bincount(self.owner, self.weights, self.n_rois).astype(np.float64)

    @property
    def centroid(self) -> NDArray[np.float64]:
        """Weighted mean of plane, row and column of each mask, shape (n_rois, 3)."""
        weights = np.ones(len(self.voxels)) if self.weights is None else self.weights.astype(np.float64)
        at = np.unravel_index(self.voxels, self.shape)
        with np.errstate(invalid="ignore"):  # masks without a voxel
            return (
                np.stack([np.bincount(self.owner, axis * weights, self.n_rois) for axis in at], 1)
                / (self.weight_sum[:, np.newaxis])
            )

    def pixels(self, roi: int) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
        """Return the voxels of one mask.

        Parameters
        ----------
        roi : int
            Its rank.

        Returns
        -------
        pixels : ndarray of int64, shape (n, 3)
            Plane, row and column.
        weights : ndarray, shape (n,)
        """
        cut = slice(self.starts[roi], self.starts[roi + 1])
        pixels = np.stack(np.unravel_index(self.voxels[cut], self.shape), axis=1)
        return pixels, np.ones(len(pixels), np.float32) if self.weights is None else self.weights[cut]

    def to_masks(self, start: int = 0, stop: int | None = None) -> NDArray:
        """Return masks as arrays; mind their size.

        Parameters
        ----------
        start, stop : int
            Ranks of the masks wanted; by default all.

        Returns
        -------
        ndarray, shape (masks, planes, rows, columns)
            Boolean, or weights.
        """
        stop = self.n_rois if stop is None else stop
        cut = slice(self.starts[start], self.starts[stop])
        masks = np.zeros((stop - start, int(np.prod(self.shape))), bool if self.weights is None else self.weights.dtype)
        masks[self.owner[cut] - start, self.voxels[cut]] = True if self.weights is None else self.weights[cut]
        return masks.reshape(-1, *self.shape)

    def select(self, rois: ArrayLike) -> "RoiSet":
        """Return some of the masks, in the order asked for.

        Parameters
        ----------
        rois : array-like
            Their ranks, or True for each that is wanted.

        Returns
        -------
        RoiSet
        """
        wanted = np.arange(self.n_rois)[np.asarray(rois)]
        n = self.n_voxels[wanted]
        at = np.repeat(self.starts[wanted] - np.cumsum(n) + n, n) + np.arange(n.sum())
        return replace(
            self,
            ids=tuple(self.ids[i] for i in wanted),
            names=tuple(self.names[i] for i in wanted),
            starts=np.concatenate([[0], np.cumsum(n)]),
            voxels=self.voxels[at],
            weights=None if self.weights is None else self.weights[at],
            properties={key: values[wanted] for key, values in self.properties.items()},
        )

    def in_plane(self, plane: int, n_planes: int) -> "RoiSet":
        """Put masks of a single plane into one plane of a volume.

        Parameters
        ----------
        plane : int
            Plane they go to, from 0.
        n_planes : int
            Planes of the volume.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            If the masks are a volume's already, or there is no such plane.
        """
        self._refuse_volume("put into a plane")
        if not 0 <= plane < n_planes:
            raise RoiError(f"masks are to go to plane {plane}; there are {n_planes}, from 0")
        rows, columns = self.shape[1:]
        return replace(self, shape=(n_planes, rows, columns), voxels=self.voxels + plane * rows * columns)

    def through_planes(self, n_planes: int) -> "RoiSet":
        """Repeat masks of a single plane through all planes of a volume, as one mask each.

        Parameters
        ----------
        n_planes : int
            Planes of the volume.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            If the masks are a volume's already.
        """
        self._refuse_volume("repeated through planes")
        size = self.shape[1] * self.shape[2]
        voxels = (self.voxels + size * np.arange(n_planes)[:, np.newaxis]).reshape(-1)
        weights = None if self.weights is None else np.tile(self.weights, n_planes)
        order = np.argsort(np.tile(self.owner, n_planes), kind="stable")
        return replace(
            self,
            shape=(n_planes, *self.shape[1:]),
            starts=self.starts * n_planes,
            voxels=voxels[order],
            weights=None if weights is None else weights[order],
        )

    @classmethod
    def join(cls, sets: Sequence["RoiSet"], prefixes: Sequence[str]) -> "RoiSet":
        """Put masks of several sets into one.

        Parameters
        ----------
        sets : sequence of RoiSet
            All of one shape. Properties that not all of them have are left out.
        prefixes : sequence of str
            Goes before the ids and names of each set, such as ``"plane0_"``.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            If shapes differ, or ids occur twice.
        """
        if len({rois.shape for rois in sets}) != 1:
            raise RoiError(f"masks to be joined lie in {sorted({rois.shape for rois in sets})}; expected one shape")
        before = np.cumsum([0, *(rois.n_rois for rois in sets)])
        weights = None
        if any(rois.weights is not None for rois in sets):
            weights = np.concatenate(
                [np.ones(len(rois.voxels), np.float32) if rois.weights is None else rois.weights for rois in sets]
            )
        common = set.intersection(*(set(rois.properties) for rois in sets))
        return cls._from_lists(
            np.concatenate([rois.owner + n for rois, n in zip(sets, before, strict=False)]),
            np.concatenate([rois.voxels for rois in sets]),
            weights,
            sets[0].shape,
            ids=[f"{prefix}{own}" for rois, prefix in zip(sets, prefixes, strict=True) for own in rois.ids],
            names=[f"{prefix}{own}" for rois, prefix in zip(sets, prefixes, strict=True) for own in rois.names],
            properties={key: np.concatenate([rois.properties[key] for rois in sets]) for key in sorted(common)},
        )

    def _refuse_volume(self, what: str) -> None:
        if self.shape[0] != 1:
            raise RoiError(f"masks of {self.shape[0]} planes cannot be {what}; expected masks of one plane")

    @classmethod
    def from_labels(cls, labels: ArrayLike, *, names: Mapping[int, str] | None = None) -> "RoiSet":
        """Make masks of a label image: every number but 0 is a mask, and its id.

        Parameters
        ----------
        labels : array-like of int, shape (rows, columns) or (planes, rows, columns)
            A label in several planes is one mask through them.
        names : mapping, optional
            Label to name.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            If it is no label image, or has no label.
        """
        image = np.asarray(labels)
        if image.ndim not in (2, 3) or image.dtype.kind not in "iub" or (image.dtype.kind == "i" and image.min() < 0):
            raise RoiError(
                f"a label image has shape {image.shape} and type {image.dtype}; expected whole numbers from 0, "
                "(rows, columns) or (planes, rows, columns)"
            )
        voxels = np.flatnonzero(image)
        ids, owner = np.unique(image.reshape(-1)[voxels], return_inverse=True)
        if not len(ids):
            raise RoiError(f"a label image of shape {image.shape} has no label but 0: there is no mask in it")
        known = names or {}
        return cls._from_lists(
            owner,
            voxels,
            None,
            volume_shape(image.shape),
            ids=[int(found) for found in ids],
            names=[known.get(int(found), str(found)) for found in ids],
        )

    @classmethod
    def from_masks(cls, masks: ArrayLike, **about: Any) -> "RoiSet":
        """Make masks of arrays.

        Parameters
        ----------
        masks : array-like, shape (masks, rows, columns) or (masks, planes, rows, columns)
            Boolean, or weights: finite numbers, 0 outside.
        **about
            ``ids``, ``names`` and ``properties``, each with an entry for each mask; ids count from 0 by default.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            If a mask is empty, weights are no finite numbers, or ids occur twice.
        """
        stack = np.asarray(masks)
        if stack.ndim not in (3, 4) or stack.dtype.kind not in "buif":
            raise RoiError(
                f"masks have shape {stack.shape} and type {stack.dtype}; expected (masks, rows, columns) or (masks, "
                "planes, rows, columns), boolean or weights"
            )
        flat = stack.reshape(len(stack), int(np.prod(stack.shape[1:])))
        owner, voxels = np.nonzero(flat)  # NaN counts as not zero, and is refused below
        weights = None if stack.dtype == bool else flat[owner, voxels]
        return cls._from_lists(owner, voxels, weights, volume_shape(stack.shape[1:]), n_rois=len(stack), **about)

    @classmethod
    def from_pixels(
        cls,
        pixels: Sequence[ArrayLike],
        shape: tuple[int, ...],
        *,
        weights: Sequence[ArrayLike] | None = None,
        **about: Any,
    ) -> "RoiSet":
        """Make masks of lists of pixels.

        Parameters
        ----------
        pixels : sequence of array-like of int, each of shape (n, 2) or (n, 3)
            Row and column, or plane, row and column, of each mask.
        shape : tuple of int
            Rows and columns, or planes, rows and columns.
        weights : sequence of array-like, optional
            Weight of each pixel; by default 1.
        **about
            As for `from_masks`.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            As `from_masks`; and if a pixel lies outside, or occurs twice in a mask.
        """
        volume = volume_shape(shape)
        lists = [three_axes(found, rank) for rank, found in enumerate(pixels)]
        owner = np.repeat(np.arange(len(lists)), [len(found) for found in lists])
        at = np.concatenate(lists) if lists else np.empty((0, 3), np.int64)
        outside = np.flatnonzero((at < 0).any(axis=1) | (at >= volume).any(axis=1))
        if outside.size:
            plane, row, column = at[outside[0]].tolist()
            raise RoiError(
                f"mask {name_of(owner[outside[0]], about)} has a pixel at plane {plane}, row {row}, column {column}, "
                f"outside {volume[0]} plane(s) of {volume[1]} x {volume[2]}; it belongs to another recording, or "
                "counts from 1"
            )
        flat_weights = None
        if weights is not None:
            lengths = [np.shape(found) for found in weights]
            if lengths != [(len(found),) for found in lists]:
                raise RoiError(f"weights have shapes {lengths[:3]} …; expected one for each pixel of each mask")
            flat_weights = np.concatenate([np.asarray(found) for found in weights]) if lists else None
        voxels = np.ravel_multi_index(tuple(at.T), volume)
        return cls._from_lists(owner, voxels, flat_weights, volume, n_rois=len(lists), **about)

    @classmethod
    def from_polygons(
        cls, polygons: Sequence[ArrayLike], shape: tuple[int, ...], *, planes: Sequence[int] | None = None, **about: Any
    ) -> "RoiSet":
        """Make masks of polygons: a pixel whose centre lies inside belongs to the mask.

        Parameters
        ----------
        polygons : sequence of array-like, each of shape (n, 2)
            Row and column of the corners, on a grid where pixels have their centres at whole numbers. What lies
            outside the field is cut off.
        shape : tuple of int
            Rows and columns, or planes, rows and columns.
        planes : sequence of int, optional
            Plane of each polygon; by default 0.
        **about
            As for `from_masks`.

        Returns
        -------
        RoiSet

        Raises
        ------
        RoiError
            As for `from_pixels`; and if a polygon has fewer than three corners.

        Examples
        --------
        >>> rois = RoiSet.from_polygons([[(-0.5, -0.5), (-0.5, 1.5), (1.5, 1.5), (1.5, -0.5)]], (3, 4))
        >>> rois.to_masks()[0, 0].astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
        """
        volume = volume_shape(shape)
        pixels = []
        for rank, corners in enumerate(polygons):
            found = np.asarray(corners, np.float64)
            if found.ndim != 2 or found.shape[1] != 2 or len(found) < 3 or not np.isfinite(found).all():
                raise RoiError(
                    f"polygon {name_of(rank, about)} has corners of shape {found.shape}; expected at least three "
                    "finite pairs of row and column"
                )
            inside = pixels_in_polygon(found, volume[1:])
            plane = 0 if planes is None else planes[rank]
            pixels.append(np.column_stack([np.full(len(inside), plane), inside]))
        return cls.from_pixels(pixels, volume, **about)

    @classmethod
    def _from_lists(
        cls,
        owner: NDArray[np.integer],
        voxels: NDArray[np.int64],
        weights: NDArray | None,
        shape: tuple[int, int, int],
        *,
        n_rois: int | None = None,
        ids: Sequence[RoiId] | None = None,
        names: Sequence[str] | None = None,
        properties: Mapping[str, ArrayLike] | None = None,
        may_be_empty: bool = False,
    ) -> "RoiSet":
        """Sort and check lists of voxels, each with the mask it belongs to."""
        n_rois = len(ids) if n_rois is None and ids is not None else int(n_rois or 0)
        found_ids = check_ids(range(n_rois) if ids is None else ids, n_rois)
        found_names = tuple(map(str, found_ids if names is None else names))
        found_properties = {key: np.asarray(values) for key, values in (properties or {}).items()}
        for key, n in [("names", len(found_names)), *((key, len(found)) for key, found in found_properties.items())]:
            if n != n_rois:
                raise RoiError(f"{key} has {n} entries; there are {n_rois} masks")
        kept = slice(None)
        if weights is not None:
            weights = check_weights(weights, owner, found_ids)
            kept = weights != 0
        owner, voxels = owner[kept], voxels[kept]
        order = np.lexsort((voxels, owner))
        owner, voxels = owner[order], voxels[order]
        weights = None if weights is None else weights[kept][order]
        refuse_twice(owner, voxels, found_ids, shape)
        starts = np.searchsorted(owner, np.arange(n_rois + 1)).astype(np.int64)
        rois = cls(shape, found_ids, starts, voxels.astype(np.int64), weights, found_names, found_properties)
        if not may_be_empty:
            refuse_empty(rois)
        return rois
