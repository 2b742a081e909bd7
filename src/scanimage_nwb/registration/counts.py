"""From pixel values to photon counts: offset and gain of an analog detector, from the frames themselves.

Where photons make the noise, variance grows with the mean. The line through both gives the gain (its slope) and the
value at which the variance vanishes; values less that, over the gain, have the variance of a Poisson count, read noise
included, whatever the detector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CountScale", "estimate_scale"]

_LEVELS = 32
"""Groups of pixels of like brightness that the line goes through."""


@dataclass(frozen=True, slots=True)
class CountScale:
    """How a pixel's value becomes a count."""

    gain: float = 1.0
    """Values that one photon adds."""
    offset: float = 0.0
    """Value at which there is no noise."""

    @property
    def is_counts(self) -> bool:
        """True if values are counts already."""
        return self.gain == 1 and self.offset == 0

    def apply(self, frames: NDArray) -> NDArray:
        """Return counts, uint16 if they are counts as they are and fit, else float32: kernels are compiled for both."""
        if self.is_counts and frames.dtype.kind in "bui":
            fits = np.can_cast(frames.dtype, np.uint16) or (frames.min() >= 0 and frames.max() <= 65535)
            return frames.astype(np.uint16 if fits else np.float32, copy=False)
        scaled = np.subtract(frames, self.offset, dtype=np.float32)
        scaled /= np.float32(self.gain)
        return scaled


def estimate_scale(runs: list[NDArray]) -> CountScale:
    """Estimate how values become counts from pairs of frames that follow one another.

    Parameters
    ----------
    runs : list of ndarray, shape (n, rows, columns)
        Frames that follow one another, n at least 2.

    Returns
    -------
    CountScale
        Of counts as they are, if these are whole numbers, not negative, and as noisy as photons.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> photons = rng.poisson(np.linspace(0.1, 20, 4096).reshape(64, 64), (50, 64, 64))
    >>> estimate_scale([photons.astype(np.uint16)])
    CountScale(gain=1.0, offset=0.0)
    >>> scale = estimate_scale([photons * 12.0 - 300 + rng.normal(0, 6, photons.shape)])
    >>> round(scale.gain), round(scale.offset, -1)
    (12, -300.0)
    """
    first = np.concatenate([run[:-1] for run in runs]).astype(np.float32)
    difference = np.concatenate([np.diff(run.astype(np.float32), axis=0) for run in runs])
    mean = first.mean(axis=0).ravel()
    # Motion and activity add to the differences of some pairs; the lower half of the pairs knows the noise.
    variance = _typical_variance(difference).ravel()
    order = np.argsort(mean)
    levels = [part for part in np.array_split(order, _LEVELS) if part.size]
    x = np.array([mean[part].mean() for part in levels])
    y = np.array([np.median(variance[part]) for part in levels])
    if np.ptp(x) <= 0 or not (y > 0).any():
        return CountScale()
    gain, at_zero = np.polyfit(x, y, 1)
    if gain <= 0:
        # No line: spread of the frame as a whole, which keeps a likelihood's scale about right.
        gain, at_zero = max(float(y.mean()), 1e-6) / max(float(x.mean() - x.min()), 1e-6), 0.0
    whole = all(run.dtype.kind in "bui" and run.min() >= 0 for run in runs)
    if whole and 0.5 < gain < 2 and abs(at_zero) < 0.5 * max(1.0, float(y.mean())):
        return CountScale()
    # Where a few noisy levels put the line's zero among the values, the darkest level says how far it must be below.
    offset = min(-at_zero / gain, float(x[0]) - max(float(y[0]), 1e-3 * gain) / gain)
    return CountScale(float(gain), float(offset))


def _typical_variance(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return half the mean square of the differences of each pixel, without the most restless tenth of the pairs."""
    restless = (difference**2).mean(axis=(1, 2))
    kept = difference[restless <= np.quantile(restless, 0.9)]
    return (kept**2).mean(axis=0) / 2
