"""Equal to roiextractors where roiextractors is right: on the real recordings, and on sound synthetic ones."""

import gc

import numpy as np
import pytest
import roiextractors

from scanimage_nwb import ScanImageImagingExtractor
from scanimage_nwb.testing import write_scanimage_recording

# roiextractors never closes the handle it reads the header with.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

VOLUMES = "vol_one_ch_multi_files_00001_00001.tif"
SLOW = "scanimage_20220923_noroi.tif"
CASES = [
    *[(VOLUMES, options) for options in ({}, {"channel_name": "Channel 1"}, {"plane_index": 0}, {"plane_index": 8})],
    *[
        (SLOW, {"channel_name": channel} | choice | plane)
        for channel in ("Channel 1", "Channel 4")
        for choice in ({"slice_sample": 0}, {"slice_sample": 1}, {"interleave_slice_samples": True})
        for plane in ({}, {"plane_index": 0}, {"plane_index": 1})
    ],
]


@pytest.fixture(autouse=True)
def close_the_peers_files():
    yield
    gc.collect()


def assert_equal_to_peer(ours, peer):
    np.testing.assert_array_equal(ours.get_series(), peer.get_series())
    n = ours.get_num_samples()
    assert n == peer.get_num_samples()
    np.testing.assert_array_equal(ours.get_series(n // 3, n // 2 + 1), peer.get_series(n // 3, n // 2 + 1))
    np.testing.assert_array_equal(ours.get_native_timestamps(), peer.get_native_timestamps())
    np.testing.assert_array_equal(ours.get_timestamps(), peer.get_timestamps())
    np.testing.assert_array_equal(ours.get_original_frame_indices(), peer.get_original_frame_indices())
    for plane in range(ours.get_num_planes()):
        np.testing.assert_array_equal(
            ours.get_original_frame_indices(plane_index=plane), peer.get_original_frame_indices(plane_index=plane)
        )
    names = "get_image_shape get_frame_shape get_sample_shape get_volume_shape get_num_planes get_dtype"
    for name in names.split():
        assert getattr(ours, name)() == getattr(peer, name)()
    names = "channel_name is_volumetric _num_channels _channel_index _frames_per_slice _ifds_per_file"
    for name in [*names.split(), "num_flyback_frames_per_channel"]:
        assert getattr(ours, name) == getattr(peer, name), name
    assert list(ours.channel_names) == list(peer.channel_names)
    assert [str(path) for path in ours.file_paths] == [str(path) for path in peer.file_paths]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_real_recordings(data_dir, name, options):
    path = data_dir / "scanimage" / name
    assert_equal_to_peer(
        ScanImageImagingExtractor(file_path=path, **options),
        roiextractors.ScanImageImagingExtractor(file_path=path, **options),
    )


def test_real_volumes_have_the_known_numbers(data_dir):
    extractor = ScanImageImagingExtractor(data_dir / "scanimage" / VOLUMES)
    assert len(extractor.file_paths) == 10
    assert extractor._ifds_per_file == [160] * 10
    assert extractor.get_volume_shape() == (20, 20, 9)
    assert extractor.num_flyback_frames_per_channel == 7
    assert extractor.get_num_samples() == 100
    assert extractor.get_dtype() == np.int16
    assert extractor.get_sampling_frequency() == pytest.approx(32.7483, abs=1e-3)
    times = extractor.get_native_timestamps()
    assert np.diff(times) == pytest.approx(1 / 32.7483, abs=1e-5)
    assert extractor.get_original_frame_indices().tolist() == (np.arange(100) * 16 + 8).tolist()
    assert extractor.get_original_frame_indices(plane_index=0).tolist() == (np.arange(100) * 16).tolist()


def test_real_slow_stack_has_the_known_numbers(data_dir):
    path = data_dir / "scanimage" / SLOW
    assert ScanImageImagingExtractor.get_available_channel_names(path) == ["Channel 1", "Channel 4"]
    assert ScanImageImagingExtractor.get_frames_per_slice(path) == 2
    assert ScanImageImagingExtractor.get_available_num_planes(path) == 2
    interleaved = ScanImageImagingExtractor(path, channel_name="Channel 4", interleave_slice_samples=True)
    assert interleaved.get_num_samples() == 6
    one = ScanImageImagingExtractor(path, channel_name="Channel 4", slice_sample=1)
    assert (one.get_num_samples(), one.get_volume_shape()) == (3, (256, 256, 2))
    assert one.num_flyback_frames_per_channel == 0
    assert one.get_original_frame_indices().tolist() == [7, 15, 23]


@pytest.mark.parametrize("which", [3, 9])
def test_real_volumes_from_any_file(data_dir, which):
    paths = sorted((data_dir / "scanimage").glob("vol_one_ch*.tif"))
    extractor = ScanImageImagingExtractor(paths[which])
    assert extractor.file_paths == paths
    assert extractor.get_num_samples() == 100


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"n_channels": 2},
        {"n_channels": 2, "n_planes": 3, "n_flyback": 2, "n_volumes": 6, "pages_per_file": 20},
        {"n_planes": 4, "n_volumes": 5, "pages_per_file": 3},
        {"channel_save": (1, 3), "n_planes": 2, "frames_per_slice": 2, "stack_mode": "slow"},
    ],
)
def test_sound_synthetic_recordings(tmp_path, arguments):
    truth = write_scanimage_recording(tmp_path, **arguments)
    options = {"slice_sample": 1} if "frames_per_slice" in arguments else {}
    for name in ScanImageImagingExtractor.get_available_channel_names(truth.paths[0]):
        assert_equal_to_peer(
            ScanImageImagingExtractor(truth.paths[0], channel_name=name, **options),
            roiextractors.ScanImageImagingExtractor(file_path=truth.paths[0], channel_name=name, **options),
        )
