"""`RegistrationInfo`: the shifts of a recording, with all that is known of them."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, FrameIndexError, ScanImageNwbWarning
from scanimage_nwb.registration.quality import FLAGS

__all__ = ["FORMAT_NAME", "RegistrationInfo", "as_signed"]

FORMAT_NAME = "scanimage-nwb registration"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class RegistrationInfo:
    """Rigid shifts of frames. A shift (dy, dx) is what `numpy.roll` applies to a frame to align it.

    Examples
    --------
    >>> info = RegistrationInfo.from_shifts({0: (0, 0), 2: (255, 3)}, shape=(256, 128))
    >>> info.yx_shifts
    {0: (0, 0), 2: (-1, 3)}
    >>> info.unsigned_yx_shifts
    {0: (0, 0), 2: (255, 3)}
    """

    pages: NDArray[np.int64]
    """Pages that each frame's shift belongs to (one for each channel), -1 for none; shape (n, channels)."""
    shifts: NDArray[np.float64]
    """dy and dx in pixels, signed, shape (n, 2); fractions if these were asked for."""
    plane: NDArray[np.int64]
    """Plane of each frame, from 0."""
    volume: NDArray[np.int64]
    """Volume of each frame, from 0."""
    error_px: NDArray[np.float64]
    """Standard error of each shift, shape (n, 2); NaN where it is not known."""
    match: NDArray[np.float64]
    """How well each frame matches the reference: 1 as photons drawn from it do, 0 if it shows nothing of it; NaN where
    it is not known."""
    flag: NDArray[np.uint8]
    """Rank in `FLAGS` of what is wrong with each frame; 0 for nothing."""
    reference_frames: NDArray[np.float32]
    """Reference of each plane, shape (planes, rows, columns); none if it is not known."""
    shape: tuple[int, int]
    """Rows and columns of the frames."""
    method: str = "unknown"
    """What found the shifts."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What it was told, and what it chose: numbers, text and lists of them."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """The recording: name and size of its first file, number of pages."""

    @classmethod
    def from_shifts(
        cls,
        yx_shifts: Mapping[int, tuple[float, float]],
        *,
        shape: tuple[int, int],
        reference_frames: NDArray | None = None,
        method: str = "unknown",
        parameters: Mapping[str, Any] | None = None,
    ) -> "RegistrationInfo":
        """Make one of shifts found elsewhere.

        Parameters
        ----------
        yx_shifts : mapping
            Page to (dy, dx), signed, or unsigned as a remainder of rows and columns.
        shape : tuple of int
            Rows and columns.
        reference_frames : ndarray, shape (planes, rows, columns), optional
            Reference of each plane.
        method : str
            What found them.
        parameters : mapping, optional
            What it was told.

        Returns
        -------
        RegistrationInfo

        Raises
        ------
        ValueError
            If a shift is no pair of finite numbers, or a page is negative.
        """
        pages = np.array(sorted(yx_shifts), np.int64)
        shifts = np.array([tuple(yx_shifts[page]) for page in pages.tolist()], np.float64).reshape(len(pages), -1)
        if len(pages) and (shifts.shape[1] != 2 or not np.isfinite(shifts).all() or pages[0] < 0):
            raise ValueError("yx_shifts must map pages, from 0, to pairs (dy, dx) of finite numbers")
        n = len(pages)
        return cls(
            pages=pages.reshape(-1, 1),
            shifts=as_signed(shifts.reshape(n, 2), shape),
            plane=np.zeros(n, np.int64),
            volume=np.arange(n),
            error_px=np.full((n, 2), np.nan),
            match=np.full(n, np.nan),
            flag=np.zeros(n, np.uint8),
            reference_frames=np.empty((0, *shape), np.float32)
            if reference_frames is None
            else np.asarray(reference_frames, np.float32),
            shape=shape,
            method=method,
            parameters=dict(parameters or {}),
        )

    def __post_init__(self) -> None:
        n = len(self.pages)
        expected = {"shifts": (n, 2), "plane": (n,), "volume": (n,), "error_px": (n, 2), "match": (n,), "flag": (n,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}; expected {shape} for {n} frames")
        if self.reference_frames.shape[1:] != tuple(self.shape):
            raise ValueError(f"reference_frames have shape {self.reference_frames.shape}; frames have {self.shape}")

    @property
    def yx_shifts(self) -> dict[int, tuple[int, int]]:
        """Page to (dy, dx) in whole pixels, signed, for every channel."""
        return self._dictionary(np.round(self.shifts).astype(np.int64))

    @property
    def unsigned_yx_shifts(self) -> dict[int, tuple[int, int]]:
        """The same as remainders of rows and columns: (-1, 0) of 256 rows is (255, 0)."""
        return self._dictionary(np.round(self.shifts).astype(np.int64) % self.shape)

    @property
    def is_bad(self) -> NDArray[np.bool_]:
        """Which frames are flagged, shape (n,)."""
        return self.flag > 0

    @property
    def bad_pages(self) -> dict[int, str]:
        """Flagged pages, with the reason."""
        return {
            page: FLAGS[flag]
            for own, flag in zip(self.pages.tolist(), self.flag.tolist(), strict=True)
            if flag
            for page in own
            if page >= 0
        }

    def _dictionary(self, shifts: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
        channels, pairs = self.pages.T.tolist(), [tuple(pair) for pair in shifts.tolist()]
        return {page: pair for own in channels for page, pair in zip(own, pairs, strict=True) if page >= 0}

    def shift_table(self) -> NDArray[np.float64]:
        """Return shifts by volume and plane, shape (volumes, planes, 2); NaN where there is no frame."""
        n = [int(rank.max()) + 1 if len(rank) else 0 for rank in (self.volume, self.plane)]
        table = np.full((*n, 2), np.nan)
        table[self.volume, self.plane] = self.shifts
        return table

    def placed(self, pages: NDArray[np.int64]) -> "RegistrationInfo":
        """Return the same with each frame at its volume and plane, and its shift given to the pages of all channels.

        Parameters
        ----------
        pages : ndarray of int64, shape (volumes, planes, channels)
            Pages of the recording; -1 where there is none. Frames with other pages (flyback) are left out.

        Returns
        -------
        RegistrationInfo

        Raises
        ------
        FrameIndexError
            If no frame is one of the recording's.
        """
        n_planes, n_channels = pages.shape[1:]
        place = {page: rank for rank, page in enumerate(pages.ravel().tolist()) if page >= 0}
        rank = np.array([place.get(own[0], -1) for own in self.pages.tolist()], np.int64)
        known = np.flatnonzero(rank >= 0)
        if len(self.pages) and not known.size:
            raise FrameIndexError(f"none of the {len(self.pages)} registered pages is a frame of this recording")
        _, first = np.unique(rank[known] // n_channels, return_index=True)
        kept = known[np.sort(first)]
        volume, plane = np.divmod(rank[kept] // n_channels, n_planes)
        parts = {name: getattr(self, name)[kept] for name in ("shifts", "error_px", "match", "flag")}
        return replace(self, pages=pages[volume, plane], plane=plane, volume=volume, **parts)

    def with_source(self, source: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> "RegistrationInfo":
        """Return the same with another recording named as its source, and perhaps other parameters."""
        return replace(
            self, source=dict(source), parameters=dict(self.parameters if parameters is None else parameters)
        )

    def check_source(self, source: Mapping[str, Any]) -> None:
        """Refuse a recording that the shifts cannot belong to.

        Parameters
        ----------
        source : mapping
            As in `source`; ``n_pages`` and ``page_shape`` are compared. Where these agree, but the first file is of
            another size, there is a warning: a file may be renamed, but not grow.

        Raises
        ------
        FrameIndexError
            If pages are not there.
        ValueError
            If the size of pages is another.
        """
        name = source.get("file_name", "the recording")
        last = int(self.pages.max(initial=-1))
        if "n_pages" in source and last >= source["n_pages"]:
            raise FrameIndexError(f"the registration has a shift of page {last}; {name} has {source['n_pages']} pages")
        if "page_shape" in source and tuple(source["page_shape"]) != tuple(self.shape):
            raise ValueError(f"the registration is of frames of {self.shape}; {name} has {source['page_shape']}")
        own, given = self.source.get("file_bytes"), source.get("file_bytes")
        if own is not None and given is not None and own != given:
            warnings.warn(
                f"the registration was found in {self.source.get('file_name')} of {own} bytes; {name} has {given}, so "
                "that it is another recording: register it anew if it moved in its own way",
                ScanImageNwbWarning,
                stacklevel=3,
            )

    def save(self, path: str | Path) -> None:
        """Write an HDF5 file.

        Parameters
        ----------
        path : path-like
            Written in place of a file of that name once it is whole.
        """
        import h5py

        path = Path(path)
        beside = path.with_name(path.name + ".part")
        try:
            with h5py.File(beside, "w") as file:
                file.attrs["format"], file.attrs["version"] = FORMAT_NAME, _FORMAT_VERSION
                file.attrs["method"] = self.method
                file.attrs["parameters"], file.attrs["source"] = (
                    json.dumps(_plain(self.parameters)),
                    json.dumps(_plain(self.source)),
                )
                for name in _ARRAYS:
                    value = getattr(self, name)
                    file.create_dataset(name, data=value, compression="gzip" if value.size else None)
                file.create_dataset("shape", data=self.shape)
                file["shifts"].attrs["columns"] = "dy, dx in pixels, as numpy.roll applies them to align a frame"
                file["flag"].attrs["meaning"] = list(FLAGS)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "RegistrationInfo":
        """Read what `save` wrote, or another program's shifts (see `read_registration`).

        Parameters
        ----------
        path : path-like
            File.

        Returns
        -------
        RegistrationInfo

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FormatError
            If it holds no shifts that are understood.
        """
        from scanimage_nwb.registration.importing import read_registration

        return read_registration(path)

    @classmethod
    def _from_file(cls, file: Any, path: Path) -> "RegistrationInfo":
        """Read an open HDF5 file that `save` wrote."""
        if int(file.attrs["version"]) > _FORMAT_VERSION:
            raise FormatError(
                f"{path} is of version {file.attrs['version']}, written by a newer scanimage-nwb; expected up to "
                f"{_FORMAT_VERSION}: update scanimage-nwb"
            )
        missing = [name for name in (*_ARRAYS, "shape") if name not in file]
        if missing:
            raise FormatError(f"{path} lacks {', '.join(missing)}; register again")
        try:
            return cls(
                **{name: file[name][()] for name in _ARRAYS},
                shape=(int(file["shape"][0]), int(file["shape"][1])),
                method=str(file.attrs["method"]),
                parameters=json.loads(file.attrs["parameters"]),
                source=json.loads(file.attrs["source"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise FormatError(f"{path} is damaged: {error}; register again") from error

    def __repr__(self) -> str:
        return (
            f"RegistrationInfo({self.method}: {len(self.pages)} frames of {self.shape}, "
            f"{len(self.reference_frames)} references, {int(self.is_bad.sum())} flagged)"
        )


_ARRAYS = tuple(
    item.name for item in fields(RegistrationInfo) if item.name not in {"shape", "method", "parameters", "source"}
)


def as_signed(shifts: NDArray, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return shifts with remainders of rows and columns that are more than half a frame as negative numbers.

    Parameters
    ----------
    shifts : ndarray, shape (n, 2)
        dy and dx, signed or not.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of float64, shape (n, 2)

    Examples
    --------
    >>> as_signed(np.array([[255, 0], [-3, 127], [2.5, 64]]), (256, 128)).tolist()
    [[-1.0, 0.0], [-3.0, -1.0], [2.5, 64.0]]
    """
    size = np.array(shape, np.float64)
    shifts = np.asarray(shifts, np.float64)
    return np.where(np.abs(shifts) > size / 2, (shifts + size / 2) % size - size / 2, shifts)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON holds them."""
    return {
        key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for key, value in values.items()
    }
