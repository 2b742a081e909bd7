"""Which offsets between recording and pulses are worth a look: by the ends of a grid, by gaps, by an anchor."""

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.time_axis.matching import (
    Clock,
    EventPattern,
    PulseGrid,
    fraction_matched,
    robust_sigma,
    track_clock,
    track_grid,
)

__all__ = ["find_candidates"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_ENDS = 500
_MOST_PAIRS = 50_000
_MOST_TRACKED = 12
_LANDMARKS = 8
_MOST_LOST_AT_GAP = 6
_NEAR = 20
_FAR = 64
_PARTS = 5
_ALL_TRIED = 20_000
"""In trains of no more pulses than this, each is tried; of longer ones those between steps that look alike."""
_WIDTHS = (16, 128)
"""Steps that are compared to find them: few, where many pulses are lost; many, where jitter is large."""
_MOST_ALIKE = 2000
_LEAST_FRACTION = 0.7
_SAME = 0.02


def find_candidates(events: Floats, pulses: Floats, pattern: EventPattern, max_drift: float, most: int) -> list[Clock]:
    """Return clocks that bring the events to the pulses, those that look best first."""
    found: list[Clock] = []
    if pattern.slot is not None:
        grid = track_grid(pulses, pattern.step_s, max_drift)
        if grid is not None:
            found += _by_ends(events, pattern, grid, most)
    is_long = len(events) > _ALL_TRIED
    if pattern.slot is None and pattern.is_uneven:
        found += _by_unevenness(events, pulses, pattern, max_drift)[:most]
    if len(pattern.unusual) and not (is_long and found):
        found += _by_gaps(events, pulses, pattern, max_drift)[:most]
    return _that_match_many(events, pulses, pattern, found) if is_long else found


def _that_match_many(events: Floats, pulses: Floats, pattern: EventPattern, clocks: list[Clock]) -> list[Clock]:
    """Return the clocks that bring about as many events to pulses as the best of them."""
    matched = [fraction_matched(events, pulses, clock, 0.25 * pattern.smallest_step_s) for clock in clocks]
    return [clock for clock, one in zip(clocks, matched, strict=True) if one >= _LEAST_FRACTION * max(matched)]


def _by_ends(events: Floats, pattern: EventPattern, grid: PulseGrid, most: int) -> list[Clock]:
    """Return the clocks whose first or last event falls on an end of the train, or of a part of it."""
    assert pattern.slot is not None
    used, n_slots = grid.slot, int(pattern.slot[-1]) + 1
    new_run = np.diff(used, prepend=used[0]) != 1
    new_run[0] = True
    at_ends = np.r_[0 : min(_MOST_ENDS, len(used)), max(0, len(used) - _MOST_ENDS) : len(used)]
    runs = np.flatnonzero(new_run)[: 4 * _MOST_ENDS]
    heads = used[np.concatenate([at_ends, runs])]
    tails = used[np.concatenate([at_ends, np.maximum(runs - 1, 0)])]
    shift = np.unique(np.concatenate([heads, tails - n_slots + 1]))
    order = np.argsort(_grid_cost(used, new_run, shift, n_slots), kind="stable")[:most]
    rate = grid.step_s / pattern.step_s
    origin = float(events[0])
    return [Clock(origin, grid.at_zero_s + float(k) * grid.step_s, rate) for k in shift[order]]


def _grid_cost(used: Ints, new_run: NDArray[np.bool_], shift: Ints, n_slots: int) -> Floats:
    """Return what speaks against each shift: runs of lost pulses, runs of pulses too many, and their lengths."""
    first, behind = np.searchsorted(used, shift), np.searchsorted(used, shift + n_slots)
    runs = np.concatenate([[0], np.cumsum(new_run)])
    n_matched = behind - first
    last = np.maximum(behind - 1, 0)
    head, tail = used[np.minimum(first, len(used) - 1)] - shift, shift + n_slots - 1 - used[last]
    runs_inside = np.maximum(runs[behind] - runs[np.minimum(first + 1, len(used))], 0)
    runs_outside = runs[first] + (behind < len(used)) * (1 + runs[-1] - runs[np.minimum(behind + 1, len(used))])
    n_lost, n_extra = n_slots - n_matched, len(used) - n_matched
    cost = 3.0 * (runs_inside + runs_outside + (head > 0) + (tail > 0)) + 0.1 * (n_lost + n_extra)
    return np.where(n_matched > 0, cost, np.inf)


def _by_gaps(events: Floats, pulses: Floats, pattern: EventPattern, max_drift: float) -> list[Clock]:
    """Return the clocks that bring an unusual step of the recording to one of the same length in the train."""
    pairs = _gap_pairs(events, pulses, pattern, max_drift)
    window_s = 0.35 * pattern.smallest_step_s
    score = _scores(events, pulses, pairs, window_s)
    tracked: list[tuple[float, Clock]] = []
    middle = events[len(events) // 2 : len(events) // 2 + 1]
    for best in np.argsort(-score, kind="stable")[: 4 * _MOST_TRACKED] if len(score) else ():
        seed = (int(pairs[best, 0]), int(pairs[best, 1]))
        guess = Clock(float(events[seed[0]]), float(pulses[seed[1]]), 1.0)
        slack_s = 0.5 * pattern.smallest_step_s + max_drift * abs(float(middle[0]) - guess.origin_s)
        if any(abs(float(guess(middle)[0] - clock(middle)[0])) < slack_s for _, clock in tracked):
            continue
        clock, fraction = track_clock(events, pulses, seed, 0.5 * pattern.smallest_step_s, max_drift)
        tracked.append((fraction, clock))
        if len(tracked) == _MOST_TRACKED:
            break
    tracked.sort(key=lambda one: -one[0])
    return [clock for _, clock in tracked]


def _by_unevenness(events: Floats, pulses: Floats, pattern: EventPattern, max_drift: float) -> list[Clock]:
    """Return the clocks under which the small differences of steps in parts of the recording fit best."""
    tracked: list[tuple[float, Clock]] = []
    for event in np.unique(np.linspace(0, len(events) - 1, _PARTS + 2).astype(int)[1:-1]).tolist():
        near = events[max(0, event - _FAR) : event + _FAR + 1] - events[event]
        some = _between_alike_steps(events, pulses, event, pattern)
        predicted = pulses[some, None] + near
        after = np.clip(np.searchsorted(pulses, predicted), 1, len(pulses) - 1)
        late, early = pulses[after] - predicted, predicted - pulses[after - 1]
        residual = np.where(late < early, late, -early)
        residual -= np.median(residual, axis=1, keepdims=True)
        scatter = np.median(np.abs(residual), axis=1)
        for pulse in some[np.argsort(scatter, kind="stable")[: 1 if len(events) > _ALL_TRIED else 2]].tolist():
            clock, fraction = track_clock(events, pulses, (event, pulse), 0.5 * pattern.smallest_step_s, max_drift)
            if len(events) > _ALL_TRIED and any(_agree(clock, other, events, pattern) for _, other in tracked):
                return [clock]  # two parts far from each other say the same
            tracked.append((fraction, clock))
    tracked.sort(key=lambda one: -one[0])
    return [clock for _, clock in tracked]


def _agree(clock: Clock, other: Clock, events: Floats, pattern: EventPattern) -> bool:
    """Tell whether two clocks say the same of the first event and the last."""
    ends = events[[0, -1]]
    return bool((np.abs(clock(ends) - other(ends)) < _SAME * pattern.step_s).all())


def _between_alike_steps(events: Floats, pulses: Floats, event: int, pattern: EventPattern) -> Ints:
    """Return the pulses between steps like those around an event; steps over lost pulses count as far off, no more."""
    if len(pulses) <= _ALL_TRIED:
        return np.arange(len(pulses))
    most = 4 * robust_sigma(np.diff(events))
    of_events = np.clip(np.diff(events) - pattern.step_s, -most, most)
    of_pulses = np.clip(np.diff(pulses) - pattern.step_s, -most, most)
    squares = np.concatenate([[0.0], np.cumsum(of_pulses**2)])
    found: list[Ints] = []
    for width in _WIDTHS:
        wanted = of_events[max(0, event - width // 2) : event + width // 2]
        unlike = squares[len(wanted) :] - squares[: -len(wanted)] - 2 * np.correlate(of_pulses, wanted, "valid")
        best = np.argpartition(unlike, min(_MOST_ALIKE, len(unlike) - 1))[:_MOST_ALIKE]
        found.append(best + min(event, width // 2))
    return np.unique(np.concatenate(found))


def _gap_pairs(events: Floats, pulses: Floats, pattern: EventPattern, max_drift: float) -> Ints:
    """Return (event, pulse) on one side of steps of the same length; pulses beside a gap may be lost."""
    steps = np.diff(events)
    unusual = pattern.unusual
    largest = unusual[np.argsort(-np.abs(steps[unusual] - pattern.step_s), kind="stable")[: _LANDMARKS // 2]]
    spread = unusual[np.linspace(0, len(unusual) - 1, _LANDMARKS // 2).astype(int)]
    pairs: list[Ints] = []
    landmarks = np.unique(np.concatenate([largest, spread]))
    for apart in (1, 2, 3):
        spans = pulses[apart:] - pulses[:-apart]
        long = np.flatnonzero(spans > steps[landmarks].min() - 0.4 * pattern.smallest_step_s - max_drift * steps.max())
        for event in landmarks.tolist():
            tolerance_s = 0.35 * pattern.smallest_step_s + max_drift * steps[event]
            beyond = spans[long] - steps[event]
            lost = np.rint(beyond / pattern.step_s)
            fits = np.abs(beyond - lost * pattern.step_s) <= tolerance_s
            fits &= (lost >= 0) & (lost <= (_MOST_LOST_AT_GAP if apart == 1 else 0))
            at, lost = long[fits], lost[fits]
            for before in range(_MOST_LOST_AT_GAP + 1):
                some = at[lost >= before]
                if event - before >= 0 and len(some):
                    pairs.append(np.stack([np.full(len(some), event - before), some], axis=1))
    return np.concatenate(pairs)[:_MOST_PAIRS] if pairs else np.empty((0, 2), np.int64)


def _scores(events: Floats, pulses: Floats, pairs: Ints, window_s: float) -> Floats:
    """Return for each pair how many events near it find a pulse, less the pulses among them that find none."""
    scores = np.empty(len(pairs))
    for event in np.unique(pairs[:, 0]).tolist():
        own = np.flatnonzero(pairs[:, 0] == event)
        near = events[max(0, event - _NEAR) : event + _NEAR + 1] - events[event]
        predicted = pulses[pairs[own, 1]][:, None] + near
        after = np.clip(np.searchsorted(pulses, predicted), 1, len(pulses) - 1)
        off = np.minimum(np.abs(pulses[after] - predicted), np.abs(predicted - pulses[after - 1]))
        matched = (off <= window_s).sum(axis=1)
        there = np.searchsorted(pulses, predicted[:, -1] + window_s) - np.searchsorted(
            pulses, predicted[:, 0] - window_s
        )
        scores[own] = matched - 0.5 * (there - matched)
    return scores
