"""Sums of photons, or of the pixels of a TIFF, within masks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.class_sums import add_masks, sum_pixel_classes
from scanimage_nwb.kernels.photon_sums import sum_classes
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader.frames import read_counts
from scanimage_nwb.siff_reader.masks import Masks, as_counts, find_bands
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["Columns", "sum_photons", "sum_pixels"]

_MOST_PLACES = 1 << 16
"""Sums of classes that a thread holds at once: few enough to stay in its cache."""
_MOST_PIXELS = 1 << 22
"""Pixels of frames that are weighed together."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Which column of a result each page is added to: one of its own, or that of its time point."""

    of_page: NDArray[np.int64]
    """Shape (pages,)."""
    n: int
    """Number of columns."""
    shared: bool
    """Whether several pages have one column."""


def sum_photons(
    source: PhotonSource, request: ReadRequest, masks: Masks, plane: NDArray[np.int64], columns: Columns
) -> NDArray:
    """Sum the photons of masks, shape (masks, columns)."""
    own = masks.planes(plane)
    if masks.weights is not None:
        return _weigh(lambda part: read_counts(source, part), request, masks, own, columns)
    out = np.zeros((masks.n_masks, columns.n), np.int64)
    runs, bands = np.empty((masks.n_planes, 0, 2), np.int64), np.empty((masks.n_planes, 0), np.int64)
    if len(masks.groups) == 1:
        runs, bands = masks.runs[0], find_bands(masks.groups[0].classes, request.shape)
    places = len(masks.groups), masks.n_classes
    lock = threading.Lock() if columns.shared else nullcontext()  # blocks begin and end within a time point

    def work(block: Block) -> None:
        for part in block.parts(max(1, _MOST_PLACES // (places[0] * places[1]))):
            found = np.empty((len(part.rows), *places), np.int64)
            geometry = masks.stacked, runs, bands, own[part.cut]
            sum_classes(part.data, part.rows, request.shape, *geometry, found, part.faults)
            with lock:
                _add(found, masks, columns.of_page[part.cut], out)

    source.run(request, work, counts=True, strips=False)
    return as_counts(out)


def sum_pixels(
    recording: Recording, request: ReadRequest, masks: Masks, plane: NDArray[np.int64], columns: Columns
) -> NDArray:
    """Sum the pixels of a TIFF within masks, shape (masks, columns)."""
    own = masks.planes(plane)

    def read(part: ReadRequest) -> NDArray:
        return recording.read_pages(part.pages, shifts=part.shifts)

    if masks.weights is not None:
        return _weigh(read, request, masks, own, columns)
    kind = np.float64 if recording.dtype.kind == "f" else np.int64
    out = np.zeros((masks.n_masks, columns.n), kind)
    for cut, part in _parts(request):
        pixels = read(part).reshape(len(part.pages), -1)
        found = np.empty((len(pixels), len(masks.groups), masks.n_classes), kind)
        sum_pixel_classes(pixels, masks.stacked, own[cut], found)
        _add(found, masks, columns.of_page[cut], out)
    return out


def _add(found: NDArray, masks: Masks, columns: NDArray[np.int64], out: NDArray) -> None:
    """Add the sums of classes of some pages, shape (n, groups, classes), to those of masks."""
    for i, group in enumerate(masks.groups):
        add_masks(found[:, i], group.starts, group.members, columns, out[group.masks])


def _parts(request: ReadRequest) -> Iterator[tuple[slice, ReadRequest]]:
    """Yield a request a few pages at a time."""
    n = max(1, _MOST_PIXELS // request.n_pixels)
    for first in range(0, len(request.pages), n):
        cut = slice(first, min(first + n, len(request.pages)))
        yield cut, replace(request, pages=request.pages[cut], shifts=request.shifts[cut])


def _weigh(
    read: Callable[[ReadRequest], NDArray],
    request: ReadRequest,
    masks: Masks,
    plane: NDArray[np.int64],
    columns: Columns,
) -> NDArray[np.float64]:
    """Sum frames weighted by masks, shape (masks, columns)."""
    out = np.zeros((masks.n_masks, columns.n), np.float64)
    for cut, part in _parts(request):
        pixels = read(part).reshape(len(part.pages), -1)
        for own in np.unique(plane[cut]):
            at = np.flatnonzero(plane[cut] == own)
            sums = masks.weight_tables[own] @ pixels[at].T.astype(np.float64)
            np.add.at(out.T, columns.of_page[cut][at], sums.T)
    return out
