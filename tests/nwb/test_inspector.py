"""nwbinspector, as DANDI sets it, finds nothing serious once subject data are given."""

from pathlib import Path
from typing import Any

import pytest
from nwbinspector import Importance, inspect_nwbfile, load_config

from scanimage_nwb.nwb import convert_recording
from scanimage_nwb.testing import write_scanimage_recording

METADATA = {
    "Subject": {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P90D", "description": "Adult."},
    "Ophys": {"ImagingPlanes": {"*": {"location": "Primary visual area", "indicator": "GCaMP8m"}}},
}
SERIOUS = {Importance.ERROR, Importance.PYNWB_VALIDATION, Importance.CRITICAL, Importance.BEST_PRACTICE_VIOLATION}
RECORDINGS: dict[str, dict[str, Any]] = {
    "planar": {"n_volumes": 40},
    "volumes": {"channel_save": (1, 3), "n_planes": 3, "n_flyback": 1, "n_volumes": 40},
    "irregular": {"n_volumes": 40, "n_planes": 2, "frames_per_slice": 2},
}

# nwbinspector leaves the file for the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def serious(path: Path) -> list[str]:
    """Return what the inspector takes seriously."""
    found = list(inspect_nwbfile(nwbfile_path=path, config=load_config("dandi")))
    return [f"{m.importance.name} {m.check_function_name}: {m.message}" for m in found if m.importance in SERIOUS]


@pytest.mark.parametrize("name", RECORDINGS)
def test_synthetic(name: str, tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, shape=(16, 12), **RECORDINGS[name])
    out = convert_recording(written.paths[:1], tmp_path / "out.nwb", timezone="UTC", metadata=METADATA)
    assert serious(out) == []


def test_real_volumes(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif"
    out = convert_recording([path], tmp_path / "out.nwb", timezone="America/New_York", metadata=METADATA)
    assert serious(out) == []


def test_real_slow_stack(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "scanimage" / "scanimage_20220923_noroi.tif"
    out = convert_recording([path], tmp_path / "out.nwb", timezone="America/New_York", metadata=METADATA)
    # six samples of 256 columns: the inspector takes the longest axis for time
    assert {message.split(":")[0] for message in serious(out)} == {"BEST_PRACTICE_VIOLATION check_data_orientation"}


def test_inspector_would_say(tmp_path: Path) -> None:
    """Without subject data there is something to say: the test above can fail."""
    written = write_scanimage_recording(tmp_path, n_volumes=40)
    out = convert_recording(written.paths[:1], tmp_path / "out.nwb", timezone="UTC")
    assert any("subject" in message for message in serious(out))
