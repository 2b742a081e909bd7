"""Read a movie here and there: evenly, whole chunks, and no more than a budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FormatError

__all__ = ["MovieSample", "plan_blocks", "sample_movie", "thinned"]

BUDGET_BYTES = 400_000_000
"""Uncompressed bytes read of all movies of a file together."""
_MOST_BLOCKS = 400
_LARGEST_BLOCK_BYTES = 1_000_000_000
"""A movie whose smallest readable piece is larger is not sampled."""


@dataclass(frozen=True, slots=True)
class MovieSample:
    """What was read of a movie."""

    n_samples: int
    """Samples of the movie."""
    index: NDArray[np.int64]
    """Samples that were read, ascending."""
    mean_image: NDArray[np.float64]
    """Mean of these, shape (width, height, planes)."""
    mean: NDArray[np.float64]
    """Mean pixel of every plane of every sample read, shape (read, planes)."""
    smallest: float
    largest: float
    n_at_limit: int
    """Pixels at the largest value that their type can hold."""
    n_pixels: int
    """Pixels read."""


def plan_blocks(
    n_samples: int, sample_bytes: int, chunk_samples: int, budget_bytes: int, most_blocks: int = _MOST_BLOCKS
) -> NDArray[np.int64]:
    """Choose the blocks of a movie to read: evenly over it, the first and the last among them.

    Parameters
    ----------
    n_samples, sample_bytes : int
        Length of the movie, and bytes of one sample.
    chunk_samples : int
        Samples that are stored together, and hence read together.
    budget_bytes : int
        Bytes to read at most; one block is read anyway.
    most_blocks : int
        Blocks to read at most.

    Returns
    -------
    ndarray of int64, shape (blocks,)
        Block b holds samples from ``b * chunk_samples`` to ``(b + 1) * chunk_samples``.

    Examples
    --------
    >>> plan_blocks(100, 10, 5, budget_bytes=250).tolist()
    [0, 5, 10, 14, 19]
    >>> plan_blocks(100, 10, 5, budget_bytes=10_000).tolist() == list(range(20))
    True
    >>> plan_blocks(0, 10, 5, budget_bytes=250).tolist()
    []
    """
    n_blocks = -(-n_samples // chunk_samples)
    wanted = min(n_blocks, most_blocks, max(1, budget_bytes // max(1, sample_bytes * chunk_samples)))
    return np.unique(np.round(np.linspace(0, n_blocks - 1, wanted)).astype(np.int64)) if n_blocks else np.zeros(0, int)


def sample_movie(data: Any, budget_bytes: int = BUDGET_BYTES) -> MovieSample:
    """Read samples spread evenly over a movie.

    Parameters
    ----------
    data : h5py.Dataset, zarr.Array or ndarray, shape (samples, width, height[, planes])
        The movie.
    budget_bytes : int
        Uncompressed bytes to read at most.

    Returns
    -------
    MovieSample

    Raises
    ------
    FormatError
        If it has another shape, or is stored in pieces too large to read one.

    Examples
    --------
    >>> movie = np.arange(24.0).reshape(4, 2, 3)
    >>> found = sample_movie(movie)
    >>> found.mean[:, 0].tolist(), found.mean_image.shape, found.largest
    ([2.5, 8.5, 14.5, 20.5], (2, 3, 1), 23.0)
    """
    shape = tuple(data.shape)
    if len(shape) not in (3, 4):
        raise FormatError(f"its data have shape {shape}; expected (time, width, height[, depth])")
    if 0 in shape:
        raise FormatError(f"its data are empty, shape {shape}; they may lie in external files")
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "iufb":
        raise FormatError(f"its pixels are {dtype}; expected numbers")
    step = min((getattr(data, "chunks", None) or (1,))[0], shape[0])
    sample_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    if step * sample_bytes > _LARGEST_BLOCK_BYTES:
        raise FormatError(
            f"it is stored in chunks of {step} samples ({step * sample_bytes / 1e9:.1f} GB for one whole frame), too "
            "large to look into; rewrite it in smaller chunks"
        )
    sums = _Sums(shape, dtype)
    for start, block in _blocks(data, plan_blocks(shape[0], sample_bytes, step, budget_bytes), step):
        sums.add(start, block.reshape(len(block), *sums.total.shape))
    return sums.result(shape[0])


class _Sums:
    """Adds up blocks of samples; what is not finite is left out."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.total = np.zeros((*shape[1:3], shape[3] if len(shape) == 4 else 1))
        self._count = np.zeros_like(self.total)
        self._limit = np.iinfo(dtype).max if dtype.kind in "iu" else None
        self._may_be_nan = dtype.kind == "f"
        self._index: list[NDArray[np.int64]] = []
        self._means: list[NDArray[np.float64]] = []
        self._smallest, self._largest = np.inf, -np.inf
        self._n_at_limit = self._n_pixels = 0

    def add(self, start: int, block: NDArray) -> None:
        """Add samples (read, width, height, planes), the first of them sample `start`."""
        values = block
        if self._may_be_nan:
            known = np.isfinite(block)
            values, block = block[known], np.where(known, block, 0)
            self._count += known.sum(axis=0)
            n_known = known.sum(axis=(1, 2))
        else:
            self._count += len(block)
            n_known = np.full((len(block), block.shape[3]), block.shape[1] * block.shape[2])
        self.total += block.sum(axis=0, dtype=np.float64)
        self._index.append(np.arange(start, start + len(block)))
        self._means.append(_ratio(block.sum(axis=(1, 2), dtype=np.float64), n_known))
        if values.size:
            self._smallest = min(self._smallest, float(values.min()))
            self._largest = max(self._largest, float(values.max()))
        if self._limit is not None:
            self._n_at_limit += int(np.count_nonzero(block == self._limit))
        self._n_pixels += block.size

    def result(self, n_samples: int) -> MovieSample:
        """Return what was added up."""
        return MovieSample(
            n_samples,
            np.concatenate(self._index),
            _ratio(self.total, self._count),
            np.concatenate(self._means),
            self._smallest,
            self._largest,
            self._n_at_limit,
            self._n_pixels,
        )


def _ratio(total: NDArray[np.float64], count: NDArray) -> NDArray[np.float64]:
    """Return means, NaN where there is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means: NDArray[np.float64] = total / count
    return means


def _blocks(data: Any, blocks: NDArray[np.int64], step: int) -> Iterator[tuple[int, NDArray]]:
    """Yield the first sample of every block, and the block."""
    for block in blocks.tolist():
        start = block * step
        yield start, np.asarray(data[start : start + step])


def thinned(x: NDArray, y: NDArray, most: int = 1500) -> tuple[NDArray, NDArray]:
    """Return fewer points of a line that still show its extremes.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        The line.
    most : int
        Points to return at most, about.

    Returns
    -------
    tuple of ndarray
        Of each stretch of the line, its smallest and its largest value, in order.

    Examples
    --------
    >>> x, y = thinned(np.arange(10_000), np.where(np.arange(10_000) == 5_000, 9, 0), most=100)
    >>> len(x) <= 100, int(y.max())
    (True, 9)
    """
    if len(x) <= most:
        return x, y
    edges = np.linspace(0, len(x), most // 2 + 1).astype(int)[:-1]
    stretch = np.searchsorted(edges, np.arange(len(x)), side="right")
    by_value = np.lexsort((np.nan_to_num(y), stretch))
    last = np.r_[edges[1:], len(x)] - 1
    keep = np.unique(np.concatenate([by_value[edges], by_value[last]]))
    return x[keep], y[keep]
