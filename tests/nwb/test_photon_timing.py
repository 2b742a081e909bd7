"""Delay bins and laser that the user gives in place of what a .siff says."""

from pathlib import Path

import pynwb
import pytest
from click.testing import CliRunner

from scanimage_nwb.cli import main
from scanimage_nwb.nwb.session import SessionConverter, read_session_file
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

GIVEN = ("--num-bins", "700", "--bin-width", "8e-11", "--laser-rate", "4e7")


def settings_of(path: Path) -> tuple[int, float, float, str]:
    """Return bins, their width and the laser's rate as a file holds them, and what its device says."""
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        settings = nwbfile.lab_meta_data["TCSPCSettings"]
        device = nwbfile.devices["ScanImage-FLIM"].description
        return int(settings.num_bins), settings.tcspc_resolution, settings.repetition_rate, device


def test_the_shell_takes_what_an_old_library_leaves_out(tmp_path: Path) -> None:
    """`convert --flim` asked for `num_bins`, which no option of the shell could give."""
    overrides = {"hScan2D.hAcq.Tau_bins": None}
    path, out = write_siff_recording(tmp_path, n_volumes=4, header_overrides=overrides).path, tmp_path / "out.nwb"
    command = ["convert", str(path), "-o", str(out), "--flim", "photons"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "give num_bins when opening the file (in the shell: --num-bins)" in result.output
    result = CliRunner().invoke(main, [*command, *GIVEN, "--verify"])
    assert result.exit_code == 0, result.output
    *numbers, device = settings_of(out)
    assert numbers == [700, 8e-11, 4e7]
    assert "700 bins of 80 ps." in device
    assert "Given by the user: num_bins, tcspc_resolution_s, repetition_rate_hz." in device


def test_a_session_file_gives_them_too(tmp_path: Path) -> None:
    write_siff_recording(tmp_path, name="a", n_volumes=4)
    (tmp_path / "session.yaml").write_text(
        "recordings: {name: a, files: a.siff, tcspc_resolution_s: 8.0e-11}\nflim: {photons: true}\n"
    )
    SessionConverter(read_session_file(tmp_path)).run_conversion(nwbfile_path=tmp_path / "out.nwb")
    assert settings_of(tmp_path / "out.nwb")[:3] == (629, 8e-11, 8e7)


@pytest.mark.parametrize("given", [("--num-bins", "0"), ("--bin-width", "20"), ("--laser-rate", "-1")])
def test_what_makes_no_sense_is_refused(tmp_path: Path, given: tuple[str, str]) -> None:
    path = write_siff_recording(tmp_path, n_volumes=2).path
    result = CliRunner().invoke(main, ["convert", str(path), "-o", str(tmp_path / "out.nwb"), *given])
    assert result.exit_code == 1
    assert f"is {given[1]}" in result.output or f"is {float(given[1])}" in result.output
    assert not (tmp_path / "out.nwb").exists()


def test_a_tiff_has_no_delay_bins(tmp_path: Path) -> None:
    path = write_scanimage_recording(tmp_path, n_volumes=2).paths[0]
    result = CliRunner().invoke(main, ["convert", str(path), "-o", str(tmp_path / "out.nwb"), "--num-bins", "9"])
    assert result.exit_code == 1
    assert "holds no arrival times" in result.output
