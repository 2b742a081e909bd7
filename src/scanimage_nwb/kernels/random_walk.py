"""Positions of random walks from noisy measurements of them: a Kalman filter and its smoother."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["smooth_walks", "smooth_walks_reference"]


@numba.njit(cache=True, nogil=True)
def smooth_walks(
    measured: NDArray[np.float64],
    noise: NDArray[np.float64],
    step: NDArray[np.float64],
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> None:
    """Return what each position is, given all measurements.

    Parameters
    ----------
    measured : ndarray of float64, shape (n, walks)
        Measurements.
    noise : ndarray of float64, shape (n, walks)
        Variance of each; above 0.
    step : ndarray of float64, shape (n - 1, walks)
        Variance of the step that follows each position.
    mean, variance : ndarray of float64, shape (n, walks)
        Filled: mean and variance of each position.
    """
    n = len(measured)
    for walk in range(measured.shape[1]):
        mean[0, walk], variance[0, walk] = measured[0, walk], noise[0, walk]
        for t in range(1, n):
            predicted = variance[t - 1, walk] + step[t - 1, walk]
            gain = predicted / (predicted + noise[t, walk])
            mean[t, walk] = mean[t - 1, walk] + gain * (measured[t, walk] - mean[t - 1, walk])
            variance[t, walk] = gain * noise[t, walk]
        for t in range(n - 2, -1, -1):
            predicted = variance[t, walk] + step[t, walk]
            gain = variance[t, walk] / predicted
            mean[t, walk] += gain * (mean[t + 1, walk] - mean[t, walk])
            variance[t, walk] += gain**2 * (variance[t + 1, walk] - predicted)


def smooth_walks_reference(
    measured: NDArray[np.float64], noise: NDArray[np.float64], step: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance by solving for all positions of a walk at once; parameters as for `smooth_walks`."""
    mean, variance = np.empty(measured.shape), np.empty(measured.shape)
    for walk in range(measured.shape[1]):
        precision = np.diag(1 / noise[:, walk])
        for t, width in enumerate(step[:, walk]):
            precision[t : t + 2, t : t + 2] += np.array([[1, -1], [-1, 1]]) / width
        covariance = np.linalg.inv(precision)
        mean[:, walk] = covariance @ (measured[:, walk] / noise[:, walk])
        variance[:, walk] = np.diag(covariance)
    return mean, variance
