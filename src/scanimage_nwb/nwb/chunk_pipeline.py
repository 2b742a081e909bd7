"""Fill an HDF5 dataset from a chunk iterator: read, shuffle and deflate on threads, write chunks from one.

The dataset exists already, empty, with its filters declared; what is written is exactly what HDF5's own filters
would have made of it (deflate by ISA-L, so the bytes differ from zlib's, but not what any reader gets).
"""

import itertools
import math
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from scanimage_nwb.kernels.shuffle import shuffle

__all__ = ["ChunkWriteError", "FilterSet", "fill_dataset", "filters_of"]

_BLOCK_BYTES = 8_000_000
"""A job reads about so much at once: enough to be worth a thread, small enough that many fit into memory."""
_DEFAULT_LEVEL = 4
"""h5py's level of gzip, which nobody asked for: ISA-L does it many times faster, and on pixels smaller."""
_FASTEST_LEVEL = 1
"""ISA-L's level 1 is its fastest, and on shuffled pixels also its smallest. Other levels are zlib's, as asked."""
_KERNEL_AXES = 4

Selection = tuple[slice, ...]


class ChunkWriteError(OSError):
    """A chunk cannot be stored; the message names file and dataset."""


@dataclass(frozen=True, slots=True)
class FilterSet:
    """Filters of a dataset that this pipeline can apply."""

    shuffle: bool
    """HDF5's shuffle filter."""
    deflate_level: int | None
    """Level of HDF5's deflate (gzip) filter, None if it is not applied."""


def filters_of(dataset: h5py.Dataset) -> FilterSet | None:
    """Return the filters of a dataset, None if this pipeline does not know them all or the dataset's type.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked, of numbers.

    Returns
    -------
    FilterSet or None
    """
    if dataset.chunks is None or dataset.dtype.kind not in "iuf" or not dataset.dtype.isnative:
        return None
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if codes not in ([], [h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]):
        return None
    level = properties.get_filter(len(codes) - 1)[2][0] if h5py.h5z.FILTER_DEFLATE in codes else None
    return FilterSet(h5py.h5z.FILTER_SHUFFLE in codes, level)


def fill_dataset(
    dataset: h5py.Dataset,
    read: Callable[[Selection], NDArray],
    *,
    workers: int,
    thread_safe: bool,
    on_block: Callable[[int, int], None] = lambda _raw_bytes, _stored_bytes: None,
) -> None:
    """Fill an empty dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        Its filters are known to `filters_of`.
    read : callable
        Returns the data of a selection, in the dataset's order of axes.
    workers : int
        Threads; at most twice as many blocks are in memory.
    thread_safe : bool
        Whether `read` may run on several threads at once.
    on_block : callable
        Called after every block with its bytes before and after compression.

    Raises
    ------
    ChunkWriteError
        If a chunk cannot be stored; names the dataset.
    Exception
        Whatever `read` raises; no further block is begun then.
    """
    filters = filters_of(dataset)
    if filters is None:
        raise ValueError(f"{dataset.name}: its filters or type are not known here; fill it with h5py")
    lock = nullcontext() if thread_safe else threading.Lock()
    job = _Job(read, lock, dataset.chunks, dataset.dtype, filters)
    waiting: deque[Future[_Block]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="write-nwb")
    try:
        for selection in _blocks(dataset.shape, dataset.chunks, dataset.dtype.itemsize):
            waiting.append(pool.submit(job.run, selection))
            if len(waiting) > 2 * workers:
                _store(dataset, waiting.popleft().result(), on_block)
        while waiting:
            _store(dataset, waiting.popleft().result(), on_block)
    finally:
        # after an error, blocks that wait are not begun; those begun are waited for, so that no thread reads on
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Block:
    """Chunks of one block, ready to be stored."""

    raw_bytes: int
    chunks: list[tuple[tuple[int, ...], bytes]]


@dataclass(frozen=True, slots=True)
class _Job:
    """Turns a selection into stored chunks; runs on any thread."""

    read: Callable[[Selection], NDArray]
    lock: Any
    chunk_shape: tuple[int, ...]
    dtype: np.dtype
    filters: FilterSet

    def run(self, selection: Selection) -> _Block:
        """Read a block and compress its chunks."""
        with self.lock:
            data = np.asarray(self.read(selection))
        expected = tuple(part.stop - part.start for part in selection)
        if data.shape != expected:
            raise ValueError(f"the source returned {data.shape=} for {selection}; expected {expected}")
        data = data.astype(self.dtype, copy=False)
        chunks = []
        for corner in itertools.product(
            *(range(0, n, step) for n, step in zip(expected, self.chunk_shape, strict=True))
        ):
            part = data[tuple(slice(at, at + step) for at, step in zip(corner, self.chunk_shape, strict=True))]
            offset = tuple(s.start + at for s, at in zip(selection, corner, strict=True))
            chunks.append((offset, self._encode(part)))
        return _Block(data.nbytes, chunks)

    def _encode(self, part: NDArray) -> bytes:
        """Apply the filters to one chunk; what lies beyond the edge of the dataset is zero, HDF5's fill value."""
        if self.filters.shuffle and self.dtype.itemsize > 1 and part.ndim <= _KERNEL_AXES:
            raw = self._shuffled(part)
        else:
            raw = self._padded(part)
            if self.filters.shuffle:
                raw = np.ascontiguousarray(raw.reshape(-1).view(np.uint8).reshape(raw.size, -1).T)
        if self.filters.deflate_level is None:
            return raw.tobytes()
        if self.filters.deflate_level == _DEFAULT_LEVEL:
            return isal_zlib.compress(raw, _FASTEST_LEVEL)
        return zlib.compress(raw.data, self.filters.deflate_level)

    def _shuffled(self, part: NDArray) -> NDArray[np.uint8]:
        """Shuffle with the kernel, which takes four axes and unsigned elements."""
        missing = _KERNEL_AXES - part.ndim
        out = (np.empty if part.shape == self.chunk_shape else np.zeros)(
            math.prod(self.chunk_shape) * self.dtype.itemsize, np.uint8
        )
        elements = part.reshape((1,) * missing + part.shape) if missing else part
        shuffle(elements.view(f"u{self.dtype.itemsize}"), (1,) * missing + self.chunk_shape, out)
        return out

    def _padded(self, part: NDArray) -> NDArray:
        """Return a whole chunk, contiguous."""
        if part.shape == self.chunk_shape:
            return np.ascontiguousarray(part)
        whole = np.zeros(self.chunk_shape, self.dtype)
        whole[tuple(slice(0, n) for n in part.shape)] = part
        return whole


def _blocks(shape: tuple[int, ...], chunk_shape: tuple[int, ...], item_bytes: int) -> Iterator[Selection]:
    """Split a dataset into blocks of whole chunks of about `_BLOCK_BYTES`, last axes first."""
    block_shape = list(chunk_shape)
    for axis in reversed(range(len(shape))):
        room = _BLOCK_BYTES // (math.prod(block_shape) * item_bytes)
        n_chunks = min(max(1, room), math.ceil(shape[axis] / chunk_shape[axis]))
        block_shape[axis] = n_chunks * chunk_shape[axis]
    starts = [range(0, n, step) for n, step in zip(shape, block_shape, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(slice(at, min(at + step, n)) for at, step, n in zip(corner, block_shape, shape, strict=True))


def _store(dataset: h5py.Dataset, block: _Block, on_block: Callable[[int, int], None]) -> None:
    """Write the chunks of a block."""
    stored_bytes = 0
    for offset, data in block.chunks:
        try:
            dataset.id.write_direct_chunk(offset, data)
        except (OSError, RuntimeError) as error:
            raise ChunkWriteError(
                f"{dataset.file.filename}: {dataset.name} cannot be written at {offset}: {error}. Is the disk full?"
            ) from error
        stored_bytes += len(data)
    on_block(block.raw_bytes, stored_bytes)
