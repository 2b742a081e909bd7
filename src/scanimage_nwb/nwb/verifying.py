"""Compare every sample of an NWB file with the recording that it came from, bit for bit, and its times."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ophys import TwoPhotonSeries

from scanimage_nwb.errors import FormatError, MetadataError
from scanimage_nwb.nwb.verifying_photons import first_photon_difference
from scanimage_nwb.nwb.verifying_times import first_time_difference
from scanimage_nwb.recording import Recording, open_recording
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["Difference", "FileChecks", "SeriesCheck", "verify_nwbfile"]

_BLOCK_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where file and source differ."""

    series: str
    """Name of the series."""
    sample: int
    """Sample that differs."""
    text: str
    """What was found, and what the source has."""


@dataclass(frozen=True, slots=True)
class SeriesCheck:
    """What comparing one series gave."""

    series: str
    """Name of the series."""
    n_samples: int
    """Samples in the file."""
    n_source_samples: int
    """Samples that the source has for this channel and plane; more than `n_samples` for a stub."""
    n_bytes: int
    """Bytes compared."""
    difference: Difference | None
    """The first difference, None if all is equal."""


class FileChecks(list[SeriesCheck]):
    """What comparing the series of a file gave, and what of the source is in none of them."""

    missing: tuple[str, ...] = ()
    """Channels, planes and frames of slices that the source has and the file has not."""


def verify_nwbfile(
    path: str | Path, source_paths: Sequence[str | Path], *, series_names: Sequence[str] | None = None
) -> FileChecks:
    """Compare the imaging and photon series of an NWB file with the recording they were made from.

    Every pixel and the time of every sample are compared, and the original frame indices with what the source gives.
    If times were aligned, the native ones that the file keeps are compared, and the pace of the others. Of a .siff,
    photon counts are compared, whatever type of integer the file holds them in; of a PhotonEventSeries, pixel and delay
    bin of every photon (if photons were moved to correct motion: moved by the shifts in the file, or, if it holds none,
    delay bins alone).

    Parameters
    ----------
    path : path-like
        The NWB file (HDF5).
    source_paths : sequence of path-like
        One file of the recording, or exactly its files in the order of time.
    series_names : sequence of str, optional
        Series that are of this recording, where the file holds several recordings; by default all.

    Returns
    -------
    FileChecks
        A list of SeriesCheck, one for each series that came from ScanImage; its `missing` names the channels and planes
        of the source that are in none of them.

    Raises
    ------
    MetadataError
        If the file holds no series with original frame indices.
    FileNotFoundError, FormatError
        If the source, or the file as NWB, cannot be read.
    """
    sources = [Path(source) for source in source_paths]
    recording = (
        open_recording(sources[0], warn=False) if len(sources) == 1 else open_recording(file_paths=sources, warn=False)
    )
    with closing(recording), _open_nwb(Path(path)) as nwbfile:
        ours = [
            (series, pages)
            for series, pages in _series_with_pages(nwbfile)
            if series_names is None or series.name in series_names
        ]
        checks = FileChecks(_check(nwbfile, series, pages, recording) for series, pages in ours)
        checks.missing = _missing(recording, ours)
    if not checks:
        raise MetadataError(
            f"{path} holds no TwoPhotonSeries with original frame indices, and no PhotonEventSeries; expected a file "
            "that this package wrote"
        )
    return checks


@contextmanager
def _open_nwb(path: Path) -> Iterator[NWBFile]:
    """Open a file and read what it holds, but no data yet."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    with ExitStack() as stack:
        try:
            nwbfile = stack.enter_context(NWBHDF5IO(str(path), mode="r", load_namespaces=True)).read()
        except (OSError, TypeError, KeyError, ValueError) as error:
            raise FormatError(f"{path} cannot be read as NWB (HDF5): {error}") from error
        yield nwbfile


def _series_with_pages(nwbfile: NWBFile) -> Iterator[tuple[TimeSeries, NDArray[np.int64]]]:
    """Yield every series of images or photons with the original frame index of its samples."""
    ophys = nwbfile.processing.get("ophys")
    for series in nwbfile.acquisition.values():
        name = f"{series.name}OriginalFrameIndices"
        # by its name: without ndx_flim, pynwb makes a class of its own
        is_ours = isinstance(series, TwoPhotonSeries) or series.neurodata_type == "PhotonEventSeries"
        if is_ours and ophys is not None and name in ophys.data_interfaces:
            yield series, ophys[name].data[:]


def _check(nwbfile: NWBFile, series: TimeSeries, last_pages: NDArray[np.int64], recording: Recording) -> SeriesCheck:
    """Compare the data of one series, and its times."""
    if isinstance(series, TwoPhotonSeries):
        check = _check_series(series, last_pages, recording)
    else:
        check = _check_photons(nwbfile, series, last_pages, recording)
    if check.difference is not None:
        return check
    native = None if recording.timestamp_s is None else recording.timestamp_s[last_pages]
    found = first_time_difference(nwbfile, series, native)
    return check if found is None else replace(check, difference=Difference(series.name, *found))


def _missing(recording: Recording, ours: Sequence[tuple[TimeSeries, NDArray[np.int64]]]) -> tuple[str, ...]:
    """Name the channels, planes and frames of slices whose samples are in no series."""
    pages = recording.index.sample_pages
    covered = np.zeros(pages.shape[1:], bool)  # frames of a slice, planes, channels
    for series, last_pages in ours:
        found = _expected_pages(series, last_pages, recording)
        if found is not None:
            covered |= np.isin(pages, found).any(axis=0)
    parts: list[str] = []
    for channel, name in enumerate(recording.channel_names):
        here = covered[..., channel]
        if not here.any():
            parts.append(name)
            continue
        parts += [f"plane {plane} of {name}" for plane in np.flatnonzero(~here.any(axis=0))]
        parts += [f"frame {frame} of each slice of {name}" for frame in np.flatnonzero(~here.any(axis=1))]
    return tuple(parts)


def _check_series(series: TwoPhotonSeries, last_pages: NDArray[np.int64], recording: Recording) -> SeriesCheck:
    """Compare one series, block by block; the next block of the source is read meanwhile."""
    data: h5py.Dataset = series.data
    expected = _expected_pages(series, last_pages, recording)
    if expected is None:
        return _of_another_recording(series, recording)
    read = _pixel_reader(recording)
    n_samples, n_bytes = data.shape[0], 0
    step = max(1, _BLOCK_BYTES // (int(np.prod(data.shape[1:])) * data.dtype.itemsize))
    with ThreadPoolExecutor(1) as pool:
        source = pool.submit(read, expected[:step])
        for start in range(0, n_samples, step):
            found, pages = data[start : start + step], source.result()
            source = pool.submit(read, expected[start + step : min(start + 2 * step, n_samples)])
            n_bytes += found.nbytes
            first = _first_difference(series.name, start, found, pages[: len(found)], recording)
            if first is not None:
                return SeriesCheck(series.name, n_samples, len(expected), n_bytes, first)
    return SeriesCheck(series.name, n_samples, len(expected), n_bytes, None)


def _of_another_recording(series: TimeSeries, recording: Recording) -> SeriesCheck:
    """Return what is said of a series whose pages the source does not have."""
    text = f"its original frame indices are not those of {recording.paths[0].name}"
    difference = Difference(series.name, 0, text)
    return SeriesCheck(series.name, series.data.shape[0], len(recording.index.sample_pages), 0, difference)


def _check_photons(
    nwbfile: NWBFile, series: TimeSeries, last_pages: NDArray[np.int64], recording: Recording
) -> SeriesCheck:
    """Compare every photon of one series."""
    expected = _expected_pages(series, last_pages, recording)
    if expected is None or not recording.is_siff:
        return _of_another_recording(series, recording)
    reader = SiffReader.from_recording(recording, num_bins=int(series.tcspc_settings.num_bins))
    n_samples = series.data.shape[0]
    pages = expected[:n_samples]
    shifts = _shifts_in(nwbfile, last_pages, pages) if series.motion_corrected else None
    sample, text, n_bytes = first_photon_difference(series, pages, reader, shifts)
    difference = None if sample < 0 else Difference(series.name, sample, text)
    return SeriesCheck(series.name, n_samples, len(expected), n_bytes, difference)


def _shifts_in(
    nwbfile: NWBFile, last_pages: NDArray[np.int64], pages: NDArray[np.int64]
) -> dict[int, tuple[int, int]] | None:
    """Return the motion that the file holds for pages (samples, planes); None if it holds none."""
    n_planes, ophys = pages.shape[1], nwbfile.processing["ophys"]
    for series, own in _series_with_pages(nwbfile):
        suffixes = [""] if n_planes == 1 else [f"Plane{plane}" for plane in range(n_planes)]
        names = [f"{series.name}MotionShifts{suffix}" for suffix in suffixes]
        if np.array_equal(own, last_pages) and all(name in ophys.data_interfaces for name in names):
            shifts = np.stack([np.round(ophys[name].data[:]).astype(np.int64) for name in names], axis=1)
            pairs = ((int(dy), int(dx)) for dy, dx in shifts.reshape(-1, 2))
            return dict(zip(pages.reshape(-1).tolist(), pairs, strict=True))
    return None


def _pixel_reader(recording: Recording) -> Callable[[NDArray[np.int64]], NDArray]:
    """Return what reads pages given as (samples, planes), to (samples, planes, rows, columns)."""
    if not recording.is_siff:
        return recording.read_pages
    reader = SiffReader.from_recording(recording)

    def read_counts(pages: NDArray[np.int64]) -> NDArray:
        counts = reader.get_frames(pages.reshape(-1))
        return counts.reshape(*pages.shape, *counts.shape[1:])

    return read_counts


def _expected_pages(
    series: TimeSeries, last_pages: NDArray[np.int64], recording: Recording
) -> NDArray[np.int64] | None:
    """Return the pages that the source has for a series, shape (samples, planes); None if it has no such series.

    The first original frame index tells channel, plane and slice sample; from there on the source counts alone.
    """
    index = recording.index
    if not last_pages.size or not 0 <= last_pages[0] < recording.n_pages:
        return None
    channel, plane, slice_sample = (
        int(facts[last_pages[0]]) for facts in (index.channel, index.plane, index.slice_sample)
    )
    if min(channel, plane, slice_sample) < 0:
        return None
    pages = index.sample_pages[..., channel]
    if series.data.ndim in (1, 3):  # photon counts and images of one plane
        pages = pages[..., plane : plane + 1]
    for option in (pages.reshape(-1, pages.shape[-1]), pages[:, slice_sample]):
        if len(option) >= len(last_pages) == series.data.shape[0] and np.array_equal(
            option[: len(last_pages), -1], last_pages
        ):
            return option
    return None


def _first_difference(name: str, start: int, found: NDArray, pages: NDArray, recording: Recording) -> Difference | None:
    """Compare a block in NWB order (time, width, height[, planes]) with pages (time, planes, rows, columns)."""
    found = found.transpose(0, 3, 2, 1) if found.ndim == 4 else found.transpose(0, 2, 1)[:, None]
    may_differ = recording.is_siff and found.dtype.kind in "iu"  # the user chooses the type of photon counts
    if found.shape != pages.shape or (found.dtype != pages.dtype and not may_differ):
        text = f"pages of {found.shape[1:]} {found.dtype}; the source has {pages.shape[1:]} {pages.dtype}"
        return Difference(name, start, text)
    if np.array_equal(found, pages):
        return None
    sample, plane, row, column = (int(i) for i in np.argwhere(found != pages)[0])
    text = (
        f"plane {plane}, row {row}, column {column} is {found[sample, plane, row, column]}; "
        f"the source has {pages[sample, plane, row, column]}"
    )
    return Difference(name, start + sample, text)
