"""What speaks for one way of putting pulses to events, and against all others.

A regular train of pulses fits a regular recording at every whole period. What tells one period from the next is the
ends of the train, gaps, and steps that are not all alike; each way of putting pulses to events has to call some events
lost and some pulses spurious. Its cost is minus the logarithm of how likely that is: a run of lost events or spurious
pulses costs by how rare they are in this very train, and by how long such runs are in it. At the ends of the
recording they are never rare: whoever records pulses starts late, or stops late.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.time_axis.matching import (
    TREND_BLOCK,
    Clock,
    EventPattern,
    fit_clock,
    nearest_pulses,
    robust_sigma,
    slow_trend,
)

__all__ = [
    "Hypothesis",
    "Rarity",
    "evaluate",
    "full_cost",
    "log_odds_against",
    "rarity",
    "silent_steps",
    "worse_fit",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_AT_END = 3.0
"""Cost of a train that begins or ends elsewhere than the recording: 5 %."""
_PER_LENGTH = 0.1
_ONE_MORE = 9.5
"""Most that a pulse just beyond an end costs: one train in ten thousand runs on by one."""
_COMPLETE = 12.0
"""What it says for a train that it holds exactly as many pulses, end to end, as the recording has events."""
SILENCE = 32
"""Steps without a pulse in phase that show that a train ends; shifts by fewer are all looked at."""
_ZONE = 96
_MOST_EDGES = 24
_UNEVEN_ZONES = 12
_LEAST_WINDOW = 0.02
"""Fraction of a step within which a shifted match is taken for one, so that shifts are not ruled out too lightly."""
_ENOUGH_RESIDUALS = 100
_CHANCE_OF_SAME = 5.0
"""Of residuals of much the same pulses: two standard deviations and a half, were they others."""
_CHANCE_OF_OTHERS = 20.0
"""Of residuals of other pulses, as of a recording that was played twice: six standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """One way of putting pulses to events."""

    clock: Clock
    trend_s: Floats
    """What the clock's wander adds at each event."""
    pulse: Ints
    """Pulse of each event, -1 where it is lost."""
    late_s: Floats
    """How much later than predicted each pulse came, NaN where it is lost."""
    sigma_s: float
    """Spread of that, without outliers."""
    window_s: float
    """How far from its prediction a pulse may be."""
    predicted_s: Floats
    """Time of each event by clock and trend."""

    @property
    def matched(self) -> NDArray[np.bool_]:
        """True for events that have their pulse."""
        return self.pulse >= 0


@dataclass(frozen=True, slots=True)
class Rarity:
    """What a lost event and a spurious pulse cost in this train, away from its ends."""

    lost: float
    """Of a run of lost events …"""
    lost_more: float
    """… and of each further event of the run."""
    extra: float
    """Of a spurious pulse between the first event and the last …"""
    extra_at_end: float
    """… and of one just beyond them that is in phase by chance."""


def evaluate(events: Floats, pulses: Floats, pattern: EventPattern, clock: Clock, max_drift: float) -> Hypothesis:
    """Put pulses to events by a clock, refine it, and follow its wander."""
    half = 0.5 * pattern.smallest_step_s
    trend = np.zeros(len(events))
    window = half
    for _ in range(2):
        pulse, late = nearest_pulses(pulses, clock(events) + trend, window)
        matched = pulse >= 0
        if matched.sum() < 2:
            break
        clock = fit_clock(events[matched], pulses[pulse[matched]] - trend[matched], clock, max_drift)
        residual = pulses[pulse[matched]] - clock(events[matched])
        trend = slow_trend(events[matched], residual, events)
        bend = float(np.abs(trend[TREND_BLOCK:] - trend[:-TREND_BLOCK]).max()) if trend.any() else 0.0
        window = min(half, max(6 * robust_sigma(residual - trend[matched]), 5e-6, 0.25 * bend))
    predicted = clock(events) + trend
    pulse, late = nearest_pulses(pulses, predicted, window)
    return Hypothesis(clock, trend, pulse, late, robust_sigma(late[pulse >= 0]), window, predicted)


def rarity(pulses: Floats, found: Hypothesis, pattern: EventPattern) -> Rarity:
    """Return what lost events and spurious pulses cost, by how many the train has."""
    extra = np.ones(len(pulses), bool)
    extra[found.pulse[found.matched]] = False
    spurious = pulses[extra]
    first, last = found.predicted_s[0], found.predicted_s[-1]
    n_before = int(((spurious >= first - 1) & (spurious < first)).sum())
    n_after = int(((spurious > last) & (spurious <= last + 1)).sum())
    n_inside = int(((spurious >= first) & (spurious <= last)).sum())
    per_s = (n_inside + 0.5) / max(1.0, float(last - first))
    in_phase_s = 2 * min(found.window_s, pattern.step_s / 2)
    within = slice(*(np.flatnonzero(found.matched)[[0, -1]] + [0, 1]))
    starts, stops = _runs(~found.matched[within])
    n_runs, n_lost = len(starts), int((stops - starts).sum())
    return Rarity(
        float(np.clip(-np.log((n_runs + 0.5) / (len(found.pulse) + 1)), _AT_END, 10.0)),
        float(np.clip(-np.log((n_lost - n_runs + 0.5) / (n_lost + 1)), _PER_LENGTH, 3.0)),
        _cost_by_chance(per_s * in_phase_s, 12.0),
        _cost_by_chance(max(per_s, n_before, n_after) * in_phase_s, _ONE_MORE),
    )


def _cost_by_chance(expected: float, most: float) -> float:
    """Return the cost of a pulse where `expected` would be by chance."""
    return float(np.clip(-np.log(min(1.0, expected)), _AT_END, most))


def _runs(mask: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return the first index of each run of True, and the one behind its last."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def cost(
    matched: NDArray[np.bool_],
    extra_s: Floats,
    span_s: tuple[float, float],
    step_s: float,
    rare: Rarity,
    ends: tuple[bool, bool] = (True, True),
) -> float:
    """Return what speaks against a match: runs of lost events, runs of spurious pulses.

    `span_s` is the time from the first event to the last; `ends` says whether the events given begin with the first
    and end with the last.
    """
    starts, stops = _runs(~matched)
    at_end = ((starts == 0) & ends[0]) | ((stops == len(matched)) & ends[1])
    inside = rare.lost + rare.lost_more * (stops - starts - 1)
    total = float(np.where(at_end, _AT_END + _PER_LENGTH * (stops - starts - 1), inside).sum())
    if len(extra_s):
        steps = np.diff(extra_s, prepend=-np.inf)
        heads = extra_s[np.abs(steps - step_s) > 0.5 * step_s]
        outside = (heads < span_s[0]) | (heads > span_s[1])
        total += float(np.where(outside, _AT_END, rare.extra).sum()) + _PER_LENGTH * len(extra_s)
    return total


def _is_complete(pulses: Floats, found: Hypothesis, pattern: EventPattern) -> bool:
    """Tell whether the train holds the first event and the last, and no pulse in phase beyond them."""
    return min(silent_steps(pulses, found, pattern)) == SILENCE


def silent_steps(pulses: Floats, found: Hypothesis, pattern: EventPattern) -> tuple[int, int]:
    """Return how many steps before the first event, and after the last, hold no pulse in phase, up to SILENCE.

    None, if the first event or the last has no pulse.
    """
    if not (found.matched[0] and found.matched[-1]):
        return 0, 0
    step = pattern.step_s * found.clock.rate
    reach = (SILENCE + 0.5) * step
    first, last = found.predicted_s[0], found.predicted_s[-1]
    before = first - pulses[slice(*np.searchsorted(pulses, [first - reach, first - found.window_s]))]
    after = pulses[slice(*np.searchsorted(pulses, [last + found.window_s, last + reach], side="right"))] - last
    silent = []
    for beyond in (before, after):
        slot = np.maximum(1, np.rint(beyond / step))
        in_phase = slot[np.abs(beyond - slot * step) <= found.window_s]
        silent.append(int(in_phase.min()) - 1 if len(in_phase) else SILENCE)
    return silent[0], silent[1]


def _for_count(rare: Rarity, by: int) -> float:
    """Return what speaks for a train of the right count against its shift: as many would be lost as are spurious."""
    lost = rare.lost + rare.lost_more * (by - 1)
    return float(np.clip(lost + rare.extra_at_end - 2 * _AT_END, 0, _COMPLETE))


def full_cost(pulses: Floats, found: Hypothesis, pattern: EventPattern, rare: Rarity, trust_count: bool) -> float:
    """Return the cost of a whole hypothesis."""
    extra = np.ones(len(pulses), bool)
    extra[found.pulse[found.matched]] = False
    span = (float(found.predicted_s[0]), float(found.predicted_s[-1]))
    total = cost(found.matched, pulses[extra], span, pattern.step_s, rare)
    if trust_count and _is_complete(pulses, found, pattern):
        total -= _for_count(rare, 1)
    return total


def log_odds_against(
    events: Floats,
    pulses: Floats,
    pattern: EventPattern,
    best: Hypothesis,
    others: list[Hypothesis],
    rare: Rarity,
    allowed_s: tuple[float, float],
    trust_count: bool,
) -> tuple[float, int]:
    """Return the log of the odds that another match is the right one, and the shift of the likeliest.

    Others are the hypotheses given and all shifts of the best by a few steps, whose first event lies in `allowed_s`.
    """
    own = full_cost(pulses, best, pattern, rare, trust_count)
    against: list[float] = []
    shifts: list[int] = []
    step = pattern.step_s * best.clock.rate
    for other in others:
        ahead = float(other.predicted_s[0] - best.predicted_s[0])
        if allowed_s[0] <= other.predicted_s[0] <= allowed_s[1] and abs(ahead) > 0.5 * step:
            against.append(own - full_cost(pulses, other, pattern, rare, trust_count) - worse_fit(best, other))
            shifts.append(round(ahead / step))
    zones = _zones(events, pattern)
    silent = silent_steps(pulses, best, pattern) if trust_count else (0, 0)
    here = _zone_cost(pulses, best, pattern, rare, zones, 0.0)
    for k in [k for k in range(-SILENCE, SILENCE + 1) if k]:
        if allowed_s[0] <= best.predicted_s[0] + k * step <= allowed_s[1]:
            there = _zone_cost(pulses, best, pattern, rare, zones, k * step)
            for_count = _for_count(rare, abs(k)) if abs(k) <= silent[int(k > 0)] else 0.0
            worse = _worse(here[1], there[1], here[2], there[2], _CHANCE_OF_SAME)
            against.append(here[0] - for_count - there[0] - worse)
            shifts.append(k)
    if not against:
        return -np.inf, 0
    return float(np.logaddexp.reduce(against)), shifts[int(np.argmax(against))]


def _worse(sigma_s: float, other_sigma_s: float, n: int, other_n: int, by_chance: float) -> float:
    """Return what speaks against another match for the spread of its residuals, if that is clearly larger.

    The logarithm of two variances differs by `by_chance` over the square root of their number, and it says nothing.
    Residuals of neighbours are not independent of each other: each counts a quarter.
    """
    n = min(n, other_n)
    if n < _ENOUGH_RESIDUALS:
        return 0.0
    larger = 2 * float(np.log(max(other_sigma_s, 1e-6) / max(sigma_s, 1e-6)))
    return n / 8 * max(0.0, larger - by_chance / np.sqrt(n))


def worse_fit(best: Hypothesis, other: Hypothesis) -> float:
    """Return what speaks against another hypothesis for the spread of its residuals."""
    n, other_n = int(best.matched.sum()), int(other.matched.sum())
    return _worse(best.sigma_s, other.sigma_s, n, other_n, _CHANCE_OF_OTHERS)


def _zones(events: Floats, pattern: EventPattern) -> list[tuple[int, int]]:
    """Return the ranges of events that tell a shift of a few steps: around the ends, and around unusual steps."""
    n = len(events)
    unusual = pattern.unusual
    if len(unusual) > _MOST_EDGES:
        unusual = unusual[np.linspace(0, len(unusual) - 1, _MOST_EDGES).astype(int)]
    if pattern.is_uneven:
        unusual = np.union1d(unusual, np.linspace(0, n - 1, _UNEVEN_ZONES + 2).astype(int)[1:-1])
    ranges: list[tuple[int, int]] = []
    for edge in [0, *unusual.tolist(), n - 1]:
        low, high = max(0, edge - _ZONE), min(n, edge + _ZONE + 1)
        if ranges and low <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges


def _zone_cost(
    pulses: Floats,
    best: Hypothesis,
    pattern: EventPattern,
    rare: Rarity,
    zones: list[tuple[int, int]],
    ahead_s: float,
) -> tuple[float, float, int]:
    """Return cost, spread of residuals and number of matches of the best hypothesis, shifted, in its zones.

    The pulses looked at are the same for all shifts, so that what they lack elsewhere does not count.
    """
    total, lates = 0.0, []
    n, step = len(best.predicted_s), pattern.step_s
    span = (float(best.predicted_s[0]) + ahead_s, float(best.predicted_s[-1]) + ahead_s)
    window_s = max(best.window_s, _LEAST_WINDOW * step)
    for low, high in zones:
        predicted = best.predicted_s[low:high]
        start = predicted[0] - 3 * SILENCE * step if low == 0 else predicted[SILENCE + 4] - step / 2
        stop = predicted[-1] + 3 * SILENCE * step if high == n else predicted[-SILENCE - 4] - step / 2
        shifted = predicted + ahead_s
        shifted = shifted[(shifted >= start) & (shifted < stop)]
        near = pulses[slice(*np.searchsorted(pulses, [start, stop]))]
        matched, extra = np.zeros(len(shifted), bool), np.ones(len(near), bool)
        if len(near) >= 2 and len(shifted):
            pulse, late = nearest_pulses(near, shifted, window_s)
            matched = pulse >= 0
            extra[pulse[matched]] = False
            lates.append(_without_line(shifted[matched], late[matched]))
        total += cost(matched, near[extra], span, step, rare, (low == 0, high == n))
    joined = np.concatenate(lates) if lates else np.empty(0)
    return total, float(np.std(joined)) if len(joined) > 1 else np.inf, len(joined)


def _without_line(times_s: Floats, late_s: Floats) -> Floats:
    """Return residuals without the straight line through them: a clock may wander, whatever it is put to."""
    if len(times_s) < 3:
        return np.zeros(len(times_s))
    elapsed = times_s - times_s.mean()
    return late_s - late_s.mean() - float((elapsed * late_s).sum() / (elapsed**2).sum()) * elapsed
