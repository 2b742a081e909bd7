"""Tiny synthetic ScanImage TIFF recordings with known truth, for tests, benchmarks and the demo.

The files are byte for byte built as ScanImage 2016 and later builds them: BigTIFF, magic block, header text and ROI
JSON once, then per page the directory, the page text and the pixels. Not supported: several scanfields (mROI).
Shares no code with the readers of this package.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .bigtiff_bytes import encode_text, write_bigtiff
from .scanimage_text import Epoch, RecordingLayout, epoch_line, header_text, page_text, roi_json

PixelSource = Callable[[int, int, int], NDArray[np.int16]]
TRIGGER_LEAD_S = 2e-05
"""An acquisition's trigger comes this long before its first frame."""


@dataclass(frozen=True, slots=True)
class SyntheticRecording:
    """The truth about a recording that was written: one entry per page on disk, over all files in order."""

    paths: tuple[Path, ...]
    """Files of the recording, in order."""
    pages: NDArray[Any]
    """Pixels, int16 (uint16 for ScanImage 3.8), shape (n_pages, height, width); (0, height, width) if not kept."""
    frame_numbers: NDArray[np.int64]
    """`frameNumbers` of each page."""
    timestamps_s: NDArray[np.float64]
    """Frame time of each page, exactly the float its text holds (or would hold, where the text has no time)."""
    channel: NDArray[np.int64]
    """Position of each page's channel among the saved ones, from 0."""
    plane: NDArray[np.int64]
    """Plane of each page, from 0; -1 for flyback."""
    slice_sample: NDArray[np.int64]
    """Which of the frames at its plane each page is, from 0; -1 for flyback."""
    volume: NDArray[np.int64]
    """Volume of each page, from 0; a flyback page belongs to the volume it trails."""
    file_index: NDArray[np.int64]
    """Which of `paths` holds each page."""


@dataclass(frozen=True, slots=True)
class _FramePlan:
    """All frames of a recording before any is dropped, each array of shape (n_frames,)."""

    number: NDArray[np.int64]
    acquisition: NDArray[np.int64]
    in_acquisition: NDArray[np.int64]
    timestamp_s: NDArray[np.float64]
    trigger_s: NDArray[np.float64]
    ends_acquisition: NDArray[np.bool_]
    plane: NDArray[np.int64]
    slice_sample: NDArray[np.int64]
    volume: NDArray[np.int64]


def write_scanimage_recording(
    folder: Path,
    *,
    name: str = "session_00001",
    n_channels: int = 1,
    channel_save: tuple[int, ...] | None = None,
    n_planes: int = 1,
    n_flyback: int = 0,
    frames_per_slice: int = 1,
    n_volumes: int = 10,
    shape: tuple[int, int] = (16, 12),
    pages_per_file: int | None = None,
    averaging: int = 1,
    stack_mode: Literal["fast", "slow"] = "fast",
    frame_rate_hz: float = 30.0,
    slow_gap_s: float = 1.0,
    epoch: Epoch | None = (2025, 4, 24, 16, 43, 57.206),
    first_frame_number: int = 1,
    first_acquisition: int = 1,
    start_time_s: float = 0.0,
    acq_state: str = "grab",
    drop_frames: Sequence[int] = (),
    drop_pages: Sequence[int] = (),
    header_overrides: Mapping[str, str | None] | None = None,
    with_roi_json: bool = True,
    with_page_text: bool = True,
    with_timestamps: bool = True,
    with_magic: bool = True,
    header_format: Literal["text", "json"] = "text",
    first_file_number: int = 1,
    numbered: bool | None = None,
    seed: int = 0,
    page_value: PixelSource | None = None,
    text_padding: int = 2000,
    aux_triggers: Mapping[int, Sequence[float]] | None = None,
    page_values: Mapping[int, Mapping[str, str]] | None = None,
    keep_pages: bool = True,
) -> SyntheticRecording:
    """Write a recording into `folder` and return its truth.

    Page and frame ordinals below count from 0 over the recording as planned, before anything is dropped; so a drop
    changes neither the pixels nor the file of any other page, and shortens the file it falls in.

    Parameters
    ----------
    folder : Path
        Where the files go; made if missing.
    name : str
        File names are `{name}.tif`, or `{name}_{k:05d}.tif` when numbered.
    n_channels, channel_save : int, tuple of int
        Saved channels: the first `n_channels`, or these ones, counted from 1.
    n_planes, n_flyback, frames_per_slice, n_volumes : int
        Frames on disk (after averaging), in the order frame of a slice, slice, flyback, volume.
    shape : tuple of int
        Height and width of a page, at least two pixels.
    pages_per_file : int, optional
        Pages in a file; None for one file. A file whose pages are all dropped is not written, its number is skipped.
    averaging : int
        `logAverageFactor`: frame numbers and times advance by this many scanned frames.
    stack_mode : {'fast', 'slow'}
        In a slow stack each slice is an acquisition of its own.
    frame_rate_hz, slow_gap_s : float
        Rate of the scan before averaging; pause between two slices of a slow stack.
    epoch : tuple, optional
        Year, month, day, hour, minute, second; None leaves the line out.
    first_frame_number, first_acquisition, start_time_s : int, int, float
        What the first frame says, to continue an earlier recording.
    acq_state : str
        `grab` or `loop`.
    drop_frames, drop_pages : sequence of int
        Frame ordinals (all channels), page ordinals never written; numbers and times go on.
    header_overrides : mapping, optional
        Key without `SI.` to raw MATLAB text (raw JSON if `header_format` is `json`); None removes the line.
    with_roi_json, with_page_text, with_timestamps, with_magic : bool
        False leaves out: ROI JSON and Artist tag; ImageDescription tag; frameTimestamps_sec line; magic block.
    header_format : {'text', 'json'}
        Flavour of the header text.
    first_file_number, numbered : int, bool
        Number of the first file; whether names are numbered, by default if `pages_per_file` is given.
    seed, page_value : int, callable
        `page_value` gets page ordinal, height, width; returns int16 pixels. By default random by `seed`, with the page
        ordinal as uint32 in the first two pixels, so that no two pages are equal.
    text_padding : int
        Page text is padded with spaces to this many bytes; 0 for none.
    aux_triggers : mapping, optional
        Page ordinal to `auxTrigger0` times in seconds; all channels of that page's frame carry them, as in real files.
    page_values : mapping, optional
        Page ordinal to keys of the page text with raw MATLAB text, such as ``{"I2CData": "{{0.5, [1,2]}}"}``, in
        place of what the text would say; all channels of that page's frame carry them.
    keep_pages : bool
        False returns no pixels, so that memory use does not grow with the recording.

    Raises
    ------
    ValueError
        If the arguments contradict each other.
    """
    layout = RecordingLayout(
        channel_save=channel_save or tuple(range(1, n_channels + 1)),
        n_planes=n_planes,
        n_flyback=n_flyback,
        frames_per_slice=frames_per_slice,
        n_volumes=n_volumes,
        shape=shape,
        averaging=averaging,
        stack_mode=stack_mode,
        frame_rate_hz=frame_rate_hz,
        slow_gap_s=slow_gap_s,
        pages_per_file=pages_per_file,
    )
    _check_layout(layout, n_channels)
    plan = _plan_frames(layout, first_frame_number, first_acquisition, start_time_s)
    ordinals = _kept_page_ordinals(layout, drop_frames, drop_pages)
    file_numbers = ordinals // pages_per_file if pages_per_file else np.zeros_like(ordinals)
    written_numbers, file_index = np.unique(file_numbers, return_inverse=True)
    is_numbered = pages_per_file is not None if numbered is None else numbered
    paths = _file_paths(folder, name, (written_numbers + first_file_number).tolist(), is_numbered)
    header = header_text(
        layout,
        acq_state=acq_state,
        overrides=header_overrides or {},
        as_json=header_format == "json",
    )
    shared = encode_text(header), encode_text(roi_json(layout)) if with_roi_json else b""
    aux = {page // layout.n_channels: times for page, times in (aux_triggers or {}).items()}
    values = {page // layout.n_channels: raw for page, raw in (page_values or {}).items()}
    texts = _PageTexts(plan, epoch_line(epoch), with_page_text, with_timestamps, text_padding, aux, values)
    pages = np.empty((len(ordinals) if keep_pages else 0, *shape), np.int16)
    for index, path in enumerate(paths):
        rows = np.flatnonzero(file_index == index)
        truth = pages[rows[0] : rows[-1] + 1] if keep_pages else None
        records = _page_records(ordinals[rows], layout, texts, page_value or random_pages(seed), truth)
        write_bigtiff(path, records, len(rows), shape, layout.pixel_size_um, shared, with_magic=with_magic)
    frame = ordinals // layout.n_channels
    return SyntheticRecording(
        paths=paths,
        pages=pages,
        frame_numbers=plan.number[frame],
        timestamps_s=plan.timestamp_s[frame],
        channel=ordinals % layout.n_channels,
        plane=plan.plane[frame],
        slice_sample=plan.slice_sample[frame],
        volume=plan.volume[frame],
        file_index=file_index.astype(np.int64),
    )


def _check_layout(layout: RecordingLayout, n_channels: int) -> None:
    """Raise ValueError if the layout cannot be written."""
    if n_channels not in (1, layout.n_channels):
        raise ValueError(f"{n_channels=} but channel_save={layout.channel_save}")
    if layout.stack_mode not in ("fast", "slow"):
        raise ValueError(f"stack_mode must be 'fast' or 'slow', not {layout.stack_mode!r}")
    if layout.stack_mode == "slow" and layout.n_flyback:
        raise ValueError("a slow stack has no flyback frames")
    if layout.shape[0] * layout.shape[1] < 2:
        raise ValueError(f"a page needs two pixels to hold its ordinal, got shape {layout.shape}")


def _plan_frames(layout: RecordingLayout, first_number: int, first_acquisition: int, start_s: float) -> _FramePlan:
    """Return what each frame says and is, before any is dropped."""
    frame = np.arange(layout.n_frames, dtype=np.int64)
    volume, in_volume = np.divmod(frame, layout.frames_per_volume)
    flyback = in_volume >= layout.n_planes * layout.frames_per_slice
    slice_in_volume, slice_sample = np.divmod(in_volume, layout.frames_per_slice)
    if layout.stack_mode == "slow":
        acquisition, in_acquisition = volume * layout.n_planes + slice_in_volume, slice_sample
        ends = slice_sample == layout.frames_per_slice - 1
    else:
        acquisition, in_acquisition = np.zeros_like(frame), frame
        ends = frame == layout.n_frames - 1
    gap_s = layout.slow_gap_s if layout.stack_mode == "slow" else 0.0
    period_s = layout.averaging / layout.frame_rate_hz
    exact_s = start_s + frame * period_s + acquisition * gap_s
    # The text has nine decimals; the truth is what a reader can know.
    timestamp_s = np.array([float(f"{time:.9f}") for time in exact_s.tolist()])
    trigger_s = timestamp_s - in_acquisition * period_s - TRIGGER_LEAD_S
    if layout.stack_mode == "fast":
        trigger_s[1:] = -1.0
    return _FramePlan(
        number=first_number + frame * layout.averaging,
        acquisition=first_acquisition + acquisition,
        in_acquisition=1 + in_acquisition * layout.averaging,
        timestamp_s=timestamp_s,
        trigger_s=trigger_s,
        ends_acquisition=ends,
        plane=np.where(flyback, -1, slice_in_volume),
        slice_sample=np.where(flyback, -1, slice_sample),
        volume=volume,
    )


def _kept_page_ordinals(
    layout: RecordingLayout, drop_frames: Sequence[int], drop_pages: Sequence[int]
) -> NDArray[np.int64]:
    """Return the ordinals of the pages that are written, in order."""
    page = np.arange(layout.n_frames * layout.n_channels, dtype=np.int64)
    dropped = np.isin(page // layout.n_channels, list(drop_frames)) | np.isin(page, list(drop_pages))
    return page[~dropped]


def _file_paths(folder: Path, name: str, numbers: list[int], is_numbered: bool) -> tuple[Path, ...]:
    """Return the path of each file; make the folder."""
    if not is_numbered and len(numbers) > 1:
        raise ValueError(f"{len(numbers)} files cannot all be named {name}.tif; use numbered=True")
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(folder / (f"{name}_{number:05d}.tif" if is_numbered else f"{name}.tif") for number in numbers)


def random_pages(seed: int) -> PixelSource:
    """Return a source of random pages that depend only on `seed` and the page ordinal."""

    def random_page(ordinal: int, height: int, width: int) -> NDArray[np.int16]:
        page = np.random.default_rng((seed, ordinal)).integers(-32768, 32768, (height, width), np.int16)
        page.reshape(-1)[:2] = np.array([ordinal], "<u4").view("<i2")
        return page

    return random_page


@dataclass(frozen=True, slots=True)
class _PageTexts:
    """Makes the text of each page, as bytes ready for the file."""

    plan: _FramePlan
    epoch: str
    with_page_text: bool
    with_timestamps: bool
    padding: int
    aux_of_frame: Mapping[int, Sequence[float]]
    values_of_frame: Mapping[int, Mapping[str, str]]

    def of_frame(self, frame: int) -> bytes:
        """Return the padded, NUL-ended text of a frame's pages; empty if pages have no text."""
        if not self.with_page_text:
            return b""
        plan = self.plan
        text = page_text(
            frame_number=int(plan.number[frame]),
            acquisition=int(plan.acquisition[frame]),
            frame_in_acquisition=int(plan.in_acquisition[frame]),
            timestamp_s=float(plan.timestamp_s[frame]) if self.with_timestamps else None,
            trigger_s=float(plan.trigger_s[frame]),
            ends_acquisition=bool(plan.ends_acquisition[frame]),
            ends_recording=frame == len(plan.number) - 1,
            epoch=self.epoch,
            aux_trigger_s=self.aux_of_frame.get(frame, ()),
        )
        for key, raw in self.values_of_frame.get(frame, {}).items():
            before, mark, after = text.partition(f"{key} = ")
            if not mark:
                raise ValueError(f"page_values: there is no key {key!r} in the text of a page")
            text = before + mark + raw + "\n" + after.partition("\n")[2]
        return text.encode().ljust(self.padding) + b"\0"


def _page_records(
    ordinals: NDArray[np.int64],
    layout: RecordingLayout,
    texts: _PageTexts,
    page_value: PixelSource,
    truth: NDArray[np.int16] | None,
) -> Iterator[tuple[bytes, bytes]]:
    """Yield text and pixel bytes of each page; keep the pixels in `truth` too."""
    for row, ordinal in enumerate(ordinals.tolist()):
        pixels = page_value(ordinal, *layout.shape)
        if truth is not None:
            truth[row] = pixels
        yield texts.of_frame(ordinal // layout.n_channels), pixels.astype("<i2", copy=False).tobytes()
