"""The interface and the converter in neuroconv's ways of use, and what is left when a conversion fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pynwb
import pytest
from jsonschema import Draft7Validator
from neuroconv import NWBConverter
from neuroconv.tools.nwb_helpers import get_default_backend_configuration
from numpy.typing import NDArray

from scanimage_nwb import ScanImageImagingExtractor
from scanimage_nwb.errors import FormatError, MetadataError, TruncatedFileError
from scanimage_nwb.nwb import ScanImageConverter, ScanImageImagingInterface, convert_recording, converter
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording

from .conftest import PlainFile, true_pages, true_pixels


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    folder = tmp_path_factory.mktemp("converter")
    return write_scanimage_recording(
        folder, channel_save=(1, 3), n_planes=2, n_flyback=1, n_volumes=120, shape=(8, 6), pages_per_file=300
    )


@pytest.fixture
def made(written: SyntheticRecording) -> ScanImageConverter:
    return ScanImageConverter(written.paths[0], timezone="UTC")


def test_all_channels(written: SyntheticRecording, made: ScanImageConverter, tmp_path: Path) -> None:
    assert list(made.data_interface_objects) == ["ScanImageImaging_Channel_1", "ScanImageImaging_Channel_3"]
    assert made.get_num_samples() == 120
    assert made.file_paths == list(written.paths)
    path = tmp_path / "out.nwb"
    made.run_conversion(nwbfile_path=str(path))
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        assert sorted(nwbfile.acquisition) == ["TwoPhotonSeriesChannel1", "TwoPhotonSeriesChannel3"]
        for rank, number in enumerate((1, 3)):
            data = nwbfile.acquisition[f"TwoPhotonSeriesChannel{number}"].data[:]
            np.testing.assert_array_equal(data, true_pixels(written, true_pages(written, rank)))
        tables = [name for name in nwbfile.processing["ophys"].data_interfaces if name.startswith("ScanImage")]
        assert sorted(tables) == ["ScanImageFiles", "ScanImageHeader"]


def test_files_are_walked_once(written: SyntheticRecording, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real_open = converter.open_recording
    monkeypatch.setattr(converter, "open_recording", lambda *a, **k: opened.append(a) or real_open(*a, **k))
    made = ScanImageConverter(written.paths[0], timezone="UTC")
    recordings = {id(interface.imaging_extractor.recording) for interface in made.data_interface_objects.values()}
    assert (len(opened), len(recordings)) == (1, 1)


def test_some_channels_and_one_plane(written: SyntheticRecording, tmp_path: Path) -> None:
    names = ["Channel 3", "Channel 3"]
    made = ScanImageConverter(file_paths=list(written.paths), channel_names=names, plane_index=1, timezone="UTC")
    made.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"))
    with pynwb.NWBHDF5IO(tmp_path / "out.nwb", "r") as io:
        (series,) = io.read().acquisition.values()
        assert series.name == "TwoPhotonSeriesChannel3Plane1"
        np.testing.assert_array_equal(series.data[:], true_pixels(written, true_pages(written, 1)[:, 1:2]))


@pytest.mark.parametrize("kind", [ScanImageConverter, ScanImageImagingInterface])
def test_source_schema(kind: type, written: SyntheticRecording) -> None:
    schema = kind.get_source_schema()
    Draft7Validator.check_schema(schema)
    assert {"file_path", "file_paths", "plane_index", "slice_sample", "timezone"} <= set(schema["properties"])
    validator = Draft7Validator(schema)
    assert validator.is_valid({"file_path": str(written.paths[0]), "plane_index": 1})
    assert not validator.is_valid({"file_path": str(written.paths[0]), "plane_index": "first"})
    assert not validator.is_valid({"file_pth": str(written.paths[0])})


def test_conversion_options_schema(made: ScanImageConverter, tmp_path: Path) -> None:
    schema = made.get_conversion_options_schema()
    Draft7Validator.check_schema(schema)
    options = schema["properties"]["ScanImageImaging_Channel_1"]["properties"]
    assert {"stub_test", "stub_samples", "always_write_timestamps", "iterator_options"} == set(options)


def test_inside_a_converter_of_neuroconv(written: SyntheticRecording, tmp_path: Path) -> None:
    class Session(NWBConverter):
        data_interface_classes: ClassVar = {"Green": ScanImageImagingInterface, "All": ScanImageConverter}

    path = str(written.paths[0])
    for source, names in (
        ({"Green": {"file_path": path, "channel_name": "Channel 3", "timezone": "UTC"}}, {"TwoPhotonSeriesChannel3"}),
        ({"All": {"file_path": path, "timezone": "UTC"}}, {"TwoPhotonSeriesChannel1", "TwoPhotonSeriesChannel3"}),
    ):
        session = Session(source)
        Draft7Validator(session.get_source_schema()).validate(source)
        Draft7Validator.check_schema(session.get_metadata_schema())
        out = tmp_path / f"{next(iter(source))}.nwb"
        session.run_conversion(nwbfile_path=str(out))
        with pynwb.NWBHDF5IO(out, "r") as io:
            assert set(io.read().acquisition) == names


def test_stub(made: ScanImageConverter, written: SyntheticRecording, tmp_path: Path) -> None:
    options = {name: {"stub_test": True, "stub_samples": 7} for name in made.data_interface_objects}
    made.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"), conversion_options=options)
    with pynwb.NWBHDF5IO(tmp_path / "out.nwb", "r") as io:
        nwbfile = io.read()
        data = nwbfile.acquisition["TwoPhotonSeriesChannel3"].data[:]
        np.testing.assert_array_equal(data, true_pixels(written, true_pages(written, 1)[:7]))
        numbers = nwbfile.processing["ophys"]["TwoPhotonSeriesChannel3OriginalFrameIndices"].data[:]
        np.testing.assert_array_equal(numbers, true_pages(written, 1)[:7, -1])


def test_stub_is_a_hundred_samples(written: SyntheticRecording, tmp_path: Path) -> None:
    out = convert_recording(written.paths[:1], tmp_path / "out.nwb", timezone="UTC", stub_test=True)
    with pynwb.NWBHDF5IO(out, "r") as io:
        assert {series.data.shape for series in io.read().acquisition.values()} == {(100, 6, 8, 2)}
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    with pytest.raises(MetadataError, match="stub_samples is 0; expected at least 1"):
        interface.create_nwbfile(stub_test=True, stub_samples=0)


def test_timestamps_where_they_are_wanted(written: SyntheticRecording, tmp_path: Path) -> None:
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    nwbfile = interface.create_nwbfile(always_write_timestamps=True)
    series = nwbfile.acquisition["TwoPhotonSeriesChannel1"]
    assert series.rate is None
    np.testing.assert_array_equal(series.timestamps, written.timestamps_s[true_pages(written)[:, -1]])


def test_times_that_were_set(
    written: SyntheticRecording, read_plainly: Callable[[Path], PlainFile], tmp_path: Path
) -> None:
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    times = 3.0 + np.arange(120) ** 1.01
    interface.set_aligned_timestamps(times)
    interface.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"))
    plain = read_plainly(tmp_path / "out.nwb")
    for name in ("", "OriginalFrameIndices", "FrameNumbers"):
        np.testing.assert_array_equal(plain.arrays[f"TwoPhotonSeriesChannel1{name}|timestamps"], times)
    np.testing.assert_array_equal(interface.get_original_timestamps(), written.timestamps_s[true_pages(written)[:, -1]])


def test_chunks_hold_whole_frames(written: SyntheticRecording, tmp_path: Path) -> None:
    out = convert_recording(written.paths[:1], tmp_path / "out.nwb", timezone="UTC")
    with pynwb.NWBHDF5IO(out, "r") as io:
        data = io.read().acquisition["TwoPhotonSeriesChannel1"].data
        assert data.chunks == (120, 6, 8, 2)
        assert data.compression == "gzip"


# ---- what is left when something fails


class Failing(ScanImageImagingExtractor):
    """Fails at the third read, as a disk does that goes away."""

    reads = 0

    def _read_samples(self, samples: NDArray[np.int64]) -> NDArray:
        type(self).reads += 1
        if self.reads == 3:
            raise OSError("the disk went away")
        return super()._read_samples(samples)


OLD = b"an older file"


@pytest.mark.parametrize("backend", ["hdf5", "zarr"])
@pytest.mark.parametrize("older", [False, True])
def test_failing_disk_leaves_nothing(
    written: SyntheticRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, older: bool
) -> None:
    monkeypatch.setattr(ScanImageImagingInterface, "get_extractor_class", classmethod(lambda cls: Failing))
    monkeypatch.setattr(Failing, "reads", 0)
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    out = tmp_path / "out.nwb"
    if older:
        out.write_bytes(OLD)
    options = {"chunk_shape": (10, 6, 8, 2), "buffer_shape": (20, 6, 8, 2)}
    with pytest.raises(OSError, match="the disk went away"):
        interface.run_conversion(nwbfile_path=str(out), overwrite=True, backend=backend, iterator_options=options)
    assert Failing.reads >= 3
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"] * older
    assert not older or out.read_bytes() == OLD


@pytest.mark.parametrize("harm", ["truncated", "deleted"])
def test_source_harmed_between_open_and_write(tmp_path: Path, harm: str) -> None:
    written = write_scanimage_recording(tmp_path / "source", n_volumes=30, pages_per_file=10, shape=(8, 6))
    made = ScanImageConverter(written.paths[0], timezone="UTC")
    last = written.paths[-1]
    if harm == "truncated":
        last.write_bytes(last.read_bytes()[:-500])
    else:
        last.unlink()
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "out.nwb").write_bytes(OLD)
    with pytest.raises((TruncatedFileError, FileNotFoundError), match=last.stem):
        made.run_conversion(nwbfile_path=str(folder / "out.nwb"), overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["out.nwb"]
    assert (folder / "out.nwb").read_bytes() == OLD


def test_nothing_is_overwritten_unasked(written: SyntheticRecording, made: ScanImageConverter, tmp_path: Path) -> None:
    out = tmp_path / "out.nwb"
    out.write_bytes(OLD)
    with pytest.raises(ValueError, match="already exists"):
        made.run_conversion(nwbfile_path=str(out))
    with pytest.raises(FileExistsError, match=r"out\.nwb is there already; choose another name, or .*overwrite"):
        convert_recording(written.paths[:1], out, timezone="UTC")
    assert out.read_bytes() == OLD
    made.run_conversion(nwbfile_path=str(out), overwrite=True)
    assert out.read_bytes()[1:4] == b"HDF"
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"]


@pytest.fixture
def folder_in_the_way(tmp_path: Path) -> Path:
    folder = tmp_path / "results.nwb"
    folder.mkdir()
    (folder / "years_of_work.txt").write_text("precious")
    return folder


def test_a_folder_is_no_output(written: SyntheticRecording, folder_in_the_way: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"results\.nwb is a folder; name the file to write in it"):
        convert_recording(written.paths[:1], folder_in_the_way, timezone="UTC", overwrite=True)
    assert (folder_in_the_way / "years_of_work.txt").read_text() == "precious"


@pytest.mark.parametrize("backend", ["hdf5", "zarr"])
def test_a_folder_is_never_replaced(made: ScanImageConverter, folder_in_the_way: Path, backend: str) -> None:
    with pytest.raises(OSError, match=r"results\.nwb"):
        made.run_conversion(nwbfile_path=str(folder_in_the_way), overwrite=True, backend=backend)
    assert (folder_in_the_way / "years_of_work.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["out", "out.tif", "out.h5"])
def test_output_is_called_nwb(written: SyntheticRecording, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be the output; expected a name that ends in \.nwb"):
        convert_recording(written.paths[:1], tmp_path / name, timezone="UTC")


def test_folder_of_the_output_is_made(written: SyntheticRecording, tmp_path: Path) -> None:
    out = convert_recording(written.paths[:1], tmp_path / "a" / "b" / "out.nwb", timezone="UTC", stub_test=True)
    assert out.is_file()
    with pytest.raises(OSError, match="cannot be made"):
        convert_recording(written.paths[:1], out / "c" / "out.nwb", timezone="UTC")


# ---- other backends, other files


def test_zarr(written: SyntheticRecording, made: ScanImageConverter, tmp_path: Path) -> None:
    from hdmf_zarr import NWBZarrIO

    out = tmp_path / "out.nwb.zarr"
    for _ in range(2):
        made.run_conversion(nwbfile_path=str(out), backend="zarr", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    with NWBZarrIO(str(out), "r") as io:
        nwbfile = io.read()
        for rank, number in enumerate((1, 3)):
            data = nwbfile.acquisition[f"TwoPhotonSeriesChannel{number}"].data[:]
            np.testing.assert_array_equal(data, true_pixels(written, true_pages(written, rank)))
        setting = dict(np.asarray(nwbfile.processing["ophys"]["ScanImageHeader"]["setting"].data[:]).tolist())
        assert setting["SI.VERSION_MAJOR"] == "2021"


def test_backend_configuration(written: SyntheticRecording, made: ScanImageConverter, tmp_path: Path) -> None:
    nwbfile = made.create_nwbfile()
    configuration = get_default_backend_configuration(nwbfile, backend="hdf5")
    for dataset in configuration.dataset_configurations.values():
        dataset.compressors = None
    made.run_conversion(nwbfile_path=str(tmp_path / "out.nwb"), backend_configuration=configuration)
    with pynwb.NWBHDF5IO(tmp_path / "out.nwb", "r") as io:
        data = io.read().acquisition["TwoPhotonSeriesChannel1"].data
        assert data.compression is None
        np.testing.assert_array_equal(data[:], true_pixels(written, true_pages(written)))


def add_to_file(source: Any, path: Path) -> None:
    source.run_conversion(nwbfile_path=str(path), append_on_disk_nwbfile=True)


def test_append_to_a_file_on_disk(written: SyntheticRecording, tmp_path: Path) -> None:
    out = tmp_path / "out.nwb"
    one, two = (
        ScanImageImagingInterface(written.paths[0], channel_name=f"Channel {i}", timezone="UTC") for i in (1, 3)
    )
    one.run_conversion(nwbfile_path=str(out))
    add_to_file(two, out)
    with pynwb.NWBHDF5IO(out, "r") as io:
        nwbfile = io.read()
        for rank, number in enumerate((1, 3)):
            data = nwbfile.acquisition[f"TwoPhotonSeriesChannel{number}"].data[:]
            np.testing.assert_array_equal(data, true_pixels(written, true_pages(written, rank)))
        tables = [name for name in nwbfile.processing["ophys"].data_interfaces if name.startswith("ScanImage")]
        assert sorted(tables) == ["ScanImageFiles", "ScanImageHeader"], "the second channel brings no second header"
        assert list(nwbfile.devices) == ["Microscope"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"]
    with pytest.raises(ValueError, match="TwoPhotonSeriesChannel3"):
        add_to_file(two, out)


def test_two_recordings_in_one_file(tmp_path: Path) -> None:
    interfaces = {}
    for number, epoch in ((1, (2025, 1, 1, 10, 0, 0.0)), (2, (2025, 1, 1, 11, 0, 0.0))):
        written = write_scanimage_recording(tmp_path / str(number), name=f"run_{number:05d}", epoch=epoch, n_volumes=3)
        interfaces[number] = ScanImageImagingInterface(written.paths[0], timezone="UTC", metadata_key=f"run_{number}")
    nwbfile = None
    for number, interface in interfaces.items():
        metadata = interface.get_metadata()
        metadata["Ophys"]["MicroscopySeries"][f"run_{number}"]["name"] = f"Run{number}"
        if nwbfile is None:
            nwbfile = interface.create_nwbfile(metadata)
        else:
            interface.add_to_nwbfile(nwbfile, metadata)
    assert nwbfile is not None
    ophys = nwbfile.processing["ophys"]
    assert list(ophys["ScanImageFiles"]["file_name"][:]) == ["run_00001.tif"]
    assert list(ophys["ScanImageFiles2"]["file_name"][:]) == ["run_00002.tif"]
    assert "ScanImageHeader2" in ophys.data_interfaces
    assert sorted(nwbfile.acquisition) == ["Run1", "Run2"]


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(FormatError, match=r"text\.tif is no TIFF"):
        ScanImageConverter(tmp_path / "text.tif")
    with pytest.raises(FileNotFoundError):
        ScanImageConverter(tmp_path / "none.tif")
    with pytest.raises(ValueError, match="file_path or file_paths must be given"):
        ScanImageConverter()
