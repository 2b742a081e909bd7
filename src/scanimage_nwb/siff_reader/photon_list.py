"""Photons one by one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["PHOTON_BYTES", "Photons", "count_photons", "list_photons"]

PHOTON_BYTES = 14
"""What a listed photon takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Photons:
    """Photons one by one, in the order of frames and of the file; arrays of shape (n_photons,)."""

    frame: NDArray[np.int64]
    """Global page of each photon."""
    pixel: NDArray[np.uint32]
    """Pixel, y * width + x, after registration."""
    delay_bin: NDArray[np.uint16]
    """Delay in bins of `SiffReader.tcspc_resolution_s`."""

    def within(self, mask: NDArray[np.bool_], plane: NDArray[np.int64]) -> "Photons":
        """Return the photons within a mask.

        Parameters
        ----------
        mask : ndarray of bool, shape (planes, pixels)
        plane : ndarray of int64
            Plane of the mask for each global page.

        Returns
        -------
        Photons
        """
        inside = mask[plane[self.frame], self.pixel]
        return Photons(self.frame[inside], self.pixel[inside], self.delay_bin[inside])


def count_photons(source: PhotonSource, pages: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many photons each page stores, those out of range included."""
    n_photons = np.zeros(len(pages), np.int64)
    for i, photon_pages in enumerate(source.photon_pages):
        own = source.file_index[pages] == i
        local = source.page_in_file[pages[own]]
        n_photons[own] = photon_pages.strip_bytes[local] // np.array([8, 2, 1])[photon_pages.kind[local]]
    return n_photons


def list_photons(
    source: PhotonSource,
    request: ReadRequest,
    inside: NDArray[np.bool_] | None = None,
    plane: NDArray[np.int64] | None = None,
) -> Photons:
    """Return page, pixel and delay bin of every photon.

    Parameters
    ----------
    source : PhotonSource
        The files.
    request : ReadRequest
        What to read.
    inside : ndarray of bool, shape (planes, pixels), optional
        Leave out photons of other pixels, before they take memory.
    plane : ndarray of int64, shape (n,), optional
        Plane of `inside` for each page of the request.

    Returns
    -------
    Photons
    """
    if inside is not None and plane is not None:
        return _list_inside(source, request, inside, plane)
    n_photons = count_photons(source, request.pages)
    ends = np.cumsum(n_photons)
    total = int(ends[-1]) if len(ends) else 0
    pixel, delay_bin = np.empty(total, np.uint32), np.empty(total, np.uint16)
    found = np.zeros(len(request.pages), np.int64)

    def work(block: Block) -> None:
        pixels, delay_bins, bounds = block.photons()
        found[block.cut] = np.diff(bounds)
        for i, rank in enumerate(block.ranks):
            start, n = int(ends[rank] - n_photons[rank]), int(found[rank])
            pixel[start : start + n] = pixels[bounds[i] : bounds[i + 1]]
            delay_bin[start : start + n] = delay_bins[bounds[i] : bounds[i + 1]]

    source.run(request, work, counts=True, strips=True)
    if (found != n_photons).any():  # photons out of range were dropped
        rank = np.arange(total) - np.repeat(ends - n_photons, n_photons)
        kept = rank < np.repeat(found, n_photons)
        pixel, delay_bin = pixel[kept], delay_bin[kept]
    return Photons(np.repeat(request.pages, found), pixel, delay_bin)


def _list_inside(
    source: PhotonSource, request: ReadRequest, inside: NDArray[np.bool_], plane: NDArray[np.int64]
) -> Photons:
    """Return the photons of some pixels only; a block's others are let go with it."""
    pieces: dict[int, tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint16]]] = {}

    def work(block: Block) -> None:
        pixels, delay_bins, bounds = block.photons()
        rank = np.repeat(np.arange(block.cut.start, block.cut.stop), np.diff(bounds))
        pixels, delay_bins = pixels[bounds[0] : bounds[-1]], delay_bins[bounds[0] : bounds[-1]]
        kept = inside[plane[rank], pixels]
        pieces[block.cut.start] = request.pages[rank[kept]], pixels[kept], delay_bins[kept]

    source.run(request, work, counts=True, strips=True)
    columns = zip(*(pieces[start] for start in sorted(pieces)), strict=True)
    none = np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint16)
    return Photons(*(np.concatenate(column) for column in columns)) if pieces else Photons(*none)
