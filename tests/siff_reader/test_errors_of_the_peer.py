"""What is known to go wrong in another reader of .siff files (corrosiffpy 0.1.2), each against the truth of the file.

The truth is what the writer of the file drew, or what was changed in its bytes; nothing here asks our own code for it.
"""

import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb.errors import PhotonRangeError, ScanImageNwbWarning
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import write_siff_recording
from scanimage_nwb.testing.siff_files import SyntheticSiff

BIN_S = 20e-12


def true_sums(written: SyntheticSiff, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the sum of photons, or of `weight` over them, in each pixel of each page."""
    n_pixels = written.counts[0].size
    flat = written.photon_page * n_pixels + written.photon_pixel
    return np.bincount(flat, weight, written.counts.size).reshape(written.counts.shape)


def pages_of(path: Path) -> list[tuple[int, dict[int, int]]]:
    """Return the offset of each directory, and its tags, found with `struct` alone."""
    data, pages = path.read_bytes(), []
    (ifd,) = struct.unpack_from("<Q", data, 8)
    while ifd:
        (n,) = struct.unpack_from("<Q", data, ifd)
        entries = [struct.unpack_from("<HHQQ", data, ifd + 8 + 20 * e) for e in range(n)]
        pages.append((ifd, {tag: value for tag, _, _, value in entries}))
        (ifd,) = struct.unpack_from("<Q", data, ifd + 8 + 20 * n)
    return pages


def test_flim_of_an_empty_compressed_page_fails(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, page_kinds=("compressed",), photons_per_page=(120, 0, 60), n_volumes=6)
    assert not written.counts[[1, 4]].any()
    reader = SiffReader(written.path)
    lifetime, counts = reader.flim_map()
    assert (counts == written.counts).all()
    with np.errstate(invalid="ignore"):
        expected = true_sums(written, (written.delay_bin + 0.5) * BIN_S) / written.counts
    np.testing.assert_allclose(lifetime, expected, rtol=1e-12)
    histogram = np.zeros((6, 629), np.int64)
    np.add.at(histogram, (written.photon_page, written.delay_bin), 1)
    assert (reader.get_histogram(framewise=True) == histogram).all()
    masked, n = reader.sum_masks_flim(np.ones((1, 16, 12), bool))
    assert n[0].tolist() == [120, 0, 60, 120, 0, 60]
    assert np.isnan(masked[0]).tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("kind", ["raw", "compressed"])
@pytest.mark.parametrize("n_photons", [99, 101, 105, 5_000, 60_000])
def test_mean_delay_overflows_above_a_hundred_photons_a_pixel(tmp_path: Path, kind: str, n_photons: int) -> None:
    """Delay bins around 600 add up to 65,536 at a little over 100 photons."""
    written = write_siff_recording(
        tmp_path, shape=(1, 2), photons_per_page=2 * n_photons, n_volumes=2, page_kinds=(kind,), lifetimes_s=(50e-9,)
    )
    lifetime, counts = SiffReader(written.path).flim_map()
    assert (counts == written.counts).all()
    delays = written.delay_bin.astype(np.float64)
    assert true_sums(written, delays).max() > 250 * n_photons
    np.testing.assert_allclose(lifetime, (true_sums(written, delays) / written.counts + 0.5) * BIN_S, rtol=1e-12)


def test_masked_histogram_with_registration_rolls_the_wrong_way(tmp_path: Path) -> None:
    """Shifts that are not their own opposite, and a mask off the centre: the two ways differ in every frame."""
    written = write_siff_recording(tmp_path, n_volumes=6, shape=(16, 12), page_kinds=("raw", "compressed"))
    shifts = {page: (2 + page, -3) for page in range(6)}
    mask = np.zeros((16, 12), bool)
    mask[1:6, 2:7] = True
    dy, dx = np.array([shifts[page] for page in written.photon_page]).T
    y, x = np.divmod(written.photon_pixel, 12)

    def histogram(sign: int) -> np.ndarray:
        inside = mask[(y + sign * dy) % 16, (x + sign * dx) % 12]
        found = np.zeros((6, 629), np.int64)
        np.add.at(found, (written.photon_page[inside], written.delay_bin[inside]), 1)
        return found

    assert (histogram(1) != histogram(-1)).any(axis=1).all()
    reader = SiffReader(written.path)
    assert (reader.get_histogram(None, mask, framewise=True, registration_dict=shifts) == histogram(1)).all()
    assert (reader.get_histogram(None, mask, registration_dict=shifts) == histogram(1).sum(axis=0)).all()


@pytest.mark.parametrize(
    ("photon", "what"),
    [
        (16 << 48 | 3 << 32 | 5, "row 16 of 16"),
        (3 << 48 | 12 << 32 | 5, "column 12 of 12"),
        (2 << 48 | 13 << 32 | 5, "column 13: flat index within the page"),
        (0xFFFF << 48 | 0xFFFF << 32, "the last row and column there can be"),
        (3 << 48 | 4 << 32 | 629, "bin 629 of 629"),
        (3 << 48 | 4 << 32 | 0xFFFF_FFFF, "the last bin there can be"),
    ],
)
def test_out_of_range_pixels_and_bins_wrap(tmp_path: Path, photon: int, what: str) -> None:
    written = write_siff_recording(tmp_path, n_volumes=3, page_kinds=("raw",))
    data = bytearray(written.path.read_bytes())
    struct.pack_into("<Q", data, pages_of(written.path)[1][1][273], photon)
    written.path.write_bytes(data)
    first = int(np.flatnonzero(written.photon_page == 1)[0])
    kept = np.arange(written.photon_page.size) != first
    with pytest.raises(PhotonRangeError, match="page 1 "):
        SiffReader(written.path).get_histogram()
    reader = SiffReader(written.path, strict=False)
    with pytest.warns(ScanImageNwbWarning, match="1 photon"):
        photons = reader.photons()
    assert (photons.pixel == written.photon_pixel[kept]).all(), what
    assert (photons.delay_bin == written.delay_bin[kept]).all(), what
    with pytest.warns(ScanImageNwbWarning, match="1 photon"):
        histogram = reader.get_histogram()
    assert (histogram == np.bincount(written.delay_bin[kept], minlength=629)).all()


def test_a_bin_out_of_range_on_a_compressed_page_wraps(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, n_volumes=3, page_kinds=("compressed",))
    data = bytearray(written.path.read_bytes())
    struct.pack_into("<H", data, pages_of(written.path)[1][1][273], 629)
    written.path.write_bytes(data)
    kept = np.arange(written.photon_page.size) != int(np.flatnonzero(written.photon_page == 1)[0])
    with pytest.raises(PhotonRangeError, match="1 beyond the last of 629"):
        SiffReader(written.path).get_histogram()
    with pytest.warns(ScanImageNwbWarning, match="1 photon"):
        histogram = SiffReader(written.path, strict=False).get_histogram()
    assert (histogram == np.bincount(written.delay_bin[kept], minlength=629)).all()


@pytest.mark.parametrize("n_photons", [65_535, 65_536, 70_000, 131_072])
def test_more_than_65535_photons_in_a_pixel_wrap(tmp_path: Path, n_photons: int) -> None:
    written = write_siff_recording(
        tmp_path, shape=(1, 1), photons_per_page=(n_photons, 3), n_volumes=2, page_kinds=("raw",)
    )
    reader = SiffReader(written.path)
    assert reader.get_frames().reshape(-1).tolist() == [n_photons, 3]
    assert reader.flim_map()[1].reshape(-1).tolist() == [n_photons, 3]
    assert reader.sum_mask(np.ones((1, 1), bool)).tolist() == [n_photons, 3]


def test_events_without_timestamps_vanish(tmp_path: Path) -> None:
    events = [(0, "first page", None), (3, "no time", None), (3, "with time", 0.5), (4, "", None), (9, "last", None)]
    written = write_siff_recording(tmp_path, n_planes=2, n_flyback=1, n_volumes=4, appended_text=events)
    found = SiffReader(written.path).get_appended_text()
    assert [(event.frame, event.text, event.time_s) for event in found] == events


LOOP = """
import sys, warnings
from scanimage_nwb.siff_reader import SiffReader
warnings.simplefilter("ignore")
print(*(len(SiffReader(path).get_frames()) for path in sys.argv[1:]))
"""


def test_loops_hang(tmp_path: Path) -> None:
    """The last page points to the first, to another, or to itself. In a process that can be ended if it hangs."""
    paths = []
    for target in (0, 3, 5):
        written = write_siff_recording(tmp_path, name=f"loop{target}", n_volumes=6)
        pages, data = pages_of(written.path), bytearray(written.path.read_bytes())
        last = pages[-1][0]
        (n,) = struct.unpack_from("<Q", data, last)
        struct.pack_into("<Q", data, last + 8 + 20 * n, pages[target][0])
        written.path.write_bytes(data)
        paths.append(str(written.path))
    result = subprocess.run(
        [sys.executable, "-c", LOOP, *paths], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split() == ["6", "6", "6"]
    for path in paths:
        with pytest.warns(ScanImageNwbWarning, match="loop"):
            assert (SiffReader(path).get_frames() == written.counts).all()


def test_epoch_is_fitted_over_the_requested_frames_only_and_is_far_off(tmp_path: Path) -> None:
    """Ten minutes of a clock that runs 40 ppm fast: 24 ms at the end."""
    written = write_siff_recording(
        tmp_path, n_volumes=6000, frame_rate_hz=10.0, shape=(1, 1), photons_per_page=1, drift_ppm=40.0
    )
    reader = SiffReader(written.path)
    whole = reader.get_time(None, "epoch")
    for frames in ([0], [5999], [3, 4], [5990, 10, 400], range(100, 130)):
        assert (reader.get_time(frames, "epoch") == whole[list(frames)]).all()
    late_ns = whole - written.true_epoch_ns
    assert np.abs(late_ns).max() < 8e6, "the host answers 4 ms late, give or take; no fit is better than that"
    assert abs(int(late_ns[-1]) - int(late_ns[0])) < 2e6, "the drift is gone"
    raw_ns = reader.get_time(None, "laser_epoch") - written.true_epoch_ns
    assert raw_ns[-1] > 20e6


@pytest.mark.parametrize("n_discarded", [1, 3])
@pytest.mark.parametrize("discard", ["true", "false"])
def test_fast_z_off_with_discarded_flyback_frames_loses_frames(tmp_path: Path, n_discarded: int, discard: str) -> None:
    overrides = {
        "hFastZ.enable": "false",
        "hFastZ.numDiscardFlybackFrames": str(n_discarded),
        "hFastZ.discardFlybackFrames": discard,
    }
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_volumes=8, header_overrides=overrides)
    reader = SiffReader(written.path)
    assert (reader.get_frames(color_channel=None) == written.counts).all()
    assert reader.im_params.flyback_frames == []
    assert reader.im_params.flatten_by_timepoints(color_channel=1) == [1, 3, 5, 7, 9, 11, 13, 15]


@pytest.mark.parametrize(
    "key", ["hFastZ.userInfo", "hScan2D.hAcq.comment", "hChannels.channelColor", "hRoiManager.imagingFovUm"]
)
def test_header_values_are_evaluated(tmp_path: Path, key: str) -> None:
    trap = tmp_path / "trap"
    code = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    written = write_siff_recording(tmp_path, header_overrides={key: code})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)
        reader = SiffReader(written.path)
    shown = str(reader.im_params) + str(reader.recording.header.as_dict())
    assert "pathlib" in shown, "the text is there, as text"
    assert (reader.get_frames() == written.counts).all()
    assert not trap.exists()


@pytest.mark.parametrize(("bin_resolution", "num_bins"), [(0, 2516), (1, 1258), (3, 315), (5, 79)])
def test_only_bins_of_20_ps(tmp_path: Path, bin_resolution: int, num_bins: int) -> None:
    bin_s = 5e-12 * 2**bin_resolution
    written = write_siff_recording(tmp_path, bin_resolution=bin_resolution, num_bins=num_bins, n_volumes=3)
    reader = SiffReader(written.path)
    assert (reader.num_bins, reader.tcspc_resolution_s) == (num_bins, bin_s)
    assert (reader.get_histogram() == np.bincount(written.delay_bin, minlength=num_bins)).all()
    sums = np.bincount(written.photon_page, (written.delay_bin + 0.5) * bin_s)
    found, _ = reader.sum_masks_flim(np.ones((1, 16, 12), bool))
    np.testing.assert_allclose(found[0], sums / 200, rtol=1e-12)
    assert 2e-9 < found.mean() < 5e-9, "seconds, whatever the width of a bin"
