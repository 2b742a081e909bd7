"""Checks in one list, and the folder for DANDI; the client is run, without network, where it is installed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from nwbinspector import available_checks

from scanimage_nwb.archive import Finding, Severity, dandi_name, inspect_file, prepare_dandiset, validate_files
from scanimage_nwb.archive.advice import _ADVICE, advice_for
from scanimage_nwb.archive.validating import find_nwb_files
from scanimage_nwb.cli import main
from scanimage_nwb.errors import MetadataError, MissingPackageError
from scanimage_nwb.nwb import convert_recording
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

# nwbinspector leaves the file for the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
needs_dandi = pytest.mark.skipif(find_spec("dandi") is None, reason="the dandi client is not installed")

METADATA: dict[str, Any] = {
    "NWBFile": {
        "session_id": "1",
        "experimenter": ["Doe, Jane"],
        "institution": "Example University",
        "experiment_description": "Rest.",
        "keywords": ["two-photon"],
    },
    "Subject": {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P90D", "description": "Adult."},
    "Ophys": {"ImagingPlanes": {"*": {"location": "Primary visual area", "indicator": "GCaMP8m"}}},
}
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write files of one small recording."""
    folder = tmp_path_factory.mktemp("source")
    recording = write_scanimage_recording(folder, n_volumes=40)

    def write_one(path: Path, **sections: Any) -> Path:
        metadata = {name: fields for name, fields in (METADATA | sections).items() if fields}
        return convert_recording(recording.paths[:1], path, timezone="UTC", metadata=metadata)

    return write_one


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_advice_is_about_checks_that_exist() -> None:
    known = {check.__name__ for check in available_checks}
    assert {name for name in _ADVICE if name.startswith("check_")} <= known
    assert "nwbinspector.readthedocs.io" in advice_for("check_never_heard_of")


def test_whole_file_has_nothing_serious(write: Callable[..., Path], tmp_path: Path) -> None:
    found = inspect_file(write(tmp_path / "a.nwb"))
    assert [finding for finding in found if finding.severity > Severity.SUGGESTION] == []


def test_findings_of_a_file_without_subject(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", Subject={})
    first, *others = inspect_file(path)
    assert first == Finding(
        str(path),
        Severity.CRITICAL,
        "check_subject_exists",
        "Subject is missing.",
        "",
        advice_for("check_subject_exists"),
    )
    assert all(one.severity >= other.severity for one, other in zip([first, *others], others, strict=False))


def test_broken_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.nwb").write_text("no HDF5")
    (found,) = inspect_file(tmp_path / "bad.nwb")
    assert (found.severity, found.check) == (Severity.ERROR, "read")
    assert "\n" not in found.message
    assert "Traceback" not in found.message
    assert "damaged" in found.advice


def test_inspector_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nwbinspector", None)
    (tmp_path / "a.nwb").touch()
    with pytest.raises(MissingPackageError, match="pip install"):
        inspect_file(tmp_path / "a.nwb")


@pytest.mark.parametrize(("package", "command"), [("nwbinspector", "validate"), ("jinja2", "report")])
def test_commands_say_what_to_install(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = run(command, write(tmp_path / "a.nwb"))
    assert result.exit_code == 1
    assert package in result.output
    assert "pip install" in result.output
    assert len(result.output.splitlines()) == 1


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b/two.nwb", "one.nwb", ".hidden/three.nwb", "b/.four.nwb", "text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "z.nwb.zarr").mkdir()
    names = [path.relative_to(tmp_path).as_posix() for path in find_nwb_files(tmp_path)]
    assert names == ["b/two.nwb", "one.nwb", "z.nwb.zarr"]
    assert find_nwb_files(tmp_path / "z.nwb.zarr") == [tmp_path / "z.nwb.zarr"]
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no NWB file"):
        find_nwb_files(tmp_path / "none")


@needs_dandi
def test_client_and_inspector_speak_once(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", Subject={"subject_id": "m1", "species": "Mus musculus", "sex": "F"})
    found = validate_files(path, use_dandi=True)
    assert len([finding for finding in found if "check_subject_age" in finding.check]) == 1
    assert {finding.path for finding in found} == {str(path)}
    assert "NON_DANDI_FILENAME" not in str(found)


@needs_dandi
def test_client_sees_a_wrong_name(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "dandiset.yaml").write_text("identifier: DANDI:000123\nname: x\n")
    write(tmp_path / "sub-m1" / "wrong_name.nwb")
    (finding,) = [one for one in validate_files(tmp_path) if one.severity >= Severity.CRITICAL]
    assert (finding.check, finding.severity) == ("DANDI.NON_DANDI_FILENAME", Severity.CRITICAL)
    assert "scanimage-nwb dandi" in finding.advice


@needs_dandi
def test_prepared_folder_is_valid(write: Callable[..., Path], tmp_path: Path) -> None:
    out, ready = tmp_path / "out", tmp_path / "ready"
    write(out / "a.nwb")
    write(out / "b.nwb", NWBFile=METADATA["NWBFile"] | {"session_id": "2"})
    first = run("dandi", out, "-o", ready, "--dandiset-id", "000123")
    assert first.exit_code == 0, first.output
    assert f"cd {ready} && dandi upload" in first.output
    assert "register" not in first.output
    names = sorted(path.relative_to(ready).as_posix() for path in ready.rglob("*.nwb"))
    assert names == ["sub-m1/sub-m1_ses-1_ophys.nwb", "sub-m1/sub-m1_ses-2_ophys.nwb"]
    assert (ready / names[0]).samefile(out / "a.nwb")
    assert "identifier: DANDI:000123" in (ready / "dandiset.yaml").read_text()
    assert "critical" not in first.output.lower()
    command = [sys.executable, "-c", "from dandi.cli.command import main; main()", "validate", str(ready)]
    client = subprocess.run(command, env={**os.environ, "DANDI_NO_ET": "1"}, capture_output=True, check=False)
    assert client.returncode == 0, client.stdout


@needs_dandi
def test_output_of_a_batch_is_valid(tmp_path: Path) -> None:
    """As it is: the client finds no error in the folder, and the inspector nothing beyond suggestions."""
    pytest.importorskip("distributed")
    from scanimage_nwb.batch import BatchOptions, ClusterOptions, run_batch

    for name in ("a", "b"):
        folder = tmp_path / "root" / name
        write_scanimage_recording(folder, name="run_00001", n_volumes=60)
        write_siff_recording(folder, name="flim_00001", n_volumes=60)
        (folder / "session.yaml").write_text(
            "timezone: UTC\nrecordings: [{name: tiff, files: run_00001.tif}, {name: siff, files: flim_00001.siff}]\n"
            f"flim: {{photons: true}}\nmetadata:\n  NWBFile: {{session_id: {name}, institution: E, "
            'experimenter: ["Doe, Jane"], experiment_description: Rest., keywords: [two-photon]}\n'
            "  Subject: {subject_id: m1, species: Mus musculus, sex: F, age: P90D, description: Adult.}\n"
            '  Ophys: {ImagingPlanes: {"*": {location: Primary visual area, indicator: G, excitation_lambda: 920.0}}}\n'
        )
    out = tmp_path / "out"
    outcomes = run_batch(tmp_path / "root", out, options=BatchOptions(), cluster=ClusterOptions(workers=1))
    assert [one.status for one in outcomes] == ["converted", "converted"]
    (out / "dandiset.yaml").write_text("identifier: DANDI:000123\nname: x\n")
    command = [sys.executable, "-c", "from dandi.cli.command import main; main()", "validate", str(out)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "DANDI_NO_ET": "1"})
    assert (found.returncode, "No errors found" in found.stdout + found.stderr) == (0, True)
    for one in outcomes:
        assert {finding.severity for finding in inspect_file(out / one.output)} <= {Severity.SUGGESTION}


def test_one_session_in_two_files(write: Callable[..., Path], tmp_path: Path) -> None:
    write(tmp_path / "out" / "demo_00001.nwb")
    write(tmp_path / "out" / "flim_00001.nwb")
    prepared = prepare_dandiset(tmp_path / "out", tmp_path / "ready", copy=True)
    assert [place.name for _, place in prepared.files] == [
        "sub-m1_ses-1_desc-demo-00001_ophys.nwb",
        "sub-m1_ses-1_desc-flim-00001_ophys.nwb",
    ]
    assert prepared.dandiset_id is None
    for file, place in prepared.files:
        assert not file.samefile(place)
        assert file.read_bytes() == place.read_bytes()
    assert prepare_dandiset(tmp_path / "out", tmp_path / "ready", copy=True) == prepared


def test_files_that_cannot_be_told_apart(write: Callable[..., Path], tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / "out" / folder / "same.nwb")
    with pytest.raises(MetadataError, match="would both be called"):
        prepare_dandiset(tmp_path / "out", tmp_path / "ready")
    assert not (tmp_path / "ready").exists()


def test_another_file_under_the_name_is_kept(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb")
    place = tmp_path / "ready" / dandi_name(path)
    place.parent.mkdir(parents=True)
    place.write_text("another")
    with pytest.raises(FileExistsError, match="is not"):
        prepare_dandiset(path, tmp_path / "ready")
    assert place.read_text() == "another"


def test_folder_within_the_source(write: Callable[..., Path], tmp_path: Path) -> None:
    """A second run does not take up what the first one has put there."""
    write(tmp_path / "a.nwb")
    for _ in range(2):
        prepared = prepare_dandiset(tmp_path, tmp_path / "ready")
        assert [file.name for file, _ in prepared.files] == ["a.nwb"]


def test_numbers_of_dandisets(write: Callable[..., Path], tmp_path: Path) -> None:
    path, ready = write(tmp_path / "a.nwb"), tmp_path / "ready"
    for wrong in ("123", "DANDI:000123", "0001234", ""):
        with pytest.raises(MetadataError, match="six digits"):
            prepare_dandiset(path, ready, dandiset_id=wrong)
    assert prepare_dandiset(path, ready).dandiset_id is None
    assert prepare_dandiset(path, ready, dandiset_id="000123").dandiset_id == "000123"
    assert prepare_dandiset(path, ready).dandiset_id == "000123"
    with pytest.raises(MetadataError, match="says 000123, not 000124"):
        prepare_dandiset(path, ready, dandiset_id="000124")
    text = "# mine\nidentifier: 'DANDI:000200'\nname: Mine\n"
    (ready / "dandiset.yaml").write_text(text)
    assert prepare_dandiset(path, ready).dandiset_id == "000200"
    assert (ready / "dandiset.yaml").read_text() == text


def test_copies_where_links_cannot_be_made(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    path = write(tmp_path / "a.nwb")
    monkeypatch.setattr(os, "link", refuse)
    ((_, place),) = prepare_dandiset(path, tmp_path / "ready").files
    assert place.read_bytes() == path.read_bytes()
    assert not place.samefile(path)


def test_validate_prints_each_message_with_advice(write: Callable[..., Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.nwb", Subject={})
    result = run("validate", tmp_path)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    at = lines.index("  Subject is missing. [check_subject_exists]")
    assert lines[at + 1 : at + 3] == ["    in a.nwb, b.nwb", f"    → {advice_for('check_subject_exists')}"]
    assert next(line for line in lines if line[:1].isupper()).startswith("CRITICAL")


def test_validate_as_json(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", Subject={})
    result = run("validate", path, "--json")
    assert result.exit_code == 1
    found = [json.loads(line) for line in result.output.splitlines()]
    assert {"path": str(path), "severity": "CRITICAL", "check": "check_subject_exists"}.items() <= found[0].items()


def test_commands_say_what_is_wrong_in_one_line(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", Subject={})
    for arguments, said in (
        (("validate", tmp_path / "none.nwb"), "none.nwb is not there"),
        (("report", tmp_path / "none.nwb"), "none.nwb is not there"),
        (("dandi", path, "-o", tmp_path / "ready"), "has no subject_id"),
        (("dandi", tmp_path / "none", "-o", tmp_path / "ready"), "none is not there"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert said in result.output
        assert result.output.startswith("error: ")
        assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "ready").exists()


def test_not_ready_for_upload(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", Subject={"subject_id": "m1"})
    result = run("dandi", path, "-o", tmp_path / "ready")
    assert result.exit_code == 1
    assert "not ready" in result.output
    assert "dandi upload" not in result.output


def test_report_commands(write: Callable[..., Path], tmp_path: Path) -> None:
    recording = write_scanimage_recording(tmp_path, n_volumes=20)
    out = tmp_path / "a.nwb"
    result = run("convert", recording.paths[0], "-o", out, "--timezone", "UTC", "--verify", "--report")
    assert result.exit_code == 0, result.output
    assert "are equal to the source" in (tmp_path / "a.html").read_text(encoding="utf-8")
    result = run("report", out, "-o", tmp_path / "b.html")
    assert result.exit_code == 0, result.output
    assert "Not verified" in (tmp_path / "b.html").read_text(encoding="utf-8")


def test_report_of_a_session(tmp_path: Path) -> None:
    recording = write_scanimage_recording(tmp_path / "session", n_volumes=20)
    assert run("init", recording.paths[0].parent, "--timezone", "UTC").exit_code == 0
    out = tmp_path / "a.nwb"
    result = run("convert", recording.paths[0].parent, "-o", out, "--leave-blanks-out", "--verify", "--report")
    assert result.exit_code == 0, result.output
    assert "are equal to the source" in (tmp_path / "a.html").read_text(encoding="utf-8")
