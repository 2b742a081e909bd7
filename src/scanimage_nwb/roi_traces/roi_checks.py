"""What masks are checked for when they are made, and the messages that name what is wrong."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError

if TYPE_CHECKING:
    from scanimage_nwb.roi_traces.roi_set import RoiSet

__all__ = [
    "RoiId",
    "check_ids",
    "check_weights",
    "name_of",
    "refuse_empty",
    "refuse_twice",
    "three_axes",
    "volume_shape",
]

RoiId = int | str


def refuse_twice(
    owner: NDArray[np.integer], voxels: NDArray[np.int64], ids: tuple[RoiId, ...], shape: tuple[int, int, int]
) -> None:
    """Refuse voxels that a mask lists twice; owners and voxels are sorted."""
    twice = np.flatnonzero((np.diff(owner) == 0) & (np.diff(voxels) == 0))
    if twice.size:
        plane, row, column = (int(axis) for axis in np.unravel_index(voxels[twice[0]], shape))
        raise RoiError(
            f"mask {ids[owner[twice[0]]]!r} lists the pixel at plane {plane}, row {row}, column {column} twice; "
            "expected each once, with its weight"
        )


def volume_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return planes, rows and columns."""
    sizes = tuple(int(n) for n in shape)
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise RoiError(f"the shape of the field is {shape}; expected (rows, columns) or (planes, rows, columns)")
    rows, columns = sizes[-2:]
    return (sizes[0] if len(sizes) == 3 else 1), rows, columns


def three_axes(pixels: ArrayLike, rank: int) -> NDArray[np.int64]:
    """Return pixels as plane, row and column."""
    found = np.asarray(pixels)
    if found.size == 0:
        return np.empty((0, 3), np.int64)
    if found.ndim != 2 or found.shape[1] not in (2, 3) or found.dtype.kind not in "iu":
        raise RoiError(
            f"pixels of mask {rank} have shape {found.shape} and type {found.dtype}; expected whole numbers, (n, 2): "
            "row, column; or (n, 3): plane, row, column"
        )
    found = found.astype(np.int64)
    return found if found.shape[1] == 3 else np.column_stack([np.zeros(len(found), np.int64), found])


def name_of(rank: int, about: Mapping[str, Any]) -> str:
    """Return what to call a mask in a message."""
    ids = about.get("ids")
    return repr(ids[rank]) if ids is not None and rank < len(ids) else str(rank)


def check_ids(ids: Sequence[RoiId] | range, n_rois: int) -> tuple[RoiId, ...]:
    """Return ids as plain numbers or texts; refuse duplicates."""
    found: list[RoiId] = [str(own) if isinstance(own, str) else int(own) for own in ids]
    if len(found) != n_rois:
        raise RoiError(f"{len(found)} ids were given for {n_rois} masks")
    seen: set[str] = set()
    for own in found:
        if str(own) in seen:
            raise RoiError(f"id {own!r} is given to two masks or more; expected each once")
        seen.add(str(own))
    return tuple(found)


def check_weights(weights: NDArray, owner: NDArray[np.integer], ids: tuple[RoiId, ...]) -> NDArray[np.floating]:
    """Return weights as float32 or float64; refuse NaN and infinity."""
    if weights.dtype.kind not in "buif":
        raise RoiError(f"weights are of type {weights.dtype}; expected numbers")
    found = weights if weights.dtype in (np.float32, np.float64) else weights.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        raise RoiError(
            f"mask {ids[owner[bad[0]]]!r} has a weight of {found[bad[0]]} ({bad.size} such weights in all); expected "
            "finite numbers, 0 outside the mask"
        )
    return found


def refuse_empty(rois: "RoiSet") -> None:
    """Refuse masks without a pixel, or whose weights have no positive sum."""
    if rois.n_rois == 0:
        raise RoiError("there is no mask; expected at least one")
    empty = np.flatnonzero(rois.n_voxels == 0)
    if empty.size:
        named = ", ".join(repr(rois.ids[i]) for i in empty[:5])
        raise RoiError(
            f"mask {named} has no pixel in the field ({empty.size} empty of {rois.n_rois}); leave it out, or draw it "
            f"within {rois.shape[1]} x {rois.shape[2]}"
        )
    bad = np.flatnonzero(rois.weight_sum <= 0)
    if bad.size:
        raise RoiError(
            f"the weights of mask {rois.ids[bad[0]]!r} add up to {rois.weight_sum[bad[0]]:g}; expected more than 0"
        )
