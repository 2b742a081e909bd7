"""CaImAn's HDF5 file."""

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, RoiError
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.segmentation import Segmentation, say_ignored

__all__ = ["read_caiman"]

_COLUMNS = {"SNR_comp": "snr", "r_values": "spatial_correlation", "cnn_preds": "cell_probability"}
_IMAGES = {"Cn": "correlation"}
_READ = {"A", "C", "S", "F_dff", "YrA", "dims", "idx_components", "idx_components_bad", "nr", *_COLUMNS, *_IMAGES}


def read_caiman(path: str | Path) -> Segmentation:
    """Read CaImAn's spatial footprints and traces.

    Masks are the columns of ``A``, with their weights. Traces: ``denoised`` (C), ``raw`` (C + YrA, the footprint's
    trace with its residual), ``deconvolved`` (S), ``dff`` (F_dff). ``accepted`` tells the components of
    ``idx_components``; where the evaluation was not run, there is no such column.

    Parameters
    ----------
    path : path-like
        What ``CNMF.save`` wrote. Of three dimensions, the last is the plane.

    Returns
    -------
    Segmentation

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it is not CaImAn's, or is damaged.
    RoiError
        If masks or traces cannot be used.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        with h5py.File(path, "r") as file:
            return _read_file(file, path)
    except OSError as error:  # what h5py raises for files that are damaged
        raise FormatError(f"{path} cannot be read as HDF5: {error}") from error
    except RoiError as error:
        raise RoiError(f"{path}: {error}") from None


def _read_file(file: h5py.File, path: Path) -> Segmentation:
    estimates = file.get("estimates")
    if not isinstance(estimates, h5py.Group) or not isinstance(estimates.get("A"), h5py.Group):
        raise FormatError(
            f"{path} has {', '.join(sorted(file)) or 'nothing'} at its top, and no estimates/A; expected what CaImAn's "
            "CNMF.save writes"
        )
    dims = _array(file, "dims") if _array(file, "dims") is not None else _array(estimates, "dims")
    if dims is None or dims.shape not in ((2,), (3,)):
        raise FormatError(f"{path} does not say the size of the field (dims, two or three numbers)")
    footprints = _footprints(estimates["A"], tuple(int(n) for n in dims), path)
    n_rois = len(footprints[0])
    traces = {}
    denoised, residual = _array(estimates, "C"), _array(estimates, "YrA")
    for kind, values in (
        ("raw", None if denoised is None or residual is None else denoised + residual),
        ("denoised", denoised),
        ("deconvolved", _array(estimates, "S")),
        ("dff", _array(estimates, "F_dff")),
    ):
        if values is not None and values.size:
            if values.ndim != 2 or len(values) != n_rois:
                raise FormatError(f"{path}: {kind} traces have shape {values.shape}; A has {n_rois} components")
            traces[kind] = values.T
    shape = (int(dims[2]) if len(dims) == 3 else 1, int(dims[0]), int(dims[1]))
    pixels, weights = footprints
    found = Segmentation(
        RoiSet.from_pixels(pixels, shape, weights=weights, properties=_columns(estimates, n_rois, path)),
        traces,
        _images(estimates, shape),
        sampling_rate_hz=_rate(file),
        program="CaImAn",
        path=path,
    )
    found.check()
    others = sorted(name for name in estimates if name not in _READ and _array(estimates, name) is not None)
    if others:
        say_ignored(path, [f"estimates/{name}" for name in others])
    return found


def _footprints(
    group: h5py.Group, dims: tuple[int, ...], path: Path
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return pixels (plane, row, column) and weights of every component, from a sparse matrix of columns."""
    if not all(isinstance(group.get(name), h5py.Dataset) for name in ("data", "indices", "indptr", "shape")):
        raise FormatError(f"{path}: estimates/A has {', '.join(group)}; expected data, indices, indptr and shape")
    data, indices, starts = (group[name][()] for name in ("data", "indices", "indptr"))
    n_pixels, n_rois = (int(n) for n in group["shape"][()])
    sound = len(starts) == n_rois + 1 and starts[0] == 0 and (np.diff(starts) >= 0).all() and starts[-1] == len(data)
    if not sound or len(indices) != len(data) or n_pixels != math.prod(dims):
        raise FormatError(
            f"{path}: estimates/A is {n_pixels} x {n_rois} with {len(starts)} starts, {len(indices)} rows and "
            f"{len(data)} weights, for a field of {dims}; expected a column a component, and a row a pixel"
        )
    if len(indices) and (indices.min() < 0 or indices.max() >= n_pixels):
        raise FormatError(f"{path}: estimates/A has a weight at pixel {indices.max()}, of {n_pixels}")
    row, column, *plane = np.unravel_index(indices.astype(np.int64), dims, order="F")  # as MATLAB counts
    at = np.stack([plane[0] if plane else np.zeros_like(row), row, column], axis=1)
    cuts = starts[1:-1]
    return np.split(at, cuts), np.split(data.astype(np.float64), cuts)


def _columns(estimates: h5py.Group, n_rois: int, path: Path) -> dict[str, NDArray]:
    """Return what is known of each component."""
    columns: dict[str, NDArray] = {}
    accepted = _array(estimates, "idx_components")
    if accepted is not None:
        ranks = accepted.astype(np.int64).reshape(-1)
        if ranks.size and (ranks.min() < 0 or ranks.max() >= n_rois):
            raise FormatError(f"{path}: idx_components names component {ranks.max()}, of {n_rois}")
        columns["accepted"] = np.isin(np.arange(n_rois), ranks)
    for key, name in _COLUMNS.items():
        values = _array(estimates, key)
        if values is not None and values.shape == (n_rois,) and values.dtype.kind in "iuf":
            columns[name] = values.astype(np.float64)
    return columns


def _images(estimates: h5py.Group, shape: tuple[int, int, int]) -> dict[str, NDArray]:
    """Return images of a single plane."""
    found = {}
    for key, name in _IMAGES.items():
        image = _array(estimates, key)
        if image is not None and shape[0] == 1 and image.shape == shape[1:]:
            found[name] = image[np.newaxis]
    return found


def _rate(file: h5py.File) -> float | None:
    """Return the frame rate that CaImAn was told, in Hz."""
    rate = _array(file, "params/data/fr")
    return float(rate) if rate is not None and rate.shape == () and 0 < float(rate) < math.inf else None


def _array(group: h5py.Group, name: str) -> NDArray | None:
    """Return an array; None if it is missing, or CaImAn's word for None."""
    item: Any = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf":
        return None
    return np.asarray(item[()])
