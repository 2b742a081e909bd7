"""Photons as steps from pixel to pixel, compared with the slow twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels.photon_steps import (
    fill_pages,
    fill_pages_reference,
    pixel_steps,
    pixel_steps_reference,
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


@settings(max_examples=100, deadline=None)
@given(
    frames=st.lists(st.tuples(st.lists(st.integers(0, 34), max_size=30), st.booleans()), min_size=1, max_size=6),
    dtype=st.sampled_from([np.uint16, np.uint32]),
    with_delays=st.booleans(),
)
def test_pages_equal_the_slow_twin(frames: list[tuple[list[int], bool]], dtype: type, with_delays: bool) -> None:
    pixels = np.array([p for frame, _ in frames for p in sorted(frame)], np.uint32)
    is_raw = np.array([raw for _, raw in frames])
    bounds = np.cumsum([0, *(len(frame) for frame, _ in frames)])
    delays = np.arange(7, 7 + len(pixels) * with_delays, dtype=np.uint16)
    steps, _ = pixel_steps_reference(pixels, np.zeros(len(pixels), np.uint16), bounds)
    expected = fill_pages_reference(steps, delays, bounds, is_raw, (5, 7))
    out = np.full(len(expected) // 2, 9, np.uint16)
    assert fill_pages(steps.astype(dtype), delays, bounds, is_raw, (5, 7), out) == (-1, 0)
    assert out.tobytes() == expected
    if is_raw.all() and with_delays:
        y, x = np.divmod(pixels.astype(np.uint64), np.uint64(7))
        np.testing.assert_array_equal(out.view(np.uint64), y << np.uint64(48) | x << np.uint64(32) | delays)


@pytest.mark.parametrize(("n", "n_pixels", "fault"), [(65_536, 3, 0), (65_537, 3, 2), (3, 2, 1)])
def test_pages_that_cannot_be(n: int, n_pixels: int, fault: int) -> None:
    """A photon outside the page; more photons in a pixel than a count holds. The page before is sound."""
    steps = np.zeros(1 + n, np.uint16)
    steps[-1] = 2
    out = np.zeros(2 * n_pixels, np.uint16)
    found = fill_pages(
        steps, delays := np.zeros(0, np.uint16), np.array([0, 1, 1 + n]), np.zeros(2, bool), (1, n_pixels), out
    )
    assert found == ((1, fault) if fault else (-1, 0)), delays
