"""Synthetic recordings of ScanImage 3.8, 4 and 5.0, and recordings as libtiff re-saves them, with known truth."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .bigtiff_bytes import ASCII, IMAGE_DESCRIPTION, LONG8, SHORT, STRIP_OFFSETS, encode_text, write_bigtiff
from .scanimage_files import SyntheticRecording, random_pages

LONG = 4
SOFTWARE, ARTIST, SAMPLE_FORMAT = 305, 315, 339


def write_legacy_recording(
    path: Path,
    *,
    n_frames: int = 5,
    shape: tuple[int, int] = (16, 12),
    frame_rate_hz: float = 3.90625,
    channels_saved: tuple[int, ...] = (1,),
    seed: int = 0,
) -> SyntheticRecording:
    """Write a ScanImage 3.8 recording: classic TIFF, uint16 pixels, `state.*` text, no frame times on disk.

    Parameters
    ----------
    path : Path
        File to write.
    n_frames : int
        Frames, each with one page per saved channel.
    shape : tuple of int
        Height and width of a page.
    frame_rate_hz : float
        What `state.acq.frameRate` says; the truth's timestamps are frame / rate.
    channels_saved : tuple of int
        Saved detectors among 1 to 4.
    seed : int
        Seed of the random pixels.
    """
    ordinals = np.arange(n_frames * len(channels_saved), dtype=np.int64)
    source = random_pages(seed)
    pages = np.array([source(ordinal, *shape) for ordinal in ordinals.tolist()], np.int16).view(np.uint16)
    text = encode_text(_legacy_text(n_frames, shape, frame_rate_hz, channels_saved))
    records = (_LibtiffPage(page, {IMAGE_DESCRIPTION: text}) for page in pages)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_libtiff(path, records, strips_per_page=1, big=False)
    frame, channel = np.divmod(ordinals, len(channels_saved))
    return _truth(path, pages, frame, channel, 1 + frame, frame / frame_rate_hz)


def _legacy_text(n_frames: int, shape: tuple[int, int], frame_rate_hz: float, channels_saved: tuple[int, ...]) -> str:
    """Return the `state.*` text that every page of a 3.8 file repeats, lines ended by CR."""
    saving = {f"state.acq.savingChannel{k}": int(k in channels_saved) for k in range(1, 5)}
    values = {
        "state.configName": "'Behavior_2channel'",
        "state.software.version": 3.8,
        "state.software.minorRev": 0,
        "state.software.beta": 1,
        "state.software.betaNum": 4,
        "state.acq.numberOfZSlices": 1,
        "state.acq.zStepSize": 187,
        "state.acq.numAvgFramesSave": 1,
        "state.acq.averaging": 1,
        "state.acq.numberOfFrames": n_frames,
        "state.acq.numberOfRepeats": "Inf",
        "state.acq.linesPerFrame": shape[0],
        "state.acq.pixelsPerLine": shape[1],
        "state.acq.pixelTime": 3.2e-06,
        "state.acq.frameRate": frame_rate_hz,
        "state.acq.zoomFactor": 2,
        "state.acq.msPerLine": 1,
        "state.acq.bidirectionalScan": 1,
        "state.acq.inputBitDepth": 12,
        **saving,
        "state.acq.numberOfChannelsSave": len(channels_saved),
        "state.acq.numberOfChannelsAcquire": len(channels_saved),
        "state.acq.framesPerFile": "Inf",
        "state.motor.absZPosition": -8068.4,
        "state.internal.startupTimeString": "'4/24/2025 14:38:30.957'",
        "state.internal.triggerTimeString": "'4/24/2025 16:43:57.206'",
        "state.internal.softTriggerTimeString": "'4/24/2025 16:43:57.209'",
        "state.internal.triggerTimeFirstString": "'4/24/2025 16:43:57.206'",
        "state.internal.triggerFrameDelayMS": 0,
    }
    return "".join(f"{key}={value}\r" for key, value in values.items())


def write_si5_recording(
    path: Path,
    *,
    generation: Literal["SI5", "SI4"] = "SI5",
    n_frames: int = 6,
    shape: tuple[int, int] = (16, 12),
    channels: tuple[int, ...] = (1,),
    averaging: int = 1,
    frame_rate_hz: float = 30.0,
    seed: int = 0,
    n_planes: int = 1,
    n_flyback: int = 0,
) -> SyntheticRecording:
    """Write a ScanImage 4 or 5.0 recording: BigTIFF without magic block, all text repeated on every page.

    Parameters
    ----------
    path : Path
        File to write.
    generation : {'SI5', 'SI4'}
        Prefix of the names, `scanimage.SI5.` or `scanimage.SI4.`.
    n_frames : int
        Frames on disk, flyback counted; the last volume may be incomplete.
    shape : tuple of int
        Height and width of a page.
    channels : tuple of int
        Saved detectors, counted from 1.
    averaging : int
        Scanned frames in a frame on disk. As in the real file, number and time are those of the last of them.
    frame_rate_hz : float
        Rate of the scan before averaging.
    seed : int
        Seed of the random pixels.
    n_planes, n_flyback : int
        Frames of a volume.
    """
    ordinals = np.arange(n_frames * len(channels), dtype=np.int64)
    frame, channel = np.divmod(ordinals, len(channels))
    number = (frame + 1) * averaging
    time_s = np.array([float(f"{time:.9f}") for time in ((number - 1) / frame_rate_hz).tolist()])
    header = _si5_header(generation, n_frames, shape, channels, averaging, frame_rate_hz, n_planes, n_flyback)
    source = random_pages(seed)
    pages = np.array([source(ordinal, *shape) for ordinal in ordinals.tolist()], np.int16)
    records = (
        (encode_text(_si5_frame_text(int(number[k]), float(time_s[k])) + header), pages[k].astype("<i2").tobytes())
        for k in ordinals.tolist()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bigtiff(path, records, len(ordinals), shape, 1.0, (b"", b""), with_magic=False)
    return _truth(path, pages, frame, channel, number, time_s, n_planes, n_flyback)


def _si5_frame_text(number: int, time_s: float) -> str:
    """Return the first lines of a page text, padded as the vendor pads them."""
    return (
        f"Frame Number = {number:16d}\n"
        f"Frame Timestamp(s) = {time_s:25.9f}\n"
        f"Acq Trigger Timestamp(s) = {-8.33e-05:25.9f}\n"
        f"Next File Marker Timestamp(s) = {230584300921.36932:25.9f}\n"
        "DC Overvoltage = 0\n"
    )


def _si5_header(
    generation: str,
    n_frames: int,
    shape: tuple[int, int],
    channels: tuple[int, ...],
    averaging: int,
    frame_rate_hz: float,
    n_planes: int,
    n_flyback: int,
) -> str:
    """Return the `scanimage.SI5.*` lines."""
    is_stack = n_planes > 1 or n_flyback > 0
    saved = ";".join(str(channel) for channel in channels)
    saved = saved if len(channels) == 1 else f"[{saved}]"
    flag = {False: "false", True: "true"}
    values = {
        "VERSION_MAJOR": generation.removeprefix("SI"),
        "VERSION_MINOR": 0,
        "acqMode": "'grab'",
        "acqModeStartTime": "[2015 6 3 17 2 50.833]",
        "acqNumAveragedFrames": averaging,
        "acqNumFrames": n_frames * averaging,
        "acqStartTime": "[2015 6 3 17 2 52.583]",
        "acqState": "'grab'",
        "acqsPerLoop": 1,
        "bidirectionalAcq": "true",
        "channelOffsets": "[19 243 0 0]",
        "channelsDisplay": saved,
        "channelsInputRange": "{[-1 1] [-1 1] [-1 1] [-1 1]}",
        "channelsSave": saved,
        "fastZDiscardFlybackFrames": flag[n_flyback > 0],
        "fastZEnable": flag[is_stack],
        "fastZNumDiscardFrames": n_flyback,
        "fastZNumVolumes": -(-n_frames // (n_planes + n_flyback)) if is_stack else 1,
        "linesPerFrame": shape[0],
        "loggingFramesPerFile": "Inf",
        "pixelsPerLine": shape[1],
        "scanFramePeriod": f"{1 / frame_rate_hz:.6g}",
        "stackNumSlices": n_planes,
        "stackZStepSize": 1,
        "userFunctionsCfg": "<nonscalar struct/object>",
        "zoomFactor": 3,
    }
    return "".join(f"scanimage.{generation}.{key} = {value}\n" for key, value in values.items())


def resave_without_magic(
    source: Path, target: Path, *, strips_per_page: int = 64, big: bool = False, keep_roi_json: bool = False
) -> None:
    """Write a ScanImage TIFF again as libtiff does: no magic block, strips, directories after the pixels.

    Each page gets its own copy of the Software text, and keeps its ImageDescription.

    Parameters
    ----------
    source, target : Path
        File to read, file to write.
    strips_per_page : int
        Each page is split into up to this many strips of equal height, the last one perhaps lower.
    big : bool
        BigTIFF instead of classic TIFF.
    keep_roi_json : bool
        Whether the Artist text survives.
    """
    _write_libtiff(target, _pages_with_texts(source, keep_roi_json), strips_per_page=strips_per_page, big=big)


@dataclass(frozen=True, slots=True)
class _LibtiffPage:
    """A page as `_write_libtiff` takes it."""

    pixels: NDArray[Any]
    """int16 or uint16, shape (height, width)."""
    texts: dict[int, bytes]
    """NUL-ended text of each ASCII tag."""


def _pages_with_texts(path: Path, keep_roi_json: bool) -> Iterator[_LibtiffPage]:
    """Yield pixels and texts of each page of a TIFF."""
    # tifffile is an independent reader; imported here because only this function needs it.
    from tifffile import TiffFile, TiffPage

    wanted = {IMAGE_DESCRIPTION, SOFTWARE} | ({ARTIST} if keep_roi_json else set())
    with TiffFile(path) as tiff:
        for index in range(len(tiff.pages)):
            page = tiff.pages.get(index, cache=False, aspage=True)
            assert isinstance(page, TiffPage)
            texts = {tag.code: encode_text(tag.value) for tag in page.tags if tag.code in wanted}
            yield _LibtiffPage(page.asarray(), texts)


def _write_libtiff(path: Path, pages: Iterable[_LibtiffPage], *, strips_per_page: int, big: bool) -> None:
    """Stream pages into a TIFF, each as strips, tag values, directory."""
    header = struct.pack("<2s3HQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
    pointer = "<Q" if big else "<I"
    with path.open("wb") as file:
        file.write(header)
        link_at = len(header) - struct.calcsize(pointer)
        for page in pages:
            tags = _libtiff_tags(file, page, strips_per_page, big)
            start, next_link_at = _write_directory(file, tags, big)
            file.seek(link_at)
            file.write(struct.pack(pointer, start))
            file.seek(0, 2)
            link_at = next_link_at


def _libtiff_tags(
    file: BinaryIO, page: _LibtiffPage, strips_per_page: int, big: bool
) -> list[tuple[int, int, int, bytes]]:
    """Write the strips of a page; return its tags as code, type, count and value bytes, by code."""
    height, width = page.pixels.shape
    rows_per_strip = -(-height // min(strips_per_page, height))
    offsets, sizes = [], []
    for top in range(0, height, rows_per_strip):
        strip = page.pixels[top : top + rows_per_strip].astype(page.pixels.dtype.newbyteorder("<")).tobytes()
        offsets.append(file.tell())
        sizes.append(file.write(strip))
    numbers = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 274: 1, 277: 1, 278: rows_per_strip, 284: 1}
    if page.pixels.dtype.kind == "i":
        numbers[SAMPLE_FORMAT] = 2
    tags = [(code, SHORT, 1, struct.pack("<H", number)) for code, number in numbers.items()]
    tags += [(code, ASCII, len(text), text) for code, text in page.texts.items()]
    offset_type, letter = (LONG8, "Q") if big else (LONG, "I")
    for code, values in ((STRIP_OFFSETS, offsets), (279, sizes)):
        tags.append((code, offset_type, len(values), struct.pack(f"<{len(values)}{letter}", *values)))
    return sorted(tags)


def _write_directory(file: BinaryIO, tags: list[tuple[int, int, int, bytes]], big: bool) -> tuple[int, int]:
    """Write long tag values, then the directory; return its offset and where its link to the next one lies."""
    count, entry, pointer, inline = ("<Q", "<2HQ8s", "<Q", 8) if big else ("<H", "<2HI4s", "<I", 4)
    entries = []
    for code, kind, n, value in tags:
        field = value
        if len(value) > inline:
            file.write(bytes(file.tell() % 2))
            field = struct.pack(pointer, file.tell())
            file.write(value)
        entries.append(struct.pack(entry, code, kind, n, field))
    file.write(bytes(file.tell() % 2))
    start = file.tell()
    file.write(struct.pack(count, len(tags)) + b"".join(entries))
    link_at = file.tell()
    file.write(bytes(inline))
    return start, link_at


def _truth(
    path: Path,
    pages: NDArray[Any],
    frame: NDArray[np.int64],
    channel: NDArray[np.int64],
    frame_numbers: NDArray[np.int64],
    timestamps_s: NDArray[np.float64],
    n_planes: int = 1,
    n_flyback: int = 0,
) -> SyntheticRecording:
    """Return the truth of one file whose slices have one frame each."""
    volume, in_volume = np.divmod(frame, n_planes + n_flyback)
    flyback = in_volume >= n_planes
    return SyntheticRecording(
        paths=(path,),
        pages=pages,
        frame_numbers=frame_numbers,
        timestamps_s=timestamps_s,
        channel=channel,
        plane=np.where(flyback, -1, in_volume),
        slice_sample=np.where(flyback, -1, 0),
        volume=volume,
        file_index=np.zeros_like(frame),
    )
