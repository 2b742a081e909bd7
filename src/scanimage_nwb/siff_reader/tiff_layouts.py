"""The layouts that `siff_to_tiff` writes: ScanImage's own, and OME-TIFF."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, ScanImageNwbWarning
from scanimage_nwb.formats.scanimage_fields import parse_field_of_view
from scanimage_nwb.formats.scanimage_tiff_writer import ScanImageTiffWriter
from scanimage_nwb.recording import Recording

__all__ = ["write_ome", "write_scanimage"]

_VERSION = 4
"""Of ScanImage's TIFF layout, where a file that has lost its mark does not say."""
_BUFFER_BYTES = 1 << 20
_ZLIB_LEVEL = 3
"""Sparse counts take 40 % more than at the usual 6, in a third of the time."""


def write_scanimage(path: Path, recording: Recording, pages: NDArray[np.int64], frames: Iterable[NDArray]) -> None:
    """Write pages with their texts, and header and ROI groups once.

    Parameters
    ----------
    path : Path
        File to write.
    recording : Recording
        Where the texts come from.
    pages : ndarray of int64, shape (n,)
        Global page numbers.
    frames : iterable of ndarray, shape (rows, columns)
        Pixels of these pages.
    """
    header = recording.header
    # Up to ScanImage 5.0 it is the page texts that hold the header, and there is no mark.
    is_shared = header.text != recording.page_text(0)
    with path.open("wb", buffering=_BUFFER_BYTES) as file:
        writer = ScanImageTiffWriter(
            file,
            header.text if is_shared else "",
            header.roi_text if is_shared else "",
            tiff_version=recording.tiff_version or _VERSION,
            pixel_size_um=_pixel_size_um(recording),
        )
        with writer:
            for page, frame in zip(pages.tolist(), frames, strict=True):
                writer.write(frame, recording.page_text(page))


def write_ome(
    path: Path,
    recording: Recording,
    pages: NDArray[np.int64],
    frames: Iterator[NDArray],
    dtype: np.dtype,
    *,
    compress: bool,
) -> None:
    """Write complete volumes as one OME series.

    Parameters
    ----------
    path : Path
        File to write.
    recording : Recording
        Where names, sizes and times come from.
    pages : ndarray of int64, shape (timepoints, planes, channels)
        Global page numbers.
    frames : iterator of ndarray, shape (rows, columns)
        Pixels of these pages.
    dtype : dtype
        Their type.
    compress : bool
        Whether pages are compressed.
    """
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        writer.write(
            frames,
            shape=(*pages.shape, *recording.page_shape),
            dtype=dtype,
            metadata=_ome_metadata(recording, pages),
            photometric="minisblack",
            compression="zlib" if compress else None,
            compressionargs={"level": _ZLIB_LEVEL} if compress else None,
        )


def _ome_metadata(recording: Recording, pages: NDArray[np.int64]) -> dict[str, Any]:
    """Return what OME-XML says of axes, channels, space and time."""
    metadata: dict[str, Any] = {"axes": "TZCYX", "Channel": {"Name": list(recording.channel_names)}}
    pixel_size_um = _pixel_size_um(recording)
    if pixel_size_um is not None:
        metadata |= {"PhysicalSizeX": pixel_size_um[0], "PhysicalSizeY": pixel_size_um[1]}
    steps_um = np.abs(np.diff(recording.layout.z_um))
    if steps_um.size and steps_um[0] > 0 and np.allclose(steps_um, steps_um[0]):
        metadata["PhysicalSizeZ"] = float(steps_um[0])
    if recording.timestamp_s is None:
        return metadata
    times = recording.timestamp_s[pages]
    if np.isfinite(times).all():
        metadata["Plane"] = {"DeltaT": times.reshape(-1).tolist(), "DeltaTUnit": ["s"] * times.size}
        if len(times) > 1:
            metadata |= {"TimeIncrement": float(np.median(np.diff(times[:, 0, 0]))), "TimeIncrementUnit": "s"}
    return metadata


def _pixel_size_um(recording: Recording) -> tuple[float, float] | None:
    """Return width and height of a pixel in microns, None if the header does not say."""
    try:
        field = parse_field_of_view(recording.header, page_shape=recording.page_shape)
    except FormatError as error:
        warnings.warn(f"the TIFF has no pixel size: {error}", ScanImageNwbWarning, stacklevel=2)
        return None
    if field is None or not (np.isfinite(field.pixel_size_um).all() and min(field.pixel_size_um) > 0):
        return None
    return field.pixel_size_um
