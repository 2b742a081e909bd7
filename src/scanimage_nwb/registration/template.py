"""What the frames of a plane show, on a canvas that reaches as far as they move."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.gaussian import convolve_both_axes, gaussian_taps
from scanimage_nwb.kernels.shift_sums import add_boxes, add_shifted

__all__ = ["Canvas", "Gathering", "Template", "choose_smoothing"]

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

    def smooth(self, smoothing_px: float) -> "Canvas":
        """Convolve each fold with a Gaussian."""
        taps, parts = gaussian_taps(smoothing_px), (self.photons, self.exposure)
        smooth = np.empty_like(self.photons), np.empty_like(self.exposure)
        for part, out in zip(parts, smooth, strict=True):
            convolve_both_axes(part, taps, out)
        return Canvas(*smooth, self.margin)

    def rate(self, smoothing_px: float) -> NDArray[np.float32]:
        """Return the brightness, photons a frame, of a smoothed canvas; above 0 everywhere.

        Parameters
        ----------
        smoothing_px : float
            How it was smoothed.

        Returns
        -------
        ndarray of float32
        """
        return _rate(self.photons.sum(axis=0), self.exposure.sum(axis=0), smoothing_px)

    def rates_without(self, smoothing_px: float) -> list[NDArray[np.float32]]:
        """Return the same of all folds but one, for each; parameters as for `rate`."""
        photons, exposure = self.photons.sum(axis=0), self.exposure.sum(axis=0)
        folds = zip(self.photons, self.exposure, strict=True)
        return [_rate(photons - own[0], exposure - own[1], smoothing_px) for own in folds]


class Gathering:
    """Frames added up where they belong; as they move from round to round, only those that did are added anew.

    Parameters
    ----------
    frames : ndarray, shape (n, rows, columns)
        Counts; frame i belongs to fold ``i % n_folds``.
    margin : int
        No shift is larger.
    n_folds : int
        Number of folds.

    Examples
    --------
    >>> frames, still = np.ones((4, 3, 5), np.uint16), np.zeros((4, 2), np.int64)
    >>> gathering = Gathering(frames, 1, 2)
    >>> float(gathering.canvas(still, np.ones(4)).photons.sum())
    60.0
    >>> gathering.canvas(np.array([[0, 0]] * 3 + [[0, 1]]), np.ones(4)).photons[:, 2].tolist()
    [[0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0], [0.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0]]
    """

    def __init__(self, frames: NDArray, margin: int, n_folds: int) -> None:
        n, rows, columns = frames.shape
        self._frames, self._margin = frames, margin
        self._photons = np.zeros((n_folds, rows + 2 * margin, columns + 2 * margin), np.float32)
        self._shifts, self._used = np.zeros((n, 2), np.int64), np.zeros(n, bool)

    def canvas(self, shifts: NDArray[np.int64], brightness: NDArray[np.float64]) -> Canvas:
        """Return the sums.

        Parameters
        ----------
        shifts : ndarray of int64, shape (n, 2)
            What aligns each frame.
        brightness : ndarray, shape (n,)
            Exposure of each; 0 leaves a frame out.

        Returns
        -------
        Canvas
            Good until the next is asked for.
        """
        used = brightness > 0
        moved = (shifts != self._shifts).any(axis=1) | (used != self._used)
        if (moved & self._used).sum() > self._used.sum() // 2:
            self._photons[:] = 0
            moved, self._used = np.ones(len(used), bool), np.zeros(len(used), bool)
        self._add(moved & self._used, self._shifts, -1)
        self._add(moved & used, shifts, 1)
        self._shifts, self._used = shifts.copy(), used
        return Canvas(self._photons, self._exposure(shifts, brightness), self._margin)

    def _add(self, chosen: NDArray[np.bool_], shifts: NDArray[np.int64], sign: int) -> None:
        n_folds = len(self._photons)
        for fold in range(n_folds):
            own = np.flatnonzero(chosen[fold::n_folds]) * n_folds + fold
            add_shifted(self._frames, own, shifts[own] + self._margin, float(sign), self._photons[fold])

    def _exposure(self, shifts: NDArray[np.int64], brightness: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return how long each pixel was looked at, each frame by its brightness."""
        n_folds, exposure = len(self._photons), np.empty_like(self._photons)
        for fold in range(n_folds):
            own = slice(fold, None, n_folds)
            add_boxes(shifts[own] + self._margin, self._frames.shape[1:], brightness[own], exposure[fold])
        return exposure


def _rate(photons: NDArray[np.float32], exposure: NDArray[np.float32], smoothing_px: float) -> NDArray[np.float32]:
    """Divide photons by exposure. Where nobody has looked, all that is known is the mean."""
    mean = max(float(photons.sum()) / max(float(exposure.sum()), 1e-9), 1e-9)
    prior = _PRIOR_PHOTONS / (4 * np.pi * smoothing_px**2) / mean
    return np.maximum((photons + prior * mean) / (np.maximum(exposure, 0) + prior), mean * 1e-4)


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
    >>> choose_smoothing(Gathering(rng.poisson(bright, (40, 32, 32)), 4, 2).canvas(still, np.ones(40))) < 2
    True
    >>> choose_smoothing(Gathering(rng.poisson(0.02, (40, 32, 32)), 4, 2).canvas(still, np.ones(40))) > 4
    True
    """
    canvas = _merge_folds(canvas)
    best, chosen = -np.inf, SMOOTHINGS_PX[-1]
    for smoothing_px in reversed(SMOOTHINGS_PX):  # from the widest, where noise has no say
        score = 0.0
        for fold, rest in enumerate(canvas.smooth(smoothing_px).rates_without(smoothing_px)):
            seen = canvas.exposure[fold] > 0
            rate, photons = rest[seen], canvas.photons[fold][seen]
            n_photons = float(photons.sum(dtype=float))
            if n_photons <= 0:
                continue
            score += float((photons * np.log(rate)).sum(dtype=float))
            score -= n_photons * float(np.log((rate * canvas.exposure[fold][seen]).sum(dtype=float)))
        if score < best:
            break
        best, chosen = score, smoothing_px
    return chosen


def _window_sums(values: NDArray, first: int, length: int, n: int) -> NDArray[np.float64]:
    """Return sums of `length` rows, from row `first` and each of the n - 1 that follow, shape (n, columns)."""
    sums = np.empty((n, values.shape[1]))
    sums[0] = values[first : first + length].sum(axis=0, dtype=np.float64)
    for i in range(1, n):
        sums[i] = sums[i - 1] + values[first + length + i - 1] - values[first + i - 1]
    return sums


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
        first, n_shifts = self.margin - max_shift, 2 * max_shift + 1
        rows, columns = (n - 2 * self.margin for n in self.rate.shape)
        strips = _window_sums(self.rate, first, rows, n_shifts)
        return np.log(_window_sums(np.ascontiguousarray(strips.T), first, columns, n_shifts).T)

    def binned(self, factor: int, max_shift: int) -> "Template":
        """Return the template of frames whose pixels are summed in squares, for shifts up to `max_shift` squares."""
        margin = min(self.margin // factor, max_shift)
        start = self.margin - margin * factor
        rows, columns = ((n - 2 * self.margin) // factor + 2 * margin for n in self.rate.shape)
        cut = self.rate[start : start + rows * factor, start : start + columns * factor]
        rate = cut.reshape(rows, factor, -1).sum(axis=1).reshape(rows, columns, factor).sum(axis=2)
        return Template.from_rate(rate, margin, self.smoothing_px / factor)
