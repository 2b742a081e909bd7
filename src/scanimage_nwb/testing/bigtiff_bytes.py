"""Bytes of a BigTIFF laid out as ScanImage writes it: shared texts first, then directory, text, pixels page by page."""

import struct
from collections.abc import Iterable
from pathlib import Path

MAGIC = 0x07030301
TIFF_FORMAT_VERSION = 4
ASCII, SHORT, RATIONAL, LONG8 = 2, 3, 5, 16
IMAGE_DESCRIPTION, STRIP_OFFSETS = 270, 273
FILE_HEADER_BYTES, MAGIC_BLOCK_BYTES = 16, 16
TEXT_PADDING_BYTES = 7
"""ScanImage leaves this many zero bytes between the NUL of a page text and the pixels."""

Tag = tuple[int, int, int, bytes]
"""Code, type, count and the eight bytes of the value or its offset."""


def encode_text(text: str) -> bytes:
    """Return `text` as UTF-8 with the NUL that ends it."""
    return text.encode() + b"\0"


def write_bigtiff(
    path: Path,
    records: Iterable[tuple[bytes, bytes]],
    n_pages: int,
    shape: tuple[int, int],
    pixel_size_um: float,
    shared_texts: tuple[bytes, bytes],
    *,
    with_magic: bool,
) -> None:
    """Stream pages into a BigTIFF.

    Parameters
    ----------
    path : Path
        File to write.
    records : iterable of (bytes, bytes)
        NUL-ended text and int16 pixels of each page; an empty text leaves the ImageDescription tag out of all pages.
    n_pages : int
        How many records there are; the last directory must say that none follows.
    shape : tuple of int
        Height and width of a page.
    pixel_size_um : float
        For the resolution tags, which ScanImage gives per centimeter.
    shared_texts : tuple of bytes
        NUL-ended header text and ROI JSON; an empty one leaves its tag out.
    with_magic : bool
        Whether the magic block stands before the shared texts.
    """
    header, roi = shared_texts
    prefix = struct.pack("<4I", MAGIC, TIFF_FORMAT_VERSION, len(header), len(roi)) if with_magic else b""
    text_start = FILE_HEADER_BYTES + len(prefix)
    end = text_start + len(header) + len(roi)
    # One to four zero bytes, as in real files, so that the first directory lies on a multiple of four.
    position = end + 4 - end % 4
    spans = {305: (text_start, len(header)), 315: (text_start + len(header), len(roi))}
    with path.open("wb", buffering=1 << 20) as file:
        file.write(struct.pack("<2s3HQ", b"II", 43, 8, 0, position) + prefix + header + roi)
        file.write(bytes(position - end))
        directory = bytearray()
        for index, (text, pixels) in enumerate(records):
            if not directory:
                directory, field = _directory(_page_tags(shape, pixel_size_um, spans, has_text=bool(text)))
            text_at = position + len(directory)
            pixels_at = text_at + len(text) + TEXT_PADDING_BYTES
            position = pixels_at + len(pixels)
            if text:
                struct.pack_into("<2Q", directory, field[IMAGE_DESCRIPTION] - 8, len(text), text_at)
            struct.pack_into("<Q", directory, field[STRIP_OFFSETS], pixels_at)
            struct.pack_into("<Q", directory, len(directory) - 8, position if index < n_pages - 1 else 0)
            file.write(directory + text + bytes(TEXT_PADDING_BYTES) + pixels)


def short(code: int, value: int) -> Tag:
    """Return a tag that holds one unsigned 16-bit number."""
    return code, SHORT, 1, struct.pack("<H6x", value)


def _page_tags(
    shape: tuple[int, int], pixel_size_um: float, spans: dict[int, tuple[int, int]], *, has_text: bool
) -> list[Tag]:
    """Return the tags of a page in the order of real files; text and strip offsets are filled in later."""
    height, width = shape
    per_centimeter = struct.pack("<2I", 1 << 30, round((1 << 30) * pixel_size_um / 1e4))
    description = [(IMAGE_DESCRIPTION, ASCII, 0, bytes(8))] if has_text else []
    shared = [(code, ASCII, n, struct.pack("<Q", start)) for code, (start, n) in spans.items() if n]
    return [
        short(256, width),
        short(257, height),
        short(258, 16),
        short(259, 1),
        short(262, 1),
        *description,
        (STRIP_OFFSETS, LONG8, 1, bytes(8)),
        short(274, 1),
        short(277, 1),
        short(278, height),
        (279, LONG8, 1, struct.pack("<Q", height * width * 2)),
        (282, RATIONAL, 1, per_centimeter),
        (283, RATIONAL, 1, per_centimeter),
        short(284, 1),
        short(296, 3),
        *shared,
        short(339, 2),
    ]


def _directory(tags: list[Tag]) -> tuple[bytearray, dict[int, int]]:
    """Return the bytes of a directory, and where in them the value of each tag lies."""
    entries = b"".join(struct.pack("<2HQ8s", *tag) for tag in tags)
    field = {tag[0]: 8 + 20 * index + 12 for index, tag in enumerate(tags)}
    return bytearray(struct.pack("<Q", len(tags)) + entries + bytes(8)), field
