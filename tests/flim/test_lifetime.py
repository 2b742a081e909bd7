"""Empirical lifetimes, thresholds and filters."""

import numpy as np
import pytest

from scanimage_nwb.flim import empirical_lifetime, mask_few_photons, mean_delay_of, median_filter
from scanimage_nwb.testing import draw_decay


@pytest.mark.parametrize(("lifetime_s", "reads"), [(2.2e-9, 2.11e-9), (2.6e-9, 2.42e-9), (4e-9, 3.165e-9)])
def test_the_bias_of_the_mean_delay_is_as_documented(
    rng: np.random.Generator, laser: dict, lifetime_s: float, reads: float
) -> None:
    n_photons = 1_000_000
    found = empirical_lifetime(draw_decay(rng, n_photons, [lifetime_s]), tcspc_resolution_s=20e-12, offset_s=1.5e-9)
    expected = mean_delay_of(lifetime_s, repetition_rate_hz=80e6, offset_s=1.5e-9)
    assert abs(found - expected) < 4 * 3e-9 / np.sqrt(n_photons)
    assert expected == pytest.approx(reads, abs=0.01e-9)


def test_shapes_and_thresholds() -> None:
    histograms = np.zeros((2, 3, 5), np.uint16)
    histograms[0, 0, 2], histograms[1, 2, 4] = 60_000, 2
    histograms[0, 0, 4] = 60_000
    found = empirical_lifetime(histograms, tcspc_resolution_s=1e-9)
    assert found.shape == (2, 3)
    assert found[0, 0] == pytest.approx(3.5e-9)
    assert found[1, 2] == pytest.approx(4.5e-9)
    assert np.isnan(found).sum() == 4
    assert np.isnan(empirical_lifetime(histograms, tcspc_resolution_s=1e-9, min_photons=3)[1, 2])


def test_masked_values() -> None:
    found = mask_few_photons(np.array([1 + 1j, 2j]), [1, 5], 2)
    assert np.isnan(found[0])
    assert found[1] == 2j
    assert mask_few_photons([1, 2], [5, 1], 2).tolist()[0] == 1.0
    with pytest.raises(ValueError, match="shape"):
        mask_few_photons([1.0, 2.0], [1], 1)


def test_median_filter_against_loops(rng: np.random.Generator) -> None:
    image = rng.random((2, 7, 6))
    image[rng.random(image.shape) < 0.3] = np.nan
    found = median_filter(image, 3)
    for t, y, x in np.ndindex(image.shape):
        window = image[t, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        if np.isnan(image[t, y, x]):
            assert np.isnan(found[t, y, x])
        else:
            assert found[t, y, x] == np.nanmedian(window)
    assert np.isnan(median_filter(np.full((3, 3), np.nan))).all()
    for bad in ((np.ones(3), 3), (np.ones((3, 3)), 2), (np.ones((3, 3)), 0)):
        with pytest.raises(ValueError, match="odd size"):
            median_filter(*bad)
