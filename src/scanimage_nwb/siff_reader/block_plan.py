"""Cut a request into blocks of pages: which bytes of the file each needs, and where every page lies in them.

All of it is worked out for the whole request at once, so that hardly any Python runs between two blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import TruncatedFileError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.siff import COMPRESSED, RAW, PhotonPages
from scanimage_nwb.kernels.positioned_reads import read_spans

__all__ = ["BLOCK_BYTES", "BlockPlan", "plan_blocks", "read_block"]

BLOCK_BYTES = 1 << 21
"""What is read at once: large enough that what Python does in between hardly counts, and still kept by a cache."""
_BLOCK_PAGES = 1 << 11
_NEAR_BYTES = 1 << 13
"""Pages closer together than this are fetched by one read, with the bytes between them."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockPlan:
    """Pages of one file that one thread reads and decodes, in one fill of its buffer or in several."""

    cut: slice
    """Which of the pages asked for."""
    pages: NDArray[np.int64]
    """Their ranks in the file."""
    rows: NDArray[np.int64]
    """Page rows as the photon kernels take them, shape (n, 6); places are those of the fill."""
    reads: NDArray[np.int64]
    """Place in the buffer, offset in the file and length of each read, shape (n, 3)."""
    fills: NDArray[np.int64]
    """Ranks of the page and the read with which each fill begins, and of those behind the last, shape (n + 1, 2)."""
    n_bytes: int
    """Size of the largest fill."""


def plan_blocks(
    photon_pages: PhotonPages,
    pages: NDArray[np.int64],
    shifts: NDArray[np.int64],
    *,
    counts: bool,
    strips: bool,
    first: int = 0,
    n_fills: int = 1,
) -> Iterator[BlockPlan]:
    """Cut pages into blocks, of fills of about `BLOCK_BYTES` and of one page at least.

    Parameters
    ----------
    photon_pages : PhotonPages
        The file.
    pages : ndarray of int64, shape (n,)
        Ranks of pages in the file, in any order.
    shifts : ndarray of int64, shape (n, 2)
        dy and dx of the pages, not negative and smaller than the page.
    counts, strips : bool
        What is needed of compressed pages. Raw pages have a strip only, plain ones counts only.
    first : int
        Rank of the first of `pages` among those asked for.
    n_fills : int
        Most fills of a block.

    Yields
    ------
    BlockPlan
    """
    kind, strip = photon_pages.kind[pages], photon_pages.strip_offset[pages]
    n_bytes, counts_offset = photon_pages.strip_bytes[pages], photon_pages.counts_offset[pages]
    start = np.where((kind == COMPRESSED) & counts, counts_offset, strip)
    stop = np.where((kind == COMPRESSED) & (not strips), strip, strip + n_bytes)
    gap = np.zeros(len(pages), np.int64)
    gap[1:] = start[1:] - stop[:-1]
    joins = (gap >= 0) & (gap <= _NEAR_BYTES)
    bounds = _fill_bounds(np.cumsum(stop - start + np.where(joins, gap, 0)))
    joins[bounds[:-1]] = False
    heads = np.flatnonzero(~joins)
    sizes = stop[np.append(heads[1:], len(pages)) - 1] - start[heads]
    place = np.cumsum(sizes) - sizes
    head_of_fill = np.searchsorted(heads, bounds)
    place -= np.repeat(place[head_of_fill[:-1]], np.diff(head_of_fill))
    read = np.cumsum(~joins) - 1
    shift = place[read] - start[heads][read]
    rows = np.column_stack([kind, strip + shift, n_bytes, np.where(kind == RAW, -1, counts_offset + shift), shifts])
    reads = np.stack([place, start[heads], sizes], axis=1)
    fills = np.stack([bounds, head_of_fill], axis=1)
    filled = (place + sizes)[head_of_fill[1:] - 1]
    for i in range(0, len(filled), n_fills):
        own = fills[i : i + n_fills + 1]
        (begin, read_begin), (end, read_end) = own[0].tolist(), own[-1].tolist()
        yield BlockPlan(
            slice(first + begin, first + end),
            pages[begin:end],
            rows[begin:end],
            reads[read_begin:read_end],
            own - own[0],
            int(filled[i : i + n_fills].max()),
        )


def _fill_bounds(size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where fills begin, and the end, from the running sum of the pages' bytes."""
    ranks = np.arange(len(size))
    begins = (np.diff((size - 1) // BLOCK_BYTES) > 0) | (ranks[1:] % _BLOCK_PAGES == 0)
    return np.concatenate([[0], np.flatnonzero(begins) + 1, [len(size)]])


def read_block(file: ReadOnlyFile, plan: BlockPlan, buffer: NDArray[np.uint8], fill: int = 0) -> None:
    """Read a block, or one fill of it.

    Parameters
    ----------
    file : ReadOnlyFile
        The open file.
    plan : BlockPlan
        What to read.
    buffer : ndarray of uint8, shape (at least plan.n_bytes,)
        Filled.
    fill : int
        Which fill.

    Raises
    ------
    TruncatedFileError
        If the file became shorter since it was opened.
    """
    view = memoryview(buffer)  # type: ignore[arg-type]
    done, reads = 0, plan.reads[plan.fills[fill, 1] : plan.fills[fill + 1, 1]]
    while done < len(reads):
        if file.descriptor is not None:
            done += read_spans(file.descriptor, reads[done:], buffer)
            if done == len(reads):
                return
        place, offset, n_bytes = reads[done].tolist()  # one that was cut short, or has no fast way, by Python
        if n_bytes and file.read_into(offset, [view[place : place + n_bytes]]) < n_bytes:
            raise TruncatedFileError(
                f"{file.path} became shorter since it was opened with {file.size} bytes: byte {offset + n_bytes} is "
                "not there. Is it still being written or copied?"
            )
        done += 1
