"""A recording: files, header, frame index and times as one.

Extractors, interfaces and commands all speak to files through `Recording`; nothing above it opens one. Whatever
is wrong with the files is found here, mended where the pages allow it, and said in one warning.
"""

import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, FrameIndexError, ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.formats.file_series import FileSeries, file_epoch, find_file_series
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.scanimage_layout import AcquisitionLayout, parse_layout
from scanimage_nwb.formats.scanimage_tiff import read_header_texts, read_page_text, read_pixels
from scanimage_nwb.formats.tiff_pages import PageTable, read_page_table
from scanimage_nwb.frame_index import FrameIndex, PageFacts, VolumeLayout, build_frame_index
from scanimage_nwb.time_axis import clock_offsets, fill_missing, regular_rate, typical_rate

__all__ = ["Recording", "open_recording"]

_MAX_OPEN_FILES = 8
_RATE_TOLERANCE = 0.01
"""A header rate this far from the timestamps' (as a fraction) is worth a word."""


@dataclass(eq=False)
class Recording:
    """Files of one acquisition as one sequence of pages; made by `open_recording`."""

    tables: tuple[PageTable, ...]
    """Pages of each file, in the order of time."""
    header: ScanImageHeader
    """Header of the first file."""
    layout: AcquisitionLayout
    """What the header says of channels, planes and rates."""
    index: FrameIndex
    """Where every page belongs."""
    channel_names: tuple[str, ...]
    """The vendor's names of the channels on disk."""
    timestamp_s: NDArray[np.float64] | None
    """Time of each page in seconds of the first file's clock, shape (n_pages,); None if pages have none."""
    epoch: datetime | None
    """Start of the first file's clock, in the local time of the computer that recorded; None if unknown."""
    tiff_version: int
    """ScanImage's version of its TIFF layout; 0 for files without ScanImage's mark."""
    notes: tuple[str, ...] = ()
    """What is not as it should be, and what was done about it."""
    _files: "OrderedDict[int, ReadOnlyFile]" = field(default_factory=OrderedDict, repr=False)
    _files_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of time."""
        return tuple(table.path for table in self.tables)

    @property
    def n_pages(self) -> int:
        """Number of pages over all files."""
        return self.index.n_pages

    @property
    def page_shape(self) -> tuple[int, int]:
        """Rows and columns of a page."""
        return self.tables[0].page_shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.tables[0].dtype

    @property
    def n_channels(self) -> int:
        """Channels on disk."""
        return self.index.layout.n_channels

    @property
    def n_planes(self) -> int:
        """Planes of a volume, without flyback."""
        return self.index.layout.n_planes

    @property
    def frames_per_slice(self) -> int:
        """Pages of one channel that a plane gets in each volume."""
        return self.index.layout.frames_per_slice

    def read_pages(self, pages: NDArray[np.int64]) -> NDArray:
        """Read pixels.

        Parameters
        ----------
        pages : ndarray of int, any shape
            Global page numbers, in any order.

        Returns
        -------
        ndarray, shape (*pages.shape, rows, columns)

        Raises
        ------
        FrameIndexError
            If a page is not there.
        TruncatedFileError
            If a file became shorter since it was opened.
        """
        flat = np.asarray(pages, np.int64).reshape(-1)
        outside = flat[(flat < 0) | (flat >= self.n_pages)]
        if outside.size:
            raise FrameIndexError(f"page {outside[0]} was asked for; {self.paths[0]} and its series have {self.n_pages}")
        out = np.empty((flat.size, *self.page_shape), self.dtype)
        file_of_page = self.index.file_index[flat]
        bounds = np.flatnonzero(np.diff(file_of_page)) + 1
        for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), flat.size], strict=True):
            if start == stop:
                continue
            file = int(file_of_page[start])
            read_pixels(self._file(file), self.tables[file], self.index.page_in_file[flat[start:stop]], out[start:stop])
        return out.reshape(*np.shape(pages), *self.page_shape)

    def page_text(self, page: int) -> str:
        """Return the text of a page (its ImageDescription).

        Parameters
        ----------
        page : int
            Global page number.

        Returns
        -------
        str
            Empty if the page has none.

        Raises
        ------
        FrameIndexError
            If the page is not there.
        """
        if not 0 <= page < self.n_pages:
            raise FrameIndexError(f"page {page} was asked for; {self.paths[0]} and its series have {self.n_pages}")
        return read_page_text(self.tables[self.index.file_index[page]], int(self.index.page_in_file[page]))

    def close(self) -> None:
        """Close the files; they open again when they are needed."""
        with self._files_lock:
            self._files.clear()

    def _file(self, index: int) -> ReadOnlyFile:
        """Return an open file; only the few used last stay open."""
        with self._files_lock:
            file = self._files.pop(index, None) or ReadOnlyFile(self.tables[index].path)
            self._files[index] = file
            if len(self._files) > _MAX_OPEN_FILES:
                self._files.popitem(last=False)
            return file

    def __getstate__(self) -> dict[str, object]:
        """Leave the open files behind: paths travel, handles do not."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_files")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _files=OrderedDict(), _files_lock=threading.Lock())


def open_recording(
    file_path: str | Path | None = None, *, file_paths: Sequence[str | Path] | None = None, warn: bool = True
) -> Recording:
    """Open a ScanImage recording of one file or many.

    Parameters
    ----------
    file_path : path-like, optional
        Any file of the recording; the files that belong to it are found beside it.
    file_paths : sequence of path-like, optional
        Exactly these files, in the order of time.
    warn : bool
        Say in one `ScanImageNwbWarning` what is not as it should be.

    Returns
    -------
    Recording

    Raises
    ------
    FileNotFoundError
        If a file that was named is not there.
    UnsupportedFormatError
        If a file is no ScanImage TIFF.
    FormatError
        If no file holds a whole page, files differ in page shape, or planes cannot be told apart.
    ValueError
        If no file was named, or `file_paths` names one twice or is out of the order of time.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> written = write_scanimage_recording(folder, n_planes=2, n_volumes=3)
    >>> recording = open_recording(written.paths[0])
    >>> recording.n_planes, recording.n_pages
    (2, 6)
    """
    notes: list[str] = []
    if file_paths is not None:
        paths = _explicit_paths(file_paths)
    elif file_path is not None:
        series = find_file_series(Path(file_path).expanduser().absolute())
        paths = list(series.paths)
        notes += _series_notes(series)
    else:
        raise ValueError("file_path or file_paths must be given: neither names a file to open")
    tables = _read_tables(paths, notes)
    texts = read_header_texts(tables[0])
    header = ScanImageHeader.from_text(texts.text, texts.roi_text, source=tables[0].path.name)
    _check_generation(header, tables[0])
    recording = _assemble(tables, header, texts.tiff_version, notes)
    if warn and recording.notes:
        _warn(recording)
    return recording


def _warn(recording: Recording) -> None:
    """Say everything that is not as it should be, once."""
    more = f" and {len(recording.paths) - 1} more" if len(recording.paths) > 1 else ""
    lines = "".join(f"\n  - {note}" for note in recording.notes)
    warnings.warn(f"{recording.paths[0]}{more}:{lines}", ScanImageNwbWarning, stacklevel=3)


def _explicit_paths(file_paths: Sequence[str | Path]) -> list[Path]:
    """Return the files that the user listed; refuse an empty list and repetitions."""
    paths = [Path(path).expanduser().absolute() for path in file_paths]
    if not paths:
        raise ValueError("file_paths is empty; expected at least one file")
    repeated = [str(path) for path, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if repeated:
        raise ValueError(f"file_paths names the same file more than once: {', '.join(repeated)}; name each once")
    return paths


def _series_notes(series: FileSeries) -> list[str]:
    """Put what is odd about the files found into words."""
    notes = [f"{path.name} is left out: {reason}" for path, reason in series.unreadable]
    if series.missing_names:
        notes.append(
            f"by their numbers, {len(series.missing_names)} file(s) of this recording are missing: "
            f"{_abbreviate(series.missing_names)}"
        )
    return notes


def _abbreviate(names: Sequence[str], most: int = 5) -> str:
    """Join names; many are cut short."""
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _read_tables(paths: list[Path], notes: list[str]) -> tuple[PageTable, ...]:
    """Walk all files; of several, those that hold no whole page are left out with a note."""
    tables: list[PageTable] = []
    first_error: FormatError | None = None
    for path in paths:
        try:
            table = read_page_table(path)
        except FormatError as error:
            first_error = first_error or error
            notes.append(f"{path.name} is left out: {error}")
            continue
        if table.problem:
            notes.append(
                f"{path.name}: {table.problem.text}; stopped at byte {table.problem.offset}, "
                f"the {table.n_pages} whole pages before are kept"
            )
        tables.append(table)
    if first_error and not tables:
        raise first_error
    for table in tables[1:]:
        if (table.page_shape, table.dtype) != (tables[0].page_shape, tables[0].dtype):
            raise FormatError(
                f"files of one recording must have pages of one shape and type: {tables[0].path} has "
                f"{tables[0].page_shape} {tables[0].dtype}, {table.path} has {table.page_shape} {table.dtype}. "
                "Open them as two recordings with file_paths"
            )
    return tuple(tables)


def _check_generation(header: ScanImageHeader, table: PageTable) -> None:
    """Refuse files that ScanImage did not write, or so long ago that another class reads them."""
    if header.generation == "3.8":
        raise UnsupportedFormatError(
            f"{table.path} was written by ScanImage {header.version}, whose layout differs; "
            "open it with ScanImageLegacyImagingExtractor(file_path, sampling_frequency)"
        )
    if not header.generation:
        raise UnsupportedFormatError(
            f"{table.path} is a TIFF, but holds no ScanImage header (expected `SI.` lines in a block at byte 32, in "
            "the Software tag or in the page text). If another program saved it, start from the original file"
        )


def _assemble(
    tables: tuple[PageTable, ...], header: ScanImageHeader, tiff_version: int, notes: list[str]
) -> Recording:
    """Place every page in volume and time."""
    layout = parse_layout(header)
    if not layout.planes_separable:
        raise FormatError(
            f"{tables[0].path}: ScanImage averaged {layout.averaging} frames into each page, across planes "
            f"({layout.n_planes} planes, logAverageFactor = {layout.averaging}); the planes cannot be told apart, "
            "so there are no volumes to read. Read the pages as they are with tifffile"
        )
    epochs = [file_epoch(table) for table in tables]
    new_clock = _find_clocks(tables, epochs)
    facts = PageFacts(
        np.array([table.n_pages for table in tables], np.int64),
        np.concatenate([table.frame_number for table in tables]),
        np.concatenate([table.columns["frame_in_acquisition"] for table in tables]),
        new_clock,
    )
    index = build_frame_index(facts, _volume_layout(header, layout, facts))
    recording = Recording(
        tables=tables,
        header=header,
        layout=layout,
        index=index,
        channel_names=_channel_names(layout, index.layout.n_channels),
        timestamp_s=_page_times(tables, epochs, new_clock, index, notes),
        epoch=epochs[0],
        tiff_version=tiff_version,
    )
    return replace(recording, notes=(*notes, *_index_notes(recording), *_header_notes(recording)))


def _find_clocks(tables: tuple[PageTable, ...], epochs: list[datetime | None]) -> NDArray[np.bool_]:
    """Tell which files start a clock of their own.

    Raises
    ------
    ValueError
        If a file is not later than the one before it.
    """
    new_clock = np.zeros(len(tables), bool)
    new_clock[0] = True
    for i, (before, after) in enumerate(zip(tables, tables[1:], strict=False), start=1):
        epoch_before, epoch_after = epochs[i - 1], epochs[i]
        runs_on = int(after.frame_number[0]) >= int(before.frame_number[-1])
        unnumbered = int(after.frame_number[0]) < 0
        if epoch_before and epoch_after and epoch_before != epoch_after:
            in_order = epoch_after > epoch_before or (runs_on and not unnumbered)
            new_clock[i] = not runs_on or bool(after.timestamp_s[0] < before.timestamp_s[-1])
        else:
            in_order = runs_on or unnumbered
        if not in_order:
            raise ValueError(
                f"file_paths is out of the order of time: {after.path} (frame {after.frame_number[0]}, clock started "
                f"{epoch_after}) is listed behind {before.path} (up to frame {before.frame_number[-1]}, clock started "
                f"{epoch_before}). List the files as they were recorded"
            )
    return new_clock


def _volume_layout(header: ScanImageHeader, layout: AcquisitionLayout, facts: PageFacts) -> VolumeLayout:
    """Return the header's claim of the order of pages; a missing averaging factor is read off the frame numbers."""
    averaging = layout.averaging
    if header.generation == "SI" and "SI.hScan2D.logAverageFactor" not in header:
        steps = np.diff(facts.frame_number)
        steps = steps[steps > 0]
        averaging = int(np.bincount(np.minimum(steps, 1000)).argmax()) if steps.size else 1
    return VolumeLayout(
        max(1, len(layout.channel_names)),
        layout.n_planes,
        layout.frames_per_slice,
        layout.n_flyback,
        averaging,
        layout.slow_stack,
    )


def _channel_names(layout: AcquisitionLayout, n_channels: int) -> tuple[str, ...]:
    """Return one name for each channel on disk, made up where the header names fewer."""
    names = list(layout.channel_names[:n_channels])
    number = 1
    while len(names) < n_channels:
        if f"Channel {number}" not in names:
            names.append(f"Channel {number}")
        number += 1
    return tuple(names)


def _page_times(
    tables: tuple[PageTable, ...],
    epochs: list[datetime | None],
    new_clock: NDArray[np.bool_],
    index: FrameIndex,
    notes: list[str],
) -> NDArray[np.float64] | None:
    """Return the time of every page on the first file's clock, None if pages have no timestamps."""
    times = np.concatenate([table.timestamp_s for table in tables])
    n_missing = int(np.isnan(times).sum())
    if times.size - n_missing < 2 and n_missing:
        notes.append("pages have no timestamps: times are counted from the header's rate")
        return None
    if new_clock[1:].any():
        clock = np.cumsum(new_clock) - 1
        offsets = clock_offsets([epoch for epoch, new in zip(epochs, new_clock, strict=True) if new])
        times = times + offsets[clock][index.file_index]
    if n_missing:
        notes.append(f"{n_missing} of {times.size} pages have no timestamp: their time follows from their frame number")
    return fill_missing(times, index.frame)


def _index_notes(recording: Recording) -> list[str]:
    """Put what is missing into words, with counts."""
    index, claimed, notes = recording.index, len(recording.layout.channel_names), []
    if index.layout.n_channels != claimed:
        notes.append(
            f"the header says that {claimed} channel(s) were saved, but every frame has {index.layout.n_channels} "
            f"page(s): the pages are believed, and taken as {', '.join(recording.channel_names)}"
        )
    if not index.has_frame_numbers:
        notes.append("pages have no usable frame numbers: planes follow from the order of pages, dropped ones go unseen")
    lost = []
    if index.n_missing_frames:
        lost.append(f"{index.n_missing_frames} frame(s) are missing by their frame numbers (dropped, or in a file not here)")
    if index.n_partial_frames:
        lost.append(f"{index.n_partial_frames} frame(s) lack the page of a channel")
    if index.n_incomplete_volumes and index.layout.n_planes > 1:
        lost.append(f"{index.n_incomplete_volumes} volume(s) are incomplete")
    if lost:
        notes.append(
            f"{'; '.join(lost)}. {index.n_pages_left_out} page(s) are therefore in no sample; all others keep their "
            "plane and their time"
        )
    return notes


def _header_notes(recording: Recording) -> list[str]:
    """Put what the header lacks, or gets wrong, into words."""
    notes = []
    if recording.layout.missing_keys:
        notes.append(f"the header lacks {_abbreviate(recording.layout.missing_keys)}")
    if recording.header.generation == "SI" and not recording.header.roi_text:
        notes.append("the file holds no ROI groups: the field of view follows from the header, if at all")
    claimed, times = recording.layout.frame_rate_hz, recording.timestamp_s
    if claimed and times is not None and not recording.index.layout.slow_stack:
        first_pages = np.flatnonzero(np.diff(recording.index.frame, prepend=-1))
        frame_times = times[first_pages]
        found = regular_rate(frame_times) or typical_rate(frame_times)
        if found and abs(found / claimed - 1) > _RATE_TOLERANCE:
            notes.append(
                f"the header says {claimed:.6g} frames/s, the timestamps {found:.6g}: the timestamps are believed"
            )
    return notes
