"""Masks and traces beside the channels: what is written, read with plain pynwb, roiextractors and pynapple."""

import csv
import math
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from pynwb import read_nwb

from scanimage_nwb import ScanImageImagingExtractor, SiffReader
from scanimage_nwb.cli import main
from scanimage_nwb.errors import MetadataError, RoiError
from scanimage_nwb.nwb import RoiOptions, RoiTracesInterface, convert_recording, roi_conversion, write_traces
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.roi_traces import RoiSet, Segmentation, extract_photon_traces, extract_traces, read_segmentations
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SHAPE = (40, 50)


def labels(n_planes: int = 1) -> np.ndarray:
    """Return four masks, two in each of the outer planes."""
    image = np.zeros((n_planes, *SHAPE), np.uint16)
    image[0, 3:9, 4:12], image[0, 20:26, 30:37] = 2, 5
    image[-1, 30:35, 5:10], image[-1, 5:9, 40:46] = 7, 8
    return image if n_planes > 1 else image[0]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory):
    return write_scanimage_recording(
        tmp_path_factory.mktemp("rec"), channel_save=(1, 2), n_planes=3, n_flyback=1, n_volumes=12, shape=SHAPE
    )


@pytest.fixture(scope="module")
def planar(tmp_path_factory: pytest.TempPathFactory):
    return write_scanimage_recording(tmp_path_factory.mktemp("planar"), n_volumes=250, shape=(128, 128))


def test_masks_get_traces_of_all_channels(recording, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "masks.tif", labels(3), photometric="minisblack")
    options = RoiOptions(tmp_path / "masks.tif", dff_window_s=1.0)
    with pytest.warns(UserWarning, match="F0 is not above 0"):  # pixels are noise around 0
        out = convert_recording(recording.paths, tmp_path / "a.nwb", timezone="UTC", rois=options)
    rois = RoiSet.from_labels(labels(3))
    nwbfile = read_nwb(out)
    ophys = nwbfile.processing["ophys"]
    table = ophys["ImageSegmentation"]["PlaneSegmentation"]
    np.testing.assert_array_equal(table["image_mask"].data[:], rois.to_masks().max(axis=1).transpose(0, 2, 1))
    masks = np.zeros((4, 3, *SHAPE), bool)
    for rank in range(4):
        for x, y, z, weight in table["voxel_mask"][rank]:
            masks[rank, z, y, x] = weight
    np.testing.assert_array_equal(masks, rois.to_masks())
    assert table.id.data[:].tolist() == [2, 5, 7, 8]
    assert table["plane"].data[:].tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(table["ROICentroids"].data[:], rois.centroid[:, ::-1])
    assert table.imaging_plane.name == "ImagingPlaneChannel1"
    movie = nwbfile.acquisition["TwoPhotonSeriesChannel1"]
    found = ophys["Fluorescence"].roi_response_series
    for channel, suffix in (("Channel 1", ""), ("Channel 2", "Channel2")):
        extractor = ScanImageImagingExtractor(recording.paths[0], channel_name=channel)
        series = found[f"RoiResponseSeries{suffix}"]
        np.testing.assert_array_equal(series.data[:], extract_traces(extractor, rois).means)
        assert (series.rate, series.starting_time) == (movie.rate, movie.starting_time)
        assert series.rois.table is table
        assert series.rois.data[:].tolist() == [0, 1, 2, 3]
        assert np.isfinite(found[f"Neuropil{suffix}"].data[:]).all()
    assert ophys["DfOverF"]["RoiResponseSeries"].data.shape == (12, 4)
    images = ophys["SegmentationImages"].images
    volumes = ScanImageImagingExtractor(recording.paths[0], channel_name="Channel 1").get_series()
    np.testing.assert_allclose(images["mean_plane1"].data[:], volumes[..., 1].mean(axis=0).T)
    assert "correlation_plane2" in images
    nwbfile.read_io.close()


def test_stub_and_one_plane(recording, tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", labels())
    out = convert_recording(
        recording.paths,
        tmp_path / "a.nwb",
        timezone="UTC",
        plane_index=1,
        stub_test=True,
        channel_names=["Channel 2"],
        rois=RoiOptions(tmp_path / "masks.npy"),
    )
    extractor = ScanImageImagingExtractor(recording.paths[0], channel_name="Channel 2", plane_index=1)
    nwbfile = read_nwb(out)
    series = nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"]
    np.testing.assert_array_equal(series.data[:], extract_traces(extractor, RoiSet.from_labels(labels())).means)
    nwbfile.read_io.close()


def test_masks_of_one_plane_say_which(recording, tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", labels())
    with pytest.raises(RoiError, match=r"masks\.npy does not fit .*which plane.*--roi-plane"):
        convert_recording(recording.paths, tmp_path / "a.nwb", timezone="UTC", rois=RoiOptions(tmp_path / "masks.npy"))
    assert list(tmp_path.glob("*.nwb")) == []
    write_traces(recording.paths, tmp_path / "a.h5", RoiOptions(tmp_path / "masks.npy", plane=2))
    rois = RoiSet.from_labels(labels()).in_plane(2, 3)
    extractor = ScanImageImagingExtractor(recording.paths[0], channel_name="Channel 1")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["traces/raw"][:], extract_traces(extractor, rois).means)
        np.testing.assert_array_equal(file["rois/voxels"][:], rois.voxels)
        np.testing.assert_array_equal(file["time_s"][:], extractor.get_times())
    with pytest.raises(RoiError, match=r"is of plane 3; .* has 3"):
        write_traces(recording.paths, tmp_path / "b.h5", RoiOptions(tmp_path / "masks.npy", plane=3))


def test_registration_shifts_the_frames(recording, tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", labels(3))
    rng = np.random.default_rng(0)
    shifts = {page: tuple(rng.integers(-3, 4, 2).tolist()) for page in range(len(recording.pages))}
    info = RegistrationInfo.from_shifts(shifts, shape=SHAPE)
    write_traces(recording.paths, tmp_path / "a.h5", RoiOptions(tmp_path / "masks.npy"), registration=info)
    extractor = ScanImageImagingExtractor(recording.paths[0], channel_name="Channel 2")
    pages = np.stack([extractor.get_original_frame_indices(plane) for plane in range(3)], axis=1)
    moved = np.array([[np.roll(recording.pages[page], shifts[page], (0, 1)) for page in row] for row in pages.tolist()])
    expected = np.stack([moved[:, labels(3) == own].mean(axis=1) for own in (2, 5, 7, 8)], axis=1)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_allclose(file["traces/raw_channel2"][:], expected)  # no mask is within 3 pixels of an edge


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_suite2p_planes_lie_side_by_side(data_dir: Path, tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_planes=2, n_volumes=250, shape=(128, 128))
    out = convert_recording(written.paths, tmp_path / "a.nwb", timezone="UTC", rois=RoiOptions(data_dir / "suite2p"))
    nwbfile = read_nwb(out)
    ophys = nwbfile.processing["ophys"]
    for own, suffix in zip(read_segmentations(data_dir / "suite2p"), ("", "Plane1"), strict=True):
        table = ophys["ImageSegmentation"][f"PlaneSegmentation{suffix}"]
        np.testing.assert_array_equal(table["image_mask"].data[:], own.rois.to_masks()[:, 0].transpose(0, 2, 1))
        np.testing.assert_array_equal(table["Accepted"].data[:], own.rois.properties["accepted"])
        assert set(table["plane"].data[:].tolist()) == {own.plane}
        assert set(table["origin"].data[:].tolist()) == {f"suite2p: plane{own.plane}"}
        for name, kind in {
            f"RoiResponseSeries{suffix}": "raw",
            f"Neuropil{suffix}": "neuropil",
            f"Deconvolved{suffix}": "deconvolved",
            f"RoiResponseSeriesChannel2{suffix}": "raw_channel2",
        }.items():
            series = ophys["Fluorescence"][name]
            np.testing.assert_array_equal(series.data[:], own.traces[kind])
            assert series.rate == nwbfile.acquisition["TwoPhotonSeries"].rate
        np.testing.assert_array_equal(
            ophys["SegmentationImages"][f"mean{'_plane1' if suffix else ''}"].data[:], own.images["mean"][0].T
        )
    nwbfile.read_io.close()


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_segmentations_of_another_recording_are_refused(data_dir: Path, planar, recording, tmp_path: Path) -> None:
    for sources, rois, message in (
        (recording.paths, "suite2p", r"plane0 does not belong to .*128 x 128, and frames 1 plane\(s\) of 40 x 50"),
        (planar.paths, "suite2p", r"plane1 is of plane 1; .* has 1 plane"),
        (planar.paths, "caiman/caiman_analysis.hdf5", "its traces have 1000 samples, and the recording 250"),
    ):
        with pytest.raises(RoiError, match=message):
            convert_recording(sources, tmp_path / "a.nwb", timezone="UTC", rois=RoiOptions(data_dir / rois))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_a_last_volume_cut_short_costs_a_plane_its_last_sample(data_dir: Path, tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_planes=2, n_volumes=251, shape=(128, 128), drop_pages=(501,))
    shutil.copytree(data_dir / "suite2p", tmp_path / "suite2p")
    folder = tmp_path / "suite2p/plane0"
    ops = np.load(folder / "ops.npy", allow_pickle=True).item()
    np.save(folder / "ops.npy", {**ops, "nframes": 251}, allow_pickle=True)
    for name in ("F", "Fneu", "spks", "F_chan2", "Fneu_chan2"):
        trace = np.load(folder / f"{name}.npy")
        np.save(folder / f"{name}.npy", np.concatenate([trace, trace[:, :1]], axis=1))
    with pytest.warns(UserWarning, match=r"plane0: plane 0 has 251 samples, and .* 250 whole volumes and part of one"):
        out = convert_recording(
            written.paths, tmp_path / "a.nwb", timezone="UTC", rois=RoiOptions(tmp_path / "suite2p")
        )
    with h5py.File(out) as file:
        series = file["processing/ophys/Fluorescence/RoiResponseSeries/data"]
        np.testing.assert_array_equal(series[:], np.load(folder / "F.npy")[:, :250].T)
    (tmp_path / "whole").mkdir()
    whole = write_scanimage_recording(tmp_path / "whole", n_planes=2, n_volumes=250, shape=(128, 128))
    with pytest.raises(RoiError, match=r"251 samples, and the recording 250\. .* take traces anew"):
        convert_recording(whole.paths, tmp_path / "b.nwb", timezone="UTC", rois=RoiOptions(tmp_path / "suite2p"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", ["suite2p", "caiman/caiman_analysis.hdf5"])
def test_real_outputs_come_back_through_pynapple_and_roiextractors(
    data_dir: Path, planar, tmp_path: Path, source: str
) -> None:
    pynapple = pytest.importorskip("pynapple")
    from roiextractors import NwbSegmentationExtractor

    size = {"n_planes": 2, "n_volumes": 250} if source == "suite2p" else {"n_volumes": 1000}
    written = write_scanimage_recording(tmp_path, shape=(128, 128), **size)
    out = convert_recording(written.paths, tmp_path / "a.nwb", timezone="UTC", rois=RoiOptions(data_dir / source))
    planes = read_segmentations(data_dir / source)
    nwbfile = read_nwb(out)
    times = nwbfile.acquisition["TwoPhotonSeries"].get_timestamps()[:]
    nwbfile.read_io.close()
    loaded = pynapple.load_file(str(out))
    for own, suffix in zip(planes, ("", "Plane1"), strict=False):
        names = {"raw": f"RoiResponseSeries{suffix}", "deconvolved": f"Deconvolved{suffix}"}
        names |= {"neuropil": f"Neuropil{suffix}"} if "neuropil" in own.traces else {"denoised": f"Denoised{suffix}"}
        for kind, name in names.items():
            frame = loaded[name if name in loaded else f"Fluorescence/{name}"]  # DfOverF may have the same name
            np.testing.assert_array_equal(frame.values, own.traces[kind])
            np.testing.assert_allclose(frame.t, times, atol=1e-9)
    back = NwbSegmentationExtractor(str(out))
    masks = planes[0].rois.to_masks()[:, 0]
    np.testing.assert_array_equal(back.get_roi_image_masks(), masks.transpose(1, 2, 0))
    for kind in ("raw", "deconvolved", *(("dff", "denoised") if "dff" in planes[0].traces else ("neuropil",))):
        np.testing.assert_array_equal(back.get_traces(name=kind), planes[0].traces[kind])
    np.testing.assert_allclose(back.get_timestamps(), times, atol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_masks_of_volumes_are_read_by_roiextractors(recording, tmp_path: Path) -> None:
    from roiextractors import NwbSegmentationExtractor

    np.save(tmp_path / "masks.npy", labels(3))
    write_traces(
        recording.paths,
        tmp_path / "a.nwb",
        RoiOptions(tmp_path / "masks.npy"),
        channel_name="Channel 1",
        timezone="UTC",
    )
    back, rois = NwbSegmentationExtractor(str(tmp_path / "a.nwb")), RoiSet.from_labels(labels(3))
    assert back.get_roi_ids() == [2, 5, 7, 8]
    np.testing.assert_array_equal(back.get_roi_image_masks(), rois.to_masks().max(axis=1).transpose(1, 2, 0))
    expected = extract_traces(ScanImageImagingExtractor(recording.paths[0], channel_name="Channel 1"), rois).means
    np.testing.assert_array_equal(back.get_traces(name="raw"), expected)
    np.testing.assert_allclose(back.get_property("roi_centroids", [2, 5, 7, 8]), rois.centroid[:, 1:])


def test_what_cannot_be_written_is_refused_before_frames_are_read(
    recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_arguments: object, **_options: object) -> None:
        raise AssertionError("traces were taken")

    monkeypatch.setattr(roi_conversion, "extract_traces", never)
    np.save(tmp_path / "masks.npy", labels(3))
    rois = RoiOptions(tmp_path / "masks.npy")
    other = write_scanimage_recording(tmp_path, epoch=None, n_planes=3, n_volumes=2, shape=SHAPE)
    cases = [
        (other.paths, tmp_path / "a.nwb", rois, MetadataError, "does not say when it was recorded"),
        (recording.paths, tmp_path / "none/a.h5", rois, FileNotFoundError, "none is not there"),
        (recording.paths, tmp_path / "a.h5", replace(rois, dff_window_s=-1.0), RoiError, r"-1\.0 s"),
        (recording.paths, tmp_path / "a.h5", replace(rois, dff_window_s=math.nan), RoiError, "nan s"),
        (recording.paths, tmp_path / "a.csv", rois, ValueError, "can hold one channel"),
    ]
    for paths, output, options, error, message in cases:
        with pytest.raises(error, match=message):
            write_traces(paths, output, options)
    with pytest.raises(RoiError, match="window of dF/F is 0"):
        convert_recording(recording.paths, tmp_path / "b.nwb", timezone="UTC", rois=replace(rois, dff_window_s=0))


def test_photons_get_lifetimes(tmp_path: Path) -> None:
    pynapple = pytest.importorskip("pynapple")
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=2, n_volumes=8, shape=SHAPE)
    np.save(tmp_path / "masks.npy", labels(2))
    out = convert_recording([written.path], tmp_path / "a.nwb", rois=RoiOptions(tmp_path / "masks.npy"))
    rois = RoiSet.from_labels(labels(2))
    nwbfile = read_nwb(out)
    found = nwbfile.processing["ophys"]["Fluorescence"].roi_response_series
    reader = SiffReader(written.path)
    for color, suffix in ((0, ""), (1, "Channel2")):
        photons = extract_photon_traces(reader, rois, color_channel=color)
        np.testing.assert_array_equal(found[f"Lifetime{suffix}"].data[:], photons.lifetime_s)
        assert found[f"Lifetime{suffix}"].unit == "seconds"
        np.testing.assert_allclose(
            found[f"RoiResponseSeries{suffix}"].data[:] * rois.n_voxels, photons.counts, rtol=1e-12
        )
        assert found[f"RoiResponseSeries{suffix}"].unit == "photons"
    times = nwbfile.acquisition["TwoPhotonSeriesChannel1"].get_timestamps()[:]
    nwbfile.read_io.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = pynapple.load_file(str(out))["Lifetime"]
        np.testing.assert_allclose(frame.t, times)
        np.testing.assert_array_equal(frame.values, extract_photon_traces(reader, rois).lifetime_s)


def interface(**more: Any) -> RoiTracesInterface:
    """Return masks with weights and irregular identity."""
    masks = np.zeros((2, *SHAPE), "f4")
    masks[0, 2:5, 3:7], masks[1, 9, 8] = 0.5, 2
    rois = RoiSet.from_masks(masks, ids=["soma", "spine"])
    segmentation = Segmentation(rois, {"raw": np.arange(10.0).reshape(5, 2)}, plane=0, program="hand")
    return RoiTracesInterface.from_segmentation(segmentation, **more)


def test_times_that_were_set_are_written(tmp_path: Path) -> None:
    own = interface()
    with pytest.raises(MetadataError, match="sampling_frequency"):
        own.get_timestamps()
    times = np.array([0.5, 1.0, 2.5, 2.6, 9.0])
    own.set_aligned_timestamps(times)
    metadata = own.get_metadata()
    metadata["NWBFile"]["session_start_time"] = "2026-01-01T00:00:00+00:00"
    own.run_conversion(nwbfile_path=str(tmp_path / "a.nwb"), metadata=metadata)
    nwbfile = read_nwb(tmp_path / "a.nwb")
    series = nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"]
    np.testing.assert_array_equal(series.timestamps[:], times)
    assert nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]["roi_name"].data[:].tolist() == [
        "soma",
        "spine",
    ]
    nwbfile.read_io.close()


def test_irregular_times_are_those_of_the_movie() -> None:
    from pynwb.ophys import TwoPhotonSeries
    from pynwb.testing.mock.file import mock_NWBFile
    from pynwb.testing.mock.ophys import mock_ImagingPlane

    nwbfile = mock_NWBFile()
    movie = TwoPhotonSeries(
        name="TwoPhotonSeries",
        data=np.zeros((5, SHAPE[1], SHAPE[0])),
        unit="n.a.",
        imaging_plane=mock_ImagingPlane(nwbfile=nwbfile),
        timestamps=[0.0, 1.0, 3.0, 4.0, 9.0],
    )
    nwbfile.add_acquisition(movie)
    interface().add_to_nwbfile(nwbfile)
    assert nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"].fields["timestamps"] is movie
    with pytest.raises(MetadataError, match="already"):
        interface().add_to_nwbfile(nwbfile)
    interface(suffix="Plane1").add_to_nwbfile(nwbfile)
    with pytest.raises(MetadataError, match="no TwoPhotonSeries 'other'"):
        interface(suffix="Plane2").add_to_nwbfile(nwbfile, imaging_series="other")


@pytest.mark.parametrize("mask_type", ["pixel", "voxel"])
def test_lists_of_pixels(tmp_path: Path, mask_type: str) -> None:
    own = interface(sampling_frequency=5.0)
    metadata = own.get_metadata()
    metadata["NWBFile"]["session_start_time"] = "2026-01-01T00:00:00+00:00"
    own.run_conversion(nwbfile_path=str(tmp_path / "a.nwb"), metadata=metadata, mask_type=mask_type)
    nwbfile = read_nwb(tmp_path / "a.nwb")
    table = nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
    masks = np.zeros((2, *SHAPE))
    for rank in range(2):
        for x, y, *_plane, weight in table[f"{mask_type}_mask"][rank]:
            masks[rank, y, x] = weight
    np.testing.assert_array_equal(masks, own.segmentation.rois.to_masks()[:, 0])
    nwbfile.read_io.close()


def run(*words: object, status: int = 0) -> str:
    """Run the command, and return what it says."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result.output


def test_traces_from_the_shell(recording, tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", labels(3))
    path, masks = recording.paths[0], tmp_path / "masks.npy"
    message = run("traces", path, "--rois", masks, "-o", tmp_path / "a.csv", status=1)
    assert "Channel 1, Channel 2" in message
    run("traces", path, "--rois", masks, "-o", tmp_path / "a.csv", "--channel", "Channel 2")
    extractor = ScanImageImagingExtractor(path, channel_name="Channel 2")
    expected = extract_traces(extractor, RoiSet.from_labels(labels(3))).means
    with (tmp_path / "a.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["time_s", "roi_2", "roi_5", "roi_7", "roi_8"]
    np.testing.assert_array_equal(np.array(rows, float), np.column_stack([extractor.get_times(), expected]))
    assert "4 masks, 12 samples" in run(
        "traces", path, "--rois", masks, "-o", tmp_path / "a.nwb", "--channel", "Channel 2", "--timezone", "UTC"
    )
    nwbfile = read_nwb(tmp_path / "a.nwb")
    series = nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"]
    np.testing.assert_array_equal(series.data[:], expected)
    np.testing.assert_allclose(series.get_timestamps()[:], extractor.get_times())
    assert not nwbfile.acquisition
    nwbfile.read_io.close()
    assert "is there already" in run("traces", path, "--rois", masks, "-o", tmp_path / "a.nwb", status=1)
    assert ".csv, .h5 or .nwb" in run("traces", path, "--rois", masks, "-o", tmp_path / "a.txt", status=1)
    assert "none.tif is not there" in run("traces", path, "--rois", "none.tif", "-o", tmp_path / "b.h5", status=1)


def test_convert_with_masks_from_the_shell(recording, tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", labels(3))
    run(
        "convert", recording.paths[0], "-o", tmp_path / "a.nwb", "--timezone", "UTC", "--rois", tmp_path / "masks.npy",
        "--verify",
    )  # fmt: skip
    with h5py.File(tmp_path / "a.nwb") as file:
        assert file["processing/ophys/Fluorescence/RoiResponseSeries/data"].shape == (12, 4)
    (tmp_path / "bad.npy").write_bytes(b"x")
    message = run("convert", recording.paths[0], "-o", tmp_path / "b.nwb", "--rois", tmp_path / "bad.npy", status=1)
    assert "bad.npy is no .npy file" in message
    assert not (tmp_path / "b.nwb").exists()
