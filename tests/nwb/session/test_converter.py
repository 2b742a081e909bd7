"""A session in one file: names that do not collide, one clock, and no value that nobody gave."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest
import tifffile
from neuroconv import BaseDataInterface
from pynwb import TimeSeries

from scanimage_nwb import open_recording
from scanimage_nwb.errors import MetadataError, ScanImageNwbWarning, SessionFileError, TimeAxisError
from scanimage_nwb.nwb.session import SessionConverter
from scanimage_nwb.nwb.session.converting import convert_session
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.roi_traces import read_segmentations
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session of a TIFF recording, one of another name, and a .siff."""
    write_scanimage_recording(tmp_path, name="a_00001", n_channels=2, n_volumes=20, shape=(8, 10))
    write_scanimage_recording(tmp_path, name="b_00001", n_volumes=12, shape=(8, 10))
    write_siff_recording(tmp_path, name="c_00001", n_volumes=15)
    return tmp_path


def describe(folder: Path, text: str) -> Path:
    (folder / "session.yaml").write_text(text)
    return folder


_OPEN: list[pynwb.NWBHDF5IO] = []


@pytest.fixture(autouse=True)
def _close_files() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def read(path: Path) -> Any:
    """Return a file, which is closed after the test."""
    _OPEN.append(pynwb.NWBHDF5IO(path, "r", load_namespaces=True))
    return _OPEN[-1].read()


ALL = """\
timezone: Europe/Berlin
recordings:
  - {name: a, files: a_00001.tif}
  - {name: b, files: b_00001.tif}
  - {name: c, files: c_00001.siff}
flim: {histograms: field, bin_factor: 10}
"""


def test_recordings_of_both_kinds_in_one_file(folder: Path) -> None:
    made = convert_session(describe(folder, ALL), folder / "out", verify=True)
    assert made.path == folder / "out" / f"{folder.name}.nwb"
    names = [f"TwoPhotonSeries{word}" for word in ("AChannel1", "AChannel2", "B", "C")]
    assert sorted(check.series for check in made.checks) == ["PhotonEventSeriesC", *names]
    nwbfile = read(made.path)
    assert set(nwbfile.acquisition) == {"PhotonEventSeriesC", *names}
    assert set(nwbfile.imaging_planes) == {f"ImagingPlane{word}" for word in ("AChannel1", "AChannel2", "B", "C")}
    assert "PhotonHistogramSeriesFieldC" in nwbfile.processing["ophys"].data_interfaces
    expected = open_recording(folder / "b_00001.tif", warn=False).read_pages(np.arange(12))
    assert np.array_equal(nwbfile.acquisition["TwoPhotonSeriesB"].data[:].transpose(0, 2, 1), expected)


def test_recordings_lie_where_their_clocks_put_them(folder: Path) -> None:
    described = describe(folder, ALL)
    made = convert_session(described, folder / "out.nwb")
    nwbfile = read(made.path)
    berlin = timedelta(hours=2)
    for name, file in (("AChannel1", "a_00001.tif"), ("B", "b_00001.tif"), ("C", "c_00001.siff")):
        recording = open_recording(folder / file, warn=False)
        assert recording.epoch is not None
        assert recording.timestamp_s is not None
        epoch = recording.epoch if recording.epoch.tzinfo else (recording.epoch - berlin).replace(tzinfo=UTC)
        series = nwbfile.acquisition[f"TwoPhotonSeries{name}"]
        begun = nwbfile.session_start_time + timedelta(seconds=float(series.get_timestamps()[0]))
        pages = nwbfile.processing["ophys"][f"{series.name}OriginalFrameIndices"].data[:]
        wanted = epoch + timedelta(seconds=float(recording.timestamp_s[pages[0]]))
        assert abs((begun - wanted).total_seconds()) < 2e-6
    assert min(one.get_timestamps()[0] for one in nwbfile.acquisition.values()) < 1


def test_start_that_is_said(folder: Path) -> None:
    text = "timezone: UTC\nrecordings:\n  - {name: a, files: a_00001.tif}\n"
    text += "  - {name: b, files: b_00001.tif, start: 2025-04-24T20:00:00+00:00}\n"
    converter = SessionConverter(describe(folder, text + "metadata: {NWBFile: {session_start_time: 2025-04-01}}\n"))
    assert converter.get_metadata()["NWBFile"]["session_start_time"] == datetime(2025, 4, 1, tzinfo=UTC)
    b = converter.data_interface_objects["B_Imaging"]
    wanted = (datetime(2025, 4, 24, 20, tzinfo=UTC) - datetime(2025, 4, 1, tzinfo=UTC)).total_seconds()
    shift = b.get_timestamps() - b.get_original_timestamps()
    assert shift == pytest.approx(np.full(12, wanted))
    late = text + "metadata: {NWBFile: {session_start_time: 2025-04-25}}\n"
    with pytest.raises(SessionFileError, match=r"recording a began at .*before time 0"):
        SessionConverter(describe(folder, late)).get_metadata()


def test_pulses_become_the_clock_of_all(folder: Path) -> None:
    """a has pulses; b is placed on their clock by how long after a it began."""
    recording = open_recording(folder / "a_00001.tif", warn=False)
    assert recording.timestamp_s is not None
    native = np.unique(recording.timestamp_s)
    pulses = 100 + native * (1 + 50e-6)
    np.savetxt(folder / "pulses.csv", pulses, fmt="%.7f")
    text = (
        "timezone: UTC\nrecordings:\n  - {name: a, files: a_00001.tif}\n"
        "  - {name: b, files: b_00001.tif, start: 2025-04-24T20:00:00+00:00}\n"
        "sync: {recording: a, file: pulses.csv}\n"
    )
    converter = SessionConverter(describe(folder, text))
    metadata = converter.get_metadata()
    a, b = (converter.data_interface_objects[name] for name in ("A_Imaging_Channel_1", "B_Imaging"))
    assert a.get_timestamps() == pytest.approx(pulses, abs=1e-6)
    assert recording.epoch is not None
    zero = metadata["NWBFile"]["session_start_time"]
    # the recording's clock started when that of the pulses said 100
    assert abs((recording.epoch.replace(tzinfo=UTC) - zero).total_seconds() - 100) < 1e-3
    wanted = (datetime(2025, 4, 24, 20, tzinfo=UTC) - zero).total_seconds()
    assert b.get_timestamps() - b.get_original_timestamps() == pytest.approx(np.full(12, wanted))
    np.savetxt(folder / "pulses.csv", np.arange(5.0))
    with pytest.raises(TimeAxisError):
        SessionConverter(folder).get_metadata()


@pytest.mark.filterwarnings("ignore:.*frames are flagged")  # noise does not move
def test_registration_of_each_recording(folder: Path) -> None:
    text = "timezone: UTC\nrecordings:\n  - {name: b, files: b_00001.tif}\n  - {name: c, files: c_00001.siff}\n"
    text += "registration:\n" + "".join(
        f"  - {{recording: {name}, register: true, max_shift: 2, write_corrected: true}}\n" for name in "bc"
    )
    text += "flim: {motion_corrected: true}\n"
    made = convert_session(describe(folder, text), folder / "out.nwb", verify=True)
    items = read(made.path).processing["ophys"].data_interfaces
    for word in "BC":
        assert {f"MotionReferences{word}", f"MotionCorrection{word}", f"TwoPhotonSeries{word}MotionShifts"} <= set(
            items
        )


class Treadmill(BaseDataInterface):
    """What a lab adds."""

    def add_to_nwbfile(self, nwbfile: pynwb.NWBFile, metadata: Any, *, speed: float = 0.0) -> None:
        nwbfile.add_acquisition(TimeSeries(name="Treadmill", data=[speed] * 3, rate=1.0, unit="m/s"))


def test_interface_of_a_lab(folder: Path) -> None:
    converter = SessionConverter(describe(folder, "timezone: UTC\nrecordings: {name: b, files: b_00001.tif}\n"))
    converter.add_interface("Treadmill", Treadmill(), speed=2.0)
    with pytest.raises(ValueError, match="there is an interface 'Treadmill' already; known are Imaging, Treadmill"):
        converter.add_interface("Treadmill", Treadmill())
    converter.run_conversion(nwbfile_path=folder / "out.nwb")
    assert read(folder / "out.nwb").acquisition["Treadmill"].data[0] == 2
    options = {"Treadmill": {"speed": 3.0}}
    converter.run_conversion(nwbfile_path=folder / "more.nwb", conversion_options=options)
    assert read(folder / "more.nwb").acquisition["Treadmill"].data[0] == 3


def test_masks_of_two_recordings(folder: Path) -> None:
    """The first has the names that readers look for; motion is taken off where there is a registration."""
    labels = np.zeros((8, 10), np.uint16)
    labels[2:5, 3:6], labels[5:7, 1:3] = 4, 9
    tifffile.imwrite(folder / "masks.tif", labels)
    shifts = {page: (1, -1) for page in range(12)}
    RegistrationInfo.from_shifts(shifts, shape=(8, 10)).save(folder / "reg.h5")
    text = (
        "timezone: UTC\nrecordings:\n  - {name: b, files: b_00001.tif}\n  - {name: a, files: a_00001.tif}\n"
        "registration: {recording: b, file: reg.h5}\n"
        "rois:\n  - {recording: b, file: masks.tif}\n  - {recording: a, file: masks.tif, dff_window: 1}\n"
    )
    with pytest.warns(ScanImageNwbWarning, match="F0 is not above 0"):  # noise
        made = convert_session(describe(folder, text), folder / "out.nwb", verify=True)
    nwbfile = read(made.path)
    ophys = nwbfile.processing["ophys"]
    pages = open_recording(folder / "b_00001.tif", warn=False).read_pages(np.arange(12)).astype(float)
    moved = np.roll(pages, (1, -1), axis=(1, 2))
    found = ophys["Fluorescence"].roi_response_series
    np.testing.assert_allclose(found["RoiResponseSeries"].data[:, 0], moved[:, 2:5, 3:6].mean(axis=(1, 2)))
    pages = open_recording(folder / "a_00001.tif", warn=False).read_pages(np.arange(0, 40, 2)).astype(float)
    np.testing.assert_allclose(found["RoiResponseSeriesA"].data[:, 1], pages[:, 5:7, 1:3].mean(axis=(1, 2)))
    assert "RoiResponseSeriesChannel2A" in found
    tables = ophys["ImageSegmentation"].plane_segmentations
    assert {name: table.imaging_plane.name for name, table in tables.items()} == {
        "PlaneSegmentation": "ImagingPlaneB",
        "PlaneSegmentationA": "ImagingPlaneAChannel1",
    }
    assert list(ophys["DfOverF"].roi_response_series) == ["RoiResponseSeriesA"]
    series = nwbfile.acquisition["TwoPhotonSeriesAChannel1"]
    np.testing.assert_array_equal(found["RoiResponseSeriesA"].get_timestamps(), series.get_timestamps())


def test_masks_of_another_recording_are_refused_before_anything_is_written(folder: Path) -> None:
    np.save(folder / "masks.npy", np.ones((1, 8, 9), bool))
    text = "timezone: UTC\nrecordings: {name: b, files: b_00001.tif}\nrois: {file: masks.npy}\n"
    with pytest.raises(SessionFileError, match=r"session\.yaml: rois of b: .*masks\.npy does not fit .*8 x 9"):
        convert_session(describe(folder, text), folder / "out.nwb")
    assert not (folder / "out.nwb").exists()


def test_metadata_in_layers_and_nothing_invented(folder: Path) -> None:
    text = "timezone: UTC\nrecordings: {name: a, files: a_00001.tif, channels: [Channel 2]}\n"
    text += 'metadata:\n  NWBFile: {session_id: "1_2"}\n  Ophys: {ImagingPlanes: {"*": {location: V1}}}\n'
    (folder / "metadata.yaml").write_text(
        'Subject: {subject_id: m42, sex: F}\nOphys: {ImagingPlanes: {"*": {location: X, indicator: G}}}'
    )
    common = {"NWBFile": {"lab": "L", "session_id": "no"}, "Subject": {"sex": "M"}}
    made = convert_session(describe(folder, text), folder / "out", metadata=common)
    assert made.path == folder / "out" / "sub-m42" / "sub-m42_ses-1-2_ophys.nwb"
    nwbfile = read(made.path)
    assert (nwbfile.session_id, nwbfile.lab, nwbfile.institution) == ("1_2", "L", None)
    assert (nwbfile.subject.subject_id, nwbfile.subject.sex, nwbfile.subject.species) == ("m42", "F", None)
    (plane,) = nwbfile.imaging_planes.values()
    assert (plane.location, plane.indicator) == ("V1", "G")
    assert np.isnan(plane.excitation_lambda)
    assert list(nwbfile.acquisition) == ["TwoPhotonSeriesChannel2"]  # one recording: names as of convert


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{name: a, files: a_00001.tif, channels: [Channel 9]}", "Channel 9 is no channel of a_00001.tif; it has"),
        ("{name: a, files: a_00001.tif, kind: siff}", "has kind siff; its files are tiff"),
    ],
)
def test_what_the_files_contradict(folder: Path, entry: str, words: str) -> None:
    with pytest.raises(SessionFileError, match=words):
        SessionConverter(describe(folder, f"timezone: UTC\nrecordings: {entry}\n"))


def test_file_in_the_way_and_stub(folder: Path) -> None:
    describe(folder, ALL)
    first = convert_session(folder, folder / "out.nwb", stub_test=True)
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert_session(folder, first.path)
    (folder / "session.yaml").write_text(ALL.replace("Europe/Berlin", "Europe/Berlinn"))
    with pytest.raises(MetadataError, match="did you mean Europe/Berlin"):
        convert_session(folder, first.path, overwrite=True)
    assert set(read(first.path).acquisition)


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_photons_of_masks_of_several_planes(data_dir: Path, tmp_path: Path) -> None:
    """Masks that suite2p found plane by plane; their own traces have no lifetimes, so that these are written too."""
    siff = write_siff_recording(tmp_path, name="c", n_planes=2, n_volumes=250, shape=(128, 128), photons_per_page=200)
    shutil.copytree(data_dir / "suite2p", tmp_path / "suite2p")
    text = "timezone: UTC\nrecordings: {name: c, files: c.siff}\nrois: {file: suite2p}\n"
    flim = "flim: {photons: false, histograms: field, bin_factor: 37, lifetime: true, fit: 1}\n"
    ophys = read(convert_session(describe(tmp_path, text + flim), tmp_path / "out.nwb").path).processing["ophys"]
    with SiffReader(siff.path) as reader:
        for own, suffix in zip(read_segmentations(tmp_path / "suite2p"), ("", "Plane1"), strict=True):
            masks = own.rois.to_masks()[:, 0] > 0
            pages = np.flatnonzero(siff.plane == own.plane)
            table = ophys["ImageSegmentation"][f"PlaneSegmentation{suffix}"]
            decays = ophys[f"PhotonHistogramSeriesRoi{suffix}"]
            expected = reader.get_histogram(pages, masks, True, 37)
            np.testing.assert_array_equal(decays.data[:], np.moveaxis(expected, 0, 1))
            lifetimes, counts = reader.sum_masks_flim(masks, pages)
            written = ophys["FluorescenceLifetime"]
            np.testing.assert_allclose(written[f"RoiLifetime{suffix}"].data[:], lifetimes.T, rtol=1e-6)
            np.testing.assert_array_equal(written[f"RoiPhotonCount{suffix}"].data[:], counts.T)
            fits = ophys[f"LifetimeFitTableRoi{suffix}"]
            np.testing.assert_array_equal(fits["photon_count"].data[:], counts.sum(axis=1))
            assert decays.rois.table is fits["roi"].table is table
    assert len(ophys["LifetimeFitTable"]) == 2
    with pytest.raises(SessionFileError, match="fit"):
        SessionConverter(describe(tmp_path, text + flim.replace("fit: 1", "fit: 5")))


def corners(folder: Path) -> np.ndarray:
    """Write masks of two corners of a frame."""
    masks = np.zeros((2, 16, 12), bool)
    masks[0, :4, :4] = masks[1, -4:, -4:] = True
    np.save(folder / "corners.npy", masks)
    return masks


def test_photons_of_masks_are_named_after_their_recording_once(folder: Path) -> None:
    write_siff_recording(folder, name="d_00001", n_volumes=15)
    corners(folder)
    text = "timezone: UTC\nrecordings:\n  - {name: c, files: c_00001.siff}\n  - {name: d, files: d_00001.siff}\n"
    text += "rois:\n  - {recording: c, file: corners.npy}\n  - {recording: d, file: corners.npy}\n"
    flim = "{photons: false, histograms: field, bin_factor: 37, lifetime: true, offset_s: 1.0e-9"
    text += f"flim:\n  - {flim}, recording: c}}\n  - {flim}, recording: d}}\n"
    ophys = read(convert_session(describe(folder, text), folder / "out.nwb").path).processing["ophys"]
    for word, table in (("C", "PlaneSegmentation"), ("D", "PlaneSegmentationD")):
        assert ophys[f"PhotonHistogramSeriesRoi{word}"].rois.table.name == table
        assert ophys["FluorescenceLifetime"][f"RoiLifetime{word}"].rois.table.name == table


def test_lifetimes_of_masks_in_a_channel_whose_counts_are_not_written(folder: Path) -> None:
    siff = write_siff_recording(folder, name="d_00001", n_volumes=15, channel_save=(1, 2))
    masks = corners(folder)
    text = "timezone: UTC\nrecordings: {name: d, files: d_00001.siff, channels: [Channel 1]}\n"
    text += "rois: {file: corners.npy}\nflim: {channels: [Channel 1, Channel 2], photons: false, lifetime: true}\n"
    ophys = read(convert_session(describe(folder, text), folder / "out.nwb").path).processing["ophys"]
    written = ophys["FluorescenceLifetime"].roi_response_series
    assert set(written) == {"RoiLifetimeChannel2", "RoiPhotonCountChannel2"}  # masks alone have those of Channel 1
    with SiffReader(siff.path) as reader:
        expected, _ = reader.sum_masks_flim(masks, np.flatnonzero(siff.channel == 1))
    np.testing.assert_allclose(written["RoiLifetimeChannel2"].data[:], expected.T, rtol=1e-6)


def test_masks_that_are_set_go_before_those_of_the_session(folder: Path) -> None:
    """In a file that is made after another one, too."""
    masks = corners(folder)
    text = "timezone: UTC\nrecordings: {name: c, files: c_00001.siff}\nrois: {file: corners.npy}\n"
    converter = SessionConverter(describe(folder, text + "flim: {photons: false, histograms: field, fit: 1}\n"))
    assert len(converter.create_nwbfile().processing["ophys"]["LifetimeFitTableRoi"]) == 2
    converter.data_interface_objects["Flim"].masks = masks[:1]
    fits = converter.create_nwbfile().processing["ophys"]["LifetimeFitTableRoi"]
    assert fits["roi"].table.name == "PlaneSegmentationFlim"
    assert len(fits) == 1


def test_masks_are_not_unpacked_for_photons_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of many planes take more memory than there is, which nothing needs that is not made of regions."""
    monkeypatch.setattr("scanimage_nwb.nwb.flim_regions._LARGEST_MASKS_BYTES", 1)
    corners(folder)
    text = (
        "timezone: UTC\nrecordings: {name: c, files: c_00001.siff}\nrois: {file: corners.npy}\nflim: {phasor: true}\n"
    )
    nwbfile = read(convert_session(describe(folder, text), folder / "out.nwb").path)
    assert "PhotonEventSeries" in nwbfile.acquisition
    assert len(nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]) == 2
    with pytest.raises(MetadataError, match=r"2 masks of .* would take"):
        convert_session(describe(folder, text.replace("phasor: true", "fit: 1")), folder / "other.nwb")
