"""Pulses to events: the right match or none."""

import numpy as np
import pytest
from numpy.typing import NDArray
from trains import SHAPES, Train, fire, random_train, regular_events

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis import PulseAlignment, match_pulses


def check(train: Train, found: PulseAlignment) -> None:
    """Every event lies where it does in truth, and the report says what was done to the train."""
    assert np.abs(found.event_times_s - train.true_s).max() <= 3 * train.jitter_s + 1e-6
    report = found.report
    assert report.n_matched + len(report.lost_events) == report.n_events == len(train.events_s)
    assert report.n_matched + len(report.extra_pulses) == report.n_pulses == len(train.pulses_s)
    matched = found.pulse_of_event >= 0
    assert (np.flatnonzero(~matched) == report.lost_events).all()
    assert (np.diff(found.pulse_of_event[matched]) > 0).all()


def check_indices(train: Train, found: PulseAlignment) -> None:
    """Pulse by pulse, the match is the truth."""
    owner = np.full(len(train.pulses_s), -1)
    owner[found.pulse_of_event[found.pulse_of_event >= 0]] = np.flatnonzero(found.pulse_of_event >= 0)
    np.testing.assert_array_equal(owner, train.event_of_pulse)
    np.testing.assert_array_equal(found.report.extra_pulses, np.flatnonzero(train.event_of_pulse < 0))


@pytest.mark.parametrize("part", range(3))
def test_random_trains_are_matched_rightly_or_refused(part: int) -> None:
    """100 of each third: drift, jitter, losses, extras, cuts and run-ons as they come; see bench_alignment for more."""
    accepted = 0
    for seed in range(100 * part, 100 * part + 100):
        train = random_train(np.random.default_rng(seed), 300)
        try:
            found = match_pulses(train.events_s, train.pulses_s)
        except TimeAxisError:
            continue
        accepted += 1
        check(train, found)
    assert accepted >= 35  # of trains drawn half from what no data can decide


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rate_hz", [30.0, 500.0])
@pytest.mark.parametrize("drift_ppm", [-50.0, 0.0, 50.0])
def test_whole_trains_are_never_refused(shape: str, rate_hz: float, drift_ppm: float) -> None:
    rng = np.random.default_rng(7)
    train = fire(rng, SHAPES[shape](rng, 900, rate_hz), drift_ppm=drift_ppm, jitter_s=20e-6)
    found = match_pulses(train.events_s, train.pulses_s)
    check(train, found)
    check_indices(train, found)
    assert found.report.drift_ppm == pytest.approx(drift_ppm, abs=3)
    assert found.report.jitter_us == pytest.approx(20, rel=0.15)


@pytest.mark.parametrize("bursts", [False, True])
@pytest.mark.parametrize("shape", ["gaps", "uneven"])
def test_what_is_lost_and_extra_is_named(shape: str, bursts: bool) -> None:
    rng = np.random.default_rng(13)
    train = fire(
        rng,
        SHAPES[shape](rng, 1200, 30.0),
        drift_ppm=-50.0,
        jitter_s=20e-6,
        lost=0.05,
        bursts=bursts,
        extra_before=4,
        extra_after=3,
        glitches=5,
        cut_start=30,
        cut_end=50,
    )
    found = match_pulses(train.events_s, train.pulses_s)
    check(train, found)
    check_indices(train, found)
    assert found.report.identified_by == "spacing"
    lost = np.setdiff1d(np.arange(1200), train.event_of_pulse)
    assert (found.report.lost_events == lost).all()
    assert (found.report.n_extra_before >= 4, found.report.n_extra_after >= 3) == (True, True)


@pytest.mark.parametrize("what", [{"cut_start": 1}, {"cut_end": 1}, {"run_on_before": 1}, {"run_on_after": 5}])
def test_one_pulse_more_or_less_at_an_end_is_refused(what: dict[str, int]) -> None:
    """Nothing in a regular train says at which end; an off-by-one would go unseen."""
    rng = np.random.default_rng(1)
    train = fire(rng, regular_events(rng, 500, 30.0), jitter_s=20e-6, **what)
    with pytest.raises(TimeAxisError, match="first_pulse"):
        match_pulses(train.events_s, train.pulses_s)
    first = int(np.flatnonzero(train.event_of_pulse >= 0)[0])
    event = int(train.event_of_pulse[first])
    if event == 0:
        check(train, match_pulses(train.events_s, train.pulses_s, first_pulse=first))
    else:
        check(train, match_pulses(train.events_s, train.pulses_s, last_pulse=-1))
    found = match_pulses(train.events_s, train.pulses_s, start_near_s=train.true_s[0] + 0.01)
    check(train, found)
    assert found.report.identified_by == "anchor"


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_stray_pulse_in_phase_beyond_an_end(side: str) -> None:
    """Just beyond it may be the first event's or the last's; ten steps away it is no reason to doubt the count."""
    frames = np.arange(1000) / 30
    for steps, is_refused in ((1, True), (10, False), (31, False)):
        stray = -steps / 30 if side == "before" else frames[-1] + steps / 30
        pulses = np.sort(np.append(frames, stray)) + np.random.default_rng(0).normal(0, 20e-6, 1001)
        if is_refused:
            with pytest.raises(TimeAxisError, match="goes on in phase"):
                match_pulses(frames, pulses)
        else:
            found = match_pulses(frames, pulses)
            assert (found.pulse_of_event == np.arange(1000) + (side == "before")).all()
            assert (found.report.n_extra_before, found.report.n_extra_after) == (side == "before", side == "after")
            assert found.report.identified_by == "count"


def test_counts_are_not_taken_for_evidence_if_they_shall_not() -> None:
    frames = np.arange(500) / 30
    assert match_pulses(frames, frames + 5).report.identified_by == "count"
    with pytest.raises(TimeAxisError, match="first_pulse"):
        match_pulses(frames, frames + 5, trust_count=False)


def test_start_time_decides_within_a_train_that_runs_for_long() -> None:
    frames, pulses = np.arange(300) / 30, 50 + np.arange(5000) / 30 * (1 + 30e-6)
    with pytest.raises(TimeAxisError, match="goes on in phase"):
        match_pulses(frames, pulses)
    found = match_pulses(frames, pulses, start_near_s=pulses[1234] - 0.012)
    assert (found.pulse_of_event == np.arange(1234, 1534)).all()
    assert match_pulses(frames, pulses, first_pulse=77).pulse_of_event[0] == 77
    assert match_pulses(frames, pulses, last_pulse=-3).pulse_of_event[-1] == 4997


@pytest.mark.parametrize(
    ("pulses", "words"),
    [
        (np.arange(0, 500, 3) / 30, "fires_per"),  # one for each volume of three frames
        (np.arange(1000) / 60, "fires_per"),
        (np.arange(500) / 31, "fires_per"),
        (np.arange(500) / 30 * 1.0005, "max_drift_ppm"),
        (np.sort(np.random.default_rng(0).uniform(0, 17, 500)), "cannot belong"),
        (np.arange(100) / 30, "cannot belong"),
    ],
)
def test_trains_of_something_else_are_refused(pulses: NDArray[np.float64], words: str) -> None:
    with pytest.raises(TimeAxisError, match=words):
        match_pulses(np.arange(500) / 30, pulses + 12)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_train_that_holds_the_recording_twice_is_refused(shape: str) -> None:
    """Residuals of two matches differ by chance: that tells nothing."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        events = SHAPES[shape](rng, 400, 30.0)
        twice = np.concatenate([events, events[-1] + 7.77 + events]) + rng.normal(0, 2e-4, 800)
        with pytest.raises(TimeAxisError, match="shifted by"):
            match_pulses(events, twice)
        found = match_pulses(events, twice, start_near_s=float(events[-1] + 7.77 + events[0] + 0.01))
        assert (found.pulse_of_event == np.arange(400, 800)).all()


def test_long_uneven_trains_are_looked_up_by_their_steps() -> None:
    """Too long to try every pulse; the train begins before the recording, ends too early, and has lost pulses."""
    rng = np.random.default_rng(5)
    train = fire(
        rng,
        SHAPES["uneven"](rng, 60_000, 30.0),
        drift_ppm=50.0,
        jitter_s=20e-6,
        lost=0.05,
        extra_before=9,
        glitches=10,
        run_on_before=300,
        cut_end=9000,
    )
    found = match_pulses(train.events_s, train.pulses_s)
    check(train, found)
    check_indices(train, found)


def test_a_wandering_clock_is_followed() -> None:
    frames = np.arange(20_000) / 30
    true = 40 + frames + 2e-3 * np.sin(frames / 120)
    pulses = np.delete(true, np.arange(5000, 5030))
    found = match_pulses(frames, pulses)
    assert np.abs(found.event_times_s - true).max() < 2e-4
    assert (found.report.lost_events == np.arange(5000, 5030)).all()


def test_fitted_times_have_less_jitter_than_pulses() -> None:
    rng = np.random.default_rng(2)
    train = fire(rng, regular_events(rng, 2000, 30.0), drift_ppm=50.0, jitter_s=200e-6)
    own, fitted = (match_pulses(train.events_s, train.pulses_s, times=times) for times in ("pulses", "fit"))
    assert np.abs(fitted.event_times_s - train.true_s).max() < 30e-6
    believed = np.setdiff1d(np.arange(2000), own.report.displaced_events)
    assert (own.event_times_s[believed] == train.pulses_s[own.pulse_of_event[believed]]).all()


@pytest.mark.parametrize(
    ("events", "pulses"),
    [
        ([0.0, 1.0], [0.0]),
        ([0.0], [0.0, 1.0]),
        ([0.0, 1.0, 1.0], [0.0, 1.0, 2.0]),
        ([0.0, 1.0, 2.0], [0.0, np.nan, 2.0]),
        ([0.0, 1.0, 2.0], [0.0, 2.0, 1.0]),
        ([0.0, 1.0, 2.0], [[0.0, 1.0, 2.0]]),
        ([0.0, 1.0, 2.0], ["a", "b", "c"]),
        ([0.0, 1.0, 2.0], []),
        ([0.0, np.inf, 2.0], [0.0, 1.0, 2.0]),
    ],
)
def test_what_is_no_train_is_refused(events: object, pulses: object) -> None:
    with pytest.raises(TimeAxisError, match=r"event_times_s|pulse_times_s"):
        match_pulses(events, pulses)


@pytest.mark.parametrize("options", [{"first_pulse": 500}, {"last_pulse": -501}])
def test_anchors_that_are_not_there(options: dict[str, int]) -> None:
    with pytest.raises(TimeAxisError, match="the train has 500 pulses"):
        match_pulses(np.arange(500) / 30, np.arange(500) / 30, **options)
    with pytest.raises(TimeAxisError, match="contradicts"):
        match_pulses(np.arange(500) / 30, np.arange(500) / 30, first_pulse=3, start_near_s=5.0)


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_short_trains(n: int) -> None:
    frames = np.arange(n) / 30
    try:
        found = match_pulses(frames, frames + 7)
    except TimeAxisError:
        return
    assert (found.pulse_of_event == np.arange(n)).all()


def test_times_between_events() -> None:
    frames = np.arange(200) / 10
    found = match_pulses(frames, frames * 1.0001 + 3)
    assert found.at([5.05, -0.1, 19.95], [50, -1, 200]) == pytest.approx([8.050505, 2.89999, 22.951995], abs=1e-6)
