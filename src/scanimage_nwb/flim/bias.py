"""The bias of a maximum likelihood estimate at finite photon counts, to first order.

Estimates of curved models are biased by the order of 1 / photons. For Poisson counts with means mu(theta), covariance
C and Jacobian J, the bias of theta (Cox and Snell) is ``-C J^T (D / mu) / 2``, with D the second derivative of mu
contracted with C. A function of theta has, beside its slope times that, half its own contracted second derivative.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["contracted_curvature", "estimate_bias"]

Array = NDArray[np.float64]
_STEP = 0.05
"""Of a standard error: where second differences are taken."""


def contracted_curvature(function: Callable[[Array], Array], theta: Array, covariance: Array) -> Array:
    """Return the second derivative of a function, contracted with a covariance.

    Parameters
    ----------
    function : callable
        Of theta, returning an array.
    theta : ndarray, shape (parameters,)
        Where.
    covariance : ndarray, shape (parameters, parameters)
        Not negative definite; zero where parameters are held.

    Returns
    -------
    ndarray
        In the shape that `function` returns.

    Examples
    --------
    >>> contracted_curvature(lambda x: x[:1] ** 2 + x[1:], np.array([1.0, 2.0]), np.diag([3.0, 5.0])).round(9).tolist()
    [6.0]
    """
    scale = np.sqrt(np.diagonal(covariance))
    unit = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
    middle = function(theta)
    total = np.zeros_like(middle)
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 0:
            step = _STEP * np.sqrt(value) * vector * unit
            total += (function(theta + step) + function(theta - step) - 2 * middle) / _STEP**2
    return total


def estimate_bias(mean: Callable[[Array], Array], theta: Array, covariance: Array, jacobian: Array) -> Array:
    """Return the first-order bias of theta.

    Parameters
    ----------
    mean : callable
        Expected counts, shape (bins,), of theta.
    theta : ndarray, shape (parameters,)
        Where.
    covariance : ndarray, shape (parameters, parameters)
        Of theta.
    jacobian : ndarray, shape (parameters, bins)
        Of `mean`.

    Returns
    -------
    ndarray, shape (parameters,)

    Examples
    --------
    The logarithm of a mean that is estimated from one count of 8 is biased by ``-1 / (2 * 8)``:

    >>> theta = np.log([8.0])
    >>> estimate_bias(np.exp, theta, np.array([[1 / 8]]), np.array([[8.0]])).round(4).tolist()
    [-0.0625]
    """
    mu = np.maximum(mean(theta), np.finfo(np.float64).tiny)
    return -0.5 * covariance @ (jacobian @ (contracted_curvature(mean, theta, covariance) / mu))
