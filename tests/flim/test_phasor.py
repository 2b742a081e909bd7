"""Phasors: equal to phasorpy's, and right on photons drawn one by one."""

import numpy as np
import phasorpy.component
import phasorpy.lifetime
import phasorpy.phasor
import pytest

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.flim import (
    Irf,
    MeasuredIrf,
    calibrate_phasor,
    decay_phasor,
    filter_phasor,
    irf_phasor,
    lifetime_phasor,
    phasor_fractions,
    phasor_lifetimes,
)
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import draw_decay
from scanimage_nwb.testing.siff_files import write_siff_recording

MHZ = 80.0
IRF = Irf(1.5e-9, 0.08e-9)


@pytest.mark.parametrize("harmonic", [1, 2, 5])
def test_equal_to_phasorpy_on_one_whole_period(rng: np.random.Generator, laser: dict, harmonic: int) -> None:
    """phasorpy counts bins from their left edge, we from their centre: half a bin of phase between."""
    histograms = rng.poisson(20, (3, 4, 625))
    mean, real, imag = phasorpy.phasor.phasor_from_signal(histograms, axis=-1, harmonic=harmonic)
    expected = (real + 1j * imag) * np.exp(1j * np.pi * harmonic / 625)
    found = decay_phasor(histograms, harmonic=harmonic, **laser)
    np.testing.assert_allclose(found.g + 1j * found.s, expected, atol=1e-12)
    np.testing.assert_allclose(found.n_photons, mean * 625)


def test_bins_beyond_the_period_lie_where_they_belong(rng: np.random.Generator, laser: dict) -> None:
    histogram = rng.poisson(20, 629)
    direct = np.exp(2j * np.pi * 80e6 * (np.arange(629) + 0.5) * 20e-12) @ histogram / histogram.sum()
    found = decay_phasor(histogram, **laser)
    np.testing.assert_allclose(found.g + 1j * found.s, direct, atol=1e-12)


def test_equal_to_the_reader_of_siff_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    written = write_siff_recording(tmp_path_factory.mktemp("siff"), n_volumes=3, photons_per_page=500)
    reader = SiffReader(written.path)
    pixels = reader.get_pixel_histogram(framewise=True)
    for harmonic in (1, 2):
        expected, counts = reader.flim_map(method="phasor", harmonic=harmonic)
        found = decay_phasor(
            pixels,
            tcspc_resolution_s=reader.tcspc_resolution_s,
            repetition_rate_hz=reader.repetition_rate_hz,
            harmonic=harmonic,
        )
        assert np.isnan(expected[counts == 0]).all()
        np.testing.assert_allclose(found.g, expected.real, atol=1e-6)
        np.testing.assert_allclose(found.s, expected.imag, atol=1e-6)


@pytest.mark.parametrize("lifetime_s", [0.6e-9, 2.2e-9, 4e-9])
def test_one_lifetime_lies_on_the_universal_circle(rng: np.random.Generator, laser: dict, lifetime_s: float) -> None:
    """Calibrated by the IRF, or by a reference; harmonics 1 and 2; within the errors that are stated."""
    raw = decay_phasor(draw_decay(rng, 400_000, [lifetime_s]), harmonic=[1, 2], **laser)
    reference = decay_phasor(draw_decay(rng, 4_000_000, [3e-9]), harmonic=[1, 2], **laser)
    by_irf = calibrate_phasor(
        raw.g, raw.s, irf_phasor(IRF, harmonic=[1, 2], **laser), repetition_rate_hz=80e6, harmonic=[1, 2]
    )
    by_dye = calibrate_phasor(
        raw.g,
        raw.s,
        (reference.g, reference.s),
        repetition_rate_hz=80e6,
        reference_lifetime_s=3e-9,
        harmonic=[1, 2],
    )
    error = np.hypot(raw.g_error, raw.s_error)
    assert (error < 0.002).all()
    for g, s in (by_irf, by_dye):
        off_circle = np.hypot(g - 0.5, s) - 0.5
        assert (np.abs(off_circle) < 4 * error).all()
        expected = np.array(lifetime_phasor([lifetime_s], repetition_rate_hz=80e6, harmonic=[1, 2]))[..., 0]
        assert (np.hypot(*(np.array([g, s]) - expected)) < 4 * error).all()
        found = phasor_lifetimes(g[0], s[0], repetition_rate_hz=80e6)
        assert all(abs(one - lifetime_s) < 0.05e-9 for one in found)


def test_stated_errors_are_the_scatter(rng: np.random.Generator, laser: dict) -> None:
    many = decay_phasor(np.array([draw_decay(rng, 500, [2.2e-9]) for _ in range(300)]), **laser)
    assert many.g.std() / many.g_error.mean() == pytest.approx(1, abs=0.15)
    assert many.s.std() / many.s_error.mean() == pytest.approx(1, abs=0.15)


def test_calibration_and_lifetimes_are_phasorpys(rng: np.random.Generator, laser: dict) -> None:
    raw = decay_phasor(np.array([draw_decay(rng, 5_000, [2.2e-9]) for _ in range(4)]), **laser)
    reference = decay_phasor(np.array([draw_decay(rng, 5_000, [3e-9]) for _ in range(4)]), **laser)
    expected = phasorpy.lifetime.phasor_calibrate(
        raw.g, raw.s, reference.n_photons, reference.g, reference.s, frequency=MHZ, lifetime=3.0
    )
    found = calibrate_phasor(
        raw.g, raw.s, (reference.g, reference.s), repetition_rate_hz=80e6, reference_lifetime_s=3e-9
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    phase, modulation = phasorpy.lifetime.phasor_to_apparent_lifetime(*expected, MHZ)
    lifetimes = phasor_lifetimes(*found, repetition_rate_hz=80e6)
    np.testing.assert_allclose(lifetimes.phase_s, phase * 1e-9, rtol=1e-9)
    np.testing.assert_allclose(lifetimes.modulation_s, modulation * 1e-9, rtol=1e-9)


def test_a_measured_irf_calibrates_as_its_gaussian(rng: np.random.Generator, laser: dict) -> None:
    measured = MeasuredIrf(draw_decay(rng, 2_000_000, [0.0]), shift_s=0.1e-9)
    found = irf_phasor(measured, **laser)
    expected = irf_phasor(Irf(1.6e-9, 0.08e-9), **laser)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_fractions_of_components(rng: np.random.Generator, laser: dict) -> None:
    lifetimes = [0.6e-9, 2.6e-9, 6e-9]
    for n, harmonic in ((2, 1), (2, [1, 2]), (3, 1), (3, [1, 2])):
        mix = np.array([0.4, 0.6]) if n == 2 else np.array([0.3, 0.5, 0.2])
        histograms = np.array([draw_decay(rng, 2_000_000, lifetimes[:n], mix), np.zeros(629, int)])
        raw = decay_phasor(histograms, harmonic=harmonic, **laser)
        reference = irf_phasor(IRF, harmonic=harmonic, **laser)
        g, s = calibrate_phasor(raw.g, raw.s, reference, repetition_rate_hz=80e6, harmonic=harmonic)
        found = phasor_fractions(g, s, lifetimes[:n], repetition_rate_hz=80e6, harmonic=harmonic)
        assert found.shape == (2, n)
        np.testing.assert_allclose(found[0], mix, atol=0.02)
        assert np.isnan(found[1]).all()
    with pytest.raises(ValueError, match="2 to 3 lifetimes"):
        phasor_fractions(0.5, 0.5, [1e-9] * 4, repetition_rate_hz=80e6)


def test_without_photons_there_is_no_phasor(laser: dict) -> None:
    histograms = np.zeros((2, 2, 629), int)
    histograms[0, 0, 100], histograms[1, 1, 100] = 3, 10
    found = decay_phasor(histograms, min_photons=5, **laser)
    assert np.isnan(found.g).tolist() == [[True, True], [True, False]]
    assert found.n_photons.tolist() == [[3, 0], [0, 10]]
    several = decay_phasor(histograms, harmonic=[1, 3], **laser)
    assert several.g.shape == (2, 2, 2)


def test_a_short_histogram_is_warned_of(laser: dict) -> None:
    with pytest.warns(ScanImageNwbWarning, match="shorter than the period"):
        decay_phasor(np.ones(500), **laser)


@pytest.mark.parametrize("harmonic", [0, -1, 1.5, [], [1, 0], True])
def test_harmonics_are_whole_numbers(harmonic: object, laser: dict) -> None:
    with pytest.raises(ValueError, match="harmonic="):
        decay_phasor(np.ones(629), harmonic=harmonic, **laser)  # type: ignore[arg-type]


def test_the_median_filter_is_phasorpys(rng: np.random.Generator, laser: dict) -> None:
    histograms = rng.poisson(0.01, (2, 8, 9, 629))
    histograms[0, 3, 3] = 0
    raw = decay_phasor(histograms, harmonic=[1, 2], **laser)
    found = filter_phasor(raw, size=3, repeat=2)
    for h in range(2):
        for t in range(2):
            _, g, s = phasorpy.phasor.phasor_filter_median(raw.n_photons[t], raw.g[h, t], raw.s[h, t], repeat=2)
            np.testing.assert_array_equal(found.g[h, t], g)
            np.testing.assert_array_equal(found.s[h, t], s)
    assert np.isnan(found.g[0, 0, 3, 3])
    assert not np.array_equal(found.g, raw.g, equal_nan=True)
