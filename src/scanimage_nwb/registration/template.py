"""What the frames of a plane show, on a canvas that reaches as far as they move."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.shift_sums import add_shifted

__all__ = ["Canvas", "Template", "choose_smoothing"]

SMOOTHINGS_PX = (0.6, 1.0, 1.5, 2.2, 3.2, 4.8, 7.0)
"""Widths of the Gaussians that are tried."""
_PRIOR_PHOTONS = 2.0
"""Photons' worth of the mean brightness that every kernel's area is given; it decides where nobody has looked."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Sums of frames where they belong, in folds: every so many volumes apart, so that one can be left out."""

    photons: NDArray[np.float32]
    """Photons, shape (folds, rows + 2 margin, columns + 2 margin)."""
    exposure: NDArray[np.float32]
    """Frames that looked there, each by its brightness; same shape."""
    margin: int
    """Pixels around a frame that is not shifted."""

    @classmethod
    def gather(
        cls, folds: list[NDArray], shifts: NDArray[np.int64], brightness: NDArray[np.float64], margin: int
    ) -> "Canvas":
        """Add up frames.

        Parameters
        ----------
        folds : list of ndarray, shape (volumes, rows, columns)
            Counts; frame i belongs to fold ``i % len(folds)``.
        shifts : ndarray of int64, shape (n, 2)
            What aligns each frame.
        brightness : ndarray, shape (n,)
            Exposure of each; 0 leaves a frame out.
        margin : int
            No shift is larger.

        Returns
        -------
        Canvas
        """
        _, rows, columns = folds[0].shape
        photons = np.zeros((len(folds), rows + 2 * margin, columns + 2 * margin), np.float32)
        corners = np.zeros((len(folds), photons.shape[1] + 1, photons.shape[2] + 1))
        first = shifts + margin
        weight = (brightness > 0).astype(np.float32)
        for fold, frames in enumerate(folds):
            own = slice(fold, None, len(folds))
            add_shifted(frames, np.ascontiguousarray(first[own]), weight[own].copy(), photons[fold])
            y, x = first[own].T
            for dy, dx, sign in ((0, 0, 1), (rows, 0, -1), (0, columns, -1), (rows, columns, 1)):
                np.add.at(corners[fold], (y + dy, x + dx), sign * brightness[own])
        exposure = corners.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1]
        return cls(photons, np.maximum(exposure, 0).astype(np.float32), margin)

    def smooth(self, smoothing_px: float) -> "Canvas":
        """Convolve each fold with a Gaussian."""
        parts = [_smooth(part, smoothing_px) for part in (self.photons, self.exposure)]
        return Canvas(parts[0], parts[1], self.margin)

    def rate(self, smoothing_px: float, without: int | None = None) -> NDArray[np.float32]:
        """Return the brightness, photons a frame, of a smoothed canvas; above 0 everywhere.

        Parameters
        ----------
        smoothing_px : float
            How it was smoothed.
        without : int, optional
            Fold that is left out.

        Returns
        -------
        ndarray of float32
        """
        photons, exposure = (part.sum(axis=0) for part in (self.photons, self.exposure))
        if without is not None:
            photons, exposure = photons - self.photons[without], exposure - self.exposure[without]
        mean = max(float(photons.sum(dtype=float)) / max(float(exposure.sum(dtype=float)), 1e-9), 1e-9)
        prior = _PRIOR_PHOTONS / (4 * np.pi * smoothing_px**2) / mean
        return np.maximum((photons + prior * mean) / (np.maximum(exposure, 0) + prior), mean * 1e-4)


def _smooth(stack: NDArray[np.float32], width_px: float) -> NDArray[np.float32]:
    """Convolve every image with a Gaussian; nothing is beyond its edges."""
    from scipy.ndimage import gaussian_filter1d

    for axis in (1, 2):
        stack = gaussian_filter1d(stack, width_px, axis=axis, mode="constant", truncate=3.0)
    return stack


def _merge_folds(canvas: Canvas) -> Canvas:
    """Return a canvas of two folds; two are enough to choose by."""
    parts = [np.stack([part[::2].sum(axis=0), part[1::2].sum(axis=0)]) for part in (canvas.photons, canvas.exposure)]
    return Canvas(parts[0], parts[1], canvas.margin)


def choose_smoothing(canvas: Canvas) -> float:
    """Return the smoothing with which all folds but one predict the photons of that one best.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> still = np.zeros((40, 2), np.int64)
    >>> bright = 5 + 4 * np.sin(np.arange(32) / 2) * np.ones((32, 1))
    >>> folds = [rng.poisson(bright, (20, 32, 32)) for _ in range(2)]
    >>> choose_smoothing(Canvas.gather(folds, still, np.ones(40), 4)) < 2
    True
    >>> folds = [rng.poisson(0.02, (20, 32, 32)) for _ in range(2)]
    >>> choose_smoothing(Canvas.gather(folds, still, np.ones(40), 4)) > 4
    True
    """
    canvas = _merge_folds(canvas)
    best, chosen = -np.inf, SMOOTHINGS_PX[-1]
    for smoothing_px in reversed(SMOOTHINGS_PX):  # from the widest, where noise has no say
        smooth, score = canvas.smooth(smoothing_px), 0.0
        for fold in range(len(canvas.photons)):
            seen = canvas.exposure[fold] > 0
            rate, photons = smooth.rate(smoothing_px, fold)[seen], canvas.photons[fold][seen]
            n_photons = float(photons.sum(dtype=float))
            if n_photons <= 0:
                continue
            score += float((photons * np.log(rate)).sum(dtype=float))
            score -= n_photons * float(np.log((rate * canvas.exposure[fold][seen]).sum(dtype=float)))
        if score < best:
            break
        best, chosen = score, smoothing_px
    return chosen


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A plane's log-template, ready to be compared with frames at shifts up to `max_shift`."""

    rate: NDArray[np.floating]
    """Photons a frame of each pixel of the canvas."""
    margin: int
    """Pixels around a frame that is not shifted."""
    smoothing_px: float
    """Width of the Gaussian that smoothed it."""
    log_rate: NDArray[np.float32]
    """Logarithm of the rate, its mean taken off, with columns to spare for whole vectors."""
    level: float
    """What was taken off."""

    @classmethod
    def from_rate(cls, rate: NDArray[np.floating], margin: int, smoothing_px: float) -> "Template":
        """Take the logarithm of a brightness on a canvas."""
        log_rate = np.log(rate)
        level = float(log_rate.mean())
        padded = np.zeros((rate.shape[0], rate.shape[1] + 32), np.float32)
        padded[:, : rate.shape[1]] = log_rate - level
        return cls(rate, margin, smoothing_px, padded, level)

    @property
    def frame(self) -> NDArray[np.floating]:
        """The part of the canvas that a frame shows which is not shifted."""
        m = self.margin
        return self.rate[m : self.rate.shape[0] - m, m : self.rate.shape[1] - m]

    def log_sums(self, max_shift: int) -> NDArray[np.float64]:
        """Return the logarithm of the brightness that a frame shows at each shift, shape (2 max_shift + 1,) * 2."""
        rows, columns = (n - 2 * self.margin for n in self.rate.shape)
        sums = np.pad(self.rate.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        first = self.margin - max_shift + np.arange(2 * max_shift + 1)
        y, x = first[:, np.newaxis], first[np.newaxis]
        return np.log(sums[y + rows, x + columns] - sums[y, x + columns] - sums[y + rows, x] + sums[y, x])

    def binned(self, factor: int, max_shift: int) -> "Template":
        """Return the template of frames whose pixels are summed in squares, for shifts up to `max_shift` squares."""
        margin = min(self.margin // factor, max_shift)
        start = self.margin - margin * factor
        rows, columns = ((n - 2 * self.margin) // factor + 2 * margin for n in self.rate.shape)
        cut = self.rate[start : start + rows * factor, start : start + columns * factor]
        rate = cut.reshape(rows, factor, columns, factor).sum(axis=(1, 3))
        return Template.from_rate(rate, margin, self.smoothing_px / factor)
