"""Masks alone: label images, stacks, ImageJ ROIs and polygons."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, RoiError
from scanimage_nwb.formats.plain_npy import load_plain_npy
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.segmentation import Segmentation, say_ignored

__all__ = ["read_imagej", "read_label_tiff", "read_numpy_masks", "read_polygons"]


def read_label_tiff(path: Path) -> Segmentation:
    """Read a label image.

    Parameters
    ----------
    path : Path
        TIFF of whole numbers; several pages are planes.

    Returns
    -------
    Segmentation

    Raises
    ------
    FormatError, RoiError
        If it cannot be read, or is no label image.
    """
    import tifffile

    try:
        labels = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError, IndexError) as error:
        raise FormatError(f"{path} cannot be read as TIFF: {error}") from error
    return _named(path, "label image", lambda: RoiSet.from_labels(labels))


def read_numpy_masks(path: Path) -> Segmentation:
    """Read a label image (whole numbers, two axes), or a stack of masks (boolean or weights).

    Parameters
    ----------
    path : Path
        An .npy; or an .npz that holds one array, or one named ``masks`` and perhaps ``ids`` and ``names``. Whole
        numbers of three axes are labels (planes, rows, columns), booleans and floats masks (masks, rows, columns).

    Returns
    -------
    Segmentation

    Raises
    ------
    FormatError, RoiError
        If it cannot be read, or holds no masks.
    """
    if path.suffix.lower() == ".npy":
        return _from_array(path, load_plain_npy(path), {})
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise FormatError(f"{path} is no .npz file of plain arrays: {error}") from error
    about = {name: found.pop(name).tolist() for name in ("ids", "names") if name in found and len(found) > 1}
    chosen = "masks" if "masks" in found else next(iter(found), None)
    if chosen is None or (len(found) > 1 and chosen != "masks"):
        raise FormatError(f"{path} holds {', '.join(found) or 'nothing'}; expected one array, or one named masks")
    say_ignored(path, [name for name in found if name != chosen])
    return _from_array(path, found[chosen], about)


def _from_array(path: Path, array: Any, about: dict[str, Any]) -> Segmentation:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise FormatError(f"{path} holds {getattr(array, 'dtype', type(array).__name__)}; expected masks or labels")
    if array.dtype.kind in "iu" and array.ndim < 4 and not about:
        return _named(path, "label image", lambda: RoiSet.from_labels(array))
    stack = array[np.newaxis] if array.ndim == 2 and not about else array
    return _named(path, "masks", lambda: RoiSet.from_masks(stack, **about))


def read_imagej(path: Path, shape: tuple[int, ...]) -> Segmentation:
    """Read ROIs of ImageJ: areas become masks, lines and points are left out.

    A ROI's z position (or position) counts planes from 1; without one it is in the first plane.

    Parameters
    ----------
    path : Path
        A .roi file, or a .zip of them.
    shape : tuple of int
        Rows and columns, or planes, rows and columns.

    Returns
    -------
    Segmentation

    Raises
    ------
    FormatError, RoiError
        If it cannot be read, or holds no area.
    """
    import struct

    import roifile

    try:
        found = roifile.roiread(path)
    except (ValueError, struct.error, IndexError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path} cannot be read as ImageJ ROIs: {error}") from error
    n_planes, rows, columns = shape if len(shape) == 3 else (1, *shape)
    pixels, names, ignored = [], [], []
    for rank, roi in enumerate(found if isinstance(found, list) else [found]):
        name = str(roi.name or rank + 1)
        inside = _imagej_pixels(roi, (rows, columns))
        if inside is None:
            ignored.append(f"{name} ({roi.roitype.name.lower()})")
            continue
        position = max(int(roi.z_position), int(roi.position), 1) if n_planes > 1 else 1
        pixels.append(np.column_stack([np.full(len(inside), position - 1), inside]))
        names.append(name)
    say_ignored(path, ignored)
    return _named(path, "ImageJ ROIs", lambda: RoiSet.from_pixels(pixels, (n_planes, rows, columns), names=names))


def _imagej_pixels(roi: Any, shape: tuple[int, int]) -> NDArray[np.int64] | None:
    """Return the pixels of an area; None if it is none. ImageJ's pixels have their corners at whole numbers."""
    import roifile

    kind = roi.roitype
    if roi.composite:
        inside = np.zeros(shape, bool)
        for path in roi.coordinates(multi=True):
            inside ^= _within(np.asarray(path, np.float64)[:, ::-1] - 0.5, shape)  # holes are paths too
        return np.argwhere(inside)
    if kind == roifile.ROI_TYPE.OVAL:
        row, column = np.indices(shape)
        half = np.array([roi.bottom - roi.top, roi.right - roi.left]) / 2
        center = np.array([roi.top, roi.left]) + half - 0.5
        return np.argwhere(((row - center[0]) / half[0]) ** 2 + ((column - center[1]) / half[1]) ** 2 <= 1)
    if kind == roifile.ROI_TYPE.RECT:
        box = np.array([(roi.top, roi.left), (roi.top, roi.right), (roi.bottom, roi.right), (roi.bottom, roi.left)])
        return np.argwhere(_within(box - 0.5, shape))
    if kind in (roifile.ROI_TYPE.POLYGON, roifile.ROI_TYPE.FREEHAND, roifile.ROI_TYPE.TRACED):
        return np.argwhere(_within(np.asarray(roi.coordinates(), np.float64)[:, ::-1] - 0.5, shape))
    return None


def _within(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    from scanimage_nwb.roi_traces.polygons import pixels_in_polygon

    inside = np.zeros(shape, bool)
    if len(corners) >= 3:
        inside[tuple(pixels_in_polygon(corners, shape).T)] = True
    return inside


def read_polygons(path: Path, shape: tuple[int, ...]) -> Segmentation:
    """Read polygons.

    Parameters
    ----------
    path : Path
        JSON: a list (or an object whose ``rois`` is one) of objects with ``polygon``, a list of [x, y] (column, row;
        pixels have their centres at whole numbers), and perhaps ``id``, ``name`` and ``plane`` (from 0).
    shape : tuple of int
        Rows and columns, or planes, rows and columns.

    Returns
    -------
    Segmentation

    Raises
    ------
    FormatError, RoiError
        If it cannot be read, or polygons cannot be used.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no JSON: {error}") from error
    rois = content.get("rois") if isinstance(content, dict) else content
    if not isinstance(rois, list) or not all(isinstance(roi, dict) and "polygon" in roi for roi in rois):
        raise FormatError(f'{path}: expected a list of {{"id": 1, "polygon": [[x, y], [x, y], [x, y]]}}')
    known = {"id", "name", "plane", "polygon"}
    say_ignored(path, sorted({key for roi in rois for key in roi} - known))
    ids = [roi.get("id", rank) for rank, roi in enumerate(rois)]
    if not all(isinstance(own, int | str) for own in ids) or not all(type(roi.get("plane", 0)) is int for roi in rois):
        raise FormatError(f"{path}: expected id to be a whole number or text, and plane a whole number")
    try:
        corners = [np.asarray(roi["polygon"], np.float64)[:, ::-1] for roi in rois]
    except (ValueError, TypeError, IndexError) as error:
        raise FormatError(f"{path}: a polygon is no list of [x, y]: {error}") from error
    names = [str(roi.get("name", own)) for roi, own in zip(rois, ids, strict=True)]
    planes = [roi.get("plane", 0) for roi in rois]
    return _named(path, "polygons", lambda: RoiSet.from_polygons(corners, shape, planes=planes, ids=ids, names=names))


def _named(path: Path, program: str, make: Any) -> Segmentation:
    """Make masks; say in errors where they come from."""
    try:
        return Segmentation(make(), program=program, path=path)
    except RoiError as error:
        raise RoiError(f"{path}: {error}") from None
