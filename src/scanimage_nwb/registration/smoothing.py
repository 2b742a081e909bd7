"""Fractions of a pixel, smoothed in time and shared between planes as far as the motion itself is."""

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.random_walk import smooth_walks

__all__ = ["UNKNOWN", "smooth_shifts"]

UNKNOWN = 1e6
"""Variance of the shift of a frame that says nothing."""
_SMALLEST_STEP = 1e-6
"""Variance of the step of a scene that stands still."""
_JUMP = 6.0
"""Standard deviations from which a step is a jump."""
_JUMP_VARIANCE = 1e4


def smooth_shifts(
    measured: NDArray[np.float64], variance: NDArray[np.float64], step_px: float | None, shared: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the most probable shifts of frames of a random walk, and their variances.

    Parameters
    ----------
    measured, variance : ndarray, shape (volumes, planes, 2)
        Shift of each frame by itself, and its variance; `UNKNOWN` for frames that say nothing.
    step_px : float or None
        Spread of the motion's step; None to estimate it for each axis.
    shared : bool
        Whether planes follow one motion, each with a jitter that is estimated.

    Returns
    -------
    shifts, variance : ndarray, shape (volumes, planes, 2)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> still, noise = smooth_shifts(rng.normal(0, 0.2, (500, 1, 2)), np.full((500, 1, 2), 0.04), None, False)
    >>> bool(np.abs(still).max() < 0.1)
    True
    """
    if not shared or measured.shape[1] == 1:
        return _smooth(measured, variance, step_px)
    jitter = _jitter_variance(measured, variance)
    weight = 1 / (variance + jitter)
    total = weight.sum(axis=1, keepdims=True)
    common, common_variance = _smooth((weight * measured).sum(axis=1, keepdims=True) / total, 1 / total, step_px)
    share = jitter / (jitter + variance)
    return common + share * (measured - common), (1 - share) ** 2 * common_variance + share * variance


def _smooth(
    measured: NDArray[np.float64], variance: NDArray[np.float64], step_px: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smooth walks of all planes and axes."""
    flat, noise = (np.ascontiguousarray(part.reshape(len(part), -1)) for part in (measured, variance))
    difference, spread = np.diff(flat, axis=0), noise[1:] + noise[:-1]
    step = _step_variance(difference, spread) if step_px is None else np.full(flat.shape[1], step_px**2)
    step = np.maximum(step, _SMALLEST_STEP)
    jump = difference**2 > _JUMP**2 * (spread + step)
    mean, left = np.empty_like(flat), np.empty_like(flat)
    smooth_walks(flat, noise, np.where(jump, _JUMP_VARIANCE, np.broadcast_to(step, difference.shape)), mean, left)
    return mean.reshape(measured.shape), left.reshape(measured.shape)


def _step_variance(difference: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance of steps, without that of the measurements; jumps and unknown frames are left out."""
    known = spread < UNKNOWN / 2
    found = np.zeros(difference.shape[1])
    for i in range(len(found)):
        square, noise = difference[known[:, i], i] ** 2, spread[known[:, i], i]
        if not square.size:
            continue
        usual = square <= 36 * np.median(square)
        found[i] = max(float((square[usual] - noise[usual]).mean()), 0)
    return found


def _jitter_variance(measured: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variance of planes about their volume's motion along each axis, shape (2,)."""
    known: NDArray[np.bool_] = np.all(variance < UNKNOWN / 2, axis=1)
    found = np.zeros(2)
    n_planes = measured.shape[1]
    for axis in range(2):
        own, noise = measured[known[:, axis], :, axis], variance[known[:, axis], :, axis]
        if len(own):
            apart = own - own.mean(axis=1, keepdims=True)
            apart -= np.median(apart, axis=0)
            square = (apart**2).sum(axis=1) / (n_planes - 1)
            usual = square <= 36 * np.median(square)
            found[axis] = max(float((square - noise.mean(axis=1))[usual].mean()), 0)
    return np.maximum(found, _SMALLEST_STEP)
