"""Mixture weights of many curves at once, with a fixed basis: a convex problem, solved for all in array operations."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.flim.scoring import LEAST_EXPECTED, ROUNDING, poisson_deviance

__all__ = ["Mixture", "fit_mixtures", "mixture_information"]

Array = NDArray[np.float64]
_EM_STEPS = 3
_MAX_STEPS = 100
_MAX_HALVINGS = 30
_TOLERANCE = 1e-7
"""Gain in log likelihood that is left when a curve is done."""


class Mixture(NamedTuple):
    """Amplitudes of curves."""

    amplitudes: Array
    """Photons of each member of the basis, shape (curves, members)."""
    converged: NDArray[np.bool_]
    """Shape (curves,)."""


def fit_mixtures(counts: Array, basis: Array) -> Mixture:
    """Return the most likely amplitudes, none negative, of each curve.

    A few steps of expectation maximisation bring all curves near; Newton steps finish them, each for the amplitudes
    that are not held at zero, halved where the likelihood would fall. Curves that are done take no further part.

    Parameters
    ----------
    counts : ndarray of float64, shape (curves, bins)
        Photons; finite, not negative, at least one in each curve.
    basis : ndarray of float64, shape (members, bins)
        Share of each member in the bins; every bin with photons has some.

    Returns
    -------
    Mixture

    Examples
    --------
    >>> basis = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    >>> fit_mixtures(np.array([[10.0, 20.0, 10.0], [4.0, 4.0, 0.0]]), basis).amplitudes.round(3).tolist()
    [[20.0, 20.0], [8.0, 0.0]]
    """
    recorded = basis.sum(axis=1)
    members = len(basis)
    pairs = (basis[:, np.newaxis] * basis).reshape(members**2, -1)
    amplitudes = np.repeat(counts.sum(axis=1, keepdims=True) / recorded.sum(), members, axis=1)
    for _ in range(_EM_STEPS):
        ratio = counts / np.maximum(amplitudes @ basis, LEAST_EXPECTED)
        amplitudes *= ratio @ basis.T / recorded
    converged = np.zeros(len(counts), bool)
    active = np.arange(len(counts))
    deviance = poisson_deviance(counts, amplitudes @ basis)
    tolerance = _TOLERANCE + ROUNDING * counts.sum(axis=1)
    for _ in range(_MAX_STEPS):
        n, a = counts[active], amplitudes[active]
        mu = np.maximum(a @ basis, LEAST_EXPECTED)
        ratio = n / mu
        gradient = ratio @ basis.T - recorded
        curvature = ((ratio / mu) @ pairs.T).reshape(-1, members, members)
        step = _newton_step(a, gradient, curvature)
        trial = _step_to_zero(a, step)
        is_done = (step * gradient).sum(axis=1) < tolerance[active]
        converged[active[is_done]] = True
        going = ~is_done
        active, n, a, trial = active[going], n[going], a[going], trial[going]
        if not active.size:
            break
        a, found, moved = _climb(n, basis, a, trial, deviance[active])
        amplitudes[active], deviance[active] = a, found
        active = active[moved]
    return Mixture(amplitudes, converged)


def _newton_step(a: Array, gradient: Array, curvature: Array) -> Array:
    """Return the Newton step of amplitudes that are not held at zero, shape (curves, members)."""
    members = a.shape[1]
    diagonal = np.einsum("ckk->ck", curvature)
    held = ((a <= 0) & (gradient <= 0)) | (diagonal <= 0)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    unit = curvature / (scale[:, :, np.newaxis] * scale[:, np.newaxis])
    # Members that look the same in a curve's few photons make its matrix singular.
    unit[:, np.arange(members), np.arange(members)] = 1 + 1e-9
    step = np.zeros_like(a)
    for _ in range(members):
        free = ~held
        matrix = np.where(free[:, :, np.newaxis] & free[:, np.newaxis], unit, np.eye(members))
        right = np.where(free, gradient / scale, 0.0)
        step = np.linalg.solve(matrix, right[:, :, np.newaxis])[:, :, 0] / scale
        leaving = (a <= 0) & (step < 0)
        if not leaving.any():
            break
        held |= leaving
    return np.where(held, 0.0, step)


def _step_to_zero(a: Array, step: Array) -> Array:
    """Return amplitudes after as much of the step as leaves none negative; the one that stops it becomes zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        room = np.where(step < 0, a / -step, np.inf)
    part = np.minimum(room.min(axis=1, keepdims=True), 1.0)
    return np.where(room <= part, 0.0, np.maximum(a + part * step, 0))


def _climb(n: Array, basis: Array, a: Array, trial: Array, deviance: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return amplitudes between `a` and `trial` whose deviance is no higher, that deviance, and who has moved."""
    best, lowest, moved = a.copy(), deviance.copy(), np.zeros(len(a), bool)
    left = np.arange(len(a))
    for _ in range(_MAX_HALVINGS):
        found = poisson_deviance(n[left], trial[left] @ basis)
        is_lower = found <= deviance[left]
        won = left[is_lower]
        best[won], lowest[won], moved[won] = trial[won], found[is_lower], True
        left = left[~is_lower]
        if not left.size:
            break
        trial[left] = (trial[left] + a[left]) / 2
    return best, lowest, moved


def mixture_information(amplitudes: Array, basis: Array) -> Array:
    """Return the expected Fisher information of amplitudes, shape (curves, members, members)."""
    members = len(basis)
    pairs = (basis[:, np.newaxis] * basis).reshape(members**2, -1)
    mu = np.maximum(amplitudes @ basis, LEAST_EXPECTED)
    return ((1 / mu) @ pairs.T).reshape(-1, members, members)
