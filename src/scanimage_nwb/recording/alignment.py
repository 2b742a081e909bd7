"""The pages of a recording on the clock of sync pulses."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.frame_index import FrameIndex
from scanimage_nwb.recording.recording import Recording
from scanimage_nwb.time_axis import AlignmentReport, PulseAlignment, match_pulses

__all__ = ["FiresPer", "RecordingAlignment", "align_to_pulses", "pulse_events"]

FiresPer = Literal["page", "frame", "plane", "volume"]
"""What fires a pulse. *page*: every page, so that the channels of a frame fire one after the other; *frame*: every
frame, flyback included; *plane*: every frame of a plane, flyback not; *volume*: the first frame of every volume."""

_MOST_DROPPED = 10
"""Frames that numbers skip are made up for, up to so many for each one on disk."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordingAlignment:
    """Every page of a recording on the clock of the pulses."""

    page_times_s: NDArray[np.float64]
    """Time of each page's frame on the pulses' clock, shape (n_pages,)."""
    fires_per: str
    """What fired a pulse."""
    events: PulseAlignment
    """What fired, and when."""

    @property
    def report(self) -> AlignmentReport:
        """How pulses were put to events, and how well they fit."""
        return self.events.report


def align_to_pulses(
    recording: Recording,
    pulse_times_s: ArrayLike,
    fires_per: FiresPer = "frame",
    *,
    first_pulse: int | None = None,
    last_pulse: int | None = None,
    start_near_s: float | None = None,
    trust_count: bool = True,
    max_drift_ppm: float = 200.0,
    times: Literal["pulses", "fit"] = "pulses",
) -> RecordingAlignment:
    """Give every page of a recording its time on the clock that recorded the sync pulses.

    Parameters
    ----------
    recording : Recording
        Its frame timestamps say how far apart pulses must be.
    pulse_times_s : array-like of float, shape (n_pulses,)
        Times of the pulses, in seconds of the other clock.
    fires_per : {'page', 'frame', 'plane', 'volume'}
        What fires a pulse; see `FiresPer`.
    first_pulse, last_pulse, start_near_s, trust_count, max_drift_ppm, times
        As for `time_axis.match_pulses`.

    Returns
    -------
    RecordingAlignment
        ``alignment.page_times_s[extractor.get_original_frame_indices()]`` are the times of an extractor's samples.

    Raises
    ------
    TimeAxisError
        If pages have no timestamps, or files count from several clocks, or the pulses cannot belong to the recording,
        or fit it in several ways.

    Examples
    --------
    >>> from scanimage_nwb import open_recording
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> written = write_scanimage_recording(folder, n_planes=2, n_flyback=1, n_volumes=50)
    >>> recording = open_recording(written.paths[0])
    >>> volume_starts = 1000 + np.arange(50) * 3 / 30
    >>> alignment = align_to_pulses(recording, volume_starts, fires_per="volume")
    >>> np.round(alignment.page_times_s[:4], 4).tolist()
    [1000.0, 1000.0333, 1000.0667, 1000.1]
    """
    if recording.timestamp_s is None:
        raise TimeAxisError(
            f"{recording.paths[0]}: pages have no timestamps, so that nothing says how far apart pulses must be. Take "
            "the pulses by their original frame index, get_original_frame_indices(per_frame=True), and give the "
            "times with set_aligned_timestamps"
        )
    if len(recording.clock_starts) > 1:
        second = recording.paths[recording.clock_starts[1]]
        raise TimeAxisError(
            f"{recording.paths[0]}: the files were timed by {len(recording.clock_starts)} clocks; {second.name} begins "
            "to count anew. How far apart they are is known by the computers' clocks only, too badly for one train of "
            "pulses: open the files of each clock as a recording, with file_paths, and align each to its pulses"
        )
    event_times, event_of_page = pulse_events(recording.index, recording.timestamp_s, fires_per)
    try:
        found = match_pulses(
            event_times,
            pulse_times_s,
            first_pulse=first_pulse,
            last_pulse=last_pulse,
            start_near_s=start_near_s,
            trust_count=trust_count,
            max_drift_ppm=max_drift_ppm,
            times=times,
        )
    except TimeAxisError as error:
        raise TimeAxisError(f"{recording.paths[0]} (fires_per={fires_per!r}): {error}") from error
    return RecordingAlignment(found.at(recording.timestamp_s, event_of_page), fires_per, found)


def pulse_events(
    index: FrameIndex, timestamp_s: NDArray[np.float64], fires_per: FiresPer
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return when a recording fired pulses, by its own clock.

    Parameters
    ----------
    index : FrameIndex
        Where every page belongs.
    timestamp_s : ndarray of float64, shape (n_pages,)
        When each page's frame began.
    fires_per : {'page', 'frame', 'plane', 'volume'}
        What fires a pulse. Frames that were scanned but dropped fired theirs, too, if `fires_per` is page or frame.

    Returns
    -------
    event_times_s : ndarray of float64, shape (n_events,)
    event_of_page : ndarray of int64, shape (n_pages,)
        The last event that began no later than the page's frame.
    """
    first_pages = np.flatnonzero(np.diff(index.frame, prepend=-1))
    frame_times = timestamp_s[first_pages]
    number = index.frame_number[first_pages] // max(1, index.layout.averaging)
    period_s = _frame_period(frame_times, number)
    if fires_per in ("page", "frame"):
        events = _with_dropped_frames(frame_times, number, period_s)
        if fires_per == "page":
            n_channels = index.layout.n_channels
            until_next = np.minimum(np.diff(events, append=events[-1] + period_s), period_s)
            events = (events[:, None] + until_next[:, None] * np.arange(n_channels) / n_channels).reshape(-1)
    elif fires_per == "plane":
        events = frame_times[index.plane[first_pages] >= 0]
    elif fires_per == "volume":
        starts = first_pages[np.flatnonzero(np.diff(index.volume[first_pages], prepend=-1))]
        starts = starts[index.plane[starts] >= 0]
        slot = index.plane[starts] * index.layout.frames_per_slice + index.slice_sample[starts]
        events = timestamp_s[starts] - slot * period_s
    else:
        raise ValueError(f"fires_per is {fires_per!r}; expected 'page', 'frame', 'plane' or 'volume'")
    event_of_page = np.searchsorted(events, timestamp_s + 1e-9, side="right") - 1
    return events, np.maximum(event_of_page, 0)


def _frame_period(frame_times: NDArray[np.float64], number: NDArray[np.int64]) -> float:
    """Return the usual time from one frame to the next."""
    next_one = np.diff(number) == 1
    steps = np.diff(frame_times)
    return float(np.median(steps[next_one] if next_one.any() else steps)) if len(steps) else 0.0


def _with_dropped_frames(
    frame_times: NDArray[np.float64], number: NDArray[np.int64], period_s: float
) -> NDArray[np.float64]:
    """Return the times of all frames scanned, those that are not on disk between the others."""
    skipped = np.diff(number) - 1
    in_step = np.abs(np.diff(frame_times) - (skipped + 1) * period_s) < 0.25 * period_s
    skipped = np.where(in_step & (skipped > 0), skipped, 0)
    if not 0 < skipped.sum() <= _MOST_DROPPED * len(frame_times):
        return frame_times
    before = np.repeat(np.arange(len(skipped)), skipped)
    rank = np.arange(len(before)) - np.repeat(np.cumsum(skipped) - skipped, skipped) + 1
    share = rank / (skipped[before] + 1)
    made_up = frame_times[before] + share * (frame_times[before + 1] - frame_times[before])
    return np.sort(np.concatenate([frame_times, made_up]))
