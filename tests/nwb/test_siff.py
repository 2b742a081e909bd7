"""Photon counts of .siff files in NWB: read with plain pynwb, and compared with the truth of the recording."""

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from neuroconv import NWBConverter
from neuroconv.tools.testing.data_interface_mixins import ImagingExtractorInterfaceTestMixin
from numpy.typing import NDArray
from nwbinspector import inspect_nwbfile, load_config
from roiextractors import NwbImagingExtractor

from scanimage_nwb.cli import main
from scanimage_nwb.errors import FormatError, MetadataError, PhotonRangeError, ScanImageNwbWarning
from scanimage_nwb.nwb import (
    ScanImageConverter,
    ScanImageImagingInterface,
    SiffImagingInterface,
    convert_recording,
    verify_nwbfile,
)
from scanimage_nwb.siff_reader import siff_to_tiff
from scanimage_nwb.testing import write_scanimage_recording, write_siff_recording
from scanimage_nwb.testing.siff_files import START_NS, SyntheticSiff

from .conftest import PlainFile, read_with_plain_pynwb
from .test_inspector import METADATA, SERIOUS

START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_NS / 1000)

RECORDINGS: dict[str, dict[str, Any]] = {
    "planar": {"n_volumes": 25, "shape": (10, 24), "page_kinds": ("raw", "compressed", "plain")},
    "volumes": {"channel_save": (1, 2), "n_planes": 3, "n_flyback": 1, "n_volumes": 12, "photons_per_page": (90, 700)},
    "plane": {"n_planes": 3, "n_flyback": 2, "n_volumes": 6},
}
SERIES = {
    "planar": ("planar", "TwoPhotonSeries", 0, None),
    "first colour": ("volumes", "TwoPhotonSeriesChannel1", 0, None),
    "second colour": ("volumes", "TwoPhotonSeriesChannel2", 1, None),
    "plane 1": ("plane", "TwoPhotonSeriesPlane1", 0, 1),
}


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[SyntheticSiff, Path, PlainFile]]:
    """All recordings, converted and read."""
    folder = tmp_path_factory.mktemp("siff")
    written, paths = {}, {}
    for name, parameters in RECORDINGS.items():
        written[name] = write_siff_recording(folder / name, **parameters)
        options = {"plane_index": 1} if name == "plane" else {}
        paths[name] = convert_recording([written[name].path], folder / f"{name}.nwb", metadata=METADATA, **options)
    plain = read_with_plain_pynwb(paths.values(), folder)
    return {name: (written[name], paths[name], plain[paths[name]]) for name in RECORDINGS}


def pages_of(written: SyntheticSiff, channel: int, plane: int | None) -> NDArray[np.int64]:
    """Return the page of every sample and plane, shape (samples, planes)."""
    wanted = (written.channel == channel) & ((written.plane >= 0) if plane is None else (written.plane == plane))
    n_planes = int(written.plane.max()) + 1 if plane is None else 1
    return np.flatnonzero(wanted).reshape(-1, n_planes)


@pytest.mark.parametrize("case", SERIES)
def test_counts_times_and_pages(converted: dict[str, tuple[SyntheticSiff, Path, PlainFile]], case: str) -> None:
    name, series, channel, plane = SERIES[case]
    written, _, plain = converted[name]
    pages = pages_of(written, channel, plane)
    expected = written.counts[pages].transpose(0, 3, 2, 1)
    expected = expected[..., 0] if pages.shape[1] == 1 else expected
    data, facts = plain.arrays[series], plain.facts["series"][series]
    assert data.dtype == np.int16
    assert expected.max() > 2
    np.testing.assert_array_equal(data, expected)
    assert facts["unit"] == "photons"
    predicted = facts["starting_time"] + np.arange(len(pages)) / facts["rate"]
    np.testing.assert_allclose(predicted, written.experiment_time_s[pages[:, -1]], rtol=0, atol=1.1e-6)
    np.testing.assert_array_equal(plain.arrays[f"{series}OriginalFrameIndices"], pages[:, -1])
    np.testing.assert_array_equal(plain.arrays[f"{series}FrameNumbers"], written.frame_number[pages[:, -1]])


def test_what_the_file_says_of_itself(converted: dict[str, tuple[SyntheticSiff, Path, PlainFile]]) -> None:
    written, _, plain = converted["volumes"]
    assert abs(datetime.fromisoformat(plain.facts["start"]) - START) <= timedelta(microseconds=1)
    assert list(plain.facts["devices"]) == ["ScanImage-FLIM"]
    description = plain.facts["devices"]["ScanImage-FLIM"]
    assert "repetition rate 80000000 Hz, period 12.5 ns" in description
    assert "629 bins of 20 ps (5 ps x 2^binResolution)" in description
    plane = plain.facts["planes"]["ImagingPlaneChannel2"]
    assert plane["optical_channels"] == ["Channel 2"]
    assert plane["device"] == "ScanImage-FLIM"
    assert len(plane["grid_spacing"]) == 3
    assert plane["location"] == "Primary visual area"
    header = dict(plain.facts["tables"]["ScanImageHeader"]["setting"])
    assert header["SI.hScan2D.hAcq.Tau_bins"] == "629"
    assert plain.facts["tables"]["ScanImageFiles"]["file_name"] == [written.path.name]
    assert plain.facts["tables"]["ScanImageFiles"]["n_pages"] == [len(written.counts)]


def test_nothing_serious_to_inspect(converted: dict[str, tuple[SyntheticSiff, Path, PlainFile]]) -> None:
    for name, (_, path, _) in converted.items():
        assert serious(path) == [], name


@pytest.mark.parametrize("case", SERIES)
def test_roiextractors_reads_the_same(converted: dict[str, tuple[SyntheticSiff, Path, PlainFile]], case: str) -> None:
    name, series, channel, plane = SERIES[case]
    written, path, _ = converted[name]
    counts = written.counts[pages_of(written, channel, plane)].transpose(0, 2, 3, 1)
    extractor = NwbImagingExtractor(path, optical_series_name=series)
    read = extractor.get_series()
    np.testing.assert_array_equal(read, counts[..., 0] if counts.shape[-1] == 1 else counts)
    extractor.io.close()


@pytest.fixture(scope="module")
def shared(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, PlainFile]]:
    """The shared files: source, NWB file, and what plain pynwb finds in it."""
    folder = tmp_path_factory.mktemp("shared")
    sources = {name: data_dir / "siff" / f"{name}.siff" for name in ("mixed_pages", "plane_raw", "volume_two_colors")}
    if not all(source.is_file() for source in sources.values()):
        pytest.skip("no .siff files among the test data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)  # one ends within a volume
        written = {
            name: convert_recording([source], folder / f"{name}.nwb", metadata=METADATA)
            for name, source in sources.items()
        }
    plain = read_with_plain_pynwb(written.values(), folder)
    return {name: (sources[name], path, plain[path]) for name, path in written.items()}


@pytest.mark.parametrize("name", ["mixed_pages", "plane_raw", "volume_two_colors"])
def test_shared_files_bit_for_bit(shared: dict[str, tuple[Path, Path, PlainFile]], name: str) -> None:
    source, out, plain = shared[name]
    truth = np.load(source.with_suffix(".truth.npz"))
    counts = truth["counts"]
    if name == "volume_two_colors":  # 6 planes and a flyback frame, two colours, 12 whole volumes
        volumes = counts[:168].reshape(12, 7, 2, *counts.shape[1:])[:, :6].transpose(2, 0, 4, 3, 1)
        expected = {f"TwoPhotonSeriesChannel{channel + 1}": volumes[channel] for channel in (0, 1)}
    else:
        expected = {"TwoPhotonSeries": counts.transpose(0, 2, 1)}
    for series, data in expected.items():
        assert plain.arrays[series].dtype == np.int16
        np.testing.assert_array_equal(plain.arrays[series], data)
    assert all(check.difference is None for check in verify_nwbfile(out, [source]))
    start = datetime.fromisoformat(plain.facts["start"])
    first = start + timedelta(seconds=float(truth["experiment_time_s"][0]))
    assert abs(first.timestamp() - int(truth["laser_epoch_ns"][0]) / 1e9) < 2e-6
    assert serious(out) == []


def serious(path: Path) -> list[str]:
    """Return what the inspector takes seriously; with few samples it takes the longest axis for time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        found = list(inspect_nwbfile(nwbfile_path=path, config=load_config("dandi")))
    texts = [f"{m.check_function_name}: {m.message}" for m in found if m.importance in SERIOUS]
    return [text for text in texts if not text.startswith("check_data_orientation")]


def series_of(path: Path) -> NDArray:
    """Return the data of the only series."""
    with h5py.File(path) as file:
        return file["acquisition/TwoPhotonSeries/data"][:]


def bright(folder: Path, n_photons: int) -> SyntheticSiff:
    """Write a recording whose second frame has so many photons in its one pixel."""
    kinds = ("raw",)
    return write_siff_recording(folder, shape=(1, 1), photons_per_page=(5, n_photons), n_volumes=4, page_kinds=kinds)


@pytest.mark.parametrize(("n_photons", "wider"), [(32_768, "uint16"), (65_535, "uint16"), (65_536, "uint32")])
def test_counts_beyond_the_type_are_refused_with_the_way_out(tmp_path: Path, n_photons: int, wider: str) -> None:
    written, out = bright(tmp_path, n_photons), tmp_path / "out.nwb"
    expected = f"page 1, row 0, column 0 has {n_photons} photons; a series of int16 .* count_dtype='{wider}'"
    with pytest.raises(PhotonRangeError, match=expected):
        convert_recording([written.path], out)
    assert not out.exists()
    convert_recording([written.path], out, count_dtype=wider)
    data = series_of(out)
    assert data.dtype == wider
    assert data.reshape(-1).tolist() == [5, n_photons, 5, n_photons]
    assert verify_nwbfile(out, [written.path])[0].difference is None


def test_the_largest_count_that_fits_is_written(tmp_path: Path) -> None:
    written = bright(tmp_path, 32_767)
    out = convert_recording([written.path], tmp_path / "out.nwb")
    data = series_of(out)
    assert data.dtype == np.int16
    assert data.max() == 32_767


def test_unknown_types_of_counts_are_refused(tmp_path: Path) -> None:
    path = bright(tmp_path, 3).path
    with pytest.raises(ValueError, match="count_dtype"):
        ScanImageConverter(path, count_dtype="float32")  # type: ignore[arg-type]


def test_a_changed_count_is_found(tmp_path: Path) -> None:
    """Verification can fail: one photon more in the source, and it says where."""
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=2, n_flyback=1, n_volumes=5)
    out = convert_recording([written.path], tmp_path / "out.nwb")
    with h5py.File(out, "r+") as file:
        file["acquisition/TwoPhotonSeriesChannel2/data"][3, 5, 7, 1] += 1
    checks = {check.series: check.difference for check in verify_nwbfile(out, [written.path])}
    assert checks["TwoPhotonSeriesChannel1"] is None
    assert checks["TwoPhotonSeriesChannel2"] is not None
    assert checks["TwoPhotonSeriesChannel2"].sample == 3
    assert "plane 1, row 7, column 5" in checks["TwoPhotonSeriesChannel2"].text


def test_start_is_utc_without_a_guess_and_in_the_zone_wanted(tmp_path: Path) -> None:
    path = write_siff_recording(tmp_path).path
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start = SiffImagingInterface(path).get_metadata()["NWBFile"]["session_start_time"]
        local = SiffImagingInterface(path, timezone="Asia/Tokyo").get_metadata()["NWBFile"]["session_start_time"]
    assert abs(start - START) <= timedelta(microseconds=1)
    assert start.utcoffset() == timedelta(0)
    assert local == start
    assert local.utcoffset() == timedelta(hours=9)
    with pytest.raises(MetadataError, match="timezone"):
        SiffImagingInterface(path, timezone="Mars/Olympus").get_metadata()


def test_a_tiff_made_of_a_siff_starts_at_the_same_time(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, n_volumes=12)
    tiff = siff_to_tiff(written.path, tmp_path / "counts.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted = [convert_recording([path], tmp_path / f"{path.suffix[1:]}.nwb") for path in (written.path, tiff)]
    starts = []
    for path in converted:
        with h5py.File(path) as file:
            starts.append(file["session_start_time"][()])
    assert starts[0] == starts[1]
    np.testing.assert_array_equal(series_of(converted[0]), written.counts.transpose(0, 2, 1))
    np.testing.assert_array_equal(series_of(converted[1]), written.counts.transpose(0, 2, 1))


def test_choices_are_those_of_tiffs(tmp_path: Path) -> None:
    path = write_siff_recording(tmp_path, channel_save=(1, 3), n_planes=2, n_volumes=3).path
    assert SiffImagingInterface.get_available_channels(path) == ["Channel 1", "Channel 3"]
    assert SiffImagingInterface.get_available_planes(path) == ["0", "1"]
    with pytest.raises(ValueError, match="choose one with channel_name"):
        SiffImagingInterface(path)
    interface = SiffImagingInterface(path, channel_name="Channel 3", plane_index=1)
    assert interface.metadata_key == "siff_imaging_channel_3_plane_1"
    assert SiffImagingInterface.get_source_schema()["properties"]["count_dtype"]["enum"] == [
        "int16",
        "uint16",
        "uint32",
    ]


def test_tiff_and_siff_in_one_file(tmp_path: Path) -> None:
    """Two recordings of one session: keys, devices and tables do not collide; names of series are the user's."""
    siff = write_siff_recording(tmp_path, n_volumes=12)
    tiff = write_scanimage_recording(tmp_path, n_volumes=12)

    class Session(NWBConverter):
        data_interface_classes: ClassVar[dict[str, type]] = {
            "Pixels": ScanImageImagingInterface,
            "Photons": SiffImagingInterface,
        }

    converter = Session(
        {"Pixels": {"file_path": tiff.paths[0], "timezone": "UTC"}, "Photons": {"file_path": siff.path}}
    )
    metadata = converter.get_metadata()
    metadata["Ophys"]["MicroscopySeries"]["siff_imaging"]["name"] = "PhotonCounts"
    metadata["Ophys"]["ImagingPlanes"]["siff_imaging"]["name"] = "PhotonPlane"
    metadata["NWBFile"]["session_start_time"] = START
    out = tmp_path / "both.nwb"
    converter.run_conversion(nwbfile_path=out, metadata=metadata)
    plain = read_with_plain_pynwb([out], tmp_path)[out]
    np.testing.assert_array_equal(plain.arrays["PhotonCounts"], siff.counts.transpose(0, 2, 1))
    np.testing.assert_array_equal(plain.arrays["TwoPhotonSeries"], tiff.pages.transpose(0, 2, 1))
    assert plain.arrays["PhotonCounts"].dtype == np.int16
    assert set(plain.facts["devices"]) == {"Microscope", "ScanImage-FLIM"}
    assert {"ScanImageHeader", "ScanImageHeader2"} <= set(plain.facts["tables"])


def test_damage_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    """Counts that disagree with their strip end the conversion, with the page named, and nothing under the name."""
    written = write_siff_recording(tmp_path, page_kinds=("compressed",), n_volumes=6)
    data = bytearray(written.path.read_bytes())
    strip = written.delay_bin[written.photon_page == 3].astype("<u2").tobytes()
    at = data.index(strip) - 2 * 16 * 12
    data[at : at + 2] = (int(written.counts[3, 0, 0]) + 3).to_bytes(2, "little")
    written.path.write_bytes(data)
    result = CliRunner().invoke(main, ["convert", str(written.path), "-o", str(tmp_path / "out.nwb")])
    assert result.exit_code == 1
    assert "page 3" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.glob("*.nwb*")) == []


@pytest.mark.parametrize("write", [write_siff_recording, write_scanimage_recording])
def test_no_complete_volume_is_said(tmp_path: Path, write: Callable[..., Any]) -> None:
    options = {"n_pages": 2} if write is write_siff_recording else {"drop_frames": [2]}
    written = write(tmp_path, n_planes=3, n_volumes=1, **options)
    path = written.path if write is write_siff_recording else written.paths[0]
    with (
        pytest.warns(ScanImageNwbWarning, match="1 volume"),
        pytest.raises(FormatError, match=r"none of the volumes is complete, .* 2 page"),
    ):
        convert_recording([path], tmp_path / "out.nwb", timezone="UTC")
    assert not list(tmp_path.glob("*.nwb*"))


def test_the_first_series_is_read_as_suite2p_reads_it(tmp_path: Path) -> None:
    """It takes the first TwoPhotonSeries, three axes, and halves uint16: counts must come out as they are."""
    from pynwb import NWBHDF5IO
    from pynwb.ophys import TwoPhotonSeries

    written = write_siff_recording(tmp_path, n_volumes=30, photons_per_page=900)
    out = convert_recording([written.path], tmp_path / "out.nwb")
    with NWBHDF5IO(out, "r") as io:
        nwbfile = io.read()
        first = next(item for item in nwbfile.acquisition.values() if isinstance(item, TwoPhotonSeries))
        assert len(first.data.shape) == 3
        frames = np.array(first.data[:])
    if frames.dtype in (np.uint16, np.int32):
        frames = (frames // 2).astype(np.int16)
    np.testing.assert_array_equal(frames.transpose(0, 2, 1), written.counts)


def test_command_line(tmp_path: Path) -> None:
    written, out = bright(tmp_path, 40_000), tmp_path / "out.nwb"
    refused = CliRunner().invoke(main, ["convert", str(written.path), "-o", str(out)])
    assert (refused.exit_code, out.exists()) == (1, False)
    assert "--count-dtype uint16" in refused.stderr
    arguments = ["convert", str(written.path), "-o", str(out), "--count-dtype", "uint16", "--verify"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    assert "TwoPhotonSeries: 4 samples, 0.0 MB: equal to the source" in result.stdout
    assert result.stderr == ""


class _SiffContract(ImagingExtractorInterfaceTestMixin):
    data_interface_cls = SiffImagingInterface
    interface_kwargs: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _keep_files_in_tmp(self, tmp_path: Path) -> None:
        type(self).save_directory = tmp_path

    def check_extracted_metadata(self, metadata: dict[str, Any]) -> None:
        names = {entry["name"] for entry in metadata["Ophys"]["MicroscopySeries"].values()}
        assert names == {self.optical_series_name}


CONTRACT_MARKS = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class TestPlanarContract(_SiffContract):
    pytestmark = CONTRACT_MARKS

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        written = write_siff_recording(tmp_path_factory.mktemp("planar"), n_volumes=12)
        cls.interface_kwargs = {"file_path": written.path}


class TestVolumesContract(_SiffContract):
    pytestmark = CONTRACT_MARKS
    optical_series_name = "TwoPhotonSeriesChannel2"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("volumes")
        written = write_siff_recording(folder, channel_save=(1, 2), n_planes=3, n_flyback=1, n_volumes=6)
        cls.interface_kwargs = {"file_path": written.path, "channel_name": "Channel 2", "timezone": "Europe/Berlin"}


class TestSharedFileContract(_SiffContract):
    pytestmark = CONTRACT_MARKS

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _record(cls, data_dir: Path) -> None:
        path = data_dir / "siff" / "mixed_pages.siff"
        if not path.is_file():
            pytest.skip("no .siff files among the test data")
        cls.interface_kwargs = {"file_path": path}
