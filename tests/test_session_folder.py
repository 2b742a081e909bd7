"""Which recordings a folder holds."""

from pathlib import Path

import pytest

from scanimage_nwb.session_folder import find_recordings, recording_name, refuse_nothing
from scanimage_nwb.testing import write_legacy_recording, write_scanimage_recording


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
