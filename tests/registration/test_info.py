"""Shifts are kept, read from other programs, and never run as code."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from scanimage_nwb.errors import FormatError, FrameIndexError, ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.registration import RegistrationInfo, read_caiman, read_registration, read_suite2p, register


@pytest.fixture(scope="module")
def info() -> RegistrationInfo:
    rng = np.random.default_rng(0)
    bright = 20 * np.outer(np.hanning(32), np.hanning(24))
    return register(rng.poisson(bright, (6, 2, 32, 24)).astype(np.uint16)).with_source(
        {"file_name": "a.siff", "n_pages": 12}
    )


def test_what_is_saved_comes_back(info: RegistrationInfo, tmp_path: Path) -> None:
    info.save(tmp_path / "reg.h5")
    back = RegistrationInfo.load(tmp_path / "reg.h5")
    for name in ("pages", "shifts", "plane", "volume", "error_px", "match", "flag", "reference_frames"):
        np.testing.assert_array_equal(getattr(back, name), getattr(info, name))
        assert getattr(back, name).dtype == getattr(info, name).dtype
    assert (back.shape, back.method, back.source) == (info.shape, info.method, info.source)
    assert back.parameters == info.parameters
    assert [path.name for path in tmp_path.iterdir()] == ["reg.h5"]


def test_signed_and_unsigned() -> None:
    info = RegistrationInfo.from_shifts({4: (255, 127), 2: (-3, 5)}, shape=(256, 128))
    assert info.yx_shifts == {2: (-3, 5), 4: (-1, -1)}
    assert info.unsigned_yx_shifts == {2: (253, 5), 4: (255, 127)}


@pytest.mark.parametrize("shifts", [{0: (np.nan, 0)}, {-1: (0, 0)}, {0: (1, 2, 3)}])
def test_no_shifts(shifts: dict) -> None:
    with pytest.raises(ValueError, match="yx_shifts must map pages"):
        RegistrationInfo.from_shifts(shifts, shape=(8, 8))


def test_another_recording_is_refused(info: RegistrationInfo) -> None:
    info.check_source({"file_name": "b.siff", "n_pages": 12, "page_shape": [32, 24]})
    with pytest.raises(FrameIndexError, match=r"page 11; b\.siff has 11 pages"):
        info.check_source({"file_name": "b.siff", "n_pages": 11})
    with pytest.raises(ValueError, match=r"frames of \(32, 24\)"):
        info.check_source({"page_shape": [24, 32]})


def test_a_file_of_another_size_is_another_recording(info: RegistrationInfo) -> None:
    own = info.with_source({"file_name": "a.siff", "file_bytes": 1000, "n_pages": 12})
    own.check_source({"file_name": "renamed.siff", "file_bytes": 1000, "n_pages": 12})
    with pytest.warns(ScanImageNwbWarning, match=r"found in a\.siff of 1000 bytes; b\.siff has 1001"):
        own.check_source({"file_name": "b.siff", "file_bytes": 1001, "n_pages": 12})


def test_peer_file(tmp_path: Path) -> None:
    """As SiffPy's documentation says it writes them."""
    with h5py.File(tmp_path / "imaging_registration_info.h5", "w") as file:
        file.attrs.update(filename="imaging", registration_type="siffpy", registration_color=0)
        group = file.create_group("yx_shifts")
        group["frame_index"] = np.array([28, 0, 14])
        group["shift_values"] = np.array([[231, 0], [252, 126], [0, 3]])
        group["reference_frames"] = np.ones((1, 256, 128))
    info = RegistrationInfo.load(tmp_path / "imaging_registration_info.h5")
    assert info.yx_shifts == {0: (-4, -2), 14: (0, 3), 28: (-25, 0)}
    assert info.reference_frames.shape == (1, 256, 128)
    assert (info.method, info.parameters["filename"]) == ("SiffPy (siffpy)", "imaging")


def test_peer_file_without_size(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["yx_shifts/frame_index"], file["yx_shifts/shift_values"] = [0], [[255, 0]]
    with pytest.raises(FormatError, match="no reference_frames"):
        read_registration(tmp_path / "a.h5")


def test_suite2p(data_dir: Path) -> None:
    folder = data_dir / "suite2p"
    info = read_suite2p(folder)
    assert len(info.pages) == 2 * 250 if (folder / "plane1").is_dir() else 250
    assert info.shape == (128, 128)
    assert info.reference_frames.shape == (2, 128, 128)
    raw = np.load(folder / "plane1" / "ops.npy", allow_pickle=True).item()
    own = info.plane == 1
    np.testing.assert_array_equal(info.shifts[own], -np.stack([raw["yoff"], raw["xoff"]], axis=1))
    assert info.pages[own][3].tolist() == [(3 * 2 + 1) * 2, (3 * 2 + 1) * 2 + 1]


def write_ops(path: Path, ops: object) -> Path:
    holder = np.empty((), object)
    holder[()] = ops
    np.save(path, holder, allow_pickle=True)
    return path


def test_suite2p_shifts_are_the_negative_of_its_offsets(tmp_path: Path) -> None:
    ops = {"yoff": np.array([0, 3, -2]), "xoff": np.array([0, -1, 5]), "Ly": 32, "Lx": 32, "nplanes": 1, "nchannels": 1}
    info = read_registration(write_ops(tmp_path / "ops.npy", ops))
    assert info.yx_shifts == {0: (0, 0), 1: (-3, 1), 2: (2, -5)}


def test_suite2p_shifts_align_frames(tmp_path: Path) -> None:
    """suite2p 1.1 was run on a scene moved by (3, -5): yoff rose by 3, xoff fell by 5, and its registered frames are
    ``np.roll(frame, (-yoff, -xoff))`` (test_by_suite2p.py repeats that where suite2p is installed)."""
    scene = np.random.default_rng(0).random((32, 32))
    moved = np.roll(scene, (3, -5), (0, 1))
    ops = {"yoff": np.array([3]), "xoff": np.array([-5]), "Ly": 32, "Lx": 32, "nplanes": 1, "nchannels": 1}
    info = read_suite2p(write_ops(tmp_path / "ops.npy", ops))
    np.testing.assert_array_equal(np.roll(moved, info.yx_shifts[0], (0, 1)), scene)


def test_caiman_shifts_align_frames() -> None:
    """CaImAn's own tests have a frame whose content lies 2 rows below and 4 columns right of the template, and ask
    for shifts of (-2, -4): rows first, and what aligns the frame. They ask the same sign of shifts_rig, and its issue
    1579 says that shifts are ordered (Y, X), though names and plots say x, y."""
    image = np.random.default_rng(1).random((24, 28))
    template, frame = image[4:20, 4:24], image[2:18, 0:20]
    info = read_caiman([(-2.0, -4.0)], template.shape)
    aligned = np.roll(frame, info.yx_shifts[0], (0, 1))
    np.testing.assert_array_equal(aligned[:-2, :-4], template[:-2, :-4])


class Harmful:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm-was-done"),)


def test_pickles_that_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_ops(tmp_path / "ops.npy", {"yoff": Harmful(), "Ly": 3})
    with pytest.raises(FormatError, match="can run code and are refused"):
        read_suite2p(path)
    (tmp_path / "reg.pkl").write_bytes(pickle.dumps({"yx_shifts": {0: (0, 0)}}))
    with pytest.raises(FormatError, match="pickles are refused"):
        read_registration(tmp_path / "reg.pkl")
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize("kept", [5, 40, 200])
def test_ops_cut_short(tmp_path: Path, kept: int) -> None:
    path = write_ops(tmp_path / "ops.npy", {"yoff": np.zeros(3), "xoff": np.zeros(3), "Ly": 8, "Lx": 8})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FormatError):
        read_registration(path)


@pytest.mark.parametrize("ops", [{"Ly": 3}, {"yoff": [1], "xoff": [1]}, [1, 2]])
def test_ops_without_shifts(tmp_path: Path, ops: object) -> None:
    with pytest.raises(FormatError):
        read_suite2p(write_ops(tmp_path / "ops.npy", ops))


def test_caiman_file_without_shifts_says_so(data_dir: Path) -> None:
    with pytest.raises(FormatError, match="holds no shifts"):
        read_registration(data_dir / "caiman" / "caiman_analysis.hdf5")


def test_caiman_file_with_shifts(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["estimates/shifts"], file["dims"] = np.array([[0.0, 0.0], [1.4, -2.6]]), [64, 48]
    info = read_registration(tmp_path / "a.hdf5")
    assert info.yx_shifts == {0: (0, 0), 1: (1, -3)}
    assert info.shape == (64, 48)


@pytest.mark.parametrize("shifts", [[(0.0, 0.0, 0.0)], [(0.0, np.nan)], [1.0]])
def test_caiman_shifts_that_are_not_rigid(shifts: list) -> None:
    with pytest.raises(FormatError, match="one finite pair"):
        read_caiman(shifts, (8, 8))


def test_files_that_are_no_registration(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_registration(tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError, match=r"neither ops\.npy"):
        read_registration(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1]
    with pytest.raises(UnsupportedFormatError, match="HDF5 with data at its top"):
        read_registration(tmp_path / "other.h5")


def test_damaged_file(info: RegistrationInfo, tmp_path: Path) -> None:
    info.save(tmp_path / "reg.h5")
    with h5py.File(tmp_path / "reg.h5", "a") as file:
        del file["shifts"]
    with pytest.raises(FormatError, match="lacks shifts"):
        read_registration(tmp_path / "reg.h5")
