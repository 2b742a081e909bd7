"""Log-likelihood of every whole-pixel shift of every frame, given a template.

A frame's photons are a draw from the template's brightness, shifted: given how many there are, the logarithm of their
probability is the sum of counts times log-template, less the number of photons times the logarithm of the brightness
in view. The frame's own brightness drops out, and with it bleaching.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.shift_likelihood import (
    bin_frames,
    count_frames,
    list_pixels,
    listed_surfaces,
    window_surfaces,
)
from scanimage_nwb.registration.subpixel import refine_peaks
from scanimage_nwb.registration.template import Template

__all__ = ["FINE_SHIFTS", "Frames", "Matcher"]

FINE_SHIFTS = 2
"""Shifts on either side of the coarse peak that are looked at pixel by pixel."""
_MOST_LISTED = 1200
"""Photons a frame up to which going photon by photon is faster than coarse to fine."""
_LISTED_AT_ONCE = 64
"""Frames whose pixels are listed together where there may be many."""
_COARSE = 4
_MOST_MOVES = 4
"""Times that the fine window follows the peak when that lies at its border."""


@dataclass(frozen=True, slots=True, eq=False)
class _Listing:
    """Pixels of frames that are not 0."""

    pixels: NDArray[np.int32]
    values: NDArray[np.float32]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, counts: NDArray, which: NDArray[np.int64], n_lit: NDArray[np.int64]) -> "_Listing":
        """List some frames; `n_lit` is how many pixels of each are not 0."""
        size = int(n_lit[which].sum())
        listing = cls(np.empty(size, np.int32), np.empty(size, np.float32), np.empty(len(which) + 1, np.int64))
        list_pixels(counts, which, listing.pixels, listing.values, listing.bounds)
        return listing


class Frames:
    """Frames that are compared with templates; the photons of those that have few are listed once.

    Parameters
    ----------
    counts : ndarray, shape (n, rows, columns)
        Photon counts, or values scaled to have their variance.
    """

    def __init__(self, counts: NDArray) -> None:
        self.counts = np.ascontiguousarray(counts)
        n = len(counts)
        self.n_photons, self._n_lit = np.empty(n), np.empty(n, np.int64)
        count_frames(self.counts, np.arange(n), self.n_photons, self._n_lit)
        self.has_few: NDArray[np.bool_] = np.zeros(n, bool)
        if counts.dtype.kind in "bui":
            self.has_few |= self.n_photons <= _MOST_LISTED
        few = np.flatnonzero(self.has_few)
        self._rank = np.cumsum(self.has_few) - 1
        self._few = _Listing.of(self.counts, few, self._n_lit)

    def __len__(self) -> int:
        return len(self.counts)

    def listed(self, which: NDArray[np.int64]) -> Iterator[tuple[slice, _Listing, NDArray[np.int64]]]:
        """Yield which of the wanted frames, a listing and their ranks in it, until all of them came."""
        if self.has_few[which].all():
            yield slice(0, len(which)), self._few, self._rank[which]
            return
        for first in range(0, len(which), _LISTED_AT_ONCE):
            own = which[first : first + _LISTED_AT_ONCE]
            yield slice(first, first + len(own)), _Listing.of(self.counts, own, self._n_lit), np.arange(len(own))


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """Compares frames with a template."""

    template: Template
    """Template of the plane."""
    max_shift: int
    """Largest shift."""
    log_sums: NDArray[np.float64]
    """Logarithm of the brightness in view at each shift."""
    coarse: Template | None
    """Template of binned frames, for bright frames; None if frames are too small to be binned."""

    @classmethod
    def make(cls, template: Template, max_shift: int) -> "Matcher":
        """Prepare a template for shifts up to `max_shift`; its margin must be `margin_for(max_shift)`."""
        coarse = None
        if min(template.frame.shape) >= 16 * _COARSE and max_shift > FINE_SHIFTS:
            coarse = template.binned(_COARSE, -(-max_shift // _COARSE))
        return cls(template, max_shift, template.log_sums(max_shift), coarse)

    @staticmethod
    def margin_for(max_shift: int) -> int:
        """Return the margin that a canvas needs."""
        return -(-max_shift // _COARSE) * _COARSE

    def surfaces(self, frames: Frames, which: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return the log-likelihood of each shift (dy, dx) from -max_shift to max_shift.

        Parameters
        ----------
        frames : Frames
            Frames.
        which : ndarray of int64, shape (n,), optional
            Frames that are wanted; by default all.

        Returns
        -------
        ndarray of float32, shape (n, 2 max_shift + 1, 2 max_shift + 1)
            Less the same number for all shifts of a frame. Of bright frames, shifts far from the best are
            interpolated from frames binned fourfold.
        """
        which = np.arange(len(frames)) if which is None else which
        n_shifts = 2 * self.max_shift + 1
        few = frames.has_few[which] | (self.coarse is None)
        if few.all():
            return self._listed(frames, which)
        out = np.empty((len(which), n_shifts, n_shifts), np.float32)
        out[~few] = self._coarse_to_fine(frames.counts, which[~few], frames.n_photons[which[~few]])
        if few.any():
            out[few] = self._listed(frames, which[few])
        return out

    def _listed(self, frames: Frames, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compare photon by photon."""
        n_shifts, n_columns = 2 * self.max_shift + 1, frames.counts.shape[2]
        template, first = self.template.log_rate, self.template.margin - self.max_shift
        found = np.empty((len(which), n_shifts, n_shifts), np.float32)
        for cut, listing, rank in frames.listed(which):
            photons = listing.pixels, listing.values, listing.bounds
            listed_surfaces(*photons, rank, n_columns, template, first, n_shifts, found[cut])
        view = (self.log_sums - self.log_sums.mean()).astype(np.float32)
        found -= frames.n_photons[which].astype(np.float32)[:, np.newaxis, np.newaxis] * view
        return found

    def _coarse_to_fine(
        self, frames: NDArray, which: NDArray[np.int64], n_photons: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Search binned frames, then pixel by pixel around the peak."""
        rough, peak = self._coarse_surfaces(frames, which)
        n, n_shifts = len(which), rough.shape[1]
        width = 2 * FINE_SHIFTS + 1
        open_frames = np.arange(n)
        for _ in range(_MOST_MOVES):
            first = np.clip(peak[open_frames] - FINE_SHIFTS, 0, n_shifts - width)
            fine = self._fine_window(frames, which[open_frames], n_photons[open_frames], first, width)
            inner = fine.reshape(len(fine), -1).argmax(axis=1)
            found = np.stack(np.unravel_index(inner, (width, width)), axis=1)
            _paste(rough, open_frames, first, fine)
            peak[open_frames] = first + found
            moved = ((found == 0) & (first > 0)) | ((found == width - 1) & (first < n_shifts - width))
            open_frames = open_frames[moved.any(axis=1)]
            if not open_frames.size:
                break
        return rough

    def _coarse_surfaces(
        self, frames: NDArray, which: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return surfaces of binned frames, interpolated to single pixels, and the rank of the shift at their peaks."""
        assert self.coarse is not None
        binned = np.empty((len(which), *(n // _COARSE for n in frames.shape[1:])), np.float32)
        bin_frames(frames, which, _COARSE, binned)
        n_coarse = 2 * self.coarse.margin + 1
        found = np.empty((len(binned), n_coarse, n_coarse))
        every = np.arange(len(binned))
        window_surfaces(binned, every, self.coarse.log_rate, np.zeros((len(binned), 2), np.int64), found)
        inside = binned.sum(axis=(1, 2), dtype=np.float64)
        log_sums = self.coarse.log_sums(self.coarse.margin)
        found -= inside[:, np.newaxis, np.newaxis] * (log_sums - log_sums.mean())
        at = np.arange(-self.max_shift, self.max_shift + 1) / _COARSE + self.coarse.margin
        weight = np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(n_coarse))).astype(np.float32)
        best = found.reshape(len(found), -1).argmax(axis=1)
        whole = np.stack(np.unravel_index(best, found.shape[1:]), axis=1) - self.coarse.margin
        peak = np.round(refine_peaks(found, whole).shifts * _COARSE).astype(np.int64) + self.max_shift
        return weight @ found.astype(np.float32) @ weight.T, np.clip(peak, 0, 2 * self.max_shift)

    def _fine_window(
        self,
        frames: NDArray,
        which: NDArray[np.int64],
        n_photons: NDArray[np.float64],
        first: NDArray[np.int64],
        width: int,
    ) -> NDArray[np.float64]:
        """Return the likelihood of a window of shifts of each frame."""
        fine = np.empty((len(which), width, width))
        window_surfaces(frames, which, self.template.log_rate, first + (self.template.margin - self.max_shift), fine)
        reach = np.arange(width)
        y, x = first[:, :1, np.newaxis] + reach[:, np.newaxis], first[:, 1:, np.newaxis] + reach
        return fine - n_photons[:, np.newaxis, np.newaxis] * (self.log_sums - self.log_sums.mean())[y, x]


def _paste(
    surfaces: NDArray[np.float32], which: NDArray[np.int64], first: NDArray[np.int64], fine: NDArray[np.float64]
) -> None:
    """Put fine windows into rough surfaces, which are lifted so that both agree where a shift is whole in both."""
    whole = (surfaces.shape[1] // 2 - first) % _COARSE  # between whole shifts, rough surfaces are chords
    for frame, (y, x), (i, j), window in zip(which, first, whole, fine, strict=True):
        surface = surfaces[frame]
        surface += window[i, j] - surface[y + i, x + j]
        surface[y : y + len(window), x : x + len(window)] = window
