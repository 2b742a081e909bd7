"""Delay histograms of the whole field, of masks and of pixels, and the lifetimes of masks that follow from them."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_histograms import class_histogram, read_class_histogram
from scanimage_nwb.siff_reader.masks import MaskGroup, Masks, as_counts
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["average_masks", "bin_table", "read_histogram", "read_pixel_histogram"]

Take = Callable[[slice, slice, NDArray], None]
"""Gets histograms of some pages and some masks, shape (pages or 1, masks, num_bins)."""
_MOST_PLACES = 1 << 20
"""Places of the histograms of classes that a thread holds at once."""


def bin_table(num_bins: int, bins: tuple[int, int] | None, bin_factor: int) -> NDArray[np.int32]:
    """Return the bin of a histogram for each delay bin, -1 for those left out.

    Examples
    --------
    >>> bin_table(8, (1, 6), 2).tolist()
    [-1, 0, 0, 1, 1, 2, -1, -1]
    """
    first, last = (0, num_bins) if bins is None else bins
    if not 0 <= first < last <= num_bins:
        raise ValueError(f"bins are {bins}; expected a first and the one behind the last, within 0 to {num_bins}")
    if not isinstance(bin_factor, int | np.integer) or not 1 <= bin_factor <= num_bins:
        raise ValueError(f"bin_factor is {bin_factor!r}; expected a whole number from 1 to {num_bins}")
    delay_bin = np.arange(num_bins)
    inside = (delay_bin >= first) & (delay_bin < last)
    return np.where(inside, (delay_bin - first) // bin_factor, -1).astype(np.int32)


def read_histogram(
    source: PhotonSource,
    request: ReadRequest,
    masks: Masks,
    plane: NDArray[np.int64],
    bin_of: NDArray[np.int32],
    *,
    framewise: bool,
) -> NDArray:
    """Count the photons of masks by delay, shape (masks, [n,] bins)."""
    n_bins = int(bin_of.max()) + 1
    if not framewise:
        pooled: NDArray = np.zeros((masks.n_masks, n_bins), masks.dtype)
        lock = threading.Lock()

        def add(_cut: slice, group: slice, found: NDArray) -> None:
            with lock:
                pooled[group] += _rebin(found, bin_of).sum(axis=0)

        _read_in_parts(source, request, masks, plane, add, framewise=False)
        return as_counts(pooled)
    out: NDArray = np.empty((len(request.pages), masks.n_masks, n_bins), masks.dtype)
    if len(masks.groups) == 1 and masks.groups[0].is_disjoint and n_bins == len(bin_of):
        _fill_histograms(source, request, masks, plane, out)
    else:

        def put(cut: slice, group: slice, found: NDArray) -> None:
            out[cut, group] = _rebin(found, bin_of)

        _read_in_parts(source, request, masks, plane, put, framewise=True)
    return np.moveaxis(as_counts(out), 1, 0)


def _rebin(found: NDArray, bin_of: NDArray[np.int32]) -> NDArray:
    """Add up delay bins along the last axis."""
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1) > 0)
    first, last = int(starts[0]), int(np.flatnonzero(bin_of >= 0)[-1]) + 1
    return np.add.reduceat(found[..., first:last], starts - first, axis=-1)


def _fill_histograms(
    source: PhotonSource, request: ReadRequest, masks: Masks, plane: NDArray[np.int64], out: NDArray[np.int64]
) -> None:
    """Fill the histograms of masks that do not overlap, shape (n, masks, num_bins), with nothing in between."""
    own, (group,), (runs,) = masks.planes(plane), masks.groups, masks.runs

    def work(block: Block) -> None:
        what = request.shape, out.shape[2], group.classes, runs, own[block.cut], out[block.cut], block.faults

        def read(descriptor: int, fills: NDArray[np.int64]) -> int:
            return read_class_histogram(descriptor, fills, block.plan.reads, block.data, block.rows, *what)

        for fill in block.read_by(read):
            _count(fill, group, runs, own, out[fill.cut])

    source.run(request, work, counts=runs.shape[1] != 1, strips=True, unread=True)


def _count(
    block: Block, group: MaskGroup, runs: NDArray[np.int64], plane: NDArray[np.int64], out: NDArray[np.int64]
) -> None:
    """Count the photons of a block by class and delay bin."""
    shape, num_bins, own = block.request.shape, out.shape[2], plane[block.cut]
    class_histogram(block.data, block.rows, shape, num_bins, group.classes, runs, own, out, block.faults)


def _read_in_parts(
    source: PhotonSource, request: ReadRequest, masks: Masks, plane: NDArray[np.int64], take: Take, *, framewise: bool
) -> None:
    """Give the histograms of a few pages and masks at once to `take`, in any order, or of a block's pages together."""
    own = masks.planes(plane)
    assert request.num_bins is not None
    num_bins = request.num_bins

    def count(block: Block) -> None:
        for group, runs in zip(masks.groups, masks.runs, strict=True):
            n_found = group.n_classes - 1
            at_once = max(1, _MOST_PLACES // (max(1, n_found) * num_bins)) if framewise else len(block.rows)
            for part in block.parts(at_once):
                found = np.empty((len(part.rows) if framewise else 1, n_found, num_bins), np.int64)
                _count(part, group, runs, own, found)
                take(part.cut, group.masks, group.sum(found))

    def weigh(block: Block) -> None:
        assert masks.weights is not None
        pixels, delay_bins, bounds = block.photons()
        for i, rank in enumerate(block.ranks):
            cut = slice(bounds[i], bounds[i + 1])
            weights = masks.weights[:, own[rank]]
            found = [np.bincount(delay_bins[cut], each[pixels[cut]], num_bins) for each in weights]
            take(slice(rank, rank + 1), slice(0, masks.n_masks), np.array(found).reshape(1, -1, num_bins))

    if masks.weights is None:
        is_whole = all(runs.shape[1] == 1 for runs in masks.runs)
        source.run(request, count, counts=not is_whole, strips=True)
    else:
        source.run(request, weigh, counts=True, strips=True)


def read_pixel_histogram(
    source: PhotonSource,
    request: ReadRequest,
    bin_of: NDArray[np.int32],
    *,
    framewise: bool,
    kept: tuple[NDArray[np.bool_], NDArray[np.int64]] | None = None,
) -> NDArray[np.uint32]:
    """Count the photons of every pixel by delay, shape ([n,] rows, columns, bins).

    `kept` says which pixels count, shape (kinds, pixels), and of which kind each page is; by default all do.
    """
    n_bins = int(bin_of.max()) + 1
    out = np.zeros((len(request.pages) if framewise else 1, request.n_pixels * n_bins), np.uint32)
    lock = threading.Lock()

    def work(block: Block) -> None:
        pixels, delay_bins, bounds = block.photons()
        for i, rank in enumerate(block.ranks):
            cut = slice(bounds[i], bounds[i + 1])
            found = bin_of[delay_bins[cut]]
            if kept is not None:
                found = np.where(kept[0][kept[1][rank], pixels[cut]], found, -1)
            places = pixels[cut].astype(np.int64) * n_bins + found
            with lock:  # one result for all: it is too large for one a thread
                np.add.at(out[rank if framewise else 0], places[found >= 0], np.uint32(1))

    source.run(request, work, counts=True, strips=True)
    return out.reshape(*([-1] if framewise else []), *request.shape, n_bins)


def average_masks(
    source: PhotonSource, request: ReadRequest, masks: Masks, plane: NDArray[np.int64], value_of_bin: NDArray
) -> tuple[NDArray, NDArray]:
    """Average a number (or phasor) for each delay bin over the photons of masks, shape (masks, n); and count them."""
    total = np.empty((masks.n_masks, len(request.pages)), value_of_bin.dtype)
    counts: NDArray = np.empty(total.shape, masks.dtype)

    def put(cut: slice, group: slice, found: NDArray) -> None:
        total[group, cut] = (found @ value_of_bin).T
        counts[group, cut] = found.sum(axis=2).T

    _read_in_parts(source, request, masks, plane, put, framewise=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= counts
    return total, as_counts(counts)
