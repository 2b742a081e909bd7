"""The best match of pulses to events among all that are worth a look, and the odds against it."""

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis.candidates import find_candidates
from scanimage_nwb.time_axis.evidence import (
    SILENCE,
    Hypothesis,
    evaluate,
    full_cost,
    log_odds_against,
    rarity,
    worse_fit,
)
from scanimage_nwb.time_axis.matching import Clock, EventPattern, track_clock
from scanimage_nwb.time_axis.refusals import cannot_belong, why_not

__all__ = ["find_match"]

_WORK = 4_000_000
"""Events that are compared with pulses in all, over the matches that are looked at in full."""
_MOST_CORRECTIONS = 4
_NEAR_START = 64
_STARTS_TRIED = 5


def find_match(
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
    sound = [one for one in tried if why_not(pulses, one, pattern) is None]
    sound = [one for one in sound if allowed[0] <= one.predicted_s[0] <= allowed[1]]
    if not sound:
        raise TimeAxisError(cannot_belong(pulses, tried, pattern, max_drift))
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
