"""Phase correlation with an iterated mean, for comparison and for bright frames of other detectors."""

from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration.aligning import Alignment
from scanimage_nwb.registration.quality import FLAGS
from scanimage_nwb.registration.source import FrameSource
from scanimage_nwb.registration.subpixel import refine_peaks

__all__ = ["register_by_phase"]

_BLOCK_BYTES = 24 << 20


def register_by_phase(
    source: FrameSource,
    some: list[NDArray],
    *,
    max_shift: int,
    n_iterations: int,
    subpixel: bool,
    executor: Executor,
) -> tuple[Alignment, NDArray[np.float32]]:
    """Register every plane by phase correlation.

    Parameters
    ----------
    source : FrameSource
        Frames.
    some : list of ndarray, shape (n, rows, columns)
        Frames of each plane that make its reference.
    max_shift, n_iterations, subpixel
        As for `register`.
    executor : Executor
        Does planes side by side.

    Returns
    -------
    Alignment
        `match` is the height of the correlation's peak; errors are not known.
    ndarray of float32, shape (planes, rows, columns)
        References.
    """
    n_volumes, n_planes, rows, columns = source.shape
    size = max(1, _BLOCK_BYTES // (8 * rows * columns))

    def plane_shifts(plane: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        reference = _build_reference(some[plane], max_shift, n_iterations)
        found = []
        for first in range(0, n_volumes, size):
            frames = source.read(np.arange(first, min(first + size, n_volumes)), plane)
            shifts, peak = _correlate(frames, reference, max_shift, subpixel)
            found.append((shifts, peak, ~frames.any(axis=(1, 2))))
        shifts, peak, empty = (np.concatenate(part) for part in zip(*found, strict=True))
        return shifts, peak, empty, reference

    shifts, peak, empty, references = (
        np.stack(part) for part in zip(*executor.map(plane_shifts, range(n_planes)), strict=True)
    )
    flag = np.where(empty, FLAGS.index("no signal"), 0).astype(np.uint8)
    edge = (np.abs(np.round(shifts)) >= max_shift).any(axis=2) & ~empty
    flag[edge] = FLAGS.index("at the edge of the search")
    by_volume = shifts.transpose(1, 0, 2)
    return Alignment(by_volume, np.full(by_volume.shape, np.nan), peak.T, flag.T), references.astype(np.float32)


def _build_reference(frames: NDArray, max_shift: int, n_iterations: int) -> NDArray[np.float64]:
    """Align frames to their mean, again and again."""
    reference = frames.mean(axis=0, dtype=np.float64)
    last = np.zeros((len(frames), 2))
    for _ in range(n_iterations):
        shifts, _ = _correlate(frames, reference, max_shift, False)
        shifts -= np.round(np.median(shifts, axis=0))
        if np.array_equal(shifts, last):
            break
        last = shifts
        reference = np.zeros(reference.shape)
        for frame, shift in zip(frames, shifts.astype(int), strict=True):
            reference += np.roll(frame, tuple(shift), (0, 1))
        reference /= len(frames)
    return reference


def _correlate(
    frames: NDArray, reference: NDArray[np.float64], max_shift: int, subpixel: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shifts that align frames, shape (n, 2), and the height of each peak."""
    from scipy.fft import irfft2, rfft2

    wanted = np.conj(rfft2(reference.astype(np.float32)))
    spectrum = rfft2(frames.astype(np.float32)) * wanted
    spectrum /= np.maximum(np.abs(spectrum), 1e-9)
    correlation = irfft2(spectrum, reference.shape)
    around = np.arange(-max_shift, max_shift + 1)
    # A frame that is the reference moved by d peaks at d; what aligns it is -d.
    surfaces = correlation[:, -around[:, np.newaxis], -around]
    flat = surfaces.reshape(len(frames), -1)
    best = flat.argmax(axis=1)
    whole = np.stack(np.unravel_index(best, surfaces.shape[1:]), axis=1) - max_shift
    found = refine_peaks(surfaces, whole).shifts if subpixel else whole.astype(np.float64)
    return found, flat[np.arange(len(frames)), best].astype(np.float64)
