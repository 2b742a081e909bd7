"""Read blocks of pages on several threads, and do work on each; every block fills its own part of the result.

Memory is bounded: a thread holds one block and its photons. Warnings about dropped photons are given once a call.
"""

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.siff import PLAIN, PhotonPages, check_faults
from scanimage_nwb.kernels.photon_bytes import FAULTS
from scanimage_nwb.kernels.photon_lists import SPARE_PHOTONS, decode_photons
from scanimage_nwb.siff_reader.block_plan import BLOCK_BYTES, BlockPlan, plan_blocks, read_block
from scanimage_nwb.threads import usable_threads

__all__ = ["THREADS", "Block", "PhotonSource", "ReadRequest", "on_this_thread"]

THREADS = usable_threads(8)
_UNREAD_FILLS = 4
"""How often a kernel that reads by itself fills its buffer before Python runs again."""


class _Calling(threading.local):
    """Whether the thread that asks reads by itself."""

    alone = False


_CALLING = _Calling()


@contextmanager
def on_this_thread() -> Iterator[None]:
    """Read without further threads, for a caller that is one of several itself: threads of threads only wait."""
    before, _CALLING.alone = _CALLING.alone, True
    try:
        yield
    finally:
        _CALLING.alone = before


@dataclass(frozen=True, slots=True, eq=False)
class ReadRequest:
    """Which pages are read, and how."""

    pages: NDArray[np.int64]
    """Global page numbers, shape (n,)."""
    shifts: NDArray[np.int64]
    """dy and dx of each, shape (n, 2), not negative and smaller than the page."""
    shape: tuple[int, int]
    """Height and width of the pages."""
    num_bins: int | None = None
    """Number of delay bins; None if delays are not looked at."""

    @property
    def n_pixels(self) -> int:
        """Pixels of a page."""
        return self.shape[0] * self.shape[1]


class _Buffers:
    """Memory of one thread, used for block after block."""

    def __init__(self, n_bytes: int) -> None:
        self.data = np.empty(n_bytes, np.uint8)
        self.pixels, self.delay_bins = np.empty(0, np.uint32), np.empty(0, np.uint16)

    def photons(self, n: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return places for so many photons."""
        if self.pixels.size < n:
            size = max(n, BLOCK_BYTES // 2)
            self.pixels, self.delay_bins = np.empty(size, np.uint32), np.empty(size, np.uint16)
        return self.pixels, self.delay_bins


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Bytes of a few pages that follow one another in a request."""

    cut: slice
    """Which of the pages asked for."""
    data: NDArray[np.uint8]
    """Bytes of the file; good until the thread reads again."""
    rows: NDArray[np.int64]
    """Page rows as the photon kernels take them."""
    faults: NDArray[np.int64]
    """What kernels find wrong, shape (n, 5)."""
    request: ReadRequest
    """What was asked for."""
    buffers: _Buffers
    """Memory of the thread."""
    file: ReadOnlyFile
    """The file it is of."""
    plan: BlockPlan
    """How it is read."""

    def read_by(self, kernel: Callable[[int, NDArray[np.int64]], int]) -> "Iterator[Block]":
        """Have a kernel read and do a block that was given unread; yield what it leaves, read.

        Parameters
        ----------
        kernel : callable
            Gets the file's descriptor and the rest of the plan's fills; returns how many it did before one that it
            could not read.
        """
        done, fills = 0, self.plan.fills
        while done < len(fills) - 1:
            if self.file.descriptor is not None:
                done += kernel(self.file.descriptor, fills[done:])
                if done == len(fills) - 1:
                    return
            read_block(self.file, self.plan, self.buffers.data, done)
            yield self._pages(int(fills[done, 0]), int(fills[done + 1, 0]))
            done += 1

    @property
    def ranks(self) -> range:
        """Ranks of the block's pages among those asked for."""
        return range(self.cut.start, self.cut.stop)

    def parts(self, n: int) -> "Iterator[Block]":
        """Yield the block in parts of at most `n` pages."""
        for first in range(0, len(self.rows), n):
            yield self._pages(first, min(first + n, len(self.rows)))

    def _pages(self, begin: int, end: int) -> "Block":
        """Return some pages of the block."""
        cut = slice(self.cut.start + begin, self.cut.start + end)
        return replace(self, cut=cut, rows=self.rows[begin:end], faults=self.faults[begin:end])

    def photons(self) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.int64]]:
        """Return pixels and delay bins of all photons, and where each page's begin, shape (n + 1,).

        They are good until the thread decodes again.
        """
        per_photon = np.array([8, 2, 1 << 62])[self.rows[:, 0]]
        pixels, delay_bins = self.buffers.photons(int((self.rows[:, 2] // per_photon).sum()) + SPARE_PHOTONS)
        bounds = np.empty(len(self.rows) + 1, np.int64)
        num_bins = self.request.num_bins or 0
        decode_photons(self.data, self.rows, self.request.shape, num_bins, pixels, delay_bins, bounds, self.faults)
        return pixels, delay_bins, bounds


@dataclass(frozen=True, slots=True, eq=False)
class PhotonSource:
    """The files of a recording, as pages of photons."""

    photon_pages: tuple[PhotonPages, ...]
    """Pages of each file."""
    open_file: Callable[[int], ReadOnlyFile]
    """Gives a file by its rank."""
    file_index: NDArray[np.int64]
    """File of each global page."""
    page_in_file: NDArray[np.int64]
    """Rank of each global page in its file."""
    strict: bool
    """Whether photons out of range raise; else they are dropped and reported."""

    def with_delays(self, request: ReadRequest, num_bins: int) -> ReadRequest:
        """Return a request that looks at delays; refuse plain pages, which have none."""
        for file, photon_pages in enumerate(self.photon_pages):
            own = request.pages[self.file_index[request.pages] == file]
            plain = own[photon_pages.kind[self.page_in_file[own]] == PLAIN]
            if plain.size:
                raise UnsupportedFormatError(
                    f"{photon_pages.table.path}: page {plain[0]} holds counts only, no arrival times ({plain.size} "
                    "such pages were asked for); leave them out with frames"
                )
        return replace(request, num_bins=num_bins)

    def run(
        self, request: ReadRequest, work: Callable[[Block], None], *, counts: bool, strips: bool, unread: bool = False
    ) -> None:
        """Do `work` for every block of a request, on several threads.

        Parameters
        ----------
        request : ReadRequest
            What to read.
        work : callable
            Gets a block; fills its own part of the result. The faults it leaves in the block are raised here.
        counts, strips : bool
            What is needed of compressed pages.
        unread : bool
            Whether `work` gets blocks of several fills, and reads them itself: for kernels that do, so that hardly
            any Python runs.

        Raises
        ------
        FormatError, PhotonRangeError, TruncatedFileError
            If pages are damaged; the first in the order asked for.
        """
        jobs = list(self._plan(request, counts=counts, strips=strips, n_fills=_UNREAD_FILLS if unread else 1))
        run = _Run(self, request, work, jobs, unread)
        dropped = run.do_all()
        if dropped:
            self._warn_dropped(dropped)

    def _plan(
        self, request: ReadRequest, *, counts: bool, strips: bool, n_fills: int
    ) -> Iterator[tuple[int, BlockPlan]]:
        """Yield the file and plan of every block, after the pages have been checked."""
        pages = request.pages
        if len(pages) == 0:
            return
        file = self.file_index[pages]
        bounds = np.flatnonzero(np.diff(file)) + 1
        for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(pages)], strict=True):
            own, local = int(file[start]), self.page_in_file[pages[start:stop]]
            photon_pages, shifts = self.photon_pages[own], request.shifts[start:stop]
            photon_pages.check(local, request.shape)
            for plan in plan_blocks(
                photon_pages, local, shifts, counts=counts, strips=strips, first=start, n_fills=n_fills
            ):
                yield own, plan

    def _warn_dropped(self, dropped: int) -> None:
        """Report dropped photons at the line outside this package that asked for them."""
        depth = 2
        while str(sys._getframe(depth - 1).f_globals.get("__name__")).startswith("scanimage_nwb."):
            depth += 1
        warnings.warn(
            f"{self.photon_pages[0].table.path}: {dropped} photon(s) outside their page or beyond the last delay bin "
            "were dropped",
            ScanImageNwbWarning,
            stacklevel=depth,
        )


class _Run:
    """One pass over the blocks of a request. Threads take the next block each, until one fails."""

    def __init__(
        self,
        source: PhotonSource,
        request: ReadRequest,
        work: Callable[[Block], None],
        jobs: list[tuple[int, BlockPlan]],
        unread: bool,
    ) -> None:
        self.source, self.request, self.work, self.jobs, self.unread = source, request, work, jobs, unread
        self._next = 0
        self._lock = threading.Lock()
        self._at = [0] * THREADS

    def do_all(self) -> int:
        """Do all blocks; return how many photons were dropped, or raise for the first block that failed."""
        n_threads = 1 if _CALLING.alone else min(THREADS, len(self.jobs))
        if n_threads <= 1:
            return self._do_blocks(0)
        with ThreadPoolExecutor(n_threads, thread_name_prefix="siff") as pool:
            futures = [pool.submit(self._do_blocks, thread) for thread in range(n_threads)]
            try:
                for future in futures:
                    future.add_done_callback(self._stop_after_failure)
                errors = {self._at[thread]: error for thread, f in enumerate(futures) if (error := f.exception())}
            finally:  # an interrupt, too, keeps threads from beginning another block
                with self._lock:
                    self._next = len(self.jobs)
        if errors:  # blocks are begun in order, so that those before the first failure have all been done
            raise errors[min(errors)]
        return sum(future.result() for future in futures)

    def _stop_after_failure(self, future: "Future[int]") -> None:
        """Let no thread begin another block."""
        if future.exception():
            with self._lock:
                self._next = len(self.jobs)

    def _do_blocks(self, thread: int) -> int:
        """Do one block after the other; return how many photons were dropped."""
        dropped, buffers = 0, _Buffers(max((plan.n_bytes for _, plan in self.jobs), default=0))
        while True:
            with self._lock:
                rank = self._next
                if rank >= len(self.jobs):
                    return dropped
                self._at[thread], self._next = rank, rank + 1
            dropped += self._do(*self.jobs[rank], buffers)

    def _do(self, rank: int, plan: BlockPlan, buffers: _Buffers) -> int:
        """Read one block, do the work, and return how many photons were dropped."""
        file, photon_pages = self.source.open_file(rank), self.source.photon_pages[rank]
        if not self.unread:
            read_block(file, plan, buffers.data)
        faults = np.zeros((len(plan.rows), len(FAULTS)), np.int64)
        data = buffers.data[: plan.n_bytes]
        self.work(Block(plan.cut, data, plan.rows, faults, self.request, buffers, file, plan))
        return check_faults(photon_pages, plan.pages, faults, self.request.num_bins, strict=self.source.strict)
