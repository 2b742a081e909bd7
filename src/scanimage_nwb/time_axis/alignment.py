"""Sync pulses to the events of a recording, when pulses are lost, others are spurious, and the clocks differ."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis.evidence import Hypothesis, log_odds_against, rarity, silent_steps
from scanimage_nwb.time_axis.matching import EventPattern, describe_events
from scanimage_nwb.time_axis.refusals import ambiguous, check_drift
from scanimage_nwb.time_axis.report import AlignmentReport, PulseAlignment
from scanimage_nwb.time_axis.searching import find_match

__all__ = ["match_pulses"]

_ODDS = 1e-5
"""Odds of another match above which none is given."""
_TRUSTED_SIGMAS = 2.5
"""A pulse further than this from its prediction tells less of its time than the prediction does."""
_LEAST_WINDOW_S = 1e-6


def match_pulses(
    event_times_s: ArrayLike,
    pulse_times_s: ArrayLike,
    *,
    first_pulse: int | None = None,
    last_pulse: int | None = None,
    start_near_s: float | None = None,
    trust_count: bool = True,
    max_drift_ppm: float = 200.0,
    times: Literal["pulses", "fit"] = "pulses",
) -> PulseAlignment:
    """Find the pulse of each event of a recording.

    The times of the events say how far apart pulses must be. Pulses may be lost, singly or in runs; others may be
    spurious; and their clock may be off and drift. Where several matches explain the train about equally well, none
    is given. A regular train and a regular recording fit at every whole step. Such a match is found by gaps in both,
    by an anchor, or else by count: if the train has a pulse at the first event and at the last, and none in phase
    beyond, it is taken to be whole. It cannot be found if pulses are lost at either end.

    Parameters
    ----------
    event_times_s : array-like of float, shape (n_events,)
        When the events began that each fired a pulse, on the recording's clock; increasing.
    pulse_times_s : array-like of float, shape (n_pulses,)
        When pulses were seen, on the other clock; not decreasing.
    first_pulse : int, optional
        The pulse of the first event, if known; negative numbers count from the last.
    last_pulse : int, optional
        The pulse of the last event, if known; -1 is the last pulse.
    start_near_s : float, optional
        When the first event began, on the pulses' clock, if that is known to less than half a step.
    trust_count : bool
        False does not take the number of pulses for evidence.
    max_drift_ppm : float
        By how much the clocks may differ in rate.
    times : {'pulses', 'fit'}
        Whether events get the time of their pulse, or the fitted time, which has less jitter. Lost ones get the
        fitted time in any case.

    Returns
    -------
    PulseAlignment

    Raises
    ------
    TimeAxisError
        If the pulses cannot belong to the events, or several matches are possible; says what would tell them apart.

    Examples
    --------
    One pulse is lost, one is spurious, and the other clock is 100 s ahead and 50 ppm fast:

    >>> frames = np.arange(300) / 30
    >>> pulses = np.sort(np.append(np.delete(frames, 7), 3.21)) * (1 + 50e-6) + 100
    >>> found = match_pulses(frames, pulses)
    >>> found.report.lost_events.tolist(), found.report.extra_pulses.tolist(), round(found.report.drift_ppm, 3)
    ([7], [96], 50.0)
    >>> bool(np.abs(found.event_times_s - (frames * (1 + 50e-6) + 100)).max() < 1e-6)
    True
    """
    if times not in ("pulses", "fit"):
        raise ValueError(f"times is {times!r}; expected 'pulses' or 'fit'")
    events = _checked(event_times_s, "event_times_s", strictly=True)
    pulses = _checked(pulse_times_s, "pulse_times_s", strictly=False)
    pattern = describe_events(events)
    anchor = _anchor(pulses, first_pulse, last_pulse, len(events))
    allowed = _allowed_start(events, pulses, pattern, anchor, start_near_s, max_drift_ppm * 1e-6)
    found = find_match(events, pulses, pattern, anchor, allowed, max_drift_ppm * 1e-6, trust_count)
    best, odds, shift = found
    check_drift(events, best, max_drift_ppm)
    if odds > _ODDS:
        raise TimeAxisError(ambiguous(pulses, best, pattern, shift, odds))
    by = "spacing"
    if anchor is not None or start_near_s is not None:
        by = "anchor"
    elif trust_count and any(silent_steps(pulses, best, pattern)):
        rare = rarity(pulses, best, pattern)
        alone = log_odds_against(events, pulses, pattern, best, [], rare, allowed, trust_count=False)[0]
        by = "spacing" if np.exp(min(alone, 0.0)) <= _ODDS else "count"
    return _result(events, pulses, best, odds, by, times)


def _checked(values: ArrayLike, name: str, *, strictly: bool) -> NDArray[np.float64]:
    """Return times as an array of float64; refuse what is no sequence of times."""
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TimeAxisError(f"{name} holds something that is no number: {error}") from error
    if found.ndim != 1 or len(found) < 2:
        raise TimeAxisError(f"{name} has shape {found.shape}; expected at least two times in one dimension")
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise TimeAxisError(f"{name}[{bad[0]}] is {found[bad[0]]}; expected finite times, in seconds")
    steps = np.diff(found)
    back = np.flatnonzero(steps <= 0 if strictly else steps < 0)
    if len(back):
        at = int(back[0])
        raise TimeAxisError(
            f"{name} goes from {found[at]} s to {found[at + 1]} s at index {at + 1}; expected times that increase. "
            "If they are a column of a table, see whether it is the right one"
        )
    return found


def _anchor(
    pulses: NDArray[np.float64], first_pulse: int | None, last_pulse: int | None, n_events: int
) -> tuple[int, int] | None:
    """Return the event and the pulse that the user says belong together."""
    if first_pulse is None and last_pulse is None:
        return None
    name, number = ("first_pulse", first_pulse) if first_pulse is not None else ("last_pulse", last_pulse)
    assert number is not None
    if not -len(pulses) <= number < len(pulses):
        raise TimeAxisError(f"{name} is {number}; the train has {len(pulses)} pulses, from 0")
    return 0 if first_pulse is not None else n_events - 1, number % len(pulses)


def _allowed_start(
    events: NDArray[np.float64],
    pulses: NDArray[np.float64],
    pattern: EventPattern,
    anchor: tuple[int, int] | None,
    start_near_s: float | None,
    max_drift: float,
) -> tuple[float, float]:
    """Return between which times the first event must begin, by what the user knows."""
    half = 0.5 * pattern.smallest_step_s
    low, high = -np.inf, np.inf
    if start_near_s is not None:
        low, high = start_near_s - half, start_near_s + half
    if anchor is not None:
        back = events[anchor[0]] - events[0]
        slack = half + max_drift * back
        low, high = max(low, pulses[anchor[1]] - back - slack), min(high, pulses[anchor[1]] - back + slack)
    if low > high:
        raise TimeAxisError(f"start_near_s={start_near_s} contradicts first_pulse or last_pulse; give one of them")
    return low, high


def _result(
    events: NDArray[np.float64],
    pulses: NDArray[np.float64],
    best: Hypothesis,
    odds: float,
    identified_by: str,
    times: str,
) -> PulseAlignment:
    """Give every event its time, and say how."""
    matched = best.matched
    displaced = matched & (np.abs(best.late_s) > max(_TRUSTED_SIGMAS * best.sigma_s, _LEAST_WINDOW_S))
    aligned = best.predicted_s.copy()
    own = matched & ~displaced
    if times == "pulses":
        aligned[own] = pulses[best.pulse[own]]
    aligned = np.maximum.accumulate(aligned)
    extra = np.ones(len(pulses), bool)
    extra[best.pulse[matched]] = False
    late_us = best.late_s[matched] * 1e6
    with_pulse = np.flatnonzero(matched)
    first = int(with_pulse[0])
    report = AlignmentReport(
        n_events=len(events),
        n_pulses=len(pulses),
        n_matched=int(matched.sum()),
        lost_events=np.flatnonzero(~matched),
        displaced_events=np.flatnonzero(displaced),
        extra_pulses=np.flatnonzero(extra),
        n_extra_before=int((extra & (pulses < best.predicted_s[0])).sum()),
        n_extra_after=int((extra & (pulses > best.predicted_s[-1])).sum()),
        first_pulse=int(best.pulse[first]),
        first_matched_event=first,
        offset_s=float(best.predicted_s[0]),
        drift_ppm=(best.clock.rate - 1) * 1e6,
        residual_rms_us=float(np.sqrt(np.mean(late_us**2))),
        residual_max_us=float(np.abs(late_us).max()),
        jitter_us=best.sigma_s * 1e6,
        identified_by=identified_by,
        odds_against=odds,
        alignment_times=times,
    )
    return PulseAlignment(aligned, best.pulse, events, best.clock.rate, report)
