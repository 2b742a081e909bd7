"""Empirical lifetimes, and what maps of lifetimes or phasors often need: a photon threshold and a median filter."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["empirical_lifetime", "mask_few_photons", "mean_delay_of", "median_filter"]

Array = NDArray[np.float64]


def empirical_lifetime(
    histogram: ArrayLike, *, tcspc_resolution_s: float, offset_s: float = 0.0, min_photons: int = 1
) -> Array:
    """Return the mean delay of photons after the instrument's offset.

    The mean is that of bin centres. It is biased low: photons that come later than the period of the laser are
    counted with the next pulse, each a whole period too early. With the IRF at 1.5 ns and 80 MHz, 2.6 ns reads 2.41
    and 4.0 ns reads 3.17; `mean_delay_of` gives the value for any lifetime. Background pulls the mean towards half the
    period less the offset. Use it to compare like with like; for lifetimes as such, `fit_decay`, `fit_fractions` and
    `decay_phasor` know of the period.

    Parameters
    ----------
    histogram : array-like of int, shape (…, num_bins)
        Photons by delay.
    tcspc_resolution_s : float
        Width of a bin in seconds.
    offset_s : float
        Centre of the IRF in seconds.
    min_photons : int
        Where there are fewer, the result is NaN.

    Returns
    -------
    ndarray of float64, shape (…)
        Seconds; NaN where there are no photons.

    Examples
    --------
    >>> empirical_lifetime([[0, 0, 2, 2], [0, 0, 0, 0]], tcspc_resolution_s=1e-9, offset_s=1e-9).round(12).tolist()
    [2e-09, nan]
    """
    counts = np.asarray(histogram)
    photons = counts.sum(axis=-1, dtype=np.float64)
    # Whole numbers below 2^53 add up without rounding.
    total = counts @ np.arange(counts.shape[-1], dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (total / photons + 0.5) * tcspc_resolution_s - offset_s
    return mask_few_photons(mean, photons, max(min_photons, 1))


def mean_delay_of(lifetime_s: ArrayLike, *, repetition_rate_hz: float, offset_s: float = 0.0) -> Array:
    """Return what the mean delay reads for a lifetime: less than the lifetime, since photons wrap around.

    Parameters
    ----------
    lifetime_s : array-like
        True lifetimes in seconds.
    repetition_rate_hz : float
        Laser pulses per second.
    offset_s : float
        Centre of the IRF in seconds: delays are counted from the laser's pulse, so a photon wraps around at the
        period, not at the period after the IRF.

    Returns
    -------
    ndarray of float64
        Mean delay less `offset_s` in seconds, of photons without background: ``tau - T exp(offset / tau) / (exp(T /
        tau) - 1)``, the IRF taken as sharp and within the period T.

    Examples
    --------
    >>> (mean_delay_of([2.6e-9, 4e-9], repetition_rate_hz=80e6, offset_s=1.5e-9) * 1e9).round(2).tolist()
    [2.42, 3.16]
    """
    tau, period = np.asarray(lifetime_s, np.float64), 1 / repetition_rate_hz
    return tau - period * np.exp((offset_s - period) / tau) / -np.expm1(-period / tau)


def mask_few_photons(values: ArrayLike, n_photons: ArrayLike, min_photons: int) -> NDArray:
    """Return values, NaN where photons are too few.

    Parameters
    ----------
    values : array-like, shape (…)
        Lifetimes, phasor coordinates or fractions.
    n_photons : array-like, shape (…)
        Photons that each value was computed of.
    min_photons : int
        Fewest that are enough.

    Returns
    -------
    ndarray, shape (…)

    Examples
    --------
    >>> mask_few_photons([1.0, 2.0], [9, 10], 10).tolist()
    [nan, 2.0]
    """
    found, photons = np.asarray(values), np.asarray(n_photons)
    if found.shape != photons.shape:
        raise ValueError(f"{found.shape=} != {photons.shape=}")
    kind = found.dtype if found.dtype.kind in "fc" else np.float64
    masked = found.astype(kind)
    masked[photons < min_photons] = np.nan
    return masked


def median_filter(image: ArrayLike, size: int = 3) -> Array:
    """Return the median of each pixel's neighbourhood in the last two axes.

    Pixels that are NaN take no part and stay NaN; at the border the neighbourhood is what lies within the image.

    Parameters
    ----------
    image : array-like, shape (…, rows, columns)
        Lifetimes or phasor coordinates.
    size : int
        Side of the square neighbourhood; odd.

    Returns
    -------
    ndarray of float64, shape (…, rows, columns)

    Examples
    --------
    >>> median_filter([[1.0, 1.0, np.nan], [1.0, 9.0, 1.0], [1.0, 1.0, 1.0]])[1].tolist()
    [1.0, 1.0, 1.0]
    """
    values = np.asarray(image, np.float64)
    if values.ndim < 2 or size < 1 or size % 2 == 0:
        raise ValueError(f"{values.shape=}, {size=}; expected an image and an odd size")
    flat = values.reshape(-1, *values.shape[-2:])
    filtered = np.full_like(flat, np.nan)
    half = size // 2
    for one, out in zip(flat, filtered, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(one, half, constant_values=np.nan), (size, size))
        is_there = np.isfinite(one)
        if is_there.any():
            out[is_there] = np.nanmedian(windows[is_there].reshape(-1, size * size), axis=1)
    return filtered.reshape(values.shape)
