"""Equal to corrosiffpy where corrosiffpy is right: another reader, by other people, of the same files.

Runs where corrosiffpy is installed (the extra `bench`). Where it is known to be wrong, see `test_errors_of_the_peer`.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import write_siff_recording

corrosiffpy = pytest.importorskip("corrosiffpy", reason="the peer is not installed (extra `bench`)")

# Pages of the peer's compressed kind are never empty here, and no pixel has a hundred photons: there it is wrong.
FILES: dict[str, dict[str, Any]] = {
    "raw": {"page_kinds": ("raw",), "n_volumes": 40},
    "compressed": {"page_kinds": ("compressed",), "n_volumes": 40},
    "mixed": {"page_kinds": ("raw", "compressed"), "photons_per_page": (900, 20, 1, 333), "n_volumes": 40},
    "wide": {"shape": (5, 300), "photons_per_page": (2000, 7), "n_volumes": 12},
    "volumes": {"channel_save": (1, 2), "n_planes": 3, "n_flyback": 1, "n_volumes": 9, "photons_per_page": (90, 800)},
    "cut": {"channel_save": (1, 2), "n_planes": 3, "n_volumes": 6, "n_pages": 29},
    "bright": {"photons_per_page": 9000, "n_volumes": 6},
}
BIN_S = 20e-12


@pytest.fixture(scope="module", params=FILES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[SiffReader, Any]:
    """Our reader and the peer's, of one file."""
    path = write_siff_recording(tmp_path_factory.mktemp(request.param), **FILES[request.param]).path
    return open_both(path)


@pytest.fixture(params=["mixed_pages", "plane_raw", "volume_two_colors"])
def shared(request: pytest.FixtureRequest, data_dir: Path) -> tuple[SiffReader, Any]:
    """Our reader and the peer's, of one shared file."""
    path = data_dir / "siff" / f"{request.param}.siff"
    if not path.is_file():
        pytest.skip("no .siff files among the test data")
    return open_both(path)


def open_both(path: Path) -> tuple[SiffReader, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)  # some end within a volume
        return SiffReader(path), corrosiffpy.open_file(str(path))


def every_second(reader: SiffReader) -> list[int]:
    """Return frames out of order, with gaps and a repetition."""
    return [*range(reader.num_frames - 1, -1, -2), 0, 0]


def shifts_of(reader: SiffReader) -> dict[int, tuple[int, int]]:
    rng = np.random.default_rng(1)
    rows, columns = reader.im_params.shape
    return {i: (int(rng.integers(rows)), int(rng.integers(columns))) for i in range(reader.num_frames)}


def some_masks(reader: SiffReader, n: int) -> np.ndarray:
    return np.random.default_rng(2).random((n, *reader.im_params.shape)) > 0.6


def own_bins(reader: SiffReader, histogram: np.ndarray) -> np.ndarray:
    """Return the peer's histogram without the two bins behind the last one that it adds, which stay empty."""
    n_bins = reader.num_bins
    assert histogram.shape[-1] == n_bins + 2
    assert not histogram[..., n_bins:].any()
    return histogram[..., :n_bins]


def test_frames(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    assert ours.num_frames == peer.num_frames()
    assert ours.im_params.shape == tuple(peer.frame_shape())
    for frames in (list(range(ours.num_frames)), every_second(ours)):
        np.testing.assert_array_equal(ours.get_frames(frames), peer.get_frames(frames=frames))


def test_registered_frames(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    frames, shifts = list(range(ours.num_frames)), shifts_of(ours)
    expected = peer.get_frames(frames=frames, registration=shifts)
    np.testing.assert_array_equal(ours.get_frames(frames, shifts), expected)
    assert (expected != ours.get_frames(frames)).any()


def test_histograms(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    for frames in (list(range(ours.num_frames)), every_second(ours)):
        pooled = own_bins(ours, peer.get_histogram(frames=frames))
        np.testing.assert_array_equal(ours.get_histogram(frames), pooled)
        framewise = own_bins(ours, peer.get_histogram_by_frames(frames=frames))
        np.testing.assert_array_equal(ours.get_histogram(frames, framewise=True), framewise)


def test_masked_histograms(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    (mask,), frames = some_masks(ours, 1), list(range(ours.num_frames))
    expected = own_bins(ours, peer.get_histogram_masked(mask, frames=frames))
    np.testing.assert_array_equal(ours.get_histogram(frames, mask, framewise=True), expected)


def test_sums_over_masks(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    masks, frames = some_masks(ours, 7), every_second(ours)
    np.testing.assert_array_equal(ours.sum_masks(masks, frames), peer.sum_rois(masks, frames=frames))
    np.testing.assert_array_equal(ours.sum_mask(masks[3], frames), peer.sum_roi(masks[3], frames=frames))


def test_sums_over_masks_with_registration(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    masks, frames, shifts = some_masks(ours, 3), list(range(ours.num_frames)), shifts_of(ours)
    expected = peer.sum_rois(masks, frames=frames, registration=shifts)
    np.testing.assert_array_equal(ours.sum_masks(masks, frames, shifts), expected)


def test_mean_delays(both: tuple[SiffReader, Any]) -> None:
    """The peer counts from the left edge of bins, in bins; we from their centre, in seconds."""
    ours, peer = both
    frames = list(range(ours.num_frames))
    bins, counts, _ = peer.flim_map(frames=frames)
    lifetime, n = ours.flim_map(frames)
    np.testing.assert_array_equal(n, counts)
    assert n.max() < 100
    lit = n > 0
    np.testing.assert_allclose(lifetime[lit], (bins[lit] + 0.5) * BIN_S, rtol=1e-12)


def test_times(both: tuple[SiffReader, Any]) -> None:
    ours, peer = both
    for frames in (list(range(ours.num_frames)), every_second(ours)):
        np.testing.assert_array_equal(ours.get_time(frames), peer.get_experiment_timestamps(frames=frames))
        laser, host = peer.get_epoch_both(frames=frames)
        np.testing.assert_array_equal(ours.get_time(frames, "laser_epoch"), laser.astype(np.int64))
        np.testing.assert_array_equal(ours.get_time(frames, "host_epoch"), host.astype(np.int64))


def test_appended_text_with_times(tmp_path: Path) -> None:
    events = [(1, "Bar on", 0.5), (7, "LED = 1", 0.75)]
    ours, peer = open_both(write_siff_recording(tmp_path, appended_text=events).path)
    found = [(event.frame, event.text, event.time_s) for event in ours.get_appended_text()]
    assert [(frame, text.strip(), time_s) for frame, text, time_s in peer.get_appended_text()] == found == events


def test_shared_files(shared: tuple[SiffReader, Any]) -> None:
    """Histograms without the pages that hold no photon: the peer fails on compressed ones."""
    ours, peer = shared
    frames = list(range(ours.num_frames))
    np.testing.assert_array_equal(ours.get_frames(frames), peer.get_frames(frames=frames))
    lit = np.flatnonzero(ours.get_frames(frames).any(axis=(1, 2))).tolist()
    np.testing.assert_array_equal(ours.get_histogram(lit), own_bins(ours, peer.get_histogram(frames=lit)))
    np.testing.assert_array_equal(ours.get_time(frames), peer.get_experiment_timestamps(frames=frames))
    masks = some_masks(ours, 4)
    np.testing.assert_array_equal(ours.sum_masks(masks, frames), peer.sum_rois(masks, frames=frames))
