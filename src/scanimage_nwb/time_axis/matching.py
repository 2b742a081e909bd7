"""Steps of the alignment that know nothing of evidence: nearest pulses, clock fits, grids and segments."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Clock",
    "EventPattern",
    "PulseGrid",
    "describe_events",
    "fit_clock",
    "fraction_matched",
    "nearest_pulses",
    "robust_sigma",
    "slow_trend",
    "track_clock",
    "track_grid",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OFF_GRID = 0.15
"""Times further than this fraction of a step from a regular grid are not on it."""
_FIRST_WINDOW = 32
"""Events on either side that a fit begins with: few enough that no clock drifts by a part of a step over them."""
_ENOUGH = 20_000
"""A straight line is fitted to no more points than this."""
TREND_BLOCK = 128
_NO_JITTER_S = 3e-7
_UNEVEN = 2e-3


@dataclass(frozen=True, slots=True)
class Clock:
    """A straight line from the recording's clock to that of the pulses."""

    origin_s: float
    """A time on the recording's clock …"""
    at_origin_s: float
    """… the same on that of the pulses …"""
    rate: float
    """… and seconds of the pulses' clock per second of the recording's."""

    def __call__(self, times_s: Floats) -> Floats:
        """Return times of the recording's clock on that of the pulses."""
        return self.at_origin_s + (times_s - self.origin_s) * self.rate

    def shifted(self, by_s: float) -> "Clock":
        """Return a clock that is ahead of this one by some seconds."""
        return Clock(self.origin_s, self.at_origin_s + by_s, self.rate)


@dataclass(frozen=True, slots=True, eq=False)
class EventPattern:
    """What the times of events look like."""

    step_s: float
    """Step of regular parts: the median."""
    smallest_step_s: float
    """What is short among the steps; pulses closer together than half of it cannot be told apart."""
    unusual: Ints
    """Events followed by a step that is not the usual one."""
    slot: Ints | None
    """Rank of each event on a regular grid; None if they lie on none."""
    is_uneven: bool
    """True if usual steps differ, too."""


@dataclass(frozen=True, slots=True, eq=False)
class PulseGrid:
    """The regular grid that most pulses lie on."""

    at_zero_s: float
    """Time of slot 0."""
    step_s: float
    """Time from slot to slot, on the clock of the pulses."""
    slot: Ints
    """Slots that hold a pulse, each once, in order."""
    n_off: int
    """Pulses on no slot, or second on one."""


def robust_sigma(residual: Floats) -> float:
    """Return the standard deviation of the bulk, from the median of absolute deviations; of many, from every nth."""
    if len(residual) == 0:
        return float("inf")
    residual = residual[:: max(1, len(residual) // (4 * _ENOUGH))]
    return 1.4826 * float(np.median(np.abs(residual - np.median(residual))))


def describe_events(events: Floats) -> EventPattern:
    """Tell regular events, regular ones with gaps, and irregular ones apart."""
    steps = np.diff(events)
    middle = float(np.median(steps))
    step = float(steps[np.abs(steps - middle) <= OFF_GRID * middle].mean())
    ranks = np.rint(steps / step)
    slot: Ints | None = None
    if ranks.min() >= 1:
        slot = np.concatenate([[0], np.cumsum(ranks)]).astype(np.int64)
        off = events - events[0] - slot * step
        if np.ptp(off) > 2 * OFF_GRID * step:
            slot = None
    unusual = np.flatnonzero(np.abs(steps - step) > OFF_GRID * step)
    usual = steps[np.abs(steps - step) <= OFF_GRID * step]
    is_uneven = robust_sigma(usual) > _UNEVEN * step or len(usual) < 0.5 * len(steps)
    return EventPattern(step, min(step, float(np.quantile(steps, 0.1))), unusual, slot, is_uneven)


def nearest_pulses(pulses: Floats, predicted: Floats, window_s: float) -> tuple[Ints, Floats]:
    """Return the pulse of each predicted time, -1 where none is within the window, and how late it came (NaN: none).

    A pulse that two predictions want goes to the nearer one.
    """
    after = np.clip(np.searchsorted(pulses, predicted), 1, len(pulses) - 1)
    chosen = after - (predicted - pulses[after - 1] < pulses[after] - predicted)
    residual = pulses[chosen] - predicted
    near = np.flatnonzero(np.abs(residual) <= window_s)
    if len(near) and (chosen[near[1:]] == chosen[near[:-1]]).any():
        wanted_first = np.flatnonzero(np.diff(chosen[near], prepend=-1))
        far = np.abs(residual[near])
        nearest = np.minimum.reduceat(far, wanted_first)
        near = near[far <= np.repeat(nearest, np.diff(np.append(wanted_first, len(near))))]
        near = near[np.diff(chosen[near], prepend=-1) != 0]
    pulse, late = np.full(len(predicted), -1), np.full(len(predicted), np.nan)
    pulse[near], late[near] = chosen[near], residual[near]
    return pulse, late


def fit_clock(times: Floats, found: Floats, clock: Clock, max_drift: float) -> Clock:
    """Return the straight line through (time, pulse) near a first guess, without points far off it."""
    if len(times) > 4 * _ENOUGH:
        some = np.linspace(0, len(times) - 1, 4 * _ENOUGH).astype(int)
        times, found = times[some], found[some]
    residual = found - clock(times)
    middle = float(np.median(residual))
    kept = np.abs(residual - middle) <= 3 * robust_sigma(residual) + 1e-6
    times, residual = times[kept], residual[kept]
    origin = float(times.mean())
    elapsed = times - origin
    spread = float((elapsed**2).sum())
    slope = float((elapsed * residual).sum() / spread) if spread > 0 else 0.0
    rate = float(np.clip(clock.rate + slope, 1 - max_drift, 1 + max_drift))
    at_origin = clock.at_origin_s + (origin - clock.origin_s) * clock.rate + float(residual.mean())
    return Clock(origin, at_origin, rate)


def track_clock(
    events: Floats, pulses: Floats, seed: tuple[int, int], window_s: float, max_drift: float
) -> tuple[Clock, float]:
    """Follow the clock from one event and its pulse to both ends; return it, and the fraction of events matched.

    The reach of the fit doubles in time, so that it never guesses further ahead than it has seen.
    """
    event, pulse = seed
    clock = Clock(float(events[event]), float(pulses[pulse]), 1.0)
    reach_s = _FIRST_WINDOW * float(np.median(np.diff(events)))
    while True:
        low, high = _within(events, event, reach_s)
        some = events[low : high : max(1, (high - low) // _ENOUGH)]
        for _ in range(2):
            chosen, _late = nearest_pulses(pulses, clock(some), window_s)
            matched = chosen >= 0
            if matched.sum() < 2:
                return clock, 0.0
            clock = fit_clock(some[matched], pulses[chosen[matched]], clock, max_drift)
        if high - low == len(events):
            return clock, float(matched.mean())
        reach_s *= 2


def _within(times: Floats, centre: int, reach_s: float) -> tuple[int, int]:
    """Return the range of times that lie near one of them; it holds the neighbours, however far they are."""
    low, high = np.searchsorted(times, [times[centre] - reach_s, times[centre] + reach_s])
    return max(0, min(int(low), centre - 1)), min(len(times), max(int(high), centre + 2))


def fraction_matched(events: Floats, pulses: Floats, clock: Clock, window_s: float) -> float:
    """Return which part of the events find a pulse, from some of them."""
    some = clock(events[:: max(1, len(events) // _ENOUGH)])
    after = np.clip(np.searchsorted(pulses, some), 1, len(pulses) - 1)
    return float((np.minimum(np.abs(pulses[after] - some), np.abs(some - pulses[after - 1])) <= window_s).mean())


def slow_trend(times: Floats, residual: Floats, wanted: Floats) -> Floats:
    """Return what the residuals of matched pulses have in common over hundreds of them: wander of a clock.

    Zero where it is no more than jitter explains.
    """
    n_blocks = len(times) // TREND_BLOCK
    if n_blocks < 4:
        return np.zeros(len(wanted))
    shape = (n_blocks, TREND_BLOCK)
    used = n_blocks * TREND_BLOCK
    centre = np.median(times[:used].reshape(shape), axis=1)
    level = np.median(residual[:used].reshape(shape), axis=1)
    by_chance = 1.25 * robust_sigma(residual) / np.sqrt(TREND_BLOCK)
    if np.median(np.abs(level)) <= 3 * by_chance + _NO_JITTER_S:
        return np.zeros(len(wanted))
    trend = np.interp(wanted, centre, level)
    for end, (at, other) in ((wanted < centre[0], (0, 1)), (wanted > centre[-1], (-1, -2))):
        slope = (level[other] - level[at]) / (centre[other] - centre[at])
        trend[end] = level[at] + slope * (wanted[end] - centre[at])
    return trend


def track_grid(pulses: Floats, step_s: float, max_drift: float) -> PulseGrid | None:
    """Find the regular grid of a known step that most pulses lie on; None if there is none."""
    anchor = _grid_anchor(pulses, step_s)
    at_zero, step = float(pulses[anchor]), step_s
    reach_s = _FIRST_WINDOW * step_s
    while True:
        low, high = _within(pulses, anchor, reach_s)
        some = pulses[low : high : max(1, (high - low) // _ENOUGH)]
        for _ in range(3):
            slot = np.rint((some - at_zero) / step)
            residual = some - at_zero - slot * step
            kept = np.abs(residual) <= min(0.35 * step, 4 * robust_sigma(residual) + 1e-6)
            centred = slot[kept] - slot[kept].mean()
            spread = float((centred**2).sum())
            slope = float((centred * residual[kept]).sum() / spread) if spread > 0 else 0.0
            at_zero += float(residual[kept].mean() - slope * slot[kept].mean())
            step = float(np.clip(step + slope, step_s * (1 - max_drift), step_s * (1 + max_drift)))
        if high - low == len(pulses):
            break
        reach_s *= 2
    slot = np.rint((pulses - at_zero) / step)
    residual = pulses - at_zero - slot * step
    sigma = robust_sigma(residual)
    if sigma > OFF_GRID * step:
        return None
    on_grid = np.abs(residual) <= min(0.5 * step, max(6 * sigma, 5e-6))
    slots = slot[on_grid].astype(np.int64)  # in order, since pulses are
    slots = slots[np.diff(slots, prepend=slots[:1] - 1) > 0]
    return PulseGrid(at_zero, step, slots, len(pulses) - len(slots)) if len(slots) >= 2 else None


def _grid_anchor(pulses: Floats, step_s: float) -> int:
    """Return a pulse whose neighbours lie on a common grid with it."""
    best, best_score = 0, (-1, 0.0)
    for anchor in np.unique(np.linspace(0, len(pulses) - 1, 34).astype(int)[1:-1]):
        near = pulses[max(0, anchor - _FIRST_WINDOW) : anchor + _FIRST_WINDOW + 1] - pulses[anchor]
        residual = np.abs(near - np.rint(near / step_s) * step_s)
        on_grid = residual < 0.25 * step_s
        score = (int(on_grid.sum()), -float(residual[on_grid].sum()))
        if score > best_score:
            best, best_score = int(anchor), score
    return best
