"""Motion that is known is found; what shows nothing is flagged."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.registration import FLAGS, ArraySource, RegistrationInfo, register
from scanimage_nwb.testing.moving_scenes import (
    Movie,
    alignment_error,
    ar1_motion,
    benchmark_movie,
    blob_scene,
    cramer_rao_px,
    photon_movie,
    random_walk,
)

SHAPE = (64, 96)


@pytest.fixture(scope="module")
def scene() -> NDArray[np.float64]:
    return blob_scene(SHAPE, 10, 4.0, np.random.default_rng(0))[np.newaxis]


@pytest.fixture(scope="module")
def motion() -> NDArray[np.float64]:
    return np.round(ar1_motion(120, np.random.default_rng(1)))[:, np.newaxis]


def quietly(frames: Any, **options: Any) -> RegistrationInfo:
    """Register, and leave out the warning about flagged frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)
        return register(frames, **options)


def error(info: RegistrationInfo, movie: Movie) -> NDArray[np.float64]:
    """Return the distance of every shift from the truth, shape (volumes, planes)."""
    return np.hypot(*np.moveaxis(alignment_error(info.shift_table(), movie.motion), -1, 0))


@pytest.mark.parametrize(
    ("photons", "mean_error", "share_exact"), [(500, 0.35, 0.65), (3000, 0.01, 0.99), (30000, 0, 1)]
)
def test_benchmark(photons: int, mean_error: float, share_exact: float) -> None:
    movie = benchmark_movie(photons, seed=1, n_volumes=300 if photons < 30000 else 100)
    found = error(register(movie.frames), movie)
    assert found.mean() <= mean_error
    assert (found == 0).mean() >= share_exact


@pytest.mark.parametrize("photons", [1000, 10000])
def test_fractions_come_close_to_the_cramer_rao_bound(photons: int) -> None:
    rng = np.random.default_rng(2)
    scene = blob_scene((128, 128), 15, 6.0, rng, periodic=True)[np.newaxis]
    movie = photon_movie(scene, random_walk(150, rng)[:, np.newaxis], photons, rng)
    alone = register(movie.frames, subpixel=True, smoothness=np.inf)
    bound = cramer_rao_px(scene[0], photons)
    spread = np.sqrt((alignment_error(alone.shift_table(), movie.motion) ** 2).mean(axis=(0, 1)))
    assert (spread <= 1.5 * bound).all()
    assert np.median(alone.error_px) == pytest.approx(bound.mean(), rel=0.3)
    smooth = register(movie.frames, subpixel=True)
    assert error(smooth, movie).mean() < error(alone, movie).mean()


@pytest.mark.parametrize("photons", [200, 5000])
@pytest.mark.parametrize("subpixel", [False, True])
def test_no_motion_adds_none(scene: NDArray, photons: int, subpixel: bool) -> None:
    movie = photon_movie(scene, np.zeros((100, 1, 2)), photons, np.random.default_rng(3))
    found = np.abs(register(movie.frames, subpixel=subpixel).shifts).max()
    assert found == 0 if not subpixel else found < 0.1


def test_planes_share_motion_only_if_they_do(motion: NDArray) -> None:
    rng = np.random.default_rng(4)
    scenes = np.array([blob_scene(SHAPE, 10, 4.0, rng) for _ in range(6)])
    together = photon_movie(scenes, np.repeat(motion, 6, axis=1), 120, rng)
    shared, apart = register(together.frames), quietly(together.frames, share_planes=False)
    assert shared.parameters["found"]["jitter_px"] is not None
    assert error(shared, together).mean() < 0.6 * error(apart, together).mean()
    alone = [np.round(ar1_motion(120, rng)) for _ in range(2)]
    movie = photon_movie(scenes[:2], np.stack(alone, axis=1), 2000, rng)
    info = register(movie.frames)
    assert info.parameters["found"]["jitter_px"] is None
    assert (error(info, movie) == 0).mean() > 0.98


def test_bleaching(scene: NDArray, motion: NDArray) -> None:
    movie = photon_movie(scene, motion, 3000 * np.linspace(1, 0.3, 120), np.random.default_rng(5))
    assert (error(register(movie.frames), movie) == 0).mean() >= 0.98


@pytest.mark.parametrize("rows", [slice(None), slice(0, 32)], ids=["whole", "half"])
def test_a_saturated_frame_is_flagged_and_harms_no_other(scene: NDArray, motion: NDArray, rows: slice) -> None:
    movie = photon_movie(scene, motion, 3000, np.random.default_rng(6))
    movie.frames[60, 0, rows] = 65535
    with pytest.warns(ScanImageNwbWarning, match="1 of 120 frames are flagged: 1 unlike the reference"):
        info = register(movie.frames)
    assert info.bad_pages == {60: "unlike the reference"}
    assert (np.delete(error(info, movie), 60) == 0).mean() >= 0.98
    between = info.shifts[[59, 61]]
    assert (info.shifts[60] >= np.floor(between.min(axis=0))).all()
    assert (info.shifts[60] <= np.ceil(between.max(axis=0))).all()


def test_empty_frames_are_flagged(scene: NDArray, motion: NDArray) -> None:
    movie = photon_movie(scene, motion, 3000, np.random.default_rng(7))
    movie.frames[10:13] = 0
    info = quietly(movie.frames)
    assert info.bad_pages == dict.fromkeys(range(10, 13), "no signal")
    assert np.isnan(info.match[11])


@pytest.mark.parametrize("dark", [0.0, 0.001])
def test_a_colour_without_signal_is_not_shifted(dark: float) -> None:
    frames = np.random.default_rng(8).poisson(dark, (60, *SHAPE)).astype(np.uint16)
    with pytest.warns(ScanImageNwbWarning, match="60 of 60 frames are flagged"):
        info = register(frames)
    assert not info.shifts.any()
    assert info.is_bad.all()


def test_analog_values_with_offset_gain_and_read_noise(scene: NDArray, motion: NDArray) -> None:
    rng = np.random.default_rng(9)
    movie = photon_movie(scene, motion, 20000, rng)
    values = np.round(movie.frames * 35.0 - 250 + rng.normal(0, 30, movie.frames.shape)).astype(np.int16)
    assert values.min() < 0
    info = register(values)
    assert (error(info, movie) == 0).mean() >= 0.98
    assert info.parameters["found"]["gain"] == pytest.approx(35, rel=0.4)
    np.testing.assert_allclose(info.reference_frames.mean(), values.mean(), rtol=0.1)


def test_a_window_onto_a_larger_scene(motion: NDArray) -> None:
    rng = np.random.default_rng(10)
    large = blob_scene((100, 140), 30, 4.0, rng)
    seen = [large[18 - y : 18 - y + 64, 22 - x : 22 - x + 96] for y, x in motion[:, 0].astype(int)]
    movie = Movie(rng.poisson(np.array(seen) * 12000).astype(np.uint16)[:, np.newaxis], motion, large)
    assert (error(register(movie.frames), movie) == 0).mean() >= 0.98


def rung(axis: int, depth: float, period: float) -> NDArray[np.float64]:
    """Return a gain that rings along an axis of the sensor."""
    wave = 1 + depth * np.cos(2 * np.pi * np.arange(SHAPE[axis]) / period)
    return np.expand_dims(wave, 1 - axis) * np.ones(SHAPE)


@pytest.mark.parametrize(
    ("gain", "photons"),
    [(rung(1, 0.3, 7.3), 5000), (rung(1, 0.5, 7.3), 5000), (rung(0, 0.3, 2.0), 5000), (rung(0, 0.5, 9.1), 5000)],
    ids=["ringing 0.3", "ringing 0.5", "every other line", "rows"],
)
@pytest.mark.parametrize("analog", [False, True])
def test_what_stays_put_on_the_sensor_does_not_hold_frames(
    scene: NDArray, motion: NDArray, gain: NDArray, photons: int, analog: bool
) -> None:
    rng = np.random.default_rng(11)
    seen = np.array([np.roll(scene[0], tuple(shift), (0, 1)) for shift in motion[:, 0].astype(int)])
    frames = rng.poisson((5 if analog else 1) * photons * seen * gain).astype(np.uint16)
    values = np.round(frames * 35.0 - 250 + rng.normal(0, 30, frames.shape)).astype(np.int16) if analog else frames
    movie = Movie(values[:, np.newaxis], motion, scene)
    assert (error(register(movie.frames), movie) == 0).mean() >= 0.95


@pytest.mark.parametrize("offset", [1, 2])
def test_lines_scanned_back_that_lie_beside_the_others(scene: NDArray, motion: NDArray, offset: int) -> None:
    rng = np.random.default_rng(19)
    seen = np.array([np.roll(scene[0], tuple(shift), (0, 1)) for shift in motion[:, 0].astype(int)])
    seen[:, 1::2] = np.roll(seen[:, 1::2], offset, 2)
    movie = Movie(rng.poisson(5000 * seen).astype(np.uint16)[:, np.newaxis], motion, scene)
    assert (error(register(movie.frames), movie) == 0).mean() >= 0.98


def test_wild_motion_in_the_first_frames(scene: NDArray, motion: NDArray) -> None:
    rng = np.random.default_rng(12)
    wild = motion.copy()
    wild[:25, 0] = rng.integers(-9, 10, (25, 2))
    movie = photon_movie(scene, wild, 3000, rng)
    assert (error(register(movie.frames), movie) == 0).mean() >= 0.98


def test_motion_beyond_the_search_is_flagged(scene: NDArray) -> None:
    motion = np.zeros((80, 1, 2))
    motion[40:44] = (0, 6)
    movie = photon_movie(scene, motion, 5000, np.random.default_rng(13))
    info = quietly(movie.frames, max_shift=3)
    assert info.is_bad[40:44].all()
    assert not info.is_bad[:40].any()


def test_planes_of_a_source_are_read_in_blocks(scene: NDArray) -> None:
    motion = np.round(ar1_motion(700, np.random.default_rng(14)))[:, np.newaxis]
    movie = photon_movie(scene, motion, 2000, np.random.default_rng(15))
    largest = []

    class Counting(ArraySource):
        def read(self, volumes: NDArray[np.int64], plane: int) -> NDArray:
            largest.append(len(volumes))
            return super().read(volumes, plane)

    info = register(Counting(movie.frames))
    assert max(largest) <= 256
    assert (error(info, movie) == 0).mean() >= 0.98


def test_phase_correlation_finds_bright_motion(motion: NDArray) -> None:
    rng = np.random.default_rng(16)
    fine = blob_scene(SHAPE, 40, 1.5, rng)[np.newaxis]
    movie = photon_movie(fine, motion, 100_000, rng)
    info = register(movie.frames, method="phase")
    assert (error(info, movie) == 0).mean() >= 0.98
    assert info.method == "phase"


def test_applying_the_shifts_aligns_the_frames(scene: NDArray, motion: NDArray) -> None:
    movie = photon_movie(scene, motion, 5000, np.random.default_rng(17))
    info = register(movie.frames)
    aligned = np.array([np.roll(frame[0], info.yx_shifts[page], (0, 1)) for page, frame in enumerate(movie.frames)])
    sharp, blurred = aligned.mean(axis=0), movie.frames[:, 0].mean(axis=0)
    assert np.corrcoef(sharp.ravel(), info.reference_frames[0].ravel())[0, 1] > 0.99
    assert sharp.var() > 1.1 * blurred.var()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "siffpy"}, "method is 'siffpy'"),
        ({"max_shift": 0}, "max_shift is 0"),
        ({"max_shift": 40}, "expected 1 to 32"),
        ({"n_iterations": 0}, "n_iterations is 0"),
        ({"smoothness": -1.0}, "smoothness is -1.0"),
        ({"smoothness": np.nan}, "smoothness is nan"),
        ({"signal": "photons"}, "signal is 'photons'"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register(np.ones((4, *SHAPE), np.uint16), **options)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((3, 4)), r"expected \(volumes, rows, columns\)"),
        (np.zeros((0, 64, 64)), "at least one pixel"),
        (np.zeros((3, 64, 64), complex), "real numbers"),
        (np.full((3, 64, 64), np.nan), "NaN"),
    ],
)
def test_frames_that_cannot_be_registered(frames: NDArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register(frames)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_frames(scene: NDArray, n: int) -> None:
    movie = photon_movie(scene, np.zeros((n, 1, 2)), 3000, np.random.default_rng(18))
    assert not register(movie.frames).shifts.any()


def test_flags_are_named() -> None:
    assert FLAGS[0] == "good"
    assert replace(RegistrationInfo.from_shifts({0: (0, 0)}, shape=SHAPE), flag=np.array([3], np.uint8)).bad_pages == {
        0: "uncertain"
    }
