"""The reference: what stood still, found by aligning frames to their mean, again and again."""

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration.motion import MotionModel, choose_model, decode_in_parts
from scanimage_nwb.registration.quality import MatchScale
from scanimage_nwb.registration.sensor import sensor_gain
from scanimage_nwb.registration.subpixel import common_phase, refine_peaks, sample_between
from scanimage_nwb.registration.surfaces import Frames, Matcher
from scanimage_nwb.registration.template import Canvas, Gathering, Template, choose_smoothing
from scanimage_nwb.threads import usable_threads

__all__ = ["PlaneReference", "Reference", "build_reference"]

_FIRST_SMOOTHING_PX = 2.2
"""The first template is smoothed at least so, lest noise and fixed patterns hold frames where they are."""
_ROOM_PX = 3
"""Shifts beyond the largest one found that are still looked at in the next round."""
_SETTLED = 2.5e-2
"""Share of frames that may still move when the rounds end."""
_CHOOSING_ROUNDS = (2, 3)
"""Rounds in which smoothing and motion model are chosen anew."""
_FIRST_MODEL = MotionModel(2.0, None)
"""Assumed of motion before there is anything to choose by."""
_FOLDS = 6
"""Parts of the frames that are compared with the template of the others."""
_UNUSUAL_BRIGHTNESS = 4.0
"""Frames so many times brighter than the median are kept out of the reference."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaneReference:
    """What frames of one plane are compared with."""

    matcher: Matcher
    """Template of all frames."""
    without: tuple[Matcher, ...]
    """Template of all frames but those of each fold, for frames that helped to make it."""
    scale: MatchScale
    """What the match is measured by."""
    usual_match: float
    """Median match of the frames that made the reference."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What frames are compared with, and what is assumed of their motion."""

    planes: tuple[PlaneReference, ...]
    """Each plane's."""
    volumes: NDArray[np.int64]
    """Volumes that made it; volume i of these is in fold ``i % folds``."""
    model: MotionModel
    """Assumed of motion."""
    n_rounds: int
    """Rounds it took."""


class _Plane:
    """Frames of a plane while the reference is built."""

    def __init__(self, frames: NDArray, margin: int) -> None:
        self.n_folds = min(_FOLDS, len(frames))
        self._compared = Frames(frames)
        self.frames, self.photons = self._compared.counts, self._compared.n_photons
        self.margin = margin
        self.usable = self.usual_brightness()
        self.shifts = np.zeros((len(frames), 2), np.int64)
        self.smoothing_px = _FIRST_SMOOTHING_PX
        self.usual_match = 1.0
        self._gathering = Gathering(self.frames, margin, self.n_folds)
        self._canvas: Canvas | None = None

    def move(self, shifts: NDArray[np.int64]) -> None:
        """Give frames new shifts."""
        self.shifts, self._canvas = shifts, None

    def usual_brightness(self) -> NDArray[np.bool_]:
        """Return which frames have photons, and not far too many."""
        some = self.photons > 0
        if not some.any():
            return some
        return some & (self.photons <= _UNUSUAL_BRIGHTNESS * np.median(self.photons[some]))

    def brightness(self) -> NDArray[np.float64]:
        """Return how bright each frame is, 1 on average; 0 for those of no use."""
        brightness = np.where(self.usable, self.photons, 0.0)
        return brightness / max(brightness.sum() / max(self.usable.sum(), 1), 1e-9)

    def gather(self) -> Canvas:
        """Add up frames where they are now, freed of what stays put on the sensor."""
        if self._canvas is None:
            self._canvas = self._gathering.canvas(self.shifts, self.brightness())
        return self._canvas

    def measure_gain(self) -> bool:
        """Find what stays put on the sensor while the scene moves; return whether there is any."""
        rate = self.gather().smooth(self.smoothing_px).rate(self.smoothing_px)
        found = sensor_gain(self.frames, rate, self.shifts + self.margin, self.brightness())
        if found is not None:
            self._gathering = Gathering(self.frames / found, self.margin, self.n_folds)
            self._canvas = None
        return found is not None

    def rates(self, choose: bool) -> list[NDArray[np.float32]]:
        """Return the brightness of all frames, and that of all but each fold.

        Frames that are compared with a template which they helped to make cling to where they were put.
        """
        canvas = self.gather()
        if choose:
            self.smoothing_px = choose_smoothing(canvas)
        smooth = canvas.smooth(self.smoothing_px)
        whole = smooth.rate(self.smoothing_px)
        return [whole, *(smooth.rates_without(self.smoothing_px) if self.n_folds > 1 else [whole])]

    def matcher(self, rate: NDArray[np.float32], max_shift: int) -> Matcher:
        """Prepare a template."""
        return Matcher.make(Template.from_rate(rate, self.margin, self.smoothing_px), max_shift)

    def reference(self, max_shift: int) -> PlaneReference:
        """Return what is to be compared with, made of frames where they are now."""
        whole, *without = (self.matcher(rate, max_shift) for rate in self.rates(choose=False))
        return PlaneReference(whole, tuple(without), MatchScale.of(whole), self.usual_match)

    def compare_fold(self, fold: int, rate: NDArray[np.float32], max_shift: int) -> NDArray[np.float32]:
        """Compare the frames of a fold with the template of the others."""
        own = np.arange(fold, len(self.frames), self.n_folds)
        return self.matcher(rate, max_shift).surfaces(self._compared, own)

    def finish(
        self, rate: NDArray[np.float32], parts: list[NDArray[np.float32]], max_shift: int
    ) -> NDArray[np.float32]:
        """Put the folds' surfaces together, flat for frames that are of no use.

        They are sampled where the shifts of frames that move in whole pixels lie.
        """
        matcher = self.matcher(rate, max_shift)
        surfaces = np.empty((len(self.shifts), 2 * max_shift + 1, 2 * max_shift + 1), np.float32)
        for fold, part in enumerate(parts):
            surfaces[fold :: self.n_folds] = part
        scale = MatchScale.of(matcher)
        match, chance = scale.match(matcher, surfaces, self.photons)
        self.usable = self.usual_brightness()
        self.usual_match = float(np.median(match[self.usable])) if self.usable.any() else 0.0
        self.usable &= ~scale.is_unlike(match, chance, self.usual_match)
        self._canvas = None
        surfaces[~self.usable] = 0
        peak = np.unravel_index(surfaces.reshape(len(surfaces), -1).argmax(axis=1), surfaces.shape[1:])
        peaks = refine_peaks(surfaces, np.stack(peak, axis=1) - max_shift)
        return sample_between(surfaces, common_phase(peaks.shifts[self.usable]))


def build_reference(
    frames: list[NDArray],
    volumes: NDArray[np.int64],
    *,
    max_shift: int,
    n_iterations: int,
    smoothness: float | None,
    share_planes: bool | None,
    executor: Executor,
) -> Reference:
    """Build the reference of every plane.

    Parameters
    ----------
    frames : list of ndarray, shape (volumes, rows, columns)
        Counts of each plane; volumes follow one another, but for a few gaps.
    volumes : ndarray of int64, shape (volumes,)
        Which volumes of the recording these are, in order.
    max_shift : int
        Largest shift.
    n_iterations : int
        Rounds at most.
    smoothness, share_planes
        As for `register`.
    executor : Executor
        Does the work of planes side by side.

    Returns
    -------
    Reference
    """
    margin = Matcher.margin_for(max_shift)
    planes = list(executor.map(partial(_Plane, margin=margin), frames))
    reach, model = max_shift, _FIRST_MODEL if smoothness is None else MotionModel(smoothness, None)
    has_gain = False
    for n_rounds in range(1, n_iterations + 1):
        choose = n_rounds in _CHOOSING_ROUNDS
        surfaces = _compare(planes, choose, reach, executor)
        if choose or n_rounds == n_iterations == 1:
            model = choose_model(surfaces, smoothness, share_planes, executor)
        moved = _move(planes, decode_in_parts(surfaces, model, executor, usable_threads(8)).shifts, max_shift)
        largest = max(int(np.abs(plane.shifts).max()) for plane in planes)
        reach = min(max_shift, max(largest + _ROOM_PX, 2 * _ROOM_PX))
        settled = moved <= _SETTLED and n_rounds > 1
        if not (settled or has_gain):
            continue
        had_gain, has_gain = has_gain, any(list(executor.map(_Plane.measure_gain, planes)))
        if settled and (had_gain or not has_gain):
            break
    made = executor.map(partial(_Plane.reference, max_shift=max_shift), planes)
    return Reference(tuple(made), volumes, model, n_rounds)


def _compare(planes: list[_Plane], choose: bool, max_shift: int, executor: Executor) -> NDArray[np.float32]:
    """Compare every frame with the template of the others, fold by fold, so that a single plane keeps threads busy."""
    rates = list(executor.map(partial(_Plane.rates, choose=choose), planes))
    folds = [
        [executor.submit(plane.compare_fold, fold, rate, max_shift) for fold, rate in enumerate(own[1:])]
        for plane, own in zip(planes, rates, strict=True)
    ]
    parts = [[part.result() for part in own] for own in folds]
    whole = (own[0] for own in rates)
    return np.stack(list(executor.map(partial(_Plane.finish, max_shift=max_shift), planes, whole, parts)), axis=1)


def _move(planes: list[_Plane], shifts: NDArray[np.int64], max_shift: int) -> float:
    """Give frames their new shifts, the median of all taken off; return the share that changed."""
    usable = np.array([plane.usable for plane in planes]).T
    if not usable.any():
        return 0.0
    centre = np.round(np.median(shifts[usable], axis=0)).astype(np.int64)
    shifts = np.clip(shifts - centre, -max_shift, max_shift)
    changed = [(plane.shifts != shifts[:, i]).any(axis=1)[plane.usable] for i, plane in enumerate(planes)]
    for i, plane in enumerate(planes):
        plane.move(shifts[:, i])
    return float(np.concatenate(changed).mean())
