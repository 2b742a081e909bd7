"""The instrument's response, from a reference recording or from the rising edge of a decay."""

import math

import numpy as np
from numpy.typing import ArrayLike

from scanimage_nwb.flim.fit_report import DecayFit
from scanimage_nwb.flim.fitting import check_counts, fit_decay
from scanimage_nwb.flim.model import DelayAxis, MeasuredIrf
from scanimage_nwb.flim.starting import rough_irf

__all__ = ["irf_from_reference", "irf_from_rising_edge", "measured_irf"]

_EDGE_SIGMAS = 12
_LEAST_EDGE_S = 0.5e-9


def irf_from_reference(
    histogram: ArrayLike, *, tcspc_resolution_s: float, repetition_rate_hz: float, lifetime_s: float = 0.0
) -> DecayFit:
    """Fit a Gaussian IRF to a reference whose lifetime is known.

    Parameters
    ----------
    histogram : array-like of int, shape (num_bins,)
        Photons of the reference by delay.
    tcspc_resolution_s, repetition_rate_hz : float
        As for `fit_decay`.
    lifetime_s : float
        Lifetime of the reference in seconds: 0 for second harmonic light or scattering, else that of the dye.

    Returns
    -------
    DecayFit
        The IRF is its `params.irf`, with errors under ``"irf_offset"`` and ``"irf_sigma"``; background is fitted. A
        small `p_value` says that the response is not Gaussian: use `measured_irf` then.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> histogram = np.histogram(rng.normal(1.5e-9, 0.08e-9, 20_000), np.arange(630) * 20e-12)[0]
    >>> fit = irf_from_reference(histogram, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
    >>> irf = fit.params.irf.as_units("picoseconds")
    >>> round(irf.offset, -1), round(irf.sigma, -1)
    (1500.0, 80.0)
    """
    if not (math.isfinite(lifetime_s) and lifetime_s >= 0):
        raise ValueError(f"{lifetime_s=}; expected seconds, not negative")
    return fit_decay(
        histogram,
        1,
        tcspc_resolution_s=tcspc_resolution_s,
        repetition_rate_hz=repetition_rate_hz,
        fixed={"tau_0": lifetime_s},
    )


def irf_from_rising_edge(
    histogram: ArrayLike, *, tcspc_resolution_s: float, repetition_rate_hz: float, window_s: float | None = None
) -> DecayFit:
    """Fit a Gaussian IRF to the rising edge of a decay whose lifetimes are not known.

    Only bins around the edge are fitted, with one lifetime as a stand-in for the first bit of the decay. Components
    not much longer than the breadth of the IRF cannot be told from it, and bias it late and broad; where the whole
    decay is fitted anyway, `fit_decay` without an IRF finds offset and sigma with the lifetimes, and better.

    Parameters
    ----------
    histogram : array-like of int, shape (num_bins,)
        Photons by delay.
    tcspc_resolution_s, repetition_rate_hz : float
        As for `fit_decay`.
    window_s : float, optional
        Half width of what is fitted, in seconds; by default 12 sigma of a first guess, 0.5 ns at least. If that
        sticks out of the histogram, the whole of it is fitted.

    Returns
    -------
    DecayFit
        The IRF is its `params.irf`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> delays = rng.normal(1.5e-9, 0.08e-9, 100_000) + rng.exponential(2.2e-9, 100_000)
    >>> histogram = np.histogram(delays % 12.5e-9, np.arange(630) * 20e-12)[0]
    >>> fit = irf_from_rising_edge(histogram, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
    >>> irf = fit.params.irf.as_units("picoseconds")
    >>> abs(irf.offset - 1500) < 10, abs(irf.sigma - 80) < 10
    (True, True)
    """
    counts = np.asarray(histogram)
    if counts.ndim != 1:
        raise ValueError(f"{counts.shape=}; expected one histogram, shape (num_bins,)")
    axis = DelayAxis(counts.size, tcspc_resolution_s, repetition_rate_hz)
    bins = None
    if not check_counts(counts) and counts.sum() > 0:
        guess = rough_irf(counts.astype(np.float64), axis)
        half = window_s or max(_EDGE_SIGMAS * guess.sigma, _LEAST_EDGE_S)
        first = math.floor((guess.offset - half) / tcspc_resolution_s)
        stop = math.ceil((guess.offset + half) / tcspc_resolution_s)
        if first >= 0 and stop <= axis.num_bins_within_period:
            bins = first, stop
    return fit_decay(
        histogram, 1, tcspc_resolution_s=tcspc_resolution_s, repetition_rate_hz=repetition_rate_hz, bins=bins
    )


def measured_irf(
    histogram: ArrayLike, *, tcspc_resolution_s: float, repetition_rate_hz: float, half_width_s: float | None = None
) -> MeasuredIrf:
    """Return the histogram of an instantaneous reference as the IRF, its background taken off.

    Parameters
    ----------
    histogram : array-like of int, shape (num_bins,)
        Photons of second harmonic light or scattering by delay, in the bins of the decays to be fitted.
    tcspc_resolution_s, repetition_rate_hz : float
        As for `fit_decay`.
    half_width_s : float, optional
        Bins farther from the peak are background; by default an eighth of the period.

    Returns
    -------
    MeasuredIrf

    Raises
    ------
    ValueError
        If the histogram holds no counts, or nothing above its background.

    Examples
    --------
    >>> reference = [2, 2, 12, 22, 12, 2, 2, 2]
    >>> irf = measured_irf(reference, tcspc_resolution_s=1e-9, repetition_rate_hz=125e6, half_width_s=2e-9)
    >>> irf.weights.tolist()
    [0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0, 0.0]
    """
    counts = np.asarray(histogram)
    problem = check_counts(counts)
    if problem or counts.ndim != 1:
        raise ValueError(problem or f"{counts.shape=}; expected one histogram, shape (num_bins,)")
    axis = DelayAxis(counts.size, tcspc_resolution_s, repetition_rate_hz)
    within = np.arange(axis.num_bins) < axis.num_bins_within_period
    half = axis.period_s / 8 if half_width_s is None else half_width_s
    distance = np.abs(axis.centres_s - axis.centres_s[int(np.argmax(np.where(within, counts, -1)))])
    near = within & (np.minimum(distance, axis.period_s - distance) <= half)
    far = within & ~near
    background = counts[far].mean() if far.any() else 0.0
    weights = np.where(near, np.maximum(counts - background, 0), 0.0)
    if not weights.any():
        raise ValueError("the reference holds nothing above its background")
    return MeasuredIrf(weights)
