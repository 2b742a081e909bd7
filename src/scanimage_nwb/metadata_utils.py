"""Header metadata of a ScanImage TIFF as plain dictionaries, under the names that roiextractors gives them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, HeaderFieldError, ScanImageNwbWarning
from scanimage_nwb.formats.matlab_literal import parse_matlab_vector
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.scanimage_layout import parse_layout
from scanimage_nwb.formats.scanimage_tiff import read_header_texts, read_page_text
from scanimage_nwb.formats.tiff_pages import read_page_table

__all__ = [
    "extract_extra_metadata",
    "extract_timestamps_from_file",
    "parse_matlab_vector",
    "parse_metadata",
    "parse_metadata_v3_8",
    "read_scanimage_metadata",
]

PathType = str | Path


def _path(file_path: PathType) -> Path:
    """Return an absolute path."""
    return Path(file_path).expanduser().absolute()


def extract_extra_metadata(file_path: PathType) -> dict[str, Any]:
    """Return every line of the first page's text and of the header, as text, and the ROI groups.

    Parameters
    ----------
    file_path : path-like
        A ScanImage TIFF of any version.

    Returns
    -------
    dict
        Key to the raw text of its value; ``"RoiGroups"`` to a dict, if the file holds ROI groups.

    Raises
    ------
    FileNotFoundError, FormatError
        If the file is not there or cannot be read.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> written = write_scanimage_recording(folder)
    >>> extract_extra_metadata(written.paths[0])["SI.hRoiManager.scanFrameRate"]
    '30'
    """
    table = read_page_table(_path(file_path), max_pages=1)
    header = _read_header(file_path)
    metadata: dict[str, Any] = {}
    for line in read_page_text(table, 0).replace("\r", "\n").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            metadata[key.strip()] = value.strip()
    metadata.update((key, header.raw(key)) for key in header.keys())  # noqa: SIM118 - a method, not a mapping
    if header.roi_groups is not None:
        metadata["RoiGroups"] = header.roi_groups
    return metadata


def _read_header(file_path: PathType) -> ScanImageHeader:
    """Read the header of a file."""
    table = read_page_table(_path(file_path), max_pages=1)
    texts = read_header_texts(table)
    return ScanImageHeader.from_text(texts.text, texts.roi_text, source=table.path.name)


def read_scanimage_metadata(file_path: PathType) -> dict[str, Any]:
    """Return header and ROI groups of a file as Python values, with what they say of the acquisition.

    Parameters
    ----------
    file_path : path-like
        A ScanImage TIFF of version 4 or later.

    Returns
    -------
    dict
        ``"scan_image_non_varying_frame_metadata"``: every header value; ``"scan_image_roi_group_metadata"``: the
        ROI groups' JSON, ``{}`` if there is none; ``"roiextractors_parsed_metadata"``: a dict with
        ``sampling_frequency`` (Hz, of frames or volumes, as the header claims it), ``num_channels``, ``num_planes``,
        ``frames_per_slice``, ``channel_names`` and ``roi_metadata``.

    Raises
    ------
    FileNotFoundError, FormatError
        If the file is not there or cannot be read.
    """
    header = _read_header(file_path)
    roi_groups = header.roi_groups
    return {
        "scan_image_non_varying_frame_metadata": header.as_dict(),
        "scan_image_roi_group_metadata": {} if roi_groups is None else {"RoiGroups": roi_groups},
        "roiextractors_parsed_metadata": _standard_metadata(header, volume_rate=True),
    }


def parse_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what the lines of a header say of the acquisition.

    Parameters
    ----------
    metadata : dict
        Key to raw text, as `extract_extra_metadata` returns it for versions 2015 and later.

    Returns
    -------
    dict
        ``sampling_frequency`` (Hz, of frames, as the header claims it), ``num_channels``, ``num_planes``,
        ``frames_per_slice``, ``channel_names`` and ``roi_metadata``.

    Raises
    ------
    FormatError
        If the lines are no ScanImage header, or name no saved channel.
    """
    lines = "\n".join(f"{key} = {value}" for key, value in metadata.items() if isinstance(value, str))
    parsed = _standard_metadata(ScanImageHeader.from_text(lines, source="metadata"), volume_rate=False)
    parsed["roi_metadata"] = metadata.get("RoiGroups")
    return parsed


def _standard_metadata(header: ScanImageHeader, *, volume_rate: bool) -> dict[str, Any]:
    """Return what a header says of the acquisition, under the peers' names."""
    layout = parse_layout(header)
    if not layout.channel_names:
        raise FormatError(
            f"{header.source}: the header names no saved channel; expected SI.hChannels.channelSave or channelsActive"
        )
    rate = layout.volume_rate_hz if volume_rate and layout.n_planes > 1 else layout.frame_rate_hz
    return {
        "sampling_frequency": rate,
        "num_channels": len(layout.channel_names),
        "num_planes": layout.n_planes,
        "frames_per_slice": layout.frames_per_slice,
        "channel_names": list(layout.channel_names),
        "roi_metadata": header.roi_groups,
    }


def parse_metadata_v3_8(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what the lines of a ScanImage 3.8 header say of the acquisition.

    Parameters
    ----------
    metadata : dict
        Key to raw text, as `extract_extra_metadata` returns it.

    Returns
    -------
    dict
        ``sampling_frequency`` (Hz), ``num_channels`` and ``num_planes``.

    Raises
    ------
    HeaderFieldError
        If one of the three lines is missing or holds no number.

    Examples
    --------
    >>> parse_metadata_v3_8(
    ...     {"state.acq.frameRate": "3.9", "state.acq.numberOfChannelsSave": "1", "state.acq.numberOfZSlices": "2"}
    ... )
    {'sampling_frequency': 3.9, 'num_channels': 1, 'num_planes': 2}
    """
    wanted = {
        "sampling_frequency": ("state.acq.frameRate", float),
        "num_channels": ("state.acq.numberOfChannelsSave", int),
        "num_planes": ("state.acq.numberOfZSlices", int),
    }
    parsed = {}
    for name, (key, kind) in wanted.items():
        try:
            parsed[name] = kind(metadata[key])
        except (KeyError, TypeError, ValueError) as error:
            raise HeaderFieldError(
                f"metadata: {key} is {metadata.get(key)!r}; expected a number, as ScanImage 3.8 writes"
            ) from error
    return parsed


def extract_timestamps_from_file(file_path: PathType) -> NDArray[np.float64]:
    """Return the timestamp of every page of one file.

    Parameters
    ----------
    file_path : path-like
        A ScanImage TIFF.

    Returns
    -------
    ndarray of float64, shape (n_pages,)
        Seconds; the channels of a frame share one.

    Raises
    ------
    AssertionError
        If the first page has no ``frameTimestamps_sec``.
    FileNotFoundError, FormatError
        If the file is not there or cannot be read.
    """
    table = read_page_table(_path(file_path))
    if np.isnan(table.timestamp_s[0]):
        raise AssertionError(
            f"frameTimestamps_sec not found in {table.path}, page 0: the version is too old to have it"
        )
    if table.problem:
        warnings.warn(f"{table.path}:\n  - {table.problem_note}", ScanImageNwbWarning, stacklevel=2)
    return table.timestamp_s
