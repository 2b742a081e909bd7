"""What a fit found: the decay, its standard errors and the goodness of fit.

The covariance is the inverse of the expected Fisher information at the optimum, carried over to fractions, background
and mean lifetimes by the delta method. What a bound holds has no error (NaN); a background or component of which the
fit finds nothing widens the errors of the others all the same. The bias that estimates have at finite photon counts is
taken off to first order, where it is small beside the error and the result stays in its range.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.flim.bias import contracted_curvature, estimate_bias
from scanimage_nwb.flim.fit_plan import FitPlan, parameter_names
from scanimage_nwb.flim.goodness import pooled_chi_square
from scanimage_nwb.flim.model import DelayAxis
from scanimage_nwb.flim.params import FLIMParams, Irf, exps_of
from scanimage_nwb.flim.scoring import LEAST_EXPECTED, Optimum

__all__ = ["DecayFit", "failed_fit", "natural_values", "report_fit"]

Array = NDArray[np.float64]
_SINGULAR = 1e-12
"""Least eigenvalue of the information, scaled to ones on its diagonal, that photons are taken to determine."""
_MOST_BIAS = 0.5
"""Of a standard error: a larger bias is more than its first order tells."""
_ROUNDING = 1e-9
_RANGES = {"tau": (0.0, math.inf), "fraction": (0.0, 1.0), "irf": (-math.inf, math.inf), "background": (0.0, 1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class DecayFit:
    """What a fit of one decay found; all times in seconds."""

    success: bool
    """Whether there are numbers to use; if not, they are NaN."""
    message: str
    """Why a fit failed, or what about it deserves a look; "" where there is nothing to say."""
    params: FLIMParams
    """The decay; with a measured IRF, `irf.offset` is its shift and `irf.sigma` NaN."""
    standard_errors: Mapping[str, float]
    """Of every parameter by its name (see `fit_decay`), and of "mean_lifetime" and "amplitude_weighted_lifetime".

    0 for what was fixed; NaN for what a bound holds or photons cannot tell.
    """
    covariance: Array
    """Of the parameters in the order of `names`."""
    names: tuple[str, ...]
    """Of all parameters."""
    n_photons: int
    """Photons in the bins that were fitted."""
    n_photons_beyond: int
    """Photons in bins beyond the laser's period, which no model explains: they are left out, and `message` says so."""
    expected: Array
    """Most likely expected counts in each bin, shape (num_bins,); also in bins that were not fitted."""
    deviance: float
    """Twice the log likelihood ratio to a model that fits every bin; without a known distribution at low counts."""
    chi_square: float
    """Pearson's, over bins pooled to at least 5 expected photons (see `pooled_chi_square`)."""
    degrees_of_freedom: int
    """Pools less free parameters."""
    p_value: float
    """Probability of a chi-square as large if the model is true."""

    @property
    def reduced_chi_square(self) -> float:
        """Chi-square over degrees of freedom: about 1 if the model is true."""
        return self.chi_square / self.degrees_of_freedom if self.degrees_of_freedom else math.nan


def natural_values(plan: FitPlan, theta: Array) -> dict[str, float]:
    """Return every parameter by name."""
    tau, irf = plan.shape_of(theta)
    amplitudes = plan.amplitudes_of(theta)
    total = amplitudes[:-1].sum()
    fractions = amplitudes[:-1] / total if total > 0 else np.full(tau.size, np.nan)
    offset, sigma = (irf.offset, irf.sigma) if isinstance(irf, Irf) else (irf.shift_s, math.nan)
    background = amplitudes[-1] / amplitudes.sum()
    values = (*tau, *fractions, offset, sigma, background)
    return dict(zip(parameter_names(plan.n_components), map(float, values), strict=True))


def _natural_jacobian(plan: FitPlan, theta: Array) -> Array:
    """Return how the parameters, in the order of their names, change with theta."""
    names = parameter_names(plan.n_components)
    tau, irf = plan.shape_of(theta)
    amplitudes = plan.amplitudes_of(theta)
    n_shape, k = len(plan.free), plan.n_components
    jacobian = np.zeros((len(names), theta.size))
    for column, name in enumerate(plan.free):
        slope = {"irf_offset": 1.0, "irf_sigma": getattr(irf, "sigma", 1.0)}.get(name)
        jacobian[names.index(name), column] = tau[int(name[4:])] if slope is None else slope
    emitted, every = amplitudes[:-1].sum(), amplitudes.sum()
    fraction = amplitudes[:-1] / emitted
    d_emitted = plan.mixing[:-1].sum(axis=0)
    jacobian[k : 2 * k, n_shape:] = (plan.mixing[:-1] - np.outer(fraction, d_emitted)) / emitted
    if np.count_nonzero(d_emitted) == 1:  # one amplitude decides them all, and rounding is no error
        jacobian[k : 2 * k] = 0
    d_every = plan.mixing.sum(axis=0)
    jacobian[-1, n_shape:] = (plan.mixing[-1] - amplitudes[-1] / every * d_every) / every
    jacobian[[i for i, name in enumerate(names) if name in plan.fixed]] = 0
    return jacobian


def _covariance(plan: FitPlan, at: Optimum, *, with_empty: bool) -> tuple[Array, NDArray[np.bool_]]:
    """Return the covariance of theta, zero where a bound holds, and which entries have none of their own.

    With `with_empty`, amplitudes that are held at zero vary as far as others are concerned: that there is none of a
    background or component is a finding of the fit, and as uncertain as the rest.
    """
    information = (at.jacobian / np.maximum(at.expected, LEAST_EXPECTED)) @ at.jacobian.T
    scale = np.sqrt(np.diagonal(information))
    may_vary = ~at.held
    if with_empty:
        may_vary[len(plan.free) :] = True
    keep = (scale > 0) & may_vary
    covariance = np.zeros_like(information)
    if keep.any():
        unit = scale[keep]
        correlation = information[np.ix_(keep, keep)] / np.outer(unit, unit)
        values, vectors = np.linalg.eigh(correlation)
        if values[0] < _SINGULAR:
            return covariance, np.ones(scale.size, bool)
        inverse = (vectors / values) @ vectors.T
        covariance[np.ix_(keep, keep)] = inverse / np.outer(unit, unit)
    return covariance, ~keep | at.held


def report_fit(
    counts: Array, plan: FitPlan, best: Optimum, photons: tuple[int, int], clamped: list[str], correct_bias: bool
) -> DecayFit:
    """Return the result of a search in the parameters that people use."""
    values = natural_values(plan, best.theta)
    if not best.converged or not all(math.isfinite(values[f"fraction_{k}"]) for k in range(plan.n_components)):
        reason = "no convergence" if not best.converged else "no fluorescence: the components hold no photons"
        return failed_fit(plan, reason, *photons)
    names = parameter_names(plan.n_components)
    remarks, at = _remarks(plan, best, values, photons, clamped), best
    if correct_bias:
        bias, at = _correct_bias(plan, best, values)
        values = {name: values[name] - one for name, one in zip(names, bias.tolist(), strict=True)}
        if at is best:
            remarks.append("photons are too few to correct the bias of the estimate")
    theta_covariance, unknown = _covariance(plan, at, with_empty=True)
    jacobian = _natural_jacobian(plan, at.theta)
    covariance = jacobian @ theta_covariance @ jacobian.T
    for i in _unknown_parameters(plan, unknown, covariance):
        covariance[i], covariance[:, i] = np.nan, np.nan
    order = _order(plan, values)
    picked = [*order, *(plan.n_components + k for k in order), *range(2 * plan.n_components, len(names))]
    covariance = covariance[np.ix_(picked, picked)]
    found = dict(zip(names, (values[names[i]] for i in picked), strict=True))
    lifetimes, fractions = ([found[f"{kind}_{k}"] for k in range(plan.n_components)] for kind in ("tau", "fraction"))
    offset = found["irf_offset"]
    if isinstance(plan.irf, Irf) and "irf_offset" in plan.free:
        offset %= plan.axis.period_s
    params = FLIMParams(exps_of(lifetimes, fractions), Irf(offset, found["irf_sigma"]), found["background"])
    chi_square, freedom, p_value = pooled_chi_square(counts[plan.used], best.expected, plan.n_free)
    tau, irf = plan.shape_of(best.theta)
    return DecayFit(
        success=True,
        message="; ".join(remarks),
        params=params,
        standard_errors=_errors(covariance, params),
        covariance=covariance,
        names=names,
        n_photons=photons[0],
        n_photons_beyond=photons[1],
        expected=plan.amplitudes_of(best.theta) @ plan.full_basis(tau, irf),
        deviance=best.deviance,
        chi_square=float(chi_square[0]),
        degrees_of_freedom=int(freedom[0]),
        p_value=float(p_value[0]),
    )


def _order(plan: FitPlan, values: dict[str, float]) -> list[int]:
    """Return components by lifetime, or as they are if one of them was named."""
    named = any(name.startswith(("tau", "fraction")) for name in (*plan.fixed, *plan.bounds))
    order = list(range(plan.n_components))
    return order if named else sorted(order, key=lambda k: values[f"tau_{k}"])


def _correct_bias(plan: FitPlan, best: Optimum, values: Mapping[str, float]) -> tuple[Array, Optimum]:
    """Return the bias of every parameter, and the search's end less its own bias.

    The bias belongs to the true theta, and the estimate less its bias is nearer to that than the estimate: so it is
    computed there, after a first time at the estimate. Where it is not small beside the error, or leads out of range,
    it is zero and the end that was given is returned.
    """
    found = np.array(list(values.values()))
    nothing = np.zeros(found.size), best

    def mean(theta: Array) -> Array:
        return plan.expected(theta)[0]

    def report(theta: Array) -> Array:
        return np.array(list(natural_values(plan, theta).values()))

    covariance, _ = _covariance(plan, best, with_empty=False)
    if not _is_narrow(plan, covariance):
        return nothing
    theta = best.theta - estimate_bias(mean, best.theta, covariance, best.jacobian)
    if (theta[len(plan.free) :] < 0).any():
        return nothing
    expected, slopes = plan.expected(theta)
    nearer = best._replace(theta=theta, expected=expected, jacobian=slopes)
    there, _ = _covariance(plan, nearer, with_empty=False)
    if not _is_narrow(plan, there):
        return nothing
    jacobian = _natural_jacobian(plan, best.theta)
    theta_bias = estimate_bias(mean, theta, there, slopes)
    bias = np.nan_to_num(jacobian @ theta_bias + contracted_curvature(report, theta, there) / 2)
    errors = np.sqrt(np.maximum(np.diagonal(jacobian @ covariance @ jacobian.T), 0))
    is_small = (np.abs(bias) <= _MOST_BIAS * errors + _ROUNDING * np.abs(np.nan_to_num(found))).all()
    return (bias, nearer) if is_small and _is_in_range(plan, dict(zip(values, found - bias, strict=True))) else nothing


def _is_in_range(plan: FitPlan, values: Mapping[str, float]) -> bool:
    """Return whether values are possible, and within the bounds that a user gave."""
    ranges = [(values[name], _RANGES[name.split("_")[0]]) for name in values if math.isfinite(values[name])]
    ranges += [(values[name], bounds) for name, bounds in plan.bounds.items()]
    return all(low <= value <= high for value, (low, high) in ranges)


def _is_narrow(plan: FitPlan, covariance: Array) -> bool:
    """Return whether lifetimes and breadth, which are searched as logarithms, are known to less than a factor e."""
    variances = np.diagonal(covariance)
    return all(v < 1 for name, v in zip(plan.free, variances, strict=False) if name != "irf_offset")


def _unknown_parameters(plan: FitPlan, unknown: NDArray[np.bool_], covariance: Array) -> list[int]:
    """Return the ranks of parameters that have no error: held by a bound, or without photons."""
    names = parameter_names(plan.n_components)
    found = [names.index(name) for name, lost in zip(plan.free, unknown, strict=False) if lost]
    lost_amplitudes = unknown[len(plan.free) :]
    if lost_amplitudes.all():
        return list(range(len(names)))
    for row, mix in enumerate(plan.mixing):
        if mix[lost_amplitudes].any() and not mix[~lost_amplitudes].any():
            is_background = row == plan.n_components
            found.append(len(names) - 1 if is_background else plan.n_components + row)
    if lost_amplitudes.any():
        # What is left to the last component that has photons has no error of its own.
        ranks = [names.index(f"fraction_{k}") for k in range(plan.n_components) if f"fraction_{k}" not in plan.fixed]
        found += [i for i in ranks if covariance[i, i] == 0]
    return found


def _errors(covariance: Array, params: FLIMParams) -> dict[str, float]:
    """Return standard errors by name, and those of the mean lifetimes."""
    n = len(params.exps)
    tau, fraction = np.array(params.lifetimes), np.array(params.fractions)
    variances = np.diagonal(covariance)
    errors = dict(zip(parameter_names(n), np.sqrt(np.maximum(variances, 0)).tolist(), strict=True))
    weighted, positive = params.amplitude_weighted_lifetime, np.where(tau > 0, tau, np.nan)
    slopes = {
        "mean_lifetime": np.concatenate([fraction, tau]),
        "amplitude_weighted_lifetime": weighted**2 * np.concatenate([fraction / positive**2, -1 / positive]),
    }
    shape_part = covariance[: 2 * n, : 2 * n]
    # A component without photons has no errors of its own, and takes no part in the mean.
    lost = np.isnan(np.diagonal(shape_part)) & (np.tile(fraction, 2) == 0)
    shape_part = np.where(lost[:, np.newaxis] | lost, 0.0, shape_part)
    for name, slope in slopes.items():
        variance = float(slope @ shape_part @ slope)
        errors[name] = math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else math.nan
    return errors


def _remarks(
    plan: FitPlan, best: Optimum, values: Mapping[str, float], photons: tuple[int, int], clamped: list[str]
) -> list[str]:
    """Return what a user should know of a fit that succeeded."""
    found = []
    empty = [k for k in range(plan.n_components) if values[f"fraction_{k}"] == 0 and f"fraction_{k}" not in plan.fixed]
    if empty:
        found.append(
            f"{len(empty)} of {plan.n_components} components hold no photons: their lifetimes are undetermined"
        )
    held = [name for name, is_held in zip(plan.free, best.held, strict=False) if is_held]
    held = [name for name in held if not (name.startswith("tau") and int(name[4:]) in empty)]
    if held or clamped:
        found.append(f"at a bound, so without an error: {', '.join([*held, *clamped])}")
    if photons[1]:
        found.append(beyond_remark(plan.axis, photons[1]))
    return found


def beyond_remark(axis: DelayAxis, n_photons: int) -> str:
    """Return what to think of photons beyond the period."""
    return (
        f"{n_photons} photons lie beyond the period of {axis.period_s * 1e9:.4g} ns and were left out: is a repetition "
        f"rate of {axis.repetition_rate_hz / 1e6:.6g} MHz right?"
    )


def failed_fit(plan: FitPlan, reason: str, n_photons: int, n_photons_beyond: int) -> DecayFit:
    """Return the result of a fit that found nothing."""
    n, names = plan.n_components, parameter_names(plan.n_components)
    nothing = [math.nan] * n
    derived = ("mean_lifetime", "amplitude_weighted_lifetime")
    return DecayFit(
        success=False,
        message=reason,
        params=FLIMParams(exps_of(nothing, nothing), Irf(math.nan, math.nan), math.nan),
        standard_errors=dict.fromkeys((*names, *derived), math.nan),
        covariance=np.full((len(names), len(names)), np.nan),
        names=names,
        n_photons=n_photons,
        n_photons_beyond=n_photons_beyond,
        expected=np.full(plan.axis.num_bins, np.nan),
        deviance=math.nan,
        chi_square=math.nan,
        degrees_of_freedom=0,
        p_value=math.nan,
    )
