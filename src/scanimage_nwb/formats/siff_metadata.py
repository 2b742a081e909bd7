"""What the texts of .siff pages say: clocks, sync stamps, appended text; and one epoch fitted over a whole file.

Three clocks are on every page. Experiment time and laser epoch are counted from laser pulses: smooth, but tens of ppm
fast or slow. The host epoch is true, but it is asked about once a second and the answer comes late by a few ms, so
that it only tells how fast the laser's clock runs, and where it began.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.siff import read_spans
from scanimage_nwb.formats.tiff_pages import PageTable

__all__ = ["FRAME_METADATA", "AppendedText", "fit_epoch", "parse_appended_text", "read_frame_metadata"]

FRAME_METADATA = np.dtype(
    [
        ("page", "i8"),
        ("frame_number", "i8"),
        ("experiment_time_s", "f8"),
        ("sync_stamp", "i8"),
        ("laser_epoch_ns", "i8"),
        ("host_epoch_ns", "i8"),
        ("text_offset", "i8"),
        ("text_bytes", "i8"),
    ]
)
"""Fields of the metadata of a page; -1 (NaN for the time) where it does not say. `text_offset` and `text_bytes` are
those of its appended text in the file, from ``Appended text`` to the end; -1 and 0 where it has none."""

_BLOCK_PAGES = 2048
_MAX_TEXT_BYTES = 1 << 20
_MAX_DRIFT = 2e-4
"""No laser's clock is further off; over a few seconds, late answers would seem to say so."""
_REFITS = 4
_LINES = (
    ("sync_stamp", re.compile(rb"^sync Stamps[ \t]*=[ \t]*(\d{1,18})(?:\.\d*)?[ \t]*\r?$", re.MULTILINE)),
    ("laser_epoch_ns", re.compile(rb"^epoch[ \t]*=[ \t]*(\d{1,18}|[1-8]\d{18})[ \t]*\r?$", re.MULTILINE)),
    (
        "host_epoch_ns",
        re.compile(rb"^mostRecentSystemTimestamp_epoch[ \t]*=[ \t]*(\d{1,18}|[1-8]\d{18})[ \t]*\r?$", re.MULTILINE),
    ),
)
_APPENDED = re.compile(rb"^Appended text[ \t]*=", re.MULTILINE)
_EVENT = re.compile(r"^Appended text[ \t]*=[ \t]?", re.MULTILINE)
_EVENT_TIME = re.compile(r"\r?\n?^Text timestamp[ \t]*=[ \t]*([-+\d.eE]*)[ \t]*\r?\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AppendedText:
    """An event that the experimenter's software wrote into the file."""

    frame: int
    """Global page whose text holds it."""
    text: str
    """What was written; may span lines."""
    time_s: float | None
    """When, in seconds of experiment time; None if the file does not say."""


def read_frame_metadata(table: PageTable, pages: NDArray[np.int64]) -> NDArray:
    """Read what the texts of pages say.

    Parameters
    ----------
    table : PageTable
        Pages of the file.
    pages : ndarray of int64, shape (n,)
        Ranks of pages in the file.

    Returns
    -------
    ndarray of FRAME_METADATA, shape (n,)
        `page` is the rank in the file.
    """
    found = np.zeros(len(pages), FRAME_METADATA)
    for name in FRAME_METADATA.names or ():
        found[name] = -1
    found["page"], found["text_bytes"] = pages, 0
    found["frame_number"], found["experiment_time_s"] = table.frame_number[pages], table.timestamp_s[pages]
    # A text lies behind its directory; one that seems to begin before it is damaged, and may seem as long as the file.
    offset = table.columns["text_offset"][pages]
    start = np.maximum(offset, table.columns["ifd_offset"][pages])
    stop = np.clip(offset + table.columns["text_bytes"][pages], start, start + _MAX_TEXT_BYTES)
    with ReadOnlyFile(table.path) as file:
        stop = np.where(offset < 0, start, np.minimum(stop, max(file.size, 0)))
        stop = np.maximum(stop, start)
        for first in range(0, len(pages), _BLOCK_PAGES):
            _read_block(file, found[first : first + _BLOCK_PAGES], start[first:], stop[first:])
    return found


def _read_block(file: ReadOnlyFile, found: NDArray, start: NDArray[np.int64], stop: NDArray[np.int64]) -> None:
    """Fill the metadata of a few pages."""
    n = len(found)
    start, stop = start[:n], stop[:n]
    data, at = read_spans(file, start, stop, near_bytes=1 << 12)
    view = memoryview(data)  # type: ignore[arg-type]
    values: dict[str, list[int]] = {name: [-1] * n for name, _ in _LINES}
    for i, (begin, n_bytes) in enumerate(zip(at.tolist(), (stop - start).tolist(), strict=True)):
        text = bytes(view[begin : begin + n_bytes])
        where = text.find(b"Appended text")
        event = _APPENDED.search(text, max(where - 1, 0)) if where >= 0 else None
        end = event.start() if event else len(text)
        for name, line in _LINES:
            match = line.search(text, 0, end)
            if match:
                values[name][i] = int(match[1])
        if event:
            found["text_offset"][i], found["text_bytes"][i] = start[i] + end, n_bytes - end
    for name, column in values.items():
        found[name] = column


def parse_appended_text(text: str, frame: int) -> list[AppendedText]:
    r"""Return the events in the appended text of one page.

    Parameters
    ----------
    text : str
        From ``Appended text`` on.
    frame : int
        The page.

    Returns
    -------
    list of AppendedText

    Examples
    --------
    >>> parse_appended_text("Appended text = LED on\nText timestamp = 0.9\nAppended text = off\n", 3)
    [AppendedText(frame=3, text='LED on', time_s=0.9), AppendedText(frame=3, text='off', time_s=None)]
    """
    starts = list(_EVENT.finditer(text))
    events = []
    for i, match in enumerate(starts):
        end = starts[i + 1].start() if i + 1 < len(starts) else len(text)
        body = text[match.end() : end]
        stamp = _EVENT_TIME.search(body)
        try:
            time_s = float(stamp[1]) if stamp else None
        except ValueError:
            stamp, time_s = None, None  # what is no number is part of the text
        if stamp:
            body = body[: stamp.start()] + body[stamp.end() :]
        events.append(AppendedText(frame, body.rstrip("\r\n\0"), time_s))
    return events


def fit_epoch(laser_ns: NDArray[np.int64], host_ns: NDArray[np.int64], wanted_ns: NDArray[np.int64]) -> NDArray:
    """Correct the drift of the laser's clock by the host's.

    The host's answers are old by up to their interval on most pages; the first page that shows an answer is at most
    a frame behind it. A line through (laser, host) at those pages gives the rate and the start of the laser's clock;
    answers that came far too late are left out.

    Parameters
    ----------
    laser_ns, host_ns : ndarray of int64, shape (n,)
        Epochs of all pages of the file, -1 where missing.
    wanted_ns : ndarray of int64
        Laser epochs to correct.

    Returns
    -------
    ndarray of int64, shape of `wanted_ns`
        Nanoseconds since 1970. Without host epochs, or with one answer only, the laser's own.

    Raises
    ------
    TimeAxisError
        If pages have no laser epoch.

    Examples
    --------
    >>> laser = np.arange(0, 10_000_000_000, 100_000_000)
    >>> host = (laser // 1_000_000_000) * 999_900_000
    >>> fit_epoch(laser, host, laser[[0, 50]]).tolist()
    [0, 4999500000]
    """
    usable = (laser_ns >= 0) & (host_ns >= 0)
    if (wanted_ns < 0).any():
        raise TimeAxisError("pages have no laser epoch (`epoch = ` in ns in their text); use experiment_time")
    host, laser = host_ns[usable], laser_ns[usable]
    if len(host) == 0:
        return wanted_ns.copy()
    fresh = np.flatnonzero(np.diff(host, prepend=host[0]) != 0)
    if len(fresh) < 2:
        return wanted_ns.copy()
    host, laser = host[fresh], laser[fresh]
    origin = int(laser[0])
    elapsed, drift = (laser - origin).astype(np.float64), (host - laser).astype(np.float64)
    slope, level = _robust_line(elapsed, drift)
    return wanted_ns + np.rint(level + slope * (wanted_ns - origin)).astype(np.int64)


def _robust_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and level of the line of least squares, without points far off it; slopes are bounded."""
    kept = np.ones(len(x), bool)
    slope, level = 0.0, float(np.median(y))
    for _ in range(_REFITS):
        middle = x[kept].mean()
        spread = ((x[kept] - middle) ** 2).sum()
        slope = float((y[kept] * (x[kept] - middle)).sum() / spread) if spread > 0 else 0.0
        slope = float(np.clip(slope, -_MAX_DRIFT, _MAX_DRIFT))
        level = float(np.median(y[kept] - slope * x[kept]))
        off = np.abs(y - level - slope * x)
        kept = off <= 4 * np.median(off) + 1
    return slope, level
