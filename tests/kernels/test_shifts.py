"""Kernels of the registration against their slow twins."""

import numpy as np
import pytest

from scanimage_nwb.kernels.gaussian import convolve_both_axes, convolve_both_axes_reference
from scanimage_nwb.kernels.motion_chain import forward_backward, forward_backward_reference
from scanimage_nwb.kernels.random_walk import smooth_walks, smooth_walks_reference
from scanimage_nwb.kernels.shift_likelihood import (
    bin_frames,
    bin_frames_reference,
    count_frames,
    list_pixels,
    listed_surfaces,
    surfaces_reference,
    window_surfaces,
)
from scanimage_nwb.kernels.shift_sums import (
    add_boxes,
    add_boxes_reference,
    add_shifted,
    add_shifted_reference,
)


@pytest.mark.parametrize(("n_shifts", "first"), [(5, 0), (17, 2)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_listed_surfaces(n_shifts: int, first: int, dtype: type) -> None:
    rng = np.random.default_rng(n_shifts)
    frames = (rng.poisson(0.3, (3, 12, 9)) * (1 if dtype is np.uint16 else -1.5)).astype(dtype)
    template = rng.normal(size=(12 + first + n_shifts, 9 + first + n_shifts + 32)).astype(np.float32)
    found = np.empty((3, n_shifts, n_shifts), np.float32)
    which = np.array([2, 0, 1])
    sums, n_lit = np.empty(3), np.empty(3, np.int64)
    count_frames(frames, which, sums, n_lit)
    assert sums.tolist() == frames[which].sum(axis=(1, 2)).tolist()
    assert n_lit.tolist() == [np.count_nonzero(frames[k]) for k in which]
    listing = np.empty(n_lit.sum(), np.int32), np.empty(n_lit.sum(), np.float32), np.empty(4, np.int64)
    list_pixels(frames, which[::-1], *listing)
    listed_surfaces(*listing, np.array([2, 1, 0]), 9, template, first, n_shifts, found)
    expected = surfaces_reference(frames[which], template, np.full((3, 2), first), (n_shifts, n_shifts))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_window_surfaces(dtype: type) -> None:
    rng = np.random.default_rng(1)
    frames = rng.poisson(20, (6, 11, 35)).astype(dtype)
    which = np.array([5, 0, 2, 3])
    template = rng.normal(size=(20, 50)).astype(np.float32)
    first = rng.integers(0, 4, (4, 2))
    found = np.empty((4, 5, 3))
    window_surfaces(frames, which, template, first, found)
    np.testing.assert_allclose(found, surfaces_reference(frames[which], template, first, (5, 3)), atol=1e-1)


def test_bin_frames_leaves_out_what_fills_no_square() -> None:
    frames = np.random.default_rng(2).normal(size=(3, 13, 10)).astype(np.float32)
    found = np.empty((2, 3, 2), np.float32)
    bin_frames(frames, np.array([2, 0]), 4, found)
    np.testing.assert_allclose(found, bin_frames_reference(frames[[2, 0]], 4), atol=1e-4)


def test_add_shifted() -> None:
    rng = np.random.default_rng(3)
    frames, first = rng.poisson(3, (5, 6, 7)).astype(np.uint16), rng.integers(0, 5, (5, 2))
    found, expected = np.zeros((11, 12), np.float32), np.zeros((11, 12))
    for which, sign in ((np.array([4, 0, 1, 3]), 1.0), (np.array([3, 1]), -1.0)):
        add_shifted(frames, which, first[which], sign, found)
        add_shifted_reference(frames, which, first[which], sign, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_add_boxes() -> None:
    rng = np.random.default_rng(4)
    first, weight = rng.integers(0, 5, (7, 2)), rng.random(7)
    weight[2] = 0
    found, expected = np.full((11, 13), np.nan, np.float32), np.empty((11, 13))
    for n in (7, 1, 0):
        add_boxes(first[:n], (6, 8), weight[:n], found)
        add_boxes_reference(first[:n], (6, 8), weight[:n], expected)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
        assert (found >= 0).all()


@pytest.mark.parametrize("n_taps", [1, 5, 31])
def test_convolve_both_axes(n_taps: int) -> None:
    rng = np.random.default_rng(6)
    images, half = rng.normal(size=(2, 13, 19)).astype(np.float32), rng.random(n_taps // 2 + 1).astype(np.float32)
    taps = np.concatenate([half[:0:-1], half])
    found = np.empty_like(images)
    convolve_both_axes(images, taps, found)
    np.testing.assert_allclose(found, convolve_both_axes_reference(images, taps), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n_planes", [1, 2])
@pytest.mark.parametrize("jump", [0.0, 0.2, 1.0])
def test_forward_backward_adds_up_every_path(n_planes: int, jump: float) -> None:
    rng = np.random.default_rng(4)
    likelihood = rng.random((3, n_planes, 3, 3)).astype(np.float32) + 0.01
    step, jitter = (np.array([0.2, 0.6, 0.2], np.float32), jump), (np.array([0.1, 0.8, 0.1], np.float32), 0.1)
    expected, expected_evidence = forward_backward_reference(likelihood, step, jitter)
    for spare in (0, 5):
        padded = np.pad(likelihood, ((0, 0), (0, 0), (0, 0), (0, spare)))
        found = np.empty_like(padded)
        evidence = forward_backward(padded, step, jitter, found)
        np.testing.assert_allclose(found[..., :3], expected, atol=1e-5)
        assert not found[..., 3:].any()
        assert evidence == pytest.approx(expected_evidence, abs=1e-4)
        assert forward_backward(padded, step, jitter, found[:0]) == pytest.approx(expected_evidence, abs=1e-4)


def test_smooth_walks() -> None:
    rng = np.random.default_rng(5)
    measured, noise, step = rng.normal(size=(9, 2)), rng.random((9, 2)) + 0.1, rng.random((8, 2)) + 0.1
    mean, variance = np.empty((9, 2)), np.empty((9, 2))
    smooth_walks(measured, noise, step, mean, variance)
    expected = smooth_walks_reference(measured, noise, step)
    np.testing.assert_allclose(mean, expected[0])
    np.testing.assert_allclose(variance, expected[1])
