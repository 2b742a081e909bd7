"""`SiffReader` against the truth of written files, and of those that others wrote."""

import os
import pickle
import struct
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanimage_nwb.errors import (
    FormatError,
    FrameIndexError,
    HeaderFieldError,
    ScanImageNwbWarning,
    TimeAxisError,
    TruncatedFileError,
    UnsupportedFormatError,
)
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.siff_metadata import fit_epoch
from scanimage_nwb.formats.tiff_pages import read_page_table
from scanimage_nwb.kernels.class_sums import add_masks
from scanimage_nwb.siff_reader import FRAME_METADATA, Photons, SiffReader, block_plan
from scanimage_nwb.siff_reader.masks import make_masks
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording

NAMES = ["mixed_pages", "plane_raw", "volume_two_colors"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSiff:
    """Two colours, three planes, flyback, raw and compressed pages, some of them empty."""
    return write_siff_recording(
        tmp_path_factory.mktemp("siff"),
        channel_save=(1, 2),
        n_planes=3,
        n_flyback=1,
        n_volumes=8,
        shape=(9, 14),
        photons_per_page=(300, 0, 90, 2000, 1),
        page_kinds=("raw", "compressed", "smaller", "compressed"),
        lifetimes_s=(2.2e-9, 0.9e-9),
    )


@pytest.fixture(scope="module")
def reader(written: SyntheticSiff) -> SiffReader:
    return SiffReader(written.path)


@pytest.fixture(params=NAMES)
def real(request: pytest.FixtureRequest, data_dir: Path) -> tuple[SiffReader, dict[str, np.ndarray]]:
    """A reader of a file of the shared data, and its truth."""
    folder = data_dir / "siff"
    if not folder.is_dir():
        pytest.skip("no .siff files among the test data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)  # one ends within a volume
        reader = SiffReader(folder / f"{request.param}.siff")
    return reader, dict(np.load(folder / f"{request.param}.truth.npz"))


def test_real_files_are_read_exactly(real: tuple[SiffReader, dict[str, np.ndarray]]) -> None:
    reader, truth = real
    frames = np.arange(reader.num_frames)
    counts = truth["counts"]
    assert (reader.get_frames(frames) == counts).all()
    photons = reader.photons(frames)
    frame = np.repeat(frames, truth["photons_per_frame"])
    pixel = np.repeat(np.tile(np.arange(counts[0].size), len(frames)), counts.reshape(-1))
    found = np.lexsort((photons.delay_bin, photons.pixel, photons.frame))
    expected = np.lexsort((truth["arrivals"], pixel, frame))
    assert (photons.frame[found] == frame[expected]).all()
    assert (photons.pixel[found] == pixel[expected]).all()
    assert (photons.delay_bin[found] == truth["arrivals"][expected]).all()
    histogram = np.zeros((len(frames), reader.num_bins), np.uint64)
    np.add.at(histogram, (frame, truth["arrivals"]), 1)
    assert (reader.get_histogram(frames, framewise=True) == histogram).all()
    assert (reader.get_histogram(frames) == histogram.sum(axis=0)).all()
    masks = np.random.default_rng(0).random((6, *counts[0].shape)) > 0.5
    assert (reader.sum_masks(masks, frames) == np.einsum("fyx,myx->mf", counts.astype(np.int64), masks)).all()
    sums = np.bincount(frame * counts[0].size + pixel, truth["arrivals"], counts.size).reshape(counts.shape)
    with np.errstate(invalid="ignore"):
        mean = (sums / counts + 0.5) * reader.tcspc_resolution_s
    found_mean, found_counts = reader.flim_map(frames)
    assert (found_counts == counts).all()
    np.testing.assert_allclose(found_mean, mean, rtol=1e-12)


def test_times_of_real_files(real: tuple[SiffReader, dict[str, np.ndarray]]) -> None:
    reader, truth = real
    frames = np.arange(reader.num_frames)
    assert (reader.get_time(frames) == truth["experiment_time_s"]).all()
    assert (reader.get_time(frames, "laser_epoch") == truth["laser_epoch_ns"].astype(np.int64)).all()
    assert (reader.get_frame_metadata(frames)["sync_stamp"] == truth["sync_stamps"].astype(np.int64)).all()
    if truth["system_epoch_ns"].any() and (reader.get_frame_metadata(frames)["host_epoch_ns"] >= 0).any():
        assert (reader.get_time(frames, "host_epoch") == truth["system_epoch_ns"].astype(np.int64)).all()
    else:
        with pytest.raises(TimeAxisError, match="host_epoch"):
            reader.get_time(frames, "host_epoch")


def test_written_files_are_read_exactly(reader: SiffReader, written: SyntheticSiff) -> None:
    frames = np.arange(reader.num_frames)
    assert (reader.get_frames(frames) == written.counts).all()
    photons = reader.photons(frames)
    assert (photons.frame == written.photon_page).all()
    assert (photons.pixel == written.photon_pixel).all()
    assert (photons.delay_bin == written.delay_bin).all()


def test_default_frames_are_all_of_a_colour_but_flyback(reader: SiffReader, written: SyntheticSiff) -> None:
    for colour in (0, 1, None):
        wanted = (written.plane >= 0) & ((written.channel == colour) if colour is not None else True)
        assert (reader.get_frames(color_channel=colour) == written.counts[wanted]).all()
    assert (reader.get_frames() == written.counts[(written.plane >= 0) & (written.channel == 0)]).all()
    with pytest.raises(FrameIndexError, match="color_channel 2"):
        reader.get_frames(color_channel=2)


def test_a_file_cut_within_a_volume_keeps_its_pages(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=3, n_volumes=4, n_pages=21)
    with pytest.warns(ScanImageNwbWarning, match="incomplete"):
        reader = SiffReader(written.path)
    assert (reader.get_frames() == written.counts[::2]).all()
    assert reader.im_params.num_timepoints == 3


def test_shifts_are_those_of_roll(reader: SiffReader, written: SyntheticSiff) -> None:
    frames = np.arange(reader.num_frames)
    rng = np.random.default_rng(3)
    shifts = {int(f): (int(rng.integers(-20, 20)), int(rng.integers(-20, 20))) for f in frames[::2]}
    rolled = np.array([np.roll(c, shifts.get(i, (0, 0)), (0, 1)) for i, c in enumerate(written.counts)])
    assert (reader.get_frames(frames, shifts) == rolled).all()
    mask = rng.random(written.counts.shape[1:]) > 0.5
    expected = (rolled * mask).sum(axis=(1, 2))
    assert (reader.sum_mask(mask, frames, shifts) == expected).all()
    histogram = reader.get_histogram(frames, mask, framewise=True, registration_dict=shifts)
    assert (histogram.sum(axis=1) == expected).all()
    assert (reader.flim_map(frames, registration_dict=shifts)[1] == rolled).all()
    pixels = reader.get_pixel_histogram(frames, framewise=True, registration_dict=shifts, bin_factor=629)
    assert (pixels[..., 0] == rolled).all()


def test_the_reader_uses_its_own_shifts_unless_told_otherwise(written: SyntheticSiff) -> None:
    reader = SiffReader(written.path)
    reader.registration_dict = {0: (1, 2)}
    assert (reader.get_frames([0])[0] == np.roll(written.counts[0], (1, 2), (0, 1))).all()
    assert (reader.get_frames([0], {})[0] == written.counts[0]).all()
    assert (pickle.loads(pickle.dumps(reader)).get_frames([0]) == reader.get_frames([0])).all()


def test_masks_by_plane_overlapping_and_weighted(reader: SiffReader, written: SyntheticSiff) -> None:
    rng = np.random.default_rng(4)
    pages = np.flatnonzero((written.plane >= 0) & (written.channel == 0))
    counts = written.counts[pages].astype(float)
    for masks in (rng.random((5, 3, 9, 14)) > 0.5, rng.random((5, 3, 9, 14)), rng.random((5, 9, 14))):
        own = masks[:, written.plane[pages]] if masks.ndim == 4 else masks[:, np.newaxis]
        expected = (counts * own).sum(axis=(2, 3))
        sums = reader.sum_masks(masks)
        if masks.ndim == 4:  # all planes of a time point
            np.testing.assert_allclose(sums, expected.reshape(5, 8, 3).sum(axis=2), rtol=1e-12)
            sums = np.stack([reader.sum_masks(masks, [page])[:, 0] for page in pages], axis=1)
        assert sums.dtype == (np.uint64 if masks.dtype == bool else np.float64)
        np.testing.assert_allclose(sums, expected, rtol=1e-12)
        histogram = reader.get_histogram(None, masks, framewise=True)
        np.testing.assert_allclose(histogram.sum(axis=2), expected, rtol=1e-9)
        np.testing.assert_allclose(reader.get_histogram(None, masks), histogram.sum(axis=1), rtol=1e-9)
    with pytest.raises(ValueError, match="flyback"):
        reader.sum_masks(np.ones((2, 3, 9, 14), bool), [6])
    with pytest.raises(ValueError, match="masks have shape"):
        reader.sum_mask(np.ones((2, 2), bool))


@pytest.mark.parametrize("weighted", [False, True])
def test_masks_of_volumes_are_summed_by_time_point(written: SyntheticSiff, weighted: bool, monkeypatch) -> None:
    monkeypatch.setattr(block_plan, "BLOCK_BYTES", 1000)  # blocks end within volumes
    reader = SiffReader(written.path)
    rng = np.random.default_rng(7)
    masks = rng.random((6, 3, 9, 14)) if weighted else rng.random((6, 3, 9, 14)) > 0.5
    by_page = np.einsum("fyx,mfyx->mf", written.counts.astype(float), masks[:, written.plane])
    pages = [np.flatnonzero((written.plane >= 0) & (written.channel == color)) for color in (0, 1)]
    of_color = [by_page[:, own].reshape(6, 8, 3).sum(axis=2) for own in pages]
    for color in (0, 1):
        np.testing.assert_allclose(reader.sum_masks(masks, color_channel=color), of_color[color], rtol=1e-12)
        np.testing.assert_allclose(reader.sum_mask(masks[1], color_channel=color), of_color[color][1], rtol=1e-12)
    both = reader.sum_masks(masks, color_channel=None)
    np.testing.assert_allclose(both, np.stack(of_color, axis=2).reshape(6, 16), rtol=1e-12)
    shuffled = pages[0].reshape(8, 3)[rng.permutation(8)][:, ::-1]
    order = [int(own) for own in (shuffled.min(axis=1)[:, np.newaxis] == pages[0][::3]).argmax(axis=1)]
    np.testing.assert_allclose(reader.sum_masks(masks, shuffled.reshape(-1)), of_color[0][:, order], rtol=1e-12)
    parts = np.sort(rng.permutation(shuffled[:2].reshape(-1))[:4])  # some frames of two time points
    found = reader.sum_masks(masks, parts)
    np.testing.assert_allclose(found.sum(axis=1), by_page[:, parts].sum(axis=1), rtol=1e-12)


def test_sums_of_pixels_that_hold_fractions_keep_them(tmp_path: Path) -> None:
    """They were cut to whole numbers."""
    values = np.random.default_rng(0).random((5, 8, 6), dtype=np.float32)
    written = write_scanimage_recording(
        tmp_path, n_volumes=5, shape=(8, 12), page_value=lambda page, *_: values[page].view(np.int16)
    )
    path = written.paths[0]
    ifds, data = read_page_table(path).columns["ifd_offset"], bytearray(path.read_bytes())
    for ifd in ifds.tolist():  # pages of half the width, twice the bits, and floating point
        (n_tags,) = struct.unpack_from("<Q", data, ifd)
        for at in range(ifd + 8, ifd + 8 + 20 * n_tags, 20):
            new = {256: 6, 258: 32, 339: 3}.get(struct.unpack_from("<H", data, at)[0])
            if new is not None:
                struct.pack_into("<Q", data, at + 12, new)
    path.write_bytes(data)
    reader, masks = SiffReader(path), np.arange(48).reshape(8, 6) % 2 == np.arange(2)[:, None, None]
    assert (reader.get_frames() == values).all()
    np.testing.assert_allclose(reader.sum_masks(masks), np.einsum("fyx,myx->mf", values, masks), rtol=1e-6)


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_histograms_of_masks_however_pages_are_read(tmp_path: Path, kind: str, monkeypatch) -> None:
    """By a kernel, in blocks of several fills; by Python, where a system has no such reads; and of a file cut short."""
    written = write_siff_recording(tmp_path, n_volumes=40, shape=(9, 14), photons_per_page=90, page_kinds=(kind,))
    reader, masks = SiffReader(written.path), np.arange(126).reshape(9, 14) // 63 == np.arange(2)[:, None, None]
    whole = reader.get_histogram(None, masks, framewise=True)
    expected = np.einsum("fyx,myx->mf", written.counts, masks)
    assert (whole.sum(axis=2) == expected).all()
    monkeypatch.setattr(block_plan, "BLOCK_BYTES", 1500)
    assert (reader.get_histogram(None, masks, framewise=True) == whole).all()
    with monkeypatch.context() as patch:
        patch.setattr(ReadOnlyFile, "descriptor", None)
        assert (reader.get_histogram(None, masks, framewise=True) == whole).all()
    os.truncate(written.path, written.path.stat().st_size // 2)
    with pytest.raises(TruncatedFileError, match="became shorter"):
        reader.get_histogram(None, masks, framewise=True)


def test_masks_of_volumes_leave_out_a_volume_that_was_cut_short(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=3, n_volumes=4, n_pages=21)
    with pytest.warns(ScanImageNwbWarning, match="incomplete"):
        reader = SiffReader(written.path)
    masks = np.ones((1, 3, *written.counts.shape[1:]), bool)
    assert reader.sum_masks(masks).tolist() == [written.counts[:18:2].sum(axis=(1, 2)).reshape(3, 3).sum(1).tolist()]


def test_many_masks_take_the_way_for_many_classes(reader: SiffReader, written: SyntheticSiff) -> None:
    masks = np.random.default_rng(5).random((70, 9, 14)) > 0.3
    expected = np.einsum("fyx,myx->mf", written.counts.astype(np.int64), masks)
    assert (reader.sum_masks(masks, np.arange(reader.num_frames)) == expected).all()


def test_masks_in_groups_have_histograms_and_lifetimes_too(reader: SiffReader, written: SyntheticSiff) -> None:
    """Random masks overlap in too many ways for one pass of classes: groups of eight are counted."""
    frames = np.arange(reader.num_frames)
    masks = np.random.default_rng(6).random((19, 9, 14)) > 0.4
    assert len(make_masks(masks, (9, 14), 3, most_classes=1 << 4).groups) == 5
    inside = masks.reshape(19, -1)[:, written.photon_pixel]
    expected = np.array([np.bincount(written.delay_bin[own], minlength=629) for own in inside])
    assert (reader.get_histogram(frames, masks) == expected).all()
    assert (reader.get_histogram(frames, masks, framewise=True).sum(axis=1) == expected).all()
    assert (reader.get_histogram(frames, masks, bin_factor=9).sum(axis=1) == expected.sum(axis=1)).all()
    lifetime, counts = reader.sum_masks_flim(masks, frames)
    pooled = np.nansum(lifetime * counts, axis=1) / counts.sum(axis=1)
    centres = (np.arange(629) + 0.5) * reader.tcspc_resolution_s
    np.testing.assert_allclose(pooled, expected @ centres / expected.sum(axis=1))


@pytest.mark.parametrize("kind", ["apart", "nested", "random", "none"])
@pytest.mark.parametrize("n_planes", [1, 3])
def test_groups_of_masks_hold_every_mask(kind: str, n_planes: int) -> None:
    rng = np.random.default_rng(7)
    n_masks, counts = 0 if kind == "none" else 23, rng.integers(0, 90, (5, 6 * 8 * n_planes))
    scattered = rng.integers(0, 40, counts.shape[1])
    flat = {
        "apart": scattered == np.arange(23)[:, np.newaxis],
        "nested": scattered > np.arange(23)[:, np.newaxis],
        "random": rng.random((23, counts.shape[1])) > 0.5,
        "none": np.zeros((0, counts.shape[1]), bool),
    }[kind]
    masks = make_masks(flat.reshape(n_masks, n_planes, 6, 8), (6, 8), n_planes, most_classes=1 << 5)
    assert len(masks.groups) == (5 if kind == "random" else 1)
    found = np.empty((5, n_masks), np.int64)
    for group in masks.groups:
        classes = group.classes.reshape(-1)
        per_class = np.array([np.bincount(classes, page, group.n_classes) for page in counts]).astype(np.int64)
        found[:, group.masks] = group.sum(per_class[:, 1:, np.newaxis])[..., 0]
        sums = np.zeros((len(flat[group.masks]), 5), np.int64)
        add_masks(per_class, group.starts, group.members, np.arange(5), sums)
        assert (found[:, group.masks] == sums.T).all()
    assert (found == counts @ flat.T).all()


def test_photons_within_masks(reader: SiffReader, written: SyntheticSiff) -> None:
    frames = np.flatnonzero(written.plane >= 0)
    rng = np.random.default_rng(8)
    wanted = np.isin(written.photon_page, frames)
    for masks in (rng.random((2, 9, 14)) > 0.5, rng.random((2, 3, 9, 14)) > 0.5):
        found = reader.photons(frames, masks=masks)
        for mask, own in zip(masks, found, strict=True):
            per_plane = np.broadcast_to(mask, (3, 9, 14)).reshape(3, -1)
            inside = wanted & per_plane[written.plane[written.photon_page], written.photon_pixel]
            assert (own.frame == written.photon_page[inside]).all()
            assert (own.pixel == written.photon_pixel[inside]).all()
            assert (own.delay_bin == written.delay_bin[inside]).all()
    single = reader.photons(frames, masks=masks[0, 0])
    assert len(single.frame) == reader.sum_mask(masks[0, 0], frames).sum()
    parts = list(reader.iter_photons(frames, masks=masks, n_frames=5))
    assert (np.concatenate([pages for pages, _ in parts]) == frames).all()
    assert (np.concatenate([own[1].pixel for _, own in parts]) == found[1].pixel).all()
    with pytest.raises(ValueError, match="expected bool"):
        reader.photons(frames, masks=np.ones((9, 14)))
    with pytest.raises(ValueError, match="flyback"):
        reader.photons([6], masks=np.ones((1, 3, 9, 14), bool))


@pytest.mark.parametrize("shifts", [{"3": (1, 2)}, [(0, 1)], np.zeros((4, 2)), 3])
def test_shifts_must_be_named_by_frame(reader: SiffReader, shifts: Any) -> None:
    """Frames named by text, as JSON leaves them, were not shifted, without a word."""
    with pytest.raises(ValueError, match=r"registration_dict .*expected"):
        reader.get_frames([3], shifts)


@pytest.mark.parametrize("edge", [-1, np.nan, 1.5, "nearest", None, 1 << 16])
def test_edges_are_filled_with_what_frames_can_hold(reader: SiffReader, edge: Any) -> None:
    for call in (reader.get_frames, lambda *a, **o: reader.sum_mask(np.ones((9, 14), bool), *a, **o)):
        with pytest.raises(ValueError, match=r"edge is .*expected 'wrap', or a number that uint16 holds"):
            call([0], {0: (1, 2)}, edge=edge)


@pytest.mark.parametrize("factor", [2.5, 0, 630, "2"])
def test_bins_are_joined_by_whole_numbers(reader: SiffReader, factor: Any) -> None:
    """2.5 was accepted, and made bins of two and three."""
    with pytest.raises(ValueError, match=r"bin_factor is .*expected a whole number from 1 to 629"):
        reader.get_histogram(bin_factor=factor)


def test_masks_of_zeros_and_ones_are_no_weights(reader: SiffReader) -> None:
    mask = np.arange(9 * 14).reshape(9, 14) % 3 == 0
    found = reader.sum_mask(mask.astype(np.uint8))
    assert found.dtype == np.uint64
    assert (found == reader.sum_mask(mask)).all()
    inside, expected = reader.photons(masks=mask.astype(int)), reader.photons(masks=mask)
    assert isinstance(inside, Photons)
    assert isinstance(expected, Photons)
    assert (inside.pixel == expected.pixel).all()


@pytest.mark.parametrize("shift", [(0.5, 1), (1,), "ab", (np.nan, 0), (np.inf, 0), 3, (1 << 80, 0)])
def test_shifts_must_be_whole_pixels(reader: SiffReader, shift: object) -> None:
    with pytest.raises(ValueError, match="registration_dict gives frame 2 the shift"):
        reader.get_frames([2], {2: shift})  # type: ignore[dict-item]
    whole = {2: (np.int32(-1), 2.0)}
    assert (reader.get_frames([2], whole) == np.roll(reader.get_frames([2]), (-1, 2), (1, 2))).all()


def test_histograms_can_be_cut_and_binned(reader: SiffReader) -> None:
    whole = reader.get_histogram()
    assert reader.get_histogram(bin_factor=10).tolist() == np.add.reduceat(whole, np.arange(0, 629, 10)).tolist()
    assert reader.get_histogram(bins=(100, 200)).tolist() == whole[100:200].tolist()
    everything = np.ones((1, 9, 14), bool)
    assert reader.get_histogram(None, everything, bins=(100, 207), bin_factor=5)[0].tolist() == (
        reader.get_histogram(bins=(100, 207), bin_factor=5).tolist()
    )
    pooled = reader.get_pixel_histogram(bin_factor=7)
    assert pooled.shape == (9, 14, 90)
    assert (pooled.sum(axis=(0, 1)) == reader.get_histogram(bin_factor=7)).all()
    for bad in ((5, 5), (-1, 3), (0, 630)):
        with pytest.raises(ValueError, match="bins are"):
            reader.get_histogram(bins=bad)


def test_lifetimes_of_pixels_and_masks(reader: SiffReader, written: SyntheticSiff) -> None:
    frames = np.arange(reader.num_frames)
    mask = np.zeros((1, 9, 14), bool)
    mask[0, 2:5] = True
    own = mask[0].reshape(-1)[written.photon_pixel]
    delay_s = (written.delay_bin + 0.5) * reader.tcspc_resolution_s
    n = np.bincount(written.photon_page[own], minlength=len(frames))
    sums = np.bincount(written.photon_page[own], delay_s[own], len(frames))
    with np.errstate(invalid="ignore"):
        expected = sums / n - 1e-9
    lifetime, counts = reader.sum_masks_flim(mask, frames, offset_s=1e-9)
    assert (counts[0] == n).all()
    np.testing.assert_allclose(lifetime[0], expected)
    phasor = np.exp(2j * np.pi * reader.repetition_rate_hz * delay_s)
    mean = phasor[written.photon_page == 3].mean()
    found, counts = reader.flim_map([3], "phasor")
    assert np.isclose(np.nansum(found * counts) / counts.sum(), mean)
    masked, _ = reader.sum_masks_flim(np.ones((1, 9, 14), bool), [3], "phasor")
    assert np.isclose(masked[0, 0], mean)
    with pytest.raises(ValueError, match="method"):
        reader.flim_map([0], "chi_sq")  # type: ignore[arg-type]


def test_empty_compressed_pages_have_lifetimes_too(reader: SiffReader, written: SyntheticSiff) -> None:
    """The peer fails on them."""
    empty = [i for i, kind in enumerate(written.kind) if kind == "compressed" and not written.counts[i].any()]
    lifetime, counts = reader.flim_map(empty[:2])
    assert np.isnan(lifetime).all()
    assert not counts.any()


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_bright_pixels_do_not_wrap(tmp_path: Path, kind: str) -> None:
    n = 70_000 if kind == "raw" else 60_000
    written = write_siff_recording(tmp_path, shape=(1, 1), photons_per_page=(n, 5), n_volumes=2, page_kinds=(kind,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)
        reader = SiffReader(written.path)
    counts = reader.get_frames()
    assert counts.reshape(-1).tolist() == [n, 5]
    assert counts.dtype == (np.uint32 if kind == "raw" else np.uint16)
    lifetime, counts = reader.flim_map()
    assert counts.reshape(-1).tolist() == [n, 5]
    expected = (written.delay_bin[:n].astype(float).mean() + 0.5) * 2e-11
    assert np.isclose(lifetime[0, 0, 0], expected, rtol=1e-13)
    assert reader.sum_mask(np.ones((1, 1), bool)).tolist() == [n, 5]


def test_plain_pages_are_counts_without_delays(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, page_kinds=("plain", "raw", "compressed"), n_volumes=6)
    reader = SiffReader(written.path)
    assert (reader.get_frames() == written.counts).all()
    assert (reader.sum_mask(np.ones((16, 12), bool)) == 200).all()
    with pytest.raises(UnsupportedFormatError, match="page 0 holds counts only"):
        reader.get_histogram()
    assert reader.get_histogram([1, 2, 4, 5]).sum() == 800


@pytest.mark.parametrize("drift_ppm", [-30.0, 30.0])
def test_epoch_is_corrected_over_the_whole_file(tmp_path: Path, drift_ppm: float) -> None:
    """Within a millisecond over 325 s, where the laser's own clock is 10 ms off."""
    written = write_siff_recording(
        tmp_path, n_volumes=20_000, shape=(2, 2), photons_per_page=1, drift_ppm=drift_ppm, keep_photons=False
    )
    reader = SiffReader(written.path)
    error_s = (reader.get_time(None, "epoch") - written.true_epoch_ns) / 1e9
    assert np.abs(error_s).max() < 0.001
    drifted_s = (reader.get_time(None, "laser_epoch") - written.true_epoch_ns) / 1e9
    assert np.abs(drifted_s).max() > 0.009
    assert reader.get_time([5], "epoch")[0] == reader.get_time(None, "epoch")[5]
    assert (reader.get_time(None, "host_epoch") == written.host_epoch_ns).all()
    assert (np.diff(reader.get_time(None, "epoch")) > 0).all()
    fit = reader.epoch_fit
    assert fit.drift_ppm == pytest.approx(drift_ppm, abs=3)
    assert (fit.n_answers, fit.regular_answers) == (325, True)
    assert 1 < fit.residual_rms_ms < 5 < fit.residual_max_ms < 20


@pytest.mark.filterwarnings("ignore::scanimage_nwb.errors.ScanImageNwbWarning")
def test_epoch_of_a_real_layout_is_within_a_millisecond(data_dir: Path) -> None:
    """Two answers of the host are too few to tell a drift: the laser's clock is kept."""
    truth = np.load(data_dir / "siff" / "volume_two_colors.truth.npz")
    reader = SiffReader(data_dir / "siff" / "volume_two_colors.siff")
    frames = np.arange(reader.num_frames)
    true_ns = truth["laser_epoch_ns"].astype(np.int64)[: len(frames)]
    assert np.abs(reader.get_time(frames, "epoch") - true_ns).max() < 1_000_000
    assert reader.epoch_fit.drift_uncertainty_ppm == np.inf


def test_a_host_that_is_asked_at_odd_times_still_tells_the_drift() -> None:
    rng = np.random.default_rng(4)
    time_s = np.arange(0, 1000, 0.02)
    asked = np.cumsum(rng.uniform(0.5, 1.5, 990))
    answer = asked * (1 - 40e-6) + np.abs(rng.normal(0, 2e-3, 990))
    answer[100] += 5  # one that came far too late
    last = np.searchsorted(asked, time_s, side="right") - 1
    start = 1_700_000_000_000_000_000
    host = np.where(last >= 0, start + (answer[np.maximum(last, 0)] * 1e9).astype(np.int64), -1)
    fit = fit_epoch(start + (time_s * 1e9).astype(np.int64), host, time_s)
    assert fit.drift_ppm == pytest.approx(40, abs=2)
    assert (fit.regular_answers, fit.start_ns) == (False, start)


def test_a_laser_epoch_that_began_elsewhere_is_moved_to_the_host() -> None:
    time_s = np.arange(0, 300, 0.02)
    start = 1_700_000_000_000_000_000
    host = start + np.floor(time_s).astype(np.int64) * 1_000_000_000
    fit = fit_epoch(start + 7_000_000_000 + (time_s * 1e9).astype(np.int64), host, time_s)
    assert abs(fit.start_ns - start) < 20_000_000  # the host was asked between two frames


def test_events_are_all_there(tmp_path: Path) -> None:
    events = [(1, "Bar on", None), (3, "two\nlines = 1", 0.5), (7, "café", 1.25), (7, "epoch = 5", None)]
    written = write_siff_recording(tmp_path, n_planes=2, n_flyback=2, n_volumes=3, appended_text=events)
    reader = SiffReader(written.path)
    assert [(event.frame, event.text, event.time_s) for event in reader.get_appended_text()] == events
    assert [event.text for event in reader.get_appended_text([3])] == ["two\nlines = 1"]
    assert (reader.get_time(range(12), "laser_epoch") == written.laser_epoch_ns).all()


def test_a_stamp_within_the_text_of_an_event_is_not_its_time(tmp_path: Path) -> None:
    """The first line that looked like a stamp was taken for the time, and cut out of the text."""
    events = [
        (1, "a\nText timestamp = 3\nb", 0.5),
        (2, "a\nText timestamp = abc", 0.75),
        (2, "Text timestamp = 1 s", 1.5),
    ]
    reader = SiffReader(write_siff_recording(tmp_path, n_volumes=3, appended_text=events).path)
    assert [(event.frame, event.text, event.time_s) for event in reader.get_appended_text()] == events


def test_a_megabyte_of_appended_text_is_read_to_its_end(tmp_path: Path) -> None:
    """Texts were cut after 2^20 bytes, without a word."""
    events = [(0, "x" * 1000 + str(i), float(i)) for i in range(1500)] + [(1, "y" * 2_000_000, 0.5)]
    reader = SiffReader(write_siff_recording(tmp_path, n_volumes=3, appended_text=events).path)
    found = reader.get_appended_text()
    assert [(event.frame, event.text, event.time_s) for event in found] == events


def test_frame_metadata_are_all_that_the_texts_say(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, n_volumes=3, page_kinds=("raw",))
    data = written.path.read_bytes()
    blank = b"nextFileMarkerTimestamps_sec = \nendOfAcquisition = \nendOfAcquisitionMode = \ndcOverVoltage = 0\n"
    said = b"nextFileMarkerTimestamps_sec =1.5\nendOfAcquisition =1\nendOfAcquisitionMode=2 \ndcOverVoltage=7"
    at = data.rindex(blank)
    written.path.write_bytes(data[:at] + said.ljust(len(blank) - 1) + b"\n" + data[at + len(blank) :])
    found = SiffReader(written.path).get_frame_metadata([2, 0])
    assert found.dtype == FRAME_METADATA
    assert found["page"].tolist() == found["frame_number"].tolist() == [2, 0]
    assert found["frame_number_acquisition"].tolist() == [2, 0]
    assert (found["laser_epoch_ns"] == written.laser_epoch_ns[[2, 0]]).all()
    assert found["next_file_marker_s"][0] == 1.5
    assert found[["end_of_acquisition", "end_of_acquisition_mode", "dc_over_voltage"]].tolist() == [
        (1, 2, 7),
        (-1, -1, 0),
    ]
    assert np.isnan(found["acq_trigger_s"]).all()
    assert np.isnan(found["next_file_marker_s"][1])


def test_a_page_without_an_epoch_costs_the_others_nothing(tmp_path: Path) -> None:
    """`get_time(frames, "epoch")` failed for every page if one that was not asked for had none."""
    written = write_siff_recording(tmp_path, n_volumes=40)
    data = written.path.read_bytes()
    at = data.rindex(b"\nepoch =") + 1
    written.path.write_bytes(data[:at] + b"EPOCH" + data[at + 5 :])
    reader = SiffReader(written.path)
    assert (np.abs(reader.get_time(range(39), "epoch") - written.true_epoch_ns[:39]) < 20_000_000).all()
    with pytest.raises(TimeAxisError, match="page 39"):
        reader.get_time([39], "epoch")


def test_an_epoch_that_nothing_corrects_says_so(tmp_path: Path) -> None:
    reader = SiffReader(write_siff_recording(tmp_path, n_volumes=3, with_host_epoch=False).path)
    with pytest.warns(ScanImageNwbWarning, match="no host epoch") as record:
        found = reader.get_time(None, "epoch")
    assert (found == reader.get_time(None, "laser_epoch")).all()
    assert record[0].filename == __file__


def test_a_copy_beside_a_file_does_not_keep_it_from_opening(tmp_path: Path) -> None:
    """A neighbour that begins before the file ends made `SiffReader(path)` raise about `file_paths`, never given."""
    written = write_siff_recording(tmp_path, name="rec_1", n_volumes=6, page_kinds=("raw",))
    table, data = read_page_table(written.path), bytearray(written.path.read_bytes())
    data[8:16] = int(table.columns["ifd_offset"][2]).to_bytes(8, "little")
    (tmp_path / "rec_2.siff").write_bytes(data)
    for name, n in (("rec_1", 6), ("rec_2", 4)):
        with pytest.warns(ScanImageNwbWarning, match="does not follow in time, and is left out"):
            reader = SiffReader(tmp_path / f"{name}.siff")
        assert (reader.get_frames() == written.counts[6 - n :]).all()


def test_photons_are_read_within_a_buffer(reader: SiffReader) -> None:
    """`iter_photons` held a thousand frames, whatever their size."""
    whole, buffer_bytes = reader.photons(color_channel=None), 14 * 2500
    parts = list(reader.iter_photons(color_channel=None, buffer_bytes=buffer_bytes))
    assert len(parts) > 3
    assert all(len(found.pixel) <= 2500 or len(pages) == 1 for pages, found in parts)
    for name in ("frame", "pixel", "delay_bin"):
        assert (np.concatenate([getattr(found, name) for _, found in parts]) == getattr(whole, name)).all()
    assert [len(pages) for pages, _ in reader.iter_photons(n_frames=20)] == [20, 4]


def test_photons_within_a_small_mask_take_little_memory(tmp_path: Path) -> None:
    """All photons of all frames were listed before a mask was laid on them."""
    options = {"n_volumes": 160, "shape": (64, 64), "photons_per_page": 50_000, "keep_photons": False}
    reader = SiffReader(write_siff_recording(tmp_path, **options).path)
    mask = np.zeros((64, 64), bool)
    mask[3, 4:6] = True
    reader.photons([0], masks=mask)
    tracemalloc.start()
    found = reader.photons(masks=mask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.pixel) == reader.sum_mask(mask).sum()
    assert peak < 14 * 160 * 50_000 / 2


def test_im_params_show_the_recording(reader: SiffReader) -> None:
    im_params = reader.im_params
    assert im_params.array_shape == (8, 3, 2, 9, 14)
    assert im_params.single_channel_volume == (3, 9, 14)
    assert im_params.FastZ.discardFlybackFrames is True
    assert im_params.Scan2D.hAcq.Tau_bins == 629
    shown = str(im_params)
    assert all(word in shown for word in ("FastZ", "base", "imagingRoiGroup : 1 ROI(s)", "scanfield(s) of [14, 9]"))
    assert "numDiscardFlybackFrames" in str(im_params.FastZ)
    assert im_params.flatten_by_timepoints(timepoint_end=2) == [0, 2, 4, 8, 10, 12]
    assert im_params.flatten_by_timepoints(0, 3, reference_z=1, color_channel=1) == [3, 11, 19]
    assert im_params.framelist_by_color(1, upper_bound_timepoint=1) == [1, 3, 5]
    assert im_params.framelist_by_slices(0, 0, 2, slices=[2, 0]) == [4, 0, 12, 8]
    frames = reader.get_frames(im_params.flatten_by_timepoints(color_channel=None))
    assert frames.reshape(im_params.array_shape).shape == im_params.array_shape
    for call in (
        lambda: im_params.flatten_by_timepoints(0, 9),
        lambda: im_params.flatten_by_timepoints(reference_z=3),
        lambda: im_params.framelist_by_slices(slices=[-1]),
    ):
        with pytest.raises(FrameIndexError):
            call()
    with pytest.raises(AttributeError, match="no module"):
        _ = im_params.NoSuch


def test_flyback_needs_fast_z(tmp_path: Path) -> None:
    """`numDiscardFlybackFrames` alone means nothing; the peer then loses half of the frames."""
    overrides = {"hFastZ.numDiscardFlybackFrames": "1", "hFastZ.discardFlybackFrames": "true"}
    written = write_siff_recording(tmp_path, n_volumes=10, header_overrides=overrides)
    assert len(SiffReader(written.path).get_frames()) == 10


def test_buffers_hold_a_few_frames(reader: SiffReader) -> None:
    whole, parts = reader.get_frames(), list(reader.iter_frames(buffer_bytes=2 * 9 * 14 * 5))
    assert [len(pages) for pages, _ in parts] == [5, 5, 5, 5, 4]
    assert (np.concatenate([counts for _, counts in parts]) == whole).all()
    maps = np.concatenate([found for _, found, _ in reader.iter_flim_maps(buffer_bytes=1)])
    np.testing.assert_array_equal(maps, reader.flim_map()[0])


def test_what_the_file_does_not_say_can_be_given(tmp_path: Path) -> None:
    overrides = {"hScan2D.hAcq.Tau_bins": None, "hScan2D.hAcq.binResolution": None}
    path = write_siff_recording(tmp_path, header_overrides=overrides).path
    reader = SiffReader(path)
    assert reader.get_frames().sum() == 2000
    with pytest.raises(HeaderFieldError, match="give num_bins"):
        reader.get_histogram()
    reader = SiffReader(path, num_bins=700, tcspc_resolution_s=1e-11, repetition_rate_hz=40e6)
    assert len(reader.get_histogram()) == 700
    assert (reader.tcspc_resolution_s, reader.repetition_rate_hz) == (1e-11, 40e6)
    for bad in ({"num_bins": 0}, {"tcspc_resolution_s": -1}, {"repetition_rate_hz": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            SiffReader(path, **bad)


def test_bins_are_five_picoseconds_times_a_power_of_two(tmp_path: Path) -> None:
    reader = SiffReader(write_siff_recording(tmp_path, bin_resolution=0, num_bins=2516).path)
    assert (reader.tcspc_resolution_s, reader.num_bins) == (5e-12, 2516)
    assert len(reader.get_histogram()) == 2516


def test_scanimage_tiffs_open_as_well(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, n_flyback=1, n_volumes=4)
    reader = SiffReader(written.paths[0])
    pages = np.flatnonzero((written.plane >= 0) & (written.channel == 0))
    assert (reader.get_frames() == written.pages[pages]).all()
    masks = np.random.default_rng(0).random((3, 2, 16, 12)) > 0.5
    expected = np.einsum("fyx,mfyx->mf", written.pages[pages].astype(np.int64), masks[:, written.plane[pages]])
    assert (reader.sum_masks(masks) == expected.reshape(3, 4, 2).sum(axis=2)).all()
    flat = np.einsum("fyx,myx->mf", written.pages[pages].astype(np.int64), masks[:, 0])
    assert (reader.sum_masks(masks[:, 0]) == flat).all()
    np.testing.assert_allclose(reader.sum_masks(masks[:, 0] * 0.5), flat / 2)
    assert (reader.get_frames([0], {0: (1, -2)})[0] == np.roll(written.pages[0], (1, -2), (0, 1))).all()
    assert (reader.get_time(range(4)) == written.timestamps_s[:4]).all()
    with pytest.raises(UnsupportedFormatError, match="no arrival times"):
        reader.flim_map()


def test_a_reader_without_a_file_says_so(written: SyntheticSiff) -> None:
    reader = SiffReader()
    with pytest.raises(ValueError, match="no file is open"):
        reader.get_frames()
    with pytest.raises(ValueError, match="no file is open"):
        _ = reader.im_params
    reader.open(written.path)
    assert reader.num_frames == len(written.counts)
    with pytest.raises(ValueError, match="method is 'rigid'"):
        reader.register(registration_method="rigid")
    with pytest.raises(FrameIndexError, match="frame 64"):
        reader.get_frames([0, 64])
    assert reader.get_frames([]).shape == (0, 9, 14)
    assert reader.get_histogram([]).sum() == 0


def test_a_page_of_another_shape_is_read_by_itself(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, n_volumes=3, page_kinds=("raw",))
    data = bytearray(written.path.read_bytes())
    ifd = int(read_page_table(written.path).columns["ifd_offset"][1])
    data[ifd + 8 + 20 + 12 : ifd + 8 + 20 + 14] = (20).to_bytes(2, "little")
    written.path.write_bytes(data)
    with pytest.warns(ScanImageNwbWarning, match=r"1 of 3 pages are not 16 x 12 \(first: page 1, 20 x 12\)") as record:
        reader = SiffReader(written.path)
    assert len(record) == 1
    assert reader.im_params.array_shape == (2, 1, 1, 16, 12)
    assert reader.im_params.flatten_by_timepoints() == [0, 2]
    assert [len(pages) for pages, _ in reader.iter_frames([1], buffer_bytes=1)] == [1]
    assert reader.get_frames([1]).shape == (1, 20, 12)
    assert reader.get_frames().shape == (2, 16, 12)
    with pytest.raises(FormatError, match=r"page 1 .* read it by itself"):
        reader.get_frames([0, 1])
