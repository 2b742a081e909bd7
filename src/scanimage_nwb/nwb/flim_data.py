"""What `FlimInterface` writes, read from a .siff piece by piece: photons, histograms, lifetimes and phasors.

Each is a chunk iterator in NWB's order of axes, so that memory is set by the piece, not by the recording.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from numpy.typing import NDArray

from scanimage_nwb.errors import UnsupportedFormatError
from scanimage_nwb.formats.siff import PLAIN
from scanimage_nwb.kernels.photon_steps import pixel_steps
from scanimage_nwb.nwb.series import default_chunk_shape
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.siff_reader.photon_blocks import on_this_thread

__all__ = ["PieceIterator", "Samples", "photon_fields"]

_PHOTON_CHUNK, _DENSE_CHUNK = 1 << 17, 1 << 16
"""Photons of a chunk: one frame is read in about 1 ms, and a quarter of a megabyte is worth a request. Frames that
fill a chunk by themselves have smaller ones, of which they take several, and less that is not theirs."""
_DENSE_FRAME = 1 << 16
_PIECE_PHOTONS = 1 << 19
"""Photons that a thread decodes at once."""
_CHUNK_BYTES = 2_000_000
_MOST_PIXELS_OF_16_BITS = 1 << 16

Selection = tuple[slice, ...]


class PieceIterator(GenericDataChunkIterator):
    """Data that are read on demand, any part of them.

    Parameters
    ----------
    read : callable
        Returns the data of a selection.
    shape : tuple of int
        Shape of the whole.
    dtype : dtype
        Type of the elements.
    chunk_shape : tuple of int
        Shape of an HDF5 chunk.
    reads_on_any_thread : bool
        Whether `read` may run on several threads at once.
    read_together : callable, optional
        Returns the data of this and of other iterators that have the same callable, for a writer that fills all in one
        pass.
    rank : int
        Which of them are this iterator's.
    """

    def __init__(
        self,
        read: Callable[[Selection], NDArray],
        shape: tuple[int, ...],
        dtype: Any,
        chunk_shape: tuple[int, ...],
        *,
        reads_on_any_thread: bool = True,
        read_together: Callable[[Selection], tuple[NDArray, ...]] | None = None,
        rank: int = 0,
    ) -> None:
        self._read, self._shape, self._type = read, shape, np.dtype(dtype)
        self.read_together, self.rank = read_together, rank
        self.reads_on_any_thread = reads_on_any_thread
        chunk = tuple(min(part, whole) for part, whole in zip(chunk_shape, shape, strict=True))
        super().__init__(buffer_shape=chunk, chunk_shape=chunk)

    def _get_data(self, selection: Selection) -> NDArray:
        if not self.reads_on_any_thread:
            return self._read(selection)
        with on_this_thread():  # the writer has threads of its own
            return self._read(selection)

    def _get_maxshape(self) -> tuple[int, ...]:
        return self._shape

    def _get_dtype(self) -> np.dtype:
        return self._type


def _photons_per_page(reader: SiffReader, pages: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of photons of each page, from the sizes of their strips; refuse pages without delays."""
    source = reader._source
    if source is None:
        raise UnsupportedFormatError(f"{reader.recording.paths[0]} is a TIFF: it holds no photons; open the .siff file")
    counts = np.zeros(pages.shape, np.int64)
    for file, photon_pages in enumerate(source.photon_pages):
        own = source.file_index[pages] == file
        local = source.page_in_file[pages[own]]
        kind = photon_pages.kind[local]
        if (kind == PLAIN).any():
            raise UnsupportedFormatError(
                f"{photon_pages.table.path}: page {pages[own][kind == PLAIN][0]} holds counts only, no arrival times "
                f"({(kind == PLAIN).sum()} such pages); write what has them with another channel or stub, or write the "
                "counts with SiffImagingInterface"
            )
        counts[own] = photon_pages.strip_bytes[local] // np.array([8, 2, 1])[kind]
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Pages of the samples that are written, and how they are read."""

    reader: SiffReader
    """The recording."""
    pages: NDArray[np.int64]
    """Global pages, shape (samples, planes)."""
    shifts: dict[int, tuple[int, int]]
    """Page to (dy, dx); empty to leave photons where they are."""

    @property
    def n_planes(self) -> int:
        """Planes of a sample."""
        return self.pages.shape[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(width, height[, depth])."""
        rows, columns = self.reader.im_params.shape
        return (columns, rows, self.n_planes) if self.n_planes > 1 else (columns, rows)

    def _to_nwb(self, found: NDArray, n_planes: int) -> NDArray:
        """Bring (pages, rows, columns, …) into (samples, width, height[, depth], …)."""
        found = found.reshape(-1, n_planes, *found.shape[1:])
        found = np.moveaxis(found, (1, 2, 3), (3, 2, 1))
        return found if self.n_planes > 1 else found[:, :, :, 0]

    def lifetimes(self, offset_s: float) -> PieceIterator:
        """Return the mean delay of every pixel in seconds, float32, shape (samples, width, height[, depth])."""
        shape = (len(self.pages), *self.image_shape)

        def read(selection: Selection) -> NDArray:
            planes = selection[3] if self.n_planes > 1 else slice(0, 1)
            pages = self.pages[selection[0], planes]
            found, _ = self.reader.flim_map(pages.reshape(-1), "mean_delay", self.shifts, offset_s=offset_s)
            inside = (slice(None), *selection[1:3])
            return self._to_nwb(found.astype(np.float32), pages.shape[1])[inside]

        return PieceIterator(read, shape, np.float32, default_chunk_shape(shape, np.dtype(np.float32)))

    def phasors(self, harmonic: int) -> PieceIterator:
        """Return the phasor of every pixel, float32, shape (samples, width, height[, depth], 2)."""
        shape = (len(self.pages), *self.image_shape)

        def read(selection: Selection) -> NDArray:
            planes = selection[3] if self.n_planes > 1 else slice(0, 1)
            pages = self.pages[selection[0], planes]
            found, _ = self.reader.flim_map(pages.reshape(-1), "phasor", self.shifts, harmonic=harmonic)
            pairs = np.stack([found.real, found.imag], axis=-1).astype(np.float32)
            return self._to_nwb(pairs, pages.shape[1])[(slice(None), *selection[1:3])][..., selection[-1]]

        chunk = (*default_chunk_shape(shape, np.dtype(np.float64)), 2)
        return PieceIterator(read, (*shape, 2), np.float32, chunk)

    def histograms(self, bin_factor: int, masks: NDArray | None = None) -> PieceIterator:
        """Return decays of the field, or of masks, of each sample, shape (samples, [masks,] bins)."""
        n_bins = -(-self.reader.num_bins // bin_factor)
        shape = (len(self.pages), *(() if masks is None else (len(masks),)), n_bins)
        dtype = np.dtype(np.float64 if masks is not None and masks.dtype != bool else np.uint32)

        def read(selection: Selection) -> NDArray:
            pages = self.pages[selection[0]]
            found = self.reader.get_histogram(pages.reshape(-1), masks, True, bin_factor, self.shifts)
            found = found.reshape(*found.shape[:-2], len(pages), self.n_planes, n_bins).sum(axis=-2)
            found = found if masks is None else np.moveaxis(found, 0, 1)
            return found.astype(dtype)[(slice(None), *selection[1:])]

        n = max(1, _CHUNK_BYTES // (int(np.prod(shape[1:])) * dtype.itemsize))
        return PieceIterator(read, shape, dtype, (n, *shape[1:]))

    def region_lifetimes(self, masks: NDArray, offset_s: float) -> tuple[PieceIterator, PieceIterator]:
        """Return the mean delay within masks in seconds, float32, and their photons, shape (samples, masks) both."""
        shape = (len(self.pages), len(masks))

        def read(selection: Selection) -> tuple[NDArray, NDArray]:
            pages = self.pages[selection[0]].reshape(-1)
            delay_s, counts = self.reader.sum_masks_flim(masks, pages, "mean_delay", self.shifts, offset_s=offset_s)
            of_planes = (len(masks), -1, self.n_planes)
            weights = counts.reshape(of_planes).astype(np.float64)
            total = weights.sum(axis=-1)
            # a plane without photons has no delay
            summed = np.where(weights > 0, delay_s.reshape(of_planes) * weights, 0).sum(axis=-1)
            with np.errstate(invalid="ignore"):
                return (summed / total).T[:, selection[1]], total.T[:, selection[1]]

        chunk = (max(1, _CHUNK_BYTES // (8 * len(masks))), len(masks))
        count_type = np.uint32 if masks.dtype == bool else np.float64
        lifetimes = PieceIterator(lambda selection: read(selection)[0].astype(np.float32), shape, np.float32, chunk)
        counts = PieceIterator(lambda selection: read(selection)[1].astype(count_type), shape, count_type, chunk)
        return lifetimes, counts

    def pixel_histograms(self, bin_factor: int, samples_per_histogram: int) -> PieceIterator:
        """Return decays of every pixel of blocks of samples, uint32, shape (blocks, width, height[, depth], bins)."""
        n_bins = -(-self.reader.num_bins // bin_factor)
        n_blocks = -(-len(self.pages) // samples_per_histogram)
        last: dict[str, Any] = {}

        def block(rank: int, plane: int) -> NDArray:
            # chunks of one block follow one another, and all come from the same photons
            if last.get("key") != (rank, plane):
                cut = slice(rank * samples_per_histogram, (rank + 1) * samples_per_histogram)
                pages = self.pages[cut, plane]
                last["found"] = self.reader.get_pixel_histogram(pages, False, bin_factor, self.shifts)
                last["key"] = (rank, plane)
            return last["found"]

        def read(selection: Selection) -> NDArray:
            ranks, columns, rows, *others = selection
            planes = others[0] if self.n_planes > 1 else slice(0, 1)
            parts = [
                block(rank, plane)[rows, columns, selection[-1]]
                for rank, plane in itertools.product(range(ranks.start, ranks.stop), range(planes.start, planes.stop))
            ]
            return self._to_nwb(np.stack(parts), planes.stop - planes.start)

        image = self.image_shape
        own_bins = max(1, min(n_bins, _CHUNK_BYTES // (4 * image[0] * image[1])))
        chunk = (1, *image[:2], *([1] if self.n_planes > 1 else []), own_bins)
        shape = (n_blocks, *image, n_bins)
        return PieceIterator(read, shape, np.uint32, chunk, reads_on_any_thread=False)


def photon_fields(samples: Samples) -> dict[str, Any]:
    """Return the fields of a PhotonEventSeries: every photon, sorted by pixel within its frame.

    Parameters
    ----------
    samples : Samples
        Pages whose photons are wanted.

    Returns
    -------
    dict
        ``data``, ``frame_end``, ``dimension`` as arrays; ``delay_bin`` and ``pixel_step`` as chunk iterators.

    Raises
    ------
    UnsupportedFormatError
        If a page holds counts only.
    """
    counts = _photons_per_page(samples.reader, samples.pages)
    ends = np.cumsum(counts)
    n_photons = int(ends[-1]) if ends.size else 0
    columns, rows = samples.image_shape[:2]
    step_type = np.dtype(np.uint16 if rows * columns <= _MOST_PIXELS_OF_16_BITS else np.uint32)
    shape = counts.shape if samples.n_planes > 1 else counts.shape[:1]
    fields = {
        "data": counts.astype(np.uint32).reshape(shape),
        "frame_end": ends.astype(np.uint64).reshape(shape),
        "dimension": np.array([columns, rows], np.uint32),
    }
    if not n_photons:
        return {**fields, "delay_bin": np.zeros(0, np.uint16), "pixel_step": np.zeros(0, step_type)}
    stream = _PhotonStream(samples, ends, step_type)
    chunk = _DENSE_CHUNK if n_photons >= _DENSE_FRAME * counts.size else _PHOTON_CHUNK
    together = stream.read
    for rank, (name, dtype) in enumerate((("pixel_step", step_type), ("delay_bin", np.uint16))):
        read = partial(stream.read_one, rank)
        fields[name] = PieceIterator(read, (n_photons,), dtype, (chunk,), read_together=together, rank=rank)
    return fields


@dataclass(frozen=True, slots=True, eq=False)
class _PhotonStream:
    """All photons of all frames as two long arrays, of which any range can be read."""

    samples: Samples
    ends: NDArray[np.int64]
    """Index of the photon behind the last one of each frame."""
    step_type: np.dtype

    def read_one(self, rank: int, selection: Selection) -> NDArray:
        """Return steps (rank 0) or delay bins (rank 1) of some photons."""
        return self.read(selection)[rank]

    def read(self, selection: Selection) -> tuple[NDArray, NDArray]:
        """Return steps and delay bins of some photons."""
        (span,) = selection
        out = np.empty(span.stop - span.start, self.step_type), np.empty(span.stop - span.start, np.uint16)
        first = int(np.searchsorted(self.ends, span.start, "right"))
        last = int(np.searchsorted(self.ends, span.stop, "left")) + 1
        while first < last:
            begin = int(self.ends[first - 1]) if first else 0
            fits = int(np.searchsorted(self.ends, begin + _PIECE_PHOTONS, "right"))
            stop = min(max(fits, first + 1), last)
            for piece, target in zip(self._frames(first, stop, begin), out, strict=True):
                low, high = max(begin, span.start), min(begin + len(piece), span.stop)
                target[low - span.start : high - span.start] = piece[low - begin : high - begin]
            first = stop
        return out

    def _frames(self, first: int, stop: int, begin: int) -> tuple[NDArray, NDArray]:
        """Return steps and delay bins of whole frames."""
        samples = self.samples
        with on_this_thread():
            found = samples.reader.photons(samples.pages.reshape(-1)[first:stop], samples.shifts)
        bounds = np.concatenate([[begin], self.ends[first:stop]]) - begin
        steps, delays = np.empty(len(found.pixel), self.step_type), np.empty(len(found.pixel), np.uint16)
        n_pixels = int(np.prod(samples.image_shape[:2]))
        pixel_steps(found.pixel, found.delay_bin, bounds, n_pixels, steps, delays)
        return steps, delays
