"""Many decays that share lifetimes: fractions per ROI, pixel block or time point.

`fit_global` finds what is shared, lifetimes and IRF, from the photons of all curves together, and then fractions and
background of every curve; `fit_fractions` does the second half with lifetimes that are known. With lifetimes known the
likelihood of a curve has one top, so no start matters and thousands of curves are solved together.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.flim.fit_plan import Bounds
from scanimage_nwb.flim.fitting import fit_decay, used_bins
from scanimage_nwb.flim.fraction_fit import FractionFit, GlobalFit, empty_fit, reshape_fit
from scanimage_nwb.flim.goodness import pooled_chi_square
from scanimage_nwb.flim.mixture import fit_mixtures, mixture_information
from scanimage_nwb.flim.model import DelayAxis, MeasuredIrf, ResponseIrf, component_responses
from scanimage_nwb.flim.params import FLIMParams
from scanimage_nwb.flim.scoring import poisson_deviance

__all__ = ["fit_fractions", "fit_global"]

Array = NDArray[np.float64]
_CHUNK = 64
"""Curves that are solved together: their arrays stay in the cache, three times as fast as a thousand at once."""
_SINGULAR = 1e-12
"""Least eigenvalue of the information, scaled to ones on its diagonal, that photons are taken to determine."""


def fit_global(
    histograms: ArrayLike,
    n_components: int = 2,
    *,
    tcspc_resolution_s: float,
    repetition_rate_hz: float,
    irf: ResponseIrf | None = None,
    fit_irf: bool | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    start: FLIMParams | None = None,
    bins: tuple[int, int] | None = None,
    min_photons: int = 1,
) -> GlobalFit:
    """Fit lifetimes from the photons of all curves, and fractions of each.

    Parameters
    ----------
    histograms : array-like of int, shape (…, num_bins)
        Photons by delay; curves that are no counts (NaN, negative) are left out of the pool and flagged.
    n_components, tcspc_resolution_s, repetition_rate_hz, irf, fit_irf, fixed, bounds, start, bins
        As for `fit_decay`. A fixed background holds for every curve; other fixed fractions and bounds on fractions
        hold for the pool alone.
    min_photons : int
        Curves with fewer are not fitted.

    Returns
    -------
    GlobalFit
        If the pool cannot be fitted, every curve is flagged with the reason.

    Raises
    ------
    ValueError
        If arguments make no sense, as for `fit_decay`.

    Examples
    --------
    >>> from scanimage_nwb.flim import DelayAxis, Exp, FLIMParams, Irf, decay_model
    >>> axis, irf = DelayAxis(629, 20e-12, 80e6), Irf(1.5e-9, 0.08e-9)
    >>> truth = [FLIMParams((Exp(0.6e-9, f), Exp(2.6e-9, 1 - f)), irf) for f in (0.2, 0.4, 0.6)]
    >>> histograms = [np.random.default_rng(0).poisson(1e5 * decay_model(one, axis)) for one in truth]
    >>> fit = fit_global(histograms, 2, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6, irf=irf)
    >>> abs(fit.shared.params.exps[1].tau - 2.6e-9) < 0.05e-9, fit.curves.fractions[:, 0].round(1).tolist()
    (True, [0.2, 0.4, 0.6])
    """
    counts = _as_counts(histograms)
    curves = counts.reshape(-1, counts.shape[-1])
    are_counts = _are_counts(curves)
    shared = fit_decay(
        curves[are_counts].sum(axis=0),
        n_components,
        tcspc_resolution_s=tcspc_resolution_s,
        repetition_rate_hz=repetition_rate_hz,
        irf=irf,
        fit_irf=fit_irf,
        fixed=fixed,
        bounds=bounds,
        start=start,
        bins=bins,
    )
    axis = DelayAxis(counts.shape[-1], tcspc_resolution_s, repetition_rate_hz)
    if not shared.success:
        reason = f"the photons of all curves together could not be fitted: {shared.message}"
        return GlobalFit(shared, empty_fit(counts.shape[:-1], n_components, reason))
    found: ResponseIrf = shared.params.irf
    if isinstance(irf, MeasuredIrf):
        found = MeasuredIrf(irf.weights, shared.params.irf.offset)
    background = (fixed or {}).get("background")
    fit = _fit_curves(counts, np.array(shared.params.lifetimes), found, axis, (background, bins, min_photons))
    return GlobalFit(shared, fit)


def fit_fractions(
    histograms: ArrayLike,
    params: FLIMParams,
    *,
    tcspc_resolution_s: float,
    repetition_rate_hz: float,
    irf: MeasuredIrf | None = None,
    background: float | None = None,
    bins: tuple[int, int] | None = None,
    min_photons: int = 1,
) -> FractionFit:
    """Fit the fractions of many curves, with lifetimes and IRF known.

    Parameters
    ----------
    histograms : array-like of int, shape (…, num_bins)
        Photons by delay.
    params : FLIMParams
        Its lifetimes and IRF are used, not its fractions and background.
    tcspc_resolution_s, repetition_rate_hz
        As for `fit_decay`.
    irf : MeasuredIrf, optional
        In place of the Gaussian of `params`.
    background : float, optional
        Background of every curve, as a fraction of its photons; fitted if it is not given.
    bins : tuple of int, optional
        First bin, and the one after the last, to fit.
    min_photons : int
        Curves with fewer are not fitted.

    Returns
    -------
    FractionFit

    Raises
    ------
    ValueError
        If shapes or values make no sense. One bad curve among many is no error, but flagged.

    Examples
    --------
    >>> from scanimage_nwb.flim import Exp, Irf
    >>> params = FLIMParams((Exp(0.6e-9, 0.5), Exp(2.6e-9, 0.5)), Irf(1.5e-9, 0.08e-9))
    >>> fit = fit_fractions(np.zeros((3, 4, 629)), params, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
    >>> fit.fractions.shape, str(fit.message[0, 0])
    ((3, 4, 2), '0 photons are fewer than 1')
    """
    counts = _as_counts(histograms)
    axis = DelayAxis(counts.shape[-1], tcspc_resolution_s, repetition_rate_hz)
    inside = params.as_units("seconds", tcspc_resolution_s)
    if background is not None and not 0 <= background < 1:
        raise ValueError(f"{background=}; expected a fraction from 0 to 1, less than 1")
    if not all(
        map(math.isfinite, (*inside.lifetimes, *((inside.irf.offset, inside.irf.sigma) if irf is None else ())))
    ):
        raise ValueError(f"{params=}; lifetimes and IRF must be known")
    lifetimes = np.array(inside.lifetimes)
    response = inside.irf if irf is None else irf
    return _fit_curves(counts, lifetimes, response, axis, (background, bins, min_photons))


def _as_counts(histograms: ArrayLike) -> NDArray:
    counts = np.asarray(histograms)
    if counts.ndim < 2:
        raise ValueError(f"{counts.shape=}; expected shape (…, num_bins) with at least one leading axis")
    if counts.dtype.kind not in "biuf":
        raise ValueError(f"counts are of type {counts.dtype}; expected numbers")
    return counts


def _are_counts(curves: NDArray) -> NDArray[np.bool_]:
    return np.isfinite(curves).all(axis=1) & (curves >= 0).all(axis=1)


def _fit_curves(
    counts: NDArray,
    lifetimes: Array,
    irf: ResponseIrf,
    axis: DelayAxis,
    options: tuple[float | None, tuple[int, int] | None, int],
) -> FractionFit:
    """Fit curves in runs that fit the cache."""
    background, bins, min_photons = options
    used = used_bins(axis, bins)
    basis = np.vstack([component_responses(lifetimes, irf, axis), axis.background])[:, used]
    curves = counts.reshape(-1, counts.shape[-1])
    fit = empty_fit((len(curves),), lifetimes.size, "")
    fit.lifetimes_s[:] = lifetimes
    for first in range(0, len(curves), _CHUNK):
        part = slice(first, first + _CHUNK)
        _fit_run(curves[part], axis, used, basis, (background, min_photons), fit, first)
    return reshape_fit(fit, counts.shape[:-1])


def _fit_run(
    curves: NDArray,
    axis: DelayAxis,
    used: NDArray[np.bool_],
    basis: Array,
    options: tuple[float | None, int],
    fit: FractionFit,
    first: int,
) -> None:
    """Fit one run of curves and write what was found into `fit`, from `first` on."""
    background, min_photons = options
    are_counts = _are_counts(curves)
    n = curves[:, used].astype(np.float64)
    photons = np.where(are_counts, n.sum(axis=1, where=are_counts[:, np.newaxis]), -1).astype(np.int64)
    enough = photons >= max(min_photons, 1)
    number = first + np.arange(len(curves))
    fit.n_photons[number] = photons
    fit.message[number[~are_counts]] = "counts are negative or not finite"
    for i in np.flatnonzero(are_counts & ~enough):
        fit.message[number[i]] = f"{photons[i]} photons are fewer than {max(min_photons, 1)}"
    if not enough.any():
        return
    ratio = None if background is None else background / (1 - background)
    members = basis if ratio is None else basis[:-1] + ratio * basis[-1]
    solved = fit_mixtures(n[enough], members)
    everything = solved.amplitudes.copy()
    if ratio is not None:
        everything = np.hstack([everything, ratio * everything.sum(axis=1, keepdims=True)])
    rows = number[enough]
    _write_fractions(fit, rows, everything, mixture_information(solved.amplitudes, members), ratio is None)
    expected = solved.amplitudes @ members
    fit.deviance[rows] = poisson_deviance(n[enough], expected)
    goodness = pooled_chi_square(n[enough], expected, len(members))
    fit.chi_square[rows], fit.degrees_of_freedom[rows], fit.p_value[rows] = goodness
    dark = everything[:, :-1].sum(axis=1) <= 0
    fit.success[rows] = solved.converged & ~dark
    fit.message[rows[dark]] = "no fluorescence: the components hold no photons"
    fit.message[rows[~solved.converged]] = "no convergence"
    beyond = curves[enough][:, axis.num_bins_within_period :].sum(axis=1)
    for i in np.flatnonzero((beyond > 0) & fit.success[rows]):
        fit.message[rows[i]] = f"{int(beyond[i])} photons lie beyond the period of {axis.period_s} s and were left out"
    lost = rows[~fit.success[rows]]
    for name in ("fractions", "fraction_errors", "background", "background_errors", "mean_lifetime_s"):
        getattr(fit, name)[lost] = np.nan
    for name in ("mean_lifetime_errors_s", "deviance", "chi_square", "p_value"):
        getattr(fit, name)[lost] = np.nan


def _write_fractions(
    fit: FractionFit, rows: NDArray[np.int64], amplitudes: Array, information: Array, background_is_free: bool
) -> None:
    """Write fractions, background and mean lifetime with their errors, by the delta method."""
    emitted, every = amplitudes[:, :-1].sum(axis=1), amplitudes.sum(axis=1)
    n = fit.lifetimes_s.size
    with np.errstate(invalid="ignore", divide="ignore"):
        fractions = amplitudes[:, :-1] / emitted[:, np.newaxis]
        background = amplitudes[:, -1] / every
        # Each row is a parameter, each column an amplitude.
        slopes = np.zeros((len(rows), n + 2, information.shape[1]))
        slopes[:, :n, :n] = (np.eye(n) - fractions[:, :, np.newaxis]) / emitted[:, np.newaxis, np.newaxis]
        if background_is_free:
            slopes[:, n, :] = -(background / every)[:, np.newaxis]
            slopes[:, n, n] += 1 / every
        slopes[:, n + 1] = np.einsum("k,cka->ca", fit.lifetimes_s, slopes[:, :n])
    fit.fractions[rows], fit.background[rows] = fractions, background
    fit.mean_lifetime_s[rows] = fractions @ fit.lifetimes_s
    errors = _errors(slopes, information, amplitudes[:, : information.shape[1]] <= 0)
    # What is left to the only member that has photons, or is zero, has no error of its own.
    could_vary = np.array([n > 1] * n + [background_is_free, n > 1])
    errors[(errors == 0) & could_vary] = np.nan
    fit.fraction_errors[rows] = errors[:, :n]
    fit.background_errors[rows], fit.mean_lifetime_errors_s[rows] = errors[:, n], errors[:, n + 1]


def _errors(slopes: Array, information: Array, empty: NDArray[np.bool_]) -> Array:
    """Return standard errors, shape (curves, parameters): those of amplitudes that are zero are left out.

    0 where nothing is left to vary, NaN where photons cannot tell.
    """
    members = information.shape[1]
    scale = np.sqrt(np.einsum("ckk->ck", information))
    scale = np.where(empty | ~(scale > 0), 1.0, scale)
    unit = information / (scale[:, :, np.newaxis] * scale[:, np.newaxis])
    unit = np.where(empty[:, :, np.newaxis] | empty[:, np.newaxis], np.eye(members), unit)
    projected = np.where(empty[:, np.newaxis], 0.0, slopes / scale[:, np.newaxis])
    usable = np.isfinite(unit.sum(axis=(1, 2)) + projected.sum(axis=(1, 2)))
    values, vectors = np.linalg.eigh(np.where(usable[:, np.newaxis, np.newaxis], unit, np.eye(members)))
    usable &= values[:, 0] > _SINGULAR
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.sqrt((np.einsum("cpa,cae->cpe", projected, vectors) ** 2 / values[:, np.newaxis]).sum(axis=2))
    errors[~usable] = np.nan
    return errors
