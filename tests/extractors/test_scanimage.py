"""The extractor's interface: every method and attribute of the seed, on one channel of a recording."""

import copy
import pickle
import re
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import tifffile
from roiextractors import ImagingExtractor

from scanimage_nwb import ScanImageImagingExtractor, open_recording
from scanimage_nwb.errors import FormatError, FrameIndexError, ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.testing import (
    resave_without_magic,
    write_legacy_recording,
    write_scanimage_recording,
    write_si5_recording,
)

VOLUMES = {"n_channels": 2, "n_planes": 3, "frames_per_slice": 2, "n_flyback": 1, "n_volumes": 5}


def pages_of(truth, channel, plane, slice_sample):
    """Return the global pages of one channel, plane and slice sample, one each volume."""
    mine = (truth.channel == channel) & (truth.plane == plane) & (truth.slice_sample == slice_sample)
    return np.flatnonzero(mine)


def series_of(truth, channel, slice_sample, n_planes):
    """Return samples, rows, columns, planes from the truth."""
    planes = [truth.pages[pages_of(truth, channel, plane, slice_sample)] for plane in range(n_planes)]
    return np.stack(planes, axis=-1)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_scanimage_recording(tmp_path_factory.mktemp("volumes"), name="m_00001", pages_per_file=20, **VOLUMES)


@pytest.fixture(scope="module")
def planar(tmp_path_factory):
    return write_scanimage_recording(tmp_path_factory.mktemp("planar"), n_channels=2, n_volumes=12)


@pytest.fixture
def extractor(volumes):
    return ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 2", slice_sample=1)


@pytest.fixture
def planar_extractor(planar):
    return ScanImageImagingExtractor(planar.paths[0], channel_name="Channel 2")


def test_names_of_the_seed_exist(extractor):
    methods = (
        "get_series get_image_shape get_frame_shape get_sample_shape get_volume_shape get_num_samples "
        "get_sampling_frequency get_num_planes get_available_channel_names get_dtype get_times get_native_timestamps "
        "extract_timestamp_from_page get_available_num_planes get_frames_per_slice get_original_frame_indices __del__"
    )
    for name in methods.split():
        assert callable(getattr(extractor, name))
    for name in ("get_available_channel_names", "get_available_num_planes", "get_frames_per_slice"):
        assert isinstance(vars(ScanImageImagingExtractor)[name], staticmethod)
    assert isinstance(extractor, ImagingExtractor)


def test_attributes_that_the_peers_tests_touch(extractor, volumes):
    assert extractor.channel_name == "Channel 2"
    assert extractor.channel_names == ["Channel 1", "Channel 2"]
    assert extractor.file_paths == list(volumes.paths)
    assert extractor.file_path == volumes.paths[0]
    assert extractor.is_volumetric is True
    assert extractor._times is None
    assert extractor._num_channels == 2
    assert extractor._channel_index == 1
    assert extractor._frames_per_slice == 2
    assert extractor._ifds_per_file == [20, 20, 20, 10]
    assert extractor.num_flyback_frames_per_channel == 1


def test_shapes_of_volumes(extractor):
    assert extractor.get_image_shape() == extractor.get_frame_shape() == (16, 12)
    assert extractor.get_volume_shape() == extractor.get_sample_shape() == (16, 12, 3)
    assert extractor.get_num_planes() == 3
    assert extractor.get_num_samples() == 5
    assert extractor.get_dtype() == np.int16


def test_shapes_of_planar_data(planar_extractor):
    assert planar_extractor.is_volumetric is False
    assert planar_extractor.get_image_shape() == planar_extractor.get_sample_shape() == (16, 12)
    assert planar_extractor.get_volume_shape() == (16, 12, 1)
    assert planar_extractor.get_num_planes() == 1
    assert planar_extractor.get_num_samples() == 12


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("slice_sample", [0, 1])
def test_series_of_every_channel_and_slice_sample(volumes, channel, slice_sample):
    extractor = ScanImageImagingExtractor(
        file_path=volumes.paths[0], channel_name=f"Channel {channel + 1}", slice_sample=slice_sample
    )
    expected = series_of(volumes, channel, slice_sample, 3)
    np.testing.assert_array_equal(extractor.get_series(), expected)
    np.testing.assert_array_equal(extractor.get_series(1, 3), expected[1:3])
    np.testing.assert_array_equal(extractor.get_series(start_sample=4), expected[4:])
    np.testing.assert_array_equal(extractor.get_samples([3, 0, 3]), expected[[3, 0, 3]])
    last = pages_of(volumes, channel, 2, slice_sample)
    assert extractor.get_original_frame_indices().tolist() == last.tolist()
    assert extractor.get_native_timestamps().tolist() == volumes.timestamps_s[last].tolist()


@pytest.mark.parametrize("channel", [0, 1])
def test_interleaved_slice_samples_follow_one_another(volumes, channel):
    extractor = ScanImageImagingExtractor(
        volumes.paths[0], channel_name=f"Channel {channel + 1}", interleave_slice_samples=True
    )
    assert extractor.get_num_samples() == 10
    expected = np.empty((10, 16, 12, 3), np.int16)
    expected[0::2], expected[1::2] = (series_of(volumes, channel, k, 3) for k in (0, 1))
    np.testing.assert_array_equal(extractor.get_series(), expected)
    last = np.stack([pages_of(volumes, channel, 2, k) for k in (0, 1)], axis=1).reshape(-1)
    assert extractor.get_original_frame_indices().tolist() == last.tolist()


def test_slice_sample_wins_over_interleave(volumes):
    both = ScanImageImagingExtractor(
        volumes.paths[0], channel_name="Channel 1", slice_sample=1, interleave_slice_samples=True
    )
    assert both.get_num_samples() == 5
    np.testing.assert_array_equal(both.get_series(), series_of(volumes, 0, 1, 3))


def test_slice_samples_have_to_be_chosen(volumes):
    with pytest.raises(ValueError, match=r"holds 2 frames of each slice.*slice_sample.*interleave_slice_samples"):
        ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 1")
    for wrong in (2, -1):
        with pytest.raises(ValueError, match=rf"slice_sample is {wrong}; .* has 2 a slice"):
            ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 1", slice_sample=wrong)


def test_slice_sample_and_plane_have_no_effect_on_planar_data(planar):
    extractor = ScanImageImagingExtractor(
        planar.paths[0], channel_name="Channel 1", slice_sample=7, plane_index=9, interleave_slice_samples=True
    )
    np.testing.assert_array_equal(extractor.get_series(), planar.pages[0::2])


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_one_plane_is_planar(volumes, plane):
    extractor = ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 2", slice_sample=0, plane_index=plane)
    assert extractor.is_volumetric is False
    assert extractor.get_sample_shape() == (16, 12)
    assert extractor.get_num_planes() == 1
    pages = pages_of(volumes, 1, plane, 0)
    np.testing.assert_array_equal(extractor.get_series(), volumes.pages[pages])
    assert extractor.get_original_frame_indices().tolist() == pages.tolist()
    assert extractor.get_native_timestamps().tolist() == volumes.timestamps_s[pages].tolist()


@pytest.mark.parametrize("plane", [-1, 3])
def test_plane_out_of_range(volumes, plane):
    with pytest.raises(ValueError, match=f"plane_index is {plane}; .* has 3 planes"):
        ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 1", slice_sample=0, plane_index=plane)


def test_original_frame_indices_of_any_plane(extractor, volumes):
    for plane in range(3):
        pages = pages_of(volumes, 1, plane, 1)
        found = extractor.get_original_frame_indices(plane_index=plane)
        assert found.dtype == np.int64
        assert found.tolist() == pages.tolist()
        assert extractor.get_frame_numbers(plane).tolist() == volumes.frame_numbers[pages].tolist()
        assert extractor.get_original_frame_indices(plane, per_frame=True).tolist() == (pages // 2).tolist()
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=f"plane_index is {wrong}"):
            extractor.get_original_frame_indices(plane_index=wrong)


def test_original_frame_indices_may_be_changed_by_the_caller(extractor, volumes):
    extractor.get_original_frame_indices()[:] = 0
    assert extractor.get_original_frame_indices().tolist() == pages_of(volumes, 1, 2, 1).tolist()
    extractor.get_native_timestamps()[:] = 0
    assert extractor.get_native_timestamps()[-1] > 0


@pytest.mark.parametrize("name", ["Channel 3", "", "channel 1", "Channel 1 "])
@pytest.mark.parametrize("n_channels", [1, 2])
def test_unknown_channel_name_lists_those_there_are(tmp_path, name, n_channels):
    path = write_scanimage_recording(tmp_path, n_channels=n_channels).paths[0]
    there = [f"Channel {k + 1}" for k in range(n_channels)]
    with pytest.raises(ValueError, match=re.escape(f"channel_name {name!r} is not in {path}, which holds {there}")):
        ScanImageImagingExtractor(path, channel_name=name)


def test_channel_has_to_be_chosen_among_two(planar):
    with pytest.raises(ValueError, match=r"holds channels \['Channel 1', 'Channel 2'\]; choose one with channel_name"):
        ScanImageImagingExtractor(planar.paths[0])


def test_one_channel_need_not_be_named(tmp_path):
    truth = write_scanimage_recording(tmp_path, channel_save=(3,))
    for name in (None, "Channel 3"):
        extractor = ScanImageImagingExtractor(truth.paths[0], channel_name=name)
        assert extractor.channel_name == "Channel 3"
        np.testing.assert_array_equal(extractor.get_series(), truth.pages)


def test_two_channels_of_one_name_are_refused_or_told_apart(tmp_path):
    overrides = {"hChannels.channelName": "{'PMT' 'PMT' 'x' 'y'}"}
    truth = write_scanimage_recording(tmp_path, n_channels=2, header_overrides=overrides)
    names = ScanImageImagingExtractor.get_available_channel_names(truth.paths[0])
    assert len(set(names)) == 2
    for channel, name in enumerate(names):
        series = ScanImageImagingExtractor(truth.paths[0], channel_name=name).get_series()
        np.testing.assert_array_equal(series, truth.pages[channel::2])


def test_static_methods(volumes, planar):
    assert ScanImageImagingExtractor.get_available_channel_names(volumes.paths[0]) == ["Channel 1", "Channel 2"]
    assert ScanImageImagingExtractor.get_available_num_planes(volumes.paths[0]) == 3
    assert ScanImageImagingExtractor.get_frames_per_slice(volumes.paths[0]) == 2
    assert ScanImageImagingExtractor.get_available_num_planes(str(planar.paths[0])) == 1
    assert ScanImageImagingExtractor.get_frames_per_slice(planar.paths[0]) == 1


def test_static_methods_ask_without_a_warning(tmp_path):
    path = write_scanimage_recording(tmp_path, n_planes=2, drop_frames=(3,), with_roi_json=False).paths[0]
    assert ScanImageImagingExtractor.get_available_num_planes(path) == 2


def test_timestamp_of_a_tifffile_page(planar, tmp_path):
    with tifffile.TiffFile(planar.paths[0]) as tiff:
        found = [ScanImageImagingExtractor.extract_timestamp_from_page(page) for page in tiff.pages]
    assert found == planar.timestamps_s.tolist()
    bare = write_scanimage_recording(tmp_path, with_page_text=False).paths[0]
    with tifffile.TiffFile(bare) as tiff:
        assert ScanImageImagingExtractor.extract_timestamp_from_page(tiff.pages[0]) is None
    untimed = write_scanimage_recording(tmp_path, with_timestamps=False).paths[0]
    with tifffile.TiffFile(untimed) as tiff:
        assert ScanImageImagingExtractor.extract_timestamp_from_page(tiff.pages[0]) is None


# Ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(0, 13), (13, 13), (-1, 3), (0, -1), (None, 10**12), (-12, None)])
def test_series_out_of_range(planar_extractor, start, end):
    for method in (
        planar_extractor.get_series,
        planar_extractor.get_native_timestamps,
        planar_extractor.get_timestamps,
        planar_extractor.slice_samples,
    ):
        with pytest.raises(IndexError, match="there are 12, from 0"):
            method(start, end)


def test_series_reversed(planar_extractor):
    with pytest.raises(ValueError, match=r"start_sample \(7\) lies behind end_sample \(3\)"):
        planar_extractor.get_series(7, 3)


def test_empty_ranges(planar_extractor, extractor):
    assert planar_extractor.get_series(3, 3).shape == (0, 16, 12)
    assert planar_extractor.get_series(12, 12).shape == (0, 16, 12)
    assert extractor.get_series(0, 0).shape == (0, 16, 12, 3)
    assert planar_extractor.get_samples([]).shape == (0, 16, 12)
    assert planar_extractor.get_native_timestamps(4, 4).shape == (0,)


@pytest.mark.parametrize("samples", [[12], [-1], [0, 99], 12])
def test_samples_out_of_range(planar_extractor, samples):
    with pytest.raises(FrameIndexError, match="there are 12, from 0"):
        planar_extractor.get_samples(samples)


@pytest.mark.parametrize(
    "samples", [[0.5], [True] * 12, np.arange(12) > 3, ["1"]], ids=["float", "bool", "mask", "text"]
)
def test_samples_that_are_no_whole_numbers(planar_extractor, samples):
    """A mask taken for the samples 0 and 1 would go unseen."""
    with pytest.raises(ValueError, match="whole numbers"):
        planar_extractor.get_samples(samples)


def test_range_that_is_no_whole_number(planar_extractor):
    for start, end in ((0.5, 3), (0, 3.7)):
        with pytest.raises(TypeError):
            planar_extractor.get_series(start, end)


def test_numpy_integers_are_whole_numbers(planar_extractor, planar):
    np.testing.assert_array_equal(planar_extractor.get_series(np.int32(2), np.uint8(4)), planar.pages[5:8:2])
    np.testing.assert_array_equal(planar_extractor.get_samples(np.uint16([3, 1])), planar.pages[[7, 3]])
    np.testing.assert_array_equal(planar_extractor.get_samples(3), planar.pages[[7]])


# Times -----------------------------------------------------------------------------------------------------------


def test_times(planar_extractor, planar):
    expected = planar.timestamps_s[1::2].tolist()
    assert planar_extractor.get_timestamps().tolist() == expected
    assert planar_extractor.get_timestamps(2, 5).tolist() == expected[2:5]
    assert planar_extractor.get_times().tolist() == expected
    assert planar_extractor.get_native_timestamps(10).tolist() == expected[10:]
    assert planar_extractor.get_sampling_frequency() == pytest.approx(30, rel=1e-6)


def test_set_times_leaves_native_timestamps_native(planar_extractor, planar):
    native = planar.timestamps_s[1::2]
    for _ in range(2):
        planar_extractor.set_times(native + 100)
        assert planar_extractor.get_timestamps().tolist() == (native + 100).tolist()
        assert planar_extractor.get_times().tolist() == (native + 100).tolist()
        assert planar_extractor.get_native_timestamps().tolist() == native.tolist()
        assert planar_extractor.has_time_vector()
    assert planar_extractor.get_sampling_frequency() == pytest.approx(30, rel=1e-6)


def test_time_to_sample(planar_extractor, planar):
    times = planar.timestamps_s[1::2]
    assert planar_extractor.time_to_sample_indices(times).tolist() == list(range(12))
    assert planar_extractor.time_to_sample_indices(times[3] + 0.01) == 3
    assert planar_extractor.time_to_sample_indices(-5.0) == -1


def test_rate_of_volumes_comes_from_timestamps(volumes, extractor):
    assert extractor.get_sampling_frequency() == pytest.approx(30 / 7, rel=1e-6)
    both = ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 1", interleave_slice_samples=True)
    assert np.diff(both.get_native_timestamps())[:3] == pytest.approx([1 / 30, 6 / 30, 1 / 30])


def test_rate_of_averaged_frames(tmp_path):
    path = write_scanimage_recording(tmp_path, averaging=4).paths[0]
    assert ScanImageImagingExtractor(path).get_sampling_frequency() == pytest.approx(7.5, rel=1e-6)


def test_rate_of_a_single_sample_comes_from_the_header(tmp_path):
    path = write_scanimage_recording(tmp_path / "a", n_planes=3, n_volumes=1).paths[0]
    assert ScanImageImagingExtractor(path).get_sampling_frequency() == pytest.approx(10)
    path = write_scanimage_recording(tmp_path / "b", n_volumes=1, averaging=2).paths[0]
    assert ScanImageImagingExtractor(path).get_sampling_frequency() == pytest.approx(15)


@pytest.mark.parametrize(
    ("arguments", "rate_hz"),
    [
        ({}, 30),
        ({"n_planes": 3}, 10),
        ({"averaging": 3}, 10),
        ({"n_planes": 2, "n_flyback": 1, "averaging": 2}, 5),
        ({"n_planes": 3, "header_overrides": {"hRoiManager.scanVolumeRate": None}}, 10),
    ],
)
def test_no_timestamps(tmp_path, arguments, rate_hz):
    truth = write_scanimage_recording(tmp_path, with_timestamps=False, **arguments)
    with pytest.warns(ScanImageNwbWarning, match="no timestamps") as caught:
        extractor = ScanImageImagingExtractor(truth.paths[0])
    assert len(caught) == 1
    assert extractor.get_native_timestamps() is None
    assert extractor.get_native_timestamps(1, 3) is None
    assert extractor.get_sampling_frequency() == pytest.approx(rate_hz)
    assert extractor.get_timestamps() == pytest.approx(np.arange(10) / rate_hz)
    assert extractor.get_times() == pytest.approx(np.arange(10) / rate_hz)
    assert "Hz" in repr(extractor)


def test_no_timestamps_of_interleaved_slice_samples(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, frames_per_slice=2, with_timestamps=False)
    with pytest.warns(ScanImageNwbWarning, match="no timestamps"):
        both = ScanImageImagingExtractor(truth.paths[0], interleave_slice_samples=True)
    with pytest.warns(ScanImageNwbWarning, match="no timestamps"):
        one = ScanImageImagingExtractor(truth.paths[0], slice_sample=1)
    assert both.get_sampling_frequency() == pytest.approx(10)
    assert one.get_sampling_frequency() == pytest.approx(5)


def test_neither_timestamps_nor_rate(tmp_path):
    overrides = {"hRoiManager.scanFrameRate": None, "hRoiManager.scanVolumeRate": None}
    truth = write_scanimage_recording(tmp_path, with_timestamps=False, header_overrides=overrides)
    with pytest.warns(ScanImageNwbWarning, match=r"(?s)no timestamps.*header lacks .*scanFrameRate"):
        extractor = ScanImageImagingExtractor(truth.paths[0])
    with pytest.raises(UnsupportedFormatError, match="set_times"):
        extractor.get_sampling_frequency()
    extractor.set_times(np.arange(10) / 4)
    assert extractor.get_timestamps().tolist() == (np.arange(10) / 4).tolist()
    np.testing.assert_array_equal(extractor.get_series(), truth.pages)


def test_slow_stack_has_timestamps_with_gaps(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, n_planes=2, frames_per_slice=3, n_volumes=4, stack_mode="slow", slow_gap_s=1.5
    )
    extractor = ScanImageImagingExtractor(truth.paths[0], interleave_slice_samples=True)
    assert extractor.get_native_timestamps()[:3] == pytest.approx([1.6, 1.6 + 1 / 30, 1.6 + 2 / 30])
    assert np.diff(extractor.get_native_timestamps())[2] == pytest.approx(3 + 4 / 30)


def test_dropped_volumes_leave_times_true(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=2, n_flyback=1, drop_frames=(4, 12))
    with pytest.warns(ScanImageNwbWarning, match=r"2 frame\(s\) are missing.*2 volume\(s\) are incomplete") as caught:
        extractor = ScanImageImagingExtractor(truth.paths[0])
    assert len(caught) == 1
    kept = [0, 2, 3, 5, 6, 7, 8, 9]
    assert extractor.get_num_samples() == 8
    assert extractor.get_native_timestamps() == pytest.approx((np.array(kept) * 3 + 1) / 30, abs=1e-9)
    assert extractor.get_frame_numbers().tolist() == [v * 3 + 2 for v in kept]
    assert extractor.get_sampling_frequency() == pytest.approx(10, rel=1e-6)


# Copies ----------------------------------------------------------------------------------------------------------


def test_slice_samples_then_original_frame_indices(extractor, volumes):
    part = extractor.slice_samples(1, 4)
    assert part.get_num_samples() == 3
    np.testing.assert_array_equal(part.get_series(), series_of(volumes, 1, 1, 3)[1:4])
    for plane in (None, 0, 1):
        assert (
            part.get_original_frame_indices(plane).tolist() == extractor.get_original_frame_indices(plane).tolist()[1:4]
        )
    assert part.get_native_timestamps().tolist() == extractor.get_native_timestamps().tolist()[1:4]
    nested = part.slice_samples(1, 2)
    np.testing.assert_array_equal(nested.get_series(), series_of(volumes, 1, 1, 3)[2:3])
    assert extractor.get_num_samples() == 5


def test_slice_keeps_its_times_when_those_of_the_whole_change(planar_extractor):
    planar_extractor.set_times(np.arange(12.0))
    part = planar_extractor.slice_samples(3, 6)
    planar_extractor.set_times(np.arange(12.0) + 100)
    assert part.get_timestamps().tolist() == [3, 4, 5]
    part.set_times([7, 8, 9])
    assert planar_extractor.get_timestamps()[3] == 103


def test_slice_lives_longer_than_the_whole(volumes):
    part = ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 1", slice_sample=0).slice_samples(2)
    np.testing.assert_array_equal(part.get_series(), series_of(volumes, 0, 0, 3)[2:])


def test_field_of_view_and_plane_of_roiextractors(extractor, volumes):
    expected = series_of(volumes, 1, 1, 3)
    part = extractor.slice_field_of_view(row_start=2, row_end=9, column_start=1, column_end=5)
    np.testing.assert_array_equal(part.get_series(1, 3), expected[1:3, 2:9, 1:5])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_and_pickles(extractor, volumes, copied):
    extractor.get_series(0, 1)
    extractor.set_times(np.arange(5.0))
    twin = copied(extractor)
    del extractor
    np.testing.assert_array_equal(twin.get_series(), series_of(volumes, 1, 1, 3))
    assert twin.get_timestamps().tolist() == [0, 1, 2, 3, 4]
    assert twin.channel_name == "Channel 2"
    assert twin.get_original_frame_indices().tolist() == pages_of(volumes, 1, 2, 1).tolist()


def test_pickle_is_small(tmp_path):
    """What travels to another process grows with pages, not with pixels."""
    truth = write_scanimage_recording(tmp_path, n_volumes=50, shape=(200, 200))
    extractor = ScanImageImagingExtractor(truth.paths[0])
    extractor.get_series()
    assert len(pickle.dumps(extractor)) < truth.pages.nbytes / 20


def read_sum(extractor):
    return int(extractor.get_series().astype(np.int64).sum())


def test_another_process_reads_the_same(extractor, volumes):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(read_sum, extractor).result()
    assert found == series_of(volumes, 1, 1, 3).astype(np.int64).sum()


def test_threads_read_what_one_reads(extractor, volumes):
    expected = series_of(volumes, 1, 1, 3)

    def read(seed):
        samples = np.random.default_rng(seed).integers(0, 5, 8)
        return np.array_equal(extractor.get_samples(samples), expected[samples])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(60)))


def test_repr(extractor, planar_extractor):
    assert "ScanImageImagingExtractor" in repr(extractor)
    assert "16 rows x 12 columns x 3 planes" in repr(extractor)
    assert "Number of samples: 12" in repr(planar_extractor)


def test_files_are_closed_with_the_extractor(volumes):
    extractor = ScanImageImagingExtractor(volumes.paths[0], channel_name="Channel 1", slice_sample=0)
    extractor.get_series()
    recording = extractor.recording
    assert recording._files
    del extractor
    assert not recording._files


def test_del_of_a_half_made_extractor_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ScanImageImagingExtractor.__new__(ScanImageImagingExtractor).__del__()


def test_extractors_share_an_open_recording(volumes):
    recording = open_recording(volumes.paths[0])
    for channel in (0, 1):
        extractor = ScanImageImagingExtractor.from_recording(
            recording, channel_name=f"Channel {channel + 1}", slice_sample=1
        )
        assert extractor.recording is recording
        np.testing.assert_array_equal(extractor.get_series(), series_of(volumes, channel, 1, 3))


# Files -----------------------------------------------------------------------------------------------------------


def test_explicit_files(volumes):
    extractor = ScanImageImagingExtractor(
        file_paths=[str(path) for path in volumes.paths[:2]], channel_name="Channel 1", slice_sample=0
    )
    assert extractor.file_paths == list(volumes.paths[:2])
    np.testing.assert_array_equal(extractor.get_series(0, 2), series_of(volumes, 0, 0, 3)[:2])


def test_explicit_files_that_end_within_a_volume(volumes):
    with pytest.warns(ScanImageNwbWarning, match=r"1 volume\(s\) are incomplete") as caught:
        extractor = ScanImageImagingExtractor(file_paths=volumes.paths[:1], channel_name="Channel 1", slice_sample=0)
    assert len(caught) == 1
    assert extractor.get_num_samples() == 1


def test_neither_file_path_nor_file_paths():
    with pytest.raises(ValueError, match="file_path or file_paths"):
        ScanImageImagingExtractor()


def test_truncated_file_gives_one_warning_and_the_whole_pages(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    data = truth.paths[0].read_bytes()
    truth.paths[0].write_bytes(data[:-100])
    with pytest.warns(ScanImageNwbWarning, match="9 whole pages") as caught:
        extractor = ScanImageImagingExtractor(truth.paths[0])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(extractor.get_series(), truth.pages[:9])


def test_resaved_file(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, shape=(64, 6))
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, keep_roi_json=True)
    extractor = ScanImageImagingExtractor(target, channel_name="Channel 2")
    np.testing.assert_array_equal(extractor.get_series(), series_of(truth, 1, 0, 2))


@pytest.mark.parametrize("generation", ["SI4", "SI5"])
def test_versions_4_and_5(tmp_path, generation):
    truth = write_si5_recording(
        tmp_path / "old.tif", generation=generation, n_frames=9, channels=(1, 2), n_planes=2, n_flyback=1
    )
    extractor = ScanImageImagingExtractor(truth.paths[0], channel_name="Channel 2")
    np.testing.assert_array_equal(extractor.get_series(), series_of(truth, 1, 0, 2))
    assert extractor.get_sampling_frequency() == pytest.approx(10, rel=1e-4)


def test_version_3_8_points_to_the_legacy_class(tmp_path):
    path = write_legacy_recording(tmp_path / "old.tif").paths[0]
    with pytest.raises(ValueError, match="ScanImageLegacyImagingExtractor"):
        ScanImageImagingExtractor(path)


def test_plain_empty_and_missing_files(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((2, 4, 4), np.uint8), photometric="minisblack")
    (tmp_path / "empty.tif").touch()
    for name in ("plain", "empty"):
        with pytest.raises(ValueError, match=rf"{name}\.tif"):
            ScanImageImagingExtractor(tmp_path / f"{name}.tif")
    with pytest.raises(FileNotFoundError, match=r"none\.tif"):
        ScanImageImagingExtractor(tmp_path / "none.tif")


def test_photons_are_not_taken_for_pixels(data_dir):
    with pytest.raises(FormatError, match=r"plane_raw\.siff holds photons"):
        ScanImageImagingExtractor(data_dir / "siff" / "plane_raw.siff")
