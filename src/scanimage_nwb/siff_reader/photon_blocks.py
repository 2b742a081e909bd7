"""Read and decode blocks of pages on several threads; each writes its own part of the result.

Memory is bounded: a thread holds one block and its photons. Warnings about dropped photons are given once a call.
"""

import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.siff import BlockPlan, PhotonPages, check_faults, plan_blocks, read_block
from scanimage_nwb.kernels import photons as kernels

__all__ = ["THREADS", "Block", "PhotonSource", "ReadRequest"]

THREADS = min(8, os.cpu_count() or 1)
_scratch = threading.local()


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


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Bytes of a few pages that follow one another in a request."""

    cut: slice
    """Which of the pages asked for."""
    data: NDArray[np.uint8]
    """Bytes of the file; good until the thread reads again."""
    rows: NDArray[np.int64]
    """Page rows as `kernels.photons` takes them."""
    faults: NDArray[np.int64]
    """What kernels find wrong, shape (n, 5)."""
    request: ReadRequest
    """What was asked for."""

    def photons(self) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.int64]]:
        """Return pixels and delay bins of all photons, and where each page's begin, shape (n + 1,).

        They are good until the thread decodes again.
        """
        per_photon = np.array([8, 2, 1 << 62])[self.rows[:, 0]]
        n = int((self.rows[:, 2] // per_photon).sum()) + kernels.SPARE_PHOTONS
        pixels, delay_bins = getattr(_scratch, "photons", (np.empty(0, np.uint32), np.empty(0, np.uint16)))
        if pixels.size < n or pixels.size > 4 * max(n, 1 << 19):
            pixels, delay_bins = np.empty(max(n, 1 << 19), np.uint32), np.empty(max(n, 1 << 19), np.uint16)
            _scratch.photons = pixels, delay_bins
        bounds = np.empty(len(self.rows) + 1, np.int64)
        num_bins = self.request.num_bins or 0
        kernels.decode_photons(
            self.data, self.rows, self.request.shape, num_bins, pixels, delay_bins, bounds, self.faults
        )
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

    def run(self, request: ReadRequest, work: Callable[[Block], None], *, counts: bool, strips: bool) -> None:
        """Do `work` for every block of a request, on several threads.

        Parameters
        ----------
        request : ReadRequest
            What to read.
        work : callable
            Gets a block; fills its own part of the result. The faults it leaves in the block are raised here.
        counts, strips : bool
            What is needed of compressed pages.

        Raises
        ------
        FormatError, PhotonRangeError, TruncatedFileError
            If pages are damaged; the first in the order asked for.
        """
        jobs = list(self._plan(request, counts=counts, strips=strips))
        dropped = 0
        if len(jobs) == 1:
            dropped = self._do(request, work, *jobs[0])
        elif jobs:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="siff") as pool:
                # Few are handed out at a time, so that after an error no more than those are still done.
                open_jobs: deque[Future[int]] = deque()
                for job in jobs:
                    open_jobs.append(pool.submit(self._do, request, work, *job))
                    if len(open_jobs) >= 8 * THREADS:
                        dropped += open_jobs.popleft().result()
                dropped += sum(job_done.result() for job_done in open_jobs)
        if dropped:
            self._warn_dropped(dropped)

    def _plan(self, request: ReadRequest, *, counts: bool, strips: bool) -> Iterator[tuple[int, BlockPlan]]:
        """Yield the file and plan of every block, after the pages have been checked."""
        pages = request.pages
        if len(pages) == 0:
            return
        file = self.file_index[pages]
        bounds = np.flatnonzero(np.diff(file)) + 1
        for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), len(pages)], strict=True):
            own, local = int(file[start]), self.page_in_file[pages[start:stop]]
            photon_pages = self.photon_pages[own]
            photon_pages.check(local, request.shape)
            for plan in plan_blocks(photon_pages, local, counts=counts, strips=strips, first=start):
                yield own, plan

    def _do(self, request: ReadRequest, work: Callable[[Block], None], file: int, plan: BlockPlan) -> int:
        """Read one block, do the work, and return how many photons were dropped."""
        cut = slice(plan.first, plan.first + len(plan.pages))
        data, rows = read_block(self.open_file(file), self.photon_pages[file], plan, request.shifts[cut])
        faults = np.zeros((len(rows), len(kernels.FAULTS)), np.int64)
        work(Block(cut, data, rows, faults, request))
        return check_faults(self.photon_pages[file], plan.pages, faults, request.num_bins, strict=self.strict)

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
