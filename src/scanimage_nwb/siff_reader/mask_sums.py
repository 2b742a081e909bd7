"""Sums of photons, or of the pixels of a TIFF, within masks."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.photon_sums import sum_classes
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader.frames import read_counts, roll
from scanimage_nwb.siff_reader.masks import Masks, as_counts, find_bands
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["sum_photons", "sum_pixels"]

_MOST_PLACES = 1 << 20
"""Sums of classes that a thread holds at once."""
_MOST_PIXELS = 1 << 22
"""Pixels of frames that are weighed together."""


def sum_photons(source: PhotonSource, request: ReadRequest, masks: Masks, plane: NDArray[np.int64]) -> NDArray:
    """Sum the photons of masks, shape (masks, n)."""
    own = masks.planes(plane)
    if masks.weights is not None:
        return _weigh(lambda part: read_counts(source, part), request, masks.weights, own)
    out = np.empty((len(request.pages), masks.n_masks), np.int64)
    runs, bands = np.empty((masks.n_planes, 0, 2), np.int64), np.empty((masks.n_planes, 0), np.int64)
    if len(masks.groups) == 1:
        runs, bands = masks.runs[0], find_bands(masks.groups[0].classes, request.shape)
    places = len(masks.groups), masks.n_classes

    def work(block: Block) -> None:
        for part in block.parts(max(1, _MOST_PLACES // (places[0] * places[1]))):
            found = np.empty((len(part.rows), *places), np.int64)
            geometry = masks.stacked, runs, bands, own[part.cut]
            sum_classes(part.data, part.rows, request.shape, *geometry, found, part.faults)
            for i, group in enumerate(masks.groups):
                out[part.cut, group.masks] = group.sum(np.ascontiguousarray(found[:, i, 1 : group.n_classes]))

    source.run(request, work, counts=True, strips=False)
    return as_counts(np.ascontiguousarray(out.T))


def sum_pixels(recording: Recording, request: ReadRequest, masks: Masks, plane: NDArray[np.int64]) -> NDArray:
    """Sum the pixels of a TIFF within masks, shape (masks, n)."""
    own = masks.planes(plane)

    def read(part: ReadRequest) -> NDArray:
        return roll(recording.read_pages(part.pages), part.shifts)

    if masks.weights is not None:
        return _weigh(read, request, masks.weights, own)
    out = np.empty((len(request.pages), masks.n_masks), np.int64)
    for cut, part in _parts(request):
        pixels = read(part).reshape(len(part.pages), -1)
        for group in masks.groups:
            classes = group.classes[own[cut]]
            found = [np.bincount(each, page, group.n_classes) for each, page in zip(classes, pixels, strict=True)]
            out[cut, group.masks] = group.sum(np.array(found).astype(np.int64)[:, 1:])
    return np.ascontiguousarray(out.T)


def _parts(request: ReadRequest) -> Iterator[tuple[slice, ReadRequest]]:
    """Yield a request a few pages at a time."""
    n = max(1, _MOST_PIXELS // request.n_pixels)
    for first in range(0, len(request.pages), n):
        cut = slice(first, min(first + n, len(request.pages)))
        yield cut, replace(request, pages=request.pages[cut], shifts=request.shifts[cut])


def _weigh(
    read: Callable[[ReadRequest], NDArray], request: ReadRequest, weights: NDArray[np.float64], plane: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sum frames weighted by masks, shape (masks, n)."""
    out = np.empty((len(weights), len(request.pages)), np.float64)
    for cut, part in _parts(request):
        pixels = read(part).reshape(len(part.pages), -1)
        for own in np.unique(plane[cut]):
            at = np.flatnonzero(plane[cut] == own)
            out[:, cut.start + at] = weights[:, own] @ pixels[at].T.astype(np.float64)
    return out
