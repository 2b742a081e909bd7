"""Where fits begin: the IRF from the rising edge, lifetimes from a grid solved for not negative amplitudes."""

import math

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.flim.fit_plan import FitPlan
from scanimage_nwb.flim.model import DelayAxis, ResponseIrf, component_responses
from scanimage_nwb.flim.params import Irf

__all__ = ["rough_irf", "starting_lifetimes", "weigh_amplitudes"]

Array = NDArray[np.float64]
_GRID_SIZE = 24


def rough_irf(counts: Array, axis: DelayAxis) -> Irf:
    """Return a first guess of the IRF from the edge at which a histogram rises.

    Parameters
    ----------
    counts : ndarray, shape (num_bins,)
        Photons.
    axis : DelayAxis
        Bins and period.

    Returns
    -------
    Irf
        In seconds: offset where the edge is halfway up, sigma half the way from 16 % to 84 %.
    """
    within = axis.num_bins_within_period if axis.covers_period else axis.num_bins
    inside = counts[:within]
    # The smoothing that photons allow: the edge is where the sums of two neighbouring windows differ most.
    window = max(2, within // 64)
    sums = np.convolve(np.concatenate([inside, inside[: 2 * window]]), np.ones(window), "valid")
    rise = sums[window:] - sums[:-window]
    edge = int(rise.argmax()) + window
    high = np.roll(inside, -edge)[:window].mean()
    low = np.roll(inside, window * 2 - edge)[:window].mean()
    around = np.roll(inside, window - edge)[: 2 * window]
    climb = np.maximum.accumulate(np.convolve((around - low) / max(high - low, 1e-9), np.ones(3) / 3, "same"))
    at = [edge - window + int(np.searchsorted(climb, level)) for level in (0.16, 0.5, 0.84)]
    sigma = min(max((at[2] - at[0]) / 2, 0.5), within / 8)
    return Irf(((at[1] + 0.5) * axis.tcspc_resolution_s) % axis.period_s, sigma * axis.tcspc_resolution_s)


def weigh_amplitudes(counts: Array, basis: Array) -> Array:
    """Return amplitudes, none negative, by least squares weighted with the counts' variance.

    Parameters
    ----------
    counts : ndarray, shape (bins,)
        Photons.
    basis : ndarray, shape (amplitudes, bins)
        Share of each amplitude in the bins.

    Returns
    -------
    ndarray, shape (amplitudes,)
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.optimize import nnls

    # Neighbours share their variance: single counts of few photons would pull the fit down.
    weight = 1 / np.sqrt(np.maximum(uniform_filter1d(counts, 9), 0.25))
    return nnls((basis * weight).T, counts * weight)[0]


def starting_lifetimes(counts: Array, plan: FitPlan, irf: ResponseIrf) -> list[Array]:
    """Return sets of lifetimes to start from, the most promising first.

    Parameters
    ----------
    counts : ndarray, shape (used bins,)
        Photons.
    plan : FitPlan
        The model.
    irf : Irf or MeasuredIrf
        The response to start with.

    Returns
    -------
    list of ndarray, shape (n_components,)
        In seconds, ascending.
    """
    axis = plan.axis
    grid = np.geomspace(2 * axis.tcspc_resolution_s, axis.period_s, _GRID_SIZE)
    basis = np.vstack([component_responses(grid, irf, axis), axis.background])[:, plan.used]
    if plan.fixed.get("background") == 0:
        basis = basis[:-1]
    weights = weigh_amplitudes(counts, basis)[: grid.size]
    if not weights.any():
        weights[grid.size // 2] = 1.0
    logs, mass = _merge(np.log(grid[weights > 0]), weights[weights > 0], plan.n_components)
    sets = [np.exp(_split(logs, mass, plan.n_components))]
    centre = float(np.average(np.log(grid), weights=weights))
    for spread in (math.log(2), math.log(4)) if plan.n_components > 1 else (0.0,):
        sets.append(np.exp(centre + spread * np.linspace(-1, 0.5, plan.n_components)))
    if plan.n_components == 1:
        sets = sets[-1:]
    low, high = math.log(axis.tcspc_resolution_s), math.log(axis.period_s)
    return [np.exp(np.clip(np.log(one), low, high)) for one in sets]


def _merge(logs: Array, mass: Array, n: int) -> tuple[Array, Array]:
    """Join the neighbours whose joining costs least, until no more than `n` are left."""
    while logs.size > n:
        cost = mass[1:] * mass[:-1] / (mass[1:] + mass[:-1]) * np.diff(logs) ** 2
        i = int(cost.argmin())
        total = mass[i] + mass[i + 1]
        logs[i] = (logs[i] * mass[i] + logs[i + 1] * mass[i + 1]) / total
        mass[i] = total
        logs, mass = np.delete(logs, i + 1), np.delete(mass, i + 1)
    return logs, mass


def _split(logs: Array, mass: Array, n: int) -> Array:
    """Halve the heaviest until there are `n`."""
    while logs.size < n:
        i = int(mass.argmax())
        mass[i] /= 2
        logs, mass = np.append(logs, logs[i] + 0.5), np.append(mass, mass[i])
        logs[i] -= 0.5
    return np.sort(logs)
