"""Shifts of a fraction of a pixel, from the shape of the likelihood around its peak."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Peaks", "common_phase", "measure_shifts", "refine_peaks", "sample_between"]

_BROAD_VARIANCE = 0.36
"""Variance from which a likelihood's moments tell more of it than its curvature does."""
_REACH = 5
"""Shifts on either side that these moments take in."""
_CERTAIN = 2.0
"""Times that a common phase must exceed what chance makes of frames without one."""
_FIT = np.linalg.pinv(np.array([[1, y, x, y * y / 2, y * x, x * x / 2] for y in (-1, 0, 1) for x in (-1, 0, 1)], float))
"""Least squares fit of a paraboloid to nine points."""


class Peaks:
    """Peaks of likelihoods.

    Parameters
    ----------
    shifts : ndarray, shape (n, 2)
        Where they are, in pixels.
    information : ndarray, shape (n, 2, 2)
        Curvature of the log-likelihood there: the inverse of the covariance of the shift, 1 / px^2; 0 where the
        likelihood has no peak.
    """

    def __init__(self, shifts: NDArray[np.float64], information: NDArray[np.float64]) -> None:
        self.shifts = shifts
        self.information = information


def refine_peaks(surfaces: NDArray, shifts: NDArray[np.int64]) -> Peaks:
    """Fit a paraboloid to the nine shifts around each whole-pixel shift.

    Parameters
    ----------
    surfaces : ndarray, shape (n, k, k)
        Log-likelihoods.
    shifts : ndarray of int64, shape (n, 2)
        Shifts in whole pixels, 0 in the middle of a surface.

    Returns
    -------
    Peaks
        No further than a pixel from the whole-pixel shifts.

    Examples
    --------
    >>> y, x = np.mgrid[-3:4, -3:4]
    >>> peaks = refine_peaks(-8.0 * ((y - 1.25) ** 2 + (x + 0.5) ** 2)[np.newaxis], np.array([[1, 0]]))
    >>> peaks.shifts.round(6).tolist(), peaks.information[0].round(6).tolist()
    ([[1.25, -0.5]], [[16.0, 0.0], [0.0, 16.0]])
    """
    half = surfaces.shape[1] // 2
    middle = np.clip(shifts + half, 1, surfaces.shape[1] - 2)
    around = np.arange(-1, 2)
    y, x = middle[:, 0, np.newaxis] + around, middle[:, 1, np.newaxis] + around
    nine = surfaces[np.arange(len(shifts))[:, np.newaxis, np.newaxis], y[:, :, np.newaxis], x[:, np.newaxis]]
    nine = nine.astype(np.float64).reshape(len(shifts), 9)
    _, gy, gx, yy, yx, xx = _FIT @ (nine - nine.mean(axis=1, keepdims=True)).T
    has_peak = (yy < 0) & (xx < 0) & (yy * xx > yx**2)
    determinant = np.where(has_peak, yy * xx - yx**2, 1.0)
    step = -np.stack([xx * gy - yx * gx, yy * gx - yx * gy], axis=1) / determinant[:, np.newaxis]
    step = np.where(has_peak[:, np.newaxis], np.clip(step, -1, 1), 0.0)
    information = -np.array([[yy, yx], [yx, xx]]).transpose(2, 0, 1) * has_peak[:, np.newaxis, np.newaxis]
    return Peaks(middle - half + step, information)


def measure_shifts(
    surfaces: NDArray[np.float32], shifts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shift that each frame's own likelihood says, near a whole-pixel shift, and its variance.

    Parameters
    ----------
    surfaces, shifts
        As for `refine_peaks`.

    Returns
    -------
    shifts, variance : ndarray, shape (n, 2)
    """
    peaks = refine_peaks(surfaces, shifts)
    covariance = np.linalg.inv(peaks.information + np.eye(2) * 1e-9)
    found, variance = peaks.shifts.copy(), np.diagonal(covariance, axis1=1, axis2=2).copy()
    half = surfaces.shape[1] // 2
    away = np.arange(-half, half + 1)
    for i in np.flatnonzero((variance > _BROAD_VARIANCE).any(axis=1)):
        near = [np.abs(away - shift) <= _REACH for shift in shifts[i]]
        part = surfaces[i][np.ix_(*near)].astype(np.float64)
        weight = np.exp(part - part.max())
        weight /= weight.sum()
        for axis in range(2):
            along, at = weight.sum(axis=1 - axis), away[near[axis]]
            found[i, axis] = (along * at).sum()
            variance[i, axis] = (along * (at - found[i, axis]) ** 2).sum()
    return found, np.maximum(variance, 1e-6)


def common_phase(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of a pixel that shifts have in common, along each axis; 0 where they have none.

    A template that lies between pixels makes every shift of a scene that moves in whole pixels end in the same
    fraction, where rounding tosses a coin.

    Examples
    --------
    >>> common_phase(np.array([[0.4, 0.0], [3.4, 0.3], [-1.6, 0.6]] * 10)).round(3).tolist()
    [0.4, 0.0]
    """
    if not len(shifts):
        return np.zeros(2)
    resultant = np.exp(2j * np.pi * shifts).mean(axis=0)
    certain = np.abs(resultant) > _CERTAIN / np.sqrt(len(shifts))
    return np.where(certain, np.angle(resultant) / (2 * np.pi), 0.0)


def sample_between(surfaces: NDArray[np.float32], phase: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return surfaces at shifts that are a fraction of a pixel, `phase`, beyond whole ones (cubic interpolation).

    Examples
    --------
    >>> parabola = -((np.arange(-4, 5) - 0.5) ** 2).astype(np.float32)
    >>> surface = parabola[:, np.newaxis] + np.zeros(9, np.float32)
    >>> sample_between(surface[np.newaxis], np.array([0.5, 0.0]))[0, 2:7, 4].tolist()
    [-4.0, -1.0, 0.0, -1.0, -4.0]
    """
    from scipy.ndimage import correlate1d

    for axis in (1, 2):
        t = float(phase[axis - 1])
        if t == 0:
            continue
        away = np.abs(np.arange(-2, 3) - t)
        near = 1 - 2.5 * away**2 + 1.5 * away**3
        far = 2 - 4 * away + 2.5 * away**2 - 0.5 * away**3
        taps = np.where(away <= 1, near, np.where(away < 2, far, 0))
        surfaces = correlate1d(surfaces, taps, axis=axis, mode="nearest")
    return surfaces
