"""Whether a rate says the same as frame timestamps; gaps, and timestamps that are missing."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import TimeAxisError

__all__ = ["REGULAR_WITHIN_S", "TimeGap", "clock_offsets", "fill_missing", "find_gaps", "regular_rate", "typical_rate"]

REGULAR_WITHIN_S = 1e-6
"""Times that a rate predicts to within this are written as a rate."""

TimeGap = tuple[int, float, float]
"""Sample before the gap, its time (s), and the gap's length (s)."""


def regular_rate(times_s: NDArray[np.float64], within_s: float = REGULAR_WITHIN_S) -> float | None:
    """Return the rate that predicts every time from the first, None if no rate does.

    Parameters
    ----------
    times_s : ndarray of float64, shape (n,)
        Sample times in seconds.
    within_s : float
        Largest error allowed anywhere, in seconds.

    Returns
    -------
    float or None
        Rate in Hz; None for fewer than two samples, or if they are irregular.

    Examples
    --------
    >>> round(regular_rate(np.array([5.0, 5.1, 5.2, 5.3])), 9)
    10.0
    >>> regular_rate(np.array([0.0, 0.1, 0.2, 0.9])) is None
    True
    """
    if len(times_s) < 2:
        return None
    elapsed = times_s[1:] - times_s[0]
    steps = np.arange(1, len(times_s))
    shortest = ((elapsed - within_s) / steps).max()
    longest = ((elapsed + within_s) / steps).min()
    if not (0 < shortest <= longest):
        return None
    return 1 / float(np.clip(elapsed[-1] / steps[-1], shortest, longest))


def typical_rate(times_s: NDArray[np.float64]) -> float | None:
    """Return one over the median step, in Hz; None for fewer than two samples or times that stand still."""
    if len(times_s) < 2:
        return None
    step = float(np.median(np.diff(times_s)))
    return 1 / step if step > 0 else None


def fill_missing(times_s: NDArray[np.float64], frame_number: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give pages without a timestamp the time that their frame number implies.

    Between two timestamps it lies on the line between them; outside, on the line through the first and last.

    Parameters
    ----------
    times_s : ndarray of float64, shape (n,)
        Timestamps in seconds, NaN where missing.
    frame_number : ndarray of int64, shape (n,)
        Frame numbers, not decreasing.

    Returns
    -------
    ndarray of float64, shape (n,)
        `times_s` itself if nothing is missing.

    Raises
    ------
    TimeAxisError
        If fewer than two pages have a timestamp.

    Examples
    --------
    >>> fill_missing(np.array([0.0, np.nan, 0.2]), np.array([1, 2, 3])).tolist()
    [0.0, 0.1, 0.2]
    """
    known = ~np.isnan(times_s)
    if known.all():
        return times_s
    if known.sum() < 2:
        raise TimeAxisError(f"only {known.sum()} of {len(times_s)} pages have a timestamp; expected at least two")
    filled = times_s.copy()
    numbers, times = frame_number[known], times_s[known]
    filled[~known] = np.interp(frame_number[~known], numbers, times)
    period_s = (times[-1] - times[0]) / max(int(numbers[-1] - numbers[0]), 1)
    for outside, i in ((frame_number < numbers[0], 0), (frame_number > numbers[-1], -1)):
        late = outside & ~known
        filled[late] = times[i] + (frame_number[late] - numbers[i]) * period_s
    return filled


def find_gaps(times_s: NDArray[np.float64], longer_than: float = 1.5) -> list[TimeGap]:
    """Find where samples are further apart than usual.

    Parameters
    ----------
    times_s : ndarray of float64, shape (n,)
        Sample times in seconds.
    longer_than : float
        A gap is a step longer than this many median steps.

    Returns
    -------
    list of (int, float, float)
        Sample before the gap, its time in seconds, and the step's length in seconds.

    Examples
    --------
    >>> find_gaps(np.array([0.0, 1.0, 2.0, 5.0, 6.0]))
    [(2, 2.0, 3.0)]
    """
    if len(times_s) < 3:
        return []
    steps = np.diff(times_s)
    before = np.flatnonzero(steps > longer_than * np.median(steps))
    return [(int(i), float(times_s[i]), float(steps[i])) for i in before]


def clock_offsets(epochs: list[datetime | None]) -> NDArray[np.float64]:
    """Return how much later than the first each clock started.

    Parameters
    ----------
    epochs : list of datetime or None
        Start of each clock; None only where there is one clock.

    Returns
    -------
    ndarray of float64, shape (len(epochs),)
        Seconds.

    Examples
    --------
    >>> clock_offsets([datetime(2025, 1, 1, 12), datetime(2025, 1, 1, 12, 0, 2)]).tolist()
    [0.0, 2.0]
    """
    first = epochs[0]
    return np.array([0.0 if e is None or first is None else (e - first).total_seconds() for e in epochs])
