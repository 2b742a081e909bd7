"""Header texts and pixels of ScanImage TIFF files."""

import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError, TruncatedFileError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.tiff_pages import PageTable
from scanimage_nwb.kernels.rolled_pages import mend_columns, read_rolled, turns
from scanimage_nwb.threads import usable_threads

__all__ = ["MAGIC", "HeaderTexts", "decode_text", "read_header_texts", "read_page_text", "read_pixels"]

MAGIC = 0x07030301
"""ScanImage's mark at byte 16 of a BigTIFF."""

_THREADED_BYTES = 1 << 23
"""Larger requests are shared among threads."""
_THREADS = usable_threads(4)
_MAX_HEADER_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class HeaderTexts:
    """The texts that hold for a whole file."""

    text: str
    """`SI.x = value` lines (or those of an older version); empty if the file has none."""
    roi_text: str
    """ROI groups as JSON; empty if the file has none."""
    tiff_version: int
    """ScanImage's version of its TIFF layout, 3 to 5; 0 for a file without ScanImage's mark."""


def read_header_texts(table: PageTable) -> HeaderTexts:
    """Read header text and ROI groups from the magic block, else from the tags of the first page.

    Parameters
    ----------
    table : PageTable
        Pages of the file.

    Returns
    -------
    HeaderTexts

    Raises
    ------
    FormatError
        If the magic block says its texts are longer than the file.
    """
    with ReadOnlyFile(table.path) as file:
        head = file.read(16, 16)
        if len(head) == 16 and struct.unpack_from("<I", head)[0] == MAGIC:
            _magic, version, text_bytes, roi_bytes = struct.unpack("<4I", head)
            if text_bytes + roi_bytes > min(file.size - 32, _MAX_HEADER_BYTES):
                raise FormatError(
                    f"{table.path}: byte 24 says a header of {text_bytes} + {roi_bytes} bytes; expected at most "
                    f"{min(file.size - 32, _MAX_HEADER_BYTES)}. The file is damaged: copy it again"
                )
            return HeaderTexts(
                decode_text(file.read(32, text_bytes)), decode_text(file.read(32 + text_bytes, roi_bytes)), version
            )
        software = _read_tag_text(file, table, "software")
        if "SI." in software or "SI4." in software or '"SI"' in software:
            return HeaderTexts(software, _read_tag_text(file, table, "artist"), 0)
    return HeaderTexts(read_page_text(table, 0), "", 0)


def _read_tag_text(file: ReadOnlyFile, table: PageTable, name: str) -> str:
    """Return the text that a tag of the first page points to, empty if there is none."""
    offset, n_bytes = int(table.columns[f"{name}_offset"][0]), int(table.columns[f"{name}_bytes"][0])
    if offset < 0 or not 8 < n_bytes < _MAX_HEADER_BYTES:
        return ""
    return decode_text(file.read(offset, n_bytes))


def read_page_text(table: PageTable, page: int) -> str:
    """Return the text of one page (its ImageDescription), without padding.

    Parameters
    ----------
    table : PageTable
        Pages of the file.
    page : int
        Rank of the page in the file.

    Returns
    -------
    str
        Empty if the page has none.
    """
    offset, n_bytes = int(table.columns["text_offset"][page]), int(table.columns["text_bytes"][page])
    if offset < 0 or n_bytes <= 0:
        return ""
    with ReadOnlyFile(table.path) as file:
        return decode_text(file.read(offset, min(n_bytes, _MAX_HEADER_BYTES)))


def decode_text(data: bytes) -> str:
    r"""Decode a text of a file: UTF-8 as newer versions write, Latin-1 where that fails.

    Padding around it is left out. A NUL within it, a sign of damage that HDF5 cannot hold, becomes U+FFFD.

    Examples
    --------
    >>> decode_text(b"5 \xb5m\0\0"), decode_text(b"a\0b")
    ('5 µm', 'a\ufffdb')
    """
    data = data.strip(b"\0 ")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def read_pixels(
    file: ReadOnlyFile,
    table: PageTable,
    pages: NDArray[np.int64],
    out: NDArray,
    shifts: NDArray[np.int64] | None = None,
) -> None:
    """Read the pixels of some pages of one file.

    They are read straight into `out`; large requests by several threads.

    Parameters
    ----------
    file : ReadOnlyFile
        The open file.
    table : PageTable
        Its pages.
    pages : ndarray of int64, shape (n,)
        Ranks of the pages in the file, in any order.
    out : ndarray of the page's dtype, shape (n, rows, columns), C-contiguous
        Filled.
    shifts : ndarray of int64, shape (n, 2), optional
        Rows and columns that each page is shifted by, as `numpy.roll` does; not negative and smaller than the page.

    Raises
    ------
    TruncatedFileError
        If the file became shorter since its pages were walked.
    """
    if len(pages) == 0:
        return
    shifts = np.zeros((len(pages), 2), np.int64) if shifts is None else shifts * np.array([1, out.itemsize])
    target = out.view(np.uint8)
    longest = max(1, _THREADED_BYTES // _THREADS // max(out[0].nbytes, 1))
    runs = [slice(first, first + longest) for first in range(0, len(pages), longest)]
    if out.nbytes < _THREADED_BYTES or len(runs) < 2:
        for run in runs:
            _read_run(file, table, pages[run], target[run], shifts[run])
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read-pixels") as pool:
        jobs = [pool.submit(_read_run, file, table, pages[run], target[run], shifts[run]) for run in runs]
        for job in jobs:
            job.result()


def _read_run(
    file: ReadOnlyFile,
    table: PageTable,
    pages: NDArray[np.int64],
    out: NDArray[np.uint8],
    shifts: NDArray[np.int64],
) -> None:
    """Read pages, shifted by rows and bytes."""
    turn, offsets = turns(shifts, out.shape[1:]), table.offset[pages]
    in_pieces = bool(table.strips) and any(page in table.strips for page in pages.tolist())
    is_whole = file.descriptor is not None and not in_pieces
    done = 0
    while done < len(pages):
        if is_whole:
            done += read_rolled(file.descriptor, offsets[done:], turn[done:], shifts[done:], out[done:])
            if done == len(pages):
                return
        page = out[done].reshape(-1)  # one that was cut short, is in pieces, or has no fast way, by Python
        _read_scattered(file, table, int(pages[done]), page)
        if shifts[done].any():
            page[:] = np.roll(page, turn[done])
            mend_columns(out[done : done + 1], shifts[done : done + 1])
        done += 1


def _read_scattered(file: ReadOnlyFile, table: PageTable, page: int, out: NDArray[np.uint8]) -> None:
    """Read one page, strip by strip if it has several."""
    offsets, lengths = table.strips.get(page, (table.offset[page : page + 1], np.array([out.size])))
    view, filled = out.data, 0
    for offset, strip_bytes in zip(offsets.tolist(), lengths.tolist(), strict=True):
        n_bytes = min(strip_bytes, out.size - filled)
        if file.read_into(offset, [view[filled : filled + n_bytes]]) < n_bytes:
            raise _became_shorter(file, page)
        filled += n_bytes


def _became_shorter(file: ReadOnlyFile, page: int) -> TruncatedFileError:
    """Make the error for a file that no longer holds what it held when it was opened."""
    return TruncatedFileError(
        f"{file.path} became shorter since it was opened with {file.size} bytes: page {page} is no longer whole. "
        "Is it still being written or copied?"
    )
