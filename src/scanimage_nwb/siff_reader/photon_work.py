"""What is computed of blocks of pages: counts, maps, histograms, sums and lists. Each block fills its own part."""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import UnsupportedFormatError
from scanimage_nwb.formats.siff import PLAIN
from scanimage_nwb.kernels import photon_maps, photons
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader.masks import MaskClasses
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = [
    "average_masks",
    "bin_table",
    "list_photons",
    "read_counts",
    "read_delay_map",
    "read_field_histogram",
    "read_mask_histogram",
    "read_phasor_map",
    "read_pixel_histogram",
    "roll",
    "sum_photons",
    "sum_pixels",
    "with_delays",
]

_OVERFLOW = photons.FAULTS.index("overflow")
_MOST = {np.dtype(np.uint16): (1 << 16) - 1, np.dtype(np.uint32): (1 << 32) - 1}
_PAGES_AT_ONCE = 64
"""Pages of a TIFF that are summed together."""


def with_delays(source: PhotonSource, request: ReadRequest, num_bins: int) -> ReadRequest:
    """Return a request that looks at delays; refuse plain pages, which have none."""
    for file, photon_pages in enumerate(source.photon_pages):
        own = request.pages[source.file_index[request.pages] == file]
        plain = own[photon_pages.kind[source.page_in_file[own]] == PLAIN]
        if plain.size:
            raise UnsupportedFormatError(
                f"{photon_pages.table.path}: page {plain[0]} holds counts only, no arrival times ({plain.size} such "
                "pages were asked for); leave them out with frames"
            )
    return replace(request, num_bins=num_bins)


def roll(pixels: NDArray, shifts: NDArray[np.int64]) -> NDArray:
    """Shift the frames of a TIFF in place and return them."""
    for i in np.flatnonzero(shifts.any(axis=1)):
        pixels[i] = np.roll(pixels[i], tuple(shifts[i]), (0, 1))
    return pixels


def read_counts(source: PhotonSource, request: ReadRequest) -> NDArray:
    """Count the photons of every pixel, shape (n, rows, columns)."""
    n_pixels = request.shape[0] * request.shape[1]
    out = np.empty((len(request.pages), n_pixels), np.uint16)

    def work(block: Block) -> None:
        found = out[block.cut]
        photons.count_photons(block.data, block.rows, request.shape, _MOST[out.dtype], found, block.faults)
        if block.faults[:, _OVERFLOW].any():
            overflowing.append(block.cut)

    overflowing: list[slice] = []
    source.run(request, work, counts=True, strips=False)
    if overflowing:
        out, again = out.astype(np.uint32), overflowing
        for cut in again:
            part = replace(request, pages=request.pages[cut], shifts=request.shifts[cut])
            out[cut] = _read_large_counts(source, part)
    return out.reshape(-1, *request.shape)


def _read_large_counts(source: PhotonSource, request: ReadRequest) -> NDArray[np.uint32]:
    """Count photons where a pixel has more than 65,535."""
    out = np.empty((len(request.pages), request.shape[0] * request.shape[1]), np.uint32)

    def work(block: Block) -> None:
        photons.count_photons(block.data, block.rows, request.shape, _MOST[out.dtype], out[block.cut], block.faults)

    source.run(request, work, counts=True, strips=False)
    return out


def read_delay_map(
    source: PhotonSource, request: ReadRequest, scale: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray]:
    """Average the delay of every pixel's photons; `scale` is the width of a bin and what is taken off, in seconds."""

    def kernel(listed: tuple, mean: NDArray, counts: NDArray) -> int:
        return photon_maps.delay_map(*listed, scale, _MOST[counts.dtype], mean, counts)

    return _read_map(source, request, kernel, np.float64)


def read_phasor_map(
    source: PhotonSource, request: ReadRequest, table: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray]:
    """Average the phasor of every pixel's photons."""

    def kernel(listed: tuple, phasor: NDArray, counts: NDArray) -> int:
        return photon_maps.phasor_map(*listed, table, _MOST[counts.dtype], phasor, counts)

    return _read_map(source, request, kernel, np.complex128)


def _read_map(
    source: PhotonSource, request: ReadRequest, kernel: Callable[..., int], dtype: type
) -> tuple[NDArray, NDArray]:
    """Fill a map and its counts; once more with wider counts if a pixel has more than 65,535 photons."""
    n_pixels = request.shape[0] * request.shape[1]
    out: NDArray = np.empty((len(request.pages), n_pixels), dtype)
    for count_type in (np.uint16, np.uint32):
        counts = np.empty(out.shape, count_type)
        overflow: list[int] = []

        def work(block: Block, counts: NDArray = counts, overflow: list[int] = overflow) -> None:
            found = kernel(block.photons(), out[block.cut], counts[block.cut])
            if found:
                overflow.append(found)

        source.run(request, work, counts=True, strips=True)
        if not overflow:
            break
    shape = (-1, *request.shape)
    return out.reshape(shape), counts.reshape(shape)


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
    if not 1 <= bin_factor <= num_bins:
        raise ValueError(f"bin_factor is {bin_factor}; expected 1 to {num_bins}")
    delay_bin = np.arange(num_bins)
    inside = (delay_bin >= first) & (delay_bin < last)
    return np.where(inside, (delay_bin - first) // bin_factor, -1).astype(np.int32)


def read_field_histogram(
    source: PhotonSource, request: ReadRequest, bin_of: NDArray[np.int32], *, framewise: bool
) -> NDArray[np.uint64]:
    """Count the photons of the whole field by delay, shape ([n,] bins)."""
    out = np.zeros((len(request.pages) if framewise else 1, int(bin_of.max()) + 1), np.int64)
    starts = np.flatnonzero(np.diff(bin_of, prepend=-1) > 0)
    inside = slice(int(starts[0]), int(np.flatnonzero(bin_of >= 0)[-1]) + 1)
    lock = threading.Lock()

    def work(block: Block) -> None:
        found = np.empty((len(block.rows), len(bin_of)), np.int64)
        photons.field_histogram(block.data, block.rows, request.shape, len(bin_of), found, block.faults)
        if not framewise:
            found = found.sum(axis=0, keepdims=True)
        found = np.add.reduceat(found[:, inside], starts - inside.start, axis=1)
        if framewise:
            out[block.cut] = found
        else:
            with lock:
                out[:] += found

    source.run(request, work, counts=False, strips=True)
    return (out if framewise else out[0]).view(np.uint64)


def read_mask_histogram(
    source: PhotonSource,
    request: ReadRequest,
    classes: MaskClasses,
    plane: NDArray[np.int64],
    bin_of: NDArray[np.int32],
    framewise: bool,
) -> NDArray:
    """Count the photons of masks by delay, shape (masks, [n,] bins)."""
    own_plane = classes.planes(plane)
    n_bins = int(bin_of.max()) + 1
    dtype = np.float64 if classes.is_weighted else np.uint64
    out = np.zeros((len(request.pages) if framewise else 1, classes.n_masks, n_bins), dtype)
    rows = classes.starts, classes.masks, classes.weights
    lock = threading.Lock()

    def work(block: Block) -> None:
        listed, own = block.photons(), own_plane[block.cut]
        if framewise:
            found, target = out[block.cut], np.arange(len(own))
        else:
            found, target = np.zeros_like(out), np.zeros(len(own), np.int64)
        photon_maps.class_histogram(*listed, classes.classes, own, rows, bin_of, target, found)
        if not framewise:
            with lock:
                np.add(out, found, out=out)

    source.run(request, work, counts=True, strips=True)
    return np.moveaxis(out, 1, 0) if framewise else out[0]


def read_pixel_histogram(
    source: PhotonSource, request: ReadRequest, bin_of: NDArray[np.int32], *, framewise: bool
) -> NDArray[np.uint32]:
    """Count the photons of every pixel by delay, shape ([n,] rows, columns, bins)."""
    n_pixels = request.shape[0] * request.shape[1]
    out = np.zeros((len(request.pages) if framewise else 1, n_pixels, int(bin_of.max()) + 1), np.uint32)
    every = np.arange(n_pixels, dtype=np.int32)
    rows = np.arange(n_pixels + 1), every, np.ones(n_pixels)
    lock = threading.Lock()

    def work(block: Block) -> None:
        listed, n = block.photons(), len(block.rows)
        target = np.arange(n) if framewise else np.zeros(n, np.int64)
        own = np.zeros(n, np.int64)
        if framewise:
            photon_maps.class_histogram(*listed, every[np.newaxis], own, rows, bin_of, target, out[block.cut])
        else:
            with lock:  # one result for all: it is too large for one a thread
                photon_maps.class_histogram(*listed, every[np.newaxis], own, rows, bin_of, target, out)

    source.run(request, work, counts=True, strips=True)
    return out.reshape(*([-1] if framewise else []), *request.shape, out.shape[-1])


def sum_photons(source: PhotonSource, request: ReadRequest, classes: MaskClasses, plane: NDArray[np.int64]) -> NDArray:
    """Sum the photons of masks, shape (masks, n)."""
    out = np.empty((classes.n_masks, len(request.pages)), np.float64 if classes.is_weighted else np.uint64)

    def work(block: Block) -> None:
        own = plane[block.cut]
        at_once = max(1, (1 << 20) // classes.n_classes)
        for first in range(0, len(own), at_once):
            cut = slice(first, min(first + at_once, len(own)))
            found = np.empty((cut.stop - first, classes.n_classes), np.int64)
            photons.sum_classes(
                block.data, block.rows[cut], request.shape, classes.classes, own[cut], found, block.faults[cut]
            )
            out[:, block.cut.start + first : block.cut.start + cut.stop] = classes.sum(found).T

    source.run(request, work, counts=True, strips=False)
    return out


def sum_pixels(recording: Recording, request: ReadRequest, classes: MaskClasses, plane: NDArray[np.int64]) -> NDArray:
    """Sum the pixels of a TIFF within masks, shape (masks, n)."""
    out = np.empty((classes.n_masks, len(request.pages)), np.float64 if classes.is_weighted else np.int64)
    for first in range(0, len(request.pages), _PAGES_AT_ONCE):
        cut = slice(first, min(first + _PAGES_AT_ONCE, len(request.pages)))
        pixels = roll(recording.read_pages(request.pages[cut]), request.shifts[cut])
        per_class = [
            np.bincount(classes.classes[own], page.reshape(-1), classes.n_classes)
            for own, page in zip(plane[cut], pixels, strict=True)
        ]
        out[:, cut] = classes.sum(np.array(per_class)).T
    return out


def average_masks(
    source: PhotonSource, request: ReadRequest, classes: MaskClasses, plane: NDArray[np.int64], table: NDArray
) -> tuple[NDArray, NDArray]:
    """Average a number (or phasor) for each delay bin over the photons of masks, shape (masks, n); and count them."""
    n = len(request.pages)
    total = np.empty((classes.n_masks, n), table.dtype)
    counts = np.empty((classes.n_masks, n), np.float64)

    def work(block: Block) -> None:
        pixels, delay_bins, bounds = block.photons()
        for i, page in enumerate(range(*block.cut.indices(n))):
            cut = slice(bounds[i], bounds[i + 1])
            own = classes.classes[plane[page]][pixels[cut]]
            value = table[delay_bins[cut]]
            found = [np.bincount(own, part, classes.n_classes) for part in (value.real, value.imag)]
            counts[:, page] = classes.sum(np.bincount(own, minlength=classes.n_classes)[np.newaxis])[0]
            real, imaginary = (_weigh(classes, part) for part in found)
            total[:, page] = real + 1j * imaginary if table.dtype.kind == "c" else real

    source.run(request, work, counts=True, strips=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        total /= counts
    return total, counts if classes.is_weighted else counts.astype(np.uint64)


def _weigh(classes: MaskClasses, per_class: NDArray) -> NDArray:
    """Return sums of masks from sums of classes that are no whole numbers."""
    pair = np.repeat(np.arange(classes.n_classes), np.diff(classes.starts))
    return np.bincount(classes.masks, classes.weights * per_class[pair], classes.n_masks)


def list_photons(
    source: PhotonSource, request: ReadRequest
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint16]]:
    """Return page, pixel and delay bin of every photon."""
    n_photons = np.zeros(len(request.pages), np.int64)
    for i, photon_pages in enumerate(source.photon_pages):
        own = source.file_index[request.pages] == i
        local = source.page_in_file[request.pages[own]]
        n_photons[own] = photon_pages.strip_bytes[local] // np.array([8, 2, 1])[photon_pages.kind[local]]
    ends = np.cumsum(n_photons)
    total = int(ends[-1]) if len(ends) else 0
    pixel, delay_bin = np.empty(total, np.uint32), np.empty(total, np.uint16)
    found = np.zeros(len(request.pages), np.int64)

    def work(block: Block) -> None:
        pixels, delay_bins, bounds = block.photons()
        found[block.cut] = np.diff(bounds)
        for i, page in enumerate(range(*block.cut.indices(len(request.pages)))):
            start, n = int(ends[page] - n_photons[page]), int(found[page])
            pixel[start : start + n] = pixels[bounds[i] : bounds[i + 1]]
            delay_bin[start : start + n] = delay_bins[bounds[i] : bounds[i + 1]]

    source.run(request, work, counts=True, strips=True)
    if (found != n_photons).any():  # photons out of range were dropped
        rank = np.arange(total) - np.repeat(ends - n_photons, n_photons)
        kept = rank < np.repeat(found, n_photons)
        pixel, delay_bin = pixel[kept], delay_bin[kept]
    return np.repeat(request.pages, found), pixel, delay_bin
