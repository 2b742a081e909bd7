"""Photons, histograms, lifetimes and phasors of .siff files in NWB: equal to the truth, and accepted by tools."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from neuroconv import ConverterPipe
from numpy.typing import NDArray
from nwbinspector import Importance, inspect_nwbfile, load_config
from pynwb import NWBHDF5IO, validate

from scanimage_nwb.errors import MetadataError, UnsupportedFormatError
from scanimage_nwb.nwb import (
    FlimInterface,
    SiffImagingInterface,
    flim_data,
    merge_metadata,
    verify_nwbfile,
    write_nwbfile,
)
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording

SUBJECT = {
    "Subject": {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P90D", "description": "Adult."}
}
PLANE = {"Ophys": {"ImagingPlanes": {"*": {"location": "Primary visual area", "indicator": "GCaMP8m"}}}}


def write(path: Path, source: Path, registration: dict | None = None, masks: Any = None, **options: Any) -> Path:
    """Write one channel with the interface."""
    chosen = {
        name: options.pop(name) for name in ("channel_name", "plane_index", "repetition_rate_hz") if name in options
    }
    interface = FlimInterface(source, **chosen)
    interface.reader.registration_dict, interface.masks = registration or {}, masks
    metadata = merge_metadata(interface.get_metadata(), {**SUBJECT, **PLANE})
    write_nwbfile(interface.create_nwbfile(metadata=metadata, **options), path, overwrite=True, progress=False)
    return path


@pytest.fixture(scope="module")
def two_colors(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSiff:
    """Volumes of three planes with flyback; raw and compressed pages; some without photons."""
    return write_siff_recording(
        tmp_path_factory.mktemp("siff"),
        channel_save=(1, 2),
        n_planes=3,
        n_flyback=1,
        n_volumes=25,
        photons_per_page=(90, 0, 35, 400, 1, 0),
        page_kinds=("raw", "compressed", "compressed"),
    )


def true_pages(written: SyntheticSiff, channel: int) -> NDArray[np.int64]:
    """Return pages of a channel, shape (volumes, planes)."""
    pages = np.flatnonzero((written.channel == channel) & (written.plane >= 0))
    return pages.reshape(-1, int(written.plane.max()) + 1)


def true_photons(written: SyntheticSiff, page: int) -> NDArray[np.int64]:
    """Return (pixel, delay bin) of a page's photons by pixel, those of a pixel in their order in the file."""
    own = written.photon_page == page
    pixel, delay_bin = written.photon_pixel[own], written.delay_bin[own]
    order = np.argsort(pixel, kind="stable")
    return np.stack([pixel[order], delay_bin[order]], axis=1).astype(np.int64)


def photons_of(file: h5py.File, name: str) -> list[NDArray[np.int64]]:
    """Return (pixel, delay bin) of the photons of every frame, with h5py alone."""
    group = file[f"acquisition/{name}"]
    ends = group["frame_end"][:].reshape(-1).astype(int)
    starts = np.concatenate([[0], ends[:-1]])
    np.testing.assert_array_equal(ends - starts, group["data"][:].reshape(-1))
    steps, delays = group["pixel_step"][:].astype(np.int64), group["delay_bin"][:].astype(np.int64)
    return [np.stack([np.cumsum(steps[a:b]), delays[a:b]], 1) for a, b in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("channel", [0, 1])
def test_every_photon_of_volumes(two_colors: SyntheticSiff, channel: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", two_colors.path, channel_name=f"Channel {channel + 1}")
    with h5py.File(path) as file:
        name = f"PhotonEventSeriesChannel{channel + 1}"
        found = photons_of(file, name)
        assert file[f"acquisition/{name}/data"].shape == (25, 3)
        assert file[f"acquisition/{name}/dimension"][:].tolist() == [12, 16]
        assert not file[f"acquisition/{name}"].attrs["motion_corrected"]
    for page, photons in zip(true_pages(two_colors, channel).reshape(-1), found, strict=True):
        np.testing.assert_array_equal(photons, true_photons(two_colors, page))


def test_one_plane(two_colors: SyntheticSiff, tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", two_colors.path, channel_name="Channel 2", plane_index=1)
    with h5py.File(path) as file:
        found = photons_of(file, "PhotonEventSeriesChannel2Plane1")
    for page, photons in zip(true_pages(two_colors, 1)[:, 1], found, strict=True):
        np.testing.assert_array_equal(photons, true_photons(two_colors, page))
    assert [check.difference for check in verify_nwbfile(path, [two_colors.path])] == [None]


@pytest.mark.filterwarnings("ignore:(?s).*incomplete:scanimage_nwb.errors.ScanImageNwbWarning")
@pytest.mark.parametrize("name", ["plane_raw", "mixed_pages", "volume_two_colors"])
def test_every_photon_of_files_with_truth(name: str, data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "siff" / f"{name}.siff"
    truth = np.load(source.with_suffix(".truth.npz"))
    n_channels = len(truth["pdf"])
    n_planes = 1 if n_channels == 1 else truth["motion_dy_dx"].shape[1]
    chosen = {} if n_channels == 1 else {"channel_name": "Channel 2"}
    path = write(tmp_path / "a.nwb", source, **chosen)
    interface = FlimInterface(source, **chosen)
    pages = np.stack([interface.imaging_extractor.get_original_frame_indices(p) for p in range(n_planes)], 1).reshape(
        -1
    )
    ends = np.cumsum(truth["photons_per_frame"])
    suffix = "" if n_channels == 1 else "Channel2"
    with h5py.File(path) as file:
        found = photons_of(file, f"PhotonEventSeries{suffix}")
    assert len(found) == len(pages) > 0
    for page, photons in zip(pages, found, strict=True):
        counts = truth["counts"][page].reshape(-1)
        np.testing.assert_array_equal(np.bincount(photons[:, 0], minlength=counts.size), counts)
        own = truth["arrivals"][ends[page] - truth["photons_per_frame"][page] : ends[page]]
        # photons of one pixel may come in any order
        own = np.stack([np.repeat(np.arange(counts.size), counts), own], 1).astype(np.int64)
        np.testing.assert_array_equal(photons[np.lexsort(photons.T[::-1])], own[np.lexsort(own.T[::-1])])
    assert [check.difference for check in verify_nwbfile(path, [source])] == [None]


def test_large_datasets_go_through_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More photons than a chunk, a piece and hdmf's own way take; steps of 32 bits; a pixel beyond 65,535."""
    monkeypatch.setattr(flim_data, "_PIECE_PHOTONS", 200_000)
    siff = write_siff_recording(
        tmp_path, shape=(400, 300), n_volumes=8, photons_per_page=(90_000, 0, 700), page_kinds=("raw",)
    )
    path = write(tmp_path / "a.nwb", siff.path)
    with h5py.File(path) as file:
        found = photons_of(file, "PhotonEventSeries")
        group = file["acquisition/PhotonEventSeries"]
        assert group["pixel_step"].dtype == np.uint32
        for name in ("pixel_step", "delay_bin"):
            assert (group[name].chunks, group[name].compression, group[name].shuffle) == ((1 << 17,), "gzip", True)
    for page, photons in enumerate(found):
        np.testing.assert_array_equal(photons, true_photons(siff, page))


def test_one_frame_and_a_bright_pixel(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, shape=(1, 1), n_volumes=1, photons_per_page=70_001, page_kinds=("raw",))
    with h5py.File(write(tmp_path / "a.nwb", siff.path)) as file:
        (found,) = photons_of(file, "PhotonEventSeries")
    np.testing.assert_array_equal(found[:, 1], siff.delay_bin)
    assert not found[:, 0].any()


def test_no_photons_at_all(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=3, photons_per_page=0, page_kinds=("raw", "compressed"))
    path = write(tmp_path / "a.nwb", siff.path, lifetime=True, histograms="field")
    with h5py.File(path) as file:
        assert all(len(found) == 0 for found in photons_of(file, "PhotonEventSeries"))
        assert np.isnan(file["processing/ophys/LifetimeImageSeries/data"][:]).all()
        assert file["processing/ophys/PhotonHistogramSeriesField/data"][:].sum() == 0
    assert [check.difference for check in verify_nwbfile(path, [siff.path])] == [None]


def test_pages_without_delays_are_refused(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=4, page_kinds=("raw", "plain"))
    with pytest.raises(UnsupportedFormatError, match="page 1 holds counts only"):
        write(tmp_path / "a.nwb", siff.path)
    assert not (tmp_path / "a.nwb").exists()


def true_histogram(written: SyntheticSiff, pages: NDArray[np.int64], bin_factor: int) -> NDArray[np.int64]:
    """Return photons by pixel and histogram bin over pages, shape (rows, columns, bins)."""
    rows, columns = written.counts.shape[1:]
    out = np.zeros((rows * columns, -(-629 // bin_factor)), np.int64)
    own = np.isin(written.photon_page, pages)
    np.add.at(out, (written.photon_pixel[own], written.delay_bin[own] // bin_factor), 1)
    return out.reshape(rows, columns, -1)


def test_histograms_of_field_and_regions(two_colors: SyntheticSiff, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((4, 3, 16, 12)) < 0.3
    pages = true_pages(two_colors, 0)
    truth = [[true_histogram(two_colors, page, 10) for page in row] for row in pages]
    source, chosen = two_colors.path, {"channel_name": "Channel 1", "photons": False, "bin_factor": 10}
    with h5py.File(write(tmp_path / "a.nwb", source, histograms="field", **chosen)) as file:
        field = file["processing/ophys/PhotonHistogramSeriesFieldChannel1"]
        np.testing.assert_array_equal(field["data"][:], np.array(truth).sum(axis=(1, 2, 3)))
        edges = field["bin_edges"][:]
        np.testing.assert_allclose(edges[[0, 1, -2, -1]], np.array([0, 10, 620, 629]) * 20e-12)
    with h5py.File(write(tmp_path / "a.nwb", source, masks=masks, histograms="roi", **chosen)) as file:
        found = file["processing/ophys/PhotonHistogramSeriesRoiChannel1/data"][:]
        images = file["processing/ophys/ImageSegmentation/PlaneSegmentationFlimChannel1/image_mask"][:]
    np.testing.assert_array_equal(found, np.einsum("tzyxh,mzyx->tmh", np.array(truth), masks))
    np.testing.assert_array_equal(images, masks.transpose(0, 3, 2, 1))


def test_histograms_of_pixels(two_colors: SyntheticSiff, tmp_path: Path) -> None:
    pages = true_pages(two_colors, 0)
    chosen = {"channel_name": "Channel 1", "photons": False, "histograms": "pixel", "bin_factor": 7}
    with h5py.File(write(tmp_path / "a.nwb", two_colors.path, **chosen)) as file:
        pooled = file["processing/ophys/PhotonHistogramPixelChannel1/counts"][:]
    truth = np.stack([true_histogram(two_colors, pages[:, plane], 7) for plane in range(3)])
    np.testing.assert_array_equal(pooled, truth.transpose(2, 1, 0, 3))
    with h5py.File(write(tmp_path / "a.nwb", two_colors.path, samples_per_histogram=10, **chosen)) as file:
        group = file["processing/ophys/PhotonHistogramSeriesPixelChannel1"]
        blocks, times = group["data"][:], group["timestamps"][:]
        assert group.attrs["samples_per_histogram"] == 10
    for rank, block in enumerate(blocks):
        own = pages[10 * rank : 10 * rank + 10]
        truth = np.stack([true_histogram(two_colors, own[:, plane], 7) for plane in range(3)])
        np.testing.assert_array_equal(block, truth.transpose(2, 1, 0, 3))
    np.testing.assert_allclose(times, two_colors.experiment_time_s[pages[::10, -1]])


def test_lifetimes_and_phasors(two_colors: SyntheticSiff, tmp_path: Path) -> None:
    options = {"lifetime": True, "offset_s": 1.5e-9, "phasor": True, "harmonic": 2}
    path = write(tmp_path / "a.nwb", two_colors.path, channel_name="Channel 1", **options)
    with h5py.File(path) as file:
        ophys = file["processing/ophys"]
        lifetime, phasor = ophys["LifetimeImageSeriesChannel1/data"][:], ophys["PhasorSeriesChannel1/data"][:]
        assert ophys["LifetimeImageSeriesChannel1/time_offset"][()] == 1.5e-9
        assert ophys["PhasorSeriesChannel1/frequency"][()] == 160e6
        assert ophys["LifetimeImageSeriesChannel1/intensity"] == file["acquisition/PhotonEventSeriesChannel1"]
    centers = (np.arange(629) + 0.5) * 20e-12
    for sample, row in enumerate(true_pages(two_colors, 0)):
        for plane, page in enumerate(row):
            histogram = true_histogram(two_colors, page, 1)
            with np.errstate(invalid="ignore"):
                mean = histogram @ (centers - 1.5e-9) / histogram.sum(axis=-1)
                pair = histogram @ np.exp(2j * np.pi * 160e6 * centers) / histogram.sum(axis=-1)
            np.testing.assert_allclose(lifetime[sample, :, :, plane], mean.T, rtol=1e-5)
            np.testing.assert_allclose(phasor[sample, :, :, plane, 0], pair.real.T, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(phasor[sample, :, :, plane, 1], pair.imag.T, rtol=1e-4, atol=1e-6)


def test_lifetimes_of_masks_given_as_numbers_are_those_of_masks(two_colors: SyntheticSiff, tmp_path: Path) -> None:
    """Zeros and ones are no weights, whatever type they have; lists are taken as well."""
    masks = np.random.default_rng(0).random((2, 3, 16, 12)) < 0.3
    pages = true_pages(two_colors, 0)
    truth = [[true_histogram(two_colors, page, 1).sum(axis=-1) for page in row] for row in pages]
    options = {"channel_name": "Channel 1", "photons": False, "roi_lifetime": True}
    for given in (masks, masks.astype(float), masks.astype(int).tolist()):
        with h5py.File(write(tmp_path / "a.nwb", two_colors.path, masks=given, **options)) as file:
            counts = file["processing/ophys/FluorescenceLifetime/RoiPhotonCountChannel1"]
            np.testing.assert_array_equal(counts["data"][:], np.einsum("tzyx,mzyx->tm", np.array(truth), masks))
            assert counts["data"].dtype.kind == "u"
            assert "weights" not in counts.attrs["description"]


def test_motion_is_applied_when_asked_for_and_said(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=20, page_kinds=("raw", "compressed"))
    shifts = {page: (page % 5 - 2, 3 * page % 7) for page in range(20)}
    path = write(tmp_path / "a.nwb", siff.path, registration=shifts, motion_corrected=True, lifetime=True)
    with h5py.File(path) as file:
        found = photons_of(file, "PhotonEventSeries")
        assert file["acquisition/PhotonEventSeries"].attrs["motion_corrected"]
        assert file["processing/ophys/LifetimeImageSeries"].attrs["motion_corrected"]
        assert "Motion was corrected" in file["acquisition/PhotonEventSeries"].attrs["description"]
    for page, photons in enumerate(found):
        counts = np.bincount(photons[:, 0], minlength=16 * 12).reshape(16, 12)
        np.testing.assert_array_equal(counts, np.roll(siff.counts[page], shifts[page], (0, 1)))
    assert [check.difference for check in verify_nwbfile(path, [siff.path])] == [None]
    with pytest.raises(MetadataError, match="registration_dict is empty"):
        write(tmp_path / "a.nwb", siff.path, motion_corrected=True)
    unmoved = write(tmp_path / "b.nwb", siff.path, registration=shifts)
    with h5py.File(unmoved) as file:
        np.testing.assert_array_equal(photons_of(file, "PhotonEventSeries")[3], true_photons(siff, 3))


@pytest.mark.parametrize(
    ("place", "message"),
    [("delay_bin", "the source has pixel"), ("pixel_step", "the source has pixel"), ("data", "running sum")],
)
def test_verify_finds_one_wrong_photon(place: str, message: str, tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=20)
    path = write(tmp_path / "a.nwb", siff.path)
    (check,) = verify_nwbfile(path, [siff.path])
    assert (check.difference, check.n_samples, check.n_bytes) == (None, 20, 20 * 200 * 4)
    with h5py.File(path, "r+") as file:
        dataset = file[f"acquisition/PhotonEventSeries/{place}"]
        at = 13 if place == "data" else 13 * 200 + 77
        dataset[at] = dataset[at] + 1
    (check,) = verify_nwbfile(path, [siff.path])
    assert check.difference is not None
    assert check.difference.sample == 13
    assert message in check.difference.text


def test_verify_finds_another_recording(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=20)
    path = write(tmp_path / "a.nwb", siff.path)
    other = write_siff_recording(tmp_path / "other", n_volumes=20, seed=1)
    (check,) = verify_nwbfile(path, [other.path])
    assert check.difference is not None
    shorter = write_siff_recording(tmp_path / "shorter", n_volumes=5)
    (check,) = verify_nwbfile(path, [shorter.path])
    assert "not those of" in check.difference.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"histograms": "cell"}, "expected some of 'field', 'roi' and 'pixel'"),
        ({"histograms": ["field", "field"]}, "once each"),
        ({"histograms": "roi"}, "set the interface's masks"),
        ({"bin_factor": 0}, "bin_factor is 0"),
        ({"histograms": "field", "samples_per_histogram": 5}, "with 'pixel'"),
        ({"histograms": "pixel", "samples_per_histogram": 0}, "at least 1"),
        ({"stub_test": True, "stub_samples": 0}, "stub_samples is 0"),
        ({"histograms": "roi", "masks": np.ones((2, 3, 3), bool)}, "masks have shape"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=3)
    with pytest.raises(MetadataError, match=message):
        write(tmp_path / "a.nwb", siff.path, **options)


def test_beside_the_photon_counts(two_colors: SyntheticSiff, tmp_path: Path) -> None:
    """Plane, device and times are those of the photon counts, and lifetimes link to them."""
    interfaces = {
        "Counts": SiffImagingInterface(two_colors.path, channel_name="Channel 1"),
        "Flim": FlimInterface(two_colors.path, channel_name="Channel 1"),
    }
    converter = ConverterPipe(data_interfaces=interfaces)
    options = {"Counts": {"always_write_timestamps": True}}
    options["Flim"] = {"always_write_timestamps": True, "lifetime": True, "stub_test": False}
    nwbfile = converter.create_nwbfile(conversion_options=options)
    write_nwbfile(nwbfile, tmp_path / "a.nwb", progress=False)
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        found = io.read()
        counts, photons = (found.acquisition[f"{kind}SeriesChannel1"] for kind in ("TwoPhoton", "PhotonEvent"))
        assert photons.imaging_plane is counts.imaging_plane
        assert photons.timestamps.id.__hash__() == counts.timestamps.id.__hash__()
        assert found.processing["ophys"]["LifetimeImageSeriesChannel1"].intensity is counts
        assert len(found.devices) == 1
    assert [check.difference for check in verify_nwbfile(tmp_path / "a.nwb", [two_colors.path])] == [None, None]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_files_are_valid_and_plain_pynwb_reads_them(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=80, photons_per_page=50)
    options = {"histograms": "field", "bin_factor": 10, "lifetime": True, "phasor": True}
    path = write(tmp_path / "a.nwb", siff.path, **options)
    assert validate(path=str(path)) == []
    serious = {Importance.ERROR, Importance.PYNWB_VALIDATION, Importance.CRITICAL, Importance.BEST_PRACTICE_VIOLATION}
    found = inspect_nwbfile(nwbfile_path=path, config=load_config("dandi"))
    assert [f"{m.check_function_name}: {m.message}" for m in found if m.importance in serious] == []
    code = (
        "import sys; from pynwb import read_nwb\n"
        f"nwbfile = read_nwb({str(path)!r})\n"
        "series = nwbfile.acquisition['PhotonEventSeries']\n"
        "decays = nwbfile.processing['ophys']['PhotonHistogramSeriesField']\n"
        "print(series.data[:].sum(), decays.data[:].sum(), len(series.delay_bin), series.tcspc_settings.num_bins)\n"
        "assert not [name for name in sys.modules if name.startswith(('ndx_flim', 'scanimage_nwb'))]\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert printed.stdout.split() == ["4000", "4000", "4000", "629"], printed.stderr


def test_zarr_and_hdmfs_own_writer_write_the_same(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    siff = write_siff_recording(tmp_path, n_volumes=20)
    interface = FlimInterface(siff.path)
    nwbfile = interface.create_nwbfile(lifetime=True)
    write_nwbfile(nwbfile, tmp_path / "a.zarr", backend="zarr", progress=False)
    store = zarr.open(str(tmp_path / "a.zarr"), mode="r")
    np.testing.assert_array_equal(
        store["acquisition/PhotonEventSeries/delay_bin"][:],
        np.concatenate([true_photons(siff, p) for p in range(20)])[:, 1],
    )
    with NWBHDF5IO(tmp_path / "b.nwb", "w") as io:
        io.write(FlimInterface(siff.path).create_nwbfile(lifetime=True))
    with h5py.File(tmp_path / "b.nwb") as file:
        np.testing.assert_array_equal(photons_of(file, "PhotonEventSeries")[4], true_photons(siff, 4))
    shutil.rmtree(tmp_path / "a.zarr")


def test_overrides_of_the_header(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_volumes=3)
    with h5py.File(write(tmp_path / "a.nwb", siff.path, repetition_rate_hz=40e6)) as file:
        assert file["general/TCSPCSettings/repetition_rate"][()] == 40e6


def test_neuroconv_pipelines(tmp_path: Path) -> None:
    """Schemas describe the options, metadata are not changed, and run_conversion writes the file whole."""
    siff = write_siff_recording(tmp_path, n_volumes=20)
    interface = FlimInterface(siff.path)
    properties = interface.get_conversion_options_schema()["properties"]
    assert {"photons", "histograms", "bin_factor", "lifetime", "phasor", "motion_corrected"} <= set(properties)
    assert "repetition_rate_hz" in FlimInterface.get_source_schema()["properties"]
    metadata = interface.get_metadata()
    before = repr(metadata.to_dict())
    interface.run_conversion(
        nwbfile_path=str(tmp_path / "a.nwb"), metadata=metadata, histograms="field", stub_test=True
    )
    assert repr(metadata.to_dict()) == before
    converter = ConverterPipe(data_interfaces={"Flim": FlimInterface(siff.path)})
    options = {"Flim": {"photons": False, "phasor": True, "histograms": "pixel", "bin_factor": 100}}
    converter.run_conversion(nwbfile_path=str(tmp_path / "b.nwb"), metadata=metadata, conversion_options=options)
    with h5py.File(tmp_path / "b.nwb") as file:
        assert {"PhasorSeries", "PhotonHistogramPixel"} <= set(file["processing/ophys"])
        assert file["processing/ophys/PhotonHistogramPixel/counts"][:].sum() == 20 * 200
    with h5py.File(tmp_path / "a.nwb") as file:
        assert len(photons_of(file, "PhotonEventSeries")) == 20
