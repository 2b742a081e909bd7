"""Histograms with names and coordinates: every photon where the truth has it, summed over axes left out."""

import itertools

import numpy as np
import pytest

from scanimage_nwb import SiffReader
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording


@pytest.fixture(scope="module")
def siff(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSiff:
    """Two channels, two planes, flyback; raw and compressed pages."""
    return write_siff_recording(
        tmp_path_factory.mktemp("siff"),
        channel_save=(1, 2),
        n_planes=2,
        n_flyback=1,
        n_volumes=4,
        shape=(6, 5),
        photons_per_page=(300, 120, 40),
        page_kinds=("raw", "compressed"),
    )


@pytest.fixture(scope="module")
def truth(siff: SyntheticSiff) -> np.ndarray:
    """Photons by (T, Z, C, Y, X, H), added one by one."""
    out = np.zeros((4, 2, 2, 30, 629), np.int64)
    page = siff.photon_page
    inside = siff.plane[page] >= 0
    page = page[inside]
    place = siff.volume[page], siff.plane[page], siff.channel[page], siff.photon_pixel[inside], siff.delay_bin[inside]
    np.add.at(out, place, 1)
    return out.reshape(4, 2, 2, 6, 5, 629)


@pytest.mark.parametrize(
    "dims",
    ["".join(kept) + yx + "H" for n in range(4) for kept in itertools.combinations("TZC", n) for yx in ("", "YX")],
)
def test_any_axes(dims: str, siff: SyntheticSiff, truth: np.ndarray) -> None:
    with SiffReader(siff.path) as reader:
        found = reader.to_xarray(dims, color_channel=None)
    added = tuple(i for i, axis in enumerate("TZCYXH") if axis not in dims)
    assert found.dims == tuple(dims)
    np.testing.assert_array_equal(found.values, truth.sum(axis=added))


def test_parts_and_labels(siff: SyntheticSiff, truth: np.ndarray) -> None:
    with SiffReader(siff.path) as reader:
        found = reader.to_xarray("TZCH", slice(1, 3), bins=(60, 105), bin_factor=10, color_channel=1)
        chosen = reader.to_xarray("TH", [3, 0])
    own = truth[1:3, :, 1:, :, :, 60:105].sum(axis=(3, 4))
    np.testing.assert_array_equal(found.values, np.add.reduceat(own, range(0, 45, 10), axis=-1))
    np.testing.assert_allclose(found.H, np.array([65, 75, 85, 95, 102.5]) * 0.02)
    np.testing.assert_allclose(found.phase, 2 * np.pi * 0.08 * found.H)
    assert (found.attrs["frequency"], found.C.values.tolist(), found.H.attrs["units"]) == (80.0, ["Channel 2"], "ns")
    np.testing.assert_array_equal(chosen.values, truth[[3, 0], :, 0].sum(axis=(1, 2, 3)))
    last = np.flatnonzero((siff.plane == 1) & (siff.channel == 0))
    np.testing.assert_allclose(chosen["T"], siff.experiment_time_s[last][[3, 0]], atol=1e-6)


def test_shifts_move_photons(siff: SyntheticSiff, truth: np.ndarray) -> None:
    shifts = dict.fromkeys(range(len(siff.plane)), (2, -1))
    with SiffReader(siff.path) as reader:
        found = reader.to_xarray("YXH", registration_dict=shifts)
    np.testing.assert_array_equal(found.values, np.roll(truth[:, :, 0].sum(axis=(0, 1)), (2, -1), (0, 1)))


@pytest.mark.parametrize("dims", ["HT", "YX", "YH", "QH", "", "TTH", "XYH"])
def test_axes_that_cannot_be(dims: str, siff: SyntheticSiff) -> None:
    with SiffReader(siff.path) as reader, pytest.raises(ValueError, match="expected axes of TZCYXH"):
        reader.to_xarray(dims)


def test_no_samples(siff: SyntheticSiff) -> None:
    with SiffReader(siff.path) as reader, pytest.raises(ValueError, match="there is no sample"):
        reader.to_xarray("H", slice(9, 9))
