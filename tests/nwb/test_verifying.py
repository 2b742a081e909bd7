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
from scanimage_nwb.nwb import convert_recording, verify_nwbfile
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording

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
