"""Rates, gaps and missing times."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.time_axis import clock_offsets, fill_missing, find_gaps, regular_rate, typical_rate


@given(st.floats(0.01, 1e4), st.floats(0, 1e4), st.integers(2, 500))
def test_regular_times_as_printed_give_a_rate_that_predicts_them(rate_hz, start_s, n):
    times = np.array([float(f"{start_s + k / rate_hz:.9f}") for k in range(n)])
    found = regular_rate(times)
    assert np.abs(times[0] + np.arange(n) / found - times).max() <= 1.01e-6
    assert found == pytest.approx(rate_hz, rel=2e-5)


@given(st.integers(3, 300), st.data())
def test_one_displaced_time_is_irregular(n, data):
    times = np.arange(n) / 30
    times[data.draw(st.integers(1, n - 2))] += 5e-6
    assert regular_rate(times) is None


def test_drift_that_no_step_shows_is_irregular():
    """Every step is within a microsecond of the first; the sum is not."""
    steps = np.full(10_000, 0.01)
    steps[5000:] += 1e-7
    assert regular_rate(np.concatenate([[0], np.cumsum(steps)])) is None


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0], [1.0, 0.5], [0.0, 0.1, 0.1]])
def test_no_rate(times):
    assert regular_rate(np.array(times)) is None


def test_typical_rate_is_that_of_the_median_step():
    assert typical_rate(np.array([0.0, 0.1, 0.2, 5.0, 5.1])) == pytest.approx(10)
    assert typical_rate(np.array([1.0])) is None
    assert typical_rate(np.array([1.0, 1.0, 1.0])) is None
    assert typical_rate(np.array([3.0, 2.0, 1.0])) is None


def test_gaps():
    assert find_gaps(np.array([0.0, 1.0, 2.0, 5.0, 6.0, 8.0])) == [(2, 2.0, 3.0), (4, 6.0, 2.0)]
    assert find_gaps(np.array([0.0, 9.0])) == []
    assert find_gaps(np.arange(100) / 7) == []
    assert find_gaps(np.array([0.0, 1.0, 2.0, 5.0]), longer_than=4) == []


def test_missing_times_lie_on_the_line_between_their_neighbours():
    nan = np.nan
    assert fill_missing(np.array([0.0, nan, nan, 0.9]), np.array([1, 2, 3, 10])) == pytest.approx([0, 0.1, 0.2, 0.9])


def test_missing_times_at_the_ends_go_on_at_the_same_pace():
    nan = np.nan
    times = np.array([nan, nan, 0.2, 0.3, 0.4, nan, nan])
    assert fill_missing(times, np.array([1, 2, 3, 4, 5, 6, 9])) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8])
    assert np.isnan(times).sum() == 4


def test_channels_of_a_frame_share_a_filled_time():
    nan = np.nan
    times = np.array([0.0, 0.0, nan, 0.1, nan, nan])
    assert fill_missing(times, np.array([1, 1, 2, 2, 3, 3])) == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2])


def test_whole_times_are_returned_as_they_are():
    times = np.arange(3.0)
    assert fill_missing(times, np.arange(3)) is times


def test_one_time_is_too_few_to_fill_others():
    with pytest.raises(TimeAxisError, match="only 1 of 3"):
        fill_missing(np.array([0.0, np.nan, np.nan]), np.arange(3))


def test_offsets_of_clocks():
    noon = datetime(2025, 1, 1, 12)
    later = [noon, datetime(2025, 1, 1, 12, 0, 2, 500_000), datetime(2025, 1, 2, 12)]
    assert clock_offsets(later).tolist() == [0.0, 2.5, 86_400.0]
    assert clock_offsets([None]).tolist() == [0.0]
    assert clock_offsets([noon, None]).tolist() == [0.0, 0.0]
