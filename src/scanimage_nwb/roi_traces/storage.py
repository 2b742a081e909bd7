"""Arrays for results: in memory, or in a temporary file where they are large."""

import tempfile
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["MOST_IN_MEMORY", "cut_rows", "make_array"]

MOST_IN_MEMORY = 1 << 26
"""Bytes of an array that is kept in memory."""
_ROWS_BYTES = 1 << 24


def make_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Return an array of zeros; a large one is mapped from a temporary file that goes away with it.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype-like

    Returns
    -------
    ndarray

    Examples
    --------
    >>> make_array((2, 3), np.int64).sum()
    np.int64(0)
    """
    if int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize <= MOST_IN_MEMORY:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="scanimage-nwb-") as file:  # the map keeps it after it is closed
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def cut_rows(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield cuts of the first axis of float64 arrays, of a few megabytes each.

    Examples
    --------
    >>> [(cut.start, cut.stop) for cut in cut_rows((3, 1 << 20))]
    [(0, 2), (2, 3)]
    """
    step = max(1, _ROWS_BYTES // (8 * max(1, int(np.prod(shape[1:], dtype=np.int64)))))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
