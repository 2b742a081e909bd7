"""Every frame compared with the reference, a block of volumes at a time; memory is set by the block."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration.counts import CountScale
from scanimage_nwb.registration.motion import CONTEXT, decode
from scanimage_nwb.registration.quality import FLAGS, LARGEST_ERROR_PX
from scanimage_nwb.registration.reference import PlaneReference, Reference
from scanimage_nwb.registration.smoothing import UNKNOWN, smooth_shifts
from scanimage_nwb.registration.source import FrameSource
from scanimage_nwb.registration.subpixel import measure_shifts
from scanimage_nwb.registration.surfaces import Frames

__all__ = ["Alignment", "align_all"]

_STILL_PX = 0.002
"""Step of a scene in which no frame moved a whole pixel."""
_BLOCK_BYTES = 24 << 20
"""Pixels of a block, as float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """What was found of every frame."""

    shifts: NDArray[np.float64]
    """dy and dx that align it, shape (volumes, planes, 2); whole numbers unless fractions were asked for."""
    error_px: NDArray[np.float64]
    """Standard error of each, same shape."""
    match: NDArray[np.float64]
    """How well it matches: 1 if its photons are a draw from the reference, 0 if they are spread evenly."""
    flag: NDArray[np.uint8]
    """Rank in `FLAGS`, shape (volumes, planes)."""


@dataclass(slots=True, eq=False)
class _Block:
    """Surfaces of a block of volumes."""

    surfaces: NDArray[np.float32]
    match: NDArray[np.float64]
    flag: NDArray[np.uint8]


def align_all(
    source: FrameSource,
    reference: Reference,
    scale: CountScale,
    executor: Executor,
    *,
    subpixel: bool,
    smoothness: float | None,
) -> Alignment:
    """Align every frame with the reference.

    Parameters
    ----------
    source : FrameSource
        Frames.
    reference : Reference
        What they are compared with.
    scale : CountScale
        How values become counts.
    executor : Executor
        Reads and compares.
    subpixel : bool
        Whether fractions of pixels are wanted.
    smoothness : float or None
        As for `register`.

    Returns
    -------
    Alignment
    """
    groups = _with_neighbours(_blocks(source, reference, scale, executor))
    parts, whole = zip(*(_decode(reference, *group, subpixel) for group in groups), strict=True)
    found = Alignment(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Alignment)))
    if not subpixel or np.isinf(reference.model.step_px):
        return found
    shared = reference.model.jitter_px is not None
    if smoothness is None and not np.ptp(np.concatenate(whole), axis=0).any():
        smoothness = _STILL_PX
    shifts, variance = smooth_shifts(found.shifts, found.error_px**2, smoothness, shared)
    return replace(found, shifts=shifts, error_px=np.sqrt(variance))


def _blocks(source: FrameSource, reference: Reference, scale: CountScale, executor: Executor) -> Iterator[_Block]:
    """Compare blocks of volumes with the reference, a few at a time, and yield them in order."""
    n_volumes, n_planes, rows, columns = source.shape
    size = int(np.clip(_BLOCK_BYTES // (4 * n_planes * rows * columns), CONTEXT, 256))
    in_flight: deque[Future[_Block]] = deque()
    for first in range(0, n_volumes, size):
        volumes = np.arange(first, min(first + size, n_volumes))
        in_flight.append(executor.submit(_compare, source, reference, scale, volumes))
        if len(in_flight) > 3:
            yield in_flight.popleft().result()
    while in_flight:
        yield in_flight.popleft().result()


def _compare(source: FrameSource, reference: Reference, scale: CountScale, volumes: NDArray[np.int64]) -> _Block:
    """Compare one block of volumes with the reference."""
    n_shifts = 2 * reference.planes[0].matcher.max_shift + 1
    shape = len(volumes), len(reference.planes)
    block = _Block(np.empty((*shape, n_shifts, n_shifts), np.float32), np.empty(shape), np.zeros(shape, np.uint8))
    fold = _folds(reference, volumes)
    for i, plane in enumerate(reference.planes):
        frames = Frames(scale.apply(source.read(volumes, i)))
        photons, surfaces = frames.n_photons, _surfaces(plane, frames, fold)
        match, chance = plane.scale.match(plane.matcher, surfaces, photons)
        flag = block.flag[:, i]
        flag[plane.scale.is_unlike(match, chance, plane.usual_match)] = FLAGS.index("unlike the reference")
        flag[~(photons > 0)] = FLAGS.index("no signal")
        surfaces[flag > 0] = 0
        block.surfaces[:, i], block.match[:, i] = surfaces, np.where(photons > 0, match, np.nan)
    return block


def _folds(reference: Reference, volumes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fold of the reference that each volume is in, -1 for none."""
    rank = np.minimum(np.searchsorted(reference.volumes, volumes), len(reference.volumes) - 1)
    return np.where(reference.volumes[rank] == volumes, rank % len(reference.planes[0].without), -1)


def _surfaces(plane: PlaneReference, frames: Frames, fold: NDArray[np.int64]) -> NDArray[np.float32]:
    """Compare frames with the template that they did not help to make."""
    if (fold < 0).all():
        return plane.matcher.surfaces(frames)
    n_shifts = 2 * plane.matcher.max_shift + 1
    surfaces = np.empty((len(frames), n_shifts, n_shifts), np.float32)
    for own_fold in np.unique(fold):
        own = fold == own_fold
        matcher = plane.matcher if own_fold < 0 else plane.without[own_fold]
        surfaces[own] = matcher.surfaces(frames, np.flatnonzero(own))
    return surfaces


def _with_neighbours(blocks: Iterator[_Block]) -> Iterator[tuple[_Block, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield each block with the surfaces just before and after it."""
    before: NDArray[np.float32] | None = None
    current = next(blocks)
    for following in blocks:
        yield current, _tail(before, current), following.surfaces[:CONTEXT]
        before, current = current.surfaces[-CONTEXT:].copy(), following
    yield current, _tail(before, current), current.surfaces[:0]


def _tail(before: NDArray[np.float32] | None, block: _Block) -> NDArray[np.float32]:
    return block.surfaces[:0] if before is None else before


def _decode(
    reference: Reference,
    block: _Block,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    subpixel: bool,
) -> tuple[Alignment, NDArray[np.int64]]:
    """Find the shifts of a block, given its neighbours; and which whole pixels they are near."""
    n = len(block.surfaces)
    run = np.concatenate([before, block.surfaces, after]) if len(before) or len(after) else block.surfaces
    decoded = decode(run, reference.model)
    own = slice(len(before), len(before) + n)
    whole, error = decoded.shifts[own], decoded.error_px[own]
    flag = block.flag.copy()
    uncertain = np.sqrt((error**2).sum(axis=2)) > LARGEST_ERROR_PX
    max_shift = run.shape[-1] // 2
    flag[(flag == 0) & (np.abs(whole) == max_shift).any(axis=2)] = FLAGS.index("at the edge of the search")
    flag[((flag == 0) | (flag == FLAGS.index("at the edge of the search"))) & uncertain] = FLAGS.index("uncertain")
    shifts = whole.astype(np.float64)
    if subpixel:
        shifts, variance = measure_shifts(block.surfaces.reshape(-1, *run.shape[2:]), whole.reshape(-1, 2))
        shifts, variance = shifts.reshape(whole.shape), variance.reshape(whole.shape)
        error = np.sqrt(np.where((block.flag > 0)[..., np.newaxis], UNKNOWN, variance))
    return Alignment(shifts, error, block.match, flag), whole
