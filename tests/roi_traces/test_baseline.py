"""dF/F and its baselines."""

import numpy as np
import pytest

from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces import df_over_f, rolling_df_over_f, rolling_percentile, storage, subtract_neuropil


def test_fixed_f0() -> None:
    traces = np.array([[10.0, 4.0], [15.0, 2.0]])
    np.testing.assert_allclose(df_over_f(traces, [10.0, 4.0]), [[0, 0], [0.5, -0.5]])
    np.testing.assert_allclose(df_over_f(traces, 5), [[1, -0.2], [2, -0.6]])
    np.testing.assert_allclose(df_over_f(traces, traces / 2), np.ones((2, 2)))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
def test_f0_that_is_not_above_zero_is_said_and_nan(bad: float) -> None:
    with pytest.warns(UserWarning, match=r"in 3 of 6 values, of 1 mask\(s\) \(first: mask 1\)"):
        found = df_over_f(np.ones((3, 2)), [1.0, bad])
    np.testing.assert_array_equal(np.isnan(found), [[False, True]] * 3)


@pytest.mark.parametrize("window", [1, 2, 5, 8, 100])
@pytest.mark.parametrize("percentile", [0, 8, 50, 100])
def test_rolling_percentile_is_that_of_a_mirrored_window(window: int, percentile: float) -> None:
    traces = np.random.default_rng(0).normal(size=(20, 2))
    found = rolling_percentile(traces, window, percentile)
    window = min(window, 20)
    padded = np.pad(traces, ((window, window), (0, 0)), mode="symmetric")
    for sample in range(20):
        first = window + sample - window // 2
        ordered = np.sort(padded[first : first + window], axis=0)
        rank = min(int(window * percentile / 100), window - 1)
        np.testing.assert_array_equal(found[sample], ordered[rank])


def test_a_trace_with_nan_has_no_baseline() -> None:
    traces = np.ones((9, 2))
    traces[3, 0] = np.nan
    found = rolling_percentile(traces, 3)
    assert np.isnan(found[:, 0]).all()
    np.testing.assert_array_equal(found[:, 1], 1)


def test_neuropil_is_taken_off_around_its_median() -> None:
    around = np.array([[1.0, np.nan], [2.0, np.nan], [6.0, np.nan]])
    found = subtract_neuropil(np.full((3, 2), 10.0), around, factor=0.5)
    np.testing.assert_allclose(found[:, 0], [10.5, 10, 8])
    assert np.isnan(found[:, 1]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: df_over_f(np.ones(3), 1), "samples, rois"),
        (lambda: df_over_f(np.ones((3, 2)), np.ones(3)), "one for each mask"),
        (lambda: rolling_percentile(np.ones((3, 2)), 0), "window=0"),
        (lambda: rolling_percentile(np.ones((3, 2)), 3, 101), "percentile=101"),
        (lambda: subtract_neuropil(np.ones((3, 2)), np.ones((3, 1))), "expected the same"),
    ],
)
def test_what_does_not_fit(call, message: str) -> None:
    with pytest.raises(RoiError, match=message):
        call()


@pytest.mark.parametrize("with_neuropil", [False, True])
def test_rolling_df_over_f_is_made_of_its_steps(with_neuropil: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_ROWS_BYTES", 8 * 40 * 3)  # three masks at a time
    monkeypatch.setattr(storage, "MOST_IN_MEMORY", 100)
    rng = np.random.default_rng(1)
    traces, around = rng.normal(5, 1, (40, 8)), rng.normal(2, 1, (40, 8))
    traces[:, 4] = -1
    steps = subtract_neuropil(traces, around, 0.5) if with_neuropil else traces
    with pytest.warns(UserWarning, match=r"in 40 of 320 values, of 1 mask\(s\) \(first: mask 4\)") as said:
        found = rolling_df_over_f(traces, 7, 20, neuropil=around if with_neuropil else None, factor=0.5)
    assert len(said) == 1
    with pytest.warns(UserWarning, match=r"in 40 of 320 values, of 1 mask\(s\) \(first: mask 4\)"):
        np.testing.assert_array_equal(found, df_over_f(steps, rolling_percentile(steps, 7, 20)))
