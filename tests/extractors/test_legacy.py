"""Files of ScanImage 3.8, page after page."""

import pickle

import numpy as np
import pytest
import tifffile
from roiextractors import ImagingExtractor

from scanimage_nwb import ScanImageLegacyImagingExtractor, extract_extra_metadata, parse_metadata_v3_8
from scanimage_nwb.errors import ScanImageNwbWarning
from scanimage_nwb.testing import write_legacy_recording, write_scanimage_recording


@pytest.fixture
def old(tmp_path):
    return write_legacy_recording(tmp_path / "old.tif", n_frames=6)


def test_series(old):
    extractor = ScanImageLegacyImagingExtractor(old.paths[0], sampling_frequency=3.9)
    assert isinstance(extractor, ImagingExtractor)
    np.testing.assert_array_equal(extractor.get_series(), old.pages)
    np.testing.assert_array_equal(extractor.get_series(2, 4), old.pages[2:4])
    np.testing.assert_array_equal(extractor.get_samples([5, 0]), old.pages[[5, 0]])
    assert extractor.get_num_samples() == 6
    assert extractor.get_image_shape() == extractor.get_sample_shape() == (16, 12)
    assert extractor.get_num_planes() == 1
    assert extractor.get_dtype() == np.uint16
    assert extractor.is_volumetric is False


def test_times_are_counted_from_the_rate(old):
    extractor = ScanImageLegacyImagingExtractor(str(old.paths[0]), 4)
    assert extractor.get_sampling_frequency() == 4.0
    assert extractor.get_native_timestamps() is None
    assert extractor.get_timestamps().tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25]
    extractor.set_times(np.arange(6) + 9.0)
    assert extractor.get_timestamps(1, 3).tolist() == [10, 11]
    assert "4.0Hz" in repr(extractor)


def test_rate_from_the_header(old):
    rate = parse_metadata_v3_8(extract_extra_metadata(old.paths[0]))["sampling_frequency"]
    assert rate == 3.90625
    assert ScanImageLegacyImagingExtractor(old.paths[0], rate).header.version == "3.8"


def test_channels_follow_one_another(tmp_path):
    truth = write_legacy_recording(tmp_path / "two.tif", n_frames=3, channels_saved=(1, 2))
    np.testing.assert_array_equal(ScanImageLegacyImagingExtractor(truth.paths[0], 3.9).get_series(), truth.pages)


def test_later_versions_can_be_read_page_by_page(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2)
    np.testing.assert_array_equal(ScanImageLegacyImagingExtractor(truth.paths[0], 30).get_series(), truth.pages)


def test_ranges(old):
    extractor = ScanImageLegacyImagingExtractor(old.paths[0], 3.9)
    with pytest.raises(IndexError, match="there are 6"):
        extractor.get_series(0, 7)
    with pytest.raises(ValueError, match="lies behind"):
        extractor.get_series(4, 2)
    assert extractor.get_series(3, 3).shape == (0, 16, 12)


def test_truncated_file_warns_once(old):
    old.paths[0].write_bytes(old.paths[0].read_bytes()[:-300])
    with pytest.warns(ScanImageNwbWarning, match=r"old\.tif.*\n.*whole pages") as caught:
        extractor = ScanImageLegacyImagingExtractor(old.paths[0], 3.9)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    n_kept = extractor.get_num_samples()
    assert 0 < n_kept < 6
    np.testing.assert_array_equal(extractor.get_series(), old.pages[:n_kept])


def test_pickle(old):
    twin = pickle.loads(pickle.dumps(ScanImageLegacyImagingExtractor(old.paths[0], 3.9)))
    np.testing.assert_array_equal(twin.get_series(), old.pages)


def test_missing_and_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tif"):
        ScanImageLegacyImagingExtractor(tmp_path / "none.tif", 1.0)
    (tmp_path / "empty.tif").touch()
    with pytest.raises(ValueError, match=r"empty\.tif"):
        ScanImageLegacyImagingExtractor(tmp_path / "empty.tif", 1.0)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_rate_of_no_use(old, rate):
    with pytest.raises(ValueError, match="sampling_frequency"):
        ScanImageLegacyImagingExtractor(old.paths[0], rate)


def test_plain_tiff_is_read_as_pages(tmp_path):
    pages = np.arange(96, dtype=np.uint16).reshape(4, 4, 6)
    tifffile.imwrite(tmp_path / "plain.tif", pages, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(ScanImageLegacyImagingExtractor(tmp_path / "plain.tif", 1).get_series(), pages)
