"""How well a frame matches the reference, and which frames are not to be trusted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration.surfaces import Matcher

__all__ = ["FLAGS", "LARGEST_ERROR_PX", "MatchScale"]

FLAGS = ("good", "no signal", "unlike the reference", "uncertain", "at the edge of the search")
"""What a frame's flag means; 0 is good."""
LARGEST_ERROR_PX = 2.0
"""Error, both axes together, above which a shift is uncertain."""
_LEAST_MATCH = 0.5
"""Share of the usual match below which a frame is unlike the reference."""
_CERTAIN = 5.0
"""Standard deviations of chance by which it must be below."""


@dataclass(frozen=True, slots=True)
class MatchScale:
    """What the match of a frame is measured by: 1 for photons drawn from the template, 0 for an even spread."""

    highest: float
    """Mean logarithm of the probability of a photon drawn from the template."""
    lowest: float
    """The same of a photon that may be anywhere."""
    spread: float
    """Standard deviation of the logarithm from photon to photon."""

    @classmethod
    def of(cls, matcher: Matcher) -> "MatchScale":
        """Measure a template."""
        rate = matcher.template.frame
        share = rate / rate.sum()
        log_share = np.log(share)
        highest = float((share * log_share).sum())
        spread = float(np.sqrt(max((share * log_share**2).sum() - highest**2, 0)))
        return cls(highest, float(log_share.mean()), spread)

    def match(self, matcher: Matcher, surfaces: NDArray, n_photons: NDArray) -> tuple[NDArray, NDArray]:
        """Return the match of frames at their best shift and its standard deviation by chance, shape (n,)."""
        best = surfaces.reshape(len(surfaces), -1).max(axis=1).astype(np.float64)
        photons = np.maximum(n_photons, 1e-9)
        mean_log = best / photons + matcher.template.level - matcher.log_sums.mean()
        room = max(self.highest - self.lowest, 1e-9)
        return (mean_log - self.lowest) / room, self.spread / np.sqrt(photons) / room

    @staticmethod
    def is_unlike(match: NDArray, chance: NDArray, usual: float) -> NDArray[np.bool_]:
        """Return which frames match far worse than is usual, and not by chance."""
        return match + _CERTAIN * chance < _LEAST_MATCH * min(usual, 1.0)
