"""Write pages as ScanImage 2016 and later lays them out.

A BigTIFF: behind its header ScanImage's mark with the lengths of header text and ROI JSON, then these texts, once; then
of every page its directory, its text and its pixels, uncompressed. The Software and Artist tags of all pages point at
the shared texts. tifffile reads this, but cannot write it: it would repeat the shared texts, of a hundred kilobytes and
more, for each page.
"""

import struct
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.formats.scanimage_tiff import MAGIC

__all__ = ["ScanImageTiffWriter"]

_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 2, 3, 4, 5, 16
_IMAGE_DESCRIPTION, _STRIP_OFFSETS, _SOFTWARE, _ARTIST = 270, 273, 305, 315
_SAMPLE_FORMATS: Final = {"u": 1, "i": 2, "f": 3}
_ALIGNMENT: Final = 8
_VALUE_BYTES: Final = 8
"""A shorter text would stand in the directory itself (a rule of TIFF); it is padded with spaces instead."""
_UM_PER_CM: Final = 1e4

_Span = tuple[int, int]
"""Where a text begins in the file, and its bytes with the NUL."""
_Entry = tuple[int, int, int]
"""Type, count and value of a tag."""


@dataclass(frozen=True, slots=True)
class _Directory:
    """The bytes of a page's directory."""

    data: bytearray
    field: dict[int, int]
    """Where in it the count of each tag stands; behind that stands the value."""

    @property
    def next_field(self) -> int:
        """Where in it the place of the next directory stands."""
        return len(self.data) - 8


class ScanImageTiffWriter:
    r"""Writes pages one after the other; memory does not grow with them.

    Parameters
    ----------
    file : binary file
        Open for writing, seekable, empty.
    header_text, roi_text : str
        What holds for all pages: `SI.x = value` lines and ROI JSON. Without a header text there is no mark, as in files
        of old versions, whose page texts hold the header.
    tiff_version : int
        ScanImage's version of the layout, 3 or 4.
    pixel_size_um : tuple of float, optional
        Width and height of a pixel, for the resolution tags.

    Examples
    --------
    >>> import tifffile
    >>> header = "SI.VERSION_MAJOR = 2021\nSI.PREMIUM = true\n"
    >>> with (folder / "a.tif").open("wb") as file, ScanImageTiffWriter(file, header, "") as writer:
    ...     writer.write(np.ones((3, 2), "u2"), "frameNumbers = 1\n")
    >>> with tifffile.TiffFile(folder / "a.tif") as tif:
    ...     tif.scanimage_metadata["FrameData"], tif.asarray().shape
    ({'SI.VERSION_MAJOR': 2021, 'SI.PREMIUM': True}, (3, 2))
    """

    def __init__(
        self,
        file: BinaryIO,
        header_text: str,
        roi_text: str,
        *,
        tiff_version: int = 4,
        pixel_size_um: tuple[float, float] | None = None,
    ) -> None:
        self._file = file
        self._pixel_size_um = pixel_size_um
        self._spans: dict[int, _Span] = {}
        shared = b""
        if header_text:
            header, roi = _encode(header_text), _encode(roi_text)
            shared = struct.pack("<4I", MAGIC, tiff_version, len(header), len(roi)) + header + roi
            begin = 32
            self._spans = {_SOFTWARE: (begin, len(header)), _ARTIST: (begin + len(header), len(roi))}
        self._position = _aligned(16 + len(shared))
        self._next_field = 8
        self._directories: dict[tuple[object, ...], _Directory] = {}
        file.write((struct.pack("<2s3HQ", b"II", 43, 8, 0, self._position) + shared).ljust(self._position, b"\0"))

    def write(self, pixels: NDArray, text: str) -> None:
        """Write a page.

        Parameters
        ----------
        pixels : ndarray, shape (rows, columns)
            Integers or floats.
        text : str
            Its ImageDescription; the tag is left out if empty.
        """
        data = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
        description = _encode(text)
        directory = self._directory(data, has_text=bool(description))
        text_at = self._position + len(directory.data)
        pixels_at = _aligned(text_at + len(description))
        end = _aligned(pixels_at + data.nbytes)
        if description:
            struct.pack_into("<2Q", directory.data, directory.field[_IMAGE_DESCRIPTION], len(description), text_at)
        struct.pack_into("<2Q", directory.data, directory.field[_STRIP_OFFSETS], 1, pixels_at)
        struct.pack_into("<Q", directory.data, directory.next_field, end)
        self._file.write((directory.data + description).ljust(pixels_at - self._position, b"\0"))
        self._file.write(data.data)
        self._file.write(bytes(end - pixels_at - data.nbytes))
        self._next_field, self._position = self._position + directory.next_field, end

    def close(self) -> None:
        """Say in the last page that none follows; the file itself stays open."""
        self._file.seek(self._next_field)
        self._file.write(bytes(8))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def _directory(self, data: NDArray, *, has_text: bool) -> "_Directory":
        """Return the directory of a page, in which its places are still to be filled in; made once of each kind."""
        kind = data.shape, data.dtype, has_text
        if kind not in self._directories:
            tags = self._tags(data) | ({_IMAGE_DESCRIPTION: (_ASCII, 0, 0)} if has_text else {})
            self._directories[kind] = _make_directory(tags)
        return self._directories[kind]

    def _tags(self, data: NDArray) -> dict[int, _Entry]:
        """Return type, count and value of the tags of a page."""
        rows, columns = data.shape
        tags: dict[int, _Entry] = {
            256: (_LONG, 1, columns),
            257: (_LONG, 1, rows),
            258: (_SHORT, 1, data.itemsize * 8),
            259: (_SHORT, 1, 1),  # not compressed
            262: (_SHORT, 1, 1),  # black is zero
            _STRIP_OFFSETS: (_LONG8, 1, 0),
            274: (_SHORT, 1, 1),  # first row at the top
            277: (_SHORT, 1, 1),  # samples of a pixel
            278: (_LONG, 1, rows),
            279: (_LONG8, 1, data.nbytes),
            284: (_SHORT, 1, 1),
            339: (_SHORT, 1, _SAMPLE_FORMATS[data.dtype.kind]),
        }
        if self._pixel_size_um is not None:
            width, height = (_per_centimeter(size) for size in self._pixel_size_um)
            tags |= {282: (_RATIONAL, 1, width), 283: (_RATIONAL, 1, height), 296: (_SHORT, 1, 3)}
        shared = {code: (_ASCII, n_bytes, begin) for code, (begin, n_bytes) in self._spans.items() if n_bytes}
        return tags | shared


def _encode(text: str) -> bytes:
    """Return a text as it stands in the file: UTF-8, as ScanImage writes, and the NUL that ends it."""
    return text.encode().ljust(_VALUE_BYTES) + b"\0" if text else b""


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def _make_directory(tags: dict[int, _Entry]) -> _Directory:
    """Return a directory with its tags in order."""
    codes = sorted(tags)
    entries = b"".join(struct.pack("<2H2Q", code, *tags[code]) for code in codes)
    field = {code: 8 + 20 * rank + 4 for rank, code in enumerate(codes)}
    return _Directory(bytearray(struct.pack("<Q", len(tags)) + entries + bytes(8)), field)


def _per_centimeter(size_um: float) -> int:
    """Return pixels in a centimeter as a fraction of two 32-bit numbers, the numerator in the lower half."""
    numerator = 1 << 30
    denominator = min(max(1, round(numerator * size_um / _UM_PER_CM)), (1 << 32) - 1)
    return denominator << 32 | numerator
