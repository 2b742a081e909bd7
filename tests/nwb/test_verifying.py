"""`verify` finds every pixel that differs, and calls equal what is."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from scanimage_nwb.cli import main
from scanimage_nwb.errors import MetadataError
from scanimage_nwb.nwb import ScanImageImagingInterface, convert_recording, verify_nwbfile
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[int, int]]]] = {
    # recording, conversion, (samples, samples of the source) of every series
    "planar": ({"n_volumes": 12}, {}, [(12, 12)]),
    "volumes": ({"n_planes": 3, "n_flyback": 1, "n_volumes": 6}, {}, [(6, 6)]),
    "two channels": ({"n_channels": 2, "n_planes": 2, "n_volumes": 6}, {}, [(6, 6)] * 2),
    "one of two channels": ({"channel_save": (1, 3), "n_volumes": 6}, {"channel_names": ["Channel 3"]}, [(6, 6)]),
    "one plane": ({"n_planes": 3, "n_volumes": 6}, {"plane_index": 1}, [(6, 6)]),
    "interleaved": ({"n_planes": 2, "frames_per_slice": 2, "n_volumes": 5}, {}, [(10, 10)]),
    "one slice sample": ({"n_planes": 2, "frames_per_slice": 2, "n_volumes": 5}, {"slice_sample": 1}, [(5, 5)]),
    "stub": ({"n_volumes": 130}, {"stub_test": True}, [(100, 130)]),
    "several files": ({"n_volumes": 25, "pages_per_file": 10}, {}, [(25, 25)]),
}


def make(folder: Path, kind: str, **more: Any) -> tuple[Path, SyntheticRecording]:
    recording, conversion, _ = KINDS[kind]
    written = write_scanimage_recording(folder / "source", shape=(8, 6), **(recording | more))
    return convert_recording(written.paths[:1], folder / "out.nwb", timezone="UTC", **conversion), written


@pytest.mark.parametrize("kind", KINDS)
def test_equal_and_one_pixel_flipped(tmp_path: Path, kind: str) -> None:
    out, written = make(tmp_path, kind)
    checks = verify_nwbfile(out, written.paths[:1])
    assert [(check.n_samples, check.n_source_samples) for check in checks] == KINDS[kind][2]
    assert [check.difference for check in checks] == [None] * len(checks)
    rng = np.random.default_rng(len(kind))
    for number, check in enumerate(checks):
        copy = tmp_path / f"{number}.nwb"
        for _ in range(5):
            shutil.copyfile(out, copy)
            with h5py.File(copy, "r+") as file:
                data = file[f"acquisition/{check.series}/data"]
                assert check.n_bytes == data.size * 2
                place = tuple(int(rng.integers(n)) for n in data.shape)
                old = int(data[place])
                data[place] = new = old ^ (1 << int(rng.integers(15)))
            sample, column, row, plane = (*place, 0)[:4]
            found = verify_nwbfile(copy, written.paths)
            assert [c.series for c in found if c.difference] == [check.series]
            difference = found[number].difference
            assert difference is not None
            assert difference.sample == sample
            assert difference.text == (f"plane {plane}, row {row}, column {column} is {new}; the source has {old}")


MISSING = {
    "one of two channels": ("Channel 1",),
    "one plane": ("plane 0 of Channel 1", "plane 2 of Channel 1"),
    "one slice sample": ("frame 0 of each slice of Channel 1",),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_file_lacks_is_named(tmp_path: Path, kind: str) -> None:
    out, written = make(tmp_path, kind)
    assert verify_nwbfile(out, written.paths).missing == MISSING.get(kind, ())
    result = run("verify", out, "--source", *written.paths)
    assert result.exit_code == 0
    assert ("not in the file" in result.stdout) == (kind in MISSING)
    if kind in MISSING:
        assert f"not in the file: {', '.join(MISSING[kind])}\n" in result.stdout
        lines = run("verify", out, "--source", *written.paths, "--json").stdout.splitlines()
        assert json.loads(lines[-1]) == {"event": "missing", "parts": list(MISSING[kind])}


def only_difference(out: Path, written: SyntheticRecording) -> tuple[int, str]:
    (check,) = verify_nwbfile(out, written.paths)
    assert check.difference is not None
    return check.difference.sample, check.difference.text


def test_another_rate_or_start(tmp_path: Path) -> None:
    out, written = make(tmp_path, "planar")
    edit(out, lambda file: file["acquisition/TwoPhotonSeries/starting_time"].attrs.modify("rate", 30.01))
    assert "has not the times of TwoPhotonSeries" in only_difference(out, written)[1]
    for what in ("OriginalFrameIndices", "FrameNumbers"):
        place = f"processing/ophys/TwoPhotonSeries{what}/starting_time"
        edit(out, lambda file, place=place: file[place].attrs.modify("rate", 30.01))
    sample, text = only_difference(out, written)
    assert sample == 1  # 11 us after a step of 30.01 Hz
    assert "the source has 0.033333" in text


def with_uneven_times(tmp_path: Path, aligned_by: str) -> tuple[Path, SyntheticRecording]:
    written = write_scanimage_recording(tmp_path / "source", shape=(8, 6), n_volumes=60)
    interface = ScanImageImagingInterface(written.paths[0], timezone="UTC")
    rng = np.random.default_rng(0)
    if aligned_by == "pulses":
        interface.align_to_pulses(7 + written.timestamps_s * (1 + 40e-6) + rng.uniform(-5e-5, 5e-5, 60), first_pulse=0)
    elif aligned_by == "hand":
        interface.set_aligned_timestamps(np.cumsum(rng.uniform(0.03, 0.04, 60)))
    out = tmp_path / "out.nwb"
    interface.run_conversion(nwbfile_path=str(out), always_write_timestamps=True)
    assert verify_nwbfile(out, written.paths)[0].difference is None
    return out, written


@pytest.mark.parametrize("aligned_by", ["nobody", "hand", "pulses"])
def test_one_time_changed(tmp_path: Path, aligned_by: str) -> None:
    out, written = with_uneven_times(tmp_path, aligned_by)
    place = "acquisition/TwoPhotonSeries/timestamps"
    change = {"nobody": 1e-9, "hand": -0.05, "pulses": 1e-3}[aligned_by]

    def move(file: h5py.File) -> None:
        file[place][31] += change

    edit(out, move)
    sample, text = only_difference(out, written)
    assert sample == 31
    words = {"nobody": "its time is", "hand": "before that of the sample before", "pulses": "clocks' drift"}
    assert words[aligned_by] in text


@pytest.mark.parametrize("aligned_by", ["hand", "pulses"])
def test_one_native_time_changed(tmp_path: Path, aligned_by: str) -> None:
    out, written = with_uneven_times(tmp_path, aligned_by)

    def move(file: h5py.File) -> None:
        file["processing/ophys/TwoPhotonSeriesNativeTimes/data"][59] += 1e-9

    edit(out, move)
    sample, text = only_difference(out, written)
    assert (sample, "its native time is" in text) == (59, True)


def test_times_of_photons(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=2, n_volumes=12, shape=(6, 4))
    out = convert_recording([siff.path], tmp_path / "out.nwb", flim=["photons"], channel_names=["Channel 2"])
    checks = verify_nwbfile(out, [siff.path])
    assert [check.difference for check in checks] == [None, None]
    assert checks.missing == ("Channel 1",)


def test_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanimage_nwb.nwb.verifying._BLOCK_BYTES", 7 * 8 * 6 * 2)
    out, written = make(tmp_path, "several files")
    assert verify_nwbfile(out, written.paths)[0].difference is None
    for sample in (0, 6, 7, 20, 21, 24):
        with h5py.File(out, "r+") as file:
            data = next(iter(file["acquisition"].values()))["data"]
            data[sample, 2, 3] ^= 1
        difference = verify_nwbfile(out, written.paths)[0].difference
        assert difference is not None
        assert difference.sample == sample
        with h5py.File(out, "r+") as file:
            next(iter(file["acquisition"].values()))["data"][sample, 2, 3] ^= 1


def edit(out: Path, change: Any) -> None:
    with h5py.File(out, "r+") as file:
        change(file)


def test_swapped_channels(tmp_path: Path) -> None:
    out, written = make(tmp_path, "two channels")

    def swap(file: h5py.File) -> None:
        one, two = (file[f"acquisition/TwoPhotonSeriesChannel{i}/data"] for i in (1, 2))
        one[...], two[...] = two[:], one[:]

    edit(out, swap)
    assert [check.difference.sample for check in verify_nwbfile(out, written.paths) if check.difference] == [0, 0]


def test_shifted_by_one_sample(tmp_path: Path) -> None:
    out, written = make(tmp_path, "planar")
    name = verify_nwbfile(out, written.paths)[0].series

    def shift(file: h5py.File) -> None:
        for place in (f"acquisition/{name}/data", f"processing/ophys/{name}OriginalFrameIndices/data"):
            file[place][...] = np.roll(file[place][:], -1, axis=0)
            difference = verify_after(file)
            assert difference is not None

    def verify_after(file: h5py.File) -> Any:
        file.flush()
        shutil.copyfile(out, tmp_path / "copy.nwb")
        return verify_nwbfile(tmp_path / "copy.nwb", written.paths)[0].difference

    edit(out, shift)


def test_wrong_source(tmp_path: Path) -> None:
    out, _ = make(tmp_path, "planar")
    other = write_scanimage_recording(tmp_path / "other", shape=(8, 6), n_volumes=12, seed=1)
    assert verify_nwbfile(out, other.paths)[0].difference is not None
    for number, options in enumerate(({"shape": (6, 8), "n_volumes": 12}, {"shape": (8, 6), "n_volumes": 5})):
        other = write_scanimage_recording(tmp_path / str(number), **options)
        assert verify_nwbfile(out, other.paths)[0].difference is not None


def test_no_original_frame_indices(tmp_path: Path) -> None:
    out, written = make(tmp_path, "planar")
    name = verify_nwbfile(out, written.paths)[0].series
    edit(out, lambda file: file.pop(f"processing/ophys/{name}OriginalFrameIndices"))
    with pytest.raises(MetadataError, match=r"out\.nwb holds no TwoPhotonSeries with original frame indices"):
        verify_nwbfile(out, written.paths)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("content", ["text", "hdf5", "none"])
def test_no_nwb_file(tmp_path: Path, content: str) -> None:
    written = write_scanimage_recording(tmp_path / "source")
    path = tmp_path / "other.nwb"
    if content == "text":
        path.write_text("hello")
    elif content == "hdf5":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    result = run("verify", path, "--source", written.paths[0])
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "other.nwb" in result.stderr
    assert result.stderr.count("\n") == 1


def test_command(tmp_path: Path) -> None:
    out, written = make(tmp_path, "two channels")
    result = run("verify", out, "--source", *written.paths)
    assert (result.exit_code, result.stdout.count("equal to the source"), result.stderr) == (0, 2, "")
    lines = [json.loads(line) for line in run("verify", out, "--source", *written.paths, "--json").stdout.splitlines()]
    assert [(line["event"], line["n_samples"], line["difference"]) for line in lines] == [("verified", 6, None)] * 2

    def flip(file: h5py.File) -> None:
        file["acquisition/TwoPhotonSeriesChannel2/data"][4, 3, 2, 1] ^= 1

    edit(out, flip)
    result = run("verify", out, "--source", *written.paths)
    assert result.exit_code == 1
    assert "TwoPhotonSeriesChannel2: sample 4: plane 1, row 2, column 3 is" in result.stdout
    assert "out.nwb differs from its source" in result.stderr
    result = run("verify", out, "--source", *written.paths, "--json")
    assert result.exit_code == 1
    difference = json.loads(result.stdout.splitlines()[1])["difference"]
    assert (difference["series"], difference["sample"]) == ("TwoPhotonSeriesChannel2", 4)


def test_convert_and_verify(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path / "source", n_channels=2, shape=(8, 6))
    out = tmp_path / "out.nwb"
    result = run("convert", *written.paths, "-o", out, "--verify", "--timezone", "UTC")
    assert (result.exit_code, result.stdout.count("equal to the source")) == (0, 2)
    result = run("convert", *written.paths, "-o", out, "--verify", "--timezone", "UTC", "--overwrite", "--json")
    events = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    assert (result.exit_code, events[-3:]) == (0, ["written", "verified", "verified"])
