"""Pages of .siff files (ScanImage-FLIM): how each is stored, and blocks of them as the photon kernels take them.

A page holds photons (raw or compressed), or plain counts; ScanImage chooses page by page. What a page says of itself
is checked when it is read, so that a damaged page does not keep the others from being read.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, PhotonRangeError, TruncatedFileError, UnsupportedFormatError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.tiff_pages import PageTable

__all__ = [
    "BASE_BIN_S",
    "MAX_BINS",
    "PhotonPages",
    "SiffFacts",
    "check_faults",
    "parse_siff_facts",
    "read_spans",
]

BASE_BIN_S = 5e-12
"""Width of a delay bin at `binResolution` 0, of the MultiHarp."""
MAX_BINS = 1 << 16
"""Compressed pages give a delay 16 bits."""
MAX_PIXELS = 1 << 24
"""Pages larger than 4096 x 4096 are damage: ScanImage-FLIM scans no such field."""

RAW, COMPRESSED, PLAIN, UNKNOWN = 0, 1, 2, -1
_BLOCK_BYTES = 1 << 21
_NEAR_BYTES = 1 << 13
"""Pages closer together than this are fetched by one read, with the bytes between them."""
_OUTSIDE_PAGE, _BEYOND_BINS, _MISMATCH, _OVERFLOW, _OUTSIDE_BLOCK = range(5)


@dataclass(frozen=True, slots=True)
class SiffFacts:
    """What the header says of photon delays; None for what it does not say."""

    num_bins: int | None
    """Number of delay bins."""
    tcspc_resolution_s: float | None
    """Width of a delay bin in seconds."""
    repetition_rate_hz: float | None
    """Repetition rate of the laser in Hz; its inverse is the true period, which bins need not fill."""


def parse_siff_facts(
    header: ScanImageHeader,
    *,
    num_bins: int | None = None,
    tcspc_resolution_s: float | None = None,
    repetition_rate_hz: float | None = None,
) -> SiffFacts:
    r"""Return what a header says of photon delays.

    Parameters
    ----------
    header : ScanImageHeader
        Header of the file.
    num_bins, tcspc_resolution_s, repetition_rate_hz : optional
        Taken in place of what the header says.

    Raises
    ------
    HeaderFieldError
        If a value makes no sense.
    ValueError
        If one given in its place does not.

    Examples
    --------
    >>> text = "SI.hScan2D.hAcq.Tau_bins = 629\nSI.hScan2D.hAcq.binResolution = 2\nSI.hScan2D.sampleRate = 8e7"
    >>> parse_siff_facts(ScanImageHeader.from_text(text, source="a.siff"))
    SiffFacts(num_bins=629, tcspc_resolution_s=2e-11, repetition_rate_hz=80000000.0)
    """
    prefix = "SI.hScan2D.hAcq."
    if num_bins is None:
        num_bins = header.count(f"{prefix}Tau_bins", minimum=1)
        if num_bins is not None and num_bins > MAX_BINS:
            raise header.error(f"{prefix}Tau_bins", f"at most {MAX_BINS} delay bins")
    elif not 1 <= num_bins <= MAX_BINS:
        raise ValueError(f"num_bins is {num_bins}; expected 1 to {MAX_BINS}")
    if tcspc_resolution_s is None:
        power = header.count(f"{prefix}binResolution")
        if power is not None and power > 32:
            raise header.error(f"{prefix}binResolution", "a power of two up to 32")
        tcspc_resolution_s = None if power is None else BASE_BIN_S * 2**power
    elif not 0 < tcspc_resolution_s < 1:
        raise ValueError(f"tcspc_resolution_s is {tcspc_resolution_s}; expected seconds, for example 2e-11")
    if repetition_rate_hz is None:
        rate = header.positive(f"{prefix}frequency") or header.positive("SI.hScan2D.sampleRate")
        repetition_rate_hz = None if rate is None else float(rate)
    elif not 0 < repetition_rate_hz < np.inf:
        raise ValueError(f"repetition_rate_hz is {repetition_rate_hz}; expected Hz, for example 80e6")
    return SiffFacts(num_bins, tcspc_resolution_s, repetition_rate_hz)


@dataclass(frozen=True, slots=True, eq=False)
class PhotonPages:
    """How the pages of one .siff file are stored; every array has shape (n_pages,)."""

    table: PageTable
    """The pages as the TIFF has them."""
    kind: NDArray[np.int64]
    """`RAW`, `COMPRESSED`, `PLAIN` or `UNKNOWN`."""
    strip_offset: NDArray[np.int64]
    """First byte of the photons, or of the counts of a plain page."""
    strip_bytes: NDArray[np.int64]
    """Their length."""
    counts_offset: NDArray[np.int64]
    """First byte of the counts of a compressed or plain page; -1 for raw ones."""

    @classmethod
    def from_table(cls, table: PageTable) -> "PhotonPages":
        """Tell how the pages of a table are stored.

        Parameters
        ----------
        table : PageTable
            Pages of a .siff file.

        Returns
        -------
        PhotonPages
        """
        columns = table.columns
        tag, bits, strip = columns["siff_compress"], columns["bits"], columns["strip_offset"]
        kind = np.where(tag < 0, np.where(bits == 64, RAW, np.where(bits == 16, PLAIN, UNKNOWN)), tag)
        kind = np.where((tag > 1) | ((tag < 0) & (columns["compression"] > 1)), UNKNOWN, kind)
        counts = np.where(kind == COMPRESSED, strip - 2 * columns["width"] * columns["height"], strip)
        return cls(table, kind, strip, columns["strip_bytes"], np.where(kind == RAW, -1, counts))

    def check(self, pages: NDArray[np.int64], shape: tuple[int, int]) -> None:
        """Refuse pages that are not stored as the format says.

        Parameters
        ----------
        pages : ndarray of int64
            Ranks of pages in the file.
        shape : tuple of int
            Height and width that all must have.

        Raises
        ------
        FormatError
            If a page has another shape, or a strip of a size that it cannot have.
        UnsupportedFormatError
            If a page is stored in a way that is not known, or is too large to be true.
        """
        columns, kind, n_bytes = self.table.columns, self.kind[pages], self.strip_bytes[pages]
        n_pixels = shape[0] * shape[1]
        if n_pixels > MAX_PIXELS:
            raise UnsupportedFormatError(f"{self._name(pages[0])} has {shape} pixels; expected at most {MAX_PIXELS}")
        self._refuse(pages, kind == UNKNOWN, "is stored in a way we do not know; expected SiffCompress 0 or 1, or none")
        other = (columns["height"][pages] != shape[0]) | (columns["width"][pages] != shape[1])
        self._refuse(pages, other, f"is not of {shape[0]} x {shape[1]} pixels as the others; read it by itself")
        scattered = np.isin(pages, np.fromiter(self.table.strips, np.int64, len(self.table.strips)))
        self._refuse(pages, scattered, "lies in several strips; expected one")
        unit = np.array([8, 2, 1])[kind]
        self._refuse(pages, n_bytes % unit != 0, "has a strip that ends within a photon")
        wrong = (kind == PLAIN) & (n_bytes != 2 * n_pixels)
        self._refuse(pages, wrong, f"has a strip of another size than {2 * n_pixels} bytes")
        self._refuse(pages, (kind == COMPRESSED) & (self.counts_offset[pages] < 16), "has no room for its counts")

    def _name(self, page: int) -> str:
        return f"{self.table.path}: page {page} (byte {self.strip_offset[page]})"

    def _refuse(self, pages: NDArray[np.int64], bad: NDArray[np.bool_], what: str) -> None:
        """Raise for the first bad page."""
        if not bad.any():
            return
        page = int(pages[np.flatnonzero(bad)[0]])
        columns = self.table.columns
        error = UnsupportedFormatError if self.kind[page] == UNKNOWN else FormatError
        raise error(
            f"{self._name(page)} {what}: found {columns['height'][page]} x {columns['width'][page]} pixels of "
            f"{columns['bits'][page]} bits, SiffCompress {columns['siff_compress'][page]}, a strip of "
            f"{self.strip_bytes[page]} bytes. Leave the page out, or copy the file again"
        )


_scratch = threading.local()


def read_spans(
    file: ReadOnlyFile, start: NDArray[np.int64], stop: NDArray[np.int64], *, near_bytes: int = _NEAR_BYTES
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read pieces of a file, those that lie close together by one read.

    Parameters
    ----------
    file : ReadOnlyFile
        The open file.
    start, stop : ndarray of int64, shape (n,)
        First byte of each piece, and the byte behind its last.
    near_bytes : int
        Gaps up to this many bytes are read along.

    Returns
    -------
    data : ndarray of uint8
        Good until this thread reads again.
    at : ndarray of int64, shape (n,)
        Where in `data` each piece begins.

    Raises
    ------
    TruncatedFileError
        If the file became shorter since it was opened.
    """
    gap = start[1:] - stop[:-1]
    breaks = np.flatnonzero((gap < 0) | (gap > near_bytes)) + 1
    heads = np.concatenate([[0], breaks])
    tails = np.concatenate([breaks, [len(start)]]) - 1
    sizes = stop[tails] - start[heads]
    places = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    data = getattr(_scratch, "data", None)
    if data is None or data.size < total or data.size > 4 * max(total, _BLOCK_BYTES):
        data = _scratch.data = np.empty(max(total, _BLOCK_BYTES), np.uint8)
    view = memoryview(data)  # type: ignore[arg-type]
    for place, offset, n_bytes in zip(places.tolist(), start[heads].tolist(), sizes.tolist(), strict=True):
        if n_bytes and file.read_into(offset, [view[place : place + n_bytes]]) < n_bytes:
            raise TruncatedFileError(
                f"{file.path} became shorter since it was opened with {file.size} bytes: byte {offset + n_bytes} is "
                "not there. Is it still being written or copied?"
            )
    run = np.zeros(len(start), np.int64)
    run[breaks] = 1
    run = np.cumsum(run)
    return data[:total], start - start[heads][run] + places[run]


def check_faults(
    photon_pages: PhotonPages,
    pages: NDArray[np.int64],
    faults: NDArray[np.int64],
    num_bins: int | None,
    *,
    strict: bool,
) -> int:
    """Raise for what kernels found wrong with pages.

    Parameters
    ----------
    photon_pages : PhotonPages
        The file.
    pages : ndarray of int64, shape (n,)
        Ranks of the pages.
    faults : ndarray of int64, shape (n, 5)
        What `kernels.photons.FAULTS` names.
    num_bins : int or None
        For the message; None if delays were not looked at.
    strict : bool
        Whether photons out of range raise.

    Returns
    -------
    int
        Photons that were dropped for being out of range.

    Raises
    ------
    FormatError
        If the counts of a page disagree with its strip.
    PhotonRangeError
        If photons lie outside their page or beyond the last delay bin, and `strict`.
    """
    if not faults.any():
        return 0
    broken = (faults[:, _MISMATCH] != 0) | (faults[:, _OUTSIDE_BLOCK] != 0)
    dropped = faults[:, _OUTSIDE_PAGE] + faults[:, _BEYOND_BINS]
    wrong = np.flatnonzero(broken | (dropped > 0) if strict else broken)
    if wrong.size:
        first = wrong[0]
        page, found = int(pages[first]), faults[first]
        if broken[first]:
            raise FormatError(
                f"{photon_pages._name(page)}: its counts and its strip differ by {found[_MISMATCH]} photons; the strip "
                f"holds {photon_pages.strip_bytes[page] // 2}. The page is damaged: leave it out, or copy the file "
                "again"
            )
        columns = photon_pages.table.columns
        late = "" if num_bins is None else f" and {found[_BEYOND_BINS]} beyond the last of {num_bins} delay bins"
        raise PhotonRangeError(
            f"{photon_pages._name(page)} holds {found[_OUTSIDE_PAGE]} photon(s) outside its {columns['height'][page]} "
            f"x {columns['width'][page]} pixels{late}. Open the file with strict=False to drop and report them"
        )
    return int(dropped.sum())
