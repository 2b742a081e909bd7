"""A PhotonEventSeries as a file of .siff pages that exists only in pieces, made when they are read.

What a caller does not need is not inflated: delays alone give the histogram of the field, steps alone the counts of
pixels. There is hence a file for each need, with pages in other places. Pages are raw or compressed, whichever is
smaller, as ScanImage does.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, UnsupportedFormatError
from scanimage_nwb.formats.siff import COMPRESSED, RAW, PhotonPages
from scanimage_nwb.formats.tiff_pages import PageTable
from scanimage_nwb.kernels.photon_steps import count_steps, raw_photons
from scanimage_nwb.nwb.chunk_filters import filters_of
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["make_source"]

_HEAD_BYTES = 16
_CACHED_BYTES = 8 << 20
"""Chunks of a column that are kept."""
_MOST_OF_16_BITS = (1 << 16) - 1
_FEW_PIXELS = 1 << 12
"""Frames so small may well have a pixel with more photons than a count holds: then they are raw pages."""


class _Need(Enum):
    """What a file of pages is read for."""

    ALL = "pixels and delays"
    DELAYS = "delays"
    COUNTS = "pixels"


@dataclass(frozen=True, slots=True, eq=False)
class _NwbSource(PhotonSource):
    """Photons of series; takes the file that goes with what is needed."""

    delays: PhotonSource
    counts: PhotonSource

    def run(self, request: ReadRequest, work: Callable[[Block], None], *, counts: bool, strips: bool) -> None:
        """Do `work` for every block, as `PhotonSource.run`."""
        if counts and strips:
            PhotonSource.run(self, request, work, counts=True, strips=True)
        elif counts:
            self.counts.run(request, work, counts=True, strips=False)
        else:
            self.delays.run(request, work, counts=False, strips=True)


def make_source(
    series: list[h5py.Group], name: str, file_index: NDArray[np.int64], page_in_file: NDArray[np.int64]
) -> PhotonSource:
    """Return the photons of series, one file each.

    Parameters
    ----------
    series : list of h5py.Group
        PhotonEventSeries with the same frames.
    name : str
        What messages call the NWB file.
    file_index, page_in_file : ndarray of int64
        As for `PhotonSource`.

    Returns
    -------
    PhotonSource

    Raises
    ------
    FormatError
        If a series is damaged.
    """
    columns = [_Columns.of(group, name) for group in series]

    def source_for(need: _Need) -> PhotonSource:
        files = [_PhotonFile(own, need) for own in columns]
        pages = tuple(file.pages for file in files)
        # of a file, sources ask for path, size and read_into only
        return PhotonSource(pages, files.__getitem__, file_index, page_in_file, True)  # type: ignore[arg-type]

    every = source_for(_Need.ALL)
    return _NwbSource(
        every.photon_pages,
        every.open_file,
        file_index,
        page_in_file,
        True,
        delays=source_for(_Need.DELAYS),
        counts=source_for(_Need.COUNTS),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Photons of one series."""

    path: Path
    where: str
    """Series, for messages."""
    shape: tuple[int, int]
    """Rows and columns."""
    ends: NDArray[np.int64]
    """Index of the photon behind the last one of each frame."""
    steps: "_Column"
    delays: "_Column"

    @classmethod
    def of(cls, group: h5py.Group, name: str) -> "_Columns":
        """Open the photons of a series."""
        ends = group["frame_end"][:].reshape(-1).astype(np.int64)
        total = int(ends[-1]) if ends.size else 0
        lengths = group["delay_bin"].shape[0], group["pixel_step"].shape[0]
        if (np.diff(ends, prepend=0) < 0).any() or lengths != (total, total):
            raise FormatError(
                f"{name}: {group.name} is damaged: frame_end must ascend to the number of photons, {total}, "
                f"and there are {lengths[0]} delays and {lengths[1]} steps. Copy or write the file again"
            )
        width, height = (int(size) for size in group["dimension"][:])
        return cls(
            Path(name),
            str(group.name),
            (height, width),
            ends,
            _Column(group["pixel_step"]),
            _Column(group["delay_bin"]),
        )

    def photons_of(self, page: int) -> tuple[int, int]:
        """Return the first photon of a frame, and the one behind its last."""
        return int(self.ends[page - 1]) if page else 0, int(self.ends[page])


class _PhotonFile:
    """Pages of one series for one need, as `read_block` reads a file."""

    def __init__(self, columns: _Columns, need: _Need) -> None:
        self.columns, self.need, self.path = columns, need, columns.path
        n_photons = np.diff(columns.ends, prepend=0)
        n_pixels = columns.shape[0] * columns.shape[1]
        is_raw = (6 * n_photons < 2 * n_pixels) | ((n_pixels < _FEW_PIXELS) & (n_photons > _MOST_OF_16_BITS))
        if need is _Need.DELAYS:
            is_raw[:] = False
        counts_bytes = np.where(is_raw | (need is _Need.DELAYS), 0, 2 * n_pixels)
        strip_bytes = np.where(is_raw, 8, 2) * n_photons
        self.is_raw: NDArray[np.bool_] = is_raw
        self.stops = _HEAD_BYTES + np.cumsum(counts_bytes + strip_bytes)
        self.size = int(self.stops[-1]) if self.stops.size else _HEAD_BYTES
        self.pages = self._pages(strip_bytes, self.stops - strip_bytes - counts_bytes)

    def _pages(self, strip_bytes: NDArray[np.int64], counts_offset: NDArray[np.int64]) -> PhotonPages:
        """Return the pages that the file would have."""
        n, (height, width) = len(self.stops), self.columns.shape
        columns = {
            "width": np.full(n, width, np.int64),
            "height": np.full(n, height, np.int64),
            "bits": np.where(self.is_raw, 64, 16),
            "compression": np.ones(n, np.int64),
            "siff_compress": np.where(self.is_raw, RAW, COMPRESSED),
            "strip_offset": self.stops - strip_bytes,
            "strip_bytes": strip_bytes,
        }
        table = PageTable(self.path, self.size, columns, np.full(n, np.nan))
        kind = columns["siff_compress"].astype(np.int64)
        return PhotonPages(table, kind, columns["strip_offset"], strip_bytes, np.where(self.is_raw, -1, counts_offset))

    def read_into(self, offset: int, views: list[memoryview]) -> int:
        """Fill views with pages, from the beginning of one on, as `ReadOnlyFile.read_into` does with bytes."""
        for view in views:
            out = np.frombuffer(view, np.uint8)
            if self.need is _Need.DELAYS:
                self.columns.delays.read((offset - _HEAD_BYTES) // 2, out.view(np.uint16))
            else:
                self._fill(offset, out)
            offset += len(out)
        return sum(view.nbytes for view in views)

    def _fill(self, offset: int, out: NDArray[np.uint8]) -> None:
        """Fill bytes with pages: raw ones that follow one another together, compressed ones one by one."""
        page = int(np.searchsorted(self.stops, offset, "right"))
        end = offset + len(out)
        while offset < end:
            stop = page + 1
            if self.is_raw[page]:
                while stop < len(self.stops) and self.is_raw[stop] and self.stops[stop] <= end:
                    stop += 1
                self._fill_raw(page, stop, out[: self.stops[stop - 1] - offset])
            else:
                self._fill_compressed(page, out[: self.stops[page] - offset])
            out, offset, page = out[self.stops[stop - 1] - offset :], int(self.stops[stop - 1]), stop

    def _fill_raw(self, first: int, stop: int, out: NDArray[np.uint8]) -> None:
        """Make raw pages; those that are counted only have no delays."""
        columns = self.columns
        begin, n = columns.photons_of(first)[0], len(out) // 8
        steps = np.empty(n, columns.steps.dtype)
        columns.steps.read(begin, steps)
        delays = np.zeros(n, columns.delays.dtype)
        if self.need is _Need.ALL:
            columns.delays.read(begin, delays)
        photons = np.empty(n, np.uint64)
        bounds = np.concatenate([[0], columns.ends[first:stop] - begin])
        raw_photons(steps, delays, bounds, columns.shape[1], photons)
        out[:] = photons.view(np.uint8)

    def _fill_compressed(self, page: int, out: NDArray[np.uint8]) -> None:
        """Make counts, and delays if they are asked for."""
        columns = self.columns
        begin, end = columns.photons_of(page)
        n_bytes = 2 * columns.shape[0] * columns.shape[1]
        steps = np.empty(end - begin, columns.steps.dtype)
        columns.steps.read(begin, steps)
        fault = count_steps(steps, out[:n_bytes].view(np.uint16))
        if fault == 1:
            raise FormatError(
                f"{self.path}: {columns.where} is damaged: frame {page} has a photon outside its {columns.shape[0]} x "
                f"{columns.shape[1]} pixels. Copy or write the file again"
            )
        if fault == 2:
            raise UnsupportedFormatError(
                f"{self.path}: frame {page} of {columns.where} has a pixel of more than {_MOST_OF_16_BITS} photons; "
                "read its pixel_step and delay_bin with pynwb"
            )
        if self.need is _Need.ALL and len(out) > n_bytes:
            columns.delays.read(begin, out[n_bytes:].view(np.uint16))


class _Column:
    """Reads parts of one long dataset; chunks of plain gzip are inflated on the calling thread, and some are kept."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.dtype = dataset, dataset.dtype
        self._filters = filters_of(dataset)
        self._kept: OrderedDict[int, Future[NDArray]] = OrderedDict()
        self._lock = threading.Lock()
        chunk_bytes = self.dtype.itemsize * (dataset.chunks or (1,))[0]
        self._most_kept = max(2, _CACHED_BYTES // chunk_bytes)

    def read(self, start: int, out: NDArray) -> None:
        """Fill an array with the elements from `start` on."""
        stop = start + len(out)
        if self._filters is None or self._filters.deflate_level is None:
            _put(self.dataset[start:stop], out)
            return
        size = self.dataset.chunks[0]
        for rank in range(start // size, -(-stop // size)):
            low, high = max(start, rank * size), min(stop, (rank + 1) * size)
            _put(self._chunk(rank)[low - rank * size : high - rank * size], out[low - start : high - start])

    def _chunk(self, rank: int) -> NDArray:
        """Return one chunk; a thread that asks for what another one is inflating waits for it."""
        with self._lock:
            known = self._kept.get(rank)
            if known is None:
                made = self._kept[rank] = Future()
                while len(self._kept) > self._most_kept:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(rank)
        if known is not None:
            return known.result()
        try:
            made.set_result(self._inflate(rank))
        except BaseException as error:
            made.set_exception(error)
            with self._lock:
                self._kept.pop(rank, None)
            raise
        return made.result()

    def _inflate(self, rank: int) -> NDArray:
        size, n_bytes = self.dataset.chunks[0], self.dtype.itemsize
        mask, data = self.dataset.id.read_direct_chunk((rank * size,))
        if mask:  # a filter was left out of this chunk
            return self.dataset[rank * size : (rank + 1) * size]
        raw = np.frombuffer(isal_zlib.decompress(data, bufsize=size * n_bytes), np.uint8)
        if not self._filters.shuffle or n_bytes == 1:  # type: ignore[union-attr]
            return raw.view(self.dtype)
        planes = raw.reshape(n_bytes, size)
        if n_bytes != 2:
            return np.ascontiguousarray(planes.T).reshape(-1).view(self.dtype)
        # as the line above, in a quarter of the time
        joined = planes[1].astype("<u2")
        joined <<= 8
        joined |= planes[0]
        return joined.view(self.dtype)


def _put(found: NDArray, out: NDArray) -> None:
    """Copy; what a narrower type does not hold becomes its largest value, which lies beyond the last delay bin."""
    out[:] = found if found.itemsize <= out.itemsize else np.minimum(found, np.iinfo(out.dtype).max)
