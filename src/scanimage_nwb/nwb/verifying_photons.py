"""Compare every photon of an NWB file with the .siff that it came from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.siff_reader.photon_list import Photons

__all__ = ["first_photon_difference"]

_BLOCK_PHOTONS = 1 << 21


Shifts = Mapping[int, tuple[int, int]]


def first_photon_difference(
    series: Any, pages: NDArray[np.int64], reader: SiffReader, shifts: Shifts | None = None
) -> tuple[int, str, int]:
    """Compare photons, block by block; nothing of what wrote them is used.

    Photons of a frame are compared as (pixel, delay bin), in the order of pixels. If motion was corrected, those of the
    source are moved by `shifts`; if nobody knows these, the delay bins of each frame are compared.

    Parameters
    ----------
    series : PhotonEventSeries
        The series, as pynwb reads it, with or without ndx_flim.
    pages : ndarray of int64, shape (samples, planes)
        Pages that it was made from.
    reader : SiffReader
        The source.
    shifts : mapping, optional
        Page to (dy, dx), if motion was corrected.

    Returns
    -------
    sample : int
        The first sample that differs; -1 if none does.
    text : str
        How it differs.
    n_bytes : int
        Bytes compared.
    """
    flat, n_planes = pages.reshape(-1), pages.shape[1]
    counts = np.asarray(series.data[:]).reshape(-1).astype(np.int64)
    ends = np.asarray(series.frame_end[:]).reshape(-1).astype(np.int64)
    wrong = np.flatnonzero(np.diff(ends, prepend=0) != counts)
    if wrong.size:
        return int(wrong[0]) // n_planes, "frame_end is not the running sum of data", 0
    total = int(ends[-1]) if ends.size else 0
    if series.delay_bin.shape != (total,) or series.pixel_step.shape != (total,):
        text = f"there are {series.delay_bin.shape[0]} delays, {series.pixel_step.shape[0]} steps, {total} photons"
        return len(pages) - 1, text, 0
    n_bytes, first = 0, 0
    while first < len(flat):
        begin = int(ends[first - 1]) if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, begin + _BLOCK_PHOTONS, "right")))
        source = reader.photons(flat[first:stop], shifts if series.motion_corrected and shifts else {})
        with_pixels = not series.motion_corrected or shifts is not None
        frame, text, found = _compare(series, source, flat[first:stop], ends[first:stop] - begin, begin, with_pixels)
        if frame >= 0:
            return (first + frame) // n_planes, text, n_bytes
        n_bytes, first = n_bytes + found, stop
    return -1, "", n_bytes


def _compare(
    series: Any, source: Photons, pages: NDArray[np.int64], ends: NDArray[np.int64], begin: int, with_pixels: bool
) -> tuple[int, str, int]:
    """Compare the photons of some frames; return the first that differs, how, and the bytes compared."""
    rank_of = np.full(int(pages.max()) + 1, -1, np.int64)
    rank_of[pages] = np.arange(len(pages))
    rank = rank_of[source.frame]
    expected = np.bincount(rank, minlength=len(pages))
    counts = np.diff(ends, prepend=0)
    if (expected != counts).any():
        frame = int(np.flatnonzero(expected != counts)[0])
        return frame, f"{counts[frame]} photons; the source has {expected[frame]} (page {pages[frame]})", 0
    span = slice(begin, begin + int(ends[-1]))
    delay_bin = np.asarray(series.delay_bin[span])
    if not with_pixels:
        order = [np.lexsort((delays, rank)) for delays in (delay_bin, source.delay_bin)]
        differ = delay_bin[order[0]] != source.delay_bin[order[1]]
        pixel, own = np.zeros(len(differ), np.int64), order[1]
    else:
        pixel, own = _pixels(np.asarray(series.pixel_step[span]), ends), np.lexsort((source.pixel, rank))
        differ = (pixel != source.pixel[own]) | (delay_bin != source.delay_bin[own])
    if not differ.any():
        return -1, "", delay_bin.nbytes + pixel.size * series.pixel_step.dtype.itemsize
    k = int(np.flatnonzero(differ)[0])
    frame = int(np.searchsorted(ends, k, "right"))
    text = (
        f"photon {k - int(ends[frame] - counts[frame])} of page {pages[frame]} is in pixel {pixel[k]}, delay bin "
        f"{delay_bin[k]}; the source has pixel {source.pixel[own[k]]}, delay bin {source.delay_bin[own[k]]}"
    )
    return frame, text, 0


def _pixels(steps: NDArray, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pixels from steps that begin anew with every frame."""
    total = np.concatenate([[0], np.cumsum(steps, dtype=np.int64)])
    starts = np.concatenate([[0], ends[:-1]])
    return total[1:] - np.repeat(total[starts], np.diff(ends, prepend=0))
