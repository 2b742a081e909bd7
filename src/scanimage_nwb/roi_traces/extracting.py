"""Traces of masks, in one pass over the frames and in bounded memory."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces.pieces import Pieces, cut_into_pieces, refuse_lost_masks
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.sources import FrameSource, as_frame_source
from scanimage_nwb.roi_traces.storage import make_array
from scanimage_nwb.roi_traces.summary_images import ImageSums
from scanimage_nwb.roi_traces.summing import Summing
from scanimage_nwb.roi_traces.surround import background_rois
from scanimage_nwb.threads import usable_threads

__all__ = ["Edges", "TraceBlock", "Traces", "check_rois", "check_shifts", "extract_traces", "iter_traces", "own_shifts"]

Edges = Literal["leave_out", "wrap"]
"""What becomes of pixels that a shift takes from beyond an edge."""
_THREADS = usable_threads(8)
_BUFFER_BYTES = 1 << 21
"""Small enough that frames are still in the cache when they are summed: nearly twice as fast as 8 MB."""
_BUFFERS_A_JOB = 32
"""Buffers that a thread reads and sums before it hands its sums over: threads that wait often are slow on a busy
computer."""
_JOB_BYTES = 1 << 23
"""Most bytes of the sums of a job."""


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

    While some buffers are summed, the next is read. What cannot work is refused before the first frame is read.

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
        Largest size of a buffer of frames, about; it holds one sample at least. Each thread has one.

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
    """Sum masks over a whole recording; see `iter_traces`, which holds no result.

    Results of more than 64 MB are mapped from temporary files, so that memory stays bounded however long it is.

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
    blocks = iter_traces(source, rois, image_sums=image_sums, **options)
    n_samples = as_frame_source(source, color_channel=options.get("color_channel", 0)).shape[0]
    if n_samples == 0:
        raise RoiError("there is no sample to take traces of: the recording is empty")
    found: dict[str, NDArray] = {}
    for block in blocks:
        cut = slice(block.start, block.start + len(block.sums))
        for name in ("sums", "means", "neuropil", "background"):
            values = getattr(block, name)
            if values is not None:
                if name not in found:
                    found[name] = make_array((n_samples, values.shape[1]), values.dtype)
                found[name][cut] = values
        if not block.start:
            found["n_pixels"] = block.n_pixels[:1].copy()
        if len(found["n_pixels"]) == 1 and (block.n_pixels != found["n_pixels"]).any():
            so_far, found["n_pixels"] = found["n_pixels"], make_array((n_samples, rois.n_rois), np.int64)
            found["n_pixels"][: block.start] = so_far
        if len(found["n_pixels"]) > 1:
            found["n_pixels"][cut] = block.n_pixels
    summary = {} if image_sums is None else {"mean": image_sums.mean(), "correlation": image_sums.correlation()}
    return Traces(rois, images=summary, **found)


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
    """Read and sum frames on several threads, and give their traces in order."""
    n_samples, *sample = source.shape
    summing = Summing(source, pieces, shifts, wrap, max(1, buffer_bytes // (4 * int(np.prod(sample)))))
    fit = min(_BUFFERS_A_JOB, _JOB_BYTES // (8 * pieces.n_rois * summing.step))
    step = summing.step * (max(1, fit) if image_sums is None else 1)
    starts = iter(range(0, n_samples, step))
    ahead: deque[Future[tuple[NDArray, NDArray]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, "sum-rois")
    try:
        for start in range(0, n_samples, step):
            while len(ahead) <= _THREADS and (first := next(starts, None)) is not None:
                ahead.append(pool.submit(summing.sum, first, min(first + step, n_samples)))
            sums, frames = ahead.popleft().result()
            if image_sums is not None:
                image_sums.add(_rolled(frames, summing.shifts_of(start, start + len(sums))))
            inside, n_pixels = summing.weigh(start, start + len(sums))
            yield _block(start, sums, inside, np.broadcast_to(n_pixels, sums.shape), sets)
    finally:
        pool.shutdown(cancel_futures=True)


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
