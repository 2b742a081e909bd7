"""`scanimage-nwb to-tiff`: what it writes, and how it ends."""

from pathlib import Path

import numpy as np
import pytest
import roiextractors
import tifffile
from click.testing import CliRunner, Result

from scanimage_nwb.cli import main
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording


@pytest.fixture
def written(tmp_path: Path) -> SyntheticSiff:
    return write_siff_recording(tmp_path, n_planes=2, n_flyback=1, n_volumes=12)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["to-tiff", *map(str, arguments)])


def refused(result: Result, *words: str) -> None:
    """The command must end in one line that begins with "error:" and holds `words`."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_both_layouts(written: SyntheticSiff, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    result = run(written.path, "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)\n"
    series = roiextractors.ScanImageImagingExtractor(file_path=out).get_series()
    assert (series[..., 1] == written.counts[written.plane == 1]).all()
    refused(run(written.path, "-o", out, "--layout", "ome"), "out.tif is there already")
    assert run(written.path, "-o", out, "--layout", "ome", "--compress", "--overwrite").exit_code == 0
    assert (tifffile.imread(out).reshape(-1, 16, 12) == written.counts[written.plane >= 0]).all()


def test_motion_is_taken_out(written: SyntheticSiff, tmp_path: Path) -> None:
    shifts = {page: (page % 3, -(page % 5)) for page in range(36) if page % 3 < 2}
    RegistrationInfo.from_shifts(shifts, shape=(16, 12)).save(tmp_path / "motion.h5")
    assert run(written.path, "-o", tmp_path / "out.tif", "--registration", tmp_path / "motion.h5").exit_code == 0
    expected = [np.roll(written.counts[page], shifts.get(page, (0, 0)), (0, 1)) for page in range(36)]
    assert (tifffile.imread(tmp_path / "out.tif", key=slice(None)) == expected).all()


def test_exactly_the_files_named(tmp_path: Path) -> None:
    source = write_scanimage_recording(tmp_path, n_volumes=6, pages_per_file=2)
    assert run(*source.paths[:2], "-o", tmp_path / "out.tif").exit_code == 0
    assert (tifffile.imread(tmp_path / "out.tif", key=slice(None)) == source.pages[:4]).all()


def test_a_folder_that_holds_one_recording(written: SyntheticSiff, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run(tmp_path, "-o", tmp_path / "out" / "a.tif").exit_code == 0
    assert (tifffile.imread(tmp_path / "out" / "a.tif", key=slice(None)) == written.counts).all()


def test_what_is_refused(written: SyntheticSiff, tmp_path: Path) -> None:
    before = written.path.read_bytes()
    refused(run(written.path, "-o", written.path, "--overwrite"), "recording itself")
    assert written.path.read_bytes() == before
    refused(run(written.path, "-o", tmp_path / "a.tif", "--compress"), "not compressed")
    refused(run(tmp_path / "missing.siff", "-o", tmp_path / "a.tif"), "missing.siff is not there")
    bright = write_siff_recording(tmp_path, name="b", shape=(1, 2), photons_per_page=200_000, page_kinds=("raw",))
    refused(run(bright.path, "-o", tmp_path / "a.tif"), "--count-dtype uint32")
    assert not (tmp_path / "a.tif").exists()
    assert run(bright.path, "-o", tmp_path / "a.tif", "--count-dtype", "uint32").exit_code == 0
    assert tifffile.imread(tmp_path / "a.tif").dtype == np.uint32
