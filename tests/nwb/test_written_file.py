"""What stands in the NWB file, read with plain pynwb and compared with the truth of the recording."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from roiextractors import NwbImagingExtractor

from scanimage_nwb import ScanImageImagingExtractor
from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.nwb import convert_recording
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording

from .conftest import PlainFile, read_with_plain_pynwb, true_pages, true_pixels

EPOCH = "2025-04-24T16:43:57.206000+02:00"

RECORDINGS: dict[str, dict[str, Any]] = {
    "planar": {"n_volumes": 25},
    "late": {"n_volumes": 4, "start_time_s": 100.5, "first_frame_number": 3016},
    "volumes": {"n_planes": 3, "n_flyback": 1, "n_volumes": 5, "pages_per_file": 7, "shape": (10, 24)},
    "channels": {"channel_save": (1, 3), "n_planes": 2, "n_volumes": 4},
    "plane": {"n_planes": 3, "n_volumes": 6},
    "dropped": {"n_planes": 2, "n_volumes": 8, "drop_frames": [5]},
    "dropped_planar": {"n_volumes": 9, "drop_frames": [3]},
    "slow": {"n_planes": 2, "frames_per_slice": 2, "n_volumes": 4, "stack_mode": "slow"},
    "slices": {"n_planes": 2, "frames_per_slice": 3, "n_volumes": 3},
    "one_sample": {"n_volumes": 1},
}
OPTIONS: dict[str, dict[str, Any]] = {"plane": {"plane_index": 1}, "slow": {"slice_sample": 1}}


@dataclass(frozen=True)
class Case:
    """One series of one converted recording, and where its samples come from."""

    written: SyntheticRecording
    path: Path
    plain: PlainFile
    series: str
    pages: NDArray[np.int64]

    @property
    def facts(self) -> dict[str, Any]:
        return self.plain.facts["series"][self.series]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[SyntheticRecording, Path, PlainFile]]:
    """All recordings, converted and read."""
    folder = tmp_path_factory.mktemp("written_file")
    recordings, paths = {}, {}
    for name, parameters in RECORDINGS.items():
        recordings[name] = write_scanimage_recording(folder / name, **parameters)
        files, out, options = recordings[name].paths[:1], folder / f"{name}.nwb", OPTIONS.get(name, {})
        damaged = name.startswith("dropped")
        with pytest.warns(ScanImageNwbWarning, match=r"frame\(s\) are missing") if damaged else nullcontext():
            paths[name] = convert_recording(files, out, timezone="Europe/Berlin", **options)
    plain = read_with_plain_pynwb(paths.values(), folder)
    return {name: (recordings[name], paths[name], plain[paths[name]]) for name in RECORDINGS}


SERIES = {
    "planar": ("planar", "TwoPhotonSeries"),
    "late": ("late", "TwoPhotonSeries"),
    "volumes": ("volumes", "TwoPhotonSeries"),
    "channel 1": ("channels", "TwoPhotonSeriesChannel1"),
    "channel 3": ("channels", "TwoPhotonSeriesChannel3"),
    "plane 1": ("plane", "TwoPhotonSeriesPlane1"),
    "dropped": ("dropped", "TwoPhotonSeries"),
    "dropped planar": ("dropped_planar", "TwoPhotonSeries"),
    "slow": ("slow", "TwoPhotonSeries"),
    "slices": ("slices", "TwoPhotonSeries"),
    "one sample": ("one_sample", "TwoPhotonSeries"),
}
IRREGULAR = {"dropped", "dropped planar", "slices", "one sample"}


@pytest.fixture(params=SERIES)
def case(request: pytest.FixtureRequest, converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> Case:
    name, series = SERIES[request.param]
    written, path, plain = converted[name]
    slice_sample = {"slow": 1, "slices": None}.get(name, 0)
    pages = true_pages(written, channel=int(series.endswith("Channel3")), slice_sample=slice_sample)
    return Case(written, path, plain, series, pages[:, 1:2] if name == "plane" else pages)


def test_pixels(case: Case) -> None:
    data = case.plain.arrays[case.series]
    expected = true_pixels(case.written, case.pages)
    assert data.dtype == np.int16
    assert data.shape == expected.shape
    assert len(np.unique(expected)) > 100
    np.testing.assert_array_equal(data, expected)
    assert case.facts["dimension"] == list(expected.shape[1:])
    assert case.facts["unit"] == "n.a."


def test_times(case: Case, request: pytest.FixtureRequest) -> None:
    truth = case.written.timestamps_s[case.pages[:, -1]]
    timestamps = case.plain.arrays.get(f"{case.series}|timestamps")
    if request.node.callspec.params["case"] in IRREGULAR:
        assert case.facts["rate"] is None
        np.testing.assert_array_equal(timestamps, truth)
    else:
        assert timestamps is None
        predicted = case.facts["starting_time"] + np.arange(len(truth)) / case.facts["rate"]
        np.testing.assert_allclose(predicted, truth, rtol=0, atol=1.001e-6)
        assert case.facts["starting_time"] == truth[0]


@pytest.mark.parametrize(("what", "source"), [("OriginalFrameIndices", None), ("FrameNumbers", "frame_numbers")])
def test_frame_numbers(case: Case, what: str, source: str | None) -> None:
    name = f"{case.series}{what}"
    pages = case.pages[:, -1]
    numbers = case.plain.arrays[name]
    assert numbers.dtype == np.int64
    np.testing.assert_array_equal(numbers, pages if source is None else getattr(case.written, source)[pages])
    facts = case.plain.facts["series"][name]
    assert (facts["rate"], facts["starting_time"]) == (case.facts["rate"], case.facts["starting_time"])
    with h5py.File(case.path) as file:
        series, companion = file[f"acquisition/{case.series}"], file[f"processing/ophys/{name}"]
        assert ("timestamps" in companion) == ("timestamps" in series)
        if "timestamps" in series:
            assert companion["timestamps"] == series["timestamps"], "not one dataset, but a copy"


def test_names_per_recording(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    found = {
        name: sorted(series for series, facts in plain.facts["series"].items() if "dimension" in facts)
        for name, (_, _, plain) in converted.items()
    }
    wanted: dict[str, list[str]] = {name: ["TwoPhotonSeries"] for name in RECORDINGS}
    wanted["channels"] = ["TwoPhotonSeriesChannel1", "TwoPhotonSeriesChannel3"]
    wanted["plane"] = ["TwoPhotonSeriesPlane1"]
    assert found == wanted
    planes = {name: sorted(plain.facts["planes"]) for name, (_, _, plain) in converted.items()}
    assert planes == {
        name: [series.replace("TwoPhotonSeries", "ImagingPlane") for series in all_series]
        for name, all_series in wanted.items()
    }


def test_space_of_pages_that_are_not_square(
    converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]],
) -> None:
    # 18 degrees at zoom 2.5, 15 um a degree: 108 um over 24 columns; square pixels; planes 5 um apart from 92 um on
    plain = converted["volumes"][2]
    plane, series = plain.facts["planes"]["ImagingPlane"], plain.facts["series"]["TwoPhotonSeries"]
    assert plane["grid_spacing"] == pytest.approx([4.5e-6, 4.5e-6, 5e-6])
    assert series["field_of_view"] == pytest.approx([108e-6, 45e-6, 15e-6])
    assert plane["origin_coords"] == pytest.approx([-54e-6, -22.5e-6, 92e-6])
    assert plane["grid_spacing_unit"] == plane["origin_coords_unit"] == "meters"
    assert plane["imaging_rate"] == pytest.approx(30 / 4)
    assert "z of the plane(s), in um: 92, 97, 102." in plane["description"]
    # a frame is its lines and 4 more, 30 times a second; the header prints six digits
    assert series["scan_line_rate"] == pytest.approx(30 * 14, rel=1e-5)


def test_space_of_one_plane(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    plain = converted["plane"][2]
    plane, series = plain.facts["planes"]["ImagingPlanePlane1"], plain.facts["series"]["TwoPhotonSeriesPlane1"]
    assert plane["grid_spacing"] == pytest.approx([9e-6, 9e-6])
    assert plane["origin_coords"] == pytest.approx([-54e-6, -72e-6, 97e-6])
    assert series["field_of_view"] == pytest.approx([108e-6, 144e-6])
    assert "z = 97 um" in plane["description"]


def test_detector_of_each_channel(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    facts = converted["channels"][2].facts
    assert facts["planes"]["ImagingPlaneChannel3"]["optical_channels"] == ["Channel 3"]
    assert facts["series"]["TwoPhotonSeriesChannel3"]["plane"] == "ImagingPlaneChannel3"
    # hPmts.gains = [0.65 0.6]: detector 1 has one, detector 3 none
    assert facts["series"]["TwoPhotonSeriesChannel1"]["pmt_gain"] == pytest.approx(0.65)
    assert facts["series"]["TwoPhotonSeriesChannel3"]["pmt_gain"] is None
    assert list(facts["devices"]) == ["Microscope"]
    assert "ScanImage 2021.0.0" in facts["devices"]["Microscope"]


def test_what_nobody_said_is_unknown(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    facts = converted["planar"][2].facts
    plane = facts["planes"]["ImagingPlane"]
    assert (plane["location"], plane["indicator"]) == ("unknown", "unknown")
    assert np.isnan(plane["excitation_lambda"])
    assert facts["subject"] is None


def test_start_time(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    assert {plain.facts["start"] for _, _, plain in converted.values()} == {EPOCH}


def test_whole_header(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    written, _, plain = converted["volumes"]
    settings = dict(plain.facts["tables"]["ScanImageHeader"]["setting"])
    raw = written.paths[0].read_bytes()
    lines = raw[raw.index(b"SI.") : raw.index(b"\0", raw.index(b"SI."))].decode().splitlines()
    assert len(lines) > 80
    expected = dict(line.split(" = ", 1) for line in lines)
    groups = settings.pop("RoiGroups")
    assert settings == expected
    assert json.loads(groups)["RoiGroups"]["imagingRoiGroup"]["rois"]["scanfields"]["pixelResolutionXY"] == [24, 10]
    assert settings["SI.VERSION_MAJOR"] == "2021"
    assert settings["SI.hConfigurationSaver.cfgFilename"] == "'C:\\ScanImage\\config = two photon.cfg'"


def test_files(converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]) -> None:
    written, _, plain = converted["volumes"]
    table = plain.facts["tables"]["ScanImageFiles"]
    assert table["file_name"] == [path.name for path in written.paths]
    assert table["n_pages"] == np.bincount(written.file_index).tolist() == [7, 7, 6]
    first = [int(text.split("frameNumbers = ")[1].split("\n")[0]) for text in table["first_page_text"]]
    assert first == [1, 8, 15]


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
@pytest.mark.parametrize("name", ["planar", "volumes", "dropped", "late"])
def test_roiextractors_reads_the_same(
    name: str, converted: dict[str, tuple[SyntheticRecording, Path, PlainFile]]
) -> None:
    written, path, _ = converted[name]
    ours, theirs = ScanImageImagingExtractor(written.paths[0]), NwbImagingExtractor(path)
    assert theirs.get_image_shape() == ours.get_image_shape()
    assert theirs.get_num_samples() == ours.get_num_samples()
    assert theirs.is_volumetric == ours.is_volumetric
    assert theirs.get_num_planes() == ours.get_num_planes()
    np.testing.assert_array_equal(theirs.get_series(), ours.get_series())
    np.testing.assert_array_equal(theirs.get_series(1, 3), ours.get_series(1, 3))
    np.testing.assert_allclose(theirs.get_native_timestamps(), ours.get_native_timestamps(), rtol=0, atol=1.001e-6)
    assert theirs.get_sampling_frequency() == pytest.approx(ours.get_sampling_frequency(), rel=1e-6)


@pytest.fixture(scope="module")
def real(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PlainFile]:
    """The real recordings, converted and read."""
    folder = tmp_path_factory.mktemp("real")
    paths = [
        convert_recording([data_dir / "scanimage" / f"{name}.tif"], folder / f"{name}.nwb", timezone="America/New_York")
        for name in ("vol_one_ch_multi_files_00001_00001", "scanimage_20220923_noroi")
    ]
    plain = read_with_plain_pynwb(paths, folder)
    return {path.stem: plain[path] for path in paths}


def test_real_volumes(real: dict[str, PlainFile]) -> None:
    plain = real["vol_one_ch_multi_files_00001_00001"]
    plane, series = plain.facts["planes"]["ImagingPlane"], plain.facts["series"]["TwoPhotonSeries"]
    assert plain.arrays["TwoPhotonSeries"].shape == (100, 20, 20, 9)
    assert series["rate"] == pytest.approx(32.7483, abs=5e-5)
    assert series["scan_line_rate"] == pytest.approx(24100.6249, abs=5e-5)
    assert series["pmt_gain"] is None  # hPmts.gains = zeros(1,0)
    # 1.125 degrees x 15 um a degree / 20 pixels; zs = [92 94 ... 108]
    assert plane["grid_spacing"] == pytest.approx([0.84375e-6, 0.84375e-6, 2e-6])
    assert series["field_of_view"] == pytest.approx([16.875e-6, 16.875e-6, 18e-6])
    assert plane["origin_coords"] == pytest.approx([-8.4375e-6, -8.4375e-6, 92e-6])
    # 9 planes and 7 flyback frames a volume; the last plane is the ninth
    np.testing.assert_array_equal(plain.arrays["TwoPhotonSeriesOriginalFrameIndices"], np.arange(100) * 16 + 8)
    np.testing.assert_array_equal(plain.arrays["TwoPhotonSeriesFrameNumbers"], np.arange(100) * 16 + 9)
    assert plain.facts["start"] == "2025-04-24T16:43:57.206000-04:00"
    assert plain.facts["tables"]["ScanImageFiles"]["n_pages"] == [160] * 10


def test_real_slow_stack(real: dict[str, PlainFile]) -> None:
    plain = real["scanimage_20220923_noroi"]
    for channel, gain in ((1, 0.0), (4, None)):  # hPmts.gains = 0
        plane = plain.facts["planes"][f"ImagingPlaneChannel{channel}"]
        series = plain.facts["series"][f"TwoPhotonSeriesChannel{channel}"]
        assert plain.arrays[f"TwoPhotonSeriesChannel{channel}"].shape == (6, 256, 256, 2)
        # 18 degrees x 239.012 um a degree / 256 pixels; zs = [-11179.5 -11179.5 -11178.5 -11178.5]
        assert plane["grid_spacing"] == pytest.approx([18 * 239.012e-6 / 256] * 2 + [1e-6])
        assert plane["origin_coords"] == pytest.approx([-2151.108e-6, -2151.108e-6, -11179.5e-6])
        assert series["pmt_gain"] == gain
        assert series["rate"] is None
    assert "SI.VERSION_MAJOR" in dict(plain.facts["tables"]["ScanImageHeader"]["setting"])
    np.testing.assert_array_equal(plain.arrays["TwoPhotonSeriesChannel4OriginalFrameIndices"], [5, 7, 13, 15, 21, 23])
