"""Synthetic .siff recordings (ScanImage-FLIM) with known truth, for tests, benchmarks and the demo.

Photons are drawn from one decay per channel; counts per page, kinds of pages, clocks and appended text are as asked.
Not supported: several scanfields, several files. Shares no code with the readers of this package.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .bigtiff_bytes import MAGIC, TIFF_FORMAT_VERSION, encode_text
from .scanimage_text import RecordingLayout, header_text, roi_json
from .siff_pages import PhotonPage, Scene, delay_table, draw_scene, draw_uniform, make_page, page_bytes

__all__ = ["PageKind", "SyntheticSiff", "write_siff_recording"]

PageKind = Literal["raw", "compressed", "plain", "smaller"]
"""How a page is stored; "smaller" is what ScanImage does: compressed where that takes less room."""
AppendedText = tuple[int, str, float | None]
"""Page, text, and the time of the text in seconds of the experiment; None writes no time."""

START_NS = 1_716_838_380_266_799_900
"""Time 0 of the experiment unless told otherwise, in nanoseconds since 1970."""
FIRST_FRAME_S = 0.401724


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSiff:
    """The truth about a .siff file that was written; arrays over pages run in the order on disk."""

    path: Path
    """The file."""
    counts: NDArray[np.uint32]
    """Photons of each pixel, shape (n_pages, height, width); (0, height, width) if not kept."""
    photon_page: NDArray[np.int64]
    """Page of each photon, shape (n_photons,); empty if not kept. Plain pages have counts but no photons."""
    photon_pixel: NDArray[np.int64]
    """Pixel of each photon, y * width + x, shape (n_photons,)."""
    delay_bin: NDArray[np.uint16]
    """Delay bin of each photon, shape (n_photons,), page after page in the order on disk."""
    kind: tuple[str, ...]
    """"raw", "compressed" or "plain" for each page."""
    frame_number: NDArray[np.int64]
    """`frameNumbers` of each page, from 0 as .siff files count."""
    experiment_time_s: NDArray[np.float64]
    """Start of each page's frame in seconds, exactly as its text has it."""
    laser_epoch_ns: NDArray[np.int64]
    """`epoch` of each page: the drifting clock."""
    host_epoch_ns: NDArray[np.int64]
    """`mostRecentSystemTimestamp_epoch` of each page: true, but old and jittery."""
    true_epoch_ns: NDArray[np.int64]
    """When each page's frame really began."""
    channel: NDArray[np.int64]
    """Rank of each page's channel among the saved ones, from 0."""
    plane: NDArray[np.int64]
    """Plane of each page, from 0; -1 for flyback."""
    volume: NDArray[np.int64]
    """Volume of each page, from 0."""


@dataclass(frozen=True, slots=True, eq=False)
class _Clocks:
    """What the texts of all pages say of time, each array of shape (n_pages,)."""

    experiment_s: NDArray[np.float64]
    laser_ns: NDArray[np.int64]
    host_ns: NDArray[np.int64]
    true_ns: NDArray[np.int64]
    sync: NDArray[np.int64]


def write_siff_recording(
    folder: Path,
    *,
    name: str = "flim_1",
    channel_save: tuple[int, ...] = (1,),
    n_planes: int = 1,
    n_flyback: int = 0,
    n_volumes: int = 10,
    n_pages: int | None = None,
    shape: tuple[int, int] = (16, 12),
    photons_per_page: int | Sequence[int] = 200,
    page_kinds: Sequence[PageKind] = ("smaller",),
    num_bins: int = 629,
    bin_resolution: int = 2,
    repetition_rate_hz: float = 80e6,
    lifetimes_s: Sequence[float] = (2.2e-9,),
    frame_rate_hz: float = 61.457149,
    drift_ppm: float = 30.0,
    host_jitter_s: float = 0.004,
    appended_text: Sequence[AppendedText] = (),
    scene: Scene | None = None,
    start_ns: int = START_NS,
    with_host_epoch: bool = True,
    header_overrides: Mapping[str, str | None] | None = None,
    seed: int = 0,
    keep_photons: bool = True,
) -> SyntheticSiff:
    r"""Write a .siff file into `folder` and return its truth.

    Parameters
    ----------
    folder : Path
        Where the file goes; made if missing.
    name : str
        The file is `{name}.siff`.
    channel_save : tuple of int
        Saved detectors, counted from 1.
    n_planes, n_flyback, n_volumes : int
        Frames on disk, in the order plane, flyback, volume; every channel has a page of each.
    n_pages : int, optional
        Stop after so many pages, within a volume or frame if need be.
    shape : tuple of int
        Height and width of a page.
    photons_per_page : int or sequence of int
        Photons of the pages in turn, exactly.
    page_kinds : sequence of str
        How the pages in turn are stored.
    num_bins, bin_resolution : int
        `Tau_bins` and `binResolution`: a bin is 5 ps * 2 ** bin_resolution.
    repetition_rate_hz : float
        Of the laser; photons wrap around at its period.
    lifetimes_s : sequence of float
        Decay time of each channel in turn.
    frame_rate_hz, drift_ppm, host_jitter_s : float
        Rate of frames; how much the laser's clock runs fast; spread of the host's answers, which come late.
    appended_text : sequence of (int, str, float or None)
        Page, text and time of events.
    scene : callable, optional
        Given page, height and width, returns the photons to expect, shape (len(lifetimes_s), height, width): those of
        each decay time. Replaces `photons_per_page`, and `lifetimes_s` are then the same on all channels.
    start_ns : int
        Nanoseconds since 1970 of time 0 of the experiment.
    with_host_epoch : bool
        False leaves out `mostRecentSystemTimestamp_epoch`, as old files do.
    header_overrides : mapping, optional
        Key without `SI.` to raw MATLAB text; None removes the line.
    seed : int
        Of the photons and the clocks.
    keep_photons : bool
        False returns no photons and no counts, so that memory use does not grow with the recording.

    Returns
    -------
    SyntheticSiff

    Raises
    ------
    ValueError
        If a channel number or a kind of page is unknown.

    Examples
    --------
    >>> written = write_siff_recording(folder, n_planes=2, n_flyback=1, n_volumes=3, photons_per_page=50)
    >>> written.counts.sum(axis=(1, 2)).tolist(), written.plane[:4].tolist()
    ([50, 50, 50, 50, 50, 50, 50, 50, 50], [0, 1, -1, 0])
    """
    layout = _layout(channel_save, n_planes, n_flyback, n_volumes, shape, frame_rate_hz)
    planned = layout.n_frames * layout.n_channels
    page = np.arange(planned if n_pages is None else min(n_pages, planned))
    frame = page // layout.n_channels
    rng = np.random.default_rng(seed)
    clocks = _make_clocks(frame, rng, (frame_rate_hz, drift_ppm, host_jitter_s, repetition_rate_hz), start_ns)
    bin_s = 5e-12 * 2**bin_resolution
    tables = [delay_table(lifetime_s, num_bins, bin_s, 1 / repetition_rate_hz) for lifetime_s in lifetimes_s]
    drawn = (
        make_page(page_kinds[i % len(page_kinds)], pixel, delay_bin, shape[0] * shape[1])
        for i, (pixel, delay_bin) in enumerate(
            draw_uniform(rng, np.resize(photons_per_page, len(page)), shape, tables, layout.n_channels)
            if scene is None
            else draw_scene(rng, len(page), scene, shape, tables)
        )
    )
    header = _flim_header(layout, num_bins, bin_resolution, repetition_rate_hz, header_overrides or {})
    path = folder / f"{name}.siff"
    folder.mkdir(parents=True, exist_ok=True)
    texts = _page_texts(frame, clocks, appended_text, with_host_epoch)
    kinds, kept = _write_pages(path, (header, roi_json(layout)), texts, drawn, shape, len(page), keep_photons)
    slot = frame % layout.frames_per_volume
    return SyntheticSiff(
        path=path,
        **_photon_truth(kept, shape),
        kind=tuple(kinds),
        frame_number=frame,
        experiment_time_s=clocks.experiment_s,
        laser_epoch_ns=clocks.laser_ns,
        host_epoch_ns=clocks.host_ns,
        true_epoch_ns=clocks.true_ns,
        channel=page % layout.n_channels,
        plane=np.where(slot < n_planes, slot, -1),
        volume=frame // layout.frames_per_volume,
    )


def _layout(
    channel_save: tuple[int, ...],
    n_planes: int,
    n_flyback: int,
    n_volumes: int,
    shape: tuple[int, int],
    frame_rate_hz: float,
) -> RecordingLayout:
    """Return the layout of a fast stack, or of a plane."""
    return RecordingLayout(
        channel_save=channel_save,
        n_planes=n_planes,
        n_flyback=n_flyback,
        frames_per_slice=1,
        n_volumes=n_volumes,
        shape=shape,
        averaging=1,
        stack_mode="fast",
        frame_rate_hz=frame_rate_hz,
        slow_gap_s=0.0,
        pages_per_file=None,
    )


def _flim_header(
    layout: RecordingLayout,
    num_bins: int,
    bin_resolution: int,
    repetition_rate_hz: float,
    overrides: Mapping[str, str | None],
) -> str:
    """Return the header text, with what ScanImage-FLIM adds."""
    flim = {
        "imagingSystem": "'FLIM'",
        "hScan2D.name": "'MultiHarp150'",
        "hScan2D.hAcq.Tau_bins": str(num_bins),
        "hScan2D.hAcq.binResolution": str(bin_resolution),
        "hScan2D.hAcq.frequency": f"{repetition_rate_hz:.0f}",
        "hScan2D.sampleRate": f"{repetition_rate_hz:.0f}",
    }
    return header_text(layout, acq_state="grab", overrides=flim | dict(overrides), as_json=False)


def _write_pages(
    path: Path,
    head: tuple[str, str],
    texts: Iterator[bytes],
    drawn: Iterator[PhotonPage],
    shape: tuple[int, int],
    n_pages: int,
    keep_photons: bool,
) -> tuple[list[str], list[PhotonPage]]:
    """Write the file; return the kind of every page, and the pages if they are kept."""
    kinds: list[str] = []
    kept: list[PhotonPage] = []
    header, roi_groups = head
    with path.open("wb", buffering=1 << 20) as file:
        position, spans = _write_head(file, encode_text(header), encode_text(roi_groups))
        for i, (text, page) in enumerate(zip(texts, drawn, strict=True)):
            record = page_bytes(page, shape, text, spans, position, i == n_pages - 1)
            file.write(record)
            position += len(record)
            kinds.append(page.kind)
            if keep_photons:
                kept.append(page)
    return kinds, kept


def _photon_truth(kept: list[PhotonPage], shape: tuple[int, int]) -> dict[str, Any]:
    """Return counts and photons of the pages that were kept, as fields of `SyntheticSiff`."""
    with_photons = [one for one in kept if one.kind != "plain"]
    n_photons = [one.pixel.size if one.kind != "plain" else 0 for one in kept]
    return {
        "counts": np.array([one.counts for one in kept], np.uint32).reshape(len(kept), *shape),
        "photon_page": np.repeat(np.arange(len(kept)), n_photons),
        "photon_pixel": np.concatenate([one.pixel for one in with_photons] or [np.empty(0, np.int64)]),
        "delay_bin": np.concatenate([one.delay_bin for one in with_photons] or [np.empty(0, np.uint16)]),
    }


def _make_clocks(
    frame: NDArray[np.int64], rng: np.random.Generator, rates: tuple[float, float, float, float], start_ns: int
) -> _Clocks:
    """Return what the clocks say at each page.

    Laser and experiment time count the laser's pulses; the host is asked once a second and answers late.
    """
    frame_rate_hz, drift_ppm, jitter_s, repetition_rate_hz = rates
    experiment_s = np.round(FIRST_FRAME_S + frame / frame_rate_hz, 6)
    laser_ns = start_ns + np.round(experiment_s * 1e9).astype(np.int64)
    true_ns = start_ns + np.round(experiment_s * 1e9 * (1 - drift_ppm * 1e-6)).astype(np.int64)
    asked = np.floor(experiment_s).astype(np.int64)
    late_ns = np.abs(rng.normal(0, jitter_s * 1e9, int(asked.max()) + 1)).astype(np.int64)
    asked_ns = start_ns + np.round(asked * 1e9 * (1 - drift_ppm * 1e-6)).astype(np.int64)
    sync = np.round(experiment_s * repetition_rate_hz / 1024).astype(np.int64)
    return _Clocks(experiment_s, laser_ns, asked_ns + late_ns[asked], true_ns, sync)


def _page_texts(
    frame: NDArray[np.int64], clocks: _Clocks, appended: Sequence[AppendedText], with_host_epoch: bool
) -> Iterator[bytes]:
    """Yield the text of each page."""
    events: dict[int, str] = {}
    for page, text, time_s in appended:
        stamp = "" if time_s is None else f"Text timestamp = {time_s:.6f}\n"
        events[page] = events.get(page, "") + f"Appended text = {text}\n{stamp}"
    columns = (frame, clocks.experiment_s, clocks.sync, clocks.host_ns, clocks.laser_ns)
    for page, (number, time_s, sync, host_ns, laser_ns) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        host = f"mostRecentSystemTimestamp_epoch = {host_ns}\n" if with_host_epoch else ""
        yield (
            f"frameNumbers = {number}\nframeNumberAcquisition = {number}\nframeTimestamps_sec = {time_s:.6f}\n"
            f"sync Stamps = {sync}\n{host}acqTriggerTimestamps_sec = \nnextFileMarkerTimestamps_sec = \n"
            f"endOfAcquisition = \nendOfAcquisitionMode = \ndcOverVoltage = 0\nepoch = {laser_ns}\n"
            f"{events.get(page, '')}"
        ).encode()


def _write_head(file: BinaryIO, header: bytes, roi: bytes) -> tuple[int, dict[int, tuple[int, int]]]:
    """Write what stands before the first page; return where that begins, and where the shared texts lie."""
    start = 32
    spans = {305: (start, len(header)), 315: (start + len(header), len(roi))}
    end = start + len(header) + len(roi)
    head = struct.pack("<2s3HQ", b"II", 43, 8, 0, end) + struct.pack(
        "<4I", MAGIC, TIFF_FORMAT_VERSION, len(header), len(roi)
    )
    file.write(head + header + roi)
    return end, spans
