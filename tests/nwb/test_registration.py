"""Motion in NWB files: shifts by themselves, and with the corrected movie; and the command that finds it."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pynwb import read_nwb

from scanimage_nwb.cli import main
from scanimage_nwb.errors import MetadataError
from scanimage_nwb.nwb import RegistrationInterface, ScanImageConverter, convert_recording
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.siff_reader.registering import page_table
from scanimage_nwb.testing import write_scanimage_recording, write_siff_recording


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, ...]:
    return tuple(write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, n_flyback=1, n_volumes=6).paths)


@pytest.fixture
def info(paths: tuple[Path, ...]) -> RegistrationInfo:
    """Shifts that nobody would find, one for each frame."""
    pages = page_table(SiffReader(paths[0]).recording)
    shifts = {int(page): (rank % 5 - 2, rank % 3) for rank, page in enumerate(pages[:, :, 0].ravel())}
    return RegistrationInfo.from_shifts(shifts, shape=(16, 12), reference_frames=np.ones((2, 16, 12))).placed(pages)


def test_shifts_and_corrected_movie(paths: tuple[Path, ...], info: RegistrationInfo, tmp_path: Path) -> None:
    out = tmp_path / "a.nwb"
    convert_recording(paths[:1], out, timezone="UTC", registration=info, write_corrected=True)
    nwbfile = read_nwb(out)
    module, table = nwbfile.processing["ophys"], info.shift_table()
    for channel in (1, 2):
        name = f"TwoPhotonSeriesChannel{channel}"
        original = nwbfile.acquisition[name]
        for plane in range(2):
            shifts = module[f"{name}MotionShiftsPlane{plane}"]
            np.testing.assert_array_equal(shifts.data[:], table[:, plane])
            assert (shifts.unit, shifts.data.shape) == ("pixels", (6, 2))
            assert "dy" in shifts.description
            assert module[f"{name}MotionQualityPlane{plane}"].data.shape == (6, 4)
        stack = module["MotionCorrection"][f"{name}Corrected"]
        assert stack.original is original
        for sample, plane in np.ndindex(6, 2):
            page = original.data[sample, :, :, plane].T
            expected = np.roll(page, tuple(table[sample, plane].astype(int)), (0, 1))
            np.testing.assert_array_equal(stack.corrected.data[sample, :, :, plane].T, expected)
        np.testing.assert_array_equal(stack.xy_translation.data[:], table.mean(axis=1)[:, ::-1])
    assert set(module["MotionReferences"].images) == {"reference_plane0", "reference_plane1"}


def test_one_plane(paths: tuple[Path, ...], info: RegistrationInfo, tmp_path: Path) -> None:
    convert_recording(paths[:1], tmp_path / "a.nwb", timezone="UTC", registration=info, plane_index=1)
    module = read_nwb(tmp_path / "a.nwb").processing["ophys"]
    [name] = [name for name in module.data_interfaces if "Channel1" in name and "MotionShifts" in name]
    np.testing.assert_array_equal(module[name].data[:], info.shift_table()[:, 1])


def test_a_stub_has_the_shifts_of_its_samples(paths: tuple[Path, ...], info: RegistrationInfo) -> None:
    converter = ScanImageConverter(paths[0], timezone="UTC")
    nwbfile = converter.create_nwbfile(
        conversion_options={name: {"stub_test": True, "stub_samples": 2} for name in converter.data_interface_objects}
    )
    RegistrationInterface.from_info(info).add_to_nwbfile(nwbfile, series_names=["TwoPhotonSeriesChannel2"])
    shifts = nwbfile.processing["ophys"]["TwoPhotonSeriesChannel2MotionShiftsPlane0"]
    np.testing.assert_array_equal(shifts.data, info.shift_table()[:2, 0])


def test_shifts_of_other_frames_are_refused(paths: tuple[Path, ...]) -> None:
    nwbfile = ScanImageConverter(paths[0], timezone="UTC").create_nwbfile()
    few = RegistrationInfo.from_shifts({0: (0, 0)}, shape=(16, 12))
    with pytest.raises(MetadataError, match="no shift for sample"):
        RegistrationInterface.from_info(few).add_to_nwbfile(nwbfile)
    with pytest.raises(MetadataError, match="series Nothing is not in the file"):
        RegistrationInterface.from_info(few).add_to_nwbfile(nwbfile, series_names=["Nothing"])


def test_commands(paths: tuple[Path, ...], tmp_path: Path) -> None:
    registered, picture = tmp_path / "reg.h5", tmp_path / "reg.png"
    result = run("register", paths[0], "-o", registered, "--picture", picture)
    assert result.exit_code == 0, result.output
    assert "12 frames" in result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = run("register", paths[0], "-o", registered)
    assert again.exit_code == 1
    assert "is there already" in again.output
    info = RegistrationInfo.load(registered)
    assert (info.parameters["smoothness"], info.parameters["share_planes"]) == (None, None)
    out = tmp_path / "a.nwb"
    assert run("convert", paths[0], "-o", out, "--registration", registered, "--timezone", "UTC").exit_code == 0
    module = read_nwb(out).processing["ophys"]
    expected = RegistrationInfo.load(registered).shift_table()[:, 0]
    np.testing.assert_array_equal(module["TwoPhotonSeriesChannel1MotionShiftsPlane0"].data[:], expected)


def test_what_is_known_of_the_motion_is_told(paths: tuple[Path, ...], tmp_path: Path) -> None:
    registered, out = tmp_path / "reg.h5", tmp_path / "a.nwb"
    assert run("register", paths[0], "-o", registered, "--smoothness", "inf", "--own-planes").exit_code == 0
    info = RegistrationInfo.load(registered)
    assert (info.parameters["smoothness"], info.parameters["share_planes"]) == (np.inf, False)
    assert info.parameters["found"]["step_px"] is None
    options = ("--register", "--smoothness", "0", "--share-planes", "--timezone", "UTC")
    result = run("convert", paths[0], "-o", out, *options)
    assert result.exit_code == 0, result.output
    shifts = read_nwb(out).processing["ophys"]["TwoPhotonSeriesChannel1MotionShiftsPlane0"].data[:]
    assert len(np.unique(shifts, axis=0)) == 1  # no step: nothing moves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--write-corrected",), "needs --registration"),
        (("--register", "--registration", "a.h5"), "exclude each other"),
        (("--smoothness", "0.5"), "--smoothness says how motion is found; it needs --register"),
        (("--own-planes", "--registration", "a.h5"), "--share-planes says how motion is found"),
        (("--register", "--smoothness", "-1"), "smoothness is -1.0"),
    ],
)
def test_options_that_do_not_go_together(
    paths: tuple[Path, ...], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = run("convert", paths[0], "-o", tmp_path / "a.nwb", "--timezone", "UTC", *options)
    assert result.exit_code == 1
    assert message in result.output


def test_photon_counts_are_corrected_too(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_planes=2, n_flyback=1, n_volumes=4).path
    reader = SiffReader(siff)
    pages = page_table(reader.recording)
    shifts = {int(page): (-3, rank) for rank, page in enumerate(pages.ravel())}
    info = RegistrationInfo.from_shifts(shifts, shape=(16, 12)).placed(pages)
    out = tmp_path / "a.nwb"
    convert_recording([siff], out, timezone="UTC", registration=info, write_corrected=True)
    [stack] = read_nwb(out).processing["ophys"]["MotionCorrection"].corrected_image_stacks.values()
    corrected = stack.corrected.data[:].transpose(0, 3, 2, 1)
    for (volume, plane), page in np.ndenumerate(pages[:, :, 0]):
        expected = np.roll(reader.get_frames([page], {})[0], shifts[page], (0, 1))
        np.testing.assert_array_equal(corrected[volume, plane], expected)
