"""What is not as it should be in a recording, in words, and said once."""

import sys
import warnings
from collections.abc import Sequence

import numpy as np

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.formats.file_series import FileSeries
from scanimage_nwb.recording.recording import Recording

__all__ = ["header_notes", "index_notes", "series_notes", "shape_notes", "warn_of_notes"]

_RATE_TOLERANCE = 0.01
"""A header rate this far from the timestamps' (as a fraction) is worth a word."""


def warn_of_notes(recording: Recording) -> None:
    """Say everything that is not as it should be, once."""
    more = f" and {len(recording.paths) - 1} more" if len(recording.paths) > 1 else ""
    lines = "".join(f"\n  - {note}" for note in recording.notes)
    depth = 2  # of the caller outside this package, whose line the warning shall name
    while str(sys._getframe(depth - 1).f_globals.get("__name__")).startswith("scanimage_nwb."):
        depth += 1
    warnings.warn(f"{recording.paths[0]}{more}:{lines}", ScanImageNwbWarning, stacklevel=depth)


def series_notes(series: FileSeries) -> list[str]:
    """Put what is odd about the files found into words."""
    notes = [f"{path.name} is left out: {reason}" for path, reason in series.unreadable]
    if series.missing_names:
        notes.append(
            f"by their numbers, {len(series.missing_names)} file(s) of this recording are missing: "
            f"{_abbreviate(series.missing_names)}"
        )
    return notes


def index_notes(recording: Recording) -> list[str]:
    """Put what is missing into words, with counts."""
    index, claimed, notes = recording.index, len(recording.layout.channel_names), []
    if claimed and index.layout.n_channels != claimed:
        notes.append(
            f"the header says that {claimed} channel(s) were saved, but every frame has {index.layout.n_channels} "
            f"page(s): the pages are believed, and taken as {', '.join(recording.channel_names)}"
        )
    averaging = recording.layout.averaging
    if index.layout.averaging % averaging:
        notes.append(
            f"the header says that {averaging} frames were averaged into one page, but frame numbers advance by "
            f"{index.layout.averaging}: planes follow from the frame numbers"
        )
    if recording.layout.disputed_flyback:
        found = "the number of frames shows them" if index.layout.n_flyback else "they are taken for planes"
        notes.append(
            f"the header counts {recording.layout.disputed_flyback} flyback frame(s) in each volume, but says "
            f"that FastZ is off: {found}"
        )
    if not index.has_frame_numbers:
        notes.append(
            "pages have no usable frame numbers: planes follow from the order of pages, dropped ones go unseen"
        )
    lost = []
    if index.n_missing_frames:
        lost.append(
            f"{index.n_missing_frames} frame(s) are missing by their frame numbers (dropped, or in a file not here)"
        )
    if index.n_partial_frames:
        lost.append(f"{index.n_partial_frames} frame(s) lack the page of a channel")
    if index.n_incomplete_volumes and index.layout.n_planes > 1:
        lost.append(f"{index.n_incomplete_volumes} volume(s) are incomplete")
    if index.n_pages_left_out and not lost:
        lost.append("frame numbers give several pages the same place")
    if lost:
        notes.append(
            f"{'; '.join(lost)}. {index.n_pages_left_out} page(s) are therefore in no sample; all others keep their "
            "plane and their time"
        )
    return notes


def shape_notes(recording: Recording) -> list[str]:
    """Say which pages of .siff files are of another shape, as those of several fields are."""
    heights, widths = (
        np.concatenate([table.columns[name] for table in recording.tables]) for name in ("height", "width")
    )
    rows, columns = recording.page_shape
    other = np.flatnonzero((heights != rows) | (widths != columns))
    if not other.size:
        return []
    page = other[0]
    return [
        f"{other.size} of {recording.n_pages} pages are not {rows} x {columns} (first: page {page}, {heights[page]} x "
        f"{widths[page]}), as where several fields were scanned; SiffReader leaves them out unless frames names them, "
        "and they cannot be converted"
    ]


def header_notes(recording: Recording) -> list[str]:
    """Put what the header lacks, or gets wrong, into words."""
    notes = []
    if recording.layout.missing_keys:
        notes.append(f"the header lacks {_abbreviate(recording.layout.missing_keys)}")
    if recording.header.generation == "SI" and not recording.header.roi_text:
        notes.append("the file holds no ROI groups: the field of view follows from the header, if at all")
    claimed, times = recording.layout.frame_rate_hz, recording.timestamp_s
    if claimed and times is not None and not recording.index.layout.slow_stack:
        first_pages = np.flatnonzero(np.diff(recording.index.frame, prepend=-1))
        is_next = np.diff(recording.index.frame_number[first_pages]) == recording.index.layout.averaging
        period_s = np.median(np.diff(times[first_pages])[is_next]) if is_next.any() else 0.0
        found = 1 / period_s if period_s > 0 else claimed
        if abs(found / claimed - 1) > _RATE_TOLERANCE:
            notes.append(
                f"the header says {claimed:.6g} frames/s, the timestamps {found:.6g}: the timestamps are believed"
            )
    return notes


def _abbreviate(names: Sequence[str], most: int = 5) -> str:
    """Join names; many are cut short."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
