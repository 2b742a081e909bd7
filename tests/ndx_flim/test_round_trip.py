"""Every type comes back as it was written: with this package, with plain pynwb, with h5py; and tools accept it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nwbinspector import Importance, inspect_nwbfile, load_config
from pynwb import NWBHDF5IO, validate
from pynwb.testing.mock.file import mock_NWBFile
from pynwb.testing.mock.ophys import mock_ImagingPlane

import ndx_flim

from .conftest import ROIS, H, T, Written, X, Y, Z

KINDS = {
    "PhotonEventSeries": ("Planar", "Volume"),
    "PhotonHistogramSeries": ("Field", "Roi", "Pixel", "Volume"),
    "PhotonHistogram": ("Field", "Roi", "Pixel", "Volume"),
    "PhasorSeries": ("Field", "Roi", "Pixel", "Volume"),
    "LifetimeImageSeries": ("Planar", "Volume"),
}
UNITS = {
    "PhotonEventSeries": "photons",
    "PhotonHistogramSeries": "photons",
    "PhasorSeries": "dimensionless",
    "LifetimeImageSeries": "seconds",
}
NAMES = [(kind, kind + suffix) for kind, suffixes in KINDS.items() for suffix in suffixes]


@pytest.fixture(scope="module")
def nwbfile(written: Written) -> Any:
    with NWBHDF5IO(written.path, "r") as io:
        yield io.read()


def item(nwbfile: Any, name: str) -> Any:
    return nwbfile.acquisition[name] if name in nwbfile.acquisition else nwbfile.processing["ophys"][name]


@pytest.mark.parametrize(("kind", "name"), [pair for pair in NAMES if pair[0] != "PhotonEventSeries"])
def test_arrays_come_back(nwbfile: Any, written: Written, kind: str, name: str) -> None:
    found = item(nwbfile, name)
    assert type(found) is getattr(ndx_flim, kind)
    truth = written.truth[f"{name}/data"]
    data = found.counts if kind == "PhotonHistogram" else found.data
    np.testing.assert_array_equal(data[:], truth)
    assert data.dtype == truth.dtype
    assert found.motion_corrected
    assert found.imaging_plane.name == "ImagingPlane"
    assert found.tcspc_settings is nwbfile.lab_meta_data["TCSPCSettings"]
    if kind != "PhotonHistogram":
        assert found.unit == UNITS[kind]
        np.testing.assert_array_equal(found.timestamps[:], written.truth["timestamps"])
    if name.endswith("Roi"):
        assert found.rois.table is nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        assert found.rois.data[:].tolist() == list(range(ROIS))


def test_settings(nwbfile: Any, written: Written) -> None:
    settings = nwbfile.lab_meta_data["TCSPCSettings"]
    found = (settings.num_bins, settings.repetition_rate, settings.tcspc_resolution, settings.time_offset)
    assert found == (H, 80e6, 0.75e-9, 0.125e-9)
    assert [settings.tcspc_device.name, settings.detector.name, settings.excitation_source.name] == [
        "TCSPC",
        "Detector",
        "Laser",
    ]
    assert settings.period_s == 12.5e-9
    np.testing.assert_allclose(settings.bin_edges[[0, -1]], [0.125e-9, 12.125e-9])
    irf = settings.irf
    np.testing.assert_array_equal(irf.counts[:], written.truth["TCSPCSettings/irf"])
    assert (irf.center, irf.sigma, irf.reference_lifetime) == (1.5e-9, 80e-12, 0.0)
    assert irf.reference_lifetime__substance == "urea crystals"
    assert len(irf.bin_edges) == H + 1


@pytest.mark.parametrize("name", ["Planar", "Volume"])
def test_photons(nwbfile: Any, written: Written, name: str) -> None:
    series = nwbfile.acquisition[f"PhotonEventSeries{name}"]
    truth = written.truth[f"PhotonEventSeries{name}/photons"]
    depth = Z if name == "Volume" else 1
    assert series.data.shape == ((T, Z) if name == "Volume" else (T,))
    assert series.dimension[:].tolist() == [X, Y]
    np.testing.assert_array_equal(series.pulse_number[:], written.truth[f"PhotonEventSeries{name}/pulse_number"])
    for frame in range(T * depth):
        at = divmod(frame, depth) if name == "Volume" else (frame,)
        pixel, delay_bin = series.get_photons(*at)
        own = truth[truth[:, 0] == frame]
        np.testing.assert_array_equal(pixel, own[:, 1])
        np.testing.assert_array_equal(delay_bin, own[:, 2])
        counts = np.zeros((X, Y), int)
        np.add.at(counts, (own[:, 1] % X, own[:, 1] // X), 1)
        np.testing.assert_array_equal(series.get_counts(*at), counts)
    assert series.get_photons(*((T - 1, Z - 1) if name == "Volume" else (T - 1,)))[0].size == 0


def test_fields_of_histograms_phasors_and_lifetimes(nwbfile: Any) -> None:
    edges = nwbfile.lab_meta_data["TCSPCSettings"].bin_edges
    for name in ("PhotonHistogramSeriesPixel", "PhotonHistogramPixel"):
        found = item(nwbfile, name)
        np.testing.assert_allclose(found.bin_edges[:], edges)
        np.testing.assert_allclose(found.bin_centers, edges[:-1] + 0.375e-9)
        assert found.bin_edges__unit == "seconds"
    assert item(nwbfile, "PhotonHistogramSeriesPixel").samples_per_histogram == 4
    assert item(nwbfile, "PhotonHistogramPixel").time_span[:].tolist() == [0.4, 1.7]
    phasor = item(nwbfile, "PhasorSeriesRoi")
    assert (phasor.harmonic, phasor.frequency, phasor.calibration) == (2, 160e6, "reference")
    assert (phasor.phase_zero, phasor.modulation_zero, phasor.reference_lifetime) == (0.25, 1.125, 4e-9)
    assert phasor.intensity is nwbfile.acquisition["PhotonEventSeriesPlanar"]
    np.testing.assert_array_equal(phasor.g, phasor.data[:, :, 0])
    np.testing.assert_array_equal(phasor.s, phasor.data[:, :, 1])
    image = item(nwbfile, "LifetimeImageSeriesPlanar")
    assert (image.method, image.time_offset) == ("mean_delay", 1.5e-9)
    assert image.intensity is nwbfile.acquisition["PhotonEventSeriesPlanar"]


def test_fit_table(nwbfile: Any, written: Written) -> None:
    table = nwbfile.processing["ophys"]["LifetimeFitTable"]
    own = {name.partition("/")[2]: v for name, v in written.truth.items() if name.startswith("LifetimeFitTable/")}
    for name, values in own.items():
        np.testing.assert_array_equal(table[name].data[:], values, err_msg=name)
    assert list(table["channel"].data[:]) == ["green", "green", "red"]
    assert table["roi"].data[:].tolist() == [2, 0, 1]
    assert table["roi"].table.name == "PlaneSegmentation"
    assert table["lifetime"].unit == "seconds"
    assert table["photon_count"].unit == "photons"
    assert (table.model, table.estimator) == ("two exponentials", "poisson_maximum_likelihood")
    assert table.source.name == "PhotonHistogramSeriesRoi"
    assert len(table.to_dataframe()) == 3


def test_file_is_valid(written: Written) -> None:
    assert validate(path=str(written.path)) == []


def test_validation_would_say(written: Written, tmp_path: Path) -> None:
    """A missing index makes no valid file: the test above can fail."""
    path = tmp_path / "broken.nwb"
    path.write_bytes(written.path.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["acquisition/PhotonEventSeriesPlanar/frame_end"]
    assert "PhotonEventSeries/frame_end" in " ".join(map(str, validate(path=str(path))))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_inspector_finds_nothing_serious(written: Written) -> None:
    serious = {Importance.ERROR, Importance.PYNWB_VALIDATION, Importance.CRITICAL, Importance.BEST_PRACTICE_VIOLATION}
    found = inspect_nwbfile(nwbfile_path=written.path, config=load_config("dandi"))
    said = [f"{m.check_function_name}: {m.object_name}: {m.message}" for m in found if m.importance in serious]
    assert said == []


PLAIN = """
import sys
import h5py, numpy as np
from pynwb import NWBHDF5IO
path, truth = sys.argv[1], np.load(sys.argv[2])
checked = 0
with NWBHDF5IO(path, "r") as io:
    nwbfile = io.read()
    items = {**nwbfile.acquisition, **nwbfile.processing["ophys"].data_interfaces}
    for key in truth.files:
        name, _, field = key.partition("/")
        if name in items and field == "data":
            found = items[name]
            data = found.data if hasattr(found, "data") else found.counts
            np.testing.assert_array_equal(data[:], truth[key])
            assert found.tcspc_settings.repetition_rate == 80e6
            checked += 1
        elif name == "LifetimeFitTable":
            np.testing.assert_array_equal(items[name][field].data[:], truth[key])
            checked += 1
        elif field == "photons":
            series = items[name]
            stop = np.asarray(series.frame_end).reshape(-1).astype(int)
            start = stop - np.asarray(series.data).reshape(-1)
            rows = [(frame, pixel, delay)
                for frame, (a, b) in enumerate(zip(start, stop))
                for pixel, delay in zip(np.cumsum(series.pixel_step[a:b].astype(int)), series.delay_bin[a:b])]
            np.testing.assert_array_equal(rows, truth[key])
            checked += 1
    assert nwbfile.lab_meta_data["TCSPCSettings"].irf.center == 1.5e-9
    assert items["LifetimeImageSeriesPlanar"].unit == "seconds"
with h5py.File(path, "r") as file:
    np.testing.assert_array_equal(file["processing/ophys/PhasorSeriesRoi/data"][:], truth["PhasorSeriesRoi/data"])
    assert file["general/TCSPCSettings/tcspc_resolution"].attrs["unit"] == "seconds"
assert not [name for name in sys.modules if name.startswith(("ndx_flim", "scanimage_nwb"))]
print(checked)
"""


def test_plain_pynwb_reads_everything(written: Written, tmp_path: Path) -> None:
    """In a process without this package: the file's own copy of the specification is enough."""
    np.savez(tmp_path / "truth.npz", **written.truth)
    command = [sys.executable, "-c", PLAIN, str(written.path), str(tmp_path / "truth.npz")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    columns = sum(name.startswith("LifetimeFitTable/") for name in written.truth)
    assert int(result.stdout) == len(NAMES) + columns


@pytest.mark.filterwarnings("ignore::Warning")
def test_pynapple_opens_it(written: Written) -> None:
    nap = pytest.importorskip("pynapple")
    data = nap.load_file(str(written.path))
    decays = data["PhotonHistogramSeriesField"]
    np.testing.assert_array_equal(decays.values, written.truth["PhotonHistogramSeriesField/data"])
    np.testing.assert_allclose(decays.times(), written.truth["timestamps"])
    images = data["LifetimeImageSeriesPlanar"]
    np.testing.assert_array_equal(images.values, written.truth["LifetimeImageSeriesPlanar/data"])
    counts = data["PhotonEventSeriesPlanar"]
    assert np.asarray(counts.values).sum() == len(written.truth["PhotonEventSeriesPlanar/photons"])
    data.close()


def test_what_was_left_out_stays_out(tmp_path: Path) -> None:
    """No optional link or reference takes the target of another; hdmf does that to links to one type."""
    nwbfile = mock_NWBFile()
    plane = mock_ImagingPlane(nwbfile=nwbfile)
    detector = nwbfile.create_device("Detector")
    settings = ndx_flim.TCSPCSettings(
        name="tcspc", num_bins=4, repetition_rate=80e6, tcspc_resolution=3e-9, detector=detector
    )
    nwbfile.add_lab_meta_data(settings)
    common = {"rate": 1.0, "tcspc_settings": settings, "motion_corrected": False}
    fields = {"harmonic": 1, "calibration": "none", "frequency": 80e6}
    nwbfile.add_acquisition(ndx_flim.PhasorSeries(name="phasor", data=np.zeros((3, 2)), **fields, **common))
    nwbfile.add_acquisition(
        ndx_flim.LifetimeImageSeries(
            name="image", data=np.zeros((3, 2, 2)), method="fit", imaging_plane=plane, **common
        )
    )
    arrays = {"lifetime": [[2e-9]], "fraction": [[1.0]], "photon_count": [9]}
    table = ndx_flim.LifetimeFitTable.from_arrays(model="m", estimator="e", tcspc_settings=settings, **arrays)
    nwbfile.add_acquisition(table)
    with NWBHDF5IO(tmp_path / "small.nwb", "w") as io:
        io.write(nwbfile)
    with NWBHDF5IO(tmp_path / "small.nwb", "r") as io:
        found = io.read()
        own = found.lab_meta_data["tcspc"]
        assert own.detector is found.devices["Detector"]
        assert [own.tcspc_device, own.excitation_source, own.irf, own.time_offset] == [None] * 4
        phasor, image = found.acquisition["phasor"], found.acquisition["image"]
        assert [phasor.intensity, phasor.imaging_plane, phasor.rois, phasor.phase_zero] == [None] * 4
        assert [image.intensity, image.device, image.time_offset] == [None] * 3
        assert found.acquisition["LifetimeFitTable"].source is None
