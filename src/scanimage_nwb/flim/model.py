"""The periodic model of a decay: what share of a component's photons falls into each delay bin.

A laser pulses for ever, so a photon that comes later than a period is counted with the next pulse. The density over
the period is therefore the sum over all earlier pulses of exponential * IRF. With a Gaussian IRF, one pulse's
cumulative distribution at x after the IRF's centre is that of the exponentially modified Gaussian,

    F(x) = Phi(x / sigma) - E(x),   E(x) = exp(-x / tau + sigma^2 / (2 tau^2)) Phi(x / sigma - sigma / tau),

where E is written with the scaled complementary error function wherever its factors would overflow. Where an earlier
pulse's Gaussian is over (9 sigma after it), Phi is 1 and the sum of E over all pulses before is a geometric series,
taken in closed form; with an IRF narrower than a tenth of the period, no more than one pulse is left beside it. A bin
holds the difference between its edges, steps and exponentials each by themselves, so that tails keep their accuracy.

A histogram need not cover one period. Bins at or beyond the period hold nothing: delays are counted from the last
pulse, so none can be longer (629 bins of 20 ps reach 12.58 ns, and at 80 MHz the last 4 are empty); a bin that the
period cuts holds what comes before the cut. If the histogram is shorter than the period, photons later than its end
are not recorded: components then add up to less than 1 over the bins, and fractions remain those of all photons.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.flim.params import FLIMParams, Irf

__all__ = ["DelayAxis", "MeasuredIrf", "ResponseIrf", "component_responses", "decay_model"]

Array = NDArray[np.float64]
_REACH = 9.0
"""A Gaussian is taken to end after so many sigma: exp(-9^2 / 2) is 3e-18."""
_NOTHING = -38.6
"""So many sigma before the pulse, exp(-u^2 / 2) is less than the smallest number."""
_ROUNDING = 1e-6
"""Part of a bin by which the period may miss an edge for rounding alone."""
_SMALLEST_SIGMA_S = 1e-18
_SMALLEST_TAU_S = 1e-18


@dataclass(frozen=True, slots=True)
class DelayAxis:
    """The bins of a delay histogram, and the laser's period.

    Examples
    --------
    >>> axis = DelayAxis(629, 20e-12, 80e6)
    >>> axis.num_bins_within_period, bool(axis.covers_period)
    (625, True)
    """

    num_bins: int
    """Bins of the histogram."""
    tcspc_resolution_s: float
    """Width of a bin in seconds."""
    repetition_rate_hz: float
    """Laser pulses per second."""

    def __post_init__(self) -> None:
        if self.num_bins < 1:
            raise ValueError(f"num_bins is {self.num_bins}; expected at least 1")
        for name in ("tcspc_resolution_s", "repetition_rate_hz"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} is {getattr(self, name)}; expected a positive number")
        if not 1e-15 < self.tcspc_resolution_s < self.period_s:
            raise ValueError(
                f"{self.tcspc_resolution_s=} with a period of {self.period_s} s; expected seconds and hertz, and bins "
                "shorter than the period"
            )

    @property
    def period_s(self) -> float:
        """Time between laser pulses in seconds."""
        return 1 / self.repetition_rate_hz

    @property
    def num_bins_within_period(self) -> int:
        """Bins that begin before the period ends; those after them hold no photon."""
        return min(self.num_bins, math.ceil(self.period_s / self.tcspc_resolution_s - _ROUNDING))

    @property
    def covers_period(self) -> bool:
        """Whether every photon falls into some bin."""
        return self.num_bins * self.tcspc_resolution_s >= self.period_s - _ROUNDING * self.tcspc_resolution_s

    @property
    def edges_s(self) -> Array:
        """Edges of the bins in seconds, shape (num_bins + 1,); none lies beyond the period."""
        return _edges_of(self)

    @property
    def centres_s(self) -> Array:
        """Centres of the bins in seconds, shape (num_bins,)."""
        return np.linspace(0.5, self.num_bins - 0.5, self.num_bins) * self.tcspc_resolution_s

    @property
    def background(self) -> Array:
        """Share of an even background in each bin, shape (num_bins,)."""
        return np.diff(self.edges_s) * self.repetition_rate_hz


@lru_cache(maxsize=16)
def _edges_of(axis: DelayAxis) -> Array:
    """Return the edges of the bins, computed once for the many models of a fit."""
    edges: Array = np.linspace(0, axis.num_bins * axis.tcspc_resolution_s, axis.num_bins + 1)
    edges[axis.num_bins_within_period + 1 :] = axis.period_s
    edges[edges > axis.period_s] = axis.period_s
    edges.setflags(write=False)
    return edges


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredIrf:
    """A response of the instrument that was measured, as a histogram over the same delay bins.

    Within a bin its photons are taken to be spread evenly.

    Examples
    --------
    >>> irf = MeasuredIrf([0, 1, 2, 1, 0, 0, 0, 0])
    >>> irf.weights[:4].tolist()
    [0.0, 0.25, 0.5, 0.25]
    """

    weights: Array
    """Share of the response in each bin, shape (num_bins,); adds up to 1."""
    shift_s: float = 0.0
    """How much later than measured the response is, in seconds."""

    def __post_init__(self) -> None:
        weights = np.array(self.weights, np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise ValueError("a measured IRF is one histogram of counts, none negative and not all zero")
        weights /= weights.sum()
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)


ResponseIrf = Irf | MeasuredIrf
"""A Gaussian or a measured response."""


class Responses(NamedTuple):
    """Shares of components in the bins, and how they change; arrays of shape (components, num_bins)."""

    share: Array
    d_tau: Array
    """Per second of the lifetime."""
    d_offset: Array
    """Per second of the IRF's offset or shift."""
    d_sigma: Array
    """Per second of the IRF's breadth; zero for a measured one."""


def component_responses(lifetimes_s: ArrayLike, irf: ResponseIrf, axis: DelayAxis) -> Array:
    """Return the share of each component's photons in each bin.

    Parameters
    ----------
    lifetimes_s : array-like, shape (components,)
        Seconds; 0 gives the IRF itself.
    irf : Irf or MeasuredIrf
        Response of the instrument.
    axis : DelayAxis
        Bins and period.

    Returns
    -------
    ndarray of float64, shape (components, num_bins)
        Adds up to 1 over the bins if they cover the period.

    Examples
    --------
    >>> share = component_responses([0.6e-9, 4e-9], Irf(1.5e-9, 0.08e-9), DelayAxis(629, 20e-12, 80e6))
    >>> share.shape, share.sum(axis=1).round(12).tolist()
    ((2, 629), [1.0, 1.0])
    """
    return response_derivatives(np.atleast_1d(np.asarray(lifetimes_s, np.float64)), irf, axis).share


def response_derivatives(tau: Array, irf: ResponseIrf, axis: DelayAxis) -> Responses:
    """Return shares and derivatives of components with lifetimes `tau` in seconds, shape (components,)."""
    tau = np.maximum(tau, _SMALLEST_TAU_S)
    if isinstance(irf, MeasuredIrf):
        return _measured_responses(tau, irf, axis)
    gaussian = irf.as_units("seconds", axis.tcspc_resolution_s)
    return _gaussian_responses(tau[:, np.newaxis], gaussian.offset, max(gaussian.sigma, _SMALLEST_SIGMA_S), axis)


def decay_model(params: FLIMParams, axis: DelayAxis, *, irf: MeasuredIrf | None = None) -> Array:
    """Return the probability of each delay bin.

    Parameters
    ----------
    params : FLIMParams
        The decay, in any units.
    axis : DelayAxis
        Bins and period.
    irf : MeasuredIrf, optional
        In place of the Gaussian of `params`.

    Returns
    -------
    ndarray of float64, shape (num_bins,)
        Adds up to 1 if the bins cover the period; else to the share of photons that is recorded.

    Examples
    --------
    >>> from scanimage_nwb.flim import Exp
    >>> params = FLIMParams((Exp(2.2e-9),), Irf(1.5e-9, 0.08e-9), background=0.05)
    >>> model = decay_model(params, DelayAxis(629, 20e-12, 80e6))
    >>> int(model.argmax()), float(model[625:].sum())
    (83, 0.0)
    """
    inside = params.as_units("seconds", axis.tcspc_resolution_s)
    share = component_responses(inside.lifetimes, inside.irf if irf is None else irf, axis)
    fractions = np.asarray(inside.fractions)
    return (1 - inside.background) * (fractions @ share) + inside.background * axis.background


def _gaussian_responses(tau: Array, offset: float, sigma: float, axis: DelayAxis) -> Responses:
    """Return responses to a Gaussian IRF; `tau` has shape (components, 1)."""
    from scipy.special import erfc

    period = axis.period_s
    x = axis.edges_s - offset
    turns = np.floor(x / period + 0.5)
    x = x - turns * period  # from the nearest pulse: -period / 2 to period / 2
    reach = max(0, math.ceil(_REACH * sigma / period - 0.5))
    steps, step, gaussian = turns, np.zeros_like(x), np.zeros_like(x)
    exponential, d_exponential = _earlier_pulses(x + (reach + 1) * period, tau, sigma, period)
    for pulse in range(-reach, reach + 1):
        t = x + pulse * period
        past = t >= 0
        # Phi, less 1 after the pulse: what is small keeps its digits.
        steps, step = steps + past, step + np.where(past, -0.5, 0.5) * erfc(np.abs(t) / (math.sqrt(2) * sigma))
        normal = np.exp(-0.5 * (t / sigma) ** 2) / math.sqrt(2 * math.pi)
        one = _exponential_part(t, tau, sigma)
        exponential = exponential + one
        d_exponential = d_exponential + one * (t - sigma**2 / tau) / tau**2 + sigma / tau**2 * normal
        gaussian = gaussian + normal / sigma
    share = _differences(steps) + _differences(step) - _differences(exponential)
    density = exponential / tau
    slope = (gaussian - density) / tau
    return Responses(
        np.maximum(share, 0), -_differences(d_exponential), -_differences(density), sigma * _differences(slope)
    )


def _differences(values: Array) -> Array:
    """Return what `numpy.diff` does along the last axis, in half its time."""
    return values[..., 1:] - values[..., :-1]


def _exponential_part(t: Array, tau: Array, sigma: float) -> Array:
    """Return E(t) of the module's docstring without overflow, shape (components, edges)."""
    from scipy.special import erfcx, ndtr

    u, v = np.broadcast_arrays(t / sigma, sigma / tau)
    is_late = u > v
    is_early = ~is_late & (u > _NOTHING)
    found = np.zeros(u.shape)
    late_u, late_v, early_u, early_v = u[is_late], v[is_late], u[is_early], v[is_early]
    found[is_late] = np.exp(np.minimum(late_v * (late_v / 2 - late_u), 0)) * ndtr(late_u - late_v)
    found[is_early] = 0.5 * np.exp(-0.5 * early_u**2) * erfcx((early_v - early_u) / math.sqrt(2))
    return found


def _earlier_pulses(t: Array, tau: Array, sigma: float, period: float) -> tuple[Array, Array]:
    """Return the sum of E over pulses at `t`, `t` + period, and so on, whose Gaussian is over; and its change by tau.

    Components much shorter than sigma are over as well.
    """
    is_left = sigma < _REACH * tau
    exponent = np.where(is_left, (sigma**2 / (2 * tau) - t) / tau, -np.inf)
    series = -1 / np.expm1(-period / tau)
    total = np.exp(exponent) * series
    later = period * np.exp(-period / tau) * series
    return total, np.where(is_left, total * (t + later - sigma**2 / tau) / tau**2, 0.0)


def _measured_responses(tau: Array, irf: MeasuredIrf, axis: DelayAxis) -> Responses:
    """Return responses to a measured IRF; the change by tau is a central difference."""
    if irf.weights.size != axis.num_bins:
        raise ValueError(f"the IRF has {irf.weights.size} bins, the histogram {axis.num_bins}: they must be the same")
    if irf.weights[axis.num_bins_within_period :].any():
        raise ValueError(f"the IRF holds photons beyond the period of {axis.period_s} s")
    step = 1e-4
    share = np.array([_convolve(irf, axis, one)[0] for one in tau])
    offset = np.array([_convolve(irf, axis, one)[1] for one in tau])
    longer = np.array([_convolve(irf, axis, one * (1 + step))[0] for one in tau])
    shorter = np.array([_convolve(irf, axis, one * (1 - step))[0] for one in tau])
    d_tau = (longer - shorter) / (2 * step * tau[:, np.newaxis])
    return Responses(np.maximum(share, 0), d_tau, offset, np.zeros_like(share))


def _convolve(irf: MeasuredIrf, axis: DelayAxis, tau: float) -> tuple[Array, Array]:
    """Return the share of one component in the bins, and its change per second of shift.

    The response of bin l at edge e depends on e - l alone, except that the period cuts the last edges.
    """
    width, n = axis.tcspc_resolution_s, axis.num_bins
    within = axis.num_bins_within_period
    lags: Array = np.arange(1 - n, n + 1, dtype=np.float64) * width - irf.shift_s
    share, density = np.zeros(n), np.zeros(n)
    full = slice(0, within - 1 if axis.edges_s[within] < within * width * (1 - 1e-12) else within)
    step, smooth, rate = _box_cumulative(lags, width, tau, axis.period_s)
    kernel, change = np.diff(step) + np.diff(smooth), -np.diff(rate)
    share[full] = np.convolve(kernel, irf.weights)[n - 1 : 2 * n - 1][full]
    density[full] = np.convolve(change, irf.weights)[n - 1 : 2 * n - 1][full]
    if full.stop < within:
        at = axis.edges_s[within - 1 : within + 1, np.newaxis] - np.arange(n) * width - irf.shift_s
        step, smooth, rate = _box_cumulative(at, width, tau, axis.period_s)
        share[within - 1] = (np.diff(step, axis=0) + np.diff(smooth, axis=0))[0] @ irf.weights
        density[within - 1] = -np.diff(rate, axis=0)[0] @ irf.weights
    return share, density


def _box_cumulative(x: Array, width: float, tau: float, period: float) -> tuple[Array, Array, Array]:
    """Return the cumulative distribution at `x` of light that comes evenly in (0, width) and decays, periodically.

    Returned as its steps and the rest, averages over (x - width, x) of ``floor(t / period) + 1`` and of
    ``R(t) = -(exp(-r / tau) - q) / (1 - q)``, r = t mod period; and the density at x.
    """
    q, one_less_q = math.exp(-period / tau), -math.expm1(-period / tau)
    turn, turn_before = np.floor(x / period), np.floor((x - width) / period)
    r, r_before = x - turn * period, x - width - turn_before * period
    decay, decay_before = np.exp(-r / tau), np.exp(-r_before / tau)
    crosses = turn != turn_before
    missing = q * width + tau * (decay - decay_before)
    missing = np.where(crosses, missing - tau * one_less_q, missing)
    steps = turn_before + 1 + np.where(crosses, r / width, 0)
    rate = (np.where(crosses, one_less_q, 0) + decay_before - decay) / (one_less_q * width)
    return steps, missing / (one_less_q * width), rate
