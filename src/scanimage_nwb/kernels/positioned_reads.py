"""Many small reads of a file without Python between them: it would cost more than the reads, and hold up other threads.

POSIX only: other systems have no `pread`.
"""

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

__all__ = ["read_span", "read_spans"]

_pread = types.ExternalFunction("pread", types.int64(types.int32, types.voidptr, types.uint64, types.int64))


@numba.njit(cache=True, nogil=True)
def read_span(descriptor: int, buffer: NDArray[np.uint8], place: int, offset: int, n_bytes: int) -> bool:
    """Read one span of a file; parameters as for `read_spans`. Tells whether it fits the buffer and came whole."""
    if place < 0 or offset < 0 or not 0 <= n_bytes <= buffer.size - place:
        return False
    return n_bytes == 0 or _pread(descriptor, buffer[place:].ctypes, n_bytes, offset) == n_bytes


@numba.njit(cache=True, nogil=True)
def read_spans(descriptor: int, spans: NDArray[np.int64], buffer: NDArray[np.uint8]) -> int:
    """Read spans of a file.

    Parameters
    ----------
    descriptor : int
        Of the open file.
    spans : ndarray of int64, shape (n, 3)
        Place in the buffer, offset in the file and length of each.
    buffer : ndarray of uint8
        Filled.

    Returns
    -------
    int
        Rank of the first span that did not come whole (the file is too short, or a signal came between) or does not
        fit the buffer; the number of spans if all did. Those behind it are not read.
    """
    for i in range(len(spans)):
        if not read_span(descriptor, buffer, spans[i, 0], spans[i, 1], spans[i, 2]):
            return i
    return len(spans)
