"""Traces against NumPy on the decoded frames, and on .siff files against the truth."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb import ScanImageImagingExtractor, SiffImagingExtractor, SiffReader
from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces import (
    ImageSums,
    RoiSet,
    TraceBlock,
    background_rois,
    extract_photon_traces,
    extract_traces,
    extracting,
    iter_traces,
    neuropil_rois,
    storage,
)
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording


def random_masks(rng: np.random.Generator, shape: tuple[int, ...], n: int = 5) -> np.ndarray:
    """Return boolean masks that overlap, none empty."""
    masks = rng.random((n, *shape)) < 0.3
    masks[(slice(None), *(size // 2 for size in shape))] = True
    return masks


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["i2", "u2", "u1", "i4", "u8", ">i2", "f4", "?"]),
    weighted=st.booleans(),
    shifted=st.booleans(),
    buffer_bytes=st.sampled_from([1, 2000, 1 << 20]),
)
def test_equal_to_numpy(seed: int, dtype: str, weighted: bool, shifted: bool, buffer_bytes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 4)), int(rng.integers(3, 9)), int(rng.integers(3, 9)))
    frames = rng.integers(0, 100, (int(rng.integers(1, 9)), *shape)).astype(dtype)
    masks = random_masks(rng, shape)
    masks = masks * rng.integers(1, 4, masks.shape) if weighted else masks
    shifts = rng.integers(-9, 10, (*frames.shape[:2], 2)) if shifted else None
    traces = extract_traces(
        frames, RoiSet.from_masks(masks), shifts=shifts, edges="wrap", background=True, buffer_bytes=buffer_bytes
    )
    moved = frames.astype(np.float64)
    for at in np.ndindex(*frames.shape[:2]) if shifts is not None else ():
        moved[at] = np.roll(moved[at], tuple(shifts[at]), (0, 1))
    expected = np.array([[(frame * mask).sum() for mask in masks] for frame in moved])
    np.testing.assert_array_equal(traces.sums, expected)
    assert (traces.sums.dtype == np.int64) == (dtype != "f4" and not weighted)
    np.testing.assert_allclose(traces.means, expected / masks.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(traces.n_pixels, (masks != 0).sum(axis=(1, 2, 3))[np.newaxis])
    outside = ~(masks != 0).any(axis=0)
    for plane in range(shape[0]):
        if outside[plane].any():
            np.testing.assert_allclose(traces.background[:, plane], moved[:, plane, outside[plane]].mean(axis=1))
        else:
            assert np.isnan(traces.background[:, plane]).all()


def test_pixels_beyond_an_edge_are_left_out_of_the_mean() -> None:
    frames = np.arange(24.0).reshape(2, 3, 4)
    rois = RoiSet.from_pixels([[(0, 0), (1, 0), (2, 0)]], (3, 4))
    traces = extract_traces(frames, rois, shifts=[(1, 0), (0, 0)])
    # the first frame is moved down by one: rows 0 and 1 come to rows 1 and 2, and nothing to row 0
    np.testing.assert_array_equal(traces.sums[:, 0], [0 + 4, 12 + 16 + 20])
    np.testing.assert_array_equal(traces.n_pixels[:, 0], [2, 3])
    np.testing.assert_array_equal(traces.means[:, 0], [2, 16])


def test_a_mask_that_a_shift_moves_out_is_refused_before_anything_is_read() -> None:
    class NeverRead:
        shape = (5, 1, 4, 4)

        def read(self, start: int, stop: int) -> np.ndarray:
            raise AssertionError("frames were read")

    shifts = np.zeros((5, 2), int)
    shifts[3] = 0, -2
    rois = RoiSet.from_pixels([[(1, 1)], [(3, 3)]], (4, 4), ids=["middle", "corner"])
    with pytest.raises(RoiError, match=r"'corner' lies outside.* sample 3 .*\(0, -2\)"):
        iter_traces(NeverRead(), rois, shifts=shifts)
    with pytest.raises(AssertionError, match="were read"):
        list(iter_traces(NeverRead(), rois, shifts=shifts, edges="wrap"))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 6, 5), r"5 x 6: they belong to another recording.* exchanged"),
        ((1, 5, 7), "belong to another recording"),
        ((2, 5, 6), "expected masks for each plane"),
    ],
)
def test_masks_of_another_shape(shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(RoiError, match=message):
        iter_traces(np.zeros((3, 5, 6)), RoiSet.from_masks(np.ones((1, *shape), bool)))


def test_masks_of_one_plane_on_a_volume_ask_which() -> None:
    rois = RoiSet.from_masks(np.ones((1, 5, 6), bool))
    frames = np.arange(180).reshape(3, 2, 5, 6)
    with pytest.raises(RoiError, match="which plane"):
        iter_traces(frames, rois)
    np.testing.assert_array_equal(extract_traces(frames, rois.in_plane(1, 2)).sums[:, 0], frames[:, 1].sum((1, 2)))
    np.testing.assert_array_equal(extract_traces(frames, rois.through_planes(2)).sums[:, 0], frames.sum((1, 2, 3)))


@pytest.mark.parametrize(
    ("shifts", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (np.full((4, 2), 0.5), "round them"),
        (np.full((4, 2), np.nan), "round them"),
        (np.full((4, 2), "a"), "whole numbers"),
    ],
)
def test_bad_shifts(shifts: np.ndarray, message: str) -> None:
    with pytest.raises(RoiError, match=message):
        iter_traces(np.zeros((4, 5, 6)), RoiSet.from_masks(np.ones((1, 5, 6), bool)), shifts=shifts)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 5)), r"\(samples, \[planes,\] rows"),
        ([1, 2], "from a list"),
        (np.zeros((4, 5, 6), "c8"), "numbers"),
    ],
)
def test_what_is_no_source(source: object, message: str) -> None:
    with pytest.raises(RoiError, match=message):
        extract_traces(source, RoiSet.from_masks(np.ones((1, 5, 6), bool)))


class Counted:
    """A source that tells how many threads read it at once, and may fail."""

    def __init__(self, frames: np.ndarray, *, any_thread: bool, fails_at: int | None = None) -> None:
        self.frames, self.shape = frames, frames.shape
        self.reads_on_any_thread, self.fails_at = any_thread, fails_at
        self.reading, self.most = 0, 0
        self._lock = threading.Lock()

    def read(self, start: int, stop: int) -> np.ndarray:
        with self._lock:
            self.reading += 1
            self.most = max(self.most, self.reading)
        if self.fails_at is not None and start <= self.fails_at < stop:
            raise OSError("the disk is gone")
        time.sleep(0.0005)
        with self._lock:
            self.reading -= 1
        return self.frames[start:stop]


@pytest.mark.parametrize("any_thread", [False, True])
@pytest.mark.parametrize("images", [False, True])
def test_many_buffers_come_in_order(any_thread: bool, images: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extracting, "_THREADS", 4)
    frames = np.random.default_rng(0).integers(-99, 99, (300, 2, 5, 6)).astype(np.int16)
    masks = random_masks(np.random.default_rng(1), (2, 5, 6))
    source = Counted(frames, any_thread=any_thread)
    sums = ImageSums((2, 5, 6)) if images else None
    blocks = list(iter_traces(source, RoiSet.from_masks(masks), buffer_bytes=1, image_sums=sums))
    assert [block.start for block in blocks] == np.cumsum([0, *(len(block.sums) for block in blocks[:-1])]).tolist()
    assert len(blocks) >= 9
    expected = np.einsum("tzyx,mzyx->tm", frames.astype(np.int64), masks.astype(np.int64))
    np.testing.assert_array_equal(np.concatenate([block.sums for block in blocks]), expected)
    assert (source.most > 1) == any_thread
    if sums is not None:
        np.testing.assert_allclose(sums.mean(), frames.mean(axis=0))


def test_a_source_that_fails_says_so_and_is_read_no_further() -> None:
    source = Counted(np.ones((3000, 1, 5, 6), np.int16), any_thread=True, fails_at=700)
    blocks: list[TraceBlock] = []
    with pytest.raises(OSError, match="disk is gone"):
        blocks.extend(iter_traces(source, RoiSet.from_masks(np.ones((1, 5, 6), bool)), buffer_bytes=1))
    assert 0 < sum(len(block.sums) for block in blocks) <= 700
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sum-rois")]


def test_large_results_lie_in_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    frames, rois = rng.integers(0, 99, (50, 6, 7)), RoiSet.from_masks(random_masks(rng, (6, 7)))
    shifts = rng.integers(-1, 2, (50, 2))
    shifts[:20] = 0
    options = {"shifts": shifts, "background": True, "buffer_bytes": 1}
    in_memory = extract_traces(frames, rois, **options)
    monkeypatch.setattr(storage, "MOST_IN_MEMORY", 100)
    mapped = extract_traces(frames, rois, **options)
    for name in ("sums", "means", "n_pixels", "background"):
        assert isinstance(getattr(mapped, name).base, np.memmap)
        np.testing.assert_array_equal(getattr(mapped, name), getattr(in_memory, name))
    assert mapped.n_pixels.shape == (50, 5)
    assert (mapped.n_pixels[:20] == rois.n_voxels).all()
    assert (mapped.n_pixels[20:] < rois.n_voxels).any()


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(RoiError, match="empty"):
        extract_traces(np.zeros((0, 5, 6)), RoiSet.from_masks(np.ones((1, 5, 6), bool)))


def test_neuropil_is_a_ring_without_masks() -> None:
    labels = np.zeros((60, 60), int)
    labels[28:33, 28:33] = 1
    labels[28:33, 36:41] = 2
    rois = RoiSet.from_labels(labels)
    rings = neuropil_rois(rois, inner_gap_px=2, min_pixels=100).to_masks()[:, 0]
    assert not (rings & (labels > 0)).any()
    distance = np.hypot(
        *(np.maximum(np.maximum(28 - axis, axis - 32), 0) for axis in np.indices((60, 60)))
    )  # from the square
    assert (distance[rings[0]] > 2).all()
    free = (distance > 2) & (labels == 0)
    farthest = distance[rings[0]].max()
    np.testing.assert_array_equal(rings[0], free & (distance <= farthest))  # whole, with no hole in it
    assert rings[0].sum() >= 100 > (free & (distance < farthest)).sum()
    frames = np.random.default_rng(0).integers(0, 99, (7, 60, 60))
    traces = extract_traces(frames, rois, neuropil=neuropil_rois(rois, min_pixels=100))
    np.testing.assert_allclose(traces.neuropil, np.stack([frames[:, ring].mean(axis=1) for ring in rings], axis=1))
    np.testing.assert_array_equal(traces.sums[:, 0], frames[:, labels == 1].sum(axis=1))


def test_a_crowded_mask_has_no_neuropil_and_that_is_said() -> None:
    labels = np.ones((5, 5), int)
    labels[2, 2] = 2
    with pytest.warns(UserWarning, match="2 of 2 masks"):
        rings = neuropil_rois(RoiSet.from_labels(labels))
    traces = extract_traces(np.ones((3, 5, 5)), RoiSet.from_labels(labels), neuropil=rings, background=True)
    assert np.isnan(traces.neuropil).all()
    assert np.isnan(traces.background).all()
    assert background_rois(RoiSet.from_labels(labels)).n_voxels.tolist() == [0]


def test_images_are_of_shifted_frames() -> None:
    rng = np.random.default_rng(3)
    still = rng.normal(size=(40, 6, 7)) + rng.normal(size=(40, 1, 1))
    shifts = rng.integers(-2, 3, (40, 2))
    moved = np.stack([np.roll(frame, tuple(-shift), (0, 1)) for frame, shift in zip(still, shifts, strict=True)])
    rois = RoiSet.from_masks(np.ones((1, 6, 7), bool))
    images = extract_traces(moved, rois, shifts=shifts, edges="wrap", images=True, buffer_bytes=1000).images
    np.testing.assert_allclose(images["mean"][0], still.mean(axis=0))
    expected = np.zeros((6, 7))
    for row, column in np.ndindex(6, 7):
        around = [
            np.corrcoef(still[:, row, column], still[:, r, c])[0, 1]
            for r in range(max(0, row - 1), min(6, row + 2))
            for c in range(max(0, column - 1), min(7, column + 2))
            if (r, c) != (row, column)
        ]
        expected[row, column] = np.mean(around)
    np.testing.assert_allclose(images["correlation"][0], expected)


def test_volumes_of_a_scanimage_recording(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, channel_save=(1, 2), n_planes=3, n_flyback=1, n_volumes=7)
    extractor = ScanImageImagingExtractor(written.paths[0], channel_name="Channel 2")
    rows, columns = extractor.get_image_shape()
    masks = random_masks(np.random.default_rng(0), (3, rows, columns))
    traces = extract_traces(extractor, RoiSet.from_masks(masks), buffer_bytes=5 * rows * columns)
    pages = np.flatnonzero((written.channel == 1) & (written.plane >= 0)).reshape(7, 3)
    expected = np.einsum("tzyx,mzyx->tm", written.pages[pages].astype(np.int64), masks.astype(np.int64))
    np.testing.assert_array_equal(traces.sums, expected)


@pytest.fixture(scope="module")
def siff(tmp_path_factory: pytest.TempPathFactory):
    return write_siff_recording(
        tmp_path_factory.mktemp("siff"),
        channel_save=(1, 2),
        n_planes=3,
        n_flyback=1,
        n_volumes=9,
        shape=(11, 14),
        page_kinds=("raw", "compressed"),
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("edges", ["leave_out", "wrap"])
@pytest.mark.parametrize("shifted", [False, True])
def test_photons_against_the_photons_listed(siff, weighted: bool, edges: str, shifted: bool) -> None:
    rng = np.random.default_rng(5)
    masks = random_masks(rng, (3, 11, 14))
    masks = masks * rng.integers(1, 4, masks.shape) if weighted else masks
    rois = RoiSet.from_masks(masks)
    reader = SiffReader(siff.path)
    pages = reader.recording.index.sample_pages[..., 1].reshape(9, 3)
    shifts = rng.integers(-3, 4, (9, 3, 2)) if shifted else np.zeros((9, 3, 2), int)
    traces = extract_photon_traces(
        reader,
        rois,
        color_channel=1,
        shifts=shifts,
        edges=edges,
        histograms="samples",
        bin_factor=4,
        offset_s=1e-10,
        harmonic=2,
        buffer_bytes=3000,
    )
    listed = reader.photons(pages.reshape(-1), {})
    rank = {page: at for at, page in enumerate(pages.reshape(-1).tolist())}
    sample, plane = np.divmod([rank[page] for page in listed.frame.tolist()], 3)
    row, column = np.divmod(listed.pixel.astype(int), 14)
    row, column = row + shifts[sample, plane, 0], column + shifts[sample, plane, 1]
    if edges == "wrap":
        row, column = row % 11, column % 14
    inside = (row >= 0) & (row < 11) & (column >= 0) & (column < 14)
    weight = np.zeros((len(masks), len(row)))
    weight[:, inside] = masks[:, plane[inside], row[inside], column[inside]]
    delay_s = (listed.delay_bin + 0.5) * reader.tcspc_resolution_s
    phasors = np.exp(2j * np.pi * 2 * reader.repetition_rate_hz * delay_s)
    for m in range(len(masks)):
        counts = np.bincount(sample, weight[m], 9)
        np.testing.assert_array_equal(traces.counts[:, m], counts)
        np.testing.assert_allclose(
            traces.lifetime_s[:, m], np.bincount(sample, weight[m] * delay_s, 9) / counts - 1e-10
        )
        expected = np.bincount(sample, weight[m] * phasors.real, 9) + 1j * np.bincount(
            sample, weight[m] * phasors.imag, 9
        )
        np.testing.assert_allclose(traces.phasor[:, m], expected / counts)
        histogram = np.zeros((9, traces.histograms.shape[2]))
        np.add.at(histogram, (sample, listed.delay_bin // 4), weight[m])
        np.testing.assert_array_equal(traces.histograms[:, m], histogram)
    assert traces.tcspc_resolution_s == 4 * reader.tcspc_resolution_s
    frames = extract_traces(reader, rois, color_channel=1, shifts=shifts, edges=edges)
    np.testing.assert_array_equal(frames.sums, traces.counts)


def test_photons_agree_with_the_masked_methods_of_the_reader(siff) -> None:
    masks = random_masks(np.random.default_rng(6), (3, 11, 14))
    reader = SiffReader(siff.path)
    traces = extract_photon_traces(reader, RoiSet.from_masks(masks), histograms="recording")
    np.testing.assert_array_equal(traces.histograms, reader.get_histogram(masks=masks))
    pages = reader.recording.index.sample_pages[..., 0].reshape(-1)
    np.testing.assert_array_equal(traces.counts, reader.sum_masks(masks, pages).T)


def test_the_registration_of_a_reader_is_used(siff) -> None:
    reader = SiffReader(siff.path)
    rois = RoiSet.from_masks(random_masks(np.random.default_rng(7), (3, 11, 14)))
    rng = np.random.default_rng(8)
    reader.registration_dict = {page: tuple(rng.integers(0, 11, 2).tolist()) for page in range(reader.num_frames)}
    expected = extract_traces(
        reader.get_frames(reader.recording.index.sample_pages[..., 0].reshape(-1)).reshape(9, 3, 11, 14), rois
    )
    np.testing.assert_array_equal(extract_traces(reader, rois, edges="wrap").sums, expected.sums)
    np.testing.assert_array_equal(extract_photon_traces(reader, rois, edges="wrap").counts, expected.sums)
    reader.registration_dict = {0: (10, 13)}  # one up, one to the left
    left_out = extract_traces(reader, rois)
    np.testing.assert_array_equal(left_out.n_pixels[1], rois.n_voxels)
    corner = RoiSet.from_pixels([[(0, 10, 13)]], (3, 11, 14))
    with pytest.raises(RoiError, match=r"\(-1, -1\)"):
        extract_traces(reader, corner)


def test_masks_without_photons_have_no_lifetime(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, n_volumes=3, photons_per_page=(0, 40), shape=(4, 4))
    traces = extract_photon_traces(SiffReader(written.path), RoiSet.from_masks(np.ones((1, 4, 4), bool)))
    assert traces.counts.ravel().tolist() == [0, 40, 0]
    assert np.isnan(traces.lifetime_s.ravel()).tolist() == [True, False, True]
    assert np.isnan(traces.phasor.ravel()).tolist() == [True, False, True]


def test_histograms_that_do_not_fit_are_refused(siff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanimage_nwb.roi_traces.photon_traces._LARGEST_HISTOGRAM_BYTES", 40_000)
    rois = RoiSet.from_masks(np.ones((2, 3, 11, 14), bool))
    extract_photon_traces(SiffReader(siff.path), rois, histograms="recording")
    with pytest.raises(RoiError, match="bin_factor"):
        extract_photon_traces(SiffReader(siff.path), rois, histograms="samples")


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_real_siff_files_against_the_truth(data_dir: Path) -> None:
    n_files = 0
    for truth_path in sorted((data_dir / "siff").glob("*.truth.npz")):
        with np.load(truth_path) as truth:
            counts = truth["counts"]
        reader = SiffReader(truth_path.with_name(truth_path.name.replace(".truth.npz", ".siff")))
        index = reader.recording.index
        for color in range(reader.im_params.num_colors):
            pages = index.sample_pages[..., color].reshape(-1, reader.recording.n_planes)
            frames = counts[pages]
            masks = random_masks(np.random.default_rng(color), frames.shape[1:])
            rois = RoiSet.from_masks(masks)
            expected = np.einsum("tzyx,mzyx->tm", frames.astype(np.int64), masks.astype(np.int64))
            np.testing.assert_array_equal(extract_traces(reader, rois, color_channel=color).sums, expected)
            np.testing.assert_array_equal(extract_photon_traces(reader, rois, color_channel=color).counts, expected)
            extractor = SiffImagingExtractor.from_recording(
                reader.recording, channel_name=reader.recording.channel_names[color]
            )
            np.testing.assert_array_equal(extract_traces(extractor, rois).sums, expected)
        n_files += 1
    assert n_files > 0
