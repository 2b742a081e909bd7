"""Forward-backward over whole-pixel shifts: what each frame's shift is, given all frames of a run of volumes.

The volumes of a run share a hidden motion that steps from one to the next; every plane of a volume follows it with a
jitter of its own. The ``_reference`` is the slow twin.
"""

from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["forward_backward", "forward_backward_reference"]


@numba.njit(cache=True, nogil=True)
def _spread(weights: NDArray, taps: NDArray, jump: float, half: NDArray, out: NDArray) -> None:
    """Convolve with taps along both axes; along each, a share `jump` goes to all shifts alike."""
    n, reach = weights.shape[0], taps.size // 2
    stay = np.float32(1 - jump)
    alike = np.zeros(n, np.float32)
    for i in range(n):
        for j in range(n):
            alike[j] += weights[i, j]
    for j in range(n):
        alike[j] *= np.float32(jump / n)
    for i in range(n):
        row = half[i]
        row[:] = alike
        for k in range(max(0, i - reach), min(n, i + reach + 1)):
            factor, source = stay * taps[k - i + reach], weights[k]
            for j in range(n):
                row[j] += factor * source[j]
    for i in range(n):
        row, source = out[i], half[i]
        total = np.float32(0)
        for j in range(n):
            total += source[j]
        row[:] = total * np.float32(jump / n)
        for k in range(-reach, reach + 1):
            factor = stay * taps[k + reach]
            first, last = max(0, -k), min(n, n - k)
            for j in range(first, last):
                row[j] += factor * source[j + k]


@numba.njit(cache=True, nogil=True)
def _multiply(weights: NDArray, by: NDArray) -> float:
    """Multiply in place, divide by the sum, and return its logarithm."""
    n = weights.shape[0]
    total = np.float64(0)
    for i in range(n):
        part = np.float32(0)
        for j in range(n):
            weights[i, j] *= by[i, j]
            part += weights[i, j]
        total += part
    factor = np.float32(1 / total)
    for i in range(n):
        for j in range(n):
            weights[i, j] *= factor
    return np.log(total)


@numba.njit(cache=True, nogil=True)
def forward_backward(
    likelihood: NDArray[np.float32],
    step: tuple[NDArray[np.float32], float],
    jitter: tuple[NDArray[np.float32], float],
    out: NDArray[np.float32],
) -> float:
    """Return posterior probabilities of shifts, and the evidence for the model.

    Parameters
    ----------
    likelihood : ndarray of float32, shape (volumes, planes, n, n)
        Likelihood of each shift, largest 1, and nowhere 0, so that planes which contradict each other leave something.
    step, jitter : tuple
        Probabilities of a step of the motion between volumes, and of a plane's departure from it, along one axis: an
        odd number of taps, symmetric, and the share of jumps to any shift.
    out : ndarray of float32, like `likelihood`
        Filled with the posterior probabilities of every plane's shift; each sums to 1. With no elements, only the
        evidence is found.

    Returns
    -------
    float
        Natural logarithm of the probability of the frames, up to what the likelihoods leave out.
    """
    n_volumes, n_planes, n = likelihood.shape[0], likelihood.shape[1], likelihood.shape[2]
    half, spread = np.empty((n, n), np.float32), np.empty((n, n), np.float32)
    message, own = np.full((n, n), np.float32(1 / n**2)), np.empty((n, n), np.float32)
    keep = out.size > 0
    kept = n_volumes if keep else 1
    seen = np.empty((kept, n_planes, n, n), np.float32)
    ahead = np.empty((kept, n, n), np.float32)
    evidence = 0.0
    for t in range(n_volumes):
        at = t if keep else 0
        if t > 0:
            _spread(message, step[0], step[1], half, spread)
            message[:] = spread
        ahead[at] = message
        for plane in range(n_planes):
            _spread(likelihood[t, plane], jitter[0], jitter[1], half, seen[at, plane])
            evidence += _multiply(message, seen[at, plane])
    if not keep:
        return evidence
    message[:] = np.float32(1 / n**2)
    for t in range(n_volumes - 1, -1, -1):
        for plane in range(n_planes):
            spread[:] = ahead[t]
            _multiply(spread, message)
            for other in range(n_planes):
                if other != plane:
                    _multiply(spread, seen[t, other])
            _spread(spread, jitter[0], jitter[1], half, own)
            _multiply(own, likelihood[t, plane])
            out[t, plane] = own
        for plane in range(n_planes):
            _multiply(message, seen[t, plane])
        _spread(message, step[0], step[1], half, spread)
        message[:] = spread
    return evidence


def forward_backward_reference(
    likelihood: NDArray, step: tuple[NDArray, float], jitter: tuple[NDArray, float]
) -> tuple[NDArray[np.float64], float]:
    """Return the posterior and the evidence by adding up every path of every plane; only for a few tiny volumes."""
    n_volumes, n_planes, n, _ = likelihood.shape
    flat = likelihood.astype(float).reshape(n_volumes, n_planes, n * n)
    both = []
    for taps, jump in (step, jitter):
        matrix = np.full((n, n), jump / n)
        for i, j in np.ndindex(n, n):
            if abs(i - j) <= len(taps) // 2:
                matrix[i, j] += (1 - jump) * taps[j - i + len(taps) // 2]
        both.append(np.kron(matrix, matrix))
    posterior, total = np.zeros((n_volumes, n_planes, n * n)), 0.0
    for path in np.ndindex(*[n * n] * n_volumes):
        by_plane = both[1][list(path)][:, np.newaxis] * flat
        sums = by_plane.sum(axis=2)
        steps = [both[0][a, b] for a, b in pairwise(path)]
        weight = float(np.prod([1 / n**2, *steps]) * sums.prod())
        total += weight
        posterior += weight * by_plane / sums[..., np.newaxis]
    return (posterior / total).reshape(likelihood.shape), float(np.log(total))
