"""Forward-backward over whole-pixel shifts: what each frame's shift is, given all frames of a run of volumes.

The volumes of a run share a hidden motion that steps from one to the next; every plane of a volume follows it with a
jitter of its own. The ``_reference`` is the slow twin.
"""

from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["forward_backward", "forward_backward_reference"]


_ANY_ORDER = {"reassoc", "contract", "nsz"}
"""Sums may be added in any order, so that whole vectors are."""


@numba.njit(cache=True, nogil=True, fastmath=_ANY_ORDER)
def _spread(weights: NDArray, taps: NDArray, jump: float, line: NDArray, out: NDArray) -> None:
    """Convolve with taps along both axes; along each, a share `jump` goes to all shifts alike.

    Columns to spare are 0 and stay so; `line` has `reach` zeros on either side of a row.
    """
    (n, n_padded), reach = weights.shape, taps.size // 2
    stay, share = np.float32(1 - jump), np.float32(jump / n)
    alike = np.zeros(n_padded, np.float32)
    for i in range(n):
        source = weights[i]
        for j in range(n_padded):
            alike[j] += source[j]
    alike *= share
    inner = line[reach : reach + n_padded]
    for i in range(n):
        inner[:] = alike
        for k in range(max(0, i - reach), min(n, i + reach + 1)):
            factor, source = stay * taps[k - i + reach], weights[k]
            for j in range(n_padded):
                inner[j] += factor * source[j]
        total = np.float32(0)
        for j in range(n_padded):
            total += inner[j]
        row = out[i]
        row[:] = total * share
        for k in range(taps.size):
            factor, source = stay * taps[k], line[k : k + n_padded]
            for j in range(n_padded):
                row[j] += factor * source[j]
        row[n:] = 0


@numba.njit(cache=True, nogil=True, fastmath=_ANY_ORDER)
def _multiply(weights: NDArray, by: NDArray) -> float:
    """Multiply in place, divide by the sum, and return its logarithm."""
    total = np.float64(0)
    for i in range(weights.shape[0]):
        row, other = weights[i], by[i]
        part = np.float32(0)
        for j in range(row.size):
            row[j] *= other[j]
            part += row[j]
        total += part
    weights *= np.float32(1 / total)
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
    likelihood : ndarray of float32, shape (volumes, planes, n, n + spare)
        Likelihood of each shift, largest 1, and nowhere 0, so that planes which contradict each other leave something;
        but 0 in columns to spare, which fill up a whole vector.
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
    n_volumes, n_planes, n, n_padded = likelihood.shape
    spread, own = np.empty((n, n_padded), np.float32), np.empty((n, n_padded), np.float32)
    message = np.full((n, n_padded), np.float32(1 / n**2))
    message[:, n:] = 0
    start = message.copy()
    step_line = np.zeros(n_padded + step[0].size - 1, np.float32)
    jitter_line = np.zeros(n_padded + jitter[0].size - 1, np.float32)
    keep = out.size > 0
    kept = n_volumes if keep else 1
    seen = np.empty((kept, n_planes, n, n_padded), np.float32)
    ahead = np.empty((kept, n, n_padded), np.float32)
    evidence = 0.0
    for t in range(n_volumes):
        at = t if keep else 0
        if t > 0:
            _spread(message, step[0], step[1], step_line, spread)
            message[:] = spread
        ahead[at] = message
        for plane in range(n_planes):
            _spread(likelihood[t, plane], jitter[0], jitter[1], jitter_line, seen[at, plane])
            evidence += _multiply(message, seen[at, plane])
    if not keep:
        return evidence
    message[:] = start
    for t in range(n_volumes - 1, -1, -1):
        for plane in range(n_planes):
            spread[:] = ahead[t]
            _multiply(spread, message)
            for other in range(n_planes):
                if other != plane:
                    _multiply(spread, seen[t, other])
            _spread(spread, jitter[0], jitter[1], jitter_line, own)
            _multiply(own, likelihood[t, plane])
            out[t, plane] = own
        for plane in range(n_planes):
            _multiply(message, seen[t, plane])
        _spread(message, step[0], step[1], step_line, spread)
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
