"""How scenes move: the temporal prior, what planes share, and the shifts that follow from both.

The motion of a volume steps to that of the next by a Gaussian of `step_px`, with a small chance of a jump to anywhere;
a plane departs from its volume's motion by a Gaussian of `jitter_px`. Both widths are those under which the frames are
most probable; planes that move on their own are one of the choices.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.motion_chain import forward_backward

__all__ = ["CONTEXT", "Decoded", "MotionModel", "choose_model", "decode", "decode_in_parts"]

STEPS_PX = (0.05, 0.2, 0.4, 0.7, 1.1, 1.8, 3.0, np.inf)
"""Steps between volumes that are tried; infinity is no temporal prior."""
JITTERS_PX = (0.05, 0.25, 0.4, 0.6, 1.0, 2.0)
"""Departures of planes that are tried, besides planes of their own."""
_FLOOR = 1e-20
"""Share of the best shift's likelihood that every shift keeps."""
_JUMP = 1e-3
"""Share of volumes that jump to anywhere."""
_ENOUGH_VOLUMES = 150
"""Volumes whose evidence is asked for; more cost time and change no choice."""
CONTEXT = 24
"""Volumes before and after a run that its temporal prior sees."""
_VECTOR = 8
"""Columns of likelihoods are filled up to a multiple of this."""
_NEGLIGIBLE = 18.0
"""Logarithm of the likelihood, below the best, of shifts that are not looked at if no frame may have them."""


@dataclass(frozen=True, slots=True)
class MotionModel:
    """What is assumed of motion."""

    step_px: float
    """Spread of the motion's step between volumes, along one axis; infinite without a temporal prior."""
    jitter_px: float | None
    """Spread of a plane about its volume's motion; None if planes move on their own."""

    def posterior(self, likelihood: NDArray[np.float32], out: NDArray[np.float32]) -> float:
        """Fill `out` with the posterior of every shift (see `forward_backward`) and return the evidence."""
        step = _taps(self.step_px, likelihood.shape[-1])
        if self.jitter_px is not None:
            return forward_backward(likelihood, step, _taps(self.jitter_px, likelihood.shape[-1]), out)
        parts = [slice(plane, plane + 1) for plane in range(likelihood.shape[1])]
        still = np.ones(1, np.float32), 0.0
        evidence = 0.0
        for part in parts:
            own = np.empty((len(out), 1, *likelihood.shape[2:]), np.float32)
            evidence += forward_backward(np.ascontiguousarray(likelihood[:, part]), step, still, own)
            out[:, part] = own
        return evidence

    def evidence(self, likelihood: NDArray[np.float32]) -> float:
        """Return the logarithm of the probability of the frames."""
        return self.posterior(likelihood, np.empty((0, *likelihood.shape[1:]), np.float32))


def _taps(spread_px: float, n: int) -> tuple[NDArray[np.float32], float]:
    """Return a Gaussian as taps, and the share of jumps to anywhere."""
    if np.isinf(spread_px):
        return np.ones(1, np.float32), 1.0
    if spread_px <= 0:
        return np.ones(1, np.float32), _JUMP
    reach = min(n - 1, int(np.ceil(5 * spread_px)))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread_px) ** 2)
    return (taps / taps.sum()).astype(np.float32), _JUMP


def _likelihood(surfaces: NDArray) -> NDArray[np.float32]:
    """Return likelihoods, the largest of each surface 1, with columns to spare that are 0."""
    *rest, n = surfaces.shape
    likelihood = np.zeros((*rest, -(-n // _VECTOR) * _VECTOR), np.float32)
    best = surfaces.max(axis=(2, 3), keepdims=True)
    np.exp(surfaces - best, out=likelihood[..., :n], dtype=np.float32, casting="same_kind")
    likelihood[..., :n] += np.float32(_FLOOR)
    return likelihood


def _in_question(surfaces: NDArray) -> NDArray:
    """Return surfaces without the outer shifts that no frame may have."""
    best, half = surfaces.max(axis=(2, 3)), surfaces.shape[2] // 2
    told = best > surfaces.min(axis=(2, 3))  # flat surfaces say nothing
    possible = (surfaces > (best - _NEGLIGIBLE)[..., np.newaxis, np.newaxis])[told].any(axis=0)
    if not possible.any():
        return surfaces
    reach = int(np.abs(np.argwhere(possible) - half).max())
    kept = slice(half - min(reach + 2, half), half + min(reach + 2, half) + 1)
    return surfaces[:, :, kept, kept]


def choose_model(
    surfaces: NDArray, smoothness: float | None, share_planes: bool | None, executor: Executor
) -> MotionModel:
    """Return the model under which the frames are most probable.

    Parameters
    ----------
    surfaces : ndarray, shape (volumes, planes, n, n)
        Log-likelihoods.
    smoothness : float or None
        Step in pixels, if it is given.
    share_planes : bool or None
        Whether planes share their motion, if it is given.
    executor : Executor
        Where the evidence of models is found.

    Returns
    -------
    MotionModel
    """
    some = _likelihood(_in_question(surfaces[:_ENOUGH_VOLUMES]))
    steps = STEPS_PX if smoothness is None else (smoothness,)
    alone = surfaces.shape[1] == 1 or share_planes is False
    jitter = None if alone else JITTERS_PX[len(JITTERS_PX) // 3]
    along_steps = [MotionModel(step, jitter) for step in steps]
    best, evidence = _climb(along_steps, len(steps) // 2, some, executor)
    if alone:
        return best
    along_jitters = [MotionModel(best.step_px, jitter) for jitter in JITTERS_PX]
    best, evidence = _climb(along_jitters, len(JITTERS_PX) // 3, some, executor)
    if share_planes is None:
        apart = MotionModel(best.step_px, None)
        best = apart if apart.evidence(some) > evidence else best
    return best


def _climb(
    models: list[MotionModel], start: int, likelihood: NDArray[np.float32], executor: Executor
) -> tuple[MotionModel, float]:
    """Return the model of most evidence and that evidence; it has one peak along the list."""
    known: dict[int, float] = {}
    best = start
    while True:
        near = [rank for rank in (best - 1, best, best + 1) if 0 <= rank < len(models) and rank not in known]
        known.update(zip(near, executor.map(lambda rank: models[rank].evidence(likelihood), near), strict=True))
        last, best = best, max(known, key=known.__getitem__)
        if best == last:
            return models[best], known[best]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Whole-pixel shifts with what is known of them."""

    shifts: NDArray[np.int64]
    """Most probable shift of each frame, shape (volumes, planes, 2)."""
    error_px: NDArray[np.float64]
    """Root mean square distance of the shift from what else it may be, along each axis; same shape."""


def decode(surfaces: NDArray, model: MotionModel) -> Decoded:
    """Return the most probable shift of every frame, given all of them.

    Parameters
    ----------
    surfaces : ndarray, shape (volumes, planes, n, n)
        Log-likelihoods, of volumes that follow one another.
    model : MotionModel
        What is assumed of motion.

    Returns
    -------
    Decoded

    Examples
    --------
    >>> surfaces = np.zeros((3, 1, 5, 5))
    >>> surfaces[[0, 2], :, 4, 1] = 50
    >>> decode(surfaces, MotionModel(0.4, None)).shifts[:, 0].tolist()
    [[2, -1], [2, -1], [2, -1]]
    """
    surfaces = _in_question(surfaces)
    likelihood = _likelihood(surfaces)
    posterior = np.empty_like(likelihood)
    model.posterior(likelihood, posterior)
    n_volumes, n_planes, n, n_padded = posterior.shape
    flat = posterior.reshape(n_volumes, n_planes, n * n_padded).argmax(axis=2)
    shifts = np.stack(np.unravel_index(flat, (n, n_padded)), axis=2) - n // 2
    away = np.arange(n) - n // 2
    along = np.stack([posterior.sum(axis=3), posterior.sum(axis=2)[..., :n]], axis=2).astype(np.float64)
    apart = along * (away - shifts[..., np.newaxis]) ** 2
    return Decoded(shifts, np.sqrt(apart.sum(axis=3)))


def decode_in_parts(surfaces: NDArray, model: MotionModel, executor: Executor, n_parts: int) -> Decoded:
    """Return the same as `decode`, of parts of a run side by side; each sees `CONTEXT` volumes on either side."""
    bounds = np.linspace(0, len(surfaces), min(n_parts, max(1, len(surfaces) // (2 * CONTEXT))) + 1).astype(int)
    own = [slice(first, last) for first, last in pairwise(bounds.tolist())]
    seen = [slice(max(0, part.start - CONTEXT), part.stop + CONTEXT) for part in own]
    found = list(executor.map(lambda part: decode(surfaces[part], model), seen))
    inner = [slice(a.start - b.start, a.stop - b.start) for a, b in zip(own, seen, strict=True)]
    return Decoded(
        np.concatenate([part.shifts[cut] for part, cut in zip(found, inner, strict=True)]),
        np.concatenate([part.error_px[cut] for part, cut in zip(found, inner, strict=True)]),
    )
