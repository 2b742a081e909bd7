"""Fractions of many curves at once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from scanimage_nwb.flim import (
    DelayAxis,
    Exp,
    FLIMParams,
    Irf,
    MeasuredIrf,
    component_responses,
    fit_decay,
    fit_fractions,
    fit_global,
)
from scanimage_nwb.flim.mixture import fit_mixtures
from scanimage_nwb.testing import draw_decay

IRF = Irf(1.5e-9, 0.08e-9)
PARAMS = FLIMParams((Exp(0.6e-9, 0.5), Exp(2.6e-9, 0.5)), IRF)


def draw_curves(rng: np.random.Generator, fractions: np.ndarray, n_photons: int, background: float) -> np.ndarray:
    return np.array(
        [draw_decay(rng, n_photons, [0.6e-9, 2.6e-9], [f, 1 - f], background=background) for f in fractions]
    )


@pytest.mark.parametrize("n_photons", [300, 5_000])
def test_fractions_bias_and_coverage(rng: np.random.Generator, laser: dict, n_photons: int) -> None:
    truth = rng.uniform(0.2, 0.8, 300)
    fit = fit_fractions(draw_curves(rng, truth, n_photons, 0.05), PARAMS, **laser)
    assert fit.success.all()
    z = (fit.fractions[:, 0] - truth) / fit.fraction_errors[:, 0]
    assert abs(np.nanmean(z)) < 3.5 / math.sqrt(300)
    assert np.nanstd(z) == pytest.approx(1, abs=0.15)
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.09)
    means = (fit.mean_lifetime_s - (0.6 * truth + 2.6 * (1 - truth)) * 1e-9) / fit.mean_lifetime_errors_s
    np.testing.assert_allclose(np.abs(means), np.abs(z), rtol=1e-6)
    assert abs(np.mean(fit.background) - 0.05) < 0.02
    np.testing.assert_allclose(fit.fractions.sum(axis=1), 1)
    assert 0.4 < np.mean(fit.p_value) < 0.6


def test_shared_lifetimes(rng: np.random.Generator, laser: dict) -> None:
    """Lifetimes and IRF come from all photons, fractions from each curve's own."""
    truth = rng.uniform(0.1, 0.9, (5, 8))
    histograms = draw_curves(rng, truth.reshape(-1), 5_000, 0.0).reshape(5, 8, -1)
    fit = fit_global(histograms, 2, fixed={"background": 0.0}, **laser)
    shared = fit.shared
    for k, tau in enumerate((0.6e-9, 2.6e-9)):
        assert abs(shared.params.lifetimes[k] - tau) < 4 * shared.standard_errors[f"tau_{k}"] < 0.1e-9
    assert shared.n_photons == histograms.sum()
    curves = fit.curves
    assert curves.fractions.shape == (5, 8, 2)
    assert (curves.background == 0).all()
    assert (curves.background_errors == 0).all()
    assert np.abs(curves.fractions[..., 0] - truth).max() < 0.12
    assert curves.lifetimes_s.tolist() == list(shared.params.lifetimes)


def test_one_curve_is_the_same_as_a_fit_with_fixed_lifetimes(rng: np.random.Generator, laser: dict) -> None:
    histogram = draw_curves(rng, np.array([0.4]), 3_000, 0.05)
    fixed = {"tau_0": 0.6e-9, "tau_1": 2.6e-9}
    one = fit_decay(histogram[0], 2, irf=IRF, fixed=fixed, correct_bias=False, **laser)
    many = fit_fractions(histogram, PARAMS, **laser)
    np.testing.assert_allclose(many.fractions[0], one.params.fractions, atol=2e-4)
    np.testing.assert_allclose(many.background[0], one.params.background, atol=2e-4)
    np.testing.assert_allclose(many.fraction_errors[0, 0], one.standard_errors["fraction_0"], rtol=1e-2)
    np.testing.assert_allclose(many.background_errors[0], one.standard_errors["background"], rtol=1e-2)
    assert many.deviance[0] == pytest.approx(one.deviance)
    assert many.degrees_of_freedom[0] == one.degrees_of_freedom + 0
    fixed_too = fit_fractions(histogram, PARAMS, background=0.1, **laser)
    one = fit_decay(histogram[0], 2, irf=IRF, fixed=fixed | {"background": 0.1}, correct_bias=False, **laser)
    np.testing.assert_allclose(fixed_too.fractions[0], one.params.fractions, atol=2e-4)
    np.testing.assert_allclose(fixed_too.background, 0.1)


def test_bad_curves_are_flagged_and_harm_no_other(rng: np.random.Generator, laser: dict) -> None:
    truth = np.full(6, 0.4)
    good = draw_curves(rng, truth, 2_000, 0.0).astype(float)
    bad = good.copy()
    bad[0], bad[2], bad[4, 7] = 0, -1, np.nan
    fit, whole = fit_fractions(bad, PARAMS, min_photons=10, **laser), fit_fractions(good, PARAMS, **laser)
    assert fit.success.tolist() == [False, True, False, True, False, True]
    assert fit.message[0] == "0 photons are fewer than 10"
    assert fit.message[2] == fit.message[4] == "counts are negative or not finite"
    assert fit.n_photons.tolist() == [0, 2000, -1, 2000, -1, 2000]
    assert np.isnan(fit.fractions[~fit.success]).all()
    assert np.isnan(fit.mean_lifetime_s[~fit.success]).all()
    np.testing.assert_allclose(fit.fractions[fit.success], whole.fractions[fit.success], rtol=1e-12)
    pooled = fit_global(bad, 2, irf=IRF, **laser)
    assert pooled.shared.n_photons == 6_000
    nothing = fit_global(np.zeros((3, 629)), 2, irf=IRF, **laser)
    assert not nothing.curves.success.any()
    assert "could not be fitted: 0 photons" in nothing.curves.message[0]


def test_curves_at_the_edge_have_no_error_of_their_own(rng: np.random.Generator, laser: dict) -> None:
    """A fraction of zero is where the likelihood is cut off; it is no failure, and its error is not zero."""
    fit = fit_fractions(draw_curves(rng, np.zeros(40), 1_000, 0.0), PARAMS, background=0.0, **laser)
    assert fit.success.all()
    at_zero = fit.fractions[:, 0] == 0
    assert 5 < at_zero.sum() < 35
    assert np.isnan(fit.fraction_errors[at_zero]).all()
    assert np.isfinite(fit.fraction_errors[~at_zero]).all()
    assert (fit.fraction_errors[~at_zero] > 0).all()


def test_photons_beyond_the_period_are_named(rng: np.random.Generator, laser: dict) -> None:
    histograms = draw_curves(rng, np.array([0.4, 0.4]), 2_000, 0.0)
    histograms[1, 627] = 5
    fit = fit_fractions(histograms, PARAMS, **laser)
    assert fit.message[0] == ""
    assert "5 photons lie beyond the period" in fit.message[1]
    assert fit.n_photons.tolist() == [2000, 2000]


def test_a_measured_irf_and_one_component(rng: np.random.Generator, laser: dict) -> None:
    reference = draw_decay(rng, 1_000_000, [0.0])
    histograms = draw_curves(rng, np.array([0.3, 0.6]), 100_000, 0.0)
    fit = fit_fractions(histograms, PARAMS, irf=MeasuredIrf(reference), background=0.0, **laser)
    np.testing.assert_allclose(fit.fractions[:, 0], [0.3, 0.6], atol=0.02)
    single = fit_fractions(histograms, FLIMParams((Exp(2e-9),), IRF), **laser)
    assert (single.fractions == 1).all()
    assert (single.fraction_errors == 0).all()
    assert (single.mean_lifetime_s == 2e-9).all()


def test_arguments_without_sense_are_refused(laser: dict) -> None:
    for histograms, options, message in (
        (np.ones(629), {}, "leading axis"),
        (np.full((2, 629), "a"), {}, "expected numbers"),
        (np.ones((2, 629)), {"background": 1.0}, "background=1.0"),
        (np.ones((2, 629)), {"bins": (0, 700)}, "bins="),
    ):
        with pytest.raises(ValueError, match=message):
            fit_fractions(histograms, PARAMS, **options, **laser)
    with pytest.raises(ValueError, match="must be known"):
        fit_fractions(np.ones((2, 629)), FLIMParams((Exp(math.nan),), IRF), **laser)
    assert fit_fractions(np.ones((0, 629)), PARAMS, **laser).fractions.shape == (0, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([1, 5, 60, 3_000]))
def test_amplitudes_are_the_most_likely_ones(seed: int, members: int, n_photons: int) -> None:
    """Against scipy's bounded search, on any curves: the problem is convex, so that both must end at one height."""
    rng = np.random.default_rng(seed)
    axis = DelayAxis(60, 200e-12, 80e6)
    taus = np.sort(rng.uniform(0.2e-9, 5e-9, members))
    basis = np.vstack([component_responses(taus, IRF, axis), axis.background])
    counts = rng.multinomial(n_photons, rng.dirichlet(basis.mean(axis=0) * rng.choice([3.0, 300.0])), 5).astype(float)
    solved = fit_mixtures(counts, basis)
    assert solved.converged.all()
    assert (solved.amplitudes >= 0).all()
    for n, amplitudes in zip(counts, solved.amplitudes, strict=True):

        def loss(a: np.ndarray, n: np.ndarray = n) -> tuple[float, np.ndarray]:
            mu = np.maximum(a @ basis, 1e-300)
            return float((a @ basis).sum() - n @ np.log(mu)), basis @ (1 - n / mu)

        start = np.full(members + 1, n_photons / (members + 1))
        other = minimize(loss, start, bounds=[(0, None)] * (members + 1), method="L-BFGS-B", jac=True)
        assert loss(amplitudes)[0] <= other.fun + 1e-5
