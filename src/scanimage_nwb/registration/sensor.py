"""What stays put on the sensor while the scene moves: ringing along lines, lines of unlike gain, vignetting."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["sensor_gain"]

_LEAST_SPREAD = 0.03
"""Relative spread of the gain below which it holds no frame where it is."""
_CERTAIN = 3.0
"""Times that it must exceed what the noise of the photons makes."""
_LEAST_MOTION_PX = 0.5
"""Spread of the motion along an axis below which scene and sensor cannot be told apart."""


def sensor_gain(
    frames: NDArray, rate: NDArray[np.floating], first: NDArray[np.int64], brightness: NDArray[np.float64]
) -> NDArray[np.float32] | None:
    """Return how much brighter each pixel is than the scene that passed it: a gain of its row times one of its column.

    Parameters
    ----------
    frames : ndarray, shape (n, rows, columns)
        Counts.
    rate : ndarray
        What is taken for the scene, photons a frame, on a canvas.
    first : ndarray of int64, shape (n, 2)
        Where the first pixel of each frame lands on the canvas.
    brightness : ndarray, shape (n,)
        Of each frame, 1 on average; 0 leaves it out.

    Returns
    -------
    ndarray of float32, shape (rows, columns), or None
        Mean 1; None if it cannot be told from an even one, or the scene hardly moves.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene, gain = 5 + 4 * rng.random((20, 24)), 1 + 0.3 * np.sin(np.arange(16))
    >>> first = rng.integers(0, 9, (50, 2))
    >>> frames = np.array([rng.poisson(gain * scene[y : y + 12, x : x + 16]) for y, x in first])
    >>> found = sensor_gain(frames, scene, first, np.ones(50))
    >>> bool(np.abs(found - gain / gain.mean()).max() < 0.1)
    True
    >>> frames = np.array([rng.poisson(scene[y : y + 12, x : x + 16]) for y, x in first])
    >>> sensor_gain(frames, scene, first, np.ones(50)) is None
    True
    """
    used = brightness > 0
    if not used.any():
        return None
    along = [_line_gain(frames, rate, first, brightness, axis) for axis in (0, 1)]
    if along[0] is None and along[1] is None:
        return None
    rows, columns = (np.ones(n) if gain is None else gain for gain, n in zip(along, frames.shape[1:], strict=True))
    return np.outer(rows, columns).astype(np.float32)


def _line_gain(
    frames: NDArray,
    rate: NDArray[np.floating],
    first: NDArray[np.int64],
    brightness: NDArray[np.float64],
    axis: int,
) -> NDArray[np.float64] | None:
    """Return the gain of every row (axis 0) or column (axis 1); None if it cannot be told from an even one."""
    used, other = brightness > 0, 1 - axis
    if first[used, axis].std() < _LEAST_MOTION_PX:
        return None
    whole = np.uint64 if frames.dtype.kind in "bui" else np.float64
    seen = frames.sum(axis=1 + other, dtype=whole)[used].sum(axis=0).astype(np.float64)
    lead = [(0, 0), (0, 0)]
    lead[other] = (1, 0)
    sums = np.moveaxis(np.pad(rate.cumsum(axis=other, dtype=np.float64), lead), other, 0)
    n_along, n_across = frames.shape[1 + axis], frames.shape[1 + other]
    expected = np.zeros(n_along)
    for place, factor in zip(first[used], brightness[used], strict=True):
        along, across = slice(place[axis], place[axis] + n_along), place[other]
        expected += factor * (sums[across + n_across, along] - sums[across, along])
    if not (seen > 0).all() or not (expected > 0).all():
        return None
    gain = seen / expected
    gain /= gain.mean()
    noise = float(np.sqrt((1 / seen).mean()))
    return None if gain.std() < max(_LEAST_SPREAD, _CERTAIN * noise) else gain
