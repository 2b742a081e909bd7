"""Pulses to pages: what fires, flyback, channels, dropped frames; and original frame indices against brute force."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanimage_nwb import ScanImageImagingExtractor, SiffImagingExtractor, open_recording
from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.recording import align_to_pulses
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

CASES: dict[str, dict[str, Any]] = {
    "planar": {"n_volumes": 90},
    "planar two channels": {"n_volumes": 90, "n_channels": 2},
    "volumes": {"n_volumes": 30, "n_planes": 3, "n_flyback": 2, "pages_per_file": 41},
    "volumes two channels": {"n_volumes": 30, "n_planes": 3, "n_flyback": 1, "channel_save": (1, 3)},
    "slice samples": {"n_volumes": 20, "n_planes": 2, "frames_per_slice": 3, "n_channels": 2},
    "slow stack": {"n_volumes": 12, "n_planes": 3, "frames_per_slice": 2, "stack_mode": "slow"},
    "dropped": {"n_volumes": 40, "n_planes": 3, "n_flyback": 1, "n_channels": 2, "drop_frames": (17, 18, 60)},
}


def on_the_other_clock(times_s: np.ndarray) -> np.ndarray:
    return 321.5 + times_s * (1 - 40e-6)


def true_event_times(written: SyntheticRecording, case: dict[str, Any], fires_per: str) -> np.ndarray:
    """Every event, from what was planned: dropped frames were scanned, too."""
    in_volume = case.get("n_planes", 1) * case.get("frames_per_slice", 1) + case.get("n_flyback", 0)
    channels = case.get("n_channels") or len(case.get("channel_save", (1,)))
    n_frames = case["n_volumes"] * in_volume
    frame = np.arange(n_frames)
    frames = written.timestamps_s[::channels] if case.get("stack_mode") == "slow" else frame / 30.0
    if fires_per == "page":
        period = np.minimum(np.diff(frames, append=frames[-1] + 1 / 30), 1 / 30)
        return (frames[:, None] + period[:, None] * np.arange(channels) / channels).ravel()
    if fires_per == "frame":
        return frames
    slot = frame % in_volume
    imaging = in_volume - case.get("n_flyback", 0)
    return frames[slot < imaging] if fires_per == "plane" else frames[slot == 0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("fires_per", ["page", "frame", "plane", "volume"])
def test_every_page_gets_its_time(name: str, fires_per: str, tmp_path: Path) -> None:
    case = CASES[name]
    written = write_scanimage_recording(tmp_path, **case)
    recording = open_recording(file_paths=written.paths, warn=False)
    pulses = on_the_other_clock(true_event_times(written, case, fires_per))
    found = align_to_pulses(recording, pulses, fires_per)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.page_times_s, on_the_other_clock(written.timestamps_s), rtol=0, atol=1e-6)
    if name != "dropped" or fires_per in ("page", "frame"):
        assert len(found.report.extra_pulses) == 0
    if name != "dropped" or fires_per in ("page", "frame"):
        dropped = len(case.get("drop_frames", ())) * (2 if fires_per == "page" else 1)
        assert found.report.n_matched == len(pulses)
        assert dropped <= len(pulses)


@pytest.mark.parametrize("wrong", ["volume", "page"])
def test_the_wrong_fires_per_is_found_out(wrong: str, tmp_path: Path) -> None:
    case = CASES["volumes two channels"]
    written = write_scanimage_recording(tmp_path, **case)
    recording = open_recording(file_paths=written.paths)
    pulses = true_event_times(written, case, "frame")
    with pytest.raises(TimeAxisError, match="fires_per"):
        align_to_pulses(recording, pulses, wrong)  # type: ignore[arg-type]


def test_without_timestamps_there_is_nothing_to_go_by(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, with_timestamps=False)
    recording = open_recording(file_paths=written.paths, warn=False)
    with pytest.raises(TimeAxisError, match=r"no timestamps.*per_frame=True"):
        align_to_pulses(recording, np.arange(10) / 30)


def test_files_of_two_clocks_are_aligned_one_by_one(tmp_path: Path) -> None:
    """Two acquisitions: the second started 20 s later by the computer's clock, 20.004 s by that of the pulses."""
    first = write_scanimage_recording(tmp_path, name="a_00001", n_volumes=90, epoch=(2024, 5, 6, 7, 8, 9.0))
    second = write_scanimage_recording(tmp_path, name="b_00001", n_volumes=60, epoch=(2024, 5, 6, 7, 8, 29.0))
    both = open_recording(file_paths=[*first.paths, *second.paths], warn=False)
    assert both.clock_starts == (0, 1)
    pulses = [first.timestamps_s, 20.004 + second.timestamps_s]
    with pytest.raises(TimeAxisError, match=r"timed by 2 clocks; b_00001\.tif begins to count anew"):
        align_to_pulses(both, np.concatenate(pulses))
    for written, own in zip((first, second), pulses, strict=True):
        recording = open_recording(file_paths=written.paths)
        found = align_to_pulses(recording, np.concatenate(pulses), start_near_s=float(own[0]) + 0.01)
        np.testing.assert_allclose(found.page_times_s, own, rtol=0, atol=1e-6)


def test_one_clock_over_many_files(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_volumes=90, pages_per_file=20)
    recording = open_recording(file_paths=written.paths)
    assert recording.clock_starts == (0,)
    np.testing.assert_allclose(align_to_pulses(recording, written.timestamps_s + 3).page_times_s[-1], 3 + 89 / 30)


def test_unknown_fires_per(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path)
    with pytest.raises(ValueError, match="'page', 'frame', 'plane' or 'volume'"):
        align_to_pulses(open_recording(file_paths=written.paths), np.arange(10.0), "line")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_original_frame_indices_against_brute_force(name: str, tmp_path: Path) -> None:
    """Every page is asked what it is; nothing is computed from counts."""
    case = CASES[name]
    written = write_scanimage_recording(tmp_path, **case)
    recording = open_recording(file_paths=written.paths, warn=False)
    frame_of_page = np.cumsum(np.diff(written.frame_numbers, prepend=-1) != 0) - 1
    n_planes, n_slice = int(written.plane.max()) + 1, int(written.slice_sample.max()) + 1
    for channel, channel_name in enumerate(recording.channel_names):
        for plane in [None, *range(n_planes)] if n_planes > 1 else [None]:
            for slice_sample in range(n_slice) if n_slice > 1 else [None]:
                extractor = ScanImageImagingExtractor.from_recording(
                    recording, channel_name=channel_name, plane_index=plane, slice_sample=slice_sample
                )
                expected = []
                for volume in range(int(written.volume.max()) + 1):
                    of_volume = np.flatnonzero((written.volume == volume) & (written.plane >= 0))
                    if len(of_volume) < n_planes * n_slice * recording.n_channels:
                        continue
                    row = []
                    for z in range(n_planes) if plane is None else [plane]:
                        (page,) = [
                            p
                            for p in of_volume
                            if written.channel[p] == channel
                            and written.plane[p] == z
                            and written.slice_sample[p] == (slice_sample or 0)
                        ]
                        row.append(page)
                    expected.append(row)
                pages = np.array(expected)
                found = extractor.get_original_frame_indices()
                assert found.dtype == np.int64
                np.testing.assert_array_equal(found, pages[:, -1])
                for z in range(pages.shape[1]):
                    np.testing.assert_array_equal(extractor.get_original_frame_indices(z), pages[:, z])
                    per_frame = extractor.get_original_frame_indices(z, per_frame=True)
                    np.testing.assert_array_equal(per_frame, frame_of_page[pages[:, z]])
                part = extractor.slice_samples(2, 5)
                np.testing.assert_array_equal(part.get_original_frame_indices(), pages[2:5, -1])


def test_frame_indices_and_pulses_of_a_siff(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=3, n_flyback=1, n_volumes=20, shape=(4, 4))
    extractor = SiffImagingExtractor(written.path, channel_name="Channel 2")
    pages = np.flatnonzero((written.channel == 1) & (written.plane >= 0)).reshape(-1, 3)
    for plane in range(3):
        np.testing.assert_array_equal(extractor.get_original_frame_indices(plane), pages[:, plane])
    np.testing.assert_array_equal(extractor.get_original_frame_indices(per_frame=True), pages[:, -1] // 2)
    pulses = on_the_other_clock(written.experiment_time_s[::2])
    found = align_to_pulses(extractor.recording, pulses, "frame")
    np.testing.assert_allclose(found.page_times_s, on_the_other_clock(written.experiment_time_s), atol=2e-6)


def test_real_volumes_over_ten_files(data_dir: Path) -> None:
    recording = open_recording(data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif", warn=False)
    times = recording.timestamp_s
    assert times is not None
    assert len(recording.paths) == 10
    assert (np.diff(times) > 0).all()
    steps = np.diff(times)
    assert steps.max() < 1.5 * np.median(steps)  # times run on from file to file
    pulses = on_the_other_clock(times)
    found = align_to_pulses(recording, pulses)
    np.testing.assert_allclose(found.page_times_s, pulses, atol=1e-6)


def test_real_slow_stack_is_matched_by_its_pauses(data_dir: Path) -> None:
    recording = open_recording(data_dir / "scanimage" / "scanimage_20220923_noroi.tif", warn=False)
    assert recording.timestamp_s is not None
    frames = np.unique(recording.timestamp_s)
    pulses = on_the_other_clock(frames)
    found = align_to_pulses(recording, pulses)
    np.testing.assert_allclose(found.page_times_s, on_the_other_clock(recording.timestamp_s), atol=1e-6)
