"""The conversion script that people copy: its function, its demo, and its command line."""

import csv
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pynwb
import pytest

from scanimage_nwb.errors import MetadataError, ScanImageNwbWarning
from scanimage_nwb.testing import write_scanimage_recording

SCRIPT = Path(__file__).resolve().parents[1] / "conversion_scripts" / "convert_session.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_session", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the series in a file."""
    with pynwb.NWBHDF5IO(path, "r") as io:
        return {name: series.data.shape for name, series in io.read().acquisition.items()}


def test_signature(script: ModuleType) -> None:
    parameters = inspect.signature(script.session_to_nwb).parameters
    assert list(parameters)[:4] == ["data_dir_path", "output_dir_path", "stub_test", "verbose"]
    assert [parameters[name].default for name in ("stub_test", "verbose")] == [False, False]
    assert all(parameter.default is not inspect.Parameter.empty for parameter in list(parameters.values())[2:])


def test_demo_twice_in_a_row(tmp_path: Path) -> None:
    for _ in range(2):
        result = run(folder=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        assert "made a demo session (two channels, three planes; a TIFF and a .siff recording) in" in result.stdout
        assert "converted it to " in result.stdout
    out = tmp_path / "scanimage-nwb-demo" / "nwb" / "demo_00001.nwb"
    assert shapes(out) == {f"TwoPhotonSeriesChannel{i}": (40, 128, 96, 3) for i in (1, 2)}
    assert [path.name for path in tmp_path.iterdir()] == ["scanimage-nwb-demo"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["demo_00001.nwb", "demo_flim_00001.nwb"]
    assert shapes(out.with_name("demo_flim_00001.nwb")) == {
        f"TwoPhotonSeriesChannel{i}": (40, 64, 64, 2) for i in (1, 2)
    }


def test_real_session(data_dir: Path, tmp_path: Path) -> None:
    result = run(
        data_dir / "scanimage", tmp_path / "out", "--stub-test", "--timezone", "America/New_York", folder=tmp_path
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("wrote ") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "scanimage_20220923_noroi.nwb",
        "vol_one_ch_multi_files_00001.nwb",
    ]
    assert shapes(tmp_path / "out" / "vol_one_ch_multi_files_00001.nwb") == {"TwoPhotonSeries": (100, 20, 20, 9)}


def test_metadata_in_the_folder(script: ModuleType, tmp_path: Path) -> None:
    session, other = tmp_path / "session", tmp_path / "other.yaml"
    write_scanimage_recording(session, n_volumes=3)
    (session / "metadata.yaml").write_text("NWBFile: {lab: From the folder}\n")
    other.write_text("NWBFile: {lab: Given}\n")
    for options, lab in (({}, "From the folder"), ({"metadata_path": other}, "Given")):
        (path,) = script.session_to_nwb(str(session), tmp_path / "out", timezone="UTC", **options)
        with pynwb.NWBHDF5IO(path, "r") as io:
            assert io.read().lab == lab
    (session / "metadata.yaml").write_text("Subjects: {}\n")
    with pytest.raises(MetadataError, match="did you mean Subject"):
        script.session_to_nwb(session, tmp_path / "out", timezone="UTC")


def test_stub_and_overwrite(script: ModuleType, tmp_path: Path) -> None:
    write_scanimage_recording(tmp_path / "session", n_volumes=130, shape=(4, 4))
    (path,) = script.session_to_nwb(tmp_path / "session", tmp_path / "out", stub_test=True, timezone="UTC")
    assert shapes(path) == {"TwoPhotonSeries": (100, 4, 4)}
    with pytest.raises(FileExistsError, match="is there already"):
        script.session_to_nwb(tmp_path / "session", tmp_path / "out", timezone="UTC", overwrite=False)
    (path,) = script.session_to_nwb(tmp_path / "session", tmp_path / "out", timezone="UTC")
    assert shapes(path) == {"TwoPhotonSeries": (130, 4, 4)}


def test_session_file_makes_one_file(script: ModuleType, tmp_path: Path) -> None:
    """What the session file says is written, under DANDI's name, on top of what --metadata says."""
    session = tmp_path / "session"
    for name in ("a_00001", "b_00001"):
        write_scanimage_recording(session, name=name, n_volumes=3)
    (session / "session.yaml").write_text(
        "timezone: UTC\nrecordings: [{name: a, files: a_00001.tif}, {name: b, files: b_00001.tif}]\n"
        'metadata: {NWBFile: {session_id: "7"}, Subject: {subject_id: m1}}\n'
    )
    (tmp_path / "lab.yaml").write_text('NWBFile: {lab: L, session_id: "8"}\n')
    result = run(session, tmp_path / "out", "--metadata", tmp_path / "lab.yaml", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    path = tmp_path / "out" / "sub-m1" / "sub-m1_ses-7_ophys.nwb"
    assert [one for one in (tmp_path / "out").rglob("*") if one.is_file()] == [path]
    assert set(shapes(path)) == {"TwoPhotonSeriesA", "TwoPhotonSeriesB"}
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        assert (nwbfile.lab, nwbfile.session_id) == ("L", "7")
    with pytest.raises(FileExistsError, match="is there already"):
        script.session_to_nwb(session, tmp_path / "out", overwrite=False)
    (session / "session.yaml").write_text("recording: {name: a, files: a_00001.tif}\n")
    result = run(session, tmp_path / "out", folder=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "session.yaml, line 1: recording is no key here; did you mean recordings?" in result.stderr


def test_all_sessions(tmp_path: Path) -> None:
    """The script of a lab: one bad session, exit status 1, and a second run that does what is left."""
    pytest.importorskip("distributed")
    for name in ("m1/day1", "m1/day2"):
        write_scanimage_recording(tmp_path / "root" / name, n_volumes=3)
    bad = tmp_path / "root" / "m1" / "day2" / "session.yaml"
    bad.write_text("recordings: {name: a, files: c.tif}\n")
    script = SCRIPT.with_name("convert_all_sessions.py")
    command = [sys.executable, str(script), "root", "out", "--workers", "1", "--timezone", "UTC"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "2 sessions: 1 converted, 0 up to date, 1 failed" in result.stdout
    assert "c.tif is not there" in (tmp_path / "out" / "ERROR_m1__day2.txt").read_text()
    bad.unlink()
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, "Traceback" in result.stderr) == (0, False)
    assert "2 sessions: 1 converted, 1 up to date, 0 failed" in result.stdout
    for name in ("day1", "day2"):
        assert shapes(tmp_path / "out" / f"{name}.nwb") == {"TwoPhotonSeries": (3, 12, 16)}
    with (tmp_path / "out" / "summary.csv").open() as file:
        assert {line["session"]: line["n_verified"] for line in csv.DictReader(file)} == {
            "m1__day1": "0",
            "m1__day2": "1",
        }


def test_sync_pulses_of_a_folder(script: ModuleType, tmp_path: Path) -> None:
    """Pulses fire once a volume; their clock is 5 s ahead and 30 ppm fast."""
    written = write_scanimage_recording(tmp_path / "session", n_planes=3, n_flyback=1, n_volumes=50, shape=(4, 4))
    starts = written.timestamps_s[(written.plane == 0)]
    np.savetxt(tmp_path / "pulses.csv", 5 + starts * (1 + 30e-6), fmt="%.9f")
    options = ("--timezone", "UTC", "--sync", "pulses.csv", "--sync-fires-per", "volume")
    result = run("session", "out", *options, folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    with pynwb.NWBHDF5IO(tmp_path / "out" / "session_00001.nwb", "r") as io:
        nwbfile = io.read()
        native = written.timestamps_s[written.plane == 2]
        series = nwbfile.acquisition["TwoPhotonSeries"]
        assert series.get_timestamps() == pytest.approx(5 + native * (1 + 30e-6), abs=2e-6)
        assert nwbfile.processing["ophys"]["PulseAlignment"]["fires_per"].data[:].tolist() == ["volume"]
    result = run("session", "out", "--timezone", "UTC", "--sync", "pulses.csv", folder=tmp_path)
    assert result.returncode == 1
    assert "fires_per" in result.stderr
    (tmp_path / "session" / "session.yaml").write_text("recordings: {name: a, files: session_00001.tif}\n")
    with pytest.raises(MetadataError, match="name the pulses there"):
        script.session_to_nwb(tmp_path / "session", tmp_path / "out", sync_path=tmp_path / "pulses.csv")


def test_file_left_out_is_named(script: ModuleType, tmp_path: Path) -> None:
    write_scanimage_recording(tmp_path / "session", n_volumes=3)
    (tmp_path / "session" / "broken.tif").write_text("hello")
    with pytest.warns(ScanImageNwbWarning, match=r"broken\.tif is left out: .*is no TIFF"):
        (path,) = script.session_to_nwb(tmp_path / "session", tmp_path / "out", timezone="UTC")
    assert path.name == "session_00001.nwb"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["nowhere", "out"], 1, "nowhere is no folder; expected one that holds ScanImage TIFF or .siff files"),
        (["empty", "out"], 1, "holds no ScanImage recording"),
        (["empty"], 2, "name both DATA_DIR and OUTPUT_DIR, or neither for the demo"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: list[str], status: int, words: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(*arguments, folder=tmp_path)
    assert result.returncode == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert status == 2 or len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_demo_of_sync_pulses(tmp_path: Path) -> None:
    """Two interfaces, put on one clock by the converter."""
    script = SCRIPT.with_name("align_to_sync_pulses.py")
    result = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "(3 lost, 0 displaced)" in result.stdout
    with pynwb.NWBHDF5IO(tmp_path / "scanimage-nwb-demo-sync" / "session.nwb", "r") as io:
        nwbfile = io.read()
        report = nwbfile.processing["ophys"]["PulseAlignment"].to_dataframe()
        assert list(report["lost_events"][0]) == [20, 21, 90]
        (series,) = nwbfile.acquisition.values()
        native = nwbfile.processing["ophys"][f"{series.name}NativeTimes"].data[:]
        assert series.get_timestamps() == pytest.approx(7 + native * (1 + 40e-6), abs=1e-6)
        assert len(nwbfile.events["FrameClock"]) > 100
