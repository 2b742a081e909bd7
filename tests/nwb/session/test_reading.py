"""A session file: everything wrong in it is said at once, with line, what is allowed, and the nearest key."""

import pickle
from pathlib import Path
from typing import Any

import neuroconv
import pytest
from hdmf.utils import get_docval
from neuroconv.utils import load_dict_from_file
from pynwb.device import Device
from pynwb.ophys import ImagingPlane, OpticalChannel, TwoPhotonSeries

from scanimage_nwb.errors import SessionFileError
from scanimage_nwb.nwb.session import metadata_schema as schema
from scanimage_nwb.nwb.session import read_session_file
from scanimage_nwb.nwb.session.schema import SessionFile

GOOD = """\
timezone: UTC
recordings:
  - name: run
    files: [a.tif]
  - name: flim
    files: b.siff
metadata:
  NWBFile:
    session_id: "1"
  Subject:
    subject_id: m42
    sex: F
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.tif", "b.siff", "reg.h5", "pulses.csv"):
        (tmp_path / name).write_text("")
    return tmp_path


def problems(folder: Path, text: str, **options: Any) -> list[str]:
    """Return what is wrong with a session file, without its path; nothing if it is good."""
    path = folder / "session.yaml"
    path.write_text(text)
    try:
        read_session_file(path, **options)
    except SessionFileError as error:
        found = error.problems
        text = str(error)
    else:
        return []
    assert all(line.startswith(str(path)) for line in found)
    assert text == "\n".join(found)
    return [line.removeprefix(f"{path}, ") for line in found]


def test_good_file(folder: Path) -> None:
    (folder / "session.yaml").write_text(GOOD + "sync: {recording: run, file: pulses.csv}\n")
    session = read_session_file(folder)
    assert [entry.files for entry in session.file.recordings] == [["a.tif"], ["b.siff"]]
    assert session.file.sync[0].fires_per == "frame"
    assert session.metadata_layers == ({"NWBFile": {"session_id": "1"}, "Subject": {"subject_id": "m42", "sex": "F"}},)
    assert session.path("a.tif") == folder / "a.tif"
    assert pickle.loads(pickle.dumps(session)) == session


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sex: F", "sex: Female", ["line 12: metadata.Subject.sex is 'Female'; expected M, F, U (unknown) or O"]),
        ("sex: F", "sx: F", ["line 12: metadata.Subject.sx is no key here; did you mean sex?"]),
        ("sex: F", "age: 90 days", ["line 12: metadata.Subject.age is '90 days'; expected ISO 8601, such as P90D"]),
        ("sex: F", "age: P", ["line 12: metadata.Subject.age is 'P'"]),
        ("sex: F", "species: mouse", ["line 12: metadata.Subject.species is 'mouse'; expected Latin name in two"]),
        ('"1"', "20250424", ["line 9: metadata.NWBFile.session_id is 20250424; expected", "put it in quotes"]),
        ("timezone: UTC", "timezone: UTC\ntimezone: UTC", ["line 2: timezone is there already, in line 1"]),
        ("timezone", "time_zone", ["line 1: time_zone is no key here; did you mean timezone?"]),
        ("name: run", "name: 1st run", ["line 3: recordings 1.name is '1st run'; expected letters, digits and _"]),
        ("name: flim", "name: RUN", ["line 5: RUN is the name of another recording too"]),
        ("[a.tif]", "[a.tiff]", ["line 4: a.tiff is not there; did you mean a.tif?"]),
        ("[a.tif]", "[a.tif]\n    kind: tif", ["line 5: recordings 1.kind is 'tif'; expected tiff or siff; did you"]),
        ("[a.tif]", "[a.tif]\n    plane: -1", ["line 5: recordings 1.plane is -1; expected a plane, from 0"]),
        ("recordings:", "recording:", ["line 1: recordings is missing; expected a list of recordings", "line 2: rec"]),
        ("metadata:", "sync: {file: pulses.csv}\nmetadata:", ["line 7: sync does not say of which recording; give"]),
        ("metadata:", "sync: {recording: rum, file: pulses.csv}\nmetadata:", ["line 7: sync.recording rum is no"]),
        ("metadata:", "flim: {recording: run}\nmetadata:", ["line 7: flim.recording run is no recording it can be"]),
        (
            "metadata:",
            "rois: {recording: run}\nmetadata:",
            ["line 7: rois 1.file is missing; expected masks: a suite2p"],
        ),
        (
            "metadata:",
            "rois: {file: reg.h5}\nmetadata:",
            ["line 7: rois does not say of which recording; give recording"],
        ),
        (
            "metadata:",
            "rois:\n  - recording: run\n    file: reg.h\n    dff_windw: 3\nmetadata:",
            ["line 10: rois 1.dff_windw is no key here; did you mean dff_window?"],
        ),
        (
            "metadata:",
            "rois:\n  - recording: run\n    file: reg.h\n    motion_corrected: true\nmetadata:",
            ["line 9: reg.h is not there; did you mean reg.h5?", "line 10: motion_corrected is true, but run has no"],
        ),
        (
            "metadata:",
            "rois:\n  - {recording: run, file: reg.h5, plane: -1}\n  - {recording: run, file: reg.h5}\nmetadata:",
            ["line 8: rois 1.plane is -1; expected plane that masks"],
        ),
        (
            "metadata:",
            "rois:\n  - {recording: run, file: reg.h5}\n  - {recording: run, file: reg.h5}\nmetadata:",
            ["line 9: rois has two entries for one recording; leave one"],
        ),
        ("metadata:", "flim: {motion_corrected: true}\nmetadata:", ["line 7: motion_corrected is true, but flim has"]),
        (
            "metadata:",
            "registration:\n  - {recording: run}\n  - {recording: run, file: reg.h5, register: true}\nmetadata:",
            ["line 8: registration needs either", "line 9: registration has two", "line 9: registration needs either"],
        ),
        ("sex: F", "sex: ???", ["line 12: metadata.Subject.sex is still ???; replace it with M, F, U (unknown)"]),
        ("name: run", "name: ???", ["line 3: recordings 1.name is still ???; replace it with letters, digits"]),
        (
            "metadata:",
            "metadata: [1]\nx:",
            ["line 7: metadata is a list; expected NWBFile", "line 8: x is no"],
        ),
        ("timezone: UTC", "timezone: [", ["this is no YAML"]),
        ("timezone: UTC", "day: 2025-02-31", ["a value cannot be read"]),
    ],
)
def test_what_is_wrong(folder: Path, old: str, new: str, expected: list[str]) -> None:
    assert problems(folder, GOOD) == []
    found = problems(folder, GOOD.replace(old, new))
    assert found
    for text in expected:
        assert any(text in line for line in found), found


def test_all_problems_at_once_in_the_order_of_lines(folder: Path) -> None:
    found = problems(folder, GOOD.replace("sex: F", "sex: ???\n    ag: 3").replace("  - name: flim", "  - nam: flim"))
    assert [line.partition(":")[0] for line in found] == ["line 5", "line 5", "line 12", "line 13"]


@pytest.mark.parametrize("text", ["", "- a\n", "a\n", "x: &a [*a]\n", "!!python/object:os.system {}\n", "\x00"])
def test_no_session_at_all(folder: Path, text: str) -> None:
    assert problems(folder, text)


def test_blanks_and_empty_fields_can_be_left_out(folder: Path) -> None:
    text = GOOD.replace("sex: F", "sex: ???\n    age:").replace('"1"', "???")
    assert len(problems(folder, text)) == 2
    assert problems(folder, text, leave_blanks_out=True) == []
    assert read_session_file(folder, leave_blanks_out=True).metadata_layers[-1]["Subject"] == {"subject_id": "m42"}
    # what cannot be left out is asked for all the same
    assert problems(folder, GOOD.replace("name: run", "name: ???"), leave_blanks_out=True) == [
        "line 3: recordings 1.name is missing; expected letters, digits and _, such as tiff or run1"
    ]


def test_metadata_beside_it_lies_below(folder: Path) -> None:
    (folder / "metadata.yaml").write_text("Subject: {sex: M, age: P9D}\n")
    (folder / "session.yaml").write_text(GOOD)
    assert [layer["Subject"] for layer in read_session_file(folder).metadata_layers] == [
        {"sex": "M", "age": "P9D"},
        {"subject_id": "m42", "sex": "F"},
    ]


def test_missing_file_names_the_command(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scanimage-nwb init"):
        read_session_file(folder)


def test_metadata_have_the_keys_that_nwb_has() -> None:
    """What a metadata file may say, a session file may say too."""
    base = load_dict_from_file(Path(neuroconv.__file__).parent / "schemas" / "base_metadata_schema.json")
    assert set(schema._NWBFile.model_fields) == set(base["properties"]["NWBFile"]["properties"])
    assert set(schema._Subject.model_fields) == set(base["properties"]["Subject"]["properties"])
    made_by_us = {"device", "imaging_plane", "data", "timestamps", "external_file", "starting_frame", "num_samples"}
    made_by_us |= {"manifold", "unit", "conversion", "model", "format", "dimension", "starting_time", "rate"}
    made_by_us |= {"control", "control_description"}
    for kind, fields in (
        (ImagingPlane, schema._ImagingPlane),
        (TwoPhotonSeries, schema._Series),
        (OpticalChannel, schema._OpticalChannel),
        (Device, schema._Device),
    ):
        names = {argument["name"] for argument in get_docval(vars(kind)["__init__"])}
        assert names - made_by_us <= set(fields.model_fields), kind


def test_every_field_says_what_is_allowed() -> None:
    def without(model: Any) -> list[str]:
        return [name for name, field in model.model_fields.items() if not field.description]

    models = [SessionFile, schema.Metadata, schema._NWBFile, schema._Subject, schema._ImagingPlane, schema._Series]
    assert [without(model) for model in models] == [[]] * len(models)
