"""What an NWB file keeps of an alignment: native times, and how pulses were put to the recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from neuroconv.tools.nwb_helpers import get_module
from numpy.typing import NDArray
from pynwb import NWBFile, TimeSeries
from pynwb.core import DynamicTable

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.recording import RecordingAlignment

__all__ = ["SyncOptions", "add_alignment_report", "add_native_times", "on_aligned_clock", "place_on_one_clock"]

TABLE_NAME = "PulseAlignment"
_COLUMNS = {
    "series": "Series whose times come from the pulses",
    "fires_per": "What fired a pulse: every page, frame, frame of a plane (no flyback), or volume",
    "n_events": "Events of the recording that should have fired a pulse",
    "n_pulses": "Pulses of the train",
    "n_matched": "Events that have their pulse",
    "n_extra_before": "Spurious pulses before the first event",
    "n_extra_inside": "Spurious pulses between the first event and the last",
    "n_extra_after": "Spurious pulses after the last event",
    "offset_s": "Time of the first event on the pulses' clock, in seconds",
    "drift_ppm": "How much the pulses' clock runs fast against the recording's, in parts per million",
    "residual_rms_us": "Root mean square of the matched pulses about the fit, in microseconds",
    "residual_max_us": "The largest of these residuals, in microseconds",
    "identified_by": "What told this match from its shift by one event: anchor, spacing or count",
    "odds_against": "Odds that another match is the right one",
    "alignment_times": "pulses: events have the time of their pulse; fit: the fitted time",
}
_INDICES = {
    "lost_events": "Events (from 0) without a pulse; they have the fitted time",
    "displaced_events": "Events whose pulse lies too far off to be believed; they have the fitted time",
    "extra_pulses": "Pulses (from 0) that belong to no event",
}


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Which pulses a recording is to be aligned to, as a command or a session file says."""

    pulses: Any
    """As for `read_pulse_times`."""
    fires_per: str = "frame"
    """What fires a pulse; see `align_to_pulses`."""
    name: str | None = None
    """Column, array or object that holds the pulses."""
    first_pulse: int | None = None
    """The pulse of the first event, if known."""
    start_near_s: float | None = None
    """When the first event began on the pulses' clock, if known to less than half a step."""


def add_native_times(nwbfile: NWBFile, series: TimeSeries, native_s: NDArray[np.float64]) -> None:
    """Keep the times that the files give beside a series whose times were aligned.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory; ``processing["ophys"]`` gets ``<series>NativeTimes``.
    series : TimeSeries
        The aligned series, whose times are shared.
    native_s : ndarray of float64, shape (samples,)
        Seconds of the recording's clock.
    """
    same_times = (
        {"timestamps": series} if series.rate is None else {"rate": series.rate, "starting_time": series.starting_time}
    )
    get_module(nwbfile, name="ophys", description="optical physiology processed data").add(
        TimeSeries(
            name=f"{series.name}NativeTimes",
            data=native_s,
            unit="seconds",
            description=f"Time of every sample of {series.name} as ScanImage stamped it, before it was aligned.",
            **same_times,
        )
    )


def add_alignment_report(nwbfile: NWBFile, series_name: str, found: RecordingAlignment) -> None:
    """Add a row to the table of alignments: counts, drift, residuals, and the indices touched.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory; the table is ``processing["ophys"]["PulseAlignment"]``.
    series_name : str
        Series that has the times.
    found : RecordingAlignment
        How they were found.
    """
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    table = module.data_interfaces.get(TABLE_NAME)
    if table is None:
        table = DynamicTable(name=TABLE_NAME, description="How sync pulses were put to the events of recordings")
        for name, description in _COLUMNS.items():
            table.add_column(name=name, description=description)
        for name, description in _INDICES.items():
            table.add_column(name=name, description=description, index=True, data=np.empty(0, np.int64))
        module.add(table)
    own = {"series": series_name, "fires_per": found.fires_per}
    values = {name: own.get(name, getattr(found.report, name, None)) for name in _COLUMNS}
    table.add_row(**values, **{name: getattr(found.report, name) for name in _INDICES})


def on_aligned_clock(
    times_s: NDArray[np.float64], native_s: NDArray[np.float64], aligned_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return times of a recording's clock on the clock that its samples were aligned to.

    Parameters
    ----------
    times_s : ndarray of float64
        Times on the recording's clock.
    native_s, aligned_s : ndarray of float64, shape (samples,)
        Times of the samples on both clocks. Between samples, times lie on the line; beyond them, at their pace.

    Returns
    -------
    ndarray of float64, shape of `times_s`

    Examples
    --------
    >>> on_aligned_clock(np.array([-1.0, 0.5, 3.0]), np.array([0.0, 1.0]), np.array([10.0, 12.0])).tolist()
    [8.0, 11.0, 16.0]
    """
    if len(native_s) == 0:
        return times_s
    aligned = np.interp(times_s, native_s, aligned_s)
    span = native_s[-1] - native_s[0]
    rate = (aligned_s[-1] - aligned_s[0]) / span if span > 0 else 1.0
    for outside, end in ((times_s < native_s[0], 0), (times_s > native_s[-1], -1)):
        aligned[outside] = aligned_s[end] + (times_s[outside] - native_s[end]) * rate
    return aligned


def place_on_one_clock(interfaces: Sequence[Any], session_start: datetime | None = None) -> datetime:
    """Place several recordings of one session on one clock, their gaps kept, by when their files say they began.

    TIFF beside .siff, or recordings one after another. Recordings of two computers are only as close as these
    computers' clocks; where sync pulses were recorded by one device, align each recording to those instead.

    Parameters
    ----------
    interfaces : sequence of interfaces
        Each with `get_metadata` and `set_aligned_starting_time`; those of one recording share its start.
    session_start : datetime, optional
        Time 0, with time zone; by default when the first recording began.

    Returns
    -------
    datetime
        Time 0: the ``session_start_time`` of the file.

    Raises
    ------
    TimeAxisError
        If files do not say when they began, or began before `session_start`.
    """
    starts = []
    for interface in interfaces:
        start = interface.get_metadata()["NWBFile"].get("session_start_time")
        if start is None:
            raise TimeAxisError(
                f"{type(interface).__name__}: its files do not say when they were recorded; align it to sync pulses, "
                "or give its start with set_aligned_starting_time"
            )
        starts.append(start if start.tzinfo is not None else start.astimezone())
    if not starts:
        raise TimeAxisError("no interfaces were given; expected at least one")
    first = min(starts) if session_start is None else session_start
    if first.tzinfo is None:
        raise TimeAxisError(f"session_start is {first}; expected a time with time zone")
    if min(starts) < first:
        raise TimeAxisError(f"a recording began at {min(starts)}, before session_start ({first})")
    for interface, start in zip(interfaces, starts, strict=True):
        interface.set_aligned_starting_time((start - first).total_seconds())
    return first
