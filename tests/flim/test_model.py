"""The periodic model against scipy's distributions summed over pulses, and against photons drawn one by one."""

import numpy as np
import pytest
from scipy.stats import chi2, exponnorm, norm

from scanimage_nwb.flim import DelayAxis, Exp, FLIMParams, Irf, MeasuredIrf, component_responses, decay_model
from scanimage_nwb.flim.model import response_derivatives
from scanimage_nwb.testing import draw_decay

TAUS = np.array([0.05e-9, 0.6e-9, 2.6e-9, 4e-9, 20e-9])
AXES = [
    DelayAxis(629, 20e-12, 80e6),  # longer than the period, which falls on an edge
    DelayAxis(500, 20e-12, 80e6),  # shorter than the period
    DelayAxis(300, 43e-12, 79.3e6),  # the period cuts a bin
]
IRFS = [(1.5e-9, 0.08e-9), (0.01e-9, 0.08e-9), (12.4e-9, 0.2e-9), (-3e-9, 3e-9), (40e-9, 8e-9)]


def summed(taus: np.ndarray, offset: float, sigma: float, axis: DelayAxis) -> np.ndarray:
    """Return the same by brute force."""
    edges = np.minimum(np.arange(axis.num_bins + 1) * axis.tcspc_resolution_s, 1 / axis.repetition_rate_hz)
    pulses = edges + np.arange(-6, 200)[:, np.newaxis] / axis.repetition_rate_hz
    return np.array([np.diff(exponnorm.cdf(pulses, tau / sigma, offset, sigma).sum(axis=0)) for tau in taus])


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: str(axis.num_bins))
@pytest.mark.parametrize(("offset", "sigma"), IRFS)
def test_gaussian_irf(axis: DelayAxis, offset: float, sigma: float) -> None:
    found = component_responses(TAUS, Irf(offset, sigma), axis)
    np.testing.assert_allclose(found, summed(TAUS, offset, sigma, axis), rtol=0, atol=2e-13)
    if axis.covers_period:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: str(axis.num_bins))
@pytest.mark.parametrize(("offset", "sigma"), IRFS[:4])
def test_derivatives(axis: DelayAxis, offset: float, sigma: float) -> None:
    found = response_derivatives(TAUS, Irf(offset, sigma), axis)

    def change(step: float, which: int) -> np.ndarray:
        ends = []
        for sign in (1, -1):
            tau, place, breadth = TAUS.copy(), offset, sigma
            tau = tau * (1 + sign * step) if which == 0 else tau
            place += sign * step * sigma if which == 1 else 0
            breadth *= 1 + sign * step if which == 2 else 1
            ends.append(component_responses(tau, Irf(place, breadth), axis))
        return (ends[0] - ends[1]) / (2 * step)

    for which, scale in enumerate((TAUS[:, np.newaxis], sigma, sigma)):
        analytic = found[which + 1] * scale
        np.testing.assert_allclose(analytic, change(1e-4, which), rtol=0, atol=2e-7 * np.abs(analytic).max() + 1e-10)


def test_tails_keep_their_digits() -> None:
    """A short component's last bins hold 1e-48 of its photons, exactly."""
    axis = DelayAxis(625, 20e-12, 80e6)
    share = component_responses([0.1e-9], Irf(1.5e-9, 0.08e-9), axis)[0]
    ratio = share[301:600] / share[300:599]
    np.testing.assert_allclose(ratio, np.exp(-0.2), rtol=1e-9)
    assert share.min() > 0


def test_limits_of_lifetime_and_breadth() -> None:
    axis = AXES[0]
    gaussian = np.diff(norm.cdf(axis.edges_s, 1.5e-9, 0.08e-9))
    np.testing.assert_allclose(component_responses([0.0, 1e-14], Irf(1.5e-9, 0.08e-9), axis)[0], gaussian, atol=1e-7)
    np.testing.assert_allclose(component_responses([1e-5], Irf(1.5e-9, 0.08e-9), axis)[0], axis.background, rtol=2e-3)
    sharp = component_responses([2.2e-9], Irf(1.5e-9, 0.0), axis)[0]
    after = np.exp(-(axis.edges_s - 1.5e-9) / 2.2e-9) / (1 - np.exp(-12.5 / 2.2))
    np.testing.assert_allclose(sharp[76:625], -np.diff(after)[76:625], rtol=1e-9)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: str(axis.num_bins))
@pytest.mark.parametrize("shift_s", [0.0, 0.333e-9, -0.7e-9])
def test_measured_irf(axis: DelayAxis, shift_s: float) -> None:
    """A Gaussian cut into bins acts as the Gaussian, but for what bins blur."""
    width = axis.tcspc_resolution_s
    weights = np.diff(norm.cdf(axis.edges_s, 3e-9, 0.3e-9))
    found = component_responses(TAUS[1:], MeasuredIrf(weights, shift_s), axis)
    blurred = np.hypot(0.3e-9, width / np.sqrt(6))  # cut into bins, and spread over them
    np.testing.assert_allclose(found, summed(TAUS[1:], 3e-9 + shift_s, blurred, axis), atol=1e-4 * found.max())
    if axis.covers_period:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    moved = [response_derivatives(TAUS[1:], MeasuredIrf(weights, shift_s + step), axis) for step in (-1e-14, 0, 1e-14)]
    change = (moved[2].share - moved[0].share) / 2e-14
    np.testing.assert_allclose(moved[1].d_offset, change, atol=1e-5 * np.abs(change).max())


def test_a_measured_irf_must_fit_its_bins() -> None:
    with pytest.raises(ValueError, match="the IRF has 10 bins"):
        component_responses([1e-9], MeasuredIrf(np.ones(10)), AXES[0])
    with pytest.raises(ValueError, match="beyond the period"):
        component_responses([1e-9], MeasuredIrf(np.ones(629)), AXES[0])
    for bad in ([0.0, 0.0], [1.0, -1.0], [1.0, np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="measured IRF"):
            MeasuredIrf(np.array(bad))


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: str(axis.num_bins))
def test_photons_follow_the_model(axis: DelayAxis, rng: np.random.Generator) -> None:
    """Chi-square of a million photons drawn one by one, in bins of every kind."""
    n_photons = 1_000_000
    histogram = draw_decay(
        rng,
        n_photons,
        [0.6e-9, 4e-9],
        [0.4, 0.6],
        background=0.05,
        num_bins=axis.num_bins,
        tcspc_resolution_s=axis.tcspc_resolution_s,
        repetition_rate_hz=axis.repetition_rate_hz,
    )
    params = FLIMParams((Exp(0.6, 0.4, "nanoseconds"), Exp(4, 0.6, "nanoseconds")), Irf(1.5, 0.08, "nanoseconds"), 0.05)
    expected = n_photons * decay_model(params, axis)
    used = expected > 0
    assert histogram[~used].sum() == 0
    chi_square = ((histogram - expected)[used] ** 2 / expected[used]).sum()
    assert 1e-3 < chi2.sf(chi_square, used.sum()) < 0.999


def test_bins_beyond_the_period_are_empty() -> None:
    axis = DelayAxis(629, 20e-12, 80e6)
    assert axis.num_bins_within_period == 625
    assert axis.background[625:].tolist() == [0, 0, 0, 0]
    assert axis.background.sum() == pytest.approx(1)
    cut = DelayAxis(300, 43e-12, 79.3e6)
    assert cut.background[cut.num_bins_within_period - 1] < cut.background[0]
    assert not DelayAxis(500, 20e-12, 80e6).covers_period


@pytest.mark.parametrize(
    "bad", [(0, 20e-12, 80e6), (629, 0, 80e6), (629, 20e-12, np.nan), (629, 0.02, 80.0), (9, 20, 80)]
)
def test_axes_in_other_units_are_refused(bad: tuple) -> None:
    with pytest.raises(ValueError, match="expected"):
        DelayAxis(*bad)
