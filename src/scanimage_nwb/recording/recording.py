"""The recording itself: reads any page of any of its files."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FrameIndexError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.scanimage_layout import AcquisitionLayout
from scanimage_nwb.formats.scanimage_tiff import read_page_text, read_pixels
from scanimage_nwb.formats.siff import SiffFacts, parse_siff_facts
from scanimage_nwb.formats.tiff_pages import PageTable
from scanimage_nwb.frame_index import FrameIndex

__all__ = ["Recording"]

_MAX_OPEN_FILES = 8


@dataclass(eq=False)
class Recording:
    """Files of one acquisition as one sequence of pages; made by `open_recording`."""

    tables: tuple[PageTable, ...]
    """Pages of each file, in the order of time."""
    header: ScanImageHeader
    """Header of the first file."""
    layout: AcquisitionLayout
    """What the header says of channels, planes and rates."""
    index: FrameIndex
    """Where every page belongs."""
    channel_names: tuple[str, ...]
    """The vendor's names of the channels on disk."""
    timestamp_s: NDArray[np.float64] | None
    """Time of each page in seconds of the first file's clock, shape (n_pages,); None if pages have none."""
    epoch: datetime | None
    """Start of the first file's clock: of a TIFF in the local time of the computer that recorded, without time zone;
    of a .siff in UTC. None if unknown."""
    tiff_version: int
    """ScanImage's version of its TIFF layout; 0 for files without ScanImage's mark."""
    clock_starts: tuple[int, ...] = (0,)
    """Ranks of the files that begin to count time anew: acquisitions started one by one, or on several computers. Gaps
    between them are as right as these computers' clocks."""
    notes: tuple[str, ...] = ()
    """What is not as it should be, and what was done about it."""
    photon_timing: Mapping[str, float] = field(default_factory=dict)
    """``num_bins``, ``tcspc_resolution_s`` and ``repetition_rate_hz`` that the user gives in place of the header's."""
    _files: "OrderedDict[int, ReadOnlyFile]" = field(default_factory=OrderedDict, repr=False)
    _files_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of time."""
        return tuple(table.path for table in self.tables)

    @property
    def is_siff(self) -> bool:
        """True if pages hold photons (a .siff file), False if they hold pixels."""
        return any(table.is_siff for table in self.tables)

    @property
    def siff_facts(self) -> SiffFacts:
        """Delay bins and laser of a .siff: what the user gives, and else what the header says."""
        return parse_siff_facts(self.header, **self.photon_timing)  # type: ignore[arg-type]

    @property
    def n_pages(self) -> int:
        """Number of pages over all files."""
        return self.index.n_pages

    @property
    def page_shape(self) -> tuple[int, int]:
        """Rows and columns of a page."""
        return self.tables[0].page_shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.tables[0].dtype

    @property
    def n_channels(self) -> int:
        """Channels on disk."""
        return self.index.layout.n_channels

    @property
    def n_planes(self) -> int:
        """Planes of a volume, without flyback."""
        return self.index.layout.n_planes

    @property
    def frames_per_slice(self) -> int:
        """Pages of one channel that a plane gets in each volume."""
        return self.index.layout.frames_per_slice

    def read_pages(
        self, pages: NDArray[np.int64], *, out: NDArray | None = None, shifts: NDArray[np.int64] | None = None
    ) -> NDArray:
        """Read pixels.

        Parameters
        ----------
        pages : ndarray of int, any shape
            Global page numbers, in any order.
        out : ndarray, shape (number of pages, rows, columns), optional
            Memory to read into, C-contiguous and of the recording's type.
        shifts : ndarray of int64, shape (number of pages, 2), optional
            Rows and columns that each is shifted by, as `numpy.roll` does; not negative and smaller than the page.

        Returns
        -------
        ndarray, shape (*pages.shape, rows, columns)

        Raises
        ------
        FrameIndexError
            If a page is not there.
        TruncatedFileError
            If a file became shorter since it was opened.
        """
        flat = np.asarray(pages, np.int64).reshape(-1)
        outside = flat[(flat < 0) | (flat >= self.n_pages)]
        if outside.size:
            raise FrameIndexError(
                f"page {outside[0]} was asked for; {self.paths[0]} and its series have {self.n_pages}"
            )
        if out is None:
            out = np.empty((flat.size, *self.page_shape), self.dtype)
        file_of_page = self.index.file_index[flat]
        bounds = np.flatnonzero(np.diff(file_of_page)) + 1
        for start, stop in zip([0, *bounds.tolist()], [*bounds.tolist(), flat.size], strict=True):
            if start == stop:
                continue
            file, own = int(file_of_page[start]), self.index.page_in_file[flat[start:stop]]
            shift = None if shifts is None else shifts[start:stop]
            read_pixels(self._file(file), self.tables[file], own, out[start:stop], shift)
        return out.reshape(*np.shape(pages), *self.page_shape)

    def page_text(self, page: int) -> str:
        """Return the text of a page (its ImageDescription).

        Parameters
        ----------
        page : int
            Global page number.

        Returns
        -------
        str
            Empty if the page has none.

        Raises
        ------
        FrameIndexError
            If the page is not there.
        """
        if not 0 <= page < self.n_pages:
            raise FrameIndexError(f"page {page} was asked for; {self.paths[0]} and its series have {self.n_pages}")
        return read_page_text(self.tables[self.index.file_index[page]], int(self.index.page_in_file[page]))

    def close(self) -> None:
        """Close the files; they open again when they are needed."""
        with self._files_lock:
            self._files.clear()

    def _file(self, index: int) -> ReadOnlyFile:
        """Return an open file; only the few used last stay open."""
        with self._files_lock:
            file = self._files.pop(index, None) or ReadOnlyFile(self.tables[index].path)
            self._files[index] = file
            if len(self._files) > _MAX_OPEN_FILES:
                self._files.popitem(last=False)
            return file

    def __getstate__(self) -> dict[str, object]:
        """Leave the open files behind: paths travel, handles do not."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_files")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _files=OrderedDict(), _files_lock=threading.Lock())
