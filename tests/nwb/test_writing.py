"""What `write_nwbfile` writes equals what plain hdmf writes, whatever the data, filters and workers."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTable, VectorData
from hdmf.data_utils import DataChunkIterator, GenericDataChunkIterator
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from neuroconv.tools.hdmf import SliceableDataChunkIterator
from neuroconv.tools.nwb_helpers import configure_and_write_nwbfile, get_default_backend_configuration
from numpy.typing import NDArray
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.ophys import PlaneSegmentation

from scanimage_nwb.nwb import write_nwbfile, writing

PLACE = "acquisition/series/data"


class Lazy(GenericDataChunkIterator):
    """An iterator of somebody else's: makes what it is asked for, and remembers being asked."""

    def __init__(self, values: NDArray, **options: Any) -> None:
        self.values = values
        self.asked: list[tuple[slice, ...]] = []
        super().__init__(**options)

    def _get_data(self, selection: tuple[slice, ...]) -> NDArray:
        self.asked.append(selection)
        return self.values[selection].copy()

    def _get_maxshape(self) -> tuple[int, ...]:
        return self.values.shape

    def _get_dtype(self) -> np.dtype:
        return self.values.dtype


def new_file() -> NWBFile:
    return NWBFile("session", "id", datetime(2025, 1, 1, tzinfo=UTC))


def file_with(data: Any, **fields: Any) -> NWBFile:
    nwbfile = new_file()
    nwbfile.add_acquisition(TimeSeries(name="series", data=data, unit="n.a.", **({"rate": 1.0} | fields)))
    return nwbfile


def buffers_of(shape: tuple[int, ...], chunks: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return options of an iterator that goes through the data in several steps."""
    return {"chunk_shape": chunks, "buffer_shape": tuple(min(2 * c, n) for c, n in zip(chunks, shape, strict=True))}


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the smallest dataset go through threads; the names of those that did."""
    names: list[str] = []
    real = writing.fill_dataset
    monkeypatch.setattr(writing, "_FAST_BYTES", 1)
    monkeypatch.setattr(
        writing, "fill_dataset", lambda dataset, *a, **k: names.append(dataset.name) or real(dataset, *a, **k)
    )
    return names


def properties(dataset: h5py.Dataset) -> dict[str, Any]:
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[:3] for i in range(plist.get_nfilters())]
    return {"dtype": dataset.dtype, "maxshape": dataset.maxshape, "chunks": dataset.chunks, "filters": filters}


def assert_same_files(ours: Path, theirs: Path) -> None:
    """Every dataset of two HDF5 files has the same values, type, chunks and filters."""
    with h5py.File(ours) as a, h5py.File(theirs) as b:
        names: list[str] = []
        b.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        found: list[str] = []
        a.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        assert sorted(found) == sorted(names)
        for name in names:
            if name.startswith("specifications") or name == "file_create_date":
                continue
            assert properties(a[name]) == properties(b[name]), name
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=name, strict=True)
            assert sorted(a[name].attrs) == sorted(b[name].attrs), name


# ---- equal to hdmf's own writer, over shapes, types, chunks and filters

FAST = [
    (["gzip"], None),
    (["gzip"], [{"compression_opts": 9}]),
    (["shuffle", "gzip"], [None, {"compression_opts": 1}]),
    (["shuffle", "gzip"], None),
    (None, None),
]
SLOW = [
    (["lzf"], None),
    (["shuffle", "lzf"], None),
    (["gzip", "fletcher32"], None),
    (["Zstd"], [{"clevel": 3}]),
    (["Blosc2"], [{"cname": "zstd"}]),
]
NUMBERS = ["i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"]
OTHER_TYPES = [">i2", ">f8"]


@pytest.mark.filterwarnings("ignore:.* compression may not be available:UserWarning")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from([*NUMBERS, *OTHER_TYPES]),
    compression=st.sampled_from([*FAST, *SLOW]),
    kind=st.sampled_from([Lazy, SliceableDataChunkIterator]),
    workers=st.integers(1, 3),
    data=st.data(),
)
def test_equals_what_hdmf_writes(tmp_path, filled, shape, dtype, compression, kind, workers, data) -> None:
    compressors, options = compression
    if compressors and compressors[0] in {"Zstd", "Blosc2"}:
        pytest.importorskip("hdf5plugin")
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(0, 100, shape).astype(dtype)

    def write(writer: Callable[..., None], name: str, **more: Any) -> Path:
        nwbfile = file_with(kind(values, **buffers_of(shape, chunks)))
        configuration = get_default_backend_configuration(nwbfile, backend="hdf5")
        (dataset,) = configuration.dataset_configurations.values()
        dataset.compressors = compressors
        dataset.compressor_options = options
        writer(nwbfile, tmp_path / name, backend_configuration=configuration, **more)
        return tmp_path / name

    filled.clear()
    ours = write(write_nwbfile, "ours.nwb", workers=workers, overwrite=True)
    assert filled == ([f"/{PLACE}"] if compression in FAST and dtype in NUMBERS else [])
    assert_same_files(ours, write(configure_and_write_nwbfile, "hdmf.nwb"))
    with h5py.File(ours) as file:
        np.testing.assert_array_equal(file[PLACE][:], values)
        assert file[PLACE].chunks == chunks


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bits=st.binary(min_size=8 * 40, max_size=8 * 40), dtype=st.sampled_from(["<f4", "<f8"]))
@example(bits=np.array([np.nan, np.inf, -np.inf, -0.0] * 10).tobytes(), dtype="<f8")
def test_floats_keep_every_bit(tmp_path, filled, bits: bytes, dtype: str) -> None:
    values = np.frombuffer(bits, dtype).reshape(10, -1)
    write_nwbfile(file_with(Lazy(values, **buffers_of(values.shape, (3, 2)))), tmp_path / "out.nwb", overwrite=True)
    assert filled
    filled.clear()
    with h5py.File(tmp_path / "out.nwb") as file:
        assert file[PLACE][:].tobytes() == values.tobytes(), "NaNs and their bits too"


# ---- what the fast path leaves to hdmf


def stream(values: NDArray) -> DataChunkIterator:
    return DataChunkIterator(values, buffer_size=300)


@pytest.mark.parametrize("backend", ["hdf5", "zarr"])
@pytest.mark.parametrize("wrap", [lambda v: Lazy(v, chunk_mb=0.001), stream], ids=["generic", "stream"])
@pytest.mark.parametrize("given", [False, True], ids=["default", "configured"])
def test_table_columns_from_iterators(
    tmp_path: Path, filled: list[str], backend: str, wrap: Callable[[NDArray], Any], given: bool
) -> None:
    """Configuring consumes the iterators of columns; neuroconv writes zeros for them."""
    values = np.arange(1, 1001, dtype="i4")
    nwbfile = new_file()
    table = DynamicTable(
        name="table",
        description="d",
        id=np.arange(len(values)),
        columns=[VectorData(name="x", description="d", data=wrap(values))],
    )
    nwbfile.add_acquisition(table)
    configuration = None
    if given and wrap is not stream:
        configuration = get_default_backend_configuration(nwbfile, backend=backend)
    path = tmp_path / "out.nwb"
    write_nwbfile(nwbfile, path, backend=backend, backend_configuration=configuration)
    np.testing.assert_array_equal(read_by(backend, path, "acquisition/table/x"), values)


def read_by(backend: str, path: Path, name: str) -> NDArray:
    if backend == "hdf5":
        with h5py.File(path) as file:
            return file[name][:]
    import zarr

    return zarr.open(str(path), mode="r")[name][:]


def test_ragged_compound_and_scalar_data_equal_those_of_hdmf(tmp_path: Path, filled: list[str]) -> None:
    def make() -> NWBFile:
        nwbfile = file_with(Lazy(np.arange(600, dtype="i2").reshape(100, 6), **buffers_of((100, 6), (7, 6))))
        table = DynamicTable(name="table", description="d", id=[0, 1, 2])
        table.add_column("ragged", "d", data=[1.5, 2.5, 3.5, 4.5], index=[1, 1, 4])
        table.add_column("words", "d", data=["a", "bc", ""])
        nwbfile.add_acquisition(table)
        device = nwbfile.create_device("device")
        from pynwb.ophys import OpticalChannel

        plane = nwbfile.create_imaging_plane(
            name="plane",
            optical_channel=OpticalChannel(name="c", description="d", emission_lambda=500.0),
            description="d",
            device=device,
            excitation_lambda=900.0,
            indicator="i",
            location="l",
        )
        segmentation = PlaneSegmentation(name="rois", description="d", imaging_plane=plane)
        for n in (1, 3):
            segmentation.add_roi(pixel_mask=[(i, 2 * i, 0.5) for i in range(n)])  # compound and ragged
        nwbfile.create_processing_module("ophys", "d").add(segmentation)
        nwbfile.experiment_description = "a scalar"
        return nwbfile

    nwbfile = make()
    configuration = get_default_backend_configuration(nwbfile, backend="hdf5")
    write_nwbfile(nwbfile, tmp_path / "ours.nwb", backend_configuration=configuration)
    assert filled == [f"/{PLACE}"]
    nwbfile = make()
    configure_and_write_nwbfile(nwbfile, tmp_path / "hdmf.nwb", backend="hdf5")
    with h5py.File(tmp_path / "ours.nwb") as file:
        assert file["acquisition/table/ragged"][:].tolist() == [1.5, 2.5, 3.5, 4.5]
        assert file["processing/ophys/rois/pixel_mask"][3].tolist() == (2, 4, 0.5)
    assert_same_files(tmp_path / "ours.nwb", tmp_path / "hdmf.nwb")


@pytest.mark.parametrize("backend", ["hdf5", "zarr"])
def test_stream_of_unknown_length(tmp_path: Path, filled: list[str], backend: str) -> None:
    values = np.arange(6000, dtype="i2").reshape(60, 10, 10)
    stream = DataChunkIterator((frame for frame in values), buffer_size=7)
    write_nwbfile(file_with(stream), tmp_path / "out.nwb", backend=backend)
    np.testing.assert_array_equal(read_by(backend, tmp_path / "out.nwb", PLACE), values)
    assert not filled


def test_booleans_are_left_to_hdmf(tmp_path: Path, filled: list[str]) -> None:
    values = np.arange(3000) % 3 == 0
    nwbfile = new_file()
    column = VectorData(name="x", description="d", data=Lazy(values, **buffers_of((3000,), (700,))))
    nwbfile.add_acquisition(DynamicTable(name="t", description="d", id=np.arange(3000), columns=[column]))
    write_nwbfile(nwbfile, tmp_path / "out.nwb")
    with h5py.File(tmp_path / "out.nwb") as file:
        np.testing.assert_array_equal(file["acquisition/t/x"][:].astype(bool), values)
    assert not filled


# ---- settings


def test_default_is_gzip_with_shuffle_in_the_chunks_of_the_iterator(tmp_path: Path, filled: list[str]) -> None:
    values = np.arange(60_000, dtype="i2").reshape(60, 100, 10)
    write_nwbfile(file_with(Lazy(values, **buffers_of(values.shape, (7, 100, 10)))), tmp_path / "out.nwb")
    with h5py.File(tmp_path / "out.nwb") as file:
        data = file[PLACE]
        assert (data.chunks, data.compression, data.shuffle) == ((7, 100, 10), "gzip", True)
        assert data.id.get_storage_size() < values.nbytes / 2


def test_settings_of_the_user_are_kept(tmp_path: Path, filled: list[str]) -> None:
    values = np.arange(6000, dtype="i2").reshape(60, 100)
    options: dict[str, Any] = {"chunks": (13, 50), "compression": "gzip", "compression_opts": 7}
    data = H5DataIO(Lazy(values, chunk_mb=0.001), maxshape=(None, 100), **options)
    write_nwbfile(file_with(data), tmp_path / "out.nwb")
    assert filled
    with h5py.File(tmp_path / "out.nwb", "r+") as file:
        found = file[PLACE]
        assert (found.chunks, found.compression, found.compression_opts) == ((13, 50), "gzip", 7)
        assert (found.shuffle, found.maxshape) == (False, (None, 100))
        found.resize(70, axis=0)  # the last chunk was not whole; what is behind the data is HDF5's fill value
        np.testing.assert_array_equal(found[:], np.concatenate([values, np.zeros((10, 100), "i2")]))


def test_fill_value_of_the_user_is_kept(tmp_path: Path, filled: list[str]) -> None:
    values = np.arange(1, 25, dtype="i2")
    data = H5DataIO(Lazy(values, chunk_mb=0.001), maxshape=(None,), chunks=(10,), fillvalue=-1, compression="gzip")
    write_nwbfile(file_with(data), tmp_path / "out.nwb")
    with h5py.File(tmp_path / "out.nwb", "r+") as file:
        file[PLACE].resize(30, axis=0)
        np.testing.assert_array_equal(file[PLACE][:], [*values, *[-1] * 6])


def test_workers_do_not_change_the_data(tmp_path: Path, filled: list[str]) -> None:
    values = np.random.default_rng(0).poisson(20, (300, 128, 130)).astype("u2")
    stored = []
    for workers in (1, 2, 4):
        path = tmp_path / f"{workers}.nwb"
        write_nwbfile(file_with(Lazy(values, chunk_shape=(7, 128, 130), buffer_gb=0.1)), path, workers=workers)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file[PLACE][:], values)
            stored.append(file[PLACE].id.get_storage_size())
    assert len(filled) == 3
    assert len(set(stored)) == 1


# ---- the file in memory afterwards


@pytest.mark.parametrize("fast_bytes", [1, 10**9])
def test_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_bytes: int) -> None:
    monkeypatch.setattr(writing, "_FAST_BYTES", fast_bytes)
    values = np.arange(1, 6001, dtype="i2").reshape(60, 100)
    nwbfile = file_with(Lazy(values, **buffers_of(values.shape, (7, 100))), rate=None, timestamps=np.arange(60.0))
    column = VectorData(name="x", description="d", data=Lazy(values[:, 0], **buffers_of((60,), (9,))))
    nwbfile.add_acquisition(DynamicTable(name="t", description="d", id=np.arange(60), columns=[column]))
    data, column_data = nwbfile.acquisition["series"].fields["data"], column.data
    for name in "ab":
        write_nwbfile(nwbfile, tmp_path / f"{name}.nwb")
        assert nwbfile.acquisition["series"].fields["data"] is data
        assert column.data is column_data
    assert_same_files(tmp_path / "b.nwb", tmp_path / "a.nwb")
    write_nwbfile(nwbfile, tmp_path / "c.nwb.zarr", backend="zarr")
    for backend, name in (("hdf5", "b.nwb"), ("zarr", "c.nwb.zarr")):
        np.testing.assert_array_equal(read_by(backend, tmp_path / name, PLACE), values)
        np.testing.assert_array_equal(read_by(backend, tmp_path / name, "acquisition/t/x"), values[:, 0])


def test_written_again_after_a_failure(tmp_path: Path, filled: list[str]) -> None:
    class Once(Lazy):
        def _get_data(self, selection: tuple[slice, ...]) -> NDArray:
            if not self.asked:
                self.asked.append(selection)
                raise OSError("not now")
            return super()._get_data(selection)

    values = np.arange(6000, dtype="i2").reshape(60, 100)
    nwbfile = file_with(Once(values, **buffers_of(values.shape, (7, 100))))
    with pytest.raises(OSError, match="not now"):
        write_nwbfile(nwbfile, tmp_path / "out.nwb")
    write_nwbfile(nwbfile, tmp_path / "out.nwb")
    np.testing.assert_array_equal(read_by("hdf5", tmp_path / "out.nwb", PLACE), values)


def test_series_added_after_the_objects_were_listed_is_fast(tmp_path: Path, filled: list[str]) -> None:
    nwbfile = new_file()
    assert nwbfile.objects  # hdmf keeps this list, and does not add to it
    values = np.arange(600, dtype="i2").reshape(60, 10)
    data = Lazy(values, **buffers_of(values.shape, (7, 10)))
    nwbfile.add_acquisition(TimeSeries(name="series", data=data, unit="n.a.", rate=1.0))
    write_nwbfile(nwbfile, tmp_path / "out.nwb")
    assert filled == [f"/{PLACE}"]


# ---- other forms of a file


def test_cloud_is_paged_and_equal(tmp_path: Path, filled: list[str]) -> None:
    values = np.arange(60_000, dtype="i2").reshape(60, 1000)
    for cloud in (False, True):
        data = Lazy(values, **buffers_of(values.shape, (7, 1000)))
        write_nwbfile(file_with(data), tmp_path / f"{cloud}.nwb", cloud=cloud)
    assert_same_files(tmp_path / "True.nwb", tmp_path / "False.nwb")
    with h5py.File(tmp_path / "True.nwb", page_buf_size=16 << 20) as file:
        plist = file.id.get_create_plist()
        assert plist.get_file_space_strategy()[0] == h5py.h5f.FSPACE_STRATEGY_PAGE
        assert plist.get_file_space_page_size() == 4 << 20
        np.testing.assert_array_equal(file[PLACE][:], values)
    with NWBHDF5IO(tmp_path / "True.nwb", "r") as reader:
        np.testing.assert_array_equal(reader.read().acquisition["series"].data[:], values)


def test_zarr(tmp_path: Path) -> None:
    from hdmf_zarr import NWBZarrIO

    values = np.arange(6000, dtype="i2").reshape(60, 100)
    data = Lazy(values, **buffers_of(values.shape, (7, 100)))
    write_nwbfile(file_with(data), tmp_path / "out.nwb.zarr", backend="zarr")
    with NWBZarrIO(str(tmp_path / "out.nwb.zarr"), "r") as reader:
        np.testing.assert_array_equal(reader.read().acquisition["series"].data[:], values)


# ---- progress


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    values = np.random.default_rng(0).poisson(20, (300, 128, 130)).astype("u2")
    nwbfile = file_with(Lazy(values, chunk_shape=(7, 128, 130), buffer_gb=0.1))
    second = TimeSeries(name="b", data=Lazy(values[:200], chunk_shape=(7, 128, 130), buffer_gb=0.1), unit="u", rate=1.0)
    nwbfile.add_acquisition(second)
    told: list[Any] = []
    write_nwbfile(nwbfile, tmp_path / "out.nwb", progress=told.append)
    total = values.nbytes * 5 // 3
    done = [state.done_bytes for state in told]
    assert len(done) >= 3
    assert done == sorted(set(done))
    assert done[-1] == total
    assert {state.total_bytes for state in told} == {total}
    with h5py.File(tmp_path / "out.nwb") as file:
        stored = sum(file[f"acquisition/{name}/data"].id.get_storage_size() for name in ("series", "b"))
    assert told[-1].stored_bytes == stored
    assert told[-1].compression_ratio == pytest.approx(total / stored)
    assert told[-1].seconds_left == 0
    assert told[0].seconds_left > 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [False, True])
def test_bar_only_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    values = np.zeros((100, 128, 130), "u2")
    write_nwbfile(file_with(Lazy(values, chunk_shape=(7, 128, 130), buffer_gb=0.1)), tmp_path / "out.nwb")
    assert bool(stream.getvalue()) == terminal
    assert not terminal or "out.nwb" in stream.getvalue()


# ---- memory

MEMORY = """
import sys
from pathlib import Path
import numpy as np
import psutil
from hdmf.data_utils import GenericDataChunkIterator
from scanimage_nwb.nwb import write_nwbfile
from datetime import datetime, timezone
from pynwb import NWBFile, TimeSeries

class Frames(GenericDataChunkIterator):
    frame = np.random.default_rng(0).poisson(20, (512, 512)).astype("u2")
    def _get_data(self, selection):
        times = np.arange(selection[0].start, selection[0].stop, dtype="u2")
        return self.frame[None, selection[1], selection[2]] + times[:, None, None]
    def _get_maxshape(self):
        return (int(sys.argv[2]), 512, 512)
    def _get_dtype(self):
        return np.dtype("u2")

def write(n, path):
    nwbfile = NWBFile("s", "i", datetime(2025, 1, 1, tzinfo=timezone.utc))
    data = Frames(chunk_shape=(3, 512, 512), buffer_gb=1.0)
    nwbfile.add_acquisition(TimeSeries(name="series", data=data, unit="n.a.", rate=1.0))
    write_nwbfile(nwbfile, path, workers=2)

process = psutil.Process()
before = process.memory_info().rss
write(int(sys.argv[2]), Path(sys.argv[1]))
status = Path("/proc/self/status").read_text()  # not getrusage, whose figure begins with the parent's memory
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """400 MB that exist nowhere before they are written; the iterator's buffer of 1 GB must not matter."""
    out = tmp_path / "out.nwb"
    command = [sys.executable, "-c", MEMORY, str(out), "763"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 350e6
    with h5py.File(out) as file:
        assert file[PLACE].shape == (763, 512, 512)
        frame = np.random.default_rng(0).poisson(20, (512, 512)).astype("u2")
        np.testing.assert_array_equal(file[PLACE][-1], frame + np.uint16(762))


# ---- other readers


@pytest.fixture
def written(tmp_path: Path, filled: list[str]) -> tuple[Path, NDArray]:
    values = np.random.default_rng(0).integers(-3000, 3000, (11, 5, 4)).astype("i2")
    write_nwbfile(file_with(Lazy(values, **buffers_of(values.shape, (3, 5, 3)))), tmp_path / "out.nwb")
    assert filled
    return tmp_path / "out.nwb", values


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="needs h5dump (Debian: hdf5-tools)")
def test_h5dump_reads_it(written: tuple[Path, NDArray], tmp_path: Path) -> None:
    path, values = written
    raw = tmp_path / "raw.bin"
    command = ["h5dump", "-d", f"/{PLACE}", "-b", "LE", "-o", str(raw), str(path)]
    subprocess.run(command, capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(raw.read_bytes(), "<i2").reshape(values.shape), values)
    header = subprocess.run(
        ["h5dump", "-p", "-H", "-d", f"/{PLACE}", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert "COMPRESSION DEFLATE" in header
    assert "PREPROCESSING SHUFFLE" in header


@pytest.mark.skipif(shutil.which("h5repack") is None, reason="needs h5repack (Debian: hdf5-tools)")
def test_h5repack_gives_an_equal_file(written: tuple[Path, NDArray], tmp_path: Path) -> None:
    path, values = written
    copy = tmp_path / "copy.nwb"
    subprocess.run(["h5repack", str(path), str(copy)], capture_output=True, check=True)
    assert_same_files(copy, path)
    np.testing.assert_array_equal(read_by("hdf5", copy, PLACE), values)
    subprocess.run(["h5repack", "-f", f"/{PLACE}:NONE", str(path), str(copy)], capture_output=True, check=True)
    with h5py.File(copy) as file:
        assert file[PLACE].compression is None
        np.testing.assert_array_equal(file[PLACE][:], values)


PLAIN = """
import sys
sys.modules["hdf5plugin"] = None  # as if it were not installed
import numpy as np
from pynwb import read_nwb
data = read_nwb(sys.argv[1]).acquisition["series"].data[:]
assert not [name for name in sys.modules if name.startswith(("scanimage_nwb", "isal"))]
np.save(sys.argv[2], data)
"""


def test_plain_pynwb_without_plugins_reads_it(written: tuple[Path, NDArray], tmp_path: Path) -> None:
    path, values = written
    command = [sys.executable, "-c", PLAIN, str(path), str(tmp_path / "data.npy")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "data.npy"), values)
