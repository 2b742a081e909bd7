"""FLIM by converter and command, beside the photon counts: one plane, one clock, one set of events."""

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
from scanimage_nwb.nwb import ScanImageConverter, convert_recording, verify_nwbfile
from scanimage_nwb.registration import RegistrationInfo
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
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["series"], line["difference"] is None) for line in lines] == [
        ("PhotonEventSeriesChannel2", False),
        ("TwoPhotonSeriesChannel2", True),
    ]


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
