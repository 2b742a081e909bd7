"""Sync pulses to the events of a recording, when pulses are lost, others are spurious, and the clocks differ."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis.candidates import find_candidates
from scanimage_nwb.time_axis.evidence import (
    SILENCE,
    Hypothesis,
    evaluate,
    full_cost,
    is_complete,
    log_odds_against,
    rarity,
    worse_fit,
)
from scanimage_nwb.time_axis.matching import OFF_GRID, Clock, EventPattern, describe_events, track_clock

__all__ = ["AlignmentReport", "PulseAlignment", "match_pulses"]

_ODDS = 1e-5
"""Odds of another match above which none is given."""
_WORK = 4_000_000
"""Events that are compared with pulses in all, over the matches that are looked at in full."""
_LEAST_PRESENT = 0.7
_MOST_SPURIOUS = 0.5
_LEAST_MATCHED = 0.25
_TRUSTED_SIGMAS = 2.5
"""A pulse further than this from its prediction tells less of its time than the prediction does."""
_LEAST_WINDOW_S = 1e-6
_MOST_CORRECTIONS = 4
_NEAR_START = 64
_STARTS_TRIED = 5


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentReport:
    """How pulses were put to events, and how well they fit."""

    n_events: int
    """Events of the recording."""
    n_pulses: int
    """Pulses of the train."""
    n_matched: int
    """Events that have their pulse."""
    lost_events: NDArray[np.int64]
    """Events without a pulse; they have the fitted time."""
    displaced_events: NDArray[np.int64]
    """Events whose pulse lies too far off to be believed; they have the fitted time."""
    extra_pulses: NDArray[np.int64]
    """Pulses that belong to no event."""
    n_extra_before: int
    """Of these, before the first event."""
    n_extra_after: int
    """Of these, after the last event."""
    first_pulse: int
    """Pulse of the first event that has one …"""
    first_matched_event: int
    """… which is this one."""
    offset_s: float
    """Time of the first event on the pulses' clock."""
    drift_ppm: float
    """How much the pulses' clock runs fast against the recording's."""
    residual_rms_us: float
    """Root mean square of what is left of the matched pulses after the fit, in microseconds."""
    residual_max_us: float
    """The largest of them."""
    jitter_us: float
    """Their spread without outliers."""
    identified_by: str
    """What told this match from its shift by one event: "anchor", "spacing" (of pulses, and gaps), "count"."""
    odds_against: float
    """Odds that another match is the right one."""
    alignment_times: str
    """"pulses" if events have the time of their pulse, "fit" if all have the fitted time."""

    @property
    def n_extra_inside(self) -> int:
        """Spurious pulses between the first event and the last."""
        return len(self.extra_pulses) - self.n_extra_before - self.n_extra_after

    def __str__(self) -> str:
        return (
            f"{self.n_matched} of {self.n_events} events have a pulse ({len(self.lost_events)} lost, "
            f"{len(self.displaced_events)} displaced); of {self.n_pulses} pulses {self.n_extra_before} come before, "
            f"{self.n_extra_after} after and {self.n_extra_inside} between them. Offset {self.offset_s:.6f} s, drift "
            f"{self.drift_ppm:+.2f} ppm, residual {self.residual_rms_us:.2f} us rms, {self.residual_max_us:.2f} us at "
            f"most; identified by {self.identified_by}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PulseAlignment:
    """The events of a recording on the clock of the pulses."""

    event_times_s: NDArray[np.float64]
    """Time of each event on the pulses' clock, shape (n_events,)."""
    pulse_of_event: NDArray[np.int64]
    """Pulse of each event, -1 where it is lost, shape (n_events,)."""
    native_times_s: NDArray[np.float64]
    """Time of each event on the recording's clock."""
    rate: float
    """Seconds of the pulses' clock per second of the recording's."""
    report: AlignmentReport
    """How it was found."""

    def at(self, native_times_s: ArrayLike, event: ArrayLike) -> NDArray[np.float64]:
        """Return times of the recording's clock on that of the pulses.

        Parameters
        ----------
        native_times_s : array-like of float
            Times on the recording's clock.
        event : array-like of int
            Event that each is counted from; -1 and `n_events` stand for the first and the last.

        Returns
        -------
        ndarray of float64
        """
        base = np.clip(np.asarray(event, np.int64), 0, len(self.event_times_s) - 1)
        since = np.asarray(native_times_s, np.float64) - self.native_times_s[base]
        return self.event_times_s[base] + since * self.rate


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
    found = _find(events, pulses, pattern, anchor, allowed, max_drift_ppm * 1e-6, trust_count)
    best, odds, shift = found
    _check_drift(events, best, max_drift_ppm)
    if odds > _ODDS:
        raise TimeAxisError(_ambiguous(pulses, best, pattern, shift, odds))
    by = "spacing"
    if anchor is not None or start_near_s is not None:
        by = "anchor"
    elif trust_count and is_complete(pulses, best, pattern):
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


def _find(
    events: NDArray[np.float64],
    pulses: NDArray[np.float64],
    pattern: EventPattern,
    anchor: tuple[int, int] | None,
    allowed: tuple[float, float],
    max_drift: float,
    trust_count: bool,
) -> tuple[Hypothesis, float, int]:
    """Return the best match, the odds against it, and the likeliest other, as a shift in events."""
    most = int(np.clip(_WORK // max(len(events), len(pulses)), 3, 16))
    clocks = _anchored(events, pulses, pattern, anchor, allowed, max_drift)
    clocks = clocks or find_candidates(events, pulses, pattern, max_drift, most)
    tried: list[Hypothesis] = []
    for clock in clocks:
        ahead = [float(clock(events[:1])[0] - one.predicted_s[0]) / pattern.step_s for one in tried]
        looked_at = 0.5 if pattern.is_uneven else SILENCE  # shifts of regular events are looked at later
        if not any(abs(steps) < looked_at and abs(steps - round(steps)) < 0.1 for steps in ahead):
            tried.append(evaluate(events, pulses, pattern, clock, max_drift))
    sound = [one for one in tried if _why_not(pulses, one, pattern) is None]
    sound = [one for one in sound if allowed[0] <= one.predicted_s[0] <= allowed[1]]
    if not sound:
        raise TimeAxisError(_cannot_belong(pulses, tried, pattern, max_drift))
    for _ in range(_MOST_CORRECTIONS):
        first = max(sound, key=lambda one: int(one.matched.sum()))
        rare = rarity(pulses, first, pattern)
        closest = min(sound, key=lambda one: one.sigma_s)
        best = min(sound, key=lambda one: full_cost(pulses, one, pattern, rare, trust_count) + worse_fit(closest, one))
        rare = rarity(pulses, best, pattern)
        log_odds, shift = log_odds_against(
            events, pulses, pattern, best, [one for one in sound if one is not best], rare, allowed, trust_count
        )
        if log_odds <= 0 or any(
            abs(one.predicted_s[0] - best.predicted_s[0] - shift * pattern.step_s) < 0.5 * pattern.step_s
            for one in sound
        ):
            break
        better = best.clock.shifted(shift * pattern.step_s * best.clock.rate)
        sound.append(evaluate(events, pulses, pattern, better, max_drift))
    return best, float(np.exp(min(log_odds, 0.0))), shift


def _anchored(
    events: NDArray[np.float64],
    pulses: NDArray[np.float64],
    pattern: EventPattern,
    anchor: tuple[int, int] | None,
    allowed: tuple[float, float],
    max_drift: float,
) -> list[Clock]:
    """Return the clocks that an anchor gives: from the pulse named, or from the pulses near the time named."""
    if anchor is None and not np.isfinite(allowed[0]):
        return []
    window = 0.5 * pattern.smallest_step_s
    if anchor is not None:
        return [track_clock(events, pulses, anchor, window, max_drift)[0]]
    start_s = 0.5 * (allowed[0] + allowed[1])
    near = np.flatnonzero(np.abs(pulses - start_s) <= _NEAR_START * pattern.step_s)
    expected = start_s + (events - events[0])
    tracked = []
    for pulse in near[np.argsort(np.abs(pulses[near] - start_s), kind="stable")][:_STARTS_TRIED].tolist():
        event = int(np.argmin(np.abs(expected - pulses[pulse])))
        tracked.append(track_clock(events, pulses, (event, pulse), window, max_drift))
    return [clock for clock, _ in sorted(tracked, key=lambda one: -one[1])]


def _why_not(pulses: NDArray[np.float64], found: Hypothesis, pattern: EventPattern) -> str | None:
    """Return why a match is none, None if it is sound."""
    matched = np.flatnonzero(found.matched)
    if len(matched) < max(2, _LEAST_MATCHED * len(found.pulse)):
        return f"only {len(matched)} of {len(found.pulse)} events find a pulse"
    covered = matched[-1] - matched[0] + 1
    if len(matched) < _LEAST_PRESENT * covered:
        return f"only {len(matched)} of {covered} events find a pulse where there are pulses"
    inside = found.pulse[matched[-1]] - found.pulse[matched[0]] + 1 - len(matched)
    if inside > max(_MOST_SPURIOUS * len(matched), 3):
        return f"{inside} pulses lie between those of {len(matched)} events"
    if found.sigma_s > OFF_GRID * pattern.smallest_step_s:
        return f"pulses scatter by {found.sigma_s * 1e3:.3g} ms about the events, which are too close together for that"
    return None


def _check_drift(events: NDArray[np.float64], best: Hypothesis, max_drift_ppm: float) -> None:
    """Refuse pulses that drift by more than clocks do."""
    matched = best.matched
    elapsed = events[matched] - events[matched].mean()
    late = best.late_s[matched] + best.trend_s[matched]
    spread = float((elapsed**2).sum())
    slope = float((elapsed * late).sum()) / spread
    left = late - late.mean() - slope * elapsed
    uncertainty = float(np.sqrt(np.mean(left**2) / spread))
    at_limit = abs(best.clock.rate - 1) > 0.999e-6 * max_drift_ppm
    if at_limit and abs(slope) > max(6 * uncertainty, 0.05e-6 * max_drift_ppm):
        raise TimeAxisError(
            f"the clocks of pulses and recording differ by {(best.clock.rate - 1 + slope) * 1e6:.0f} ppm, more than "
            f"max_drift_ppm={max_drift_ppm:g} allows: raise it if a clock is that bad, else the pulses are of "
            "another recording"
        )


def _cannot_belong(
    pulses: NDArray[np.float64], tried: list[Hypothesis], pattern: EventPattern, max_drift: float
) -> str:
    """Say why no match is sound, and what may be the reason."""
    every = float(np.median(np.diff(pulses)))
    ratio = every / pattern.step_s
    reasons = [reason for one in tried if (reason := _why_not(pulses, one, pattern))]
    why = reasons[0] if reasons else "no part of the train has the spacing of the recording"
    if abs(ratio - 1) < 2e-3:
        hint = (
            f"If the clocks differ by more than {max_drift * 1e6:.0f} ppm, raise max_drift_ppm; otherwise the pulses "
            "are of another recording, or what was given as a starting point is wrong"
        )
    else:
        hint = f"Pulses come {1 / ratio:.4g} times as often as events: see whether fires_per is right"
    return (
        f"the pulses cannot belong to this recording: {why}. Events come every {pattern.step_s:.6g} s, pulses every "
        f"{every:.6g} s. {hint}"
    )


def _ambiguous(pulses: NDArray[np.float64], best: Hypothesis, pattern: EventPattern, shift: int, odds: float) -> str:
    """Say which matches are possible, and what would tell them apart."""
    matched = np.flatnonzero(best.matched)
    n, covered = len(best.pulse), int(matched[-1] - matched[0] + 1)
    step = pattern.step_s * best.clock.rate
    beyond = np.concatenate([best.predicted_s[0] - pulses, pulses - best.predicted_s[-1]])
    beyond = beyond[beyond > best.window_s]
    n_beyond = int((np.abs(beyond - np.rint(beyond / step) * step) <= best.window_s).sum())
    if covered < n:
        why = f"the train covers {covered} of {n} events, and nothing says whether the first or the last ones are lost"
    elif n_beyond:
        why = f"the train goes on in phase beyond the {n} events, by {n_beyond} pulse(s)"
    else:
        why = f"a lost pulse at one end and a spurious one at the other would look much the same (odds {odds:.1g})"
    return (
        f"the pulses fit the recording, but also when shifted by {shift:+d} event(s): {why}. Name the pulse of the "
        "first event (first_pulse=…) or of the last (last_pulse=…), or when the first event began on the pulses' "
        "clock, to less than half a step (start_near_s=…)"
    )


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
