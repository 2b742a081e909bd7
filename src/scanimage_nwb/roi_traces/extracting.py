"""Traces of masks, in one pass over the frames and in bounded memory."""

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError
from scanimage_nwb.kernels import roi_sums
from scanimage_nwb.roi_traces.pieces import Pieces, cut_into_pieces, refuse_lost_masks
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.sources import FrameSource, as_frame_source
from scanimage_nwb.roi_traces.summary_images import ImageSums
from scanimage_nwb.roi_traces.surround import background_rois
from scanimage_nwb.threads import usable_threads

__all__ = ["Edges", "TraceBlock", "Traces", "check_rois", "check_shifts", "extract_traces", "iter_traces", "own_shifts"]

Edges = Literal["leave_out", "wrap"]
"""What becomes of pixels that a shift takes from beyond an edge."""
_THREADS = usable_threads(8)
_BUFFER_BYTES = 1 << 23
"""Small enough that frames are still in the cache when they are summed: twice as fast as 64 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class TraceBlock:
    """Traces of consecutive samples."""

    start: int
    """First sample."""
    sums: NDArray
    """Sum over the pixels of each mask, times their weights, shape (samples, rois): int64 for whole numbers and
    weights of 1, else float64."""
    means: NDArray[np.float64]
    """Sum over the sum of the weights, shape (samples, rois)."""
    n_pixels: NDArray[np.int64]
    """Pixels of each mask that were in the frame, shape (samples, rois)."""
    neuropil: NDArray[np.float64] | None
    """Mean of each mask's neuropil, shape (samples, rois); NaN where it has no pixel."""
    background: NDArray[np.float64] | None
    """Mean of all pixels in no mask, shape (samples, planes)."""


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """Traces of a recording; fields are as in `TraceBlock`, over all samples."""

    rois: RoiSet
    """The masks."""
    sums: NDArray
    """Shape (samples, rois)."""
    means: NDArray[np.float64]
    """Shape (samples, rois)."""
    n_pixels: NDArray[np.int64]
    """Shape (samples, rois); (1, rois) if they are the same in all samples."""
    neuropil: NDArray[np.float64] | None = None
    """Shape (samples, rois)."""
    background: NDArray[np.float64] | None = None
    """Shape (samples, planes)."""
    images: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """``mean`` and ``correlation``, shape (planes, rows, columns)."""


def iter_traces(
    source: FrameSource | Any,
    rois: RoiSet,
    *,
    shifts: ArrayLike | None = None,
    edges: Edges = "leave_out",
    neuropil: RoiSet | None = None,
    background: bool = False,
    image_sums: ImageSums | None = None,
    color_channel: int = 0,
    buffer_bytes: int = _BUFFER_BYTES,
) -> Iterator[TraceBlock]:
    """Sum masks a buffer of frames at a time; everything asked for comes of the same pass.

    While one buffer is summed, the next is read. What cannot work is refused before the first frame is read.

    Parameters
    ----------
    source : ndarray, ImagingExtractor, SiffReader or FrameSource
        Frames, (samples, planes, rows, columns); see `as_frame_source`.
    rois : RoiSet
        Masks, of the same planes, rows and columns. A mask through several planes is summed over them, sample by
        sample.
    shifts : array-like of int, shape (samples, [planes,] 2), optional
        dy and dx that bring each frame to where the masks were drawn, as `numpy.roll` does. By default a
        SiffReader's own `registration_dict`; of anything else none.
    edges : {'leave_out', 'wrap'}
        Leave out pixels that a shift takes from beyond an edge (a mean then is one of fewer pixels), or take them
        from the other side, as `numpy.roll` does.
    neuropil : RoiSet, optional
        A ring for each mask; see `neuropil_rois`.
    background : bool
        Give the mean of all pixels in no mask, too.
    image_sums : ImageSums, optional
        Is given every frame, shifted.
    color_channel : int
        Colour of a SiffReader.
    buffer_bytes : int
        Largest size of the frames held at once, about; at least one sample is. Two buffers are held.

    Yields
    ------
    TraceBlock

    Raises
    ------
    RoiError
        If masks or shifts do not fit the frames, or a shift leaves nothing of a mask.

    Examples
    --------
    >>> frames = np.arange(24).reshape(4, 2, 3)
    >>> rois = RoiSet.from_labels(np.array([[1, 1, 0], [0, 0, 2]]))
    >>> [block.sums.tolist() for block in iter_traces(frames, rois)]
    [[[1, 5], [13, 11], [25, 17], [37, 23]]]
    """
    found = as_frame_source(source, color_channel=color_channel, shifted_here=True)
    check_rois(rois, found.shape[1:])
    if edges not in ("leave_out", "wrap"):
        raise RoiError(f"edges is {edges!r}; expected 'leave_out' or 'wrap'")
    moved = check_shifts(own_shifts(source, found) if shifts is None else shifts, found.shape)
    if moved is not None and edges == "leave_out":
        refuse_lost_masks(rois, moved)
    sets = [rois]
    if neuropil is not None:
        if neuropil.n_rois != rois.n_rois or neuropil.shape != rois.shape:
            raise RoiError(
                f"neuropil has {neuropil.n_rois} masks in {neuropil.shape}; expected one for each of {rois.n_rois}, in "
                f"{rois.shape}"
            )
        sets.append(neuropil)
    if background:
        sets.append(background_rois(rois))
    return _iterate(found, cut_into_pieces(sets), sets, moved, edges == "wrap", image_sums, buffer_bytes)


def extract_traces(source: FrameSource | Any, rois: RoiSet, *, images: bool = False, **options: Any) -> Traces:
    """Sum masks over a whole recording; see `iter_traces`, which needs no memory for the result.

    Parameters
    ----------
    source, rois
        As for `iter_traces`.
    images : bool
        Make mean and correlation images in the same pass.
    **options
        As for `iter_traces`.

    Returns
    -------
    Traces

    Raises
    ------
    RoiError
        As for `iter_traces`.

    Examples
    --------
    >>> frames = np.arange(24).reshape(4, 2, 3)
    >>> rois = RoiSet.from_labels(np.array([[1, 1, 0], [0, 0, 2]]))
    >>> traces = extract_traces(frames, rois, background=True)
    >>> traces.means[0].tolist(), traces.background[0].tolist()
    ([0.5, 5.0], [3.0])
    """
    image_sums = ImageSums(rois.shape) if images else None
    blocks = list(iter_traces(source, rois, image_sums=image_sums, **options))
    if not blocks:
        raise RoiError("there is no sample to take traces of: the recording is empty")
    n_pixels = np.concatenate([block.n_pixels for block in blocks])
    if (n_pixels == n_pixels[:1]).all():
        n_pixels = n_pixels[:1]
    joined = {
        name: None if getattr(blocks[0], name) is None else np.concatenate([getattr(block, name) for block in blocks])
        for name in ("neuropil", "background")
    }
    return Traces(
        rois,
        np.concatenate([block.sums for block in blocks]),
        np.concatenate([block.means for block in blocks]),
        n_pixels,
        images={} if image_sums is None else {"mean": image_sums.mean(), "correlation": image_sums.correlation()},
        **joined,
    )


def check_rois(rois: RoiSet, shape: tuple[int, ...]) -> None:
    """Refuse masks of another shape than frames.

    Parameters
    ----------
    rois : RoiSet
        Masks.
    shape : tuple of int
        Planes, rows and columns of the frames.

    Raises
    ------
    RoiError
        Says both shapes, and the way out.
    """
    if rois.shape == tuple(shape):
        return
    message = f"masks are {_say_shape(rois.shape)}, and frames {_say_shape(shape)}"
    if rois.shape[1:] == tuple(shape[1:]):
        if rois.shape[0] == 1:
            raise RoiError(
                f"{message}: say which plane they belong to (RoiSet.in_plane; in the shell --roi-plane, in a session "
                "file plane), or repeat them through all (RoiSet.through_planes)"
            )
        raise RoiError(f"{message}: expected masks for each plane of the recording, without flyback")
    turned = " Rows and columns seem to be exchanged." if rois.shape[:0:-1] == tuple(shape[1:]) else ""
    raise RoiError(f"{message}: they belong to another recording, or were cropped or resized.{turned}")


def _say_shape(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} plane(s) of {shape[1]} x {shape[2]}"


def check_shifts(shifts: ArrayLike | None, shape: tuple[int, int, int, int]) -> NDArray[np.int64] | None:
    """Return shifts as (samples, planes, 2), None if nothing is shifted.

    Parameters
    ----------
    shifts : array-like or None
        See `iter_traces`.
    shape : tuple of int
        Samples, planes, rows and columns.

    Returns
    -------
    ndarray of int64 or None

    Raises
    ------
    RoiError
        If their shape does not fit, or they are no whole numbers.
    """
    if shifts is None:
        return None
    found = np.asarray(shifts)
    found = found[:, np.newaxis] if found.ndim == 2 and shape[1] == 1 else found
    if found.shape != (*shape[:2], 2):
        raise RoiError(
            f"shifts have shape {np.shape(shifts)}; expected (dy, dx) for each of {shape[0]} samples and {shape[1]} "
            f"plane(s), {(*shape[:2], 2)}"
        )
    if found.dtype.kind == "f" and np.isfinite(found).all() and (found == np.rint(found)).all():
        found = found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise RoiError(
            f"shifts are of type {found.dtype}, and not whole numbers; round them: masks are not resampled by parts of "
            "a pixel"
        )
    return np.ascontiguousarray(found, np.int64) if found.any() else None


def own_shifts(source: Any, found: FrameSource) -> NDArray[np.int64] | None:
    """Return the shifts that a SiffReader holds.

    Parameters
    ----------
    source : object
        What may be a SiffReader with a `registration_dict`.
    found : FrameSource
        Its frames.

    Returns
    -------
    ndarray of int64, shape (samples, planes, 2), or None
        Signed: 255 rows down, of 256, is one row up.
    """
    registration, pages = getattr(source, "registration_dict", None), getattr(found, "pages", None)
    if not registration or pages is None:
        return None
    none = (0, 0)
    shifts = np.array([registration.get(page, none) for page in pages.reshape(-1).tolist()], np.int64)
    size = np.array(found.shape[2:])
    signed = (shifts + size // 2) % size - size // 2
    return signed.reshape(*pages.shape, 2)


def _iterate(
    source: FrameSource,
    pieces: Pieces,
    sets: list[RoiSet],
    shifts: NDArray[np.int64] | None,
    wrap: bool,
    image_sums: ImageSums | None,
    buffer_bytes: int,
) -> Iterator[TraceBlock]:
    """Read ahead by one buffer, and sum."""
    n_samples, *sample = source.shape
    step = max(1, buffer_bytes // (4 * int(np.prod(sample))))
    cuts = [(start, min(start + step, n_samples)) for start in range(0, n_samples, step)]
    with ThreadPoolExecutor(1, "read-frames") as reading, ThreadPoolExecutor(_THREADS, "sum-rois") as summing:
        ahead: Future[NDArray] | None = reading.submit(source.read, *cuts[0]) if cuts else None
        for rank, (start, stop) in enumerate(cuts):
            assert ahead is not None
            frames = _plain_frames(ahead.result(), (stop - start, *sample))
            ahead = reading.submit(source.read, *cuts[rank + 1]) if rank + 1 < len(cuts) else None
            own = np.zeros((stop - start, sample[0], 2), np.int64) if shifts is None else shifts[start:stop]
            sums = _sum_block(summing, frames, pieces, own, wrap)
            if image_sums is not None:
                image_sums.add(_rolled(frames, own))
            inside, n_pixels = pieces.weigh(own[:1] if shifts is None or wrap else own)
            if wrap:  # every pixel comes from somewhere
                inside, n_pixels = pieces.weigh(np.zeros_like(own[:1]))
            yield _block(start, sums, inside, np.broadcast_to(n_pixels, sums.shape), sets)


def _plain_frames(frames: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Return frames as kernels take them: contiguous, of a native type of numbers."""
    if frames.shape != shape:
        raise RoiError(f"the source gave frames of shape {frames.shape}; expected {shape}")
    if frames.dtype.kind not in "buif":
        raise RoiError(f"frames are of type {frames.dtype}; expected numbers")
    dtype: np.dtype = frames.dtype.newbyteorder("=")
    dtype = np.dtype({"b1": "u1", "u8": "i8", "f2": "f4"}.get(dtype.str[1:], dtype.str))
    return np.ascontiguousarray(frames, dtype)


def _sum_block(
    pool: ThreadPoolExecutor, frames: NDArray, pieces: Pieces, shifts: NDArray[np.int64], wrap: bool
) -> NDArray:
    """Sum all masks in some samples, on several threads."""
    exact = frames.dtype.kind in "iu" and pieces.weights is None
    out = np.zeros((len(frames), pieces.n_rois), np.int64 if exact else np.float64)
    flat = frames.reshape(*frames.shape[:2], -1)
    bounds = np.linspace(0, len(frames), min(_THREADS, len(frames)) + 1).astype(int)
    jobs = [
        pool.submit(
            roi_sums.sum_rois,
            flat[first:last],
            pieces.table,
            pieces.pixels,
            pieces.runs,
            pieces.weights,
            shifts[first:last],
            pieces.shape[1:],
            wrap,
            out.dtype.type(0),
            out[first:last],
        )
        for first, last in itertools.pairwise(bounds.tolist())
    ]
    for job in jobs:
        job.result()
    return out


def _rolled(frames: NDArray, shifts: NDArray[np.int64]) -> NDArray:
    """Return frames shifted; a copy only if there is a shift."""
    if not shifts.any():
        return frames
    moved = frames.copy()
    for sample, plane in np.argwhere(shifts.any(axis=2)):
        moved[sample, plane] = np.roll(frames[sample, plane], tuple(shifts[sample, plane]), (0, 1))
    return moved


def _block(
    start: int, sums: NDArray, inside: NDArray[np.float64], n_pixels: NDArray[np.int64], sets: list[RoiSet]
) -> TraceBlock:
    """Take the sums of masks, neuropil and background apart."""
    with np.errstate(divide="ignore", invalid="ignore"):  # rings and background without a pixel
        means = sums / inside
    n = sets[0].n_rois
    has_neuropil = len(sets) > 1 and sets[1].n_rois == n and sets[1].ids == sets[0].ids
    after = 2 * n if has_neuropil else n
    background = means[:, after:] if means.shape[1] > after else None
    return TraceBlock(
        start, sums[:, :n], means[:, :n], n_pixels[:, :n], means[:, n : 2 * n] if has_neuropil else None, background
    )
