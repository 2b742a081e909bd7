"""Walk the chain of image file directories (IFDs) of a TIFF or BigTIFF, forward only and bounds-checked.

The caller feeds the file in blocks; the kernel takes every page that lies in the block, with the few facts of
its page text that place a page in time. `walk_pages_reference` is the slow twin on a whole file in memory.
"""

import re
import struct
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.page_numbers import scan_text
from scanimage_nwb.kernels.page_rows import COLUMNS

__all__ = [
    "COLUMNS",
    "STATUS_BACKWARD",
    "STATUS_BAD_IFD",
    "STATUS_END",
    "STATUS_IFD_CUT",
    "STATUS_NEED_BYTES",
    "STATUS_PIXELS_CUT",
    "STATUS_ROWS_FULL",
    "STATUS_TEXT_CUT",
    "walk_pages",
    "walk_pages_reference",
]

(
    _IFD,
    _WIDTH,
    _HEIGHT,
    _BITS,
    _COMPRESSION,
    _SAMPLES,
    _FORMAT,
    _TEXT,
    _TEXT_BYTES,
    _STRIP,
    _STRIP_BYTES,
    _N_STRIPS,
    _STRIP_TYPE,
    _STRIP_BYTES_TYPE,
    _SIFF,
    _SOFTWARE,
    _SOFTWARE_BYTES,
    _ARTIST,
    _ARTIST_BYTES,
    _FRAME,
    _ACQUISITION,
    _FRAME_IN_ACQUISITION,
) = range(len(COLUMNS))

STATUS_END: Final = 0
"""The chain ended as it should, with a zero."""
STATUS_NEED_BYTES: Final = 1
"""The next IFD is not in the block."""
STATUS_ROWS_FULL: Final = 2
"""There is no free row left."""
STATUS_IFD_CUT: Final = 3
"""The next IFD reaches beyond the end of the file."""
STATUS_BACKWARD: Final = 4
"""The chain points to where it has been: a loop, or damage."""
STATUS_BAD_IFD: Final = 5
"""The next IFD holds no entry, or more than any writer makes, or no page size."""
STATUS_PIXELS_CUT: Final = 6
"""The strip of the next page reaches beyond the end of the file."""
STATUS_TEXT_CUT: Final = 7
"""The text of the next page reaches beyond the end of the file."""

MAX_ENTRIES: Final = 4096
"""More entries than this in one IFD are damage; ScanImage writes 18 or 19."""


@numba.njit(cache=True, nogil=True)
def _u16(data: NDArray[np.uint8], start: int) -> np.int64:
    """Return the little-endian unsigned integer of 2 bytes at `start`."""
    i = np.uint64(start)
    return np.int64(data[i]) | np.int64(data[i + np.uint64(1)]) << 8


@numba.njit(cache=True, nogil=True)
def _u32(data: NDArray[np.uint8], start: int) -> np.int64:
    """Return the little-endian unsigned integer of 4 bytes at `start`."""
    return _u16(data, start) | _u16(data, start + 2) << 16


@numba.njit(cache=True, nogil=True)
def _u64(data: NDArray[np.uint8], start: int) -> np.int64:
    """Return the little-endian unsigned integer of 8 bytes at `start`; -1 if it does not fit int64."""
    value = _u32(data, start) | _u32(data, start + 4) << 32
    return value if value >= 0 else np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _unsigned(data: NDArray[np.uint8], start: int, size: int) -> np.int64:
    """Return the little-endian unsigned integer of 1, 2, 4 or 8 bytes at `start`; -1 if it does not fit int64."""
    if size == 8:
        return _u64(data, start)
    if size == 4:
        return _u32(data, start)
    return _u16(data, start) if size == 2 else np.int64(data[start])


@numba.njit(cache=True, nogil=True)
def _type_size(tag_type: int) -> int:
    """Return the bytes of one value of a TIFF integer type; 0 for types that hold no integer."""
    if tag_type in (1, 2, 7):
        return 1
    if tag_type == 3:
        return 2
    if tag_type in (4, 13):
        return 4
    if tag_type in (16, 18):
        return 8
    return 0


@numba.njit(cache=True, nogil=True)
def _take_entries(data: NDArray[np.uint8], start: int, n_entries: int, big: bool, row: NDArray[np.int64]) -> None:
    """Read the entries of one IFD, which all lie in `data`, into `row`."""
    entry_bytes = 20 if big else 12
    value_at = 12 if big else 8
    pointer_bytes = 8 if big else 4
    for e in range(n_entries):
        at = start + e * entry_bytes
        tag = _u16(data, at)
        tag_type = _u16(data, at + 2)
        count = _unsigned(data, at + 4, pointer_bytes)
        size = _type_size(tag_type)
        pointer = _unsigned(data, at + value_at, pointer_bytes)
        value = _unsigned(data, at + value_at, min(size, pointer_bytes)) if count == 1 and size > 0 else pointer
        if tag == 256:
            row[_WIDTH] = value
        elif tag == 257:
            row[_HEIGHT] = value
        elif tag == 258:
            row[_BITS] = value
        elif tag == 259:
            row[_COMPRESSION] = value
        elif tag == 277:
            row[_SAMPLES] = value
        elif tag == 339:
            row[_FORMAT] = value
        elif tag == 270:
            row[_TEXT] = pointer
            row[_TEXT_BYTES] = count
        elif tag == 273:
            row[_STRIP] = value
            row[_N_STRIPS] = count
            row[_STRIP_TYPE] = tag_type
        elif tag == 279:
            row[_STRIP_BYTES] = value
            row[_STRIP_BYTES_TYPE] = tag_type
        elif tag == 305:
            row[_SOFTWARE] = pointer
            row[_SOFTWARE_BYTES] = count
        elif tag == 315:
            row[_ARTIST] = pointer
            row[_ARTIST_BYTES] = count
        elif tag == 907:
            row[_SIFF] = value


@numba.njit(cache=True, nogil=True)
def _check_page(row: NDArray[np.int64], file_bytes: int, pointer_bytes: int, siff: bool) -> int:
    """Return STATUS_END if the page of `row` lies whole in the file, else what is cut or wrong.

    The length of a .siff page's text is settled here: the count of its tag is not to be trusted, and the text ends
    where counts or strip begin.
    """
    if not (0 < row[_WIDTH] <= 1 << 24 and 0 < row[_HEIGHT] <= 1 << 24 and row[_STRIP] > 0 and row[_STRIP_BYTES] >= 0):
        return STATUS_BAD_IFD
    if row[_N_STRIPS] == 1:
        if row[_STRIP] > file_bytes or row[_STRIP_BYTES] > file_bytes - row[_STRIP]:
            return STATUS_PIXELS_CUT
    elif row[_N_STRIPS] < 1 or row[_STRIP] > file_bytes or row[_N_STRIPS] > file_bytes:
        return STATUS_BAD_IFD
    if row[_TEXT] < 0:
        return STATUS_END
    if siff or row[_SIFF] >= 0 or row[_BITS] == 64:
        counts_bytes = 2 * row[_WIDTH] * row[_HEIGHT] if row[_SIFF] == 1 else 0
        row[_TEXT_BYTES] = row[_STRIP] - counts_bytes - row[_TEXT]
        if row[_TEXT_BYTES] < 0:
            return STATUS_BAD_IFD
    elif 0 <= row[_TEXT_BYTES] <= pointer_bytes:
        row[_TEXT] = -1  # a text this short stands in the entry itself and says nothing about the page
    elif row[_TEXT_BYTES] < 0 or row[_TEXT] > file_bytes or row[_TEXT_BYTES] > file_bytes - row[_TEXT]:
        return STATUS_TEXT_CUT
    return STATUS_END


@numba.njit(cache=True, nogil=True)
def walk_pages(
    block: NDArray[np.uint8],
    block_offset: int,
    block_bytes: int,
    file_bytes: int,
    ifd: int,
    big: bool,
    siff: bool,
    rows: NDArray[np.int64],
    timestamps_s: NDArray[np.float64],
    n_rows: int,
) -> tuple[int, int, int]:
    """Take every page of the chain whose IFD lies in a block of the file.

    Parameters
    ----------
    block : ndarray of uint8
        Bytes of the file; the first `block_bytes` count.
    block_offset, block_bytes : int
        Where the block lies in the file, and its length.
    file_bytes : int
        Size of the file.
    ifd : int
        Offset in the file of the next IFD.
    big : bool
        True for BigTIFF, False for classic TIFF.
    siff : bool
        True if the pages are known to be those of a .siff file, even where they hold plain counts.
    rows : ndarray of int64, shape (capacity, len(COLUMNS))
        Filled from row `n_rows` on. The text of a page that lies outside the block stays unread: its three
        numbers are then -1 and its timestamp NaN.
    timestamps_s : ndarray of float64, shape (capacity,)
        Frame timestamps in seconds, NaN where the text has none.
    n_rows : int
        Rows filled so far.

    Returns
    -------
    status : int
        One of the ``STATUS_`` values.
    n_rows : int
        Rows filled now.
    ifd : int
        Where the walk stands: the IFD to take next, or the one that stopped it.
    """
    count_bytes = 8 if big else 2
    entry_bytes = 20 if big else 12
    pointer_bytes = 8 if big else 4
    while True:
        if n_rows >= rows.shape[0]:
            return STATUS_ROWS_FULL, n_rows, ifd
        if ifd < 0 or ifd > file_bytes - count_bytes:
            return STATUS_IFD_CUT, n_rows, ifd
        at = ifd - block_offset
        if at < 0 or at + count_bytes > block_bytes:
            return STATUS_NEED_BYTES, n_rows, ifd
        n_entries = _unsigned(block, at, count_bytes)
        if n_entries < 1 or n_entries > MAX_ENTRIES:
            return STATUS_BAD_IFD, n_rows, ifd
        ifd_bytes = count_bytes + n_entries * entry_bytes + pointer_bytes
        if ifd > file_bytes - ifd_bytes:
            return STATUS_IFD_CUT, n_rows, ifd
        if at + ifd_bytes > block_bytes:
            return STATUS_NEED_BYTES, n_rows, ifd
        row = rows[n_rows]
        row[:] = -1
        row[_IFD] = ifd
        _take_entries(block, at + count_bytes, n_entries, big, row)
        status = _check_page(row, file_bytes, pointer_bytes, siff)
        if status != STATUS_END:
            return status, n_rows, ifd
        timestamps_s[n_rows] = np.nan
        text_at = row[_TEXT] - block_offset
        if row[_TEXT] >= 0 and text_at >= 0 and text_at + row[_TEXT_BYTES] <= block_bytes:
            timestamps_s[n_rows] = scan_text(block, text_at, text_at + row[_TEXT_BYTES], row)
        n_rows += 1
        next_ifd = _unsigned(block, at + ifd_bytes - pointer_bytes, pointer_bytes)
        if next_ifd == 0:
            return STATUS_END, n_rows, ifd
        if 0 <= next_ifd <= ifd:
            return STATUS_BACKWARD, n_rows, next_ifd
        ifd = next_ifd


_REFERENCE_TAGS: Final = {
    256: ("width",),
    257: ("height",),
    258: ("bits",),
    259: ("compression",),
    277: ("samples_per_pixel",),
    339: ("sample_format",),
    907: ("siff_compress",),
}
_REFERENCE_TEXT: Final = (
    ("frame_number", rb"^(?:frameNumbers|Frame Number) *= *([-+]?[0-9.]+)"),
    ("acquisition_number", rb"^acquisitionNumbers *= *([-+]?[0-9.]+)"),
    ("frame_in_acquisition", rb"^frameNumberAcquisition *= *([-+]?[0-9.]+)"),
    ("timestamp_s", rb"^(?:frameTimestamps_sec|Frame Timestamp\(s\)) *= *([-+]?[0-9.]+)"),
)


def walk_pages_reference(data: bytes, siff: bool = False) -> tuple[list[dict[str, float]], int]:
    """Walk a sound BigTIFF in memory the slow way, for tests.

    Parameters
    ----------
    data : bytes
        The whole file.
    siff : bool
        As for `walk_pages`.

    Returns
    -------
    pages : list of dict
        Column name to value; what a page does not say is missing. The timestamp is under ``"timestamp_s"``.
    end : int
        0 if the chain ended with a zero, else the offset of the backward step.
    """
    pages = []
    (ifd,) = struct.unpack_from("<Q", data, 8)
    while True:
        (n_entries,) = struct.unpack_from("<Q", data, ifd)
        page: dict[str, float] = {"ifd_offset": ifd}
        for e in range(n_entries):
            tag, tag_type, count, pointer = struct.unpack_from("<HHQQ", data, ifd + 8 + 20 * e)
            value = pointer & {1: 0xFF, 3: 0xFFFF, 4: 0xFFFFFFFF}.get(tag_type, 2**64 - 1)
            for name in _REFERENCE_TAGS.get(tag, ()):
                page[name] = value
            if tag == 270:
                page["text_offset"], page["text_bytes"] = pointer, count
            elif tag == 273:
                page["strip_offset"], page["n_strips"] = value, count
            elif tag == 279:
                page["strip_bytes"] = value
        if siff or "siff_compress" in page or page.get("bits") == 64:
            counts = 2 * page["width"] * page["height"] if page.get("siff_compress") == 1 else 0
            page["text_bytes"] = page["strip_offset"] - counts - page["text_offset"]
        text = data[int(page["text_offset"]) : int(page["text_offset"] + page["text_bytes"])]
        for name, pattern in _REFERENCE_TEXT:
            match = re.search(pattern, text, re.MULTILINE)
            if match:
                page[name] = float(match[1]) if name == "timestamp_s" else int(float(match[1]))
        pages.append(page)
        (next_ifd,) = struct.unpack_from("<Q", data, ifd + 8 + 20 * n_entries)
        if next_ifd <= ifd:
            return pages, next_ifd
        ifd = next_ifd
