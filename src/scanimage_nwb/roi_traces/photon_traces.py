"""Photons of masks over time: counts, lifetimes, phasors and delay histograms, in one pass over a .siff."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError
from scanimage_nwb.kernels import roi_photons
from scanimage_nwb.roi_traces.extracting import Edges, check_rois, check_shifts, own_shifts
from scanimage_nwb.roi_traces.pieces import refuse_lost_masks
from scanimage_nwb.roi_traces.roi_set import RoiSet
from scanimage_nwb.roi_traces.sources import SiffReaderSource
from scanimage_nwb.roi_traces.storage import cut_rows, make_array

__all__ = ["HistogramOf", "PhotonTraces", "extract_photon_traces"]

HistogramOf = Literal["recording", "samples"]
"""Whether a delay histogram is that of the whole recording, or of each sample."""
_PHOTON_BYTES = 14
_FIRST_PAGES = 64
_LARGEST_HISTOGRAM_BYTES = 1 << 32


@dataclass(frozen=True, slots=True, eq=False)
class PhotonTraces:
    """Photons of masks, sample by sample. All are weighted by photons: a bright pixel counts for more."""

    rois: RoiSet
    """The masks."""
    counts: NDArray
    """Photons, shape (samples, rois): int64 for weights of 1, else float64."""
    lifetime_s: NDArray[np.float64]
    """Mean delay of the photons less `offset_s` (the empirical lifetime), in seconds, shape (samples, rois); NaN
    without photons. It is biased low, since photons later than the laser's period wrap around."""
    phasor: NDArray[np.complex128]
    """g + i s, shape (samples, rois); NaN without photons."""
    histograms: NDArray | None
    """Photons by delay, shape (rois, bins) of the recording or (samples, rois, bins); None if not asked for."""
    tcspc_resolution_s: float
    """Width of a bin of `histograms`, in seconds."""
    offset_s: float
    """What was taken off the mean delay, in seconds."""
    harmonic: int
    """Of the phasor, times the laser's repetition rate."""


def extract_photon_traces(
    reader: Any,
    rois: RoiSet,
    *,
    color_channel: int = 0,
    pages: NDArray[np.int64] | None = None,
    shifts: ArrayLike | None = None,
    edges: Edges = "leave_out",
    offset_s: float = 0.0,
    harmonic: int = 1,
    histograms: HistogramOf | None = None,
    bin_factor: int = 1,
    buffer_bytes: int = 1 << 26,
) -> PhotonTraces:
    """Give every photon to the masks that it lies in, in one pass over the file.

    A sample is a whole volume; a mask through several planes gets the photons of all of them. Results of more than 64
    MB are mapped from temporary files, but for histograms.

    Parameters
    ----------
    reader : SiffReader
        An open .siff.
    rois : RoiSet
        Masks, of the same planes, rows and columns.
    color_channel : int
        Colour, from 0.
    pages : ndarray of int, shape (samples, planes), optional
        Frames of the samples, in place of all whole volumes of the colour.
    shifts, edges
        As for `iter_traces`; by default the reader's own `registration_dict`.
    offset_s : float
        Delay of the instrument's response in seconds, taken off the lifetime.
    harmonic : int
        Of the phasor.
    histograms : {'recording', 'samples'}, optional
        Give delay histograms, of the whole recording or of each sample.
    bin_factor : int
        So many delay bins of the file make one of a histogram; the last may hold fewer.
    buffer_bytes : int
        Largest size of the photons held at once, about.

    Returns
    -------
    PhotonTraces

    Raises
    ------
    RoiError
        If masks or shifts do not fit, a shift leaves nothing of a mask, or histograms would be larger than 4 GiB.
    UnsupportedFormatError
        If the file holds no delays.

    Examples
    --------
    >>> from scanimage_nwb.siff_reader import SiffReader
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> reader = SiffReader(write_siff_recording(folder, n_volumes=3, photons_per_page=50, shape=(6, 8)).path)
    >>> traces = extract_photon_traces(reader, RoiSet.from_masks(np.ones((1, 6, 8), bool)), histograms="recording")
    >>> traces.counts.ravel().tolist(), int(traces.histograms.sum())
    ([50, 50, 50], 150)
    """
    source = SiffReaderSource(reader, color_channel, {}, pages)
    check_rois(rois, source.shape[1:])
    if edges not in ("leave_out", "wrap") or bin_factor < 1 or histograms not in (None, "recording", "samples"):
        raise RoiError(
            f"{edges=}, {bin_factor=}, {histograms=}; expected 'leave_out' or 'wrap', at least 1, and 'recording', "
            "'samples' or None"
        )
    moved = check_shifts(own_shifts(reader, source) if shifts is None else shifts, source.shape)
    if moved is not None and edges == "leave_out":
        refuse_lost_masks(rois, moved)
    n_samples, n_bins = source.shape[0], math.ceil(reader.num_bins / bin_factor)
    n_rows = {None: 0, "recording": 1, "samples": n_samples}[histograms]
    size = 8 * rois.n_rois * n_rows * n_bins
    if size > _LARGEST_HISTOGRAM_BYTES:
        raise RoiError(
            f"histograms of {rois.n_rois} masks, {n_samples} samples and {n_bins} delay bins would take "
            f"{size / 2**30:.1f} GiB; ask for those of the 'recording', a larger bin_factor, or fewer masks at once"
        )
    delay_s = (np.arange(reader.num_bins) + 0.5) * reader.tcspc_resolution_s
    phase = 2 * np.pi * harmonic * reader.repetition_rate_hz * delay_s
    values = np.stack([np.ones(len(delay_s)), delay_s, np.cos(phase), np.sin(phase)], axis=1)
    sums = make_array((n_samples, rois.n_rois, values.shape[1]), np.float64)
    found = np.zeros((n_rows, rois.n_rois, n_bins))
    bin_of = (np.arange(reader.num_bins) // bin_factor).astype(np.int32)
    members = _masks_of_voxels(rois)
    page_table = _page_table(source, moved, framewise=histograms == "samples")
    for cut, pixels, delay_bins, bounds in _photon_blocks(reader, source.pages.reshape(-1), buffer_bytes):
        roi_photons.add_photons(
            pixels,
            delay_bins,
            bounds,
            page_table[cut],
            rois.shape[1:],
            edges == "wrap",
            members,
            values,
            bin_of,
            sums,
            found,
        )
    counts, lifetime_s, phasor = _lifetimes(sums, offset_s, whole=rois.weights is None)
    typed = found.astype(np.int64) if rois.weights is None else found
    return PhotonTraces(
        rois,
        counts,
        lifetime_s,
        phasor,
        None if histograms is None else typed[0] if histograms == "recording" else typed,
        reader.tcspc_resolution_s * bin_factor,
        offset_s,
        harmonic,
    )


def _lifetimes(
    sums: NDArray[np.float64], offset_s: float, *, whole: bool
) -> tuple[NDArray, NDArray[np.float64], NDArray[np.complex128]]:
    """Return counts, mean delays and phasors, a few samples at a time, from sums of what photons add to each."""
    shape = sums.shape[:2]
    counts = make_array(shape, np.int64 if whole else np.float64)
    lifetime_s, phasor = make_array(shape, np.float64), make_array(shape, np.complex128)
    for cut in cut_rows(sums.shape):
        own = sums[cut]
        counts[cut] = own[..., 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            lifetime_s[cut] = own[..., 1] / own[..., 0] - offset_s
            phasor[cut] = (own[..., 2] + 1j * own[..., 3]) / own[..., 0]
    return counts, lifetime_s, phasor


def _masks_of_voxels(rois: RoiSet) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return the masks of every voxel, with their weights; see `kernels.roi_photons`."""
    order = np.argsort(rois.voxels, kind="stable")
    n_voxels = int(np.prod(rois.shape))
    starts = np.searchsorted(rois.voxels[order], np.arange(n_voxels + 1)).astype(np.int64)
    weights = np.ones(len(order)) if rois.weights is None else rois.weights[order].astype(np.float64)
    return starts, rois.owner[order].astype(np.int32), weights


def _page_table(source: SiffReaderSource, shifts: NDArray[np.int64] | None, *, framewise: bool) -> NDArray[np.int64]:
    """Return sample, row of the histogram, plane and shift of every page, in the order of reading."""
    sample, plane = (axis.reshape(-1) for axis in np.indices(source.pages.shape))
    table = np.zeros((len(sample), 5), np.int64)
    table[:, 0], table[:, 2] = sample, plane
    if framewise:
        table[:, 1] = sample
    if shifts is not None:
        table[:, 3:] = shifts.reshape(-1, 2)
    return table


def _photon_blocks(
    reader: Any, pages: NDArray[np.int64], buffer_bytes: int
) -> Iterator[tuple[slice, NDArray[np.uint32], NDArray[np.uint16], NDArray[np.int64]]]:
    """Yield photons of some pages, and where each page's begin; as many pages as fit, going by those before."""
    start, step = 0, _FIRST_PAGES
    while start < len(pages):
        cut = slice(start, min(start + step, len(pages)))
        own = pages[cut]
        photons = reader.photons(own, {})
        lowest = int(own.min())
        n_photons = np.bincount(photons.frame - lowest, minlength=int(own.max()) - lowest + 1)[own - lowest]
        yield cut, photons.pixel, photons.delay_bin, np.concatenate([[0], np.cumsum(n_photons)])
        start = cut.stop
        per_page = max(1.0, len(photons.frame) / len(own))
        step = max(1, min(int(buffer_bytes / (_PHOTON_BYTES * per_page)), 4 * step))
