"""Random recordings and pulse trains of known truth: everything that happens to sync pulses on real rigs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRIFTS_PPM = (-50.0, 0.0, 50.0)
JITTERS_S = (0.0, 20e-6, 200e-6)
LOST = (0.0, 0.001, 0.05)
RATES_HZ = (30.0, 61.457149, 120.0, 240.0, 500.0)

_MANY = 1000
"""Pulses that are drawn at once to be lost, in place of one after the other."""


@dataclass(frozen=True)
class Train:
    """A recording, the pulses that were seen, and what is true."""

    events_s: NDArray[np.float64]
    """When each event began, on the recording's clock, as the file prints it."""
    true_s: NDArray[np.float64]
    """When each event began, on the clock of the pulses."""
    pulses_s: NDArray[np.float64]
    """The pulses seen, in order."""
    event_of_pulse: NDArray[np.int64]
    """Event that fired each pulse, -1 for a spurious one."""
    jitter_s: float
    """Spread of pulses about the truth; none is further off than three times this."""
    condition: dict[str, object]
    """What was done to the train."""


def regular_events(rng: np.random.Generator, n: int, rate_hz: float) -> NDArray[np.float64]:
    """Return frames one after the other."""
    return 0.4 + np.arange(n) / rate_hz


def events_with_gaps(rng: np.random.Generator, n: int, rate_hz: float) -> NDArray[np.float64]:
    """Return several acquisitions, with pauses of any length between them."""
    n_gaps = int(rng.integers(1, 5))
    at = np.sort(rng.choice(np.arange(20, n - 20), n_gaps, replace=False))
    steps = np.full(n, 1 / rate_hz)
    steps[0] = 0.4
    steps[at] += rng.uniform(0.6, 60, n_gaps) / rate_hz
    return np.cumsum(steps)


def uneven_events(rng: np.random.Generator, n: int, rate_hz: float) -> NDArray[np.float64]:
    """Return frames whose steps vary by a few per cent, as those of a stage or a slow scanner."""
    return 0.4 + np.cumsum((1 + rng.normal(0, 0.03, n)) / rate_hz)


SHAPES = {"regular": regular_events, "gaps": events_with_gaps, "uneven": uneven_events}


def fire(
    rng: np.random.Generator,
    events_s: NDArray[np.float64],
    *,
    drift_ppm: float = 0.0,
    jitter_s: float = 0.0,
    lost: float = 0.0,
    bursts: bool = False,
    extra_before: int = 0,
    extra_after: int = 0,
    glitches: int = 0,
    run_on_before: int = 0,
    run_on_after: int = 0,
    cut_start: int = 0,
    cut_end: int = 0,
    condition: dict[str, object] | None = None,
) -> Train:
    """Fire a pulse for each event, and let happen to the train what is asked for."""
    n, step = len(events_s), float(np.median(np.diff(events_s)))
    offset = rng.uniform(-1000, 1000)
    rate = 1 + drift_ppm * 1e-6

    def seen(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        noise = np.clip(rng.normal(0, jitter_s, len(times_s)), -3 * jitter_s, 3 * jitter_s) if jitter_s else 0.0
        return offset + times_s * rate + noise

    kept = np.ones(n, bool)
    n_lost = round(lost * n) if lost * n >= 1 else int(rng.random() < lost * n)
    if not bursts and n_lost > _MANY:
        kept[rng.choice(n, n_lost, replace=False)] = False
    while (~kept).sum() < n_lost:
        length = int(rng.integers(2, 40)) if bursts else 1
        at = int(rng.integers(0, n))
        kept[at : at + min(length, n_lost - int((~kept).sum()))] = False
    kept[:cut_start] = False
    kept[n - cut_end :] = False
    first, last = events_s[0], events_s[-1]
    event_pulses = seen(events_s)
    spurious = [
        offset + (first - rng.uniform(0.1 * step, 5, extra_before)) * rate,
        offset + (last + rng.uniform(0.1 * step, 5, extra_after)) * rate,
        offset + rng.uniform(first, last, glitches) * rate,
        seen(first - step * np.arange(1, run_on_before + 1)),
        seen(last + step * np.arange(1, run_on_after + 1)),
    ]
    pulses = np.concatenate([event_pulses[kept], *spurious])
    owner = np.concatenate([np.flatnonzero(kept), np.full(len(pulses) - int(kept.sum()), -1)])
    order = np.argsort(pulses, kind="stable")
    return Train(events_s, offset + events_s * rate, pulses[order], owner[order], jitter_s, condition or {})


def random_train(rng: np.random.Generator, n_events: int | None = None) -> Train:
    """Draw a recording and a train over the whole range of conditions."""
    shape = str(rng.choice(["regular", "regular", "gaps", "uneven"]))
    rate_hz = float(rng.choice(RATES_HZ))
    n = n_events or int(rng.integers(200, 2500))
    events = np.round(SHAPES[shape](rng, n, rate_hz), int(rng.choice([6, 9])))
    drift, jitter, lost = float(rng.choice(DRIFTS_PPM)), float(rng.choice(JITTERS_S)), float(rng.choice(LOST))
    bursts = bool(rng.random() < 0.5)
    extras = np.zeros(3, int)
    if rng.random() < 0.6:
        extras = rng.multinomial(int(rng.integers(1, 21)), rng.dirichlet([1, 1, 1]))
    ends = str(rng.choice(["whole", "whole", "cut", "run on", "cut and run on"]))
    cut_start, cut_end = (rng.integers(0, n // 5, 2) * (rng.random(2) < 0.6)).tolist() if "cut" in ends else (0, 0)
    before, after = (rng.integers(0, 21, 2)).tolist() if "run on" in ends else (0, 0)
    if shape == "regular" and ((cut_start and cut_start == after) or (cut_end and cut_end == before)):
        before = after = 0  # such a train is the very same as a whole one: nothing in it can tell
    if cut_start:
        before = 0
    if cut_end:
        after = 0
    condition = {
        "shape": shape,
        "rate_hz": rate_hz,
        "drift_ppm": drift,
        "jitter_us": round(jitter * 1e6),
        "lost": lost,
        "in": "bursts" if bursts and lost else "singles",
        "extra": "none" if not extras.sum() else "1-20",
        "ends": ends,
    }
    return fire(
        rng,
        events,
        drift_ppm=drift,
        jitter_s=jitter,
        lost=lost,
        bursts=bursts,
        extra_before=int(extras[0]),
        extra_after=int(extras[1]),
        glitches=int(extras[2]),
        run_on_before=before,
        run_on_after=after,
        cut_start=cut_start,
        cut_end=cut_end,
        condition=condition,
    )
