"""Fits of one decay by Poisson maximum likelihood."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.flim.fit_plan import MAX_COMPONENTS, Bounds, FitPlan
from scanimage_nwb.flim.fit_report import DecayFit, failed_fit, natural_values, report_fit
from scanimage_nwb.flim.model import DelayAxis, ResponseIrf
from scanimage_nwb.flim.params import FLIMParams, Irf
from scanimage_nwb.flim.scoring import Optimum, maximize_likelihood
from scanimage_nwb.flim.starting import rough_irf, starting_lifetimes, weigh_amplitudes

__all__ = ["DecayFit", "fit_decay"]

Array = NDArray[np.float64]
_SAME = 1e-3
"""Difference in deviance of ends that are the same."""


def fit_decay(
    histogram: ArrayLike,
    n_components: int = 1,
    *,
    tcspc_resolution_s: float,
    repetition_rate_hz: float,
    irf: ResponseIrf | None = None,
    fit_irf: bool | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    start: FLIMParams | None = None,
    bins: tuple[int, int] | None = None,
    correct_bias: bool = True,
) -> DecayFit:
    """Fit one decay histogram by Poisson maximum likelihood.

    Parameters are called ``tau_0``, ``fraction_0``, ``tau_1``, …, ``irf_offset``, ``irf_sigma`` and ``background``;
    times are in seconds. Lifetimes, fractions and background are free unless fixed. Components come out with
    lifetimes ascending, unless `fixed` or `bounds` name a lifetime or fraction: then they keep the order of the names.

    Parameters
    ----------
    histogram : array-like of int, shape (num_bins,)
        Photons in each delay bin.
    n_components : int
        One to four.
    tcspc_resolution_s : float
        Width of a bin in seconds.
    repetition_rate_hz : float
        Laser pulses per second. The histogram may be longer or shorter than the period (see `flim.model`).
    irf : Irf or MeasuredIrf, optional
        Response of the instrument. Without it a Gaussian is fitted, starting from the rising edge.
    fit_irf : bool, optional
        Fit offset and sigma of a Gaussian IRF, or the shift of a measured one; by default only if `irf` is not given.
    fixed : mapping of str to float, optional
        Values of parameters that are not fitted, for example ``{"tau_1": 2.6e-9, "background": 0.0}``.
    bounds : mapping of str to (float, float), optional
        Lowest and highest values. By default lifetimes lie between half a bin and two periods.
    start : FLIMParams, optional
        Where to begin, in any units; by default several starts are tried and the most likely end is returned.
    bins : tuple of int, optional
        First bin, and the one after the last, to fit. Fractions remain those of all photons.
    correct_bias : bool
        Take off the bias that the most likely values have at finite photon counts (see `flim.bias`); at 2,000 photons
        it is about a tenth of a standard error.

    Returns
    -------
    DecayFit
        Data that cannot be fitted (too few photons, NaN, no convergence) give `success` False and a `message`.

    Raises
    ------
    ValueError
        If arguments make no sense: shapes, names, or fixed values that leave no room.

    Examples
    --------
    >>> from scanimage_nwb.flim import DelayAxis, Exp, decay_model
    >>> truth = FLIMParams((Exp(0.6e-9, 0.4), Exp(2.6e-9, 0.6)), Irf(1.5e-9, 0.08e-9), background=0.05)
    >>> histogram = np.random.default_rng(0).poisson(1e6 * decay_model(truth, DelayAxis(629, 20e-12, 80e6)))
    >>> fit = fit_decay(histogram, 2, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
    >>> fit.success, [round(tau * 1e9, 1) for tau in fit.params.lifetimes], round(fit.params.background, 2)
    (True, [0.6, 2.6], 0.05)
    >>> fit.standard_errors["tau_1"] < 0.02e-9
    True
    """
    counts = np.asarray(histogram)
    if counts.ndim != 1:
        raise ValueError(f"{counts.shape=}; expected one histogram, shape (num_bins,); for many, use fit_fractions")
    axis = DelayAxis(counts.size, tcspc_resolution_s, repetition_rate_hz)
    if not 1 <= n_components <= MAX_COMPONENTS:
        raise ValueError(f"{n_components=}; expected 1 to {MAX_COMPONENTS}")
    used = used_bins(axis, bins)
    named_fixed, named_bounds = dict(fixed or {}), dict(bounds or {})
    base = _irf_to_plan(irf, axis)
    is_free = irf is None if fit_irf is None else fit_irf
    if irf is None and not is_free:
        raise ValueError("fit_irf is False, and there is no irf to use")
    plan = FitPlan(axis, used, n_components, base or Irf(0.0, tcspc_resolution_s), is_free, named_fixed, named_bounds)
    problem = check_counts(counts)
    beyond = 0 if problem else int(counts[axis.num_bins_within_period :].sum())
    n_photons = 0 if problem else int(counts[used].sum())
    if not problem and n_photons < plan.n_free:
        problem = f"{n_photons} photons are too few for {plan.n_free} free parameters"
    elif not problem and used.sum() < plan.n_free:
        problem = f"{used.sum()} bins are too few for {plan.n_free} free parameters"
    if problem:
        return failed_fit(plan, problem, n_photons, beyond)
    counts = counts.astype(np.float64)
    first_irf = base or _irf_to_plan(start.irf if start else None, axis) or rough_irf(counts, axis)
    best = _search(counts[used], plan, first_irf, start)
    return _clamp(counts, plan, best, first_irf, (n_photons, beyond), correct_bias)


def used_bins(axis: DelayAxis, bins: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Return which bins are fitted: those asked for that begin within the period."""
    first, stop = (0, axis.num_bins) if bins is None else bins
    if not 0 <= first < stop <= axis.num_bins:
        raise ValueError(f"{bins=}; expected first and stop within 0 and {axis.num_bins}")
    number = np.arange(axis.num_bins)
    used = (number >= first) & (number < min(stop, axis.num_bins_within_period))
    if not used.any():
        raise ValueError(f"{bins=} lie beyond the period of {axis.period_s} s")
    return used


def check_counts(counts: NDArray) -> str:
    """Return what is wrong with a histogram, "" if nothing is."""
    if counts.dtype.kind not in "biuf":
        return f"counts are of type {counts.dtype}, not numbers"
    if not np.isfinite(counts).all():
        return "counts are not finite"
    if (counts < 0).any():
        return "counts are negative"
    return ""


def _irf_to_plan(irf: ResponseIrf | None, axis: DelayAxis) -> ResponseIrf | None:
    """Return the IRF in seconds, of a breadth above zero."""
    if not isinstance(irf, Irf):
        return irf
    inside = irf.as_units("seconds", axis.tcspc_resolution_s)
    if not (math.isfinite(inside.offset) and math.isfinite(inside.sigma)):
        raise ValueError(f"{irf=}; expected finite numbers")
    return Irf(inside.offset, max(inside.sigma, 1e-6 * axis.tcspc_resolution_s))


def _search(counts: Array, plan: FitPlan, irf: ResponseIrf, start: FLIMParams | None) -> Optimum:
    """Return the most likely end of searches from several starts."""
    if start is not None:
        inside = start.as_units("seconds", plan.axis.tcspc_resolution_s)
        if len(inside.exps) != plan.n_components:
            raise ValueError(f"start has {len(inside.exps)} components; expected {plan.n_components}")
        if not np.isfinite(inside.lifetimes).all():
            raise ValueError(f"{start=}; expected finite lifetimes")
        shapes = [(np.array(inside.lifetimes), irf)]
    else:
        shapes = [(tau, irf) for tau in starting_lifetimes(counts, plan, irf)]
        if plan.irf_is_free and isinstance(irf, Irf):
            shapes += [(shapes[0][0], Irf(irf.offset, irf.sigma * factor)) for factor in (0.4, 2.5)]
    limits = plan.limits(irf if isinstance(irf, Irf) else None)
    ends: list[Optimum] = []
    reached = math.inf
    for tau, response in shapes:
        head = np.clip(plan.pack(tau, response), limits[0][: len(plan.free)], limits[1][: len(plan.free)])
        basis = plan.mixing.T @ plan.basis(*plan.shape_of(head))
        amplitudes = np.maximum(weigh_amplitudes(counts, basis), 1e-3 * counts.sum())
        ends.append(maximize_likelihood(counts, plan, np.concatenate([head, amplitudes]), limits, reached=reached))
        reached = min((end.deviance for end in ends if end.converged), default=math.inf)
    lowest = min(end.deviance for end in ends)
    done = [end for end in ends if end.converged and end.deviance <= lowest + _SAME]
    return min(done or ends, key=lambda end: end.deviance)


def _clamp(
    counts: Array, plan: FitPlan, best: Optimum, irf: ResponseIrf, photons: tuple[int, int], correct_bias: bool
) -> DecayFit:
    """Fix fractions and background at bounds that they lie beyond, and search again."""
    fixed, bounds, clamped = dict(plan.fixed), dict(plan.bounds), list[str]()
    while True:
        values = natural_values(plan, best.theta)
        outside = {
            name: min(max(values[name], low), high)
            for name, (low, high) in bounds.items()
            if (name.startswith("fraction") or name == "background") and not low <= values[name] <= high
        }
        if not outside:
            return report_fit(counts, plan, best, photons, clamped, correct_bias)
        name, value = next(iter(outside.items()))
        fixed[name] = value
        bounds.pop(name)
        clamped.append(name)
        plan = FitPlan(plan.axis, plan.used, plan.n_components, plan.irf, plan.irf_is_free, fixed, bounds)
        best = _search(counts[plan.used], plan, irf, None)
