"""HDF5's shuffle filter, fused with the transposition that brings pages into NWB order.

The filter stores the first bytes of all elements, then the second bytes, and so on, which compresses counts far
better. `shuffle_reference` is the slow twin.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["shuffle", "shuffle_reference", "unshuffle"]

_TILE_ROWS = 512
_TILE_COLUMNS = 32
"""A tile of 16-bit pixels fits the first-level cache, and is long along the page, where reading is fast."""


@numba.njit(cache=True, nogil=True, inline="always")
def _split_bytes(elements: NDArray, n: int, item_bytes: int, out: NDArray[np.uint8], step: int) -> None:
    """Write byte b of `n` elements behind one another at ``out[b * step]``."""
    for byte in range(item_bytes):
        lane = out[byte * step : byte * step + n]
        shift = 8 * byte
        for k in range(n):
            lane[k] = np.uint8(elements[k] >> shift)


@numba.njit(cache=True, nogil=True)
def shuffle(block: NDArray, chunk_shape: tuple[int, int, int, int], out: NDArray[np.uint8]) -> None:
    """Shuffle one chunk.

    Parameters
    ----------
    block : ndarray of uint16, uint32 or uint64, 4 axes, any strides
        The chunk's elements; smaller than the chunk at the edge of a dataset.
    chunk_shape : tuple of int
        Shape of a whole chunk.
    out : ndarray of uint8, shape (itemsize * elements of a chunk,)
        Filled; what `block` does not cover must be zero before.
    """
    item_bytes = block.itemsize
    n_elements = chunk_shape[0] * chunk_shape[1] * chunk_shape[2] * chunk_shape[3]
    n_rows, n_columns = block.shape[2], block.shape[3]
    tile = np.empty((_TILE_ROWS, _TILE_COLUMNS), block.dtype)
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            page = block[i, j]
            first_row = (i * chunk_shape[1] + j) * chunk_shape[2]
            for row in range(0, n_rows, _TILE_ROWS):
                tile_rows = min(_TILE_ROWS, n_rows - row)
                for column in range(0, n_columns, _TILE_COLUMNS):
                    tile_columns = min(_TILE_COLUMNS, n_columns - column)
                    # Pages are transposed here: the copy reads along them, the split writes along the chunk.
                    for c in range(tile_columns):
                        for r in range(tile_rows):
                            tile[r, c] = page[row + r, column + c]
                    for r in range(tile_rows):
                        at = (first_row + row + r) * chunk_shape[3] + column
                        _split_bytes(tile[r], tile_columns, item_bytes, out[at:], n_elements)


def shuffle_reference(block: NDArray, chunk_shape: tuple[int, ...]) -> bytes:
    """Shuffle one chunk of any number of axes the slow way; parameters as for `shuffle`."""
    whole = np.zeros(chunk_shape, block.dtype)
    whole[tuple(slice(0, n) for n in block.shape)] = block
    return whole.reshape(-1).view(np.uint8).reshape(whole.size, -1).T.tobytes()


@numba.njit(cache=True, nogil=True)
def unshuffle(shuffled: NDArray[np.uint8], n_elements: int, first: int, out: NDArray) -> None:
    """Undo the shuffle of a chunk, or of a stretch of it.

    Parameters
    ----------
    shuffled : ndarray of uint8, shape (itemsize * n_elements,)
        The chunk.
    n_elements : int
        Its elements.
    first : int
        First element that is wanted.
    out : ndarray of uint8, uint16, uint32 or uint64, shape (n,)
        Filled with as many elements as it holds.
    """
    for byte in range(out.itemsize):
        lane = shuffled[byte * n_elements + first : byte * n_elements + first + out.size]
        if byte == 0:
            for k in range(out.size):
                out[k] = lane[k]
        elif not _is_zero(lane):  # high bytes often are, throughout
            for k in range(out.size):
                out[k] |= out.dtype.type(lane[k]) << (8 * byte)


@numba.njit(cache=True, nogil=True)
def _is_zero(lane: NDArray[np.uint8]) -> bool:
    """Tell whether all bytes are zero; looks at whole blocks, which processors do quickly."""
    for first in range(0, lane.size, 4096):
        found = np.uint8(0)
        for value in lane[first : first + 4096]:
            found |= value
        if found:
            return False
    return True
