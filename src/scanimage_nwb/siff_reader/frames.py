"""Frames: the photon count of every pixel, and the delay or phasor that its photons have on average."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels import photon_maps
from scanimage_nwb.kernels.photon_bytes import OVERFLOW
from scanimage_nwb.kernels.photon_counts import count_photons
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["read_counts", "read_delay_map", "read_phasor_map"]

_ANY_DELAY = 1 << 32


def read_counts(source: PhotonSource, request: ReadRequest) -> NDArray:
    """Count the photons of every pixel, shape (n, rows, columns)."""
    counts: NDArray = np.empty((len(request.pages), request.n_pixels), np.uint16)
    overflowing: list[int] = []

    def work(block: Block) -> None:
        count_photons(block.data, block.rows, request.shape, counts[block.cut], block.faults)
        overflowing.extend(_overflowing(block))

    source.run(request, work, counts=True, strips=False)
    if overflowing:
        counts, _ = _count_bright_pages(source, replace(request, num_bins=_ANY_DELAY), overflowing, counts)
    return counts.reshape(-1, *request.shape)


def read_delay_map(
    source: PhotonSource, request: ReadRequest, scale: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray]:
    """Average the delay of every pixel's photons; `scale` is the width of a bin and what is taken off, in seconds."""

    def kernel(listed: tuple, mean: NDArray, counts: NDArray, faults: NDArray) -> None:
        photon_maps.delay_map(*listed, scale, mean, counts, faults)

    assert request.num_bins is not None
    delay_s = (np.arange(request.num_bins) + 0.5) * scale[0] - scale[1]
    return _read_map(source, request, kernel, delay_s)


def read_phasor_map(
    source: PhotonSource, request: ReadRequest, table: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray]:
    """Average the phasor of every pixel's photons; `table` has that of each delay bin."""

    def kernel(listed: tuple, phasor: NDArray, counts: NDArray, faults: NDArray) -> None:
        photon_maps.phasor_map(*listed, table, phasor, counts, faults)

    return _read_map(source, request, kernel, table)


def _read_map(
    source: PhotonSource, request: ReadRequest, kernel: Callable[..., None], value_of_bin: NDArray
) -> tuple[NDArray, NDArray]:
    """Fill a map and its counts."""
    counts: NDArray = np.empty((len(request.pages), request.n_pixels), np.uint16)
    out = np.empty(counts.shape, value_of_bin.dtype)
    overflowing: list[int] = []

    def work(block: Block) -> None:
        kernel(block.photons(), out[block.cut], counts[block.cut], block.faults)
        overflowing.extend(_overflowing(block))

    source.run(request, work, counts=True, strips=True)
    if overflowing:
        counts, sums = _count_bright_pages(source, request, overflowing, counts, value_of_bin)
        with np.errstate(invalid="ignore"):
            out[overflowing] = sums / counts[overflowing]
    shape = (-1, *request.shape)
    return out.reshape(shape), counts.reshape(shape)


def _overflowing(block: Block) -> list[int]:
    """Return the ranks of pages with a pixel of more than 65,535 photons."""
    return [block.ranks[i] for i in np.flatnonzero(block.faults[:, OVERFLOW])]


def _count_bright_pages(
    source: PhotonSource,
    request: ReadRequest,
    ranks: Sequence[int],
    counts: NDArray[np.uint16],
    value_of_bin: NDArray | None = None,
) -> tuple[NDArray[np.uint32], NDArray]:
    """Return all counts as uint32, with those of bright pages; and these pages' sums of a value of delay bins."""
    wide = counts.astype(np.uint32)
    sums = np.zeros((len(ranks), request.n_pixels), np.float64 if value_of_bin is None else value_of_bin.dtype)

    def work(block: Block) -> None:
        pixels, delay_bins, bounds = block.photons()
        for i, rank in enumerate(block.ranks):
            cut = slice(bounds[i], bounds[i + 1])
            wide[ranks[rank]] = np.bincount(pixels[cut], minlength=request.n_pixels)
            if value_of_bin is not None:
                np.add.at(sums[rank], pixels[cut], value_of_bin[delay_bins[cut]])

    part = replace(request, pages=request.pages[ranks], shifts=request.shifts[ranks])
    source.run(part, work, counts=True, strips=True)
    return wide, sums
