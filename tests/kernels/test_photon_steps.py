"""Photons as steps from pixel to pixel, compared with the slow twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.photon_steps import (
    count_steps,
    count_steps_reference,
    pixel_steps,
    pixel_steps_reference,
    raw_photons,
    raw_photons_reference,
)


def run(pixels: np.ndarray, delays: np.ndarray, bounds: np.ndarray, n_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    steps, out = np.full(len(pixels), 999, np.uint32), np.full(len(pixels), 999, np.uint16)
    pixel_steps(pixels, delays, bounds, n_pixels, steps, out)
    return steps, out


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.lists(st.integers(0, 19), max_size=30), max_size=6), ascending=st.booleans())
def test_equals_the_slow_twin(frames: list[list[int]], ascending: bool) -> None:
    listed = [sorted(frame) if ascending else frame for frame in frames]
    pixels = np.array([p for frame in listed for p in frame], np.uint32)
    bounds = np.cumsum([0, *map(len, listed)])
    delays = np.arange(len(pixels), dtype=np.uint16)  # so that their order shows
    found, expected = run(pixels, delays, bounds, 20), pixel_steps_reference(pixels, delays, bounds)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("n", [0, 70_000])
def test_none_and_many_photons_in_a_pixel(n: int) -> None:
    pixels, delays = np.full(n, 3, np.uint32), np.arange(n).astype(np.uint16)
    steps, found = run(pixels, delays, np.array([0, n]), 5)
    assert steps.sum() == (3 if n else 0)
    np.testing.assert_array_equal(found, delays)


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(st.lists(st.integers(0, 34), max_size=30), min_size=1, max_size=6))
def test_raw_photons_equal_the_slow_twin(frames: list[list[int]]) -> None:
    pixels = np.array([p for frame in frames for p in sorted(frame)], np.uint32)
    bounds = np.cumsum([0, *map(len, frames)])
    delays = np.arange(len(pixels), dtype=np.uint16)
    steps, _ = pixel_steps_reference(pixels, delays, bounds)
    out = np.zeros(len(pixels), np.uint64)
    raw_photons(steps.astype(np.uint16), delays, bounds, 7, out)
    np.testing.assert_array_equal(out, raw_photons_reference(steps, delays, bounds, 7))
    y, x = np.divmod(pixels.astype(np.uint64), np.uint64(7))
    np.testing.assert_array_equal(out, y << np.uint64(48) | x << np.uint64(32) | delays)


@given(st.lists(st.integers(0, 20), max_size=60), st.sampled_from([np.uint16, np.uint32]))
def test_count_steps_equal_the_slow_twin(pixels: list[int], dtype: type) -> None:
    steps = np.diff(np.sort(np.array(pixels, np.int64)), prepend=0).astype(dtype)
    counts = np.full(21, 7, np.uint16)
    assert count_steps(steps, counts) == 0
    np.testing.assert_array_equal(counts, count_steps_reference(steps, 21))
    assert count_steps(steps, counts[:3]) == (1 if max(pixels, default=0) > 2 else 0)


def test_count_steps_that_a_count_does_not_hold() -> None:
    counts = np.zeros(2, np.uint16)
    assert count_steps(np.zeros((1 << 16) - 1, np.uint16), counts) == 0
    assert counts.tolist() == [65535, 0]
    assert count_steps(np.zeros(1 << 16, np.uint16), counts) == 2
