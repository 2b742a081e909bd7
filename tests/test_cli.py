"""The command line: what it writes, what it says, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pynwb
import pytest
from click.testing import CliRunner, Result

from scanimage_nwb.cli import main
from scanimage_nwb.testing import SyntheticRecording, write_legacy_recording, write_scanimage_recording

COMMAND = [sys.executable, "-c", "from scanimage_nwb.cli import main; main()"]
# a test run in the background of a shell hands on that SIGINT is ignored
STOPPABLE = [*COMMAND[:2], f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {COMMAND[2]}"]
NAME = "déjà vu [1] m1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    """Two channels, three planes, several files, in a folder and under a name with spaces, brackets and accents."""
    folder = tmp_path_factory.mktemp("cli") / "Grüße [a] b"
    return write_scanimage_recording(
        folder, name=f"{NAME}_00001", n_channels=2, n_planes=3, n_volumes=110, shape=(6, 4), pages_per_file=300
    )


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    return write_scanimage_recording(tmp_path_factory.mktemp("slices"), n_planes=2, frames_per_slice=2, n_volumes=5)


def run(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_outside(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def convert(out: Path, *arguments: str | Path) -> dict[str, tuple[int, ...]]:
    """Convert, and return the shapes of the series."""
    result = run("convert", *arguments, "-o", out, "--timezone", "UTC")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)\n"
    with pynwb.NWBHDF5IO(out, "r") as io:
        return {name: series.data.shape for name, series in io.read().acquisition.items()}


def refused(result: Result | subprocess.CompletedProcess[str], *words: str) -> None:
    """The command must end in one line that begins with "error:" and holds `words`."""
    status = result.exit_code if isinstance(result, Result) else result.returncode
    assert status == 1, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


# ---- convert


@pytest.mark.parametrize("how", ["first file", "middle file", "all files", "folder"])
def test_ways_to_name_a_recording(written: SyntheticRecording, tmp_path: Path, how: str) -> None:
    paths = {
        "first file": written.paths[:1],
        "middle file": written.paths[1:2],
        "all files": written.paths,
        "folder": (written.paths[0].parent,),
    }[how]
    whole = {"TwoPhotonSeriesChannel1": (110, 4, 6, 3), "TwoPhotonSeriesChannel2": (110, 4, 6, 3)}
    assert convert(tmp_path / "é [1] out.nwb", *paths) == whole


def test_exactly_the_files_named(written: SyntheticRecording, tmp_path: Path) -> None:
    shapes = convert(tmp_path / "out.nwb", *written.paths[:2])
    assert shapes["TwoPhotonSeriesChannel1"] == (100, 4, 6, 3)


def test_channel_plane_and_stub(written: SyntheticRecording, tmp_path: Path) -> None:
    arguments = (written.paths[0], "--channel", "Channel 2", "--plane", "1")
    assert convert(tmp_path / "a.nwb", *arguments) == {"TwoPhotonSeriesChannel2Plane1": (110, 4, 6)}
    assert convert(tmp_path / "b.nwb", *arguments, "--stub-test") == {"TwoPhotonSeriesChannel2Plane1": (100, 4, 6)}
    assert set(convert(tmp_path / "c.nwb", *arguments, "--channel", "Channel 1")) == {
        "TwoPhotonSeriesChannel1Plane1",
        "TwoPhotonSeriesChannel2Plane1",
    }


def test_slice_sample(slices: SyntheticRecording, tmp_path: Path) -> None:
    assert convert(tmp_path / "all.nwb", slices.paths[0]) == {"TwoPhotonSeries": (10, 12, 16, 2)}
    assert convert(tmp_path / "one.nwb", slices.paths[0], "--slice-sample", "1") == {"TwoPhotonSeries": (5, 12, 16, 2)}
    with pynwb.NWBHDF5IO(tmp_path / "one.nwb", "r") as io:
        data = io.read().acquisition["TwoPhotonSeries"].data[:]
    np.testing.assert_array_equal(data[0, :, :, 0], slices.pages[1].T)
    np.testing.assert_array_equal(data[-1, :, :, 1], slices.pages[-1].T)


def test_metadata_and_timezone(written: SyntheticRecording, tmp_path: Path) -> None:
    (tmp_path / "ü.yaml").write_text(
        "NWBFile: {lab: Müller}\nOphys: {ImagingPlanes: {'*': {location: V1}}}\n", encoding="utf-8"
    )
    out = tmp_path / "out.nwb"
    arguments = ("--metadata", tmp_path / "ü.yaml", "--timezone", "Asia/Tokyo")
    result = run("convert", written.paths[0], "-o", out, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    with pynwb.NWBHDF5IO(out, "r") as io:
        nwbfile = io.read()
        assert nwbfile.session_start_time.isoformat() == "2025-04-24T16:43:57.206000+09:00"
        assert nwbfile.lab == "Müller"
        assert nwbfile.imaging_planes["ImagingPlaneChannel2"].location == "V1"


def test_overwrite(slices: SyntheticRecording, tmp_path: Path) -> None:
    out = tmp_path / "out.nwb"
    out.write_bytes(b"old")
    arguments = ("convert", slices.paths[0], "-o", out, "--timezone", "UTC")
    refused(run(*arguments), "out.nwb is there already", "--overwrite")
    assert out.read_bytes() == b"old"
    assert run(*arguments, "--overwrite").exit_code == 0
    assert out.stat().st_size > 1000


def test_timezone_is_missed_once(written: SyntheticRecording, tmp_path: Path) -> None:
    for number in range(2):  # also when it is the second time in one process
        result = run("convert", written.paths[0], "-o", tmp_path / f"{number}.nwb")
        assert result.exit_code == 0
        (line,) = result.stderr.splitlines()
        assert line.startswith(
            f"warning: {written.paths[0].name} says when it was recorded, but not in which time zone"
        )


def test_damaged_file_is_converted_with_a_warning(tmp_path: Path) -> None:
    path = write_scanimage_recording(tmp_path, n_volumes=12).paths[0]
    path.write_bytes(path.read_bytes()[:-100])
    out = tmp_path / "out.nwb"
    result = run("convert", path, "-o", out, "--timezone", "UTC")
    assert result.exit_code == 0
    assert result.stderr.count("warning:") == 1
    assert result.stderr.startswith("warning: ")
    assert "the 11 whole pages before are kept" in result.stderr
    assert result.stdout.startswith(f"wrote {out}")
    with pynwb.NWBHDF5IO(out, "r") as io:
        assert io.read().acquisition["TwoPhotonSeries"].data.shape == (11, 12, 16)


def test_file_left_out_of_a_folder_is_named(tmp_path: Path) -> None:
    write_scanimage_recording(tmp_path)
    (tmp_path / "empty.tif").write_bytes(b"")
    for arguments in (("convert", tmp_path, "-o", tmp_path / "out.nwb", "--timezone", "UTC"), ("inspect", tmp_path)):
        result = run(*arguments)
        assert result.exit_code == 0
        (line,) = result.stderr.splitlines()
        assert line.startswith("warning: empty.tif is left out: ")


# ---- errors


@pytest.fixture
def bad_input(tmp_path: Path) -> Callable[[str], Path]:
    """Make an input that cannot be used."""

    def make(kind: str) -> Path:
        path = tmp_path / "in"
        if kind == "text":
            path.write_text("hello")
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "3.8":
            write_legacy_recording(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "folder of text":
            path.mkdir()
            (path / "a.tif").write_text("hello")
        elif kind == "two recordings":
            for name in ("a_00001", "b_00001"):
                write_scanimage_recording(path, name=name, n_volumes=2)
        elif kind == "no epoch":
            path = write_scanimage_recording(path, epoch=None).paths[0]
        return path

    return make


BAD_INPUTS = {
    "missing": "in is not there",
    "text": "in is no TIFF: it begins with b'hell'",
    "empty": "in is empty (0 bytes)",
    "3.8": "was written by ScanImage 3.8, whose layout differs; open it with ScanImageLegacyImagingExtractor",
    "folder": "holds no ScanImage recording; expected files that end in .tif, .tiff or .siff, it has none",
    "folder of text": "it has 1; ",
    "two recordings": "holds 2 recordings; name the first file of one: a_00001.tif, b_00001.tif",
    "no epoch": "does not say when it was recorded; give NWBFile: session_start_time: '",
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_inputs_that_cannot_be_converted(bad_input: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    source, out = bad_input(kind), tmp_path / "out" / "out.nwb"
    refused(run("convert", source, "-o", out, "--timezone", "UTC"), BAD_INPUTS[kind], str(tmp_path / "in"))
    assert not out.parent.exists()


@pytest.mark.parametrize("kind", list(BAD_INPUTS)[:6])
def test_inputs_that_cannot_be_inspected(bad_input: Callable[[str], Path], kind: str) -> None:
    refused(run("inspect", bad_input(kind)), BAD_INPUTS[kind])
    refused(
        run("inspect", "--json", bad_input(kind)) if kind == "missing" else run("inspect", "nothing"), "is not there"
    )


def test_out_of_a_process_too(bad_input: Callable[[str], Path], tmp_path: Path) -> None:
    source = bad_input("text")
    refused(run_outside("convert", source, "-o", tmp_path / "out.nwb"), "is no TIFF")
    result = run_outside("convert", source, "-o", tmp_path / "out.nwb", "--debug")
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "is no TIFF" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--channel", "Channel 9"], ["channel_name 'Channel 9' is not in", "['Channel 1', 'Channel 2']"]),
        (["--plane", "3"], ["plane_index is 3", "has 3 planes, from 0"]),
        (["--plane", "-1"], ["plane_index is -1"]),
        (["--timezone", "Europe/Berln"], ["timezone 'Europe/Berln' is not known", "did you mean Europe/Berlin"]),
        (["--metadata", "none.yaml"], ["none.yaml is not there"]),
        (["--metadata", "."], [".: Is a directory"]),
    ],
)
def test_options_that_cannot_be_used(
    written: SyntheticRecording, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    zone = [] if "--timezone" in arguments else ["--timezone", "UTC"]
    refused(run("convert", written.paths[0], "-o", tmp_path / "out.nwb", *arguments, *zone), *words)
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_cannot_be_used(written: SyntheticRecording, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    arguments = ("convert", written.paths[0], "-o", tmp_path / "out.nwb", "--timezone", "UTC", "--metadata", path)
    for text, words in {
        "Subjects: {}": ["m.yaml: 'Subjects'", "did you mean Subject?"],
        "a: [b": ["m.yaml is no YAML"],
        "Ophys: {ImagingPlanes: {'*': {indicater: x}}}": ["scan_image_imaging_channel_1: 'indicater'", "indicator?"],
        "Subject: {subject_id: 7}": ["Subject.subject_id: 7 is not of type 'string'", "put it in quotes"],
    }.items():
        path.write_text(text)
        refused(run(*arguments), *words)
    assert list(tmp_path.iterdir()) == [path]


def test_outputs_that_cannot_be_written(slices: SyntheticRecording, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for out, words in {
        tmp_path / "folder": ["is a folder; name the file to write in it"],
        tmp_path / "out": ["expected a name that ends in .nwb"],
        tmp_path / "file" / "out.nwb": [f"{tmp_path / 'file'} cannot be made"],
        Path("/proc/nowhere/out.nwb"): ["/proc/nowhere cannot be made"],
    }.items():
        refused(run("convert", slices.paths[0], "-o", out, "--timezone", "UTC", "--overwrite"), *words)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(slices: SyntheticRecording, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    refused(run("convert", slices.paths[0], "-o", folder / "out.nwb", "--timezone", "UTC"), "Permission denied")


@pytest.mark.parametrize(
    "arguments",
    [["convert"], ["convert", "a.tif"], ["inspect"], ["nothing"], ["convert", "a.tif", "-o", "b.nwb", "--plane", "x"]],
)
def test_odd_arguments_are_explained(arguments: list[str]) -> None:
    result = run_outside(*arguments)
    assert result.returncode == 2
    assert "Usage:" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_and_version() -> None:
    assert "convert" in run("--help").stdout
    assert "--timezone" in run("convert", "-h").stdout
    assert run("--version").stdout.startswith("scanimage-nwb, version ")


# ---- inspect


def test_inspect_one_recording(written: SyntheticRecording) -> None:
    result = run("inspect", written.paths[1])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == f"{written.paths[0]} and 2 more file(s)"
    assert "  channels      Channel 1, Channel 2\n" in result.stdout
    assert "  samples       110 volumes" in result.stdout


def test_inspect_exactly_the_files_named(written: SyntheticRecording) -> None:
    (described,) = json.loads(run("inspect", "--json", *written.paths[:2]).stdout)
    assert (len(described["files"]), described["n_samples"]) == (2, 100)


def test_inspect_several_recordings(tmp_path: Path) -> None:
    write_scanimage_recording(tmp_path, name="a_00001", n_volumes=3)
    write_scanimage_recording(tmp_path, name="b_00001", with_timestamps=False, epoch=None, with_roi_json=False)
    write_scanimage_recording(
        tmp_path, name="c_00001", n_volumes=1, header_overrides={"hRoiManager.scanFrameRate": "NaN"}
    )
    result = run("inspect", tmp_path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    described = json.loads(result.stdout, parse_constant=pytest.fail)
    assert [Path(item["files"][0]).name for item in described] == ["a_00001.tif", "b_00001.tif", "c_00001.tif"]
    assert [item["epoch"] is None for item in described] == [False, True, False]
    assert described[1]["timestamp_rate_hz"] is None
    assert described[1]["warnings"]
    assert described[2]["header_rate_hz"] is None
    text = run("inspect", tmp_path).stdout
    assert text.count("\n\n") == 2
    assert "  clock started unknown\n" in text


def test_damage_is_part_of_the_description(tmp_path: Path) -> None:
    path = write_scanimage_recording(tmp_path).paths[0]
    path.write_bytes(path.read_bytes()[:-100])
    result = run("inspect", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  warning       session_00001.tif: the file ends" in result.stdout


def test_reader_that_has_seen_enough(tmp_path: Path) -> None:
    for number in range(12):
        write_scanimage_recording(tmp_path, name=f"m_{number:05d}", n_volumes=2, epoch=(2025, 1, 1, number, 0, 0.0))
    process = subprocess.Popen(
        [*COMMAND, "inspect", str(tmp_path), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    stderr = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert stderr == b""


# ---- Ctrl-C


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    """About 50 MB that do not compress well."""
    rng = np.random.default_rng(1)
    noise = rng.integers(-32768, 32767, (512, 512)).astype(np.int16)
    return write_scanimage_recording(
        tmp_path_factory.mktemp("long"),
        shape=(512, 512),
        n_volumes=400,
        keep_pages=False,
        page_value=lambda ordinal, height, width: np.roll(noise, ordinal * 7),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("older", [False, True])
def test_ctrl_c_leaves_nothing(long_recording: SyntheticRecording, tmp_path: Path, older: bool) -> None:
    out = tmp_path / "out.nwb"
    if older:
        out.write_bytes(b"old")
    process = subprocess.Popen(
        [*STOPPABLE, "convert", str(long_recording.paths[0]), "-o", str(out), "--timezone", "UTC", "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not [path for path in tmp_path.iterdir() if path != out and path.stat().st_size > 1_000_000]:
        assert process.poll() is None, "it was over before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert (stdout, stderr) == ("", "stopped; nothing was written under the output's name\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.nwb"] * older
    assert not older or out.read_bytes() == b"old"
