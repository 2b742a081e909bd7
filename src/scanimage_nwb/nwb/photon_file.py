"""A PhotonEventSeries as a file of .siff pages that exists only in pieces, made when they are read.

What a caller does not need is not inflated: delays alone give the histogram of the field, steps alone the counts of
pixels. There is hence a file for each need, with pages in other places, raw or compressed, whichever is read sooner.
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

from scanimage_nwb.errors import FormatError
from scanimage_nwb.formats.siff import COMPRESSED, RAW, PhotonPages
from scanimage_nwb.formats.tiff_pages import PageTable
from scanimage_nwb.kernels.photon_steps import fill_pages
from scanimage_nwb.kernels.shuffle import unshuffle
from scanimage_nwb.nwb.chunk_filters import filters_of
from scanimage_nwb.siff_reader.photon_blocks import Block, PhotonSource, ReadRequest

__all__ = ["BrightPixelError", "make_source"]

_HEAD_BYTES = 16
_CACHED_BYTES = 8 << 20
"""Chunks of a column that are kept."""
_MOST_OF_16_BITS = (1 << 16) - 1
_EMPTY_PIXELS = 64
"""Pixels to a photon in frames that are nearly empty."""
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

    def run(
        self, request: ReadRequest, work: Callable[[Block], None], *, counts: bool, strips: bool, unread: bool = False
    ) -> None:
        """Do `work` for every block, as `PhotonSource.run`."""
        if counts and strips:
            PhotonSource.run(self, request, work, counts=True, strips=True, unread=unread)
        elif counts:
            self.counts.run(request, work, counts=True, strips=False, unread=unread)
        else:
            self.delays.run(request, work, counts=False, strips=True, unread=unread)


class BrightPixelError(FormatError):
    """A pixel of a frame has more photons than a compressed page can say; make the source anew with `find_bright`."""


def make_source(
    series: list[h5py.Group],
    name: str,
    file_index: NDArray[np.int64],
    page_in_file: NDArray[np.int64],
    *,
    find_bright: bool = False,
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
    find_bright : bool
        Look for frames that have a pixel of more than 65,535 photons, and make them raw pages. All frames of so many
        photons are read for it, which is why it is done once a source without it raised `BrightPixelError`.

    Returns
    -------
    PhotonSource

    Raises
    ------
    FormatError
        If a series is damaged.
    """
    columns = [_Columns.of(group, name, find_bright) for group in series]

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
    bright: NDArray[np.int64]
    """Frames with a pixel of more photons than a compressed page can say."""

    @classmethod
    def of(cls, group: h5py.Group, name: str, find_bright: bool) -> "_Columns":
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
        steps = _Column(group["pixel_step"])
        return cls(
            Path(name),
            str(group.name),
            (height, width),
            ends,
            steps,
            _Column(group["delay_bin"]),
            _find_bright(steps, ends) if find_bright else np.zeros(0, np.int64),
        )

    def photons_of(self, page: int) -> tuple[int, int]:
        """Return the first photon of a frame, and the one behind its last."""
        return int(self.ends[page - 1]) if page else 0, int(self.ends[page])


def _find_bright(steps: "_Column", ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the frames that have a pixel of more photons than 16 bits hold."""
    found = []
    n_photons = np.diff(ends, prepend=0)
    for frame in np.flatnonzero(n_photons > _MOST_OF_16_BITS):
        own = np.empty(n_photons[frame], steps.dtype)
        steps.read(int(ends[frame] - n_photons[frame]), own)
        # neighbours in the same pixel have a step of 0: that many of them in a row make a bright pixel
        longest = np.diff(np.flatnonzero(own), prepend=0, append=len(own)).max()
        if longest > _MOST_OF_16_BITS:
            found.append(frame)
    return np.array(found, np.int64)


class _PhotonFile:
    """Pages of one series for one need, as `read_block` reads a file."""

    descriptor = None
    """There is no file whose bytes are those of pages."""

    def __init__(self, columns: _Columns, need: _Need) -> None:
        self.columns, self.need, self.path = columns, need, columns.path
        self._scratch = _Scratch(columns)
        n_photons = np.diff(columns.ends, prepend=0)
        n_pixels = columns.shape[0] * columns.shape[1]
        # what is smaller as a whole; without delays, compressed pages are counted sooner unless they are nearly empty
        is_raw = n_pixels > (_EMPTY_PIXELS if need is _Need.COUNTS else 3) * n_photons
        is_raw |= (n_pixels < _FEW_PIXELS) & (n_photons > _MOST_OF_16_BITS)
        is_raw[columns.bright] = True
        if need is _Need.DELAYS:
            is_raw[:] = False
        counts_bytes = np.where(is_raw | (need is _Need.DELAYS), 0, 2 * n_pixels)
        strip_bytes = np.where(is_raw, 8, 2) * n_photons
        # where nobody asks for strips of compressed pages, the counts of the next page lie in their place
        room = np.where(is_raw | (need is not _Need.COUNTS), strip_bytes, 0)
        self.is_raw: NDArray[np.bool_] = is_raw
        self.stops = _HEAD_BYTES + np.cumsum(counts_bytes + room)
        self.size = _HEAD_BYTES + int((counts_bytes + strip_bytes).sum())
        counts_offset = self.stops - room - counts_bytes
        self.pages = self._pages(strip_bytes, self.stops - room, counts_offset)

    def _pages(
        self, strip_bytes: NDArray[np.int64], strip_offset: NDArray[np.int64], counts_offset: NDArray[np.int64]
    ) -> PhotonPages:
        """Return the pages that the file would have."""
        n, (height, width) = len(self.stops), self.columns.shape
        columns = {
            "width": np.full(n, width, np.int64),
            "height": np.full(n, height, np.int64),
            "bits": np.where(self.is_raw, 64, 16),
            "compression": np.ones(n, np.int64),
            "siff_compress": np.where(self.is_raw, RAW, COMPRESSED),
            "strip_offset": strip_offset,
            "strip_bytes": strip_bytes,
        }
        table = PageTable(self.path, self.size, columns, np.full(n, np.nan))
        kind = columns["siff_compress"].astype(np.int64)
        return PhotonPages(table, kind, strip_offset, strip_bytes, np.where(self.is_raw, -1, counts_offset))

    def read_into(self, offset: int, views: list[memoryview]) -> int:
        """Fill views with pages, from the beginning of one on, as `ReadOnlyFile.read_into` does with bytes."""
        for view in views:
            out = np.frombuffer(view, np.uint16)
            if self.need is _Need.DELAYS:
                self.columns.delays.read((offset - _HEAD_BYTES) // 2, out)
            else:
                self._fill(offset, out)
            offset += out.nbytes
        return sum(view.nbytes for view in views)

    def _fill(self, offset: int, out: NDArray[np.uint16]) -> None:
        """Make whole pages."""
        columns = self.columns
        first = int(np.searchsorted(self.stops, offset, "right"))
        stop = int(np.searchsorted(self.stops, offset + out.nbytes, "left")) + 1
        begin = columns.photons_of(first)[0]
        bounds = np.concatenate([[0], columns.ends[first:stop] - begin])
        steps, delays = self._scratch.photons(int(bounds[-1]))
        columns.steps.read(begin, steps)
        if self.need is _Need.ALL:
            columns.delays.read(begin, delays)
        else:
            delays = delays[:0]
        page, fault = fill_pages(steps, delays, bounds, self.is_raw[first:stop], columns.shape, out)
        if fault == 1:
            raise FormatError(
                f"{self.path}: {columns.where} is damaged: frame {first + page} has a photon outside its "
                f"{columns.shape[0]} x {columns.shape[1]} pixels. Copy or write the file again"
            )
        if fault == 2:
            raise BrightPixelError(
                f"{self.path}: a pixel of frame {first + page} has more than {_MOST_OF_16_BITS} photons"
            )


class _Scratch(threading.local):
    """Photons of a block, in memory that each thread uses again."""

    def __init__(self, columns: _Columns) -> None:
        self._steps = np.empty(0, columns.steps.dtype)
        self._delays = np.empty(0, np.uint16)

    def photons(self, n: int) -> tuple[NDArray, NDArray[np.uint16]]:
        """Return places for steps and delay bins of so many photons."""
        if self._steps.size < n:
            self._steps, self._delays = np.empty(n, self._steps.dtype), np.empty(n, np.uint16)
        return self._steps[:n], self._delays[:n]


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
            target = out[low - start : high - start]
            # a chunk that is used as a whole is used once, and not worth keeping
            is_whole = len(target) == size and target.dtype == self.dtype and rank not in self._kept
            if not is_whole or not self._inflate_into(rank, target):
                _put(self._chunk(rank)[low - rank * size : high - rank * size], target)

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
        size = self.dataset.chunks[0]
        chunk = np.empty(size, self.dtype)
        if self._inflate_into(rank, chunk):
            return chunk
        return self.dataset[rank * size : (rank + 1) * size]

    def _inflate_into(self, rank: int, out: NDArray) -> bool:
        """Inflate a whole chunk; do nothing, and say so, if it was written without its filters."""
        size = self.dataset.chunks[0]
        mask, data = self.dataset.id.read_direct_chunk((rank * size,))
        if mask:
            return False
        raw = np.frombuffer(isal_zlib.decompress(data, bufsize=out.nbytes), np.uint8)
        if self._filters.shuffle and self.dtype.itemsize > 1:  # type: ignore[union-attr]
            unshuffle(raw, size, 0, out)
        else:
            out[:] = raw.view(self.dtype)
        return True


def _put(found: NDArray, out: NDArray) -> None:
    """Copy; what a narrower type does not hold becomes its largest value, which lies beyond the last delay bin."""
    out[:] = found if found.itemsize <= out.itemsize else np.minimum(found, np.iinfo(out.dtype).max)
