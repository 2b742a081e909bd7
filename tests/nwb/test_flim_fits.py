"""Fits and lifetimes of regions in NWB: equal to what the photons were drawn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pynwb import NWBHDF5IO, validate

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.flim import Irf, MeasuredIrf
from scanimage_nwb.nwb import FlimInterface, write_nwbfile
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording

TAU_S, OFFSET_S, SIGMA_S = 2.2e-9, 1.5e-9, 0.08e-9


@pytest.fixture(scope="module")
def siff(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSiff:
    """Volumes of two planes with flyback, the second one dimmer; every third volume is dark."""
    return write_siff_recording(
        tmp_path_factory.mktemp("siff"),
        n_planes=2,
        n_flyback=1,
        n_volumes=12,
        photons_per_page=(3000, 1200, 5, 2500, 1100, 5, 0, 0, 5),
        page_kinds=("raw", "compressed"),
        lifetimes_s=(TAU_S,),
    )


@pytest.fixture(scope="module")
def masks() -> NDArray[np.bool_]:
    """Three regions over the planes, which overlap; the last holds nothing."""
    found = np.random.default_rng(0).random((3, 2, 16, 12)) < 0.4
    found[2] = False
    return found


def photons_within(siff: SyntheticSiff, masks: NDArray) -> NDArray[np.int64]:
    """Return photons of volumes and regions by delay bin, shape (volumes, masks, bins), page by page."""
    n_volumes = int(siff.volume.max()) + 1
    out = np.zeros((n_volumes, len(masks), 629), np.int64)
    for page in np.flatnonzero(siff.plane >= 0):
        own = siff.photon_page == page
        for roi, mask in enumerate(masks[:, siff.plane[page]].reshape(len(masks), -1)):
            delays = siff.delay_bin[own][mask[siff.photon_pixel[own]]]
            np.add.at(out[siff.volume[page], roi], delays, 1)
    return out


def add(siff: SyntheticSiff, masks: Any = None, irf: Any = None, **options: Any) -> Any:
    """Return a file in memory, its interface told what is known."""
    interface = FlimInterface(siff.path)
    interface.masks, interface.irf = masks, irf
    return interface.create_nwbfile(**{"photons": False, **options})


def test_fits_and_region_lifetimes_survive_the_file(siff: SyntheticSiff, masks: NDArray, tmp_path: Path) -> None:
    nwbfile = add(siff, masks, fit=1, roi_lifetime=True, histograms="roi", offset_s=OFFSET_S)
    write_nwbfile(nwbfile, tmp_path / "a.nwb", progress=False)
    assert validate(path=str(tmp_path / "a.nwb")) == []
    truth = photons_within(siff, masks)
    with NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        found = io.read()
        ophys = found.processing["ophys"]
        planes, rois = ophys["LifetimeFitTable"], ophys["LifetimeFitTableRoi"]
        assert planes["plane"].data[:].tolist() == [0, 1]
        assert planes["photon_count"].data[:].tolist() == [8 * 3000 - 4 * 500, 8 * 1200 - 4 * 100]
        np.testing.assert_allclose(planes["irf_center"].data[:], OFFSET_S, atol=0.02e-9)
        errors = planes["lifetime_error"].data[:]
        assert (np.abs(planes["lifetime"].data[:] - TAU_S) < 4 * errors).all()
        assert ((errors > 0.005e-9) & (errors < 0.1e-9)).all()
        assert planes["converged"].data[:].all()
        assert (planes["reduced_chi_squared"].data[:] < 1.5).all()
        assert planes.tcspc_settings is found.lab_meta_data["TCSPCSettings"]
        assert "one exponential, convolved with a Gaussian IRF that is fitted" in planes.model
        assert rois["photon_count"].data[:].tolist() == truth.sum(axis=(0, 2)).tolist()
        assert rois["converged"].data[:].tolist() == [True, True, False]
        assert rois["message"].data[:].tolist() == ["", "", "0 photons are fewer than 1"]
        assert (np.abs(rois["lifetime"].data[:2] - TAU_S) < 0.1e-9).all()
        segmentation = ophys["ImageSegmentation"]["PlaneSegmentationFlim"]
        traces = ophys["FluorescenceLifetime"]
        for region in (rois["roi"], traces["RoiLifetime"].rois, ophys["PhotonHistogramSeriesRoi"].rois):
            assert region.table is segmentation
            assert region.data[:].tolist() == [0, 1, 2]
        lifetime, counts = traces["RoiLifetime"], traces["RoiPhotonCount"]
        assert (lifetime.unit, counts.unit) == ("seconds", "photons")
        np.testing.assert_array_equal(counts.data[:], truth.sum(axis=2))
        with np.errstate(invalid="ignore"):
            mean = truth @ ((np.arange(629) + 0.5) * 20e-12 - OFFSET_S) / truth.sum(axis=2)
        np.testing.assert_allclose(lifetime.data[:], mean, rtol=1e-5)
        last = np.flatnonzero(siff.plane == 1)
        times = lifetime.timestamps[:] if lifetime.rate is None else np.arange(12) / lifetime.rate
        shift = 0 if lifetime.rate is None else lifetime.starting_time
        np.testing.assert_allclose(times + shift, siff.experiment_time_s[last], atol=1e-5)
        assert "PhotonHistogramSeriesRoiOriginalFrameIndices" in ophys.data_interfaces, "without photons, it is first"


def test_weights_make_means_but_no_fits(siff: SyntheticSiff, masks: NDArray) -> None:
    weights = masks[:2] * np.random.default_rng(1).random((2, 16, 12))[:, np.newaxis]
    with pytest.raises(MetadataError, match="masks are weights"):
        add(siff, weights, fit=1)
    nwbfile = add(siff, weights, roi_lifetime=True)
    data = nwbfile.processing["ophys"]["FluorescenceLifetime"]["RoiPhotonCount"].data
    found = data._get_data((slice(0, 12), slice(0, 2)))
    expected = np.zeros((12, 2))
    for page in np.flatnonzero(siff.plane >= 0):
        expected[siff.volume[page]] += np.einsum("yx,myx->m", siff.counts[page], weights[:, siff.plane[page]])
    np.testing.assert_allclose(found, expected)
    as_numbers = add(siff, masks.astype(float), fit=1).processing["ophys"]["LifetimeFitTableRoi"]
    assert as_numbers["photon_count"].data.tolist() == photons_within(siff, masks).sum(axis=(0, 2)).tolist()


def test_a_response_that_is_known(siff: SyntheticSiff) -> None:
    nwbfile = add(siff, irf=Irf(1.5, 0.08, "nanoseconds"), fit=1)
    table, settings = nwbfile.processing["ophys"]["LifetimeFitTable"], nwbfile.lab_meta_data["TCSPCSettings"]
    np.testing.assert_allclose(table["irf_center"].data, OFFSET_S)
    np.testing.assert_allclose([settings.irf.center, settings.irf.sigma], [OFFSET_S, SIGMA_S])
    assert "IRF that is known" in table.model
    weights = np.exp(-0.5 * ((np.arange(629) + 0.5 - 75) / 4) ** 2)
    nwbfile = add(siff, irf=MeasuredIrf(weights), fit=1)
    table, settings = nwbfile.processing["ophys"]["LifetimeFitTable"], nwbfile.lab_meta_data["TCSPCSettings"]
    assert (np.abs(np.array(table["lifetime"].data) - TAU_S) < 0.1e-9).all()
    np.testing.assert_allclose(settings.irf.counts, weights / weights.sum())
    assert "irf_center" not in table.colnames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": 5}, "fit is 5; expected the number of exponentials"),
        ({"fit": 0}, "fit is 0"),
        ({"roi_lifetime": True}, "set the interface's masks"),
        ({}, "nothing is to be written"),
        ({"roi_lifetime": True, "masks": -np.ones((1, 16, 12))}, "not negative"),
        ({"roi_lifetime": True, "masks": np.full((1, 16, 12), np.nan)}, "finite"),
        ({"fit": 1, "masks": np.ones((1, 16, 13), bool)}, "masks have shape"),
    ],
)
def test_options_that_cannot_be(siff: SyntheticSiff, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        add(siff, **options)
