"""Write an NWB file fast, and whole or not at all."""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from hdmf.container import Data
from hdmf.data_utils import AbstractDataChunkIterator, DataIO, GenericDataChunkIterator
from neuroconv.tools.nwb_helpers import (
    configure_and_write_nwbfile,
    configure_backend,
    get_default_backend_configuration,
)
from pynwb import NWBHDF5IO, NWBFile, TimeSeries

from scanimage_nwb.nwb.chunk_filters import filters_of
from scanimage_nwb.nwb.chunk_pipeline import ChunkWriteError, fill_dataset, fill_datasets
from scanimage_nwb.nwb.progress import ProgressReporter, WriteProgress
from scanimage_nwb.threads import usable_threads
from scanimage_nwb.whole_file import whole_or_nothing

__all__ = ["write_nwbfile"]

_FAST_BYTES = 1_000_000
"""Smaller datasets are left to hdmf: a thread is not worth its while."""
_CLOUD_PAGE_BYTES = 4 << 20
_DATASETS = ("data", "timestamps")
"""Fields of a TimeSeries that neuroconv puts settings of chunks and compression around."""
_KNOWN_COMPRESSION = ("gzip", None, False)


def write_nwbfile(
    nwbfile: NWBFile,
    path: str | Path,
    *,
    backend: Literal["hdf5", "zarr"] = "hdf5",
    backend_configuration: Any = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[WriteProgress], None] = True,
    cloud: bool = False,
) -> None:
    """Write an NWB file under its name only once it is whole.

    The file is written beside its place, flushed to the disk and then renamed. If anything fails, nothing appears
    under its name, and an older file stays as it was. Large datasets go through threads that shuffle and deflate.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory; its datasets may be hdmf chunk iterators of any kind.
    path : path-like
        Where it goes.
    backend : {"hdf5", "zarr"}
        What to write; `backend_configuration` goes before it.
    backend_configuration : optional
        neuroconv's settings of chunks and compression. By default its own with shuffle and gzip, which every HDF5
        client reads.
    workers : int, optional
        Threads that compress; by default one for each processor.
    overwrite : bool
        Replace a file that is there.
    progress : bool or callable
        True shows a bar with speed, compression and time left, if the error stream is a terminal. A callable is
        given a `WriteProgress` after every block of the large datasets.
    cloud : bool
        Aggregate the file in pages of 4 MiB, for readers that open it over the network with a page buffer and
        without a cache of blocks. A file of 1,000 frames of 512 x 512 then opens with 5 reads in place of 222, but is
        8% larger, and readers must ask for the buffer. Without it the file's metadata lie together at its start, so
        that a reader with a block cache (fsspec, remfile) needs one request of 1 MiB to open it and 3 for a frame;
        hence it is never chosen unasked.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False, or a folder that is no Zarr store.
    FileNotFoundError
        If the folder to write into is not there.
    """
    path = Path(path).expanduser().absolute()
    if backend_configuration is not None:
        backend = backend_configuration.backend
    with whole_or_nothing(path, overwrite=overwrite) as partial:
        if nwbfile.read_io is not None:
            configure_and_write_nwbfile(nwbfile, str(partial), backend, backend_configuration)
            return
        with _configured(nwbfile, backend, backend_configuration):
            if backend == "hdf5":
                with ProgressReporter(path.name, progress) as reporter:
                    _write_hdf5(nwbfile, partial, workers or usable_threads(), reporter, cloud)
            else:
                # what is left to configure holds no iterator
                configure_and_write_nwbfile(nwbfile, str(partial), backend)


@contextmanager
def _configured(nwbfile: NWBFile, backend: Literal["hdf5", "zarr"], configuration: Any) -> Iterator[None]:
    """Put the settings of chunks and compression around the datasets, and take them off again at the end.

    A file in memory can so be written again, to another backend or with other settings.
    """
    before = list(_datasets(nwbfile))
    try:
        for holder, name, value in before:
            if _is_stream(value):
                holder[name] = _stream_settings(value, backend)
        for holder, name, value in _other_iterators(nwbfile):
            holder[name] = _iterator_settings(value, backend)
        if configuration is None:
            configuration = _default_configuration(nwbfile, backend)
        configure_backend(nwbfile, configuration)
        # neuroconv looks for links in table columns, and consumes their iterators in doing so
        _restart_iterators(nwbfile)
        yield
    finally:
        for holder, name, value in before:
            holder[name] = value


def _datasets(nwbfile: NWBFile) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield where the datasets of a file in memory are held: a dictionary, the name there, and the value."""
    for child in nwbfile.all_children():
        # columns and images hold their values in private attributes, of which NWBData has a second one
        holder = vars(child) if isinstance(child, Data) else child.fields
        names = ("_Data__data", "_NWBData__data") if isinstance(child, Data) else _field_names(child)
        for name in names:
            if name in holder:
                yield holder, name, holder[name]


def _field_names(child: Any) -> tuple[str, ...]:
    """Return the fields of an object that may hold large data: those of core types, and iterators of extensions."""
    kinds = (AbstractDataChunkIterator, DataIO)
    return (*_DATASETS, *(k for k, v in child.fields.items() if k not in _DATASETS and isinstance(v, kinds)))


def _other_iterators(nwbfile: NWBFile) -> Iterator[tuple[dict[str, Any], str, GenericDataChunkIterator]]:
    """Yield iterators in fields that neuroconv does not know: those of extensions, such as ndx-flim."""
    for child in nwbfile.all_children():
        if isinstance(child, Data):
            continue
        for name, value in list(child.fields.items()):
            known = isinstance(child, TimeSeries) and name in _DATASETS
            if isinstance(value, GenericDataChunkIterator) and not known:
                yield child.fields, name, value


def _iterator_settings(value: GenericDataChunkIterator, backend: str) -> DataIO:
    """Return an iterator with the settings that neuroconv gives the data of core types, and shuffle."""
    if backend == "hdf5":
        shuffle = np.dtype(value.dtype).itemsize > 1
        return H5DataIO(value, chunks=value.chunk_shape, compression="gzip", shuffle=shuffle)
    from hdmf_zarr import ZarrDataIO

    return ZarrDataIO(value, chunks=value.chunk_shape)


def _is_stream(value: Any) -> bool:
    """Tell whether data come one after the other, once only, without anybody knowing how many."""
    return isinstance(value, AbstractDataChunkIterator) and not isinstance(value, GenericDataChunkIterator)


def _stream_settings(value: AbstractDataChunkIterator, backend: str) -> DataIO:
    """Return a stream with settings: neuroconv can choose none for it, and would consume it in trying."""
    if backend == "hdf5":
        return H5DataIO(value, chunks=True, compression="gzip", shuffle=True)
    from hdmf_zarr import ZarrDataIO

    return ZarrDataIO(value)


def _restart_iterators(nwbfile: NWBFile) -> None:
    """Let chunk iterators begin anew: each is good for one run, and gives nothing, and zeros in the file, after it."""
    for _, _, value in _datasets(nwbfile):
        while isinstance(value, DataIO):
            value = value.data  # noqa: PLW2901
        if isinstance(value, GenericDataChunkIterator):
            value.buffer_selection_generator = _buffers(value.maxshape, value.buffer_shape)


def _buffers(shape: tuple[int, ...], buffer_shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the selections of a chunk iterator, in hdmf's order."""
    for corner in itertools.product(*(range(0, n, step) for n, step in zip(shape, buffer_shape, strict=True))):
        yield tuple(slice(at, min(at + step, n)) for at, step, n in zip(corner, buffer_shape, shape, strict=True))


@dataclass(slots=True)
class _FastDataset:
    """A dataset that threads fill once hdmf has declared it."""

    original: H5DataIO
    declared: H5DataIO

    @property
    def iterator(self) -> GenericDataChunkIterator:
        """Where the data come from."""
        return self.original.data

    @property
    def n_bytes(self) -> int:
        """Size before compression."""
        return math.prod(self.iterator.maxshape) * np.dtype(self.iterator.dtype).itemsize


def _write_hdf5(nwbfile: NWBFile, path: Path, workers: int, reporter: ProgressReporter, cloud: bool) -> None:
    """Let hdmf write everything but the large datasets, and fill those."""
    large = _declare_large_datasets(nwbfile)
    reporter.total_bytes = sum(item.n_bytes for item in large)
    first: BaseException | None = None
    try:
        with _create_hdf5(path, cloud) as file, NWBHDF5IO(file=file, mode="w") as io:
            try:
                io.write(nwbfile)
                for items in _read_together(large):
                    _fill(items, workers, reporter)
            except BaseException as error:
                first = error
                raise
    except (OSError, RuntimeError) as error:  # what HDF5 raises
        # on a full disk, closing the file fails too, and would hide what failed first
        if first is not None and first is not error and "errno" not in str(first):
            raise first from None
        cause = first or error
        if isinstance(cause, ChunkWriteError):
            raise cause from None
        if "errno" in f"{cause} {cause.__cause__}":
            text = " ".join(str(cause).split())
            raise OSError(f"{path}: HDF5 cannot write it: {text}. Is the disk full?") from error
        raise


def _create_hdf5(path: Path, paged: bool) -> h5py.File:
    """Create the HDF5 file; with pages, its metadata lie together."""
    pages = {"fs_strategy": "page", "fs_page_size": _CLOUD_PAGE_BYTES} if paged else {}
    return h5py.File(path, "w", **pages)


def _default_configuration(nwbfile: NWBFile, backend: Literal["hdf5", "zarr"]) -> Any:
    """Return neuroconv's settings; for HDF5, with shuffle before gzip for numbers of more than one byte."""
    configuration = get_default_backend_configuration(nwbfile, backend=backend)
    if backend != "hdf5":
        return configuration
    for dataset in configuration.dataset_configurations.values():
        numbers = np.dtype(dataset.dtype).kind in "iuf" and np.dtype(dataset.dtype).itemsize > 1
        if dataset.compressors == ["gzip"] and numbers:
            dataset.compressors = ["shuffle", "gzip"]
    return configuration


def _declare_large_datasets(nwbfile: NWBFile) -> list[_FastDataset]:
    """Put an empty dataset of the same shape, type and filters in the place of every large chunk iterator."""
    large = []
    for holder, name, value in list(_datasets(nwbfile)):
        if not name.startswith("_") and isinstance(value, H5DataIO) and _is_large(value):
            declared = H5DataIO(shape=value.data.maxshape, dtype=value.data.dtype, **_settings(value))
            large.append(_FastDataset(value, declared))
            holder[name] = declared
    return large


def _is_large(value: H5DataIO) -> bool:
    """Tell whether a dataset comes from an iterator that can be asked for any part of it, and is worth threads."""
    iterator = value.data
    if not isinstance(iterator, GenericDataChunkIterator) or None in iterator.maxshape:
        return False
    dtype = np.dtype(iterator.dtype)
    settings = value.io_settings
    return (
        dtype.kind in "iuf"
        and dtype.isnative
        and math.prod(iterator.maxshape) * dtype.itemsize >= _FAST_BYTES
        and isinstance(settings.get("chunks"), tuple)
        and settings.get("compression") in _KNOWN_COMPRESSION
        and not settings.get("fletcher32")
        and not settings.get("fillvalue")
    )


def _settings(value: H5DataIO) -> dict[str, Any]:
    """Return the filters and chunks of a dataset."""
    names = ("chunks", "compression", "compression_opts", "shuffle", "maxshape")
    return {name: value.io_settings[name] for name in names if value.io_settings.get(name) is not None}


def _read_together(large: list[_FastDataset]) -> list[list[_FastDataset]]:
    """Return datasets in groups: those that one source gives in one pass, such as pixels and delays of photons."""
    groups: dict[int, list[_FastDataset]] = {}
    for item in large:
        source = getattr(item.iterator, "read_together", None)
        groups.setdefault(id(item if source is None else source), []).append(item)
    found = []
    for group in groups.values():
        datasets = [item.declared.dataset for item in group]
        # settings of a user's own may give them chunks that differ, or filters that are not known here
        are_alike = len({dataset.chunks for dataset in datasets}) == 1 and all(map(filters_of, datasets))
        found += [group] if are_alike else [[item] for item in group]
    return found


def _fill(items: list[_FastDataset], workers: int, reporter: ProgressReporter) -> None:
    """Fill one declared dataset, or those that are read together."""
    datasets = [item.declared.dataset for item in items]
    iterators = [item.iterator for item in items]
    if filters_of(datasets[0]) is None:
        for chunk in iterators[0]:
            datasets[0][chunk.selection] = chunk.data
        return
    source = getattr(iterators[0], "imaging_extractor", iterators[0])
    options: dict[str, Any] = {
        "workers": workers,
        "thread_safe": getattr(source, "reads_on_any_thread", False),
        "on_block": reporter.add,
    }
    if len(items) == 1:
        fill_dataset(datasets[0], iterators[0]._get_data, **options)
        return
    ranks = [iterator.rank for iterator in iterators]

    def read(selection: tuple[slice, ...]) -> list[Any]:
        found = iterators[0].read_together(selection)
        return [found[rank] for rank in ranks]

    fill_datasets(datasets, read, **options)
