"""`scanimage-nwb init`: what was found is written down, what nobody knows is left blank, and what is written works."""

from pathlib import Path

import numpy as np
import pynwb
import pytest
from click.testing import CliRunner

from scanimage_nwb import open_recording
from scanimage_nwb.cli import main
from scanimage_nwb.errors import SessionFileError
from scanimage_nwb.nwb.session import read_session_file, write_session_file
from scanimage_nwb.nwb.session.yaml_places import PlacedYaml
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session with pulses that fit, a table that is none, shifts and regions."""
    write_scanimage_recording(tmp_path, name="a_00001", n_channels=2, n_volumes=30)
    write_siff_recording(tmp_path, name="b: c", n_volumes=15)
    recording = open_recording(tmp_path / "a_00001.tif", warn=False)
    assert recording.timestamp_s is not None
    pulses = 7 + np.unique(recording.timestamp_s)
    text = "".join(f"{pulse:.6f},{rank % 2}\n" for rank, pulse in enumerate(pulses))
    (tmp_path / "daq.csv").write_text("frame clock,level\n" + text)
    (tmp_path / "notes.csv").write_text("what,when\nodour,5\n")
    (tmp_path / "suite2p" / "plane0").mkdir(parents=True)
    (tmp_path / "suite2p" / "plane0" / "stat.npy").write_bytes(b"")
    (tmp_path / "broken.tif").write_text("hello")
    RegistrationInfo.from_shifts({0: (0, 0)}, shape=(16, 12)).save(tmp_path / "reg.h5")
    return tmp_path


def test_what_was_found(folder: Path) -> None:
    text = write_session_file(folder, timezone="UTC").read_text()
    session = read_session_file(folder, leave_blanks_out=True)
    a, b = session.file.recordings
    assert (a.name, a.files, a.kind) == ("tiff", ["a_00001.tif"], "tiff")
    assert (b.name, b.files, b.kind) == ("siff", ["b: c.siff"], "siff")
    assert [(one.recording, one.photons) for one in session.file.flim] == [("siff", True)]
    (sync,) = session.file.sync
    assert (sync.recording, sync.file, sync.name, sync.fires_per) == ("tiff", "daq.csv", "frame clock", "frame")
    for words in ("broken.tif is left out", "suite2p: regions of suite2p", "file: reg.h5", "30 frames"):
        assert words in text
    assert "notes.csv" not in text


def test_blanks_are_asked_for_by_name_and_line(folder: Path) -> None:
    path = write_session_file(folder)
    lines = path.read_text().splitlines()
    with pytest.raises(SessionFileError) as caught:
        read_session_file(path)
    asked = {int(text.partition(", line ")[2].partition(":")[0]): text for text in caught.value.problems}
    assert sorted(asked) == [number for number, line in enumerate(lines, 1) if "???" in line.partition("#")[0]]
    for number, text in asked.items():
        key = lines[number - 1].partition(":")[0].strip()
        assert f"{key} is still ???; replace it with" in text
    names = {".".join(map(str, place)) for place in PlacedYaml(path.read_text(), path).blanks}
    planes = "metadata.Ophys.ImagingPlanes"
    assert {"timezone", "metadata.Subject.sex", f"{planes}.*.location", f"{planes}.siff_imaging.indicator"} <= names


def test_no_value_is_invented(folder: Path) -> None:
    """With all blanks left out, the file holds what the recordings say and nothing more."""
    (folder / "daq.csv").unlink()  # the .siff is a year older than the other recording
    write_session_file(folder, timezone="UTC")
    result = CliRunner().invoke(main, ["convert", str(folder), "-o", str(folder / "out.nwb"), "--leave-blanks-out"])
    assert result.exit_code == 0, result.output
    with pynwb.NWBHDF5IO(folder / "out.nwb", "r", load_namespaces=True) as io:
        nwbfile = io.read()
        assert nwbfile.subject is None
        assert (nwbfile.session_id, nwbfile.lab, nwbfile.experimenter, nwbfile.keywords) == (None,) * 4
        for plane in nwbfile.imaging_planes.values():
            assert (plane.location, plane.indicator) == ("unknown", "unknown")  # as NWB demands a word
            assert np.isnan(plane.excitation_lambda)
            assert all(np.isnan(channel.emission_lambda) for channel in plane.optical_channel)
    assert "???" not in (folder / "out.nwb").read_bytes().decode("latin-1")


def test_an_edited_file_stays(folder: Path) -> None:
    path = write_session_file(folder)
    write_session_file(folder, timezone="UTC")  # nobody has touched it
    path.write_text(path.read_text().replace("session_id: ???", "session_id: mine"))
    with pytest.raises(FileExistsError, match="with changes; keep them, or replace it with --overwrite"):
        write_session_file(folder)
    assert "session_id: mine" in path.read_text()
    write_session_file(folder, overwrite=True)
    assert "session_id: mine" not in path.read_text()


def test_what_is_known_is_not_asked_for(folder: Path) -> None:
    (folder / "metadata.yaml").write_text('Subject: {sex: F}\nOphys: {ImagingPlanes: {"*": {indicator: G}}}\n')
    known = {"NWBFile": {"lab": "A: B", "experimenter": ["Doe, Jane"]}, "Devices": {"scan_image_flim": {"name": "x"}}}
    path = write_session_file(folder, metadata=known)
    document = PlacedYaml(path.read_text(), path)
    blanks = {".".join(map(str, place[1:])) for place in document.blanks}
    assert "NWBFile.session_id" in blanks
    assert not any(name.endswith((".lab", ".experimenter", ".sex")) for name in blanks)
    assert document.data["metadata"]["NWBFile"] == known["NWBFile"]
    assert document.data["metadata"]["Devices"] == known["Devices"]
    assert "Ophys.ImagingPlanes.*.location" in blanks


def test_command_lists_the_blanks(folder: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(folder)])
    assert result.exit_code == 0, result.output
    lines = (folder / "session.yaml").read_text().splitlines()
    listed = [line.split() for line in result.stdout.splitlines() if line.startswith("  line")]
    assert len(listed) > 10
    for _, number, name in listed:
        assert lines[int(number.rstrip(":")) - 1].lstrip(" -").startswith(name.rpartition(".")[2])
    result = CliRunner().invoke(main, ["convert", str(folder)])
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == len(listed)
    result = CliRunner().invoke(main, ["convert", str(folder), "--plane", "1", "--leave-blanks-out"])
    assert "says what is converted; write it there, in place of the option plane" in result.stderr


def test_folder_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no ScanImage recording"):
        write_session_file(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_real_recordings(data_dir: Path, tmp_path: Path) -> None:
    for path in (data_dir / "scanimage").iterdir():
        (tmp_path / path.name).symlink_to(path)
    write_session_file(tmp_path, timezone="America/New_York")
    session = read_session_file(tmp_path, leave_blanks_out=True)
    assert sorted(len(entry.files) for entry in session.file.recordings) == [1, 10]
