"""Header metadata as dictionaries, equal to roiextractors' on real and synthetic files."""

import gc
import json

import numpy as np
import pytest
import roiextractors.extractors.tiffimagingextractors.scanimagetiff_utils as peer

from scanimage_nwb import (
    extract_extra_metadata,
    extract_timestamps_from_file,
    parse_matlab_vector,
    parse_metadata,
    parse_metadata_v3_8,
    read_scanimage_metadata,
)
from scanimage_nwb.errors import FormatError, HeaderFieldError, ScanImageNwbWarning
from scanimage_nwb.testing import write_legacy_recording, write_scanimage_recording, write_si5_recording

# roiextractors never closes the handle it reads the header with.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

REAL = ["vol_one_ch_multi_files_00001_00001.tif", "scanimage_20220923_noroi.tif"]


@pytest.fixture(autouse=True)
def close_the_peers_files():
    yield
    gc.collect()


@pytest.mark.parametrize("name", REAL)
def test_read_scanimage_metadata_of_real_files_equals_the_peer(data_dir, name):
    path = data_dir / "scanimage" / name
    ours, theirs = read_scanimage_metadata(path), peer.read_scanimage_metadata(path)
    assert set(ours) == set(theirs)
    assert ours["scan_image_roi_group_metadata"] == theirs["scan_image_roi_group_metadata"]
    parsed, peers_parsed = (found["roiextractors_parsed_metadata"] for found in (ours, theirs))
    assert set(parsed) >= set(peers_parsed) - {"roi_metadata"}
    for key in ("num_channels", "num_planes", "frames_per_slice", "channel_names"):
        assert parsed[key] == peers_parsed[key], key
    assert parsed["sampling_frequency"] == pytest.approx(peers_parsed["sampling_frequency"])
    header, peers_header = (found["scan_image_non_varying_frame_metadata"] for found in (ours, theirs))
    assert set(header) == set(peers_header)
    assert header["SI.hChannels.channelSave"] == peers_header["SI.hChannels.channelSave"]


def test_known_numbers_of_real_files(data_dir):
    parsed = [read_scanimage_metadata(data_dir / "scanimage" / name)["roiextractors_parsed_metadata"] for name in REAL]
    assert [p["num_planes"] for p in parsed] == [9, 2]
    assert [p["frames_per_slice"] for p in parsed] == [1, 2]
    assert [p["channel_names"] for p in parsed] == [["Channel 1"], ["Channel 1", "Channel 4"]]
    assert parsed[0]["sampling_frequency"] == pytest.approx(32.7454)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (30, 1, 1, 1, ["Channel 1"])),
        ({"channel_save": (2, 4)}, (30, 2, 1, 1, ["Channel 2", "Channel 4"])),
        ({"n_planes": 3, "n_flyback": 2}, (6, 1, 3, 1, ["Channel 1"])),
        ({"n_planes": 2, "frames_per_slice": 3}, (5, 1, 2, 3, ["Channel 1"])),
        ({"header_format": "json", "n_planes": 3}, (10, 1, 3, 1, ["Channel 1"])),
        ({"with_magic": False}, (30, 1, 1, 1, ["Channel 1"])),
    ],
)
def test_standard_keys(tmp_path, arguments, expected):
    path = write_scanimage_recording(tmp_path, **arguments).paths[0]
    parsed = read_scanimage_metadata(str(path))["roiextractors_parsed_metadata"]
    keys = ("sampling_frequency", "num_channels", "num_planes", "frames_per_slice", "channel_names")
    assert tuple(parsed[key] for key in keys) == (pytest.approx(expected[0]), *expected[1:])
    assert parsed["roi_metadata"]["imagingRoiGroup"]["rois"]["scanfields"]["pixelResolutionXY"] == [12, 16]


def test_no_roi_json(tmp_path):
    path = write_scanimage_recording(tmp_path, with_roi_json=False).paths[0]
    found = read_scanimage_metadata(path)
    assert found["scan_image_roi_group_metadata"] == {}
    assert found["roiextractors_parsed_metadata"]["roi_metadata"] is None
    assert "RoiGroups" not in extract_extra_metadata(path)


def test_metadata_is_plain_data(tmp_path):
    path = write_scanimage_recording(tmp_path, n_planes=2).paths[0]
    json.dumps(read_scanimage_metadata(path))
    json.dumps(extract_extra_metadata(path))


def test_extra_metadata(tmp_path):
    path = write_scanimage_recording(tmp_path, n_channels=2).paths[0]
    found = extract_extra_metadata(path)
    assert found["SI.hChannels.channelSave"] == "[1 2]"
    assert found["SI.hChannels.channelName"] == "{'Channel 1' 'Channel 2' 'Channel 3' 'Channel 4'}"
    assert found["SI.hConfigurationSaver.cfgFilename"] == "'C:\\ScanImage\\config = two photon.cfg'"
    assert found["frameNumbers"] == "1"
    assert found["epoch"] == "[2025  4 24 16 43 57.206]"
    assert set(found["RoiGroups"]) == {"imagingRoiGroup", "photostimRoiGroups", "integrationRoiGroup"}


@pytest.mark.parametrize(
    ("arguments", "num_planes"), [({"channel_save": (2, 3)}, 1), ({"n_planes": 3, "n_flyback": 1}, 3)]
)
def test_parse_metadata_of_extra_metadata(tmp_path, arguments, num_planes):
    path = write_scanimage_recording(tmp_path, **arguments).paths[0]
    ours = parse_metadata(extract_extra_metadata(path))
    names = [f"Channel {k}" for k in arguments.get("channel_save", (1,))]
    assert ours["channel_names"] == names
    assert ours["num_channels"] == len(names)
    assert ours["num_planes"] == num_planes
    assert ours["frames_per_slice"] == 1
    assert ours["sampling_frequency"] == 30
    assert "imagingRoiGroup" in ours["roi_metadata"]


def test_parse_metadata_equals_the_peer_on_real_headers(data_dir):
    for name in REAL:
        metadata = extract_extra_metadata(data_dir / "scanimage" / name)
        ours, theirs = parse_metadata(metadata), peer.parse_metadata(metadata)
        assert {key: ours[key] for key in theirs if key != "roi_metadata"} == {
            key: value for key, value in theirs.items() if key != "roi_metadata"
        }


def test_parse_metadata_leaves_its_argument_alone(tmp_path):
    metadata = extract_extra_metadata(write_scanimage_recording(tmp_path).paths[0])
    before = json.dumps(metadata)
    parse_metadata(metadata)
    assert json.dumps(metadata) == before


@pytest.mark.parametrize("metadata", [{}, {"a": "1"}, {"SI.VERSION_MAJOR": "2021"}])
def test_parse_metadata_of_no_header(metadata):
    with pytest.raises(FormatError):
        parse_metadata(metadata)


def test_version_3_8(tmp_path):
    path = write_legacy_recording(tmp_path / "old.tif", channels_saved=(1, 2)).paths[0]
    metadata = extract_extra_metadata(path)
    assert metadata["state.software.version"] == "3.8"
    expected = {"sampling_frequency": 3.90625, "num_channels": 2, "num_planes": 1}
    assert parse_metadata_v3_8(metadata) == expected == peer.parse_metadata_v3_8(metadata)


def test_real_version_3_8_equals_the_peer(data_dir):
    metadata = json.loads((data_dir / "headers" / "SI3.8_neuroconv_description.json").read_text())
    assert parse_metadata_v3_8(metadata) == peer.parse_metadata_v3_8(metadata)


@pytest.mark.parametrize("key", ["state.acq.frameRate", "state.acq.numberOfChannelsSave", "state.acq.numberOfZSlices"])
@pytest.mark.parametrize("value", [None, "", "x", [1]])
def test_version_3_8_without_a_needed_line(key, value):
    metadata = {"state.acq.frameRate": "3.9", "state.acq.numberOfChannelsSave": "1", "state.acq.numberOfZSlices": "1"}
    metadata = {k: v for k, v in (metadata | {key: value}).items() if v is not None}
    with pytest.raises(HeaderFieldError, match=key):
        parse_metadata_v3_8(metadata)


@pytest.mark.parametrize("text", ["[1 2 3]", "[1,2,3]", "[1, 2, 3]", "[1;2;3]", "[1; 2; 3]", "1", "[4]", "[10 20]"])
def test_matlab_vectors_equal_the_peer(text):
    assert parse_matlab_vector(text) == peer.parse_matlab_vector(text)


def test_timestamps_of_a_file(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=30)
    found = extract_timestamps_from_file(str(truth.paths[0]))
    assert found.dtype == np.float64
    assert found.tolist() == truth.timestamps_s.tolist()


def test_timestamps_of_version_5(tmp_path):
    truth = write_si5_recording(tmp_path / "old.tif")
    assert extract_timestamps_from_file(truth.paths[0]).tolist() == truth.timestamps_s.tolist()


def test_timestamps_that_are_not_there(tmp_path):
    for path in (
        write_legacy_recording(tmp_path / "old.tif").paths[0],
        write_scanimage_recording(tmp_path, with_timestamps=False).paths[0],
        write_scanimage_recording(tmp_path, name="bare", with_page_text=False).paths[0],
    ):
        with pytest.raises(AssertionError, match=f"frameTimestamps_sec not found in .*{path.name}"):
            extract_timestamps_from_file(path)


def test_timestamps_of_a_truncated_file_warn(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    truth.paths[0].write_bytes(truth.paths[0].read_bytes()[:-10])
    with pytest.warns(ScanImageNwbWarning, match="9 whole pages") as caught:
        found = extract_timestamps_from_file(truth.paths[0])
    assert len(caught) == 1
    assert found.tolist() == truth.timestamps_s[:9].tolist()


@pytest.mark.parametrize("function", [extract_extra_metadata, read_scanimage_metadata, extract_timestamps_from_file])
def test_missing_and_empty_files(tmp_path, function):
    with pytest.raises(FileNotFoundError, match=r"none\.tif"):
        function(tmp_path / "none.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(ValueError, match=r"empty\.tif"):
        function(tmp_path / "empty.tif")
