"""Datasets filled by threads equal those that HDF5 fills itself."""

import threading
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanimage_nwb.nwb import chunk_pipeline
from scanimage_nwb.nwb.chunk_filters import filters_of
from scanimage_nwb.nwb.chunk_pipeline import fill_dataset

FILTERS = [
    {},
    {"compression": "gzip"},
    {"compression": "gzip", "shuffle": True},
    {"compression": "gzip", "compression_opts": 9, "shuffle": True},
]
DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    dtype=st.sampled_from(DTYPES),
    filters=st.sampled_from(FILTERS),
    workers=st.integers(1, 3),
    block_bytes=st.integers(1, 4000),
    data=st.data(),
)
def test_equals_what_hdf5_writes(tmp_path, monkeypatch, shape, dtype, filters, workers, block_bytes, data) -> None:
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(-100, 100, shape).astype(dtype)
    monkeypatch.setattr(chunk_pipeline, "_BLOCK_BYTES", block_bytes)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("ours", shape=shape, dtype=dtype, chunks=chunks, **filters)
        fill_dataset(dataset, values.__getitem__, workers=workers, thread_safe=True)
        file.create_dataset("hdf5", data=values, chunks=chunks, **filters)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["ours"][:], file["hdf5"][:])
        assert file["ours"].id.get_num_chunks() == file["hdf5"].id.get_num_chunks()


def test_counts_raw_and_stored_bytes(tmp_path: Path) -> None:
    values = np.zeros((40, 50, 60), "u2")
    told: list[tuple[int, int]] = []
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=values.shape, dtype="u2", chunks=(4, 50, 60), **FILTERS[2])
        fill_dataset(
            dataset, values.__getitem__, workers=2, thread_safe=True, on_block=lambda *sizes: told.append(sizes)
        )
        raw_bytes, stored_bytes = np.sum(told, axis=0)
        assert stored_bytes == dataset.id.get_storage_size()
    assert raw_bytes == values.nbytes
    assert stored_bytes < values.nbytes / 50


def test_chunks_are_plain_zlib(tmp_path: Path) -> None:
    values = np.arange(6000, dtype="u2").reshape(2, 50, 60)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=values.shape, dtype="u2", chunks=(1, 50, 60), **FILTERS[1])
        fill_dataset(dataset, values.__getitem__, workers=1, thread_safe=True)
        mask, stored = dataset.id.read_direct_chunk((1, 0, 0))
        assert mask == 0
        assert zlib.decompress(stored) == values[1].tobytes()


def test_error_in_a_reader_thread_comes_through_and_stops_the_others(tmp_path: Path) -> None:
    calls: list[int] = []

    def read(selection: tuple[slice, ...]) -> np.ndarray:
        calls.append(selection[0].start)
        if selection[0].start == 10:
            raise OSError("the disk went away")
        return np.zeros([part.stop - part.start for part in selection], "u1")

    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=(1000, 3_000_000), dtype="u1", chunks=(1, 3_000_000))
        with pytest.raises(OSError, match="the disk went away"):
            fill_dataset(dataset, read, workers=2, thread_safe=True)
    assert len(calls) < 40
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write-nwb")]


def test_source_that_returns_another_shape_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=(10, 10), dtype="u1", chunks=(5, 10))
        with pytest.raises(ValueError, match=r"expected \(10, 10\)"):
            fill_dataset(dataset, lambda _: np.zeros((3, 10), "u1"), workers=1, thread_safe=True)


def test_source_that_is_not_thread_safe_is_read_by_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def read(selection: tuple[slice, ...]) -> np.ndarray:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.002)
        inside[0] -= 1
        return np.zeros([part.stop - part.start for part in selection], "u1")

    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=(30, 3_000_000), dtype="u1", chunks=(1, 3_000_000))
        fill_dataset(dataset, read, workers=4, thread_safe=False)
    assert most[0] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzf"},
        {"compression": "gzip", "fletcher32": True},
        {"dtype": ">i2"},
        {"dtype": "S4"},
        {"dtype": np.dtype([("a", "i2")])},
        {"scaleoffset": 3},
    ],
)
def test_filters_and_types_it_does_not_know_are_said(tmp_path: Path, options: dict) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("d", shape=(10,), chunks=(5,), **{"dtype": "i2", **options})
        assert filters_of(dataset) is None
        with pytest.raises(ValueError, match="not known"):
            fill_dataset(dataset, lambda _: np.zeros(10), workers=1, thread_safe=True)


def test_level_of_gzip_that_was_asked_for_is_honoured(tmp_path: Path) -> None:
    """Level 0 stores without compressing; the default level compresses."""
    values = np.zeros((4, 100, 100), "u2")
    sizes = {}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for level in (0, 4, 9):
            options = {"chunks": (2, 100, 100), "compression": "gzip", "compression_opts": level}
            dataset = file.create_dataset(f"level{level}", shape=values.shape, dtype="u2", **options)
            fill_dataset(dataset, values.__getitem__, workers=1, thread_safe=True)
            sizes[level] = dataset.id.get_storage_size()
            assert np.array_equal(dataset[:], values)
    assert sizes[0] > values.nbytes
    assert sizes[4] < values.nbytes / 50
    assert sizes[9] < values.nbytes / 50
