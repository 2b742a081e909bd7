"""suite2p's output: folders of planes, and the folder that combines them."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, RoiError
from scanimage_nwb.formats.plain_npy import load_plain_npy
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.segmentation import Segmentation, say_ignored

__all__ = ["read_suite2p"]

_TRACES = {
    "F.npy": "raw",
    "Fneu.npy": "neuropil",
    "spks.npy": "deconvolved",
    "F_chan2.npy": "raw_channel2",
    "Fneu_chan2.npy": "neuropil_channel2",
}
_NEEDED = ("stat.npy", "ops.npy", "F.npy")
_SCALARS = ("npix", "radius", "aspect_ratio", "compact", "footprint", "skew", "std")
"""What suite2p measures of a mask, and is kept as a column."""
_IMAGES = {"meanImg": "mean", "meanImg_chan2": "mean_channel2", "Vcorr": "correlation", "max_proj": "maximum"}
_READ_STAT = {"ypix", "xpix", "lam", *_SCALARS, "iplane", "chan2_prob"}
_READ_OPS = {"Ly", "Lx", "nframes", "fs", "nplanes", "nchannels", "yrange", "xrange", *_IMAGES}


def read_suite2p(path: str | Path) -> tuple[Segmentation, ...]:
    """Read suite2p's masks, traces and images, plane by plane.

    Masks have suite2p's weights (``lam``); ids are the rows of ``stat.npy``. Traces: ``raw`` (F), ``neuropil`` (Fneu),
    ``deconvolved`` (spks), and those of the second channel. Further columns: ``accepted`` and ``cell_probability``
    (iscell), ``is_red`` and ``red_probability`` (redcell), and what suite2p measured of each mask.

    Parameters
    ----------
    path : path-like
        The folder ``suite2p`` or the one it is in, ``plane0``, or ``combined``.

    Returns
    -------
    tuple of Segmentation
        One a plane, in order.

    Raises
    ------
    FileNotFoundError
        Names the files that are missing.
    FormatError
        If a file is damaged, or holds something else.
    RoiError
        If masks and traces disagree.
    """
    path = Path(path)
    inner = path / "suite2p"
    path = inner if inner.is_dir() and not (path / "stat.npy").is_file() else path
    if (path / "stat.npy").is_file() or re.fullmatch(r"plane\d+|combined", path.name):
        if path.name == "combined":
            return _read_combined(path)
        return _read_planes([path], [])
    planes = [own for own in path.iterdir() if own.is_dir() and re.fullmatch(r"plane\d+", own.name)]
    planes.sort(key=lambda own: int(own.name[5:]))
    if not planes and (path / "combined").is_dir():
        return _read_combined(path / "combined")
    if not planes:
        raise FileNotFoundError(
            f"{path} holds neither stat.npy nor folders plane0, plane1 …; expected suite2p's output folder"
        )
    left_out = [own.name for own in path.iterdir() if own.name == "combined"]
    found = _read_planes(planes, left_out)
    return found


def _read_planes(folders: Sequence[Path], left_out: Sequence[str]) -> tuple[Segmentation, ...]:
    """Read planes, and say once what was left out; it is the same in all of them."""
    found = [_read_plane(folder) for folder in folders]
    ignored = dict.fromkeys(name for _, of_plane in found for name in of_plane)
    say_ignored(folders[0].parent if len(folders) > 1 else folders[0], [*ignored, *left_out])
    return tuple(segmentation for segmentation, _ in found)


def _read_plane(folder: Path) -> tuple[Segmentation, list[str]]:
    """Read one plane; return what was left out, too."""
    stat, ops, traces, columns = _read_files(folder)
    shape = _size(ops, folder)
    pixels = [np.stack([own["ypix"], own["xpix"]], axis=1) for own in stat]
    number = re.fullmatch(r"plane(\d+)", folder.name)
    found = Segmentation(
        _masks(folder, stat, pixels, shape, range(len(stat)), columns),
        traces,
        _images(ops, shape, folder),
        sampling_rate_hz=_rate(ops),
        plane=int(number[1]) if number else None,
        program="suite2p",
        path=folder,
    )
    found.check()
    return found, _ignored(folder, stat, ops)


def _read_combined(folder: Path) -> tuple[Segmentation, ...]:
    """Read the folder that combines planes, and take them apart again."""
    stat, ops, traces, columns = _read_files(folder)
    if not all("iplane" in own for own in stat):
        raise FormatError(f"{folder}/stat.npy does not say the plane of each mask (iplane); give the plane folders")
    iplane = np.array([int(own["iplane"]) for own in stat])
    n_planes = max(int(ops.get("nplanes", 1)), int(iplane.max()) + 1)
    montage = _size(ops, folder)
    shape, corners = _tiles(stat, iplane, montage, n_planes, folder)
    found = []
    for plane in range(n_planes):
        own = np.flatnonzero(iplane == plane)
        if not own.size:
            continue
        pixels = [np.stack([stat[i]["ypix"], stat[i]["xpix"]], axis=1) - corners[plane] for i in own]
        row, column = corners[plane]
        cut = slice(row, row + shape[0]), slice(column, column + shape[1])
        images = {name: image[0][cut][np.newaxis] for name, image in _images(ops, montage, folder).items()}
        of_plane = {key: values[own] for key, values in columns.items()}
        part = Segmentation(
            _masks(folder, [stat[i] for i in own], pixels, shape, own.tolist(), of_plane),
            {kind: trace[:, own] for kind, trace in traces.items()},
            images,
            sampling_rate_hz=_rate(ops),
            plane=plane,
            program="suite2p",
            path=folder,
        )
        part.check()
        found.append(part)
    say_ignored(folder, _ignored(folder, stat, ops))
    return tuple(found)


def _tiles(
    stat: Sequence[Mapping[str, Any]], iplane: NDArray[np.int64], montage: tuple[int, int], n_planes: int, folder: Path
) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Return the size of a plane, and the corner of each on the montage, as suite2p lays planes of one size out."""
    for n_columns in range(1, n_planes + 1):
        n_rows = math.ceil(n_planes / n_columns)
        if montage[0] % n_rows or montage[1] % n_columns:
            continue
        rows, columns = montage[0] // n_rows, montage[1] // n_columns
        if min(n_planes, math.ceil(math.sqrt(rows * columns * n_planes) / columns)) != n_columns:
            continue
        corners = np.array([(plane // n_columns * rows, plane % n_columns * columns) for plane in range(n_planes)])
        at = [np.stack([own["ypix"], own["xpix"]], 1) - corners[i] for own, i in zip(stat, iplane, strict=True)]
        if all((own >= 0).all() and (own < (rows, columns)).all() for own in at):
            return (rows, columns), corners
    raise FormatError(
        f"{folder}: {n_planes} planes cannot be placed on a field of {montage[0]} x {montage[1]}; give suite2p's plane "
        "folders in place of the combined one"
    )


def _read_files(
    folder: Path,
) -> tuple[list[Mapping[str, Any]], Mapping[str, Any], dict[str, NDArray], dict[str, NDArray]]:
    """Return stat, ops, traces (samples, rois) and columns."""
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; expected what suite2p writes for a plane")
    stat, ops = load_plain_npy(folder / "stat.npy"), load_plain_npy(folder / "ops.npy")
    if not isinstance(stat, np.ndarray) or not all(isinstance(own, dict) for own in stat.reshape(-1)):
        raise FormatError(f"{folder / 'stat.npy'} holds no list of masks; expected a dictionary for each")
    if not isinstance(ops, dict):
        raise FormatError(f"{folder / 'ops.npy'} holds a {type(ops).__name__}; expected a dictionary")
    for rank, own in enumerate(stat):
        if not {"ypix", "xpix", "lam"} <= own.keys():
            raise FormatError(f"{folder / 'stat.npy'}: mask {rank} lacks ypix, xpix or lam; expected suite2p's stat")
    traces = {}
    for name, kind in _TRACES.items():
        if (folder / name).is_file():
            values = load_plain_npy(folder / name)
            if not isinstance(values, np.ndarray) or values.ndim != 2 or len(values) != len(stat):
                raise RoiError(
                    f"{folder / name} has shape {np.shape(values)}; stat.npy has {len(stat)} masks: expected "
                    f"({len(stat)}, samples)"
                )
            traces[kind] = values.T
    n_samples = traces["raw"].shape[0]
    n_frames = ops.get("nframes", n_samples)
    if int(n_frames) != n_samples:
        raise RoiError(f"{folder}: ops.npy speaks of {n_frames} frames, and F.npy of {n_samples}; they are of two runs")
    return list(stat), ops, traces, _columns(folder, list(stat))


def _columns(folder: Path, stat: Sequence[Mapping[str, Any]]) -> dict[str, NDArray]:
    """Return what is known of each mask."""
    columns: dict[str, NDArray] = {}
    for name, flag, probability in (
        ("iscell.npy", "accepted", "cell_probability"),
        ("redcell.npy", "is_red", "red_probability"),
    ):
        if not (folder / name).is_file():
            continue
        values = load_plain_npy(folder / name)
        if not isinstance(values, np.ndarray) or values.shape != (len(stat), 2):
            raise RoiError(f"{folder / name} has shape {np.shape(values)}; expected ({len(stat)}, 2), as stat.npy")
        columns[flag], columns[probability] = values[:, 0] > 0.5, values[:, 1].astype(np.float64)
    for key in _SCALARS:
        if all(key in own and np.ndim(own[key]) == 0 for own in stat):
            columns[key] = np.array([float(own[key]) for own in stat])
    return columns


def _masks(
    folder: Path,
    stat: Sequence[Mapping[str, Any]],
    pixels: Sequence[NDArray],
    shape: tuple[int, int],
    ids: Sequence[int],
    columns: Mapping[str, NDArray],
) -> RoiSet:
    try:
        return RoiSet.from_pixels(
            pixels, shape, weights=[np.asarray(own["lam"]) for own in stat], ids=list(ids), properties=columns
        )
    except RoiError as error:
        raise RoiError(f"{folder / 'stat.npy'}: {error}") from None


def _size(ops: Mapping[str, Any], folder: Path) -> tuple[int, int]:
    rows, columns = int(ops.get("Ly", 0)), int(ops.get("Lx", 0))
    if min(rows, columns) < 1:
        raise FormatError(f"{folder / 'ops.npy'} lacks Ly and Lx, the size of frames")
    return rows, columns


def _rate(ops: Mapping[str, Any]) -> float | None:
    rate = float(ops.get("fs", 0) or 0)
    return rate if 0 < rate < math.inf else None


def _images(ops: Mapping[str, Any], shape: tuple[int, int], folder: Path) -> dict[str, NDArray]:
    """Return images of the whole field; those of the part that was left after registration are put in their place."""
    found = {}
    for key, name in _IMAGES.items():
        image = ops.get(key)
        if not isinstance(image, np.ndarray) or image.ndim != 2:
            continue
        whole = np.zeros(shape, image.dtype)
        rows, columns = (
            slice(*map(int, ops.get(axis, (0, n)))) for axis, n in zip(("yrange", "xrange"), shape, strict=True)
        )
        place = whole if image.shape == shape else whole[rows, columns]
        if place.shape != image.shape:
            raise FormatError(f"{folder / 'ops.npy'}: {key} has shape {image.shape}; expected {shape} or {place.shape}")
        place[:] = image
        found[name] = whole[np.newaxis]
    return found


def _ignored(folder: Path, stat: Sequence[Mapping[str, Any]], ops: Mapping[str, Any]) -> list[str]:
    """Name what is not taken over: fields of stat, options, and files that are not known."""
    known = {*_TRACES, *_NEEDED, "iscell.npy", "redcell.npy"}
    of_stat = sorted({key for own in stat for key in own} - _READ_STAT)
    n_options = len(ops.keys() - _READ_OPS)
    return [
        *(f"{key} of stat.npy" for key in of_stat),
        f"{n_options} options of ops.npy (its shifts are read with the registration)",
        *sorted(own.name for own in folder.iterdir() if own.name not in known),
    ]
