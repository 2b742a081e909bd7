"""Names in a dandiset: as the archive wants them, whatever the ids are."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynwb import NWBFile
from pynwb.file import Subject
from pynwb.testing.mock.file import mock_NWBFile
from pynwb.testing.mock.ophys import mock_ImagingPlane, mock_TwoPhotonSeries

from scanimage_nwb.archive import dandi_name
from scanimage_nwb.errors import FormatError, MetadataError
from scanimage_nwb.nwb.dandi_naming import dandi_label

LABEL = r"[^_*\\/<>:|\"'?%@;.\s]+"
"""What DANDI allows in a label (its file names, described in docs.dandiarchive.org)."""


def imaging_file(subject_id: str | None = "m42", session_id: str | None = "1") -> NWBFile:
    subject = Subject(subject_id=subject_id, species="Mus musculus")
    nwbfile = mock_NWBFile(subject=subject, session_id=session_id)
    nwbfile.add_acquisition(mock_TwoPhotonSeries(imaging_plane=mock_ImagingPlane(nwbfile=nwbfile)))
    return nwbfile


@given(st.text(min_size=1, max_size=12))
def test_labels_are_allowed(text: str) -> None:
    try:
        label = dandi_label("session_id", text)
    except MetadataError:
        assert not re.search("[0-9A-Za-z]", text)
    else:
        assert re.fullmatch(LABEL, label)
        assert re.sub("[^0-9A-Za-z]", "", label) == re.sub("[^0-9A-Za-z]", "", text)


@pytest.mark.parametrize(
    ("subject", "session", "expected"),
    [
        ("m42", "20250424-1", "sub-m42/sub-m42_ses-20250424-1_ophys.nwb"),
        ("m_42.b", "a/b", "sub-m-42-b/sub-m-42-b_ses-a-b_ophys.nwb"),
        ("m42", None, "sub-m42/sub-m42_ophys.nwb"),
    ],
)
def test_names(subject: str, session: str | None, expected: str) -> None:
    assert dandi_name(imaging_file(subject, session)) == expected


def test_names_are_what_the_client_takes() -> None:
    organize = pytest.importorskip("dandi.organize")
    name = dandi_name(imaging_file("mouse 1", "2025_04_24 (b)"), description="demo_00001")
    folder, file = name.split("/")
    assert file == "sub-mouse-1_ses-2025-04-24-b_desc-demo-00001_ophys.nwb"
    assert re.fullmatch(organize.ORGANIZED_FILENAME_REGEX, file)
    assert re.fullmatch(organize.ORGANIZED_FOLDER_REGEX, folder)
    assert not re.fullmatch(organize.ORGANIZED_FILENAME_REGEX, file.replace("ses-", "ses_"))


def test_several_kinds_of_data() -> None:
    from pynwb.testing.mock.behavior import mock_SpatialSeries

    nwbfile = imaging_file()
    nwbfile.add_acquisition(mock_SpatialSeries())
    assert dandi_name(nwbfile).endswith("_behavior+ophys.nwb")


def test_what_cannot_be_named(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="no subject_id"):
        dandi_name(mock_NWBFile())
    with pytest.raises(MetadataError, match="no subject_id"):
        dandi_name(imaging_file(subject_id=None))
    with pytest.raises(MetadataError, match=r"session_id is '__'"):
        dandi_name(imaging_file(session_id="__"))
    with pytest.raises(FileNotFoundError, match=r"none\.nwb"):
        dandi_name(tmp_path / "none.nwb")
    (tmp_path / "bad.nwb").write_text("no HDF5")
    with pytest.raises(FormatError, match=r"bad\.nwb"):
        dandi_name(tmp_path / "bad.nwb")
