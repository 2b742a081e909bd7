"""The instrument's response, found in recordings."""

import numpy as np
import pytest

from scanimage_nwb.flim import irf_from_reference, irf_from_rising_edge, measured_irf
from scanimage_nwb.testing import draw_decay


@pytest.mark.parametrize("lifetime_s", [0.0, 2.2e-9])
@pytest.mark.parametrize("offset_s", [1.5e-9, 12.45e-9])
def test_reference(rng: np.random.Generator, laser: dict, lifetime_s: float, offset_s: float) -> None:
    """Also where the response lies across the end of the period."""
    histogram = draw_decay(rng, 50_000, [lifetime_s], background=0.02, irf_offset_s=offset_s)
    fit = irf_from_reference(histogram, lifetime_s=lifetime_s, **laser)
    assert fit.success, fit.message
    for name, found, truth in (
        ("irf_offset", fit.params.irf.offset, offset_s),
        ("irf_sigma", fit.params.irf.sigma, 0.08e-9),
        ("background", fit.params.background, 0.02),
    ):
        assert abs(found - truth) < 4 * fit.standard_errors[name]
    assert fit.standard_errors["irf_offset"] < 5e-12
    assert fit.p_value > 1e-3


@pytest.mark.parametrize("sigma_s", [0.03e-9, 0.08e-9, 0.2e-9])
def test_rising_edge(rng: np.random.Generator, laser: dict, sigma_s: float) -> None:
    histogram = draw_decay(rng, 200_000, [1.2e-9, 3e-9], [0.5, 0.5], background=0.05, irf_sigma_s=sigma_s)
    irf = irf_from_rising_edge(histogram, **laser).params.irf
    assert irf.offset == pytest.approx(1.5e-9, abs=0.03 * sigma_s + 4e-12)
    assert irf.sigma == pytest.approx(sigma_s, rel=0.1)


def test_rising_edge_without_photons(laser: dict) -> None:
    fit = irf_from_rising_edge(np.zeros(629, int), **laser)
    assert not fit.success
    assert "0 photons" in fit.message


def test_measured(rng: np.random.Generator, laser: dict) -> None:
    histogram = draw_decay(rng, 200_000, [0.0], background=0.2, irf_offset_s=0.05e-9)
    irf = measured_irf(histogram, **laser)
    assert irf.weights.sum() == pytest.approx(1)
    assert irf.weights[100:500].max() == 0  # background is gone
    phase = np.angle(np.exp(2j * np.pi * 80e6 * (np.arange(629) + 0.5) * 20e-12) @ irf.weights)
    assert phase / (2 * np.pi * 80e6) == pytest.approx(0.05e-9, abs=0.02e-9)


@pytest.mark.parametrize("histogram", [np.zeros(629), np.full(629, np.nan), np.ones(629), np.ones((2, 629))])
def test_what_holds_no_response_is_refused(histogram: np.ndarray, laser: dict) -> None:
    with pytest.raises(ValueError, match=r"finite|background|one histogram"):
        measured_irf(histogram, **laser)


def test_nonsense_lifetime_is_refused(laser: dict) -> None:
    with pytest.raises(ValueError, match="not negative"):
        irf_from_reference(np.ones(629, int), lifetime_s=-1.0, **laser)
