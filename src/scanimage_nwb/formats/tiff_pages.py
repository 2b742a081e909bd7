"""The page table: where every page of one file lies, and when it was recorded.

One forward-only, bounds-checked walk of the IFD chain serves TIFF, BigTIFF and .siff. It stops at damage and
keeps the whole pages before it; what stopped it is in `PageTable.problem`. Big-endian files are not read.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, TruncatedFileError, UnsupportedFormatError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.kernels import page_numbers, tiff_chain

__all__ = ["PageTable", "Problem", "read_page_table"]

_NEAR_BYTES = 1 << 16
"""Pages closer together than this are walked in large blocks, others with one small read a page."""
_LARGE_BLOCK = 1 << 20
_SMALL_BLOCK = 1 << 12
_MOST_MORE_ROWS = 1 << 19
"""Rows that are made at once at most; memory that no page fills is never touched."""
_ROWS_AT_ONCE = 1 << 11
_MAX_TEXT_BYTES = 1 << 16
"""Frame number and time stand at the head of a page's text; more of it is not looked at."""
_STRIP_DTYPES = {3: "<u2", 4: "<u4", 16: "<u8", 13: "<u4", 18: "<u8"}
_SAMPLE_KINDS = {-1: "u", 1: "u", 2: "i", 3: "f", 4: "u"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the walk of a file ended early."""

    text: str
    """What is wrong, in words."""
    offset: int
    """Where in the file, in bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class PageTable:
    """Where every page of one file lies, and what its text says of its place in time."""

    path: Path
    """The file."""
    file_bytes: int
    """Its size."""
    columns: dict[str, NDArray[np.int64]]
    """One array of shape (n_pages,) for each of `kernels.page_rows.COLUMNS`; -1 for what a page does not say."""
    timestamp_s: NDArray[np.float64]
    """Frame timestamps in seconds, shape (n_pages,), NaN where there is none."""
    problem: Problem | None = None
    """What stopped the walk before the end of the chain, None if it ended well."""
    strips: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=dict)
    """Offsets and lengths of the strips of those pages whose strips do not follow one another."""

    @property
    def n_pages(self) -> int:
        """Number of whole pages."""
        return len(self.timestamp_s)

    @property
    def problem_note(self) -> str:
        """What stopped the walk, where, and what is kept; empty if it ended well."""
        if self.problem is None:
            return ""
        return (
            f"{self.path.name}: {self.problem.text}; stopped at byte {self.problem.offset}, "
            f"the {self.n_pages} whole pages before are kept"
        )

    @property
    def offset(self) -> NDArray[np.int64]:
        """Byte offset of each page's pixel or photon data, shape (n_pages,)."""
        return self.columns["strip_offset"]

    @property
    def frame_number(self) -> NDArray[np.int64]:
        """ScanImage's frame number of each page, -1 where there is none, shape (n_pages,)."""
        return self.columns["frame_number"]

    @property
    def is_siff(self) -> bool:
        """True if a page holds photons, or says how they are stored; the first may be a plain one.

        A file named .siff whose pages all hold plain counts is one too.
        """
        return bool(_are_photons(self.columns).any()) or (_is_named_siff(self.path) and _is_plain(self.columns))

    @property
    def page_shape(self) -> tuple[int, int]:
        """Rows and columns of the first page."""
        return int(self.columns["height"][0]), int(self.columns["width"][0])

    @property
    def dtype(self) -> np.dtype:
        """Type of the first page's pixels.

        Raises
        ------
        UnsupportedFormatError
            If pixels are packed, in colour, or of an unknown kind.
        """
        bits, samples = int(self.columns["bits"][0]), int(self.columns["samples_per_pixel"][0])
        sample_format = int(self.columns["sample_format"][0])
        kind = _SAMPLE_KINDS.get(sample_format)
        if samples > 1 or bits not in (8, 16, 32, 64) or kind is None or (kind == "f" and bits < 32):
            raise UnsupportedFormatError(
                f"{self.path}: page 0 has {max(samples, 1)} samples a pixel of {bits} bits (SampleFormat "
                f"{sample_format}); "
                "expected one grey value of 8, 16 or 32 bits, as ScanImage writes"
            )
        return np.dtype(f"<{kind}{bits // 8}")


def read_page_table(path: Path, *, max_pages: int | None = None) -> PageTable:
    """Walk the pages of a TIFF, BigTIFF or .siff file.

    Parameters
    ----------
    path : Path
        The file.
    max_pages : int, optional
        Stop after so many pages; by default the walk goes to the end of the chain.

    Returns
    -------
    PageTable
        All whole pages, at least one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TruncatedFileError
        If the file is empty or ends before its first page does.
    UnsupportedFormatError
        If it is no little-endian TIFF, or its pixels are compressed.
    FormatError
        If its first page is damaged.
    """
    with ReadOnlyFile(path) as file:
        big, first_ifd = _read_file_header(file)
        rows, timestamp_s, problem = _walk_by_kind(file, big, first_ifd, max_pages)
        _read_far_texts(file, rows, timestamp_s)
        columns = dict(zip(tiff_chain.COLUMNS, _transpose(rows), strict=True))
        strips, n_whole, strip_problem = _join_strips(file, columns, big)
        if n_whole < len(timestamp_s):
            columns = {name: values[:n_whole] for name, values in columns.items()}
            timestamp_s, problem = timestamp_s[:n_whole], strip_problem
        if len(timestamp_s) == 0:
            what = problem or Problem("it holds no page", 8)
            raise TruncatedFileError(
                f"{path}: no whole page in {file.size} bytes: {what.text} at byte {what.offset}; "
                "copy the file again from where it was recorded, or leave it out"
            )
        table = PageTable(path, file.size, columns, timestamp_s, problem, strips)
    _check_pixels(table)
    return table


def _read_file_header(file: ReadOnlyFile) -> tuple[bool, int]:
    """Return whether a file is a BigTIFF, and the offset of its first IFD."""
    head = file.read(0, 16)
    if not head:
        raise TruncatedFileError(f"{file.path} is empty (0 bytes); expected a ScanImage TIFF or .siff file")
    if head[:4] == b"II+\0" and len(head) == 16:
        offset_bytes, _reserved, first_ifd = struct.unpack_from(
            "<HHq", head, 4
        )  # signed: beyond int64 is beyond any file
        if offset_bytes != 8:
            raise FormatError(f"{file.path}: byte 4 says offsets of {offset_bytes} bytes; expected 8 in a BigTIFF")
        return True, first_ifd
    if head[:4] == b"II*\0" and len(head) >= 8:
        return False, struct.unpack_from("<I", head, 4)[0]
    if head[:2] == b"MM":
        raise UnsupportedFormatError(
            f"{file.path} is a big-endian TIFF; ScanImage writes little-endian ones. Re-save it little-endian"
        )
    raise UnsupportedFormatError(
        f"{file.path} is no TIFF: it begins with {head[:4]!r}, expected b'II+\\x00' (BigTIFF) or b'II*\\x00'"
    )


def _is_named_siff(path: Path) -> bool:
    return path.suffix.lower() == ".siff"


def _are_photons(columns: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Tell which pages hold photons, or say how they are stored."""
    return (columns["siff_compress"] >= 0) | (columns["bits"] == 64)


def _is_plain(columns: Mapping[str, NDArray[np.int64]]) -> bool:
    """Tell whether the first page holds counts as a .siff stores them; ScanImage's pixels are signed."""
    return bool(columns["bits"][0] == 16 and columns["sample_format"][0] in (-1, 1))


def _walk_by_kind(
    file: ReadOnlyFile, big: bool, ifd: int, max_pages: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], Problem | None]:
    """Walk as the name of the file suggests, and again if its pages say that it is of the other kind."""
    named = _is_named_siff(file.path)
    found = _walk(file, big, named, ifd, max_pages)
    columns = {name: found[0][:, i] for i, name in enumerate(tiff_chain.COLUMNS)}
    photons = _are_photons(columns)
    if named:
        other = not photons.any() and not (photons.size and _is_plain(columns))
    else:  # plain pages among photons: their texts have been read by a count that says nothing
        other = 0 < photons.sum() < len(photons)
    return _walk(file, big, not named, ifd, max_pages) if other else found


def _walk(
    file: ReadOnlyFile, big: bool, siff: bool, ifd: int, max_pages: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], Problem | None]:
    """Walk the chain from `ifd` on; return page rows, timestamps and what stopped the walk."""
    rows = np.empty((max_pages or 1024, len(tiff_chain.COLUMNS)), np.int64)
    timestamp_s = np.empty(len(rows))
    block = np.empty(_LARGE_BLOCK, np.uint8)
    view = block.data
    first_ifd = ifd
    n_rows, block_offset, block_bytes, wanted = 0, 0, 0, _SMALL_BLOCK if max_pages == 1 else _LARGE_BLOCK
    while True:
        before, started = n_rows, ifd
        status, n_rows, ifd = tiff_chain.walk_pages(
            block, block_offset, block_bytes, file.size, ifd, big, siff, rows, timestamp_s, n_rows
        )
        if status == tiff_chain.STATUS_ROWS_FULL:
            if n_rows == max_pages:
                return rows, timestamp_s, None
            # As many more as the rest of the file has room for, if its pages are as large as those so far.
            rest = (file.size - ifd) * n_rows // max(1, ifd - first_ifd)
            more = min(max(n_rows, rest + rest // 16), _MOST_MORE_ROWS)
            rows = np.concatenate([rows, np.empty((more, rows.shape[1]), np.int64)])
            timestamp_s = np.concatenate([timestamp_s, np.empty(more)])
        elif status == tiff_chain.STATUS_NEED_BYTES:
            if n_rows > before:
                stride = (ifd - started) // (n_rows - before)
                wanted = _LARGE_BLOCK if stride < _NEAR_BYTES else _SMALL_BLOCK
            elif block_offset == ifd:
                wanted = _LARGE_BLOCK
            had_bytes = block_bytes if block_offset == ifd else 0
            block_offset = ifd
            block_bytes = file.read_into(ifd, [view[:wanted]])
            if block_bytes <= had_bytes:
                return rows[:n_rows], timestamp_s[:n_rows], Problem("the file became shorter while it was read", ifd)
        else:
            return rows[:n_rows], timestamp_s[:n_rows], _problem_of(status, file.size, ifd)


def _transpose(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows as columns; some rows at a time, which stay in the cache of the processor."""
    columns = np.empty(rows.shape[::-1], np.int64)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        columns[:, first : first + _ROWS_AT_ONCE] = rows[first : first + _ROWS_AT_ONCE].T
    return columns


def _problem_of(status: int, file_bytes: int, ifd: int) -> Problem | None:
    """Put the status that ended a walk into words."""
    texts = {
        tiff_chain.STATUS_IFD_CUT: f"the file ends (at byte {file_bytes}) within or before the next page's directory",
        tiff_chain.STATUS_BACKWARD: "the chain of pages runs backward or in a loop",
        tiff_chain.STATUS_BAD_IFD: "the next page's directory is damaged",
        tiff_chain.STATUS_PIXELS_CUT: f"the file ends (at byte {file_bytes}) within the next page's pixels",
        tiff_chain.STATUS_TEXT_CUT: f"the file ends (at byte {file_bytes}) within the next page's text",
    }
    return Problem(texts[status], ifd) if status in texts else None


def _read_far_texts(file: ReadOnlyFile, rows: NDArray[np.int64], timestamp_s: NDArray[np.float64]) -> None:
    """Take frame number and time of those pages whose text was not in the block that held their IFD."""
    text_offset, text_bytes, frame_number = (
        rows[:, tiff_chain.COLUMNS.index(name)] for name in ("text_offset", "text_bytes", "frame_number")
    )
    unread = np.flatnonzero((text_offset >= 0) & (frame_number < 0) & np.isnan(timestamp_s))
    for page in unread:
        n_bytes = min(int(text_bytes[page]), _MAX_TEXT_BYTES)
        text = np.frombuffer(bytearray(file.read(int(text_offset[page]), n_bytes)), np.uint8)  # writable, as blocks
        timestamp_s[page] = page_numbers.scan_text(text, 0, len(text), rows[page])


def _join_strips(
    file: ReadOnlyFile, columns: dict[str, NDArray[np.int64]], big: bool
) -> tuple[dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]], int, Problem | None]:
    """Make one span of every page that is stored in several strips, where they follow one another.

    Returns
    -------
    strips : dict
        Offsets and lengths of the strips of the other pages.
    n_whole : int
        Number of pages before the first one whose strips reach beyond the file.
    problem : Problem or None
        What is wrong with that one.
    """
    strips: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for page in map(int, np.flatnonzero(columns["n_strips"] > 1)):
        offsets = _read_strip_array(file, columns, page, "strip_offset", big)
        lengths = _read_strip_array(file, columns, page, "strip_bytes", big)
        if offsets is None or lengths is None or not _lie_within(file.size, offsets, lengths):
            where = int(columns["ifd_offset"][page])
            return strips, page, Problem("the strips of the next page reach beyond the end of the file", where)
        if (offsets[1:] != offsets[:-1] + lengths[:-1]).any():
            strips[page] = offsets, lengths
        columns["strip_offset"][page] = offsets[0]
        columns["strip_bytes"][page] = lengths.sum()
    return strips, len(columns["n_strips"]), None


def _lie_within(file_bytes: int, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> bool:
    """Tell whether all strips lie in the file; what was too large for int64 is negative here."""
    return bool(((offsets >= 0) & (lengths >= 0) & (offsets <= file_bytes - lengths)).all())


def _read_strip_array(
    file: ReadOnlyFile, columns: dict[str, NDArray[np.int64]], page: int, name: str, big: bool
) -> NDArray[np.int64] | None:
    """Return the offsets or lengths of one page's strips, None if they do not lie in the file."""
    dtype = _STRIP_DTYPES.get(int(columns[f"{name}_type"][page]))
    n_strips = int(columns["n_strips"][page])
    if dtype is None:
        return None
    n_bytes = n_strips * int(dtype[2:])
    if n_bytes <= (8 if big else 4):  # so few stand in the directory itself, in place of where they lie
        data = int(columns[name][page]).to_bytes(8, "little", signed=True)[:n_bytes]
    else:
        data = file.read(int(columns[name][page]), n_bytes)
    return np.frombuffer(data, dtype).astype(np.int64) if len(data) == n_bytes else None


def _check_pixels(table: PageTable) -> None:
    """Refuse pages whose pixels are compressed or of another shape: ScanImage writes neither."""
    if table.is_siff:
        return
    packed = np.flatnonzero(table.columns["compression"] > 1)
    if packed.size:
        raise UnsupportedFormatError(
            f"{table.path}: page {packed[0]} is compressed (TIFF scheme {table.columns['compression'][packed[0]]}); "
            "expected uncompressed pixels, as ScanImage writes. Re-save the file without compression"
        )
    rows, columns = table.page_shape
    other = (table.columns["height"] != rows) | (table.columns["width"] != columns)
    for name in ("bits", "sample_format", "samples_per_pixel"):
        other |= table.columns[name] != table.columns[name][0]
    other |= table.columns["strip_bytes"] < rows * columns * table.dtype.itemsize
    if other.any():
        page = int(np.flatnonzero(other)[0])
        raise FormatError(
            f"{table.path}: page {page} has {table.columns['height'][page]} x {table.columns['width'][page]} pixels "
            f"of {table.columns['bits'][page]} bits (SampleFormat {table.columns['sample_format'][page]}) in "
            f"{table.columns['strip_bytes'][page]} bytes; expected {rows} x {columns} pixels of "
            f"{table.columns['bits'][0]} bits (SampleFormat {table.columns['sample_format'][0]}), as page 0 has. "
            "Split the file by page shape"
        )
