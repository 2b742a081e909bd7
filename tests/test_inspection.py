"""What `inspect` says of a recording."""

import json
from pathlib import Path
from typing import Any

import pytest

from scanimage_nwb.inspection import describe_recording, format_description
from scanimage_nwb.recording import open_recording
from scanimage_nwb.testing import write_scanimage_recording, write_si5_recording, write_siff_recording


def describe(folder: Path, **parameters: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the description, and its lines by their labels."""
    written = write_scanimage_recording(folder, **parameters)
    description = describe_recording(open_recording(written.paths[0], warn=False))
    json.dumps(description, allow_nan=False)
    lines = format_description(description).splitlines()[1:]
    return description, {line[2:16].strip(): line[16:] for line in lines}


def test_volumes(tmp_path: Path) -> None:
    described, lines = describe(
        tmp_path, channel_save=(1, 3), n_planes=3, n_flyback=1, n_volumes=5, pages_per_file=16, shape=(10, 24)
    )
    expected = {
        "n_pages": 40,
        "page_shape": [10, 24],
        "dtype": "int16",
        "scanimage_version": "2021.0.0",
        "tiff_version": 4,
        "channels": ["Channel 1", "Channel 3"],
        "n_planes": 3,
        "n_flyback": 1,
        "frames_per_slice": 1,
        "averaging": 1,
        "slow_stack": False,
        "z_um": [92, 97, 102],
        "n_samples": 5,
        "sample_kind": "volume",
        "header_rate_hz": 7.5,
        "regular": True,
        "gaps": [],
        "missing_frames": 0,
        "incomplete_volumes": 0,
        "epoch": "2025-04-24T16:43:57.206000",
        "n_scanfields": 1,
        "warnings": [],
    }
    assert {key: described[key] for key in expected} == expected
    assert [Path(path).name[-9:] for path in described["files"]] == ["00001.tif", "00002.tif", "00003.tif"]
    assert described["timestamp_rate_hz"] == pytest.approx(7.5)
    assert described["duration_s"] == pytest.approx(4 / 7.5)
    assert described["pixel_size_um"] == pytest.approx([4.5, 4.5])
    assert described["field_of_view_um"] == pytest.approx([108, 45])
    assert lines["planes"] == "3 + 1 flyback, 1 frame(s) a slice; z = 92, 97, 102 um"
    assert lines["samples"] == "5 volumes in 0.533 s"
    assert lines["rate"] == "7.5 Hz by timestamps (regular within 1 us); header: 7.5 Hz"
    assert lines["pages"] == "40 of 10 x 24 pixels, int16"
    assert lines["warnings"] == lines["gaps"] == "none"


def test_photons(tmp_path: Path) -> None:
    events = [(1, "on", 0.5), (3, "two\nlines", None), (3, "late", 0.25)]
    kinds = ("raw", "compressed", "raw", "plain")
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_volumes=5, page_kinds=kinds, appended_text=events)
    beyond_json = written.path.read_bytes().replace(b"Text timestamp = 0.250000", b"Text timestamp = 1.00e999")
    written.path.write_bytes(beyond_json)
    described = describe_recording(open_recording(written.path, warn=False))
    json.dumps(described, allow_nan=False)
    assert described["dtype"] == "photons"
    assert described["epoch"] == "2024-05-27T19:33:00.266800+00:00"
    assert described["photons"] == {
        "num_bins": 629,
        "tcspc_resolution_s": 2e-11,
        "repetition_rate_hz": 8e7,
        "n_raw_pages": 5,
        "n_compressed_pages": 3,
        "n_plain_pages": 2,
        "appended_text": [
            {"page": 1, "time_s": 0.5, "text": "on"},
            {"page": 3, "time_s": None, "text": "two\nlines"},
            {"page": 3, "time_s": None, "text": "late"},
        ],
    }
    lines = {line[2:16].strip(): line[16:] for line in format_description(described).splitlines()[1:]}
    assert lines["pages"] == "10 of 16 x 12 pixels, photons: 5 raw, 3 compressed, 2 plain"
    assert lines["delay bins"] == "629 of 20 ps; laser 80 MHz, period 12.5 ns"
    assert lines["clock started"] == "2024-05-27T19:33:00.266800+00:00 (UTC)"
    assert lines["appended text"] == "3: 'on' at 0.5 s, 'two\\nlines' at page 3, 'late' at page 3"


def test_photons_of_which_the_header_says_nothing(tmp_path: Path) -> None:
    keys = ("hScan2D.hAcq.Tau_bins", "hScan2D.hAcq.binResolution", "hScan2D.hAcq.frequency", "hScan2D.sampleRate")
    written = write_siff_recording(tmp_path, header_overrides=dict.fromkeys(keys))
    described = describe_recording(open_recording(written.path, warn=False))
    assert described["photons"]["num_bins"] is None
    assert "unknown number of unknown width; laser unknown" in format_description(described)


def test_gaps_and_losses(tmp_path: Path) -> None:
    described, lines = describe(tmp_path, n_volumes=20, drop_frames=[7, 8])
    assert described["missing_frames"] == 2
    assert described["incomplete_volumes"] == 0
    assert not described["regular"]
    (gap,) = described["gaps"]
    assert gap == pytest.approx({"after_sample": 6, "at_s": 6 / 30, "length_s": 3 / 30})
    assert lines["gaps"] == "1: 0.1 s after sample 6"
    assert "irregular: median step" in lines["rate"]
    assert lines["warning"].startswith("2 frame(s) are missing")


def test_incomplete_volumes(tmp_path: Path) -> None:
    described, _ = describe(tmp_path, n_planes=2, n_volumes=6, drop_frames=[4])
    assert (described["incomplete_volumes"], described["n_samples"]) == (1, 5)


def test_rate_of_header_and_of_timestamps(tmp_path: Path) -> None:
    described, lines = describe(tmp_path, header_overrides={"hRoiManager.scanFrameRate": "8.87"})
    assert described["header_rate_hz"] == 8.87
    assert described["timestamp_rate_hz"] == pytest.approx(30)
    assert lines["rate"] == "30 Hz by timestamps (regular within 1 us); header: 8.87 Hz"
    assert "the timestamps are believed" in lines["warning"]


def test_no_timestamps(tmp_path: Path) -> None:
    described, lines = describe(tmp_path, with_timestamps=False)
    assert (described["has_timestamps"], described["timestamp_rate_hz"], described["duration_s"]) == (False, None, None)
    assert lines["rate"] == "30 Hz by the header; pages have no timestamps"


def test_one_sample_is_not_a_lack_of_timestamps(tmp_path: Path) -> None:
    described, lines = describe(tmp_path, n_volumes=1)
    assert described["has_timestamps"]
    assert described["timestamp_rate_hz"] is None
    assert lines["rate"] == "30 Hz by the header; 1 sample(s) are too few to tell by timestamps"
    assert lines["samples"] == "1 frame in 0.000 s"


def test_slices_averaging_and_slow_stacks(tmp_path: Path) -> None:
    described, lines = describe(tmp_path, n_planes=2, frames_per_slice=2, averaging=3, stack_mode="slow", n_volumes=3)
    assert (described["frames_per_slice"], described["averaging"], described["slow_stack"]) == (2, 3, True)
    assert lines["planes"].startswith("2 + 0 flyback, 2 frame(s) a slice, slow stack, 3 frames averaged into each page")


def test_what_old_files_do_not_say(tmp_path: Path) -> None:
    path = tmp_path / "old.tif"
    write_si5_recording(path)
    description = describe_recording(open_recording(path, warn=False))
    json.dumps(description, allow_nan=False)
    text = format_description(description)
    assert "ScanImage     5.0 (TIFF layout unmarked)" in text
    assert "clock started unknown" in text
    assert "pixel size    unknown" in text


def test_numbers_of_the_header_that_json_cannot_hold(tmp_path: Path) -> None:
    # z is said again in zsAllActuators
    header = {"hRoiManager.scanFrameRate": "NaN", "hStackManager.zs": "Inf"}
    described, _ = describe(tmp_path, header_overrides=header)
    assert (described["header_rate_hz"], described["z_um"]) == (None, [92.0])


def test_real_volumes(data_dir: Path) -> None:
    path = data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00004.tif"
    described = describe_recording(open_recording(path, warn=False))
    assert (len(described["files"]), described["n_pages"], described["n_samples"]) == (10, 1600, 100)
    assert (described["n_planes"], described["n_flyback"]) == (9, 7)
    assert described["timestamp_rate_hz"] == pytest.approx(32.7483, abs=5e-5)
    assert described["regular"]
    assert described["pixel_size_um"] == pytest.approx([0.84375, 0.84375])
