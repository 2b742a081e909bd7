"""Shifts that other programs found: suite2p, CaImAn, SiffPy. Nothing is ever unpickled but arrays and plain values."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, UnsupportedFormatError
from scanimage_nwb.formats.plain_npy import load_plain_npy
from scanimage_nwb.registration.info import FORMAT_NAME, RegistrationInfo, as_signed
from scanimage_nwb.registration.quality import FLAGS

__all__ = ["read_caiman", "read_registration", "read_suite2p"]

_HDF5_MARK = b"\x89HDF\r\n\x1a\n"
_NPY_MARK = b"\x93NUMPY"


def read_registration(path: str | Path, pages: NDArray[np.int64] | None = None) -> RegistrationInfo:
    """Read shifts from a file or folder, whichever program wrote it.

    Parameters
    ----------
    path : path-like
        What `RegistrationInfo.save` wrote; SiffPy's ``*_registration_info.h5``; suite2p's ``ops.npy``, a ``plane0``
        folder, or the folder that holds them; CaImAn's HDF5 file.
    pages : ndarray of int, shape (volumes, planes, channels), optional
        Pages of the recording; by default pages run channel fastest, then plane, as many as the file tells of.

    Returns
    -------
    RegistrationInfo

    Raises
    ------
    FileNotFoundError
        If it is not there.
    FormatError
        If it holds no shifts that are understood, or a pickle of anything but arrays and plain values.
    """
    path = Path(path)
    if path.is_dir():
        return read_suite2p(path, pages)
    with path.open("rb") as file:
        mark = file.read(8)
    if mark.startswith(_NPY_MARK):
        return read_suite2p(path, pages)
    if mark != _HDF5_MARK:
        raise FormatError(
            f"{path} is neither HDF5 nor a suite2p ops.npy (it begins with {mark!r}); pickles are refused, whatever "
            "they hold: build RegistrationInfo.from_shifts({page: (dy, dx)}, shape=...) instead"
        )
    import h5py

    with h5py.File(path, "r") as file:
        if file.attrs.get("format") == FORMAT_NAME:
            return RegistrationInfo._from_file(file, path)
        if "estimates" in file:
            return _caiman_file(file, path, pages)
        if "yx_shifts" in file:
            return _siffpy_file(file, path, pages)
        raise UnsupportedFormatError(
            f"{path} is HDF5 with {', '.join(sorted(file)) or 'nothing'} at its top; expected what "
            "RegistrationInfo.save, CaImAn or SiffPy writes: build RegistrationInfo.from_shifts({page: (dy, dx)}, "
            "shape=...) instead"
        )


def _siffpy_file(file: Any, path: Path, pages: NDArray[np.int64] | None) -> RegistrationInfo:
    """Read SiffPy's file: a group yx_shifts with frame_index, shift_values and perhaps reference_frames."""
    group = file["yx_shifts"]
    if not all(name in group for name in ("frame_index", "shift_values")):
        raise FormatError(
            f"{path}: yx_shifts holds {', '.join(group) or 'nothing'}; expected SiffPy's frame_index and shift_values"
        )
    frames, values = group["frame_index"][()].ravel(), group["shift_values"][()]
    if frames.dtype.kind not in "iu" or values.shape != (len(frames), 2):
        raise FormatError(f"{path}: {frames.shape} frames and shifts of shape {values.shape}; expected a pair a frame")
    references = group.get("reference_frames", file.get("reference_frames"))
    references = None if references is None else np.asarray(references[()], np.float32)
    if references is None or references.size == 0:
        raise FormatError(
            f"{path} has no reference_frames, so the size of frames is not known, without which (255, 0) may be "
            "(-1, 0): give its shifts to RegistrationInfo.from_shifts(..., shape=(rows, columns))"
        )
    rows, columns = references.shape[-2:]
    about = {name: _text(file, name) for name in ("filename", "registration_type", "registration_color")}
    info = RegistrationInfo.from_shifts(
        dict(zip(frames.tolist(), map(tuple, values.tolist()), strict=True)),
        shape=(int(rows), int(columns)),
        reference_frames=references.reshape(-1, rows, columns),
        method=f"SiffPy ({about['registration_type']})" if about["registration_type"] else "SiffPy",
        parameters={name: value for name, value in about.items() if value},
    )
    return info if pages is None else info.placed(pages)


def _text(file: Any, name: str) -> str:
    """Return an attribute, or the data set of that name, as text; empty if there is neither."""
    value = file.attrs[name] if name in file.attrs else file[name][()] if name in file else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def read_suite2p(path: str | Path, pages: NDArray[np.int64] | None = None) -> RegistrationInfo:
    """Read the rigid shifts of suite2p; those of its non-rigid blocks are left out.

    suite2p's yoff and xoff are taken off a frame's position, so that ``numpy.roll`` applies their negative.

    Parameters
    ----------
    path : path-like
        ``ops.npy``, its folder, or the folder of ``plane0``, ``plane1`` ….
    pages
        As for `read_registration`.

    Returns
    -------
    RegistrationInfo

    Raises
    ------
    FileNotFoundError, FormatError
        As for `read_registration`.
    """
    path = Path(path)
    files = _ops_files(path)
    planes = [_read_ops(file) for file in files]
    offsets = [
        np.stack([_vector(ops, name, file) for name in ("yoff", "xoff")], axis=1)
        for ops, file in zip(planes, files, strict=True)
    ]
    ops = planes[0]
    shape = (int(ops.get("Ly", 0)), int(ops.get("Lx", 0)))
    if min(shape) <= 0:
        raise FormatError(f"{files[0]} lacks Ly and Lx, the size of frames; expected suite2p's ops of one plane")
    named = [re.fullmatch(r"plane(\d+)", file.parent.name) for file in files]
    numbers = [int(name[1]) if name else rank for rank, name in enumerate(named)]
    if pages is None:
        n_planes = max(int(ops.get("nplanes", 1)), max(numbers) + 1)
        n_channels = int(ops.get("nchannels", 1))
        n_volumes = max(map(len, offsets))
        pages = np.arange(n_volumes * n_planes * n_channels).reshape(n_volumes, n_planes, n_channels)
    references = [np.asarray(own.get("refImg", np.zeros(shape)), np.float32) for own in planes]
    bad = [
        np.asarray(own.get("badframes", np.zeros(len(offset), bool)), bool)
        for own, offset in zip(planes, offsets, strict=True)
    ]
    return _assemble([-offset for offset in offsets], numbers, pages, shape, references, bad, "suite2p", path)


def read_caiman(
    shifts: Iterable[Sequence[float]],
    shape: tuple[int, int],
    pages: NDArray[np.int64] | None = None,
    *,
    reference_frame: NDArray | None = None,
) -> RegistrationInfo:
    """Take over the rigid shifts of CaImAn (``MotionCorrect.shifts_rig``, or ``estimates.shifts`` of OnACID).

    They are what CaImAn applied, (dy, dx), as ``numpy.roll`` does.

    Parameters
    ----------
    shifts : sequence, shape (volumes, 2)
        Shifts of one plane.
    shape : tuple of int
        Rows and columns.
    pages
        As for `read_registration`, of one plane.
    reference_frame : ndarray, shape (rows, columns), optional
        CaImAn's template.

    Returns
    -------
    RegistrationInfo

    Raises
    ------
    FormatError
        If they are not rigid shifts in two dimensions.

    Examples
    --------
    >>> read_caiman([(0.0, 0.0), (-1.2, 3.0)], (64, 64)).yx_shifts
    {0: (0, 0), 1: (-1, 3)}
    """
    found = np.asarray(list(shifts), np.float64)
    return _from_caiman(found, shape, pages, reference_frame, Path("CaImAn's shifts"))


def _caiman_file(file: Any, path: Path, pages: NDArray[np.int64] | None) -> RegistrationInfo:
    """Read the shifts of an open CaImAn file."""
    shifts = file["estimates"].get("shifts")
    if shifts is None or shifts.shape in {(), (0,)}:
        raise FormatError(
            f"{path} is CaImAn's, but holds no shifts (they are only kept by OnACID): give MotionCorrect's shifts_rig "
            "to read_caiman"
        )
    dims = file["dims"][()] if "dims" in file else file["estimates/dims"][()]
    return _from_caiman(shifts[()].astype(np.float64), (int(dims[0]), int(dims[1])), pages, None, path)


def _from_caiman(
    shifts: NDArray[np.float64],
    shape: tuple[int, int],
    pages: NDArray[np.int64] | None,
    reference_frame: NDArray | None,
    path: Path,
) -> RegistrationInfo:
    if shifts.ndim != 2 or shifts.shape[1] != 2 or not np.isfinite(shifts).all():
        raise FormatError(
            f"{path}: shifts have shape {shifts.shape}; expected one finite pair (dy, dx) a frame. Piecewise and "
            "volumetric motion is not rigid in a plane"
        )
    if pages is None:
        pages = np.arange(len(shifts)).reshape(-1, 1, 1)
    references = [] if reference_frame is None else [np.asarray(reference_frame, np.float32)]
    return _assemble([shifts], [0], pages, shape, references, [np.zeros(len(shifts), bool)], "CaImAn", path)


def _assemble(
    shifts: list[NDArray[np.float64]],
    planes: list[int],
    pages: NDArray[np.int64],
    shape: tuple[int, int],
    references: list[NDArray[np.float32]],
    bad: list[NDArray[np.bool_]],
    method: str,
    path: Path,
) -> RegistrationInfo:
    """Join the shifts of planes."""
    for number, own in zip(planes, shifts, strict=True):
        if number >= pages.shape[1] or len(own) > len(pages):
            raise FormatError(
                f"{path} has {len(own)} shifts of plane {number}; the recording has {pages.shape[0]} volumes of "
                f"{pages.shape[1]} planes"
            )
    plane = np.repeat(planes, [len(own) for own in shifts])
    volume = np.concatenate([np.arange(len(own)) for own in shifts])
    n = len(plane)
    return RegistrationInfo(
        pages=pages[volume, plane],
        shifts=as_signed(np.concatenate(shifts), shape),
        plane=plane.astype(np.int64),
        volume=volume.astype(np.int64),
        error_px=np.full((n, 2), np.nan),
        match=np.full(n, np.nan),
        flag=np.where(np.concatenate(bad), FLAGS.index("uncertain"), 0).astype(np.uint8),
        reference_frames=np.stack(references) if references else np.empty((0, *shape), np.float32),
        shape=shape,
        method=method,
        parameters={"imported_from": path.name},
    )


def _ops_files(path: Path) -> list[Path]:
    """Return suite2p's files at a path, by plane."""
    if path.is_file():
        return [path]
    if (path / "ops.npy").is_file():
        return [path / "ops.npy"]
    found = [file for file in path.glob("plane*/ops.npy") if re.fullmatch(r"plane\d+", file.parent.name)]
    if not found:
        raise FileNotFoundError(f"{path} holds neither ops.npy nor plane0/ops.npy; expected a folder of suite2p")
    return sorted(found, key=lambda file: int(file.parent.name[5:]))


def _read_ops(path: Path) -> dict[str, Any]:
    """Read suite2p's ops.npy without running what it may hold."""
    ops = load_plain_npy(path)
    if not isinstance(ops, dict):
        raise FormatError(f"{path} holds a {type(ops).__name__}; expected suite2p's ops, a dictionary")
    return ops


def _vector(ops: dict[str, Any], name: str, path: Path) -> NDArray[np.float64]:
    """Return a row of offsets."""
    value = ops.get(name)
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iuf":
        raise FormatError(f"{path} has no {name} for each frame: registration was not run, or not by suite2p")
    return value.astype(np.float64)
