"""What the texts of .siff pages say: clocks, sync stamps, appended text; and one epoch fitted over a whole file.

Three clocks are on every page. Experiment time and laser epoch are counted from laser pulses: smooth, but tens of ppm
fast or slow. The host epoch is true, but it is asked about once a second and the answer comes late by a few ms, so
that it only tells how fast the laser's clock runs.
"""

import re
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.siff import read_spans
from scanimage_nwb.formats.tiff_pages import PageTable

__all__ = [
    "FRAME_CLOCKS",
    "FRAME_METADATA",
    "AppendedText",
    "EpochFit",
    "fit_epoch",
    "parse_appended_text",
    "read_frame_metadata",
]

FRAME_CLOCKS = np.dtype(
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
"""What times and events of a page need; -1 (NaN for the time) where it does not say. `text_offset` and `text_bytes` are
those of its appended text in the file, from ``Appended text`` to the end; -1 and 0 where it has none."""
FRAME_METADATA = np.dtype(
    [
        *((name, FRAME_CLOCKS[name]) for name in FRAME_CLOCKS.names or ()),
        ("frame_number_acquisition", "i8"),
        ("acq_trigger_s", "f8"),
        ("next_file_marker_s", "f8"),
        ("end_of_acquisition", "i8"),
        ("end_of_acquisition_mode", "i8"),
        ("dc_over_voltage", "i8"),
    ]
)
"""All that the text of a page says: `FRAME_CLOCKS`, then frameNumberAcquisition, acqTriggerTimestamps_sec,
nextFileMarkerTimestamps_sec, endOfAcquisition, endOfAcquisitionMode and dcOverVoltage; -1 or NaN where it is blank."""

_BLOCK_PAGES = 2048
_MAX_TEXT_BYTES = 1 << 20
"""Clocks stand, and appended text begins, within so much of a page's text."""
_MAX_DRIFT = 2e-4
"""No laser's clock is further off; over a few seconds, late answers would seem to say so."""
_REFITS = 4
_USUAL_DRIFT = 3e-5
_LEAST_ANSWERS = 3
_LATEST_NS = 50_000_000
"""An answer later than this cannot be lateness: the laser's epoch began elsewhere."""
_OFF_INTERVAL = 0.05
"""Fraction of a frame by which the host may miss equal intervals."""
_EARLY = 0.1
_QUANTILE_STEPS = 60
_NEAR_LINE_NS = 20_000.0
_CLOCK_LINES = (
    ("sync_stamp", re.compile(rb"^sync Stamps[ \t]*=[ \t]*(\d{1,18})(?:\.\d*)?[ \t]*\r?$", re.MULTILINE)),
    ("laser_epoch_ns", re.compile(rb"^epoch[ \t]*=[ \t]*(\d{1,18}|[1-8]\d{18})[ \t]*\r?$", re.MULTILINE)),
    (
        "host_epoch_ns",
        re.compile(rb"^mostRecentSystemTimestamp_epoch[ \t]*=[ \t]*(\d{1,18}|[1-8]\d{18})[ \t]*\r?$", re.MULTILINE),
    ),
)
_DETAIL_LINES = tuple(
    (name, re.compile(rb"^" + key + rb"[ \t]*=[ \t]*\[?[ \t]*" + number + rb"[ \t]*\]?[ \t]*\r?$", re.MULTILINE))
    for name, key, number in (
        ("acq_trigger_s", b"acqTriggerTimestamps_sec", rb"([-+]?\d[\d.eE+-]{0,40})"),
        ("next_file_marker_s", b"nextFileMarkerTimestamps_sec", rb"([-+]?\d[\d.eE+-]{0,40})"),
        ("end_of_acquisition", b"endOfAcquisition", rb"(\d{1,18})"),
        ("end_of_acquisition_mode", b"endOfAcquisitionMode", rb"(\d{1,18})"),
        ("dc_over_voltage", b"dcOverVoltage", rb"(\d{1,18})"),
    )
)
_APPENDED = re.compile(rb"^Appended text[ \t]*=", re.MULTILINE)
_EVENT = re.compile(r"^Appended text[ \t]*=[ \t]?", re.MULTILINE)
_EVENT_TIME = re.compile(r"(?:\A|\r?\n)Text timestamp[ \t]*=[ \t]*([-+\d.eE]*)\s*\Z")


@dataclass(frozen=True, slots=True)
class AppendedText:
    """An event that the experimenter's software wrote into the file."""

    frame: int
    """Global page whose text holds it."""
    text: str
    """What was written; may span lines."""
    time_s: float | None
    """When, in seconds of experiment time; None if the file does not say."""


def read_frame_metadata(table: PageTable, pages: NDArray[np.int64], *, details: bool = False) -> NDArray:
    """Read what the texts of pages say.

    Parameters
    ----------
    table : PageTable
        Pages of the file.
    pages : ndarray of int64, shape (n,)
        Ranks of pages in the file.
    details : bool
        Read all that the texts say, which takes twice as long.

    Returns
    -------
    ndarray of FRAME_CLOCKS or, with details, of FRAME_METADATA, shape (n,)
        `page` is the rank in the file.
    """
    found = np.zeros(len(pages), FRAME_METADATA if details else FRAME_CLOCKS)
    lines = _CLOCK_LINES + (_DETAIL_LINES if details else ())
    for name in found.dtype.names or ():
        found[name] = np.nan if found.dtype[name].kind == "f" else -1
    if details:
        found["frame_number_acquisition"] = table.columns["frame_in_acquisition"][pages]
    found["page"], found["text_bytes"] = pages, 0
    found["frame_number"], found["experiment_time_s"] = table.frame_number[pages], table.timestamp_s[pages]
    # A text lies behind its directory; one that seems to begin before it is damaged, and may seem as long as the file.
    offset = table.columns["text_offset"][pages]
    start = np.maximum(offset, table.columns["ifd_offset"][pages])
    with ReadOnlyFile(table.path) as file:
        strip = table.columns["strip_offset"][pages]
        end = np.minimum(offset + table.columns["text_bytes"][pages], np.where(strip > start, strip, file.size))
        end = np.maximum(np.where(offset < 0, start, end), start)
        stop = np.minimum(end, start + _MAX_TEXT_BYTES)
        for first in range(0, len(pages), _BLOCK_PAGES):
            _read_block(file, found[first : first + _BLOCK_PAGES], start[first:], stop[first:], lines)
    has_events = found["text_bytes"] > 0
    found["text_bytes"][has_events] = end[has_events] - found["text_offset"][has_events]
    return found


def _read_block(
    file: ReadOnlyFile,
    found: NDArray,
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    lines: tuple[tuple[str, re.Pattern[bytes]], ...],
) -> None:
    """Fill the metadata of a few pages."""
    n = len(found)
    start, stop = start[:n], stop[:n]
    data, at = read_spans(file, start, stop, near_bytes=1 << 12)
    view = memoryview(data)  # type: ignore[arg-type]
    values: dict[str, list[float]] = {name: found[name].tolist() for name, _ in lines}
    read = {name: float if found.dtype[name].kind == "f" else int for name, _ in lines}
    for i, (begin, n_bytes) in enumerate(zip(at.tolist(), (stop - start).tolist(), strict=True)):
        text = bytes(view[begin : begin + n_bytes])
        where = text.find(b"Appended text")
        event = _APPENDED.search(text, max(where - 1, 0)) if where >= 0 else None
        end = event.start() if event else len(text)
        for name, line in lines:
            match = line.search(text, 0, end)
            if match:
                with suppress(ValueError):  # digits and points that are no number
                    values[name][i] = read[name](match[1])
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
            body = body[: stamp.start()]
        events.append(AppendedText(frame, body.rstrip("\r\n\0"), time_s))
    return events


@dataclass(frozen=True, slots=True)
class EpochFit:
    """The laser's clock corrected by the host's, as one straight line over a whole recording."""

    origin_ns: int
    """Laser epoch of time 0 of the experiment."""
    level_ns: int
    """What to add to it there: 0 where the host bears the laser's own origin out."""
    drift_ppm: float
    """By how much the laser's clock runs fast against the host's."""
    n_answers: int
    """Answers of the host that the fit rests on."""
    regular_answers: bool
    """True if the host was asked at equal intervals, so that it is known when."""
    residual_rms_ms: float
    """How late answers came, without their mean; root mean square."""
    residual_max_ms: float
    """The largest of these."""
    drift_uncertainty_ppm: float
    """Standard error of the drift; inf where there are too few answers, and the drift counts as 0."""

    @property
    def start_ns(self) -> int:
        """Nanoseconds since 1970 of time 0 of the experiment."""
        return self.origin_ns + self.level_ns

    def __call__(self, laser_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return epochs of the laser, corrected; int64 nanoseconds since 1970."""
        elapsed = np.asarray(laser_ns, np.int64) - self.origin_ns
        slow = -self.drift_ppm * 1e-6
        return laser_ns + self.level_ns + np.rint(elapsed * slow).astype(np.int64)


def fit_epoch(laser_ns: NDArray[np.int64], host_ns: NDArray[np.int64], experiment_s: NDArray[np.float64]) -> EpochFit:
    """Fit the drift of the laser's clock to the host's.

    The laser's epoch starts from the host's clock, so its origin is right; what drifts off is its rate. An answer of
    the host is true for the moment when it was asked, some time between the first page that shows it and the frame
    before, and comes late by up to some ms, never early. Where answers fit equal intervals, that moment follows from
    the intervals. The line runs along the early answers. A drift that so few answers cannot tell is held near 0.

    Parameters
    ----------
    laser_ns, host_ns : ndarray of int64, shape (n,)
        Epochs of all pages, -1 where missing.
    experiment_s : ndarray of float64, shape (n,)
        Experiment time of all pages.

    Returns
    -------
    EpochFit

    Raises
    ------
    TimeAxisError
        If no page has a laser epoch.

    Examples
    --------
    >>> time_s = np.arange(0, 600, 0.05)
    >>> laser = np.int64(1_700_000_000_000_000_000) + np.rint(time_s * 1e9).astype(np.int64)
    >>> host = np.int64(1_700_000_000_000_000_000) + np.floor(time_s).astype(np.int64) * 999_970_000
    >>> fit = fit_epoch(laser, host, time_s)
    >>> round(fit.drift_ppm, 1), fit.start_ns
    (30.0, 1700000000000000000)
    """
    stamped = laser_ns >= 0
    if not stamped.any():
        raise TimeAxisError("pages have no laser epoch (`epoch = ` in ns in their text); use experiment_time")
    since_ns = np.rint(np.nan_to_num(experiment_s[stamped]) * 1e9).astype(np.int64)
    first = int(laser_ns[stamped][0])
    origin = first + int(np.median(laser_ns[stamped] - first - since_ns))
    usable = stamped & (host_ns >= 0)
    host, laser = (host_ns[usable] - origin).astype(np.float64), (laser_ns[usable] - origin).astype(np.float64)
    fresh = np.flatnonzero(np.diff(host, prepend=host[:1]) != 0)
    if len(fresh) < _LEAST_ANSWERS:
        return EpochFit(origin, 0, 0.0, len(fresh), False, 0.0, 0.0, float("inf"))
    frames = np.unique(laser)
    behind = laser[fresh]
    before = frames[np.maximum(np.searchsorted(frames, behind) - 1, 0)]
    asked, regular = _when_asked(host[fresh], before, behind)
    slope, level = _robust_line(asked, host[fresh] - asked)
    if regular:
        slope, level = _early_line(asked, host[fresh] - asked, slope)
    late = host[fresh] - asked - level - slope * asked
    late -= late.mean()
    spread = 1.4826 * float(np.median(np.abs(late - np.median(late))))
    uncertainty = spread * float(np.sqrt(12 / len(fresh)) / max(np.ptp(asked), 1.0))
    known = _USUAL_DRIFT**2 / (_USUAL_DRIFT**2 + uncertainty**2)
    return EpochFit(
        origin_ns=origin,
        level_ns=0 if abs(level) < _LATEST_NS else round(level),
        drift_ppm=-slope * known * 1e6,
        n_answers=len(fresh),
        regular_answers=regular,
        residual_rms_ms=float(np.sqrt(np.mean(late**2))) / 1e6,
        residual_max_ms=float(np.abs(late).max()) / 1e6,
        drift_uncertainty_ppm=uncertainty * 1e6,
    )


def _when_asked(
    host: NDArray[np.float64], before: NDArray[np.float64], behind: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Return when the host was asked, on the laser's clock, and whether equal intervals tell that.

    Each moment lies between two frames. If one straight line over the ranks of the answers passes between all of
    them, it tells the moments far better than the frames do; if none does, the frame that shows the answer must do.
    """
    from scipy.optimize import linprog

    interval = float(np.median(np.diff(host)))
    rank = np.rint((host - host[0]) / interval)
    frame = max(float(np.median(behind - before)), 1.0)
    one = np.ones(len(rank))
    limits = np.concatenate([-before, behind]) / frame
    lines = np.concatenate([np.stack([-one, -rank, -one], 1), np.stack([one, rank, -one], 1)])
    found = linprog([0, 0, 1], A_ub=lines, b_ub=limits, bounds=[(None, None)] * 3)
    if not found.success or found.x[2] > _OFF_INTERVAL:
        return behind, False
    return (found.x[0] + found.x[1] * rank) * frame, True


def _early_line(x: NDArray[np.float64], y: NDArray[np.float64], slope: float) -> tuple[float, float]:
    """Return slope and level of the line below which a tenth of the points lie (a quantile regression)."""
    middle = float(x.mean())
    elapsed = x - middle
    level = float(np.quantile(y - slope * elapsed, _EARLY))
    for _ in range(_QUANTILE_STEPS):
        off = y - level - slope * elapsed
        weight = np.where(off > 0, _EARLY, 1 - _EARLY) / np.maximum(np.abs(off), _NEAR_LINE_NS)
        weight /= weight.sum()
        mean_x, mean_y = float((weight * elapsed).sum()), float((weight * y).sum())
        spread = float((weight * (elapsed - mean_x) ** 2).sum())
        if spread <= 0:
            break
        slope = float((weight * (elapsed - mean_x) * (y - mean_y)).sum()) / spread
        slope = float(np.clip(slope, -_MAX_DRIFT, _MAX_DRIFT))
        level = mean_y - slope * mean_x
    return slope, level - slope * middle


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
