"""Poisson maximum likelihood by Fisher scoring, damped and within bounds."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.flim.fit_plan import FitPlan

__all__ = ["Optimum", "maximize_likelihood", "poisson_deviance"]

Array = NDArray[np.float64]
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-7
"""A fit is done when the next step would raise the log likelihood by less: 0.0005 standard errors from the top."""
ROUNDING = 1e-14
"""Of the photons: gains that cannot be told from rounding."""
LEAST_EXPECTED = 1e-100
"""Expected counts are taken to be no less where exponentials underflow; the square of it is still a number."""
_MOST_DAMPING = 1e12
_NEAR, _MATERIAL = 0.5, 1e-3
"""Promised gain in deviance of a search that is near its end, and the least difference between two ends."""


class Optimum(NamedTuple):
    """The end of a search."""

    theta: Array
    expected: Array
    """Expected counts in the used bins."""
    jacobian: Array
    """Their changes by theta, shape (theta, bins)."""
    deviance: float
    held: NDArray[np.bool_]
    """Parameters that a bound holds, shape (theta,)."""
    converged: bool
    n_iterations: int


def poisson_deviance(counts: Array, expected: Array) -> Array:
    """Return twice the log likelihood ratio of counts to expected counts, summed over the last axis.

    Examples
    --------
    >>> float(poisson_deviance(np.array([3.0, 0.0]), np.array([3.0, 2.0])))
    4.0
    """
    from scipy.special import kl_div

    return 2 * kl_div(counts, np.maximum(expected, LEAST_EXPECTED)).sum(axis=-1)


def maximize_likelihood(
    counts: Array,
    plan: FitPlan,
    start: Array,
    limits: tuple[Array, Array],
    max_iterations: int = _MAX_ITERATIONS,
    reached: float = math.inf,
) -> Optimum:
    """Return the most likely theta near `start`.

    Each step solves the expected information, damped along its diagonal, for the free parameters; those that a bound
    holds and the gradient presses against it stay.

    Parameters
    ----------
    counts : ndarray, shape (used bins,)
        Photons.
    plan : FitPlan
        The model.
    start : ndarray, shape (theta,)
        Where the search begins.
    limits : tuple of ndarray
        Lowest and highest theta.
    max_iterations : int
        When the search is given up.
    reached : float
        Deviance at which another search ended: this one is given up where it is about to end no lower.

    Returns
    -------
    Optimum
    """
    lower, upper = limits
    theta = np.clip(start, lower, upper)
    expected, jacobian = plan.expected(theta)
    deviance = float(poisson_deviance(counts, expected))
    damping, converged, iteration = 1e-3, False, 0
    tolerance = _TOLERANCE + ROUNDING * counts.sum()
    held = np.zeros(theta.size, bool)
    for iteration in range(1, max_iterations + 1):  # noqa: B007
        mu = np.maximum(expected, LEAST_EXPECTED)
        gradient = jacobian @ (counts / mu - 1)
        information = (jacobian / mu) @ jacobian.T
        at_bound = theta <= lower, theta >= upper
        step, held = _damped_step(gradient, information, at_bound, 0.0)
        converged = float(gradient @ step) < tolerance
        if converged or _is_beaten(deviance, float(gradient @ step), reached):
            break
        while damping < _MOST_DAMPING:
            step, _ = _damped_step(gradient, information, at_bound, damping)
            trial = _step_to_bound(theta, step, lower, upper)
            new_expected, new_jacobian = plan.expected(trial)
            new_deviance = float(poisson_deviance(counts, new_expected))
            if new_deviance <= deviance:
                break
            damping = max(damping * 8, 1e-3)
        else:
            break
        theta, expected, jacobian, deviance = trial, new_expected, new_jacobian, new_deviance
        damping = max(damping / 10, 1e-9)
    return Optimum(theta, expected, jacobian, deviance, held, converged, iteration)


def _is_beaten(deviance: float, gain: float, reached: float) -> bool:
    """Tell whether a search will end where another one did, or above: near a top, a step gains what it promises."""
    return gain < _NEAR and deviance - gain > reached - _MATERIAL


def _damped_step(
    gradient: Array, information: Array, at_bound: tuple[NDArray[np.bool_], NDArray[np.bool_]], damping: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the step, and which parameters a bound holds against it."""
    at_lower, at_upper = at_bound
    scale = np.sqrt(np.diagonal(information))
    held = (at_lower & (gradient <= 0)) | (at_upper & (gradient >= 0))
    step = np.zeros(gradient.size)
    for _ in range(gradient.size):
        moves = ~held & (scale > 0)
        step[:] = 0
        if moves.any():
            unit = scale[moves]
            matrix = information[np.ix_(moves, moves)] / np.outer(unit, unit)
            matrix[np.diag_indices_from(matrix)] += damping
            step[moves] = np.linalg.lstsq(matrix, gradient[moves] / unit, rcond=None)[0] / unit
        leaving = (at_lower & (step < 0)) | (at_upper & (step > 0))
        if not leaving.any():
            break
        held |= leaving
    return step, held


def _step_to_bound(theta: Array, step: Array, lower: Array, upper: Array) -> Array:
    """Return theta after as much of the step as its bounds leave; the one that stops it lies on its bound."""
    room = np.full(theta.size, np.inf)
    down, up = step < 0, step > 0
    room[down] = (lower[down] - theta[down]) / step[down]
    room[up] = (upper[up] - theta[up]) / step[up]
    part = min(1.0, float(room.min(initial=np.inf)))
    trial = np.clip(theta + part * step, lower, upper)
    stopped = room <= part
    trial[stopped] = np.where(down, lower, upper)[stopped]
    return trial
