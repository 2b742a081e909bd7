"""From files to a recording: which files, in which order, and where every page belongs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, UnsupportedFormatError
from scanimage_nwb.formats.file_series import file_epoch, find_file_series, is_same_start
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.scanimage_layout import AcquisitionLayout, parse_layout
from scanimage_nwb.formats.scanimage_tiff import read_header_texts
from scanimage_nwb.formats.tiff_pages import PageTable, read_page_table
from scanimage_nwb.frame_index import FrameIndex, PageFacts, VolumeLayout, build_frame_index
from scanimage_nwb.recording.notes import header_notes, index_notes, series_notes, shape_notes, warn_of_notes
from scanimage_nwb.recording.recording import Recording
from scanimage_nwb.time_axis import clock_offsets, fill_missing

__all__ = ["open_recording"]


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
        notes += series_notes(series)
    else:
        raise ValueError("file_path or file_paths must be given: neither names a file to open")
    tables = _read_tables(paths, notes)
    if file_paths is None and file_path is not None:
        tables = _in_order_around(Path(file_path).name, tables, notes)
    texts = read_header_texts(tables[0])
    header = ScanImageHeader.from_text(texts.text, texts.roi_text, source=tables[0].path.name)
    _check_generation(header, tables[0])
    recording = _assemble(tables, header, texts.tiff_version, notes)
    if warn and recording.notes:
        warn_of_notes(recording)
    return recording


def _explicit_paths(file_paths: Sequence[str | Path]) -> list[Path]:
    """Return the files that the user listed; refuse an empty list and repetitions."""
    paths = [Path(path).expanduser().absolute() for path in file_paths]
    if not paths:
        raise ValueError("file_paths is empty; expected at least one file")
    repeated = [str(path) for path, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if repeated:
        raise ValueError(f"file_paths names the same file more than once: {', '.join(repeated)}; name each once")
    return paths


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
            notes.append(table.problem_note)
        tables.append(table)
    if first_error and not tables:
        raise first_error
    for table in tables[1:]:
        if _page_kind(table) != _page_kind(tables[0]):
            (shape, kind), (other_shape, other_kind) = _page_kind(tables[0]), _page_kind(table)
            raise FormatError(
                f"files of one recording must have pages of one shape and type: {tables[0].path} has {shape} {kind}, "
                f"{table.path} has {other_shape} {other_kind}. Open them as two recordings with file_paths"
            )
    return tuple(tables)


def _page_kind(table: PageTable) -> tuple[tuple[int, int], str]:
    """Return shape and type of a file's pages; those of a .siff may be stored in different ways."""
    return table.page_shape, "photons" if table.is_siff else str(table.dtype)


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


def _assemble(tables: tuple[PageTable, ...], header: ScanImageHeader, tiff_version: int, notes: list[str]) -> Recording:
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
    _check_layouts(tables, new_clock, layout)
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
        clock_starts=tuple(np.flatnonzero(new_clock).tolist()),
    )
    return replace(
        recording, notes=(*notes, *index_notes(recording), *shape_notes(recording), *header_notes(recording))
    )


def _find_clocks(tables: tuple[PageTable, ...], epochs: list[datetime | None]) -> NDArray[np.bool_]:
    """Tell which files start a clock of their own.

    Raises
    ------
    ValueError
        If a file is not later than the one before it.
    """
    new_clock = np.zeros(len(tables), bool)
    new_clock[0] = True
    for i, (before, after) in enumerate(pairwise(tables), start=1):
        in_order, new_clock[i] = _follows(before, after, epochs[i - 1], epochs[i])
        if not in_order:
            raise ValueError(
                f"file_paths is out of the order of time: {after.path} (frame {after.frame_number[0]}, clock started "
                f"{epochs[i]}) is listed behind {before.path} (up to frame {before.frame_number[-1]}, clock started "
                f"{epochs[i - 1]}). List the files as they were recorded"
            )
    return new_clock


def _follows(
    before: PageTable, after: PageTable, epoch_before: datetime | None, epoch_after: datetime | None
) -> tuple[bool, bool]:
    """Tell whether a file is later than another, and whether it starts a clock of its own."""
    elapsed = timedelta(0)
    if epoch_before and epoch_after and not is_same_start(epoch_before, epoch_after):
        elapsed = epoch_after - epoch_before
    step = int(after.frame_number[0]) - int(before.frame_number[-1])
    runs_on = step > 0 or (step == 0 and not elapsed)  # the channels of one frame may lie in two files
    unnumbered = int(after.frame_number[0]) < 0
    if not elapsed:
        return runs_on or unnumbered, False
    in_order = elapsed > timedelta(0) or (runs_on and not unnumbered)
    return in_order, not runs_on or bool(after.timestamp_s[0] < before.timestamp_s[-1])


def _in_order_around(name: str, tables: tuple[PageTable, ...], notes: list[str]) -> tuple[PageTable, ...]:
    """Return the files around the named one that follow each other in time; note those found beside it that do not.

    Files are found by their first pages: a copy, or a damaged file, may begin before its neighbour ends.
    """
    if len(tables) == 1:
        return tables
    epochs = [file_epoch(table) for table in tables]
    here = next((i for i, table in enumerate(tables) if table.path.name == name), 0)
    breaks = [i for i in range(1, len(tables)) if not _follows(tables[i - 1], tables[i], epochs[i - 1], epochs[i])[0]]
    start = max([i for i in breaks if i <= here], default=0)
    stop = min([i for i in breaks if i > here], default=len(tables))
    left_out = [table.path.name for table in (*tables[:start], *tables[stop:])]
    if left_out:
        notes.append(
            f"{', '.join(left_out)} beside {name}: belongs to the recording by name and clock, but does not follow in "
            "time, and is left out; list the files with file_paths if it belongs to it"
        )
    return tables[start:stop]


def _check_layouts(tables: tuple[PageTable, ...], new_clock: NDArray[np.bool_], layout: AcquisitionLayout) -> None:
    """Refuse files of other acquisitions whose channels or planes differ from those of the first file."""

    def order(layout: AcquisitionLayout) -> tuple[object, ...]:
        return layout.channel_names, layout.n_planes, layout.frames_per_slice, layout.n_flyback, layout.averaging

    for i in np.flatnonzero(new_clock[1:]) + 1:
        texts = read_header_texts(tables[i])
        other = parse_layout(ScanImageHeader.from_text(texts.text, texts.roi_text, source=tables[i].path.name))
        if order(other) != order(layout):
            raise FormatError(
                "files of one recording must agree in channels, planes, frames a slice, flyback and averaging: "
                f"{tables[0].path} has {order(layout)}, {tables[i].path} has {order(other)}. "
                "Open them as two recordings with file_paths"
            )


def _volume_layout(header: ScanImageHeader, layout: AcquisitionLayout, facts: PageFacts) -> VolumeLayout:
    """Return the header's claim of the order of pages.

    An averaging factor that is missing, or that frame numbers contradict, is read off the frame numbers; flyback that
    the header both claims and denies is decided by the number of frames.
    """
    averaging = layout.averaging
    steps = np.diff(facts.frame_number)
    steps = steps[steps > 0]
    if steps.size:
        found = int(np.bincount(np.minimum(steps, 1000)).argmax())
        is_claimed = header.generation != "SI" or "SI.hScan2D.logAverageFactor" in header
        if not is_claimed or found % averaging:
            averaging = found
    return VolumeLayout(
        max(1, len(layout.channel_names)),
        layout.n_planes,
        layout.frames_per_slice,
        layout.disputed_flyback if _frames_show_flyback(header, layout, facts) else layout.n_flyback,
        averaging,
        layout.slow_stack,
    )


def _frames_show_flyback(header: ScanImageHeader, layout: AcquisitionLayout, facts: PageFacts) -> bool:
    """Tell whether an acquisition has as many frames as its volumes with the flyback in question would have."""
    if not layout.disputed_flyback:
        return False
    numbers = facts.frame_in_acquisition if facts.frame_in_acquisition.min() >= 0 else facts.frame_number
    n_frames = (int(numbers.max()) - int(numbers.min())) // layout.averaging + 1
    frames_per_volume = layout.n_planes * layout.frames_per_slice + layout.disputed_flyback
    volumes = (header.number(f"SI.hStackManager.{name}") for name in ("actualNumVolumes", "numVolumes"))
    n_volumes = next((number for number in volumes if number is not None), 0)
    return n_frames == n_volumes * frames_per_volume


def _channel_names(layout: AcquisitionLayout, n_channels: int) -> tuple[str, ...]:
    """Return one name for each channel on disk: made up where the header names fewer, told apart where it repeats."""
    named = list(zip(layout.channel_names, layout.channel_numbers, strict=True))[:n_channels]
    times = Counter(layout.channel_names)
    names = [f"{name} (Channel {number})" if times[name] > 1 else name for name, number in named]
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
    clock = (np.cumsum(new_clock) - 1)[index.file_index]
    n_missing = int(np.isnan(times).sum())
    if n_missing and np.bincount(clock, ~np.isnan(times)).min() < 2:
        notes.append("pages have no timestamps: times are counted from the header's rate")
        return None
    if n_missing:
        notes.append(f"{n_missing} of {times.size} pages have no timestamp: their time follows from their frame number")
        for own in (clock == i for i in range(int(clock[-1]) + 1)):
            times[own] = fill_missing(times[own], index.frame_number[own])
    times = times + clock_offsets([epoch for epoch, new in zip(epochs, new_clock, strict=True) if new])[clock]
    backward = np.flatnonzero(np.diff(times) < 0) + 1
    if backward.size:
        notes.append(
            f"timestamps run backward at {backward.size} page(s), first at page {backward[0]} "
            f"({times[backward[0]]:.6f} s behind {times[backward[0] - 1]:.6f} s): they are kept as they are"
        )
    return times
