"""What stays put on the sensor while the scene moves: ringing and vignetting along the lines of a scan."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["column_gain"]

_LEAST_SPREAD = 0.03
"""Relative spread of the gain below which it holds no frame where it is."""
_CERTAIN = 3.0
"""Times that it must exceed what the noise of the photons makes."""
_LEAST_MOTION_PX = 0.5
"""Spread of the motion along lines below which scene and sensor cannot be told apart."""


def column_gain(
    folds: list[NDArray], rate: NDArray[np.floating], first: NDArray[np.int64], brightness: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Return how much brighter each column is than the scene that passed it.

    Parameters
    ----------
    folds : list of ndarray, shape (volumes, rows, columns)
        Counts; frame i belongs to fold ``i % len(folds)``.
    rate : ndarray
        What is taken for the scene, photons a frame, on a canvas.
    first : ndarray of int64, shape (n, 2)
        Where the first pixel of each frame lands on the canvas.
    brightness : ndarray, shape (n,)
        Of each frame, 1 on average; 0 leaves it out.

    Returns
    -------
    ndarray of float32, shape (columns,), or None
        Mean 1; None if it cannot be told from an even one, or the scene hardly moves.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene, gain = 5 + 4 * rng.random((20, 24)), 1 + 0.3 * np.sin(np.arange(16))
    >>> first = rng.integers(0, 9, (50, 2))
    >>> frames = np.array([rng.poisson(gain * scene[y : y + 12, x : x + 16]) for y, x in first])
    >>> found = column_gain([frames], scene, first, np.ones(50))
    >>> bool(np.abs(found - gain / gain.mean()).max() < 0.1)
    True
    >>> frames = np.array([rng.poisson(scene[y : y + 12, x : x + 16]) for y, x in first])
    >>> column_gain([frames], scene, first, np.ones(50)) is None
    True
    """
    n, (_, rows, columns) = len(folds), folds[0].shape
    used = brightness > 0
    if not used.any() or first[used, 1].std() < _LEAST_MOTION_PX:
        return None
    seen = np.zeros(columns)
    for fold, frames in enumerate(folds):
        seen += frames[used[fold::n]].sum(axis=(0, 1), dtype=np.float64)
    sums = np.pad(rate.cumsum(axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    expected = np.zeros(columns)
    for (y, x), factor in zip(first[used], brightness[used], strict=True):
        expected += factor * (sums[y + rows, x : x + columns] - sums[y, x : x + columns])
    if not (seen > 0).all() or not (expected > 0).all():
        return None
    gain = seen / expected
    gain /= gain.mean()
    noise = float(np.sqrt((1 / seen).mean()))
    return None if gain.std() < max(_LEAST_SPREAD, _CERTAIN * noise) else gain.astype(np.float32)
