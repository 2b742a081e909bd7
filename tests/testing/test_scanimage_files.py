"""The synthetic recordings, read back by independent readers: tifffile, roiextractors, and a struct walk."""

import gc
import itertools
import json
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scanimage_nwb.testing import (
    SyntheticRecording,
    resave_without_magic,
    write_demo_session,
    write_legacy_recording,
    write_scanimage_recording,
    write_si5_recording,
)

SPREAD = {
    "default": {},
    "two channels": {"n_channels": 2},
    "channels 2 and 4": {"channel_save": (2, 4)},
    "volume": {"n_planes": 3, "n_flyback": 2, "n_volumes": 4},
    "volume, channels, files": {"n_channels": 2, "n_planes": 3, "n_flyback": 1, "pages_per_file": 10},
    "frames per slice": {"n_planes": 2, "frames_per_slice": 3, "n_flyback": 1, "n_volumes": 3},
    "slow": {"n_channels": 2, "n_planes": 2, "frames_per_slice": 2, "n_volumes": 3, "stack_mode": "slow"},
    "averaging": {"averaging": 3, "n_planes": 2, "n_flyback": 1},
    "dropped": {"n_channels": 2, "n_planes": 2, "drop_frames": (3, 4), "drop_pages": (1,), "pages_per_file": 8},
    "continued": {"first_frame_number": 70_001, "first_acquisition": 5, "start_time_s": 1e4, "first_file_number": 7},
    "unpadded": {"text_padding": 0, "shape": (5, 3)},
    "no magic": {"with_magic": False},
    "no roi": {"with_roi_json": False},
}


def page_fields(description: str) -> dict[str, str]:
    """Return the `key = value` lines of a page text."""
    return dict(line.split(" = ", 1) for line in description.strip().splitlines() if " = " in line)


def read_back(recording: SyntheticRecording) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Return pixels and page fields of all files as tifffile sees them."""
    pixels, fields = [], []
    for path in recording.paths:
        with tifffile.TiffFile(path) as tiff:
            pixels += [page.asarray() for page in tiff.pages]
            fields += [page_fields(page.description) for page in tiff.pages]
    return np.array(pixels), fields


def frame_data(path: Path) -> dict:
    """Return the header of a file as tifffile parses it."""
    with tifffile.TiffFile(path) as tiff:
        return tiff.scanimage_metadata["FrameData"]


def directories(path: Path) -> list[tuple[int, dict[int, tuple[int, int, int]]]]:
    """Walk a BigTIFF by hand: offset of each directory, and {tag: (type, count, value)}."""
    data = path.read_bytes()
    found = []
    (offset,) = struct.unpack_from("<Q", data, 8)
    while offset:
        (count,) = struct.unpack_from("<Q", data, offset)
        entries = [struct.unpack_from("<HHQQ", data, offset + 8 + 20 * k) for k in range(count)]
        found.append((offset, {entry[0]: entry[1:] for entry in entries}))
        (offset,) = struct.unpack_from("<Q", data, offset + 8 + 20 * count)
    return found


@pytest.mark.parametrize("arguments", SPREAD.values(), ids=SPREAD.keys())
def test_tifffile_reads_what_the_truth_says(tmp_path, arguments):
    truth = write_scanimage_recording(tmp_path, **arguments)
    pixels, fields = read_back(truth)
    assert pixels.dtype == np.int16
    np.testing.assert_array_equal(pixels, truth.pages)
    assert [int(f["frameNumbers"]) for f in fields] == truth.frame_numbers.tolist()
    assert [float(f["frameTimestamps_sec"]) for f in fields] == truth.timestamps_s.tolist()
    for name in ("channel", "plane", "slice_sample", "volume", "file_index", "frame_numbers"):
        assert getattr(truth, name).dtype == np.int64
        assert getattr(truth, name).shape == (len(pixels),)
    assert np.unique(truth.pages.reshape(len(pixels), -1), axis=0).shape[0] == len(pixels)
    assert truth.pages.min() < 0


@pytest.mark.parametrize("arguments", SPREAD.values(), ids=SPREAD.keys())
def test_chain_of_directories_fills_the_file(tmp_path, arguments):
    truth = write_scanimage_recording(tmp_path, **arguments)
    pages_in_file = []
    for path in truth.paths:
        chain = directories(path)
        pages_in_file.append(len(chain))
        for (_, tags), (following, _) in itertools.pairwise(chain):
            assert tags[273][2] + tags[279][2] == following
        assert chain[-1][1][273][2] + chain[-1][1][279][2] == path.stat().st_size
    assert pages_in_file == np.bincount(truth.file_index).tolist()


def test_order_of_pages(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, frames_per_slice=2, n_flyback=1, n_volumes=2)
    assert truth.channel.tolist() == [0, 1] * 10
    assert truth.plane.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, -1, -1] * 2
    assert truth.slice_sample.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, -1, -1] * 2
    assert truth.volume.tolist() == [0] * 10 + [1] * 10
    assert truth.frame_numbers.tolist() == np.repeat(np.arange(1, 11), 2).tolist()


def test_header_agrees_with_the_arguments(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, channel_save=(2, 4), n_planes=3, n_flyback=2, frames_per_slice=2, n_volumes=5, averaging=4
    )
    header = frame_data(truth.paths[0])
    assert header["SI.hChannels.channelSave"] == [2, 4]
    assert header["SI.hStackManager.actualNumSlices"] == 3
    assert header["SI.hStackManager.framesPerSlice"] == 8
    assert header["SI.hStackManager.numFramesPerVolume"] == 24
    assert header["SI.hStackManager.numFramesPerVolumeWithFlyback"] == 32
    assert header["SI.hStackManager.zs"] == [92, 97, 102]
    assert header["SI.hScan2D.logAverageFactor"] == 4
    assert header["SI.hRoiManager.scanVolumeRate"] == pytest.approx(30 / 32)
    assert header["SI.hRoiManager.linesPerFrame"] == 16
    um_per_deg = np.array(header["SI.hRoiManager.imagingFovUm"]) / np.array(header["SI.hRoiManager.imagingFovDeg"])
    np.testing.assert_allclose(um_per_deg, header["SI.objectiveResolution"], rtol=1e-5)
    assert np.unique(np.diff(truth.frame_numbers)).tolist() == [0, 4]
    assert np.diff(truth.timestamps_s[::2]) == pytest.approx(4 / 30)


def test_roi_json_describes_one_scanfield(tmp_path):
    truth = write_scanimage_recording(tmp_path, shape=(16, 12))
    with tifffile.TiffFile(truth.paths[0]) as tiff:
        roi = tiff.scanimage_metadata["RoiGroups"]["imagingRoiGroup"]["rois"]
        assert json.loads(tiff.pages[0].tags["Artist"].value)["RoiGroups"]["imagingRoiGroup"]["rois"] == roi
    assert roi["scanfields"]["pixelResolutionXY"] == [12, 16]
    assert roi["scanfields"]["sizeXY"] == pytest.approx([7.2, 9.6])


def test_slow_stack_has_an_acquisition_and_a_gap_per_slice(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, n_planes=2, frames_per_slice=3, n_volumes=2, stack_mode="slow", slow_gap_s=1.5, first_acquisition=3
    )
    _, fields = read_back(truth)
    assert [int(f["acquisitionNumbers"]) for f in fields] == np.repeat([3, 4, 5, 6], 3).tolist()
    assert [int(f["frameNumberAcquisition"]) for f in fields] == [1, 2, 3] * 4
    assert [int(f["endOfAcquisition"]) for f in fields] == [0, 0, 1] * 4
    assert [int(f["endOfAcquisitionMode"]) for f in fields] == [0] * 11 + [1]
    assert np.diff(truth.timestamps_s)[2::3] == pytest.approx(1.5 + 1 / 30)
    header = frame_data(truth.paths[0])
    assert header["SI.hStackManager.stackMode"] == "slow"
    assert header["SI.hStackManager.zs"] == [92, 92, 92, 97, 97, 97]
    assert header["SI.hFastZ.enable"] is False


def test_fast_recording_is_one_acquisition(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=2, n_flyback=1, n_volumes=3, first_frame_number=101)
    _, fields = read_back(truth)
    assert {f["acquisitionNumbers"] for f in fields} == {"1"}
    assert [int(f["frameNumberAcquisition"]) for f in fields] == (truth.frame_numbers - 100).tolist()
    assert [int(f["endOfAcquisition"]) for f in fields] == [0] * 8 + [1]
    assert fields[0]["epoch"] == "[2025  4 24 16 43 57.206]"


def test_a_drop_changes_no_other_page(tmp_path):
    whole = write_scanimage_recording(tmp_path / "whole", n_channels=2, pages_per_file=8)
    holed = write_scanimage_recording(
        tmp_path / "holed", n_channels=2, pages_per_file=8, drop_frames=(1, 4, 5, 6, 7), drop_pages=(17,)
    )
    kept = np.delete(np.arange(20), [2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 17])
    np.testing.assert_array_equal(holed.pages, whole.pages[kept])
    assert holed.timestamps_s.tolist() == whole.timestamps_s[kept].tolist()
    assert [path.name for path in holed.paths] == ["session_00001_00001.tif", "session_00001_00003.tif"]
    assert holed.file_index.tolist() == [0] * 6 + [1] * 3


def test_optional_parts_can_be_left_out(tmp_path):
    bare = write_scanimage_recording(tmp_path, with_magic=False, with_page_text=False, with_roi_json=False)
    with tifffile.TiffFile(bare.paths[0]) as tiff:
        assert {"ImageDescription", "Artist"}.isdisjoint(tag.name for tag in tiff.pages[0].tags)
        assert tiff.pages[0].software.startswith("SI.LINE_FORMAT_VERSION = 1\n")
    assert bare.paths[0].read_bytes()[16:19] == b"SI."
    untimed = write_scanimage_recording(tmp_path, with_timestamps=False, epoch=None)
    with tifffile.TiffFile(untimed.paths[0]) as tiff:
        assert {"frameTimestamps_sec", "epoch"}.isdisjoint(page_fields(tiff.pages[0].description))


def test_header_overrides(tmp_path):
    overrides = {"hChannels.channelSave": "[1;2]", "hStackManager.actualNumSlices": None, "hNew.key": "'x'"}
    lines = write_scanimage_recording(tmp_path, header_overrides=overrides).paths[0].read_bytes()
    assert b"\nSI.hChannels.channelSave = [1;2]\n" in lines
    assert b"\nSI.hNew.key = 'x'\n" in lines
    assert b"actualNumSlices" not in lines


def test_json_header(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, n_channels=2, header_format="json", header_overrides={"hFastZ.enable": "true"}
    )
    with tifffile.TiffFile(truth.paths[0]) as tiff:
        header = json.loads(tiff.pages[0].software)["SI"]
    assert header["hChannels"]["channelSave"] == [1, 2]
    assert header["hFastZ"]["enable"] is True
    assert header["hScan2D"]["logFramesPerFile"] == "_Inf_"


def test_aux_triggers_are_on_all_channels_of_the_frame(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, aux_triggers={2: (0.04, 0.05)})
    _, fields = read_back(truth)
    assert [f["auxTrigger0"] for f in fields[:6]] == ["[]", "[]", *["[0.040000000 0.050000000]"] * 2, "[]", "[]"]


def test_page_value_and_names(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, name="mouse é [1]", numbered=True, page_value=lambda k, h, w: np.full((h, w), -k, np.int16)
    )
    assert truth.paths == (tmp_path / "mouse é [1]_00001.tif",)
    pixels, _ = read_back(truth)
    assert pixels[:, 3, 3].tolist() == [-k for k in range(10)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_channels": 3, "channel_save": (1, 2)}, "channel_save"),
        ({"stack_mode": "slow", "n_flyback": 1}, "no flyback"),
        ({"stack_mode": "medium"}, "stack_mode"),
        ({"pages_per_file": 2, "numbered": False}, "numbered=True"),
        ({"shape": (1, 1)}, "two pixels"),
    ],
)
def test_contradictions_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_scanimage_recording(tmp_path, **arguments)


def test_layout_equals_that_of_a_real_file(tmp_path, data_dir):
    real = data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif"
    ours = write_scanimage_recording(tmp_path, shape=(20, 20), n_planes=9, n_flyback=7).paths[0]
    chains = directories(real), directories(ours)
    for (offset, tags), (our_offset, our_tags) in zip(*chains, strict=True):
        assert list(our_tags) == list(tags)
        assert {code: tag[0] for code, tag in our_tags.items()} == {code: tag[0] for code, tag in tags.items()}
        for code in (256, 257, 258, 259, 262, 274, 277, 278, 279, 284, 296, 339):
            assert our_tags[code] == tags[code]
        for code in (270, 273):
            assert our_tags[code][2] - our_offset == tags[code][2] - offset
        assert our_tags[270][1] == tags[270][1] == 2001
        assert our_tags[305][2] == tags[305][2] == 32
    for path, chain in zip((real, ours), chains, strict=True):
        magic, version, n_text, n_roi = struct.unpack_from("<4I", path.read_bytes(), 16)
        assert (magic, version) == (0x07030301, 4)
        assert (n_text, n_roi) == (chain[0][1][305][1], chain[0][1][315][1])
        assert chain[0][0] % 4 == 0


def test_page_text_and_header_keys_are_those_of_a_real_file(tmp_path, data_dir):
    real = data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif"
    ours = write_scanimage_recording(
        tmp_path, n_planes=9, n_flyback=7, shape=(20, 20), frame_rate_hz=523.926, pages_per_file=160
    ).paths[0]
    with tifffile.TiffFile(real) as tiff, tifffile.TiffFile(ours) as our_tiff:
        assert list(page_fields(our_tiff.pages[0].description)) == list(page_fields(tiff.pages[0].description))
    header, our_header = frame_data(real), frame_data(ours)
    assert set(our_header) <= set(header)
    for key in (
        "actualNumSlices",
        "numSlices",
        "framesPerSlice",
        "numFramesPerVolume",
        "numFramesPerVolumeWithFlyback",
    ):
        assert our_header[f"SI.hStackManager.{key}"] == header[f"SI.hStackManager.{key}"]
    assert our_header["SI.hRoiManager.scanVolumeRate"] == header["SI.hRoiManager.scanVolumeRate"]
    same_type = {key for key in our_header if isinstance(our_header[key], type(header[key]))}
    assert len(same_type) > 0.9 * len(our_header)


# roiextractors never closes the handle it reads the header with.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_roiextractors_reads_a_two_channel_volume(tmp_path):
    roiextractors = pytest.importorskip("roiextractors")
    truth = write_scanimage_recording(
        tmp_path, n_channels=2, n_planes=3, n_flyback=2, n_volumes=6, pages_per_file=20, seed=3
    )
    for channel in (0, 1):
        extractor = roiextractors.ScanImageImagingExtractor(
            file_path=truth.paths[0], channel_name=f"Channel {channel + 1}"
        )
        mine = (truth.channel == channel) & (truth.plane >= 0)
        expected = truth.pages[mine].reshape(6, 3, 16, 12).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(extractor.get_series(), expected)
        assert extractor.get_sampling_frequency() == pytest.approx(6)
    del extractor
    gc.collect()


def test_legacy_recording(tmp_path):
    truth = write_legacy_recording(tmp_path / "legacy.tif", n_frames=4, channels_saved=(1, 3))
    with tifffile.TiffFile(truth.paths[0]) as tiff:
        assert not tiff.is_bigtiff
        assert len(tiff.pages) == 8
        texts = {page.description for page in tiff.pages}
        pixels = np.array([page.asarray() for page in tiff.pages])
    assert pixels.dtype == truth.pages.dtype == np.uint16
    np.testing.assert_array_equal(pixels, truth.pages)
    (text,) = texts
    values = dict(line.split("=", 1) for line in text.strip("\r").split("\r"))
    assert values["state.software.version"] == "3.8"
    assert values["state.acq.numberOfChannelsSave"] == "2"
    assert [values[f"state.acq.savingChannel{k}"] for k in (1, 2, 3, 4)] == ["1", "0", "1", "0"]
    assert values["state.internal.triggerTimeString"] == "'4/24/2025 16:43:57.206'"
    assert truth.channel.tolist() == [0, 1] * 4
    assert truth.timestamps_s[2] == 1 / float(values["state.acq.frameRate"])


def test_legacy_names_are_those_of_a_real_file(tmp_path, data_dir):
    real = json.loads((data_dir / "headers" / "SI3.8_neuroconv_description.json").read_text())
    path = write_legacy_recording(tmp_path / "legacy.tif").paths[0]
    with tifffile.TiffFile(path) as tiff:
        names = {line.split("=", 1)[0] for line in tiff.pages[0].description.strip("\r").split("\r")}
    assert names <= set(real)


@pytest.mark.parametrize("generation", ["SI4", "SI5"])
def test_si5_recording(tmp_path, generation):
    truth = write_si5_recording(
        tmp_path / "old.tif", generation=generation, n_frames=7, channels=(1, 2), averaging=5, n_planes=2, n_flyback=1
    )
    assert truth.paths[0].read_bytes()[16:20] != b"\x01\x03\x03\x07"
    pixels, fields = read_back(truth)
    np.testing.assert_array_equal(pixels, truth.pages)
    assert [int(f["Frame Number"]) for f in fields] == truth.frame_numbers.tolist()
    assert [float(f["Frame Timestamp(s)"]) for f in fields] == truth.timestamps_s.tolist()
    assert truth.frame_numbers[:4].tolist() == [5, 5, 10, 10]
    assert truth.plane.tolist() == [0, 0, 1, 1, -1, -1] * 2 + [0, 0]
    assert truth.volume.tolist() == [0] * 6 + [1] * 6 + [2] * 2
    assert fields[-1][f"scanimage.{generation}.channelsSave"] == "[1;2]"
    assert fields[-1][f"scanimage.{generation}.fastZNumDiscardFrames"] == "1"
    assert fields[-1][f"scanimage.{generation}.stackNumSlices"] == "2"


def test_si5_names_are_those_of_a_real_file(tmp_path, data_dir):
    real = page_fields((data_dir / "headers" / "SI5.0_ImageDescription_dump.txt").read_text())
    _, fields = read_back(write_si5_recording(tmp_path / "old.tif", n_frames=1))
    assert set(fields[0]) <= set(real)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("keep_roi_json", [False, True])
def test_resaved_file_has_strips_and_keeps_its_texts(tmp_path, big, keep_roi_json):
    truth = write_scanimage_recording(tmp_path, n_channels=2, shape=(150, 12), n_volumes=3)
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, big=big, keep_roi_json=keep_roi_json)
    with tifffile.TiffFile(target) as tiff, tifffile.TiffFile(truth.paths[0]) as source:
        assert tiff.is_bigtiff is big
        assert len(tiff.pages) == 6
        for page, original in zip(tiff.pages, source.pages, strict=True):
            assert len(page.dataoffsets) == 50
            assert page.offset > max(page.dataoffsets)
            assert page.description == original.description
            assert page.software == original.software
            assert ("Artist" in page.tags) is keep_roi_json
            np.testing.assert_array_equal(page.asarray(), original.asarray())
    assert target.read_bytes()[16:20] != b"\x01\x03\x03\x07"


def test_resave_splits_512_rows_into_64_strips(tmp_path):
    truth = write_scanimage_recording(tmp_path, shape=(512, 4), n_volumes=1)
    resave_without_magic(truth.paths[0], tmp_path / "resaved.tif")
    with tifffile.TiffFile(tmp_path / "resaved.tif") as tiff:
        assert len(tiff.pages[0].dataoffsets) == 64


def test_demo_session(tmp_path):
    assert write_demo_session(tmp_path / "demo") == tmp_path / "demo"
    paths = sorted((tmp_path / "demo").iterdir())
    assert [path.name for path in paths] == ["demo_00001_00001.tif", "demo_00001_00002.tif", "demo_flim_00001.siff"]
    assert sum(path.stat().st_size for path in paths) < 40e6
    pages = np.concatenate([tifffile.imread(path, key=slice(None)) for path in paths[:2]])
    assert pages.shape == (2 * 4 * 40, 96, 128)
    assert pages.dtype == np.int16
    green = pages.reshape(40, 4, 2, 96, 128)[:, 0, 0].astype(float)
    # Somewhere a cell flickers far above the noise.
    assert green.std(axis=0).max() > 5 * np.median(green.std(axis=0))


def test_writing_streams_and_is_fast(tmp_path):
    n_pages = 3000
    started = time.process_time()
    truth = write_scanimage_recording(tmp_path, n_volumes=n_pages, shape=(64, 64), keep_pages=False)
    # 100,000 pages in 30 s would be 0.9 s for these; wide margin for slow machines.
    assert time.process_time() - started < 5
    assert truth.pages.shape == (0, 64, 64)
    tracemalloc.start()
    write_scanimage_recording(tmp_path, n_volumes=n_pages, shape=(64, 64), keep_pages=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6 < n_pages * 64 * 64 * 2
