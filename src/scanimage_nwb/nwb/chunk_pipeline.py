"""Fill HDF5 datasets from chunk iterators: read, shuffle and deflate on threads, write chunks from one.

Datasets exist already, empty, with their filters declared; what is written is what HDF5's own filters would have
made of it.
"""

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.nwb.chunk_filters import ChunkEncoder, filters_of

__all__ = ["ChunkWriteError", "fill_dataset", "fill_datasets"]

_BLOCK_BYTES = 8_000_000
"""A job reads about so much at once: enough to be worth a thread, small enough that many fit into memory."""

Selection = tuple[slice, ...]


class ChunkWriteError(OSError):
    """A chunk cannot be stored; the message names file and dataset."""


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
    fill_datasets([dataset], lambda part: (read(part),), workers=workers, thread_safe=thread_safe, on_block=on_block)


def fill_datasets(
    datasets: Sequence[h5py.Dataset],
    read: Callable[[Selection], Sequence[NDArray]],
    *,
    workers: int,
    thread_safe: bool,
    on_block: Callable[[int, int], None] = lambda _raw_bytes, _stored_bytes: None,
) -> None:
    """Fill empty datasets whose data are read together.

    Parameters
    ----------
    datasets : sequence of h5py.Dataset
        Of one shape and chunk shape; their filters are known to `filters_of`.
    read : callable
        Returns the data of a selection for each dataset.
    workers, thread_safe, on_block
        As for `fill_dataset`.

    Raises
    ------
    ChunkWriteError, Exception
        As for `fill_dataset`.
    """
    lock = nullcontext() if thread_safe else threading.Lock()
    job = _Job(read, lock, _fitted_encoders(datasets, read))
    waiting: deque[Future[_Block]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="write-nwb")
    item_bytes = sum(dataset.dtype.itemsize for dataset in datasets)
    try:
        for selection in _blocks(datasets[0].shape, datasets[0].chunks, item_bytes):
            waiting.append(pool.submit(job.run, selection))
            if len(waiting) > 2 * workers:
                _store(datasets, waiting.popleft().result(), on_block)
        while waiting:
            _store(datasets, waiting.popleft().result(), on_block)
    finally:
        # after an error, blocks that wait are not begun; those begun are waited for, so that no thread reads on
        pool.shutdown(wait=True, cancel_futures=True)


def _fitted_encoders(
    datasets: Sequence[h5py.Dataset], read: Callable[[Selection], Sequence[NDArray]]
) -> tuple[ChunkEncoder, ...]:
    """Return an encoder for each dataset, fitted to the first chunk, one of the middle and the last."""
    encoders = []
    for dataset in datasets:
        filters = filters_of(dataset)
        if filters is None:
            raise ValueError(f"{dataset.name}: its filters or type are not known here; fill it with h5py")
        encoders.append(ChunkEncoder(dataset.chunks, dataset.dtype, filters))
    if not any(encoder.has_a_choice for encoder in encoders):
        return tuple(encoders)
    samples = [_read_as(read, part, encoders) for part in _sampled(datasets[0].shape, datasets[0].chunks)]
    return tuple(encoder.fitted_to([sample[i] for sample in samples]) for i, encoder in enumerate(encoders))


@dataclass(frozen=True, slots=True)
class _Block:
    """Chunks of one block, ready to be stored."""

    raw_bytes: int
    chunks: list[tuple[int, tuple[int, ...], bytes]]
    """Which dataset, offset in it, and what is stored."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Turns a selection into stored chunks; runs on any thread."""

    read: Callable[[Selection], Sequence[NDArray]]
    lock: Any
    encoders: tuple[ChunkEncoder, ...]

    def run(self, selection: Selection) -> _Block:
        """Read a block and compress its chunks."""
        with self.lock:
            found = _read_as(self.read, selection, self.encoders)
        chunks = []
        for which, (data, encoder) in enumerate(zip(found, self.encoders, strict=True)):
            steps = encoder.chunk_shape
            for corner in itertools.product(*(range(0, n, step) for n, step in zip(data.shape, steps, strict=True))):
                part = data[tuple(slice(at, at + step) for at, step in zip(corner, steps, strict=True))]
                offset = tuple(s.start + at for s, at in zip(selection, corner, strict=True))
                chunks.append((which, offset, encoder.encode(part)))
        return _Block(sum(data.nbytes for data in found), chunks)


def _read_as(
    read: Callable[[Selection], Sequence[NDArray]], selection: Selection, encoders: Sequence[ChunkEncoder]
) -> list[NDArray]:
    """Read a selection; the source must return what was asked for."""
    expected = tuple(part.stop - part.start for part in selection)
    found = []
    for data, encoder in zip(map(np.asarray, read(selection)), encoders, strict=True):
        if data.shape != expected:
            raise ValueError(f"the source returned {data.shape=} for {selection}; expected {expected}")
        found.append(data.astype(encoder.dtype, copy=False))
    return found


def _sampled(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> Iterator[Selection]:
    """Yield where the first chunk, one of the middle and the last are."""
    n_chunks = [math.ceil(n / step) for n, step in zip(shape, chunk_shape, strict=True)]
    for rank in sorted({0, math.prod(n_chunks) // 2, math.prod(n_chunks) - 1} - {-1}):
        corner = [int(i) * step for i, step in zip(np.unravel_index(rank, n_chunks), chunk_shape, strict=True)]
        yield tuple(slice(at, min(at + step, n)) for at, step, n in zip(corner, chunk_shape, shape, strict=True))


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


def _store(datasets: Sequence[h5py.Dataset], block: _Block, on_block: Callable[[int, int], None]) -> None:
    """Write the chunks of a block."""
    stored_bytes = 0
    for which, offset, data in block.chunks:
        dataset = datasets[which]
        try:
            dataset.id.write_direct_chunk(offset, data)
        except (OSError, RuntimeError) as error:
            raise ChunkWriteError(
                f"{dataset.file.filename}: {dataset.name} cannot be written at {offset}: {error}. Is the disk full?"
            ) from error
        stored_bytes += len(data)
    on_block(block.raw_bytes, stored_bytes)
