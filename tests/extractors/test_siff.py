"""`SiffImagingExtractor`: the same samples, planes, times and frame indices as for TIFFs, of photon counts."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb.errors import PhotonRangeError, UnsupportedFormatError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.extractors.siff import SiffImagingExtractor
from scanimage_nwb.testing import write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording

LAYOUT = {"channel_save": (1, 2), "n_planes": 3, "n_flyback": 1, "n_volumes": 7}


def test_samples_are_those_of_a_tiff_of_the_same_layout(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, photons_per_page=(40, 300), **LAYOUT)
    tiff = write_scanimage_recording(tmp_path, **LAYOUT)
    for options in ({}, {"plane_index": 1}):
        ours = SiffImagingExtractor(written.path, channel_name="Channel 2", **options)
        theirs = ScanImageImagingExtractor(tiff.paths[0], channel_name="Channel 2", **options)
        assert (ours.get_original_frame_indices() == theirs.get_original_frame_indices()).all()
        assert ours.get_sample_shape() == theirs.get_sample_shape()
        assert ours.get_num_samples() == theirs.get_num_samples()
        pages = ours.get_original_frame_indices()
        assert (ours.get_native_timestamps() == written.experiment_time_s[pages]).all()
    series = SiffImagingExtractor(written.path, channel_name="Channel 2").get_series()
    for plane in range(3):
        own = (written.plane == plane) & (written.channel == 1)
        assert (series[..., plane] == written.counts[own]).all()
    assert series.dtype == np.uint16


def test_planar_series_slices_and_pickles(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path)
    extractor = SiffImagingExtractor(written.path)
    assert (extractor.get_series() == written.counts).all()
    assert (extractor.slice_samples(2, 5).get_series() == written.counts[2:5]).all()
    assert (pickle.loads(pickle.dumps(extractor)).get_samples([3, 1]) == written.counts[[3, 1]]).all()


def test_each_class_names_the_other(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path).path
    tiff = write_scanimage_recording(tmp_path).paths[0]
    with pytest.raises(UnsupportedFormatError, match="SiffImagingExtractor"):
        ScanImageImagingExtractor(siff)
    with pytest.raises(UnsupportedFormatError, match="ScanImageImagingExtractor"):
        SiffImagingExtractor(tiff)


def test_counts_that_do_not_fit_are_no_series(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, shape=(1, 2), photons_per_page=150_000, page_kinds=("raw",), n_volumes=2)
    with pytest.raises(PhotonRangeError, match="holds at most 65,535"):
        SiffImagingExtractor(written.path).get_series()
