"""Fits of one decay, of photons drawn one by one."""

import math
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import exponnorm

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.flim import DelayAxis, Exp, FLIMParams, Irf, decay_model, fit_decay, measured_irf
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import draw_decay

IRF = Irf(1.5e-9, 0.08e-9)
TWO = {"tau_0": 0.6e-9, "tau_1": 2.6e-9, "fraction_0": 0.4}


def values_of(fit: object, names: list[str]) -> np.ndarray:
    params = fit.params  # type: ignore[attr-defined]
    found = {f"tau_{k}": one for k, one in enumerate(params.lifetimes)}
    found |= {f"fraction_{k}": one for k, one in enumerate(params.fractions)}
    found |= {"irf_offset": params.irf.offset, "irf_sigma": params.irf.sigma, "background": params.background}
    return np.array([found[name] for name in names])


@pytest.mark.parametrize("background", [0.0, 0.05])
@pytest.mark.parametrize("n_photons", [2_000, 100_000])
def test_two_components_bias_scatter_and_coverage(
    draw_two: partial, laser: dict, n_photons: int, background: float
) -> None:
    """The benchmark at a small size: 60 draws, everything free but a background that is not there."""
    truth = TWO | {"irf_offset": 1.5e-9, "irf_sigma": 0.08e-9} | ({"background": 0.05} if background else {})
    fixed = {} if background else {"background": 0.0}
    deviations, errors = [], []
    for _ in range(60):
        fit = fit_decay(draw_two(n_photons, background=background), 2, fixed=fixed, **laser)
        assert fit.success, fit.message
        deviations.append(values_of(fit, list(truth)) - list(truth.values()))
        errors.append([fit.standard_errors[name] for name in truth])
    scatter = np.std(deviations, axis=0, ddof=1)
    # Five parameters and more in four cases: limits are those of chance for all of them together.
    assert (np.abs(np.mean(deviations, axis=0)) < 3.5 * scatter / math.sqrt(60)).all()
    known = np.isfinite(errors)  # a background of zero has no error of its own
    assert known[:, :-1].all()
    assert known.mean() > 0.95
    np.testing.assert_allclose(scatter / np.nanmedian(errors, axis=0), 1, atol=0.35)
    covered = (np.abs(deviations) <= errors).sum(axis=0) / known.sum(axis=0)
    np.testing.assert_allclose(covered, 0.683, atol=0.21)
    assert abs(covered.mean() - 0.683) < 0.09


def test_errors_are_those_of_the_cramer_rao_bound(draw_two: partial, laser: dict) -> None:
    """Against the bound of another model: scipy's exponnorm over pulses, derived numerically."""
    edges = np.arange(626) * 20e-12

    def model(tau_0: float, tau_1: float, fraction_0: float) -> np.ndarray:
        pulses = edges + np.arange(-1, 30)[:, np.newaxis] * 12.5e-9
        parts = [exponnorm.cdf(pulses, tau / 0.08e-9, 1.5e-9, 0.08e-9).sum(axis=0) for tau in (tau_0, tau_1)]
        return np.diff(fraction_0 * parts[0] + (1 - fraction_0) * parts[1])

    slopes = []
    for name, value in TWO.items():
        ends = [model(**(TWO | {name: value * factor})) for factor in (1.0001, 0.9999)]
        slopes.append((ends[0] - ends[1]) / (2e-4 * value))
    bound = np.sqrt(np.diagonal(np.linalg.inv(1e6 * (np.array(slopes) / model(**TWO)) @ np.array(slopes).T)))
    fit = fit_decay(draw_two(1_000_000), 2, irf=IRF, fixed={"background": 0.0}, **laser)
    np.testing.assert_allclose([fit.standard_errors[name] for name in TWO], bound, rtol=0.03)


def test_wrapped_photons_are_put_right(rng: np.random.Generator, laser: dict) -> None:
    """4.0 ns at 80 MHz reads 3.17 by its mean delay."""
    histogram = draw_decay(rng, 400_000, [4e-9])
    fit = fit_decay(histogram, 1, **laser)
    assert abs(fit.params.lifetimes[0] - 4e-9) < 4 * fit.standard_errors["tau_0"] < 0.1e-9
    assert abs(fit.params.background) < 0.01


@pytest.mark.parametrize("n_components", [3, 4])
def test_three_and_four_components(rng: np.random.Generator, laser: dict, n_components: int) -> None:
    lifetimes = [0.15e-9, 0.7e-9, 2.2e-9, 6e-9][-n_components:]
    fractions = np.full(n_components, 1 / n_components)
    histogram = draw_decay(rng, 4_000_000, lifetimes, fractions)
    fit = fit_decay(histogram, n_components, irf=IRF, fixed={"background": 0.0}, **laser)
    assert fit.success
    errors = np.array([fit.standard_errors[f"tau_{k}"] for k in range(n_components)])
    assert (np.abs(np.array(fit.params.lifetimes) - lifetimes) < 4 * errors).all()
    assert (errors < 0.35 * np.array(lifetimes)).all()
    assert fit.p_value > 1e-3


def test_a_short_histogram_keeps_fractions_of_all_photons(draw_two: partial, rng: np.random.Generator) -> None:
    """Half of the period is recorded, and a window within it fitted: fractions are still those of emission."""
    options = {"tcspc_resolution_s": 20e-12, "repetition_rate_hz": 80e6}
    histogram = draw_two(1_000_000, num_bins=300)
    assert histogram.sum() < 990_000
    for bins in (None, (60, 280)):
        fit = fit_decay(histogram, 2, irf=IRF, fixed={"background": 0.0}, bins=bins, **options)
        deviations = values_of(fit, list(TWO)) - list(TWO.values())
        assert (np.abs(deviations) < 4 * np.array([fit.standard_errors[name] for name in TWO])).all()
        assert fit.standard_errors["fraction_0"] < 0.02
    assert fit.expected.shape == (300,)
    assert fit.expected[:60].sum() > 0


def test_a_bin_that_the_period_cuts(rng: np.random.Generator) -> None:
    options = {"tcspc_resolution_s": 43e-12, "repetition_rate_hz": 79.3e6}
    histogram = draw_decay(rng, 300_000, [3e-9], num_bins=300, **options)
    fit = fit_decay(histogram, 1, **options)
    assert abs(fit.params.lifetimes[0] - 3e-9) < 4 * fit.standard_errors["tau_0"]
    assert fit.p_value > 1e-3
    assert fit.message == ""


def test_photons_beyond_the_period_are_named(draw_two: partial, laser: dict) -> None:
    """The wrong repetition rate leaves photons where none can be."""
    histogram = draw_two(10_000, repetition_rate_hz=1 / (629 * 20e-12))
    fit = fit_decay(histogram, 2, irf=IRF, **laser)
    assert fit.success
    assert fit.n_photons_beyond == histogram[625:].sum() > 0
    assert f"{fit.n_photons_beyond} photons lie beyond the period of 12.5 ns" in fit.message
    assert fit.n_photons == histogram[:625].sum()


def test_fixed_and_bounded_parameters(draw_two: partial, laser: dict) -> None:
    histogram = draw_two(50_000)
    fixed = {"tau_0": 2.6e-9, "fraction_0": 0.6, "background": 0.0}
    fit = fit_decay(histogram, 2, irf=IRF, fixed=fixed, **laser)
    assert fit.params.lifetimes[0] == 2.6e-9
    assert fit.params.fractions == pytest.approx((0.6, 0.4))
    assert fit.standard_errors["tau_0"] == fit.standard_errors["fraction_1"] == fit.standard_errors["irf_sigma"] == 0
    assert abs(fit.params.lifetimes[1] - 0.6e-9) < 4 * fit.standard_errors["tau_1"]

    bounded = fit_decay(histogram, 2, irf=IRF, bounds={"tau_1": (1e-9, 2e-9)}, **laser)
    assert bounded.params.lifetimes[1] == pytest.approx(2e-9)
    assert "tau_1" in bounded.message
    assert math.isnan(bounded.standard_errors["tau_1"])

    clamped = fit_decay(histogram, 2, irf=IRF, bounds={"fraction_0": (0.5, 0.9)}, **laser)
    assert clamped.params.fractions[0] == pytest.approx(0.5)
    assert "fraction_0" in clamped.message
    assert clamped.deviance > fit_decay(histogram, 2, irf=IRF, **laser).deviance

    some = fit_decay(histogram, 3, irf=IRF, fixed={"fraction_1": 0.2, "background": 0.02}, **laser)
    assert some.params.fractions[1] == pytest.approx(0.2)
    assert some.params.background == pytest.approx(0.02)
    assert sum(some.params.fractions) == pytest.approx(1)


def test_a_measured_irf_that_is_no_gaussian(rng: np.random.Generator, laser: dict) -> None:
    """An IRF with a tail, itself measured by photons; a Gaussian fits badly, the measured one well."""

    def blur(n: int) -> np.ndarray:
        return rng.normal(1.5e-9, 0.06e-9, n) + np.where(rng.random(n) < 0.3, rng.exponential(0.3e-9, n), 0)

    def bin_delays(delay_s: np.ndarray) -> np.ndarray:
        return np.bincount((delay_s % 12.5e-9 / 20e-12).astype(int), minlength=629)

    irf = measured_irf(bin_delays(blur(3_000_000)), **laser)
    histogram = bin_delays(blur(200_000) + rng.exponential(2.2e-9, 200_000) + 0.1e-9)
    gaussian = fit_decay(histogram, 1, **laser)
    assert gaussian.p_value < 1e-6
    measured = fit_decay(histogram, 1, irf=irf, fit_irf=True, **laser)
    assert measured.p_value > 1e-3
    assert abs(measured.params.lifetimes[0] - 2.2e-9) < 4 * measured.standard_errors["tau_0"]
    assert abs(measured.params.irf.offset - 0.1e-9) < 4 * measured.standard_errors["irf_offset"] + 1e-12


def test_goodness_of_fit(draw_two: partial, laser: dict) -> None:
    """p is even where the model is right, also at few photons, and zero where it lacks a component."""
    p = [fit_decay(draw_two(800), 2, irf=IRF, fixed={"background": 0.0}, **laser).p_value for _ in range(60)]
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) < 0.1) < 0.3
    wrong = fit_decay(draw_two(100_000), 1, irf=IRF, **laser)
    assert wrong.success
    assert wrong.p_value < 1e-6
    assert wrong.reduced_chi_square > 1.3


def test_mean_lifetime_errors(draw_two: partial, laser: dict) -> None:
    fits = [fit_decay(draw_two(20_000), 2, irf=IRF, fixed={"background": 0.0}, **laser) for _ in range(60)]
    for name, truth in (("mean_lifetime", 1.8e-9), ("amplitude_weighted_lifetime", 1 / (0.4 / 0.6e-9 + 0.6 / 2.6e-9))):
        found = np.array([getattr(fit.params, name) for fit in fits])
        assert found.std() / np.median([fit.standard_errors[name] for fit in fits]) == pytest.approx(1, abs=0.3)
        assert abs(found.mean() - truth) < 4 * found.std() / math.sqrt(60)


def test_the_bias_of_a_breadth_is_taken_off(laser: dict) -> None:
    """The most likely breadth of n photons with unknown mean is too small by 3 / (4 n): a textbook's case."""
    n_photons, bins = 150, np.arange(629)
    histogram = n_photons * np.exp(-0.5 * ((bins - 300) / 15) ** 2) / (15 * math.sqrt(2 * math.pi))
    options = {"fixed": {"tau_0": 0.0, "background": 0.0}, **laser}
    plain, corrected = (fit_decay(histogram, 1, correct_bias=flag, **options) for flag in (False, True))
    assert plain.params.irf.sigma == pytest.approx(15 * 20e-12, rel=1e-3)
    assert corrected.params.irf.sigma / plain.params.irf.sigma - 1 == pytest.approx(3 / (4 * n_photons), rel=0.05)
    assert corrected.params.irf.offset == pytest.approx(plain.params.irf.offset, rel=1e-6)
    assert corrected.message == ""


def test_a_background_of_zero_widens_the_errors_of_others(draw_two: partial, laser: dict) -> None:
    """That there is none is a finding, not knowledge."""
    at_zero = 0
    for _ in range(12):
        histogram = draw_two(2_000)
        found = fit_decay(histogram, 2, irf=IRF, correct_bias=False, **laser)
        given = fit_decay(histogram, 2, irf=IRF, correct_bias=False, fixed={"background": 0.0}, **laser)
        if found.params.background == 0:
            at_zero += 1
            assert math.isnan(found.standard_errors["background"])
            assert found.params.lifetimes == pytest.approx(given.params.lifetimes, rel=1e-3)
            assert found.standard_errors["tau_1"] > 1.2 * given.standard_errors["tau_1"]
    assert at_zero >= 2


def test_too_many_components_are_no_failure(rng: np.random.Generator, laser: dict) -> None:
    """What one lifetime explains leaves another undetermined; numbers and errors must not pretend otherwise."""
    for n_photons in (500, 20_000):
        fit = fit_decay(draw_decay(rng, n_photons, [2.2e-9]), 2, irf=IRF, **laser)
        assert fit.success
        assert sum(fit.params.fractions) == pytest.approx(1)
        weight = np.array(fit.params.fractions)
        assert fit.params.mean_lifetime == pytest.approx(2.2e-9, rel=0.2)
        errors = [fit.standard_errors[f"tau_{k}"] for k in range(2)]
        assert any(math.isnan(one) or one > 0.1e-9 for one in errors) or weight.min() < 0.1


@pytest.mark.parametrize(
    ("histogram", "reason"),
    [
        (np.zeros(629, int), "0 photons are too few"),
        (np.full(629, np.nan), "not finite"),
        (np.full(629, -1), "negative"),
        (np.array(["a"] * 629), "not numbers"),
        (np.eye(1, 629, 80, dtype=int)[0] * 3, "3 photons are too few"),
    ],
)
def test_data_that_cannot_be_fitted_are_flagged(histogram: np.ndarray, reason: str, laser: dict) -> None:
    fit = fit_decay(histogram, 2, **laser)
    assert not fit.success
    assert reason in fit.message
    assert np.isnan(values_of(fit, list(TWO))).all()
    assert all(math.isnan(one) for one in fit.standard_errors.values())
    assert math.isnan(fit.p_value)
    assert math.isnan(fit.reduced_chi_square)


@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_strange_histograms_do_not_raise(n_components: int, laser: dict, rng: np.random.Generator) -> None:
    """One bin, two bins, noise alone, a ramp, one photon a bin, very many photons: some answer, and no warning."""
    bins = np.arange(629)
    strange = [
        np.where(bins == 80, 5000, 0),
        np.where((bins == 10) | (bins == 400), 300, 0),
        rng.poisson(3, 629),
        bins,
        np.ones(629, int),
        np.round(1e12 * decay_model(FLIMParams((Exp(2.2e-9),), IRF), DelayAxis(629, 20e-12, 80e6))),
        np.where(bins >= 620, 100, 0),
    ]
    with np.errstate(all="raise", under="ignore"):
        for histogram in strange:
            for irf in (None, IRF):
                fit = fit_decay(histogram, n_components, irf=irf, **laser)
                assert fit.success or fit.message
                assert fit.success == bool(np.isfinite(fit.params.mean_lifetime))


def test_arguments_without_sense_are_refused(laser: dict) -> None:
    histogram = np.ones(629, int)
    for options, message in (
        ({"n_components": 5}, "1 to 4"),
        ({"fixed": {"tau_7": 1e-9}}, "no parameter 'tau_7'"),
        ({"fixed": {"fraction_0": 0.5}}, "add up to 0.5"),
        ({"fixed": {"background": 1.0}}, "background is 1.0"),
        ({"fixed": {"tau_0": math.nan}}, "finite"),
        ({"fixed": {"tau_0": 1e-9}, "bounds": {"tau_0": (0, 1)}}, "both fixed and bounded"),
        ({"bounds": {"tau_0": (2e-9, 1e-9)}}, "lower one first"),
        ({"bins": (5, 5)}, "bins=\\(5, 5\\)"),
        ({"bins": (626, 629)}, "beyond the period"),
        ({"irf": Irf(math.nan, 1e-10)}, "finite"),
        ({"start": FLIMParams((Exp(1e-9, 0.5), Exp(2e-9, 0.5)), IRF)}, "start has 2 components"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_decay(histogram, **({"n_components": 1} | options), **laser)
    with pytest.raises(ValueError, match="one histogram"):
        fit_decay(np.ones((2, 629)), 1, **laser)


@pytest.mark.parametrize(
    ("name", "channel", "truth", "background"),
    [
        ("volume_two_colors", 0, TWO, 0.0),
        ("volume_two_colors", 1, {"tau_0": 2.2e-9}, 0.0),
        ("plane_raw", 0, TWO, 0.02),
        ("mixed_pages", 0, {"tau_0": 2.2e-9}, 0.0),
    ],
)
def test_histograms_of_siff_files(
    data_dir: Path, name: str, channel: int, truth: dict[str, float], background: float
) -> None:
    """Photons of these files wrap around at the last of 629 bins, 79.49 MHz, whatever their header says."""
    folder = data_dir / "siff"
    if not folder.is_dir():
        pytest.skip("no .siff files among the test data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)  # one ends within a volume
        reader = SiffReader(folder / f"{name}.siff")
    histogram = reader.get_histogram(color_channel=channel)
    fixed = {} if background else {"background": 0.0}
    n_components = 2 if len(truth) > 1 else 1
    width = reader.tcspc_resolution_s
    fit = fit_decay(
        histogram, n_components, tcspc_resolution_s=width, repetition_rate_hz=1 / (629 * width), fixed=fixed
    )
    assert fit.success, fit.message
    assert fit.message == ""
    errors = np.array([fit.standard_errors[one] for one in truth])
    assert (np.abs(values_of(fit, list(truth)) - list(truth.values())) < 3.5 * errors).all()
    assert (errors < 0.15 * np.array(list(truth.values()))).all()
    assert fit.p_value > 1e-3
    assert abs(fit.params.background - background) < max(4 * fit.standard_errors["background"], 1e-9)
    pdf = np.load(folder / f"{name}.truth.npz")["pdf"][channel]
    assert np.abs(np.cumsum(fit.expected / fit.expected.sum()) - np.cumsum(pdf)).max() < 4 / math.sqrt(histogram.sum())
