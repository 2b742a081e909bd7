"""Compare the times of an NWB file with those that ScanImage stamped on the frames it was made from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile, TimeSeries

from scanimage_nwb.nwb.alignment import TABLE_NAME
from scanimage_nwb.time_axis import REGULAR_WITHIN_S

__all__ = ["first_time_difference"]

_ROUNDING_S = 5e-7
"""What a rate and a starting time lose beyond `REGULAR_WITHIN_S`, as floating point numbers of long recordings."""
_COMPANIONS = ("NativeTimes", "OriginalFrameIndices", "FrameNumbers")
_WANDER = 1e-3
"""Fraction of a step by which the clock of pulses may wander from one sample to the next."""


def first_time_difference(
    nwbfile: NWBFile, series: TimeSeries, native_s: NDArray[np.float64] | None
) -> tuple[int, str] | None:
    """Compare the times of one series with the source.

    If the series was aligned, its native times must be those of the source, bit for bit, and its own times must not
    run backwards; times from pulses must keep the spacing of the native ones, to within the residuals reported.
    Otherwise its times must be those of the source: bit for bit, or to a microsecond where a rate stands for them.

    Parameters
    ----------
    nwbfile : NWBFile
        The file.
    series : TimeSeries
        One of its series of images or photons.
    native_s : ndarray of float64, shape (samples,), or None
        Timestamps of the source for the samples; None if it has none.

    Returns
    -------
    (int, str) or None
        The first sample that differs, and how; None if none does.
    """
    times = _times_of(series)
    if len(times) != series.data.shape[0]:
        return 0, f"there are {len(times)} times for {series.data.shape[0]} samples"
    companions = nwbfile.processing["ophys"].data_interfaces
    for what in _COMPANIONS:
        own = companions.get(f"{series.name}{what}")
        if own is not None and not np.array_equal(_times_of(own), times):
            return 0, f"{own.name} has not the times of {series.name}"
    if native_s is None:
        return None
    kept = companions.get(f"{series.name}NativeTimes")
    if kept is None:
        within = 0.0 if series.rate is None else REGULAR_WITHIN_S + _ROUNDING_S
        return _first_off(times, native_s, within, "its time")
    return (
        _first_off(np.asarray(kept.data[:]), native_s, 0.0, "its native time")
        or _first_backward(times)
        or _first_off_pace(times, native_s, _report_of(companions, series.name))
    )


def _times_of(series: TimeSeries) -> NDArray[np.float64]:
    """Return the times of a series, linked or not."""
    if series.rate is not None:
        return series.starting_time + np.arange(series.data.shape[0]) / series.rate
    return np.asarray(series.timestamps[:], np.float64)


def _first_off(
    found: NDArray[np.float64], expected: NDArray[np.float64], within: float, what: str
) -> tuple[int, str] | None:
    """Return the first time that is not the one expected."""
    off = ~(np.abs(found - expected) <= within)
    if not off.any():
        return None
    k = int(np.argmax(off))
    return k, f"{what} is {found[k]:.9f} s; the source has {expected[k]:.9f} s"


def _first_backward(times: NDArray[np.float64]) -> tuple[int, str] | None:
    """Return the first time that lies before that of the sample before, or is none."""
    bad = ~(np.diff(times, prepend=-np.inf) >= 0)
    if not bad.any():
        return None
    k = int(np.argmax(bad))
    return k, f"its aligned time is {times[k]:.9f} s, which is before that of the sample before"


def _report_of(companions: Mapping[str, Any], series_name: str) -> dict[str, float] | None:
    """Return drift and largest residual of the alignment of a series to pulses, None if there is none."""
    table = companions.get(TABLE_NAME)
    if table is None:
        return None
    rows = np.flatnonzero(np.asarray(table["series"].data[:], str) == series_name)
    names = ("drift_ppm", "residual_max_us")
    return {name: float(table[name].data[int(rows[0])]) for name in names} if len(rows) else None


def _first_off_pace(
    times: NDArray[np.float64], native_s: NDArray[np.float64], report: dict[str, float] | None
) -> tuple[int, str] | None:
    """Return the first sample whose step from the one before is not that of the source, on the pulses' clock."""
    if report is None or len(times) < 2:
        return None
    native_steps = np.diff(native_s)
    steps = native_steps * (1 + report["drift_ppm"] * 1e-6)
    within = 2e-6 * report["residual_max_us"] + REGULAR_WITHIN_S + _ROUNDING_S + _WANDER * native_steps
    off = np.abs(np.diff(times) - steps) > within
    if not off.any():
        return None
    k = int(np.argmax(off)) + 1
    text = f"its aligned time is {times[k] - times[k - 1]:.9f} s behind the one before"
    return k, f"{text}; by the source and the clocks' drift it is {steps[k - 1]:.9f} s"
