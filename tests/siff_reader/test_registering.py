"""Registration of files: which pages get which shifts, and what reads do with them."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb import SiffReader
from scanimage_nwb.errors import FrameIndexError, ScanImageNwbWarning
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.siff_reader.registering import fill_edges, page_table
from scanimage_nwb.testing import write_scanimage_recording, write_siff_recording


@pytest.fixture(scope="module")
def reader(data_dir: Path) -> SiffReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)
        reader = SiffReader(data_dir / "siff" / "volume_two_colors.siff")
    reader.register()
    return reader


def test_known_motion_of_a_file_is_found(reader: SiffReader, data_dir: Path) -> None:
    truth = np.load(data_dir / "siff" / "volume_two_colors.truth.npz")["motion_dy_dx"]
    assert reader.registration_info is not None
    left = reader.registration_info.shift_table() + truth
    left -= np.nanmedian(left, axis=0)
    assert (np.nan_to_num(left) == 0).all(axis=2).mean() >= 0.97
    assert not reader.registration_info.is_bad.any()


def test_every_colour_is_shifted_and_flyback_is_not(reader: SiffReader) -> None:
    index, shifts = reader.recording.index, reader.registration_dict
    table = page_table(reader.recording)
    both = (table >= 0).all(axis=2)
    assert all(shifts[first] == shifts[second] for first, second in table[both].tolist())
    assert not set(np.flatnonzero(index.is_flyback).tolist()) & shifts.keys()
    assert set(table[table >= 0].tolist()) == shifts.keys()


def test_reads_use_the_shifts(reader: SiffReader) -> None:
    page = next(page for page, shift in reader.registration_dict.items() if any(shift))
    shift = reader.registration_dict[page]
    plain = reader.get_frames([page], {})[0]
    assert (reader.get_frames([page])[0] == np.roll(plain, shift, (0, 1))).all()
    filled = reader.get_frames([page], edge=9)[0]
    expected = np.full(np.add(plain.shape, 40), 9)
    expected[20 + shift[0] : 20 + shift[0] + plain.shape[0], 20 + shift[1] : 20 + shift[1] + plain.shape[1]] = plain
    assert (filled == expected[20:-20, 20:-20]).all()


@pytest.mark.parametrize("method", ["mean_delay", "phasor"])
def test_edges_of_every_read_are_filled(tmp_path: Path, method: str) -> None:
    written = write_siff_recording(tmp_path, n_volumes=2, photons_per_page=2000)
    with SiffReader(written.path) as reader:
        shifts = {0: (3, -2)}
        outside = np.ones(reader.im_params.shape, bool)
        outside[3:, :-2] = False
        wrapped, wrapped_counts = reader.flim_map([0, 1], method, shifts)
        found, counts = reader.flim_map([0, 1], method, shifts, edge=np.nan)
        assert np.isnan(found[0, outside]).all()
        assert not counts[0, outside].any()
        assert wrapped_counts[0, outside].any()
        np.testing.assert_array_equal(found[0, ~outside], wrapped[0, ~outside])
        np.testing.assert_array_equal(found[1], wrapped[1])
        np.testing.assert_array_equal(counts[1], wrapped_counts[1])
        ((_, in_buffers, _),) = reader.iter_flim_maps([0, 1], method, shifts, edge=np.nan)
        np.testing.assert_array_equal(in_buffers, found)
        ((_, frames),) = reader.iter_frames([0, 1], shifts, edge=7)
        np.testing.assert_array_equal(frames, reader.get_frames([0, 1], shifts, edge=7))
        assert (frames[0, outside] == 7).all()


SHIFTS = {0: (3, -2), 1: (0, 0), 2: (-4, 0), 3: (1, 5)}


@pytest.fixture(params=["siff", "tiff"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> SiffReader:
    if request.param == "siff":
        return SiffReader(write_siff_recording(tmp_path, n_volumes=2, n_planes=2, photons_per_page=2000).path)
    return SiffReader(write_scanimage_recording(tmp_path, n_volumes=2, n_planes=2).paths[0])


@pytest.mark.parametrize("kind", ["apart", "overlapping", "planes", "weights"])
@pytest.mark.parametrize("edge", ["wrap", 0, 7])
def test_sums_of_masks_are_those_of_the_frames(small: SiffReader, kind: str, edge: str | int) -> None:
    rng, shape = np.random.default_rng(0), small.im_params.shape
    n_planes = small.recording.n_planes
    frames = [page for page in SHIFTS if small.recording.index.plane[page] >= 0]
    masks: np.ndarray = rng.random((3, *shape)) < 0.5
    if kind == "apart":
        masks = rng.integers(0, 4, shape) == np.arange(1, 4)[:, np.newaxis, np.newaxis]
    elif kind == "planes":
        masks = rng.random((3, n_planes, *shape)) < 0.3
    elif kind == "weights":
        masks = rng.normal(size=(3, *shape))
    found = small.sum_masks(masks, frames, SHIFTS, edge=edge)
    pixels = small.get_frames(frames, SHIFTS, edge=edge).astype(np.float64)
    own = masks[:, small.recording.index.plane[frames]] if kind == "planes" else masks[:, np.newaxis]
    expected = (own * pixels).sum(axis=(2, 3))
    if kind == "planes":  # one sum for each time point
        _, time_point = np.unique(small.recording.index.volume[frames], return_inverse=True)
        expected = np.stack([expected[:, time_point == i].sum(axis=1) for i in range(time_point.max() + 1)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(small.sum_mask(masks[1], frames, SHIFTS, edge=edge), found[1], rtol=1e-9)


def test_photons_beyond_the_edge_are_left_out_of_histograms_and_lifetimes(tmp_path: Path) -> None:
    reader = SiffReader(write_siff_recording(tmp_path, n_volumes=4, photons_per_page=2000).path)
    frames, mask = [0, 1, 2], np.zeros((1, *reader.im_params.shape), bool)
    mask[0, :6, -9:] = True
    for masks in (mask, mask * 1.0):
        sums = reader.sum_masks(masks, frames, SHIFTS, edge=0)[0]
        assert (sums <= reader.sum_masks(masks, frames, SHIFTS)[0]).all()
        assert sums[0] < reader.sum_masks(masks, frames, SHIFTS)[0, 0]
        histogram = reader.get_histogram(frames, masks, True, registration_dict=SHIFTS, edge=0)
        np.testing.assert_array_equal(histogram.sum(axis=2)[0], sums)
        pooled = reader.get_histogram(frames, masks, registration_dict=SHIFTS, edge=0)
        np.testing.assert_array_equal(pooled, histogram.sum(axis=1))
        lifetime, counts = reader.sum_masks_flim(masks, frames, registration_dict=SHIFTS, edge=0)
        np.testing.assert_array_equal(counts[0], sums)
        centres = (np.arange(reader.num_bins) + 0.5) * reader.tcspc_resolution_s
        np.testing.assert_allclose(lifetime[0], (histogram[0] @ centres) / sums)


def test_photons_beyond_the_edge_are_left_out_one_by_one(tmp_path: Path) -> None:
    reader = SiffReader(write_siff_recording(tmp_path, n_volumes=4, photons_per_page=2000).path)
    frames, n_pixels = [2, 0, 3, 1], int(np.prod(reader.im_params.shape))
    expected = reader.get_frames(frames, SHIFTS, edge=0)
    assert expected.sum() < reader.get_frames(frames, SHIFTS).sum()
    found = reader.photons(frames, SHIFTS, edge=0)
    for page, frame in zip(frames, expected, strict=True):
        assert (np.bincount(found.pixel[found.frame == page], minlength=n_pixels) == frame.ravel()).all()
    masks = np.arange(n_pixels).reshape(1, *reader.im_params.shape) % 3 == np.arange(2)[:, None, None]
    for mask, own in zip(masks, reader.photons(frames, SHIFTS, masks=masks, edge=0), strict=True):
        assert len(own.pixel) == expected[:, mask].sum()
    ((_, in_buffers),) = reader.iter_photons(frames, SHIFTS, edge=0)
    assert (in_buffers.pixel == found.pixel).all()
    histogram = reader.get_pixel_histogram(frames, True, registration_dict=SHIFTS, edge=0)
    assert (histogram.sum(axis=3) == expected).all()
    assert (reader.get_pixel_histogram(frames, registration_dict=SHIFTS, edge=0) == histogram.sum(axis=0)).all()
    labelled = reader.to_xarray("TYXH", registration_dict=SHIFTS, edge=0)
    assert (labelled.values[frames].sum(axis=3) == expected).all()
    with pytest.raises(ValueError, match="edge is 'fill'"):
        reader.photons(frames, SHIFTS, edge="fill")


def test_no_frames_have_no_photons_beyond_the_edge(tmp_path: Path) -> None:
    """A part of a run that holds no frame is read like any other."""
    reader = SiffReader(write_siff_recording(tmp_path, n_volumes=2).path)
    mask = np.ones(reader.im_params.shape, bool)
    assert reader.photons([], SHIFTS, edge=0).pixel.shape == (0,)
    assert reader.photons([], SHIFTS, masks=mask, edge=0).pixel.shape == (0,)
    assert reader.get_pixel_histogram([], True, registration_dict=SHIFTS, edge=0).shape == (0, *mask.shape, 629)
    assert reader.get_histogram([], mask, registration_dict=SHIFTS, edge=0).sum() == 0
    assert reader.sum_masks(mask[np.newaxis], [], registration_dict=SHIFTS, edge=7).shape == (1, 0)


def test_shifts_are_kept_in_a_file(reader: SiffReader, tmp_path: Path) -> None:
    assert reader.registration_info is not None
    reader.registration_info.save(tmp_path / "reg.h5")
    other = SiffReader.from_recording(reader.recording)
    other.use_registration(tmp_path / "reg.h5")
    assert other.registration_dict == reader.registration_dict
    assert other.registration_info is not None
    assert other.registration_info.source["file_name"] == "volume_two_colors.siff"


def test_another_file_refuses_them(reader: SiffReader, tmp_path: Path) -> None:
    other = SiffReader(write_siff_recording(tmp_path, n_volumes=4).path)
    with pytest.raises((FrameIndexError, ValueError), match="registration"):
        other.use_registration(reader.registration_info)
    assert other.registration_dict == {}


def test_unsigned_shifts_of_a_peer_reach_every_colour(tmp_path: Path) -> None:
    reader = SiffReader(write_siff_recording(tmp_path, channel_save=(1, 2), n_volumes=3).path)
    peer = RegistrationInfo.from_shifts({0: (15, 0), 2: (0, 11), 4: (1, 1)}, shape=(16, 12))
    reader.use_registration(peer.placed(page_table(reader.recording)))
    assert reader.registration_dict == {0: (-1, 0), 1: (-1, 0), 2: (0, -1), 3: (0, -1), 4: (1, 1), 5: (1, 1)}


def test_colours_that_are_not_there(reader: SiffReader) -> None:
    with pytest.raises(FrameIndexError, match="colour 2"):
        reader.register(alignment_color_channel=2)


def test_frames_of_a_slice_follow_one_another(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_planes=2, n_flyback=1, frames_per_slice=3, n_volumes=2)
    reader = SiffReader(written.path if hasattr(written, "path") else written.paths[0])
    table = page_table(reader.recording)
    assert table.shape == (6, 2, 1)
    assert table[:3, 0, 0].tolist() == [0, 1, 2]
    assert table[:3, 1, 0].tolist() == [3, 4, 5]


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-2, 0), (0, 3), (-2, -2)])
def test_fill_edges(shift: tuple[int, int]) -> None:
    plain = np.arange(1, 31).reshape(1, 5, 6)
    expected = np.zeros((15, 18), int)
    expected[5 + shift[0] : 10 + shift[0], 6 + shift[1] : 12 + shift[1]] = plain[0]
    found = fill_edges(np.roll(plain, shift, (1, 2)), np.array([np.mod(shift, (5, 6))]), 0)
    assert (found[0] == expected[5:10, 6:12]).all()


def test_a_method_that_siffpy_scripts_ask_for_and_its_result_are_taken(tmp_path: Path) -> None:
    """The API document's ``register(registration_method="siffpy")`` raised; so did a `RegistrationInfo` as shifts."""
    written = write_siff_recording(tmp_path, n_volumes=6, photons_per_page=500)
    reader = SiffReader(written.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)  # there is no motion to find in noise
        shifts = reader.register(registration_method="siffpy", alignment_color_channel=0)
        assert shifts == SiffReader(written.path).register("poisson")
    info = reader.registration_info
    assert (SiffReader(written.path).get_frames(registration_dict=info) == reader.get_frames()).all()


def test_many_frames_of_a_tiff_are_shifted_in_the_order_asked_for(tmp_path: Path, monkeypatch) -> None:
    """They are read a few at a time, by several threads; and by Python, where a system has no fast way."""
    monkeypatch.setattr("scanimage_nwb.formats.scanimage_tiff._THREADED_BYTES", 6 * 12 * 16 * 2)
    written = write_scanimage_recording(tmp_path, n_volumes=40)
    reader, rng = SiffReader(written.paths[0]), np.random.default_rng(0)
    frames = rng.permutation(40).tolist()
    shifts = {page: tuple(rng.integers(-20, 20, 2).tolist()) for page in range(0, 40, 2)}
    expected = [np.roll(reader.get_frames([page], {})[0], shifts.get(page, (0, 0)), (0, 1)) for page in frames]
    np.testing.assert_array_equal(reader.get_frames(frames, shifts), expected)
    monkeypatch.setattr(ReadOnlyFile, "descriptor", None)
    np.testing.assert_array_equal(reader.get_frames(frames, shifts), expected)
