"""How well expected counts describe photons."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pooled_chi_square"]

Array = NDArray[np.float64]


def pooled_chi_square(
    counts: ArrayLike, expected: ArrayLike, n_parameters: int, *, least_expected: float = 5.0
) -> tuple[Array, NDArray[np.int64], Array]:
    """Return Pearson's chi-square of curves, over bins pooled until enough photons are expected in each.

    In bins of few photons neither Pearson's sum nor the deviance follows the chi-square distribution. Neighbouring
    bins are therefore joined until at least `least_expected` photons are expected in them; what is left at the end
    joins the last pool.

    Parameters
    ----------
    counts, expected : array-like, shape (curves, bins)
        Photons, and what the model expects of them.
    n_parameters : int
        Parameters that were fitted, the number of photons among them.
    least_expected : float
        Photons expected in a pool.

    Returns
    -------
    chi_square : ndarray of float64, shape (curves,)
    degrees_of_freedom : ndarray of int64, shape (curves,)
        Pools less parameters; where there are none, the other two are NaN.
    p_value : ndarray of float64, shape (curves,)
        Probability of a chi-square as large if the model is true.

    Examples
    --------
    >>> chi_square, freedom, p = pooled_chi_square([[4, 6, 12, 0, 1]], [[5, 5, 10, 2, 2]], 1)
    >>> chi_square.round(3).tolist(), freedom.tolist(), p.round(3).tolist()
    ([0.471], [2], [0.79])
    """
    from scipy.special import chdtrc

    n, mu = np.atleast_2d(np.asarray(counts, np.float64)), np.atleast_2d(np.asarray(expected, np.float64))
    n_curves, n_bins = n.shape
    pool = np.zeros((n_curves, n_bins), np.int64)
    number, filled = np.zeros(n_curves, np.int64), np.zeros(n_curves)
    for i in range(n_bins):
        pool[:, i] = number
        filled += mu[:, i]
        is_full = filled >= least_expected
        number += is_full
        filled[is_full] = 0
    pool = np.minimum(pool, np.maximum(number - 1, 0)[:, np.newaxis])
    place = (pool + np.arange(n_curves)[:, np.newaxis] * n_bins).reshape(-1)
    found = np.bincount(place, n.reshape(-1), n_curves * n_bins).reshape(n_curves, n_bins)
    wanted = np.bincount(place, mu.reshape(-1), n_curves * n_bins).reshape(n_curves, n_bins)
    terms = np.divide((found - wanted) ** 2, wanted, out=np.zeros_like(wanted), where=wanted > 0)
    freedom = np.maximum(number - n_parameters, 0)
    has_freedom = freedom > 0
    chi_square = np.where(has_freedom, terms.sum(axis=1), np.nan)
    p_value = np.where(has_freedom, chdtrc(np.maximum(freedom, 1), np.nan_to_num(chi_square)), np.nan)
    return chi_square, freedom, p_value
