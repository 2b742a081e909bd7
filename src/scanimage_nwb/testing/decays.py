"""Decay histograms drawn photon by photon, as an instrument would, for tests and benchmarks of fits.

Each photon waits for an exponential time after a laser pulse, is delayed and blurred by the instrument, and is counted
from the last pulse before its arrival. No formula of a decay's density is used.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_decay"]


def draw_decay(
    rng: np.random.Generator,
    n_photons: int,
    lifetimes_s: Sequence[float],
    fractions: Sequence[float] = (1.0,),
    *,
    background: float = 0.0,
    irf_offset_s: float = 1.5e-9,
    irf_sigma_s: float = 0.08e-9,
    repetition_rate_hz: float = 80e6,
    tcspc_resolution_s: float = 20e-12,
    num_bins: int = 629,
) -> NDArray[np.int64]:
    """Return a histogram of photons drawn one by one.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    n_photons : int
        Photons that arrive; those beyond the last bin are not recorded.
    lifetimes_s, fractions : sequence of float
        Seconds, and the fraction of fluorescence photons, of each component. A lifetime of 0 gives the IRF.
    background : float
        Fraction of photons that arrive at any time.
    irf_offset_s, irf_sigma_s : float
        Centre and standard deviation of the instrument's Gaussian response.
    repetition_rate_hz, tcspc_resolution_s, num_bins
        Laser and histogram.

    Returns
    -------
    ndarray of int64, shape (num_bins,)

    Examples
    --------
    >>> histogram = draw_decay(np.random.default_rng(0), 1000, [2.2e-9])
    >>> histogram.shape, int(histogram.sum())
    ((629,), 1000)
    """
    period_s = 1 / repetition_rate_hz
    component = rng.choice(len(lifetimes_s), n_photons, p=fractions)
    delay_s = rng.exponential(np.asarray(lifetimes_s)[component]) + rng.normal(irf_offset_s, irf_sigma_s, n_photons)
    is_background = rng.random(n_photons) < background
    delay_s = np.where(is_background, rng.random(n_photons) * period_s, delay_s) % period_s
    found = np.floor(delay_s / tcspc_resolution_s).astype(np.int64)
    return np.bincount(found[found < num_bins], minlength=num_bins)
