"""When no match is given, and what is said then."""

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis.evidence import Hypothesis
from scanimage_nwb.time_axis.matching import OFF_GRID, EventPattern

__all__ = ["ambiguous", "cannot_belong", "check_drift", "why_not"]

_LEAST_PRESENT = 0.7
_MOST_SPURIOUS = 0.5
_LEAST_MATCHED = 0.25


def why_not(pulses: NDArray[np.float64], found: Hypothesis, pattern: EventPattern) -> str | None:
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


def check_drift(events: NDArray[np.float64], best: Hypothesis, max_drift_ppm: float) -> None:
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


def cannot_belong(pulses: NDArray[np.float64], tried: list[Hypothesis], pattern: EventPattern, max_drift: float) -> str:
    """Say why no match is sound, and what may be the reason."""
    every = float(np.median(np.diff(pulses)))
    ratio = every / pattern.step_s
    reasons = [reason for one in tried if (reason := why_not(pulses, one, pattern))]
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


def ambiguous(pulses: NDArray[np.float64], best: Hypothesis, pattern: EventPattern, shift: int, odds: float) -> str:
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
