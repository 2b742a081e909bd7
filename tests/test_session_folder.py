"""Which recordings a folder holds."""

from pathlib import Path

import pytest

from scanimage_nwb.session_folder import find_recordings, recording_name, recording_names, refuse_nothing
from scanimage_nwb.testing import write_legacy_recording, write_scanimage_recording, write_siff_recording


def test_recordings_of_a_session(tmp_path: Path) -> None:
    split = write_scanimage_recording(tmp_path, name="b_00001", n_volumes=6, pages_per_file=2)
    one = write_scanimage_recording(tmp_path, name="a [x] é_00002", epoch=(2025, 4, 24, 17, 0, 0.0))
    write_legacy_recording(tmp_path / "old.tif")
    (tmp_path / "empty.TIFF").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no TIFF")
    (tmp_path / "folder.tif").mkdir()
    recordings, left_out = find_recordings(tmp_path)
    assert recordings == [one.paths, split.paths]
    reasons = {path.name: reason for path, reason in left_out}
    assert set(reasons) == {"empty.TIFF", "old.tif"}
    assert "empty (0 bytes)" in reasons["empty.TIFF"]
    assert "ScanImage 4 or later" in reasons["old.tif"]
    assert [recording_name(files) for files in recordings] == ["a [x] é_00002", "b_00001"]


def test_photons_beside_pixels(tmp_path: Path) -> None:
    """Neither kind of file takes the other for its continuation, whatever they are called."""
    tiff = write_scanimage_recording(tmp_path, name="run_00001", n_volumes=4)
    siff = [write_siff_recording(tmp_path, name=f"run_0000{i}", n_volumes=3, seed=i) for i in (1, 2)]
    (tmp_path / "cut.siff").write_bytes(siff[0].path.read_bytes()[:3000])
    recordings, left_out = find_recordings(tmp_path)
    assert sorted(recordings) == sorted([tiff.paths, *((written.path,) for written in siff)])
    assert [path.name for path, _ in left_out] == ["cut.siff"]


def test_no_two_names_are_alike() -> None:
    files = ["m_00001.tif", "m_00001.siff", "M_00001.SIFF", "other.tif", "m_00001_siff.tif"]
    split = Path("m_00001_00001.tif"), Path("m_00001_00002.tif")
    names = recording_names([*[(Path(name),) for name in files], split])
    assert names == ["m_00001_tif", "m_00001_siff_2", "M_00001_siff_3", "other", "m_00001_siff", "m_00001_tif_2"]
    assert recording_names([(Path("a.tif"),), (Path("b.siff"),)]) == ["a", "b"]
    assert recording_names([]) == []


def test_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        find_recordings(tmp_path / "nowhere")
    (tmp_path / "file.tif").write_text("hello")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        find_recordings(tmp_path / "file.tif")


def test_empty_folder(tmp_path: Path) -> None:
    assert find_recordings(tmp_path) == ([], [])
    with pytest.raises(FileNotFoundError, match=r"holds no ScanImage recording; .* it has none"):
        refuse_nothing(tmp_path, [], [])


def test_folder_of_other_tiffs_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("hello")
    with pytest.raises(FileNotFoundError, match=r"it has 1; .*a\.tif is no TIFF"):
        refuse_nothing(tmp_path, *find_recordings(tmp_path))


def test_real_session(data_dir: Path) -> None:
    recordings, left_out = find_recordings(data_dir / "scanimage")
    assert [len(files) for files in recordings] == [1, 10]
    assert [recording_name(files) for files in recordings] == [
        "scanimage_20220923_noroi",
        "vol_one_ch_multi_files_00001",
    ]
    assert left_out == []
