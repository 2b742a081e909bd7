"""What the hand-written classes add: steps of pixels, conveniences, and refusals of what cannot be right."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynwb.testing.mock.ophys import mock_ImagingPlane

from ndx_flim import (
    LifetimeFitTable,
    LifetimeImageSeries,
    PhasorSeries,
    PhotonEventSeries,
    PhotonHistogram,
    PhotonHistogramSeries,
    TCSPCSettings,
    pixels_from_steps,
    steps_from_pixels,
)

SETTINGS = TCSPCSettings(name="tcspc", num_bins=8, repetition_rate=80e6, tcspc_resolution=1.5e-9)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.lists(st.lists(st.integers(0, 99_999), max_size=8), max_size=8),
    num_pixels=st.sampled_from([100_000, 1 << 24]),
)
def test_steps_and_pixels_are_inverse(frames: list[list[int]], num_pixels: int) -> None:
    pixel = np.array([p for frame in frames for p in sorted(frame)], np.int64)
    ends = np.cumsum([len(frame) for frame in frames]).astype(np.uint64)
    steps = steps_from_pixels(pixel, ends, num_pixels)
    assert steps.dtype == np.uint32
    np.testing.assert_array_equal(pixels_from_steps(steps, ends), pixel)


def test_sixteen_bits_are_enough_for_small_frames() -> None:
    assert steps_from_pixels([65_535, 0, 65_535], [1, 3], 1 << 16).tolist() == [65_535, 0, 65_535]
    assert steps_from_pixels([0], [1], 1 << 16).dtype == np.uint16
    assert steps_from_pixels([65_536], [1], (1 << 16) + 1).tolist() == [65_536]


def test_no_photons_at_all() -> None:
    assert steps_from_pixels([], [0, 0], 12).size == 0
    assert pixels_from_steps([], [0, 0]).size == 0
    assert pixels_from_steps([], []).size == 0
    series = events(frame=[], pixel=[], delay_bin=[], shape=(1, 4, 3))
    assert series.data.tolist() == [0]
    assert series.get_counts(0).sum() == 0


@pytest.mark.parametrize(
    ("pixel", "ends", "message"),
    [
        ([3, 2], [2], "sort each frame"),
        ([3, 12], [2], "expected 0 to 11"),
        ([-1], [1], "expected 0 to 11"),
        ([3, 4], [1], "2 photons"),
        ([3], [], "1 photons"),
    ],
)
def test_wrong_pixels_are_refused(pixel: list[int], ends: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        steps_from_pixels(pixel, ends, 12)


def events(**changes: Any) -> PhotonEventSeries:
    fields: dict[str, Any] = {
        "name": "photons",
        "frame": [1, 0],
        "pixel": [3, 4],
        "delay_bin": [0, 7],
        "shape": (2, 4, 3),
        "rate": 1.0,
        "imaging_plane": mock_ImagingPlane(),
        "tcspc_settings": SETTINGS,
        "motion_corrected": False,
    }
    return PhotonEventSeries.from_photons(**{**fields, **changes})


def test_more_photons_in_a_pixel_than_sixteen_bits_count() -> None:
    n = 70_000
    series = events(frame=np.zeros(n, int), pixel=np.full(n, 11), delay_bin=np.arange(n) % 8)
    assert series.get_counts(0)[3, 2] == n
    assert np.bincount(series.get_photons(0)[1]).tolist() == [n // 8] * 8


def test_photons_of_a_pixel_keep_their_order() -> None:
    series = events(frame=[0, 0, 0, 0], pixel=[5, 2, 5, 5], delay_bin=[7, 1, 0, 3])
    assert series.get_photons(0)[1].tolist() == [1, 7, 0, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": [2, 0]}, "frame ranges from 0 to 2; expected 0 to 1"),
        ({"frame": [-1, 0]}, "frame ranges"),
        ({"pixel": [12, 0]}, "pixel ranges from 0 to 12; expected 0 to 11"),
        ({"delay_bin": [8, 0]}, "delay_bin ranges from 0 to 8; expected 0 to 7"),
        ({"delay_bin": [1]}, "delay_bin has shape"),
        ({"delay_bin": [0.5, 1.0]}, "delay_bin ranges"),
        ({"unit": "counts"}, "expected 'photons'"),
    ],
)
def test_photons_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        events(**changes)


def test_frames_that_are_not_there() -> None:
    series = events()
    for at in [(2,), (-1,), (0, 0)]:
        with pytest.raises(IndexError, match=r"asked for|has none"):
            series.get_photons(*at)
    volume = events(shape=(1, 4, 3, 2))
    assert volume.get_photons(0, 1)[0].tolist() == [3]
    for at in [(0,), (0, 2), (0, -1), (1, 0)]:
        with pytest.raises(IndexError):
            volume.get_photons(*at)


@pytest.mark.parametrize("field", ["num_bins", "repetition_rate", "tcspc_resolution"])
def test_settings_must_be_above_zero(field: str) -> None:
    fields = {
        "num_bins": 8,
        "repetition_rate": 80e6,
        "tcspc_resolution": 2e-11,
        field: 0 if field == "num_bins" else 0.0,
    }
    with pytest.raises(ValueError, match=f"{field} is 0"):
        TCSPCSettings(name="tcspc", **fields)


@pytest.mark.parametrize(
    ("edges", "message"), [([0.0, 1e-9], "has 2 values; expected 4"), ([0.0, 2e-9, 1e-9, 3e-9], "do not ascend")]
)
def test_bin_edges_must_fit(edges: list[float], message: str) -> None:
    common = {"name": "h", "bin_edges": edges, "tcspc_settings": SETTINGS, "motion_corrected": False}
    with pytest.raises(ValueError, match=message):
        PhotonHistogramSeries(data=np.zeros((4, 3)), rate=1.0, **common)
    with pytest.raises(ValueError, match=message):
        PhotonHistogram(counts=np.zeros(3), description="", **common)


def test_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="unit is 'ns'; expected 'seconds'"):
        LifetimeImageSeries(
            name="l",
            data=np.zeros((2, 3, 4), np.float32),
            unit="ns",
            rate=1.0,
            method="fit",
            motion_corrected=False,
            imaging_plane=mock_ImagingPlane(),
        )


def test_phasors_are_pairs() -> None:
    fields = {"harmonic": 1, "calibration": "none", "frequency": 80e6, "motion_corrected": False}
    with pytest.raises(ValueError, match="g and s along the last axis"):
        PhasorSeries(name="p", data=np.zeros((5, 3), np.float32), rate=1.0, tcspc_settings=SETTINGS, **fields)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tau": [1.0]}, TypeError, "there is no column 'tau'"),
        ({"fraction": [[1.0]]}, ValueError, r"fraction has shape \(1, 1\); expected \(1, 2\)"),
        ({"photon_count": [1, 2]}, ValueError, "photon_count has shape"),
        ({"lifetime": [1e-9]}, ValueError, "lifetime has shape"),
        ({"roi": 3}, ValueError, "expected a DynamicTableRegion"),
    ],
)
def test_fits_that_do_not_fit_together(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    fields: dict[str, Any] = {
        "model": "m",
        "estimator": "e",
        "tcspc_settings": SETTINGS,
        "lifetime": [[1e-9, 2e-9]],
        "fraction": [[0.5, 0.5]],
        "photon_count": [10],
    }
    with pytest.raises(error, match=message):
        LifetimeFitTable.from_arrays(**{**fields, **changes})
