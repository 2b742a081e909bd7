"""FLIM by converter and command, beside the photon counts: one plane, one clock, one set of events."""

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from nwbinspector import Importance, inspect_nwbfile, load_config
from pynwb import NWBHDF5IO

from scanimage_nwb.cli import main
from scanimage_nwb.errors import MetadataError
from scanimage_nwb.nwb import ScanImageConverter, convert_recording, open_photons, verify_nwbfile
from scanimage_nwb.nwb.roi_conversion import RoiOptions, roi_interfaces
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording

PRODUCTS = ("photons", "histograms", "lifetime", "phasor", "fit")


@pytest.fixture(scope="module")
def siff(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSiff:
    """Two channels, two planes; text was appended to a page."""
    return write_siff_recording(
        tmp_path_factory.mktemp("siff"),
        channel_save=(1, 2),
        n_planes=2,
        n_volumes=10,
        photons_per_page=(500, 300),
        page_kinds=("raw", "compressed"),
        appended_text=[(4, "stimulus", None)],
    )


def registered(siff: SyntheticSiff, shifts: dict[int, tuple[int, int]]) -> RegistrationInfo:
    """Return shifts of pages as a registration of two channels, which share those of the first."""
    first = np.flatnonzero(siff.channel == 0)
    info = RegistrationInfo.from_shifts({int(page): shifts[int(page)] for page in first}, shape=(16, 12))
    pages = np.column_stack([first, first + 1])
    return dataclasses.replace(info, pages=pages, plane=siff.plane[first], volume=siff.volume[first])


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_writes_and_verifies_all(siff: SyntheticSiff, tmp_path: Path) -> None:
    """Sync pulses give counts and photons the same times; every photon is compared."""
    pulses = 100 + 1.0001 * siff.experiment_time_s[::2]
    np.save(tmp_path / "pulses.npy", pulses)
    out = tmp_path / "a.nwb"
    options = ["--flim", "photons,histograms", "--flim", "lifetime, phasor,fit", "--flim-bin-factor", 10]
    options += ["--flim-components", 1, "--flim-offset", 1.5e-9, "--sync", tmp_path / "pulses.npy", "--verify"]
    result = run("convert", siff.path, "-o", out, *options)
    assert result.exit_code == 0, result.output
    for channel in (1, 2):
        for kind in ("TwoPhoton", "PhotonEvent"):
            assert f"{kind}SeriesChannel{channel}: 10 samples" in result.stdout
    with NWBHDF5IO(out, "r") as io:
        found = io.read()
        ophys = found.processing["ophys"]
        last = np.flatnonzero((siff.channel == 0) & (siff.plane == 1))
        for channel in (1, 2):
            counts, photons = (
                found.acquisition[f"{kind}SeriesChannel{channel}"] for kind in ("TwoPhoton", "PhotonEvent")
            )
            lifetimes, decays, phasors = (
                ophys[f"{name}Channel{channel}"]
                for name in ("LifetimeImageSeries", "PhotonHistogramSeriesField", "PhasorSeries")
            )
            assert photons.imaging_plane is counts.imaging_plane is lifetimes.imaging_plane
            assert lifetimes.intensity is phasors.intensity is counts
            for series in (counts, photons, lifetimes, decays, phasors):
                times = series.timestamps
                times = series.starting_time + np.arange(10) / series.rate if times is None else times[:]
                np.testing.assert_allclose(times, 100 + 1.0001 * siff.experiment_time_s[last], atol=1e-5)
            np.testing.assert_array_equal(photons.data[:], np.sum(counts.data[:], axis=(1, 2)))
            assert decays.data.shape == (10, 63)
            assert decays.data[:].sum() == photons.data[:].sum()
            assert lifetimes.time_offset == 1.5e-9
            assert ophys[f"LifetimeFitTableChannel{channel}"]["lifetime"].data.shape == (2, 1)
        assert len(found.devices) == 1
        assert list(found.events) == ["ScanImageAppendedText"]
        assert list(ophys["PulseAlignment"]["series"].data[:]).count("PhotonEventSeriesChannel1") == 1


def test_verify_finds_a_photon_that_differs(siff: SyntheticSiff, tmp_path: Path) -> None:
    out = convert_recording([siff.path], tmp_path / "a.nwb", flim=["photons"], channel_names=["Channel 2"])
    with h5py.File(out, "r+") as file:
        delays = file["acquisition/PhotonEventSeriesChannel2/delay_bin"]
        delays[-1] = delays[-1] ^ 1
    result = run("verify", out, "--source", siff.path, "--json")
    assert result.exit_code == 1
    *lines, missing = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["series"], line["difference"] is None) for line in lines] == [
        ("PhotonEventSeriesChannel2", False),
        ("TwoPhotonSeriesChannel2", True),
    ]
    assert missing == {"event": "missing", "parts": ["Channel 1"]}


def test_motion_is_corrected_if_a_registration_is_given(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, channel_save=(1, 2), page_kinds=("raw", "compressed"))
    shifts = {page: (page % 3 - 1, 2 * page % 5) for page in range(len(siff.plane))}
    info = RegistrationInfo.from_shifts(shifts, shape=(16, 12))
    out = convert_recording([siff.path], tmp_path / "a.nwb", flim=["photons"], registration=info)
    with h5py.File(out) as file:
        photons = file["acquisition/PhotonEventSeriesChannel1"]
        assert photons.attrs["motion_corrected"]
        ends, steps = photons["frame_end"][:].reshape(-1), photons["pixel_step"][:].astype(int)
    pages = np.flatnonzero(siff.channel == 0)
    for page, begin, end in zip(pages, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        found = np.bincount(np.cumsum(steps[begin:end]), minlength=192).reshape(16, 12)
        np.testing.assert_array_equal(found, np.roll(siff.counts[page], shifts[page], (0, 1)))
    assert all(check.difference is None for check in verify_nwbfile(out, [siff.path]))


@pytest.mark.parametrize("n_planes", [1, 2])
def test_verify_compares_photons_that_were_moved(n_planes: int, tmp_path: Path) -> None:
    """By the shifts in the file: pixel and delay of every photon, and what is read back equals the moved source."""
    siff = write_siff_recording(
        tmp_path, channel_save=(1, 2), n_planes=n_planes, n_volumes=9, page_kinds=("raw", "compressed")
    )
    shifts = {page: (page // 2 % 3 - 1, 2 * (page // 2) % 5) for page in range(len(siff.plane))}
    options: dict = {"flim": ["photons", "histograms", "lifetime"], "registration": registered(siff, shifts)}
    out = convert_recording([siff.path], tmp_path / "a.nwb", **options)
    masks = np.random.default_rng(0).random((3, 16, 12)) < 0.3
    with SiffReader(siff.path) as source, open_photons(out) as found:
        every = {"color_channel": None}
        np.testing.assert_array_equal(found.get_frames(**every), source.get_frames(None, shifts, **every))
        np.testing.assert_array_equal(
            found.get_histogram(None, masks, True, **every),
            source.get_histogram(None, masks, True, registration_dict=shifts, **every),
        )
        np.testing.assert_array_equal(
            found.get_pixel_histogram(**every), source.get_pixel_histogram(registration_dict=shifts, **every)
        )
        mean, _ = source.flim_map(None, "mean_delay", shifts)
        np.testing.assert_array_equal(found.flim_map()[0], mean)
        with h5py.File(out) as file:
            written = file["processing/ophys/LifetimeImageSeriesChannel1/data"][:]
            assert file["processing/ophys/PhotonHistogramSeriesFieldChannel1"].attrs["motion_corrected"]
        expected = mean.astype(np.float32).reshape(9, n_planes, 16, 12).transpose(0, 3, 2, 1)
        np.testing.assert_array_equal(written.reshape(expected.shape), expected)
    assert all(check.difference is None for check in verify_nwbfile(out, [siff.path]))
    with h5py.File(out, "r+") as file:
        steps = file["acquisition/PhotonEventSeriesChannel2/pixel_step"]
        moved = 1 + int(np.flatnonzero(steps[1:20])[0])  # a photon of the first frame, to the pixel before its own
        steps[moved : moved + 2] = steps[moved : moved + 2] + np.array([-1, 1])
    differing = {check.series: check.difference for check in verify_nwbfile(out, [siff.path])}
    assert "is in pixel" in differing["PhotonEventSeriesChannel2"].text
    assert differing["PhotonEventSeriesChannel1"] is None


def test_what_cannot_be_asked_for(siff: SyntheticSiff, tmp_path: Path) -> None:
    tiff = write_scanimage_recording(tmp_path, n_volumes=3)
    with pytest.raises(MetadataError, match="is a TIFF and holds no arrival times"):
        ScanImageConverter(tiff.paths[0], flim=["photons"])
    for options, message in (
        (["--flim", "photon"], "there is no 'photon'; expected some of photons, histograms"),
        (["--flim", "photons", "--flim-bin-factor", 10], "--flim-bin-factor needs --flim histograms"),
        (["--flim-components", 1], "--flim-components needs --flim fit"),
        (["--flim", "histograms", "--flim-bin-factor", 0], "bin_factor is 0"),
    ):
        result = run("convert", siff.path, "-o", tmp_path / "b.nwb", *options)
        assert result.exit_code == 1
        assert message in result.stderr
    assert not (tmp_path / "b.nwb").exists()


def test_a_pipeline_of_neuroconv(siff: SyntheticSiff, tmp_path: Path) -> None:
    converter = ScanImageConverter(siff.path, flim=["phasor"])
    assert list(converter.data_interface_objects) == [
        *("SiffImaging_Channel_1", "SiffImaging_Channel_2", "Flim_Channel_1", "Flim_Channel_2")
    ]
    assert "flim" in ScanImageConverter.get_source_schema()["properties"]
    converter.flim_interfaces["Flim_Channel_1"].masks = np.ones((1, 16, 12), bool)
    options = {"Flim_Channel_1": {"roi_lifetime": True, "harmonic": 2, "stub_test": True, "stub_samples": 4}}
    converter.run_conversion(nwbfile_path=str(tmp_path / "a.nwb"), conversion_options=options)
    with h5py.File(tmp_path / "a.nwb") as file:
        ophys = file["processing/ophys"]
        assert ophys["PhasorSeriesChannel1/data"].shape[0] == 4
        assert ophys["PhasorSeriesChannel2/frequency"][()] == 80e6
        assert ophys["PhasorSeriesChannel1/frequency"][()] == 160e6
        assert ophys["FluorescenceLifetime/RoiLifetimeChannel1/data"].shape == (4, 1)


def test_archive_accepts_all_products(tmp_path: Path) -> None:
    """nwbinspector's configuration for DANDI finds no fault, nor does `dandi validate`, offline, where it is there."""
    siff = write_siff_recording(tmp_path, n_volumes=80, photons_per_page=100)
    metadata = {
        "NWBFile": {"session_id": "1", "experimenter": ["Doe, Jane"], "institution": "Institute", "keywords": ["flim"]},
        "Subject": {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P90D", "description": "Adult."},
        "Ophys": {"ImagingPlanes": {"*": {"location": "Primary visual area", "indicator": "GCaMP8m"}}},
    }
    dandiset = tmp_path / "dandiset"
    out = dandiset / "sub-m1" / "sub-m1_ses-1_ophys.nwb"
    convert_recording([siff.path], out, metadata=metadata, flim=PRODUCTS, flim_options={"bin_factor": 10, "fit": 1})
    serious = {Importance.ERROR, Importance.PYNWB_VALIDATION, Importance.CRITICAL, Importance.BEST_PRACTICE_VIOLATION}
    found = inspect_nwbfile(nwbfile_path=out, config=load_config("dandi"))
    assert [f"{m.check_function_name}: {m.message}" for m in found if m.importance in serious] == []
    if (dandi := shutil.which("dandi")) is None:
        return
    text = "identifier: DANDI:000001\nname: FLIM\nschemaVersion: 0.6.10\n"
    (dandiset / "dandiset.yaml").write_text(text)
    environment = {**os.environ, "DANDI_NO_ET": "1", "HOME": str(tmp_path)}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [dandi, "validate", str(dandiset)], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, "No errors found" in done.stdout + done.stderr) == (0, True), done.stdout + done.stderr
    assert "NWBI" not in done.stdout


@pytest.mark.parametrize("corrected", [False, True])
def test_masks_get_decays_lifetimes_and_fits(corrected: bool, tmp_path: Path) -> None:
    """`convert --rois` with `--flim`: products of each mask, on the rows of the table of masks that is there."""
    siff = write_siff_recording(
        tmp_path, channel_save=(1, 2), n_planes=2, n_volumes=12, photons_per_page=(500, 300), lifetimes_s=(2.2e-9, 1e-9)
    )
    masks = np.random.default_rng(0).random((3, 16, 12)) < 0.4
    np.save(tmp_path / "masks.npy", masks)
    shifts = {page: (page // 2 % 3, -(page // 2 % 5)) for page in range(len(siff.plane))} if corrected else {}
    options: list[str | Path] = []
    if corrected:
        registered(siff, shifts).save(tmp_path / "shifts.h5")
        options = ["--registration", tmp_path / "shifts.h5"]
    out = tmp_path / "a.nwb"
    options += ["--rois", tmp_path / "masks.npy", "--roi-plane", "1", "--flim", "histograms,lifetime,fit"]
    result = run("convert", siff.path, "-o", out, *options, "--flim-components", "1", "--flim-offset", "1.5e-9")
    assert result.exit_code == 0, result.output
    with NWBHDF5IO(out, "r") as io, SiffReader(siff.path) as reader:
        ophys = io.read().processing["ophys"]
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert list(ophys["ImageSegmentation"].plane_segmentations) == ["PlaneSegmentation"]
        for color in (0, 1):
            name = f"Channel{color + 1}"
            pages = np.flatnonzero((siff.channel == color) & (siff.plane == 1))
            expected = reader.get_histogram(pages, masks, True, registration_dict=shifts)
            decays = ophys[f"PhotonHistogramSeriesRoi{name}"]
            np.testing.assert_array_equal(decays.data[:], np.moveaxis(expected, 0, 1))
            assert decays.motion_corrected == corrected
            of_field = reader.get_histogram(pages, framewise=True) + reader.get_histogram(pages - 2, framewise=True)
            np.testing.assert_array_equal(ophys[f"PhotonHistogramSeriesField{name}"].data[:], of_field)
            lifetimes, counts = reader.sum_masks_flim(masks, pages, "mean_delay", shifts, offset_s=1.5e-9)
            series = ophys["FluorescenceLifetime"][f"RoiLifetime{name}"]
            assert series.unit == "seconds"
            np.testing.assert_allclose(series.data[:], lifetimes.T, rtol=1e-6)
            np.testing.assert_array_equal(ophys["FluorescenceLifetime"][f"RoiPhotonCount{name}"].data[:], counts.T)
            fits = ophys[f"LifetimeFitTableRoi{name}"]
            assert fits["roi"].data[:].tolist() == [0, 1, 2]
            np.testing.assert_array_equal(fits["photon_count"].data[:], counts.sum(axis=1))
            np.testing.assert_allclose(fits["lifetime"].data[:], (2.2e-9, 1e-9)[color], rtol=0.1)
            for item in (decays, series, fits["roi"]):
                assert (item.rois if hasattr(item, "rois") else item).table is table


def test_masks_with_weights_and_traces_of_their_own(tmp_path: Path) -> None:
    """Every photon of a mask's pixels counts once; lifetimes of masks that bring traces are written too."""
    siff = write_siff_recording(tmp_path, n_volumes=12, photons_per_page=400)
    masks = np.random.default_rng(0).random((2, 16, 12)).astype(np.float32)
    masks[masks < 0.5] = 0
    np.save(tmp_path / "masks.npy", masks)
    out = tmp_path / "a.nwb"
    options = ["--rois", tmp_path / "masks.npy", "--flim", "histograms,fit,lifetime", "--flim-components", "1"]
    result = run("convert", siff.path, "-o", out, *options)
    assert result.exit_code == 0, result.output
    with NWBHDF5IO(out, "r") as io, SiffReader(siff.path) as reader:
        ophys = io.read().processing["ophys"]
        expected = reader.get_histogram(masks=masks > 0, framewise=True)
        np.testing.assert_array_equal(ophys["PhotonHistogramSeriesRoi"].data[:], np.moveaxis(expected, 0, 1))
        assert len(ophys["LifetimeFitTableRoi"]) == 2
        # masks alone have traces of lifetimes already
        assert "FluorescenceLifetime" not in ophys.data_interfaces
        assert any(series.unit == "seconds" for series in ophys["Fluorescence"].roi_response_series.values())


def test_masks_of_the_file_before_are_forgotten(tmp_path: Path) -> None:
    """A converter makes one file with masks, another with those that its interface was given, and one without."""
    siff = write_siff_recording(tmp_path, n_volumes=12, photons_per_page=400)
    masks = np.zeros((2, 16, 12), bool)
    masks[0, :4, :4] = masks[1, -4:, -4:] = True
    np.save(tmp_path / "masks.npy", masks)
    converter = ScanImageConverter(siff.path, flim=["fit"])
    interface = converter.data_interface_objects["SiffImaging"]
    converter.roi_interfaces = roi_interfaces([interface.imaging_extractor], RoiOptions(tmp_path / "masks.npy"))
    assert len(converter.create_nwbfile().processing["ophys"]["LifetimeFitTableRoi"]) == 2
    converter.flim_interfaces["Flim"].masks = masks[:1]
    fits = converter.create_nwbfile().processing["ophys"]["LifetimeFitTableRoi"]
    assert (len(fits), fits["roi"].table.name) == (1, "PlaneSegmentationFlim")
    converter.flim_interfaces["Flim"].masks, converter.roi_interfaces = None, ()
    assert "LifetimeFitTableRoi" not in converter.create_nwbfile().processing["ophys"].data_interfaces
