"""`scanimage-nwb init`: what was found is written down, what nobody knows is left blank, and what is written works."""

import shutil
from pathlib import Path

import numpy as np
import pynwb
import pytest
import tifffile
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
    for words in ("broken.tif is left out", "regions of suite2p; ", "file: reg.h5", "30 frames"):
        assert words in text
    assert (session.file.rois, session.file.registration) == ([], [])  # one is empty, the other may be of either
    assert "notes.csv" not in text


def label_image(shape: tuple[int, int]) -> np.ndarray:
    labels = np.zeros(shape, np.uint16)
    labels[2:6, 3:7], labels[9:12, 1:6] = 1, 7
    return labels


def test_products_go_to_the_recording_that_they_fit(tmp_path: Path) -> None:
    """Two recordings of different frames: masks, shifts and pulses find theirs; a picture is no label image."""
    write_scanimage_recording(tmp_path, name="small_00001", n_volumes=30, shape=(16, 12))
    large = write_scanimage_recording(tmp_path, name="large_00001", n_planes=2, n_volumes=12, shape=(24, 20))
    tifffile.imwrite(tmp_path / "drawn.tif", label_image((24, 20)))
    tifffile.imwrite(tmp_path / "mean.tif", np.random.default_rng(0).integers(0, 999, (24, 20), dtype=np.uint16))
    np.save(tmp_path / "masks.npy", label_image((16, 12)) == 7)
    np.save(tmp_path / "masks_of_others.npy", label_image((17, 12)))
    (tmp_path / "cells.json").write_text(
        '{"rois": [{"polygon": [[18, 20], [19, 20], [19, 23], [18, 23]], "plane": 1}]}'
    )
    (tmp_path / "notes.json").write_text('{"rig": 2}')
    shifts = {page: (1, -2) for page in range(len(large.pages))}
    RegistrationInfo.from_shifts(shifts, shape=(24, 20)).save(tmp_path / "motion.h5")
    text = write_session_file(tmp_path, timezone="UTC").read_text()
    assert [(one.recording, one.file) for one in read_session_file(tmp_path, leave_blanks_out=True).file.rois] == [
        ("large_00001", "cells.json"),
        ("small_00001", "masks.npy"),
    ]
    document = PlacedYaml(text, tmp_path / "session.yaml")
    assert document.data["registration"] == [{"recording": "large_00001", "file": "motion.h5"}]
    assert "label image: 2 masks; another is taken for large_00001\n#     file: drawn.tif" in text
    assert "# mean.tif is left out: holds no header" in text
    assert "plane(s) of 17 x 12, and frames" in text
    assert "notes.json" not in text
    (tmp_path / "cells.json").unlink()
    path = write_session_file(tmp_path, timezone="UTC")
    # which plane a flat label image was drawn in is for people to say
    assert ("rois", 0, "plane") in PlacedYaml(path.read_text(), path).blanks
    with pytest.raises(SessionFileError, match=r"rois 1\.plane is still \?\?\?; replace it with plane that masks"):
        read_session_file(path)


def test_what_is_found_is_converted(data_dir: Path, tmp_path: Path) -> None:
    """A real folder of suite2p, and pulses, beside a recording of its size: init, and convert with no edit at all."""
    session = tmp_path / "session"
    written = write_scanimage_recording(session, n_planes=2, n_volumes=250, shape=(128, 128))
    shutil.copytree(data_dir / "suite2p", session / "suite2p", copy_function=shutil.copyfile)
    recording = open_recording(written.paths[0], warn=False)
    assert recording.timestamp_s is not None
    np.savetxt(session / "pulses.csv", 7 + np.unique(recording.timestamp_s), fmt="%.7f")
    result = CliRunner().invoke(main, ["init", str(session), "--timezone", "UTC"])
    for words in ("registration: suite2p, of tiff", "rois: suite2p, of tiff", "sync: pulses.csv, of tiff"):
        assert words in result.stdout
    result = CliRunner().invoke(main, ["convert", str(session), "-o", str(tmp_path / "a.nwb"), "--leave-blanks-out"])
    assert result.exit_code == 0, result.output
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        nwbfile = io.read()
        movie, ophys = nwbfile.acquisition["TwoPhotonSeries"], nwbfile.processing["ophys"]
        assert movie.get_timestamps()[0] == pytest.approx(7 + recording.timestamp_s[1], abs=1e-6)
        for plane, suffix in ((0, ""), (1, "Plane1")):
            series = ophys["Fluorescence"][f"RoiResponseSeries{suffix}"]
            np.testing.assert_array_equal(series.data[:], np.load(data_dir / "suite2p" / f"plane{plane}" / "F.npy").T)
            np.testing.assert_array_equal(series.get_timestamps(), movie.get_timestamps())
            table = ophys["ImageSegmentation"][f"PlaneSegmentation{suffix}"]
            assert table["image_mask"].data.shape[1:] == (128, 128)
            # suite2p's yoff and xoff are taken off a position: the shift of a frame is their negative
            ops = np.load(data_dir / "suite2p" / f"plane{plane}" / "ops.npy", allow_pickle=True).item()
            shifts = ophys[f"TwoPhotonSeriesMotionShiftsPlane{plane}"].data[:]
            np.testing.assert_array_equal(shifts, -np.stack([ops["xoff"], ops["yoff"]], axis=1))


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
    for _, number, *name in listed:
        assert lines[int(number.rstrip(":")) - 1].lstrip(" -").startswith(name[-1].rpartition(".")[2])
    result = CliRunner().invoke(main, ["convert", str(folder)])
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == len(listed)
    assert "hint: --leave-blanks-out" in result.stderr
    for _, number, *name in listed:
        assert f"session.yaml, line {number} {' '.join(name)} is still ???" in result.stderr
    result = CliRunner().invoke(main, ["convert", str(folder), "--plane", "1", "--leave-blanks-out"])
    assert "says what is converted; write it there, in place of the option --plane" in result.stderr


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
