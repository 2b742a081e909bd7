"""`register`: from frames to `RegistrationInfo`."""

import sys
import warnings
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.registration.aligning import Alignment, align_all
from scanimage_nwb.registration.by_suite2p import register_by_suite2p
from scanimage_nwb.registration.counts import CountScale, estimate_scale
from scanimage_nwb.registration.info import RegistrationInfo
from scanimage_nwb.registration.phase import register_by_phase
from scanimage_nwb.registration.quality import FLAGS
from scanimage_nwb.registration.reference import Reference, build_reference
from scanimage_nwb.registration.source import ArraySource, FrameSource
from scanimage_nwb.threads import usable_threads

__all__ = ["METHODS", "Method", "register"]

Method = Literal["poisson", "phase", "suite2p"]
METHODS = ("poisson", "phase", "suite2p")
_MAX_SHIFT = 15
"""Largest shift that is looked for unless told."""
_REFERENCE_VOLUMES = 600
"""Volumes that make the reference."""
_RUN_VOLUMES = 50
"""Volumes that follow one another in each run of these."""
_LEAST_GOOD = 0.2
"""Share of a plane's frames that must be good for any to be."""
_REFERENCE_BYTES = 512 << 20
"""Pixels of all planes that the reference may hold."""


def register(
    frames: FrameSource | ArrayLike,
    *,
    method: Method = "poisson",
    max_shift: int | None = None,
    subpixel: bool = False,
    smoothness: float | None = None,
    share_planes: bool | None = None,
    n_iterations: int = 10,
    signal: Literal["auto", "counts", "analog"] = "auto",
) -> RegistrationInfo:
    """Find the rigid motion of every frame of every plane.

    ``"poisson"`` compares photon counts with the logarithm of a smoothed mean of the aligned frames, the best that can
    be done with counting noise; analog values are first scaled to have its variance. How smooth motion is in time,
    and how far planes of a volume move together, is learned from the recording.

    Parameters
    ----------
    frames : array-like or FrameSource
        Frames of one colour: shape (volumes, rows, columns) or (volumes, planes, rows, columns), or what reads them.
    method : {'poisson', 'phase', 'suite2p'}
        How frames are compared; ``"phase"`` is phase correlation, which knows neither noise nor time; ``"suite2p"``
        is the rigid registration of suite2p (``pip install 'scanimage-nwb[suite2p]'``), whole pixels, each plane by
        itself, with its default settings apart from `max_shift`: the options after that say nothing to it.
    max_shift : int, optional
        Largest shift along each axis in pixels; by default 15, or a quarter of the frame if that is less.
    subpixel : bool
        Find fractions of a pixel. Reads apply whole pixels; fractions are in `RegistrationInfo.shifts`.
    smoothness : float, optional
        Spread of the motion's step from volume to volume, in pixels; by default learned; ``inf`` for none.
    share_planes : bool, optional
        Whether planes of a volume move together, apart from a jitter that is learned; by default learned.
    n_iterations : int
        Rounds at most in which the reference is improved.
    signal : {'auto', 'counts', 'analog'}
        What pixels are; by default whole numbers that are as noisy as photons are counts.

    Returns
    -------
    RegistrationInfo
        Frames that show nothing, nothing of the reference, or too little, and those at the edge of the search, are
        flagged, and have the shift that lies between those of the good frames around them (0 if there is none).

    Raises
    ------
    ValueError
        If frames have the wrong shape or hold NaN, or an option is out of range.
    ImportError
        If suite2p is asked for, but is not installed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:64, :48]
    >>> scene = 0.1 + 2 * np.exp(-((y - 30) ** 2 + (x - 20) ** 2) / 50) + np.exp(-((y - 12) ** 2 + (x - 36) ** 2) / 30)
    >>> moved = [(0, 0), (2, -3), (1, 1), (0, 0), (-3, 2), (0, 0)] * 5
    >>> movie = rng.poisson([5 * np.roll(scene, shift, (0, 1)) for shift in moved])
    >>> info = register(movie)
    >>> [info.yx_shifts[page] for page in range(5)]
    [(0, 0), (-2, 3), (-1, -1), (0, 0), (3, -2)]
    """
    source: FrameSource = frames if hasattr(frames, "read") and hasattr(frames, "pages") else ArraySource(frames)  # type: ignore[assignment]
    if method == "suite2p" and subpixel:
        raise ValueError("suite2p finds rigid shifts in whole pixels; for fractions use method='poisson'")
    max_shift = _check(source.shape, method, max_shift, smoothness, n_iterations, signal)
    with ThreadPoolExecutor(usable_threads(8), thread_name_prefix="register") as executor:
        runs = _reference_runs(source)
        some = [[source.read(run, plane) for run in runs] for plane in range(source.shape[1])]
        _check_values(some)
        scale = CountScale() if method == "suite2p" else _scale(some, signal, executor)
        chosen: dict[str, Any] = {"gain": scale.gain, "offset": scale.offset}
        frames_of = [scale.apply(np.concatenate(own)) if len(own) > 1 else scale.apply(own[0]) for own in some]
        if method == "phase":
            found, references = register_by_phase(
                source, frames_of, max_shift=max_shift, n_iterations=n_iterations, subpixel=subpixel, executor=executor
            )
        elif method == "suite2p":
            found, references = register_by_suite2p(source, frames_of, max_shift=max_shift)
        else:
            reference = build_reference(
                frames_of,
                np.concatenate(runs),
                max_shift=max_shift,
                n_iterations=n_iterations,
                smoothness=smoothness,
                share_planes=share_planes,
                executor=executor,
            )
            found = align_all(source, reference, scale, executor, subpixel=subpixel, smoothness=smoothness)
            references = np.stack([plane.matcher.template.frame for plane in reference.planes])
            chosen |= _what_was_chosen(reference)
    found, references = _centre(_fill(_distrust(found)), references, subpixel)
    told = {
        "max_shift": max_shift,
        "subpixel": subpixel,
        "smoothness": smoothness,
        "share_planes": share_planes,
        "n_iterations": n_iterations,
        "signal": signal,
    }
    info = _info(source, found, references * scale.gain + scale.offset, method, told | {"found": chosen})
    _warn_of_flags(info.flag)
    return info


def _check(
    shape: tuple[int, int, int, int],
    method: str,
    max_shift: int | None,
    smoothness: float | None,
    n_iterations: int,
    signal: str,
) -> int:
    """Refuse options out of range; return the largest shift."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(map(repr, METHODS))}")
    if signal not in {"auto", "counts", "analog"}:
        raise ValueError(f"signal is {signal!r}; expected 'auto', 'counts' or 'analog'")
    if n_iterations < 1:
        raise ValueError(f"n_iterations is {n_iterations}; expected at least 1")
    if smoothness is not None and not smoothness >= 0:
        raise ValueError(f"smoothness is {smoothness}; expected a number of pixels from 0, or inf")
    if min(shape) < 1:
        raise ValueError(f"there are no frames to register: shape {shape}")
    limit = min(shape[2:]) // 2
    if max_shift is None:
        max_shift = min(_MAX_SHIFT, min(shape[2:]) // 4)
    if not 1 <= max_shift <= limit:
        raise ValueError(f"max_shift is {max_shift}; expected 1 to {limit}, half of frames of {shape[2:]}")
    return max_shift


def _reference_runs(source: FrameSource) -> list[NDArray[np.int64]]:
    """Return runs of volumes, spread over the recording, that make the reference."""
    n_volumes, n_planes, rows, columns = source.shape
    most = int(np.clip(_REFERENCE_BYTES // (4 * n_planes * rows * columns), 2 * _RUN_VOLUMES, _REFERENCE_VOLUMES))
    if n_volumes <= most:
        return [np.arange(n_volumes)]
    n_runs = most // _RUN_VOLUMES
    starts = np.linspace(0, n_volumes - _RUN_VOLUMES, n_runs).astype(np.int64)
    return [np.arange(start, start + _RUN_VOLUMES) for start in starts]


def _check_values(some: list[list[NDArray]]) -> None:
    for plane, runs in enumerate(some):
        if any(run.dtype.kind == "f" and not np.isfinite(run).all() for run in runs):
            raise ValueError(f"frames of plane {plane} hold NaN or infinite values; fill them before registration")


def _scale(some: list[list[NDArray]], signal: str, executor: Executor) -> CountScale:
    """Return how values become counts."""
    runs = [run for own in some for run in own]
    whole = all(run.dtype.kind in "bui" and run.min() >= 0 for run in runs)
    if signal == "counts" or all(len(run) < 2 for run in runs):
        return CountScale()
    first_runs = [[run[:_RUN_VOLUMES] for run in own[:4] if len(run) > 1] for own in some]
    planes = list(executor.map(estimate_scale, first_runs))
    if signal == "auto" and whole and all(scale.is_counts for scale in planes):
        return CountScale()
    gains, offsets = (np.array([getattr(scale, name) for scale in planes]) for name in ("gain", "offset"))
    return CountScale(float(np.median(gains)), float(np.median(offsets)))


def _what_was_chosen(reference: Reference) -> dict[str, Any]:
    return {
        "rounds": reference.n_rounds,
        "step_px": reference.model.step_px if np.isfinite(reference.model.step_px) else None,
        "jitter_px": reference.model.jitter_px,
        "smoothing_px": [plane.matcher.template.smoothing_px for plane in reference.planes],
    }


def _distrust(found: Alignment) -> Alignment:
    """Flag all frames of planes of which hardly any is certain: these have no reference but noise."""
    flag = found.flag.copy()
    for plane in range(flag.shape[1]):
        own = flag[:, plane]
        if (own == 0).mean() < _LEAST_GOOD:
            own[own == 0] = FLAGS.index("uncertain")
    return replace(found, flag=flag)


def _fill(found: Alignment) -> Alignment:
    """Give frames that say nothing the shift between those of their neighbours."""
    shifts, bad = found.shifts.copy(), found.flag > 0
    time = np.arange(len(shifts))
    for plane in range(shifts.shape[1]):
        lost = bad[:, plane]
        for axis in range(2):
            own = shifts[:, plane, axis]
            own[lost] = np.interp(time[lost], time[~lost], own[~lost]) if not lost.all() else 0
    return replace(found, shifts=shifts)


def _centre(found: Alignment, references: NDArray, subpixel: bool) -> tuple[Alignment, NDArray]:
    """Take each plane's median off its shifts, in whole pixels, and move its reference along."""
    shifts, moved = found.shifts.copy(), np.empty_like(references)
    for plane in range(shifts.shape[1]):
        good = found.flag[:, plane] == 0
        centre = np.round(np.median(shifts[good, plane], axis=0)) if good.any() else np.zeros(2)
        shifts[:, plane] -= centre
        moved[plane] = np.roll(references[plane], tuple(-centre.astype(int)), (0, 1))
    return replace(found, shifts=shifts if subpixel else np.round(shifts)), moved


def _warn_of_flags(flag: NDArray[np.uint8]) -> None:
    counts = np.bincount(flag.ravel(), minlength=len(FLAGS))
    if counts[1:].any():
        reasons = ", ".join(f"{n} {name}" for name, n in zip(FLAGS[1:], counts[1:], strict=True) if n)
        warnings.warn(
            f"{int(counts[1:].sum())} of {flag.size} frames are flagged: {reasons}. They have the "
            "shift between those of the good frames around them; see RegistrationInfo.bad_pages",
            ScanImageNwbWarning,
            stacklevel=_depth_outside(),
        )


def _depth_outside() -> int:
    """Return the stack level, seen from the caller, of the line outside this package that asked."""
    depth = 1
    while str(sys._getframe(depth).f_globals.get("__name__")).startswith("scanimage_nwb."):
        depth += 1
    return depth


def _info(
    source: FrameSource, found: Alignment, references: NDArray, method: str, parameters: dict[str, Any]
) -> RegistrationInfo:
    """Put everything together, frame by frame, leaving out those that the recording lacks."""
    n_volumes, n_planes, rows, columns = source.shape
    pages = np.asarray(source.pages, np.int64).reshape(n_volumes * n_planes, -1)
    there = (pages >= 0).any(axis=1)
    volume, plane = np.divmod(np.arange(len(pages)), n_planes)
    return RegistrationInfo(
        pages=pages[there],
        shifts=found.shifts.reshape(-1, 2)[there],
        plane=plane[there],
        volume=volume[there],
        error_px=found.error_px.reshape(-1, 2)[there],
        match=found.match.reshape(-1)[there],
        flag=found.flag.reshape(-1)[there],
        reference_frames=references.astype(np.float32),
        shape=(rows, columns),
        method=method,
        parameters=parameters,
    )
