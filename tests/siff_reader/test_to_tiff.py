"""`siff_to_tiff`: what ScanImage's and OME's readers make of it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from scanimage_nwb.errors import FormatError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.siff_reader import SiffReader, siff_to_tiff
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording


@pytest.fixture
def written(tmp_path: Path) -> SyntheticSiff:
    return write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=3, n_flyback=1, n_volumes=4)


def test_scanimage_layout_is_read_as_scanimage(written: SyntheticSiff, tmp_path: Path) -> None:
    path = siff_to_tiff(written.path, tmp_path / "counts.tif")
    assert (tifffile.imread(path, key=slice(None)) == written.counts).all()
    extractor = ScanImageImagingExtractor(path, channel_name="Channel 2")
    own = (written.plane == 1) & (written.channel == 1)
    assert (extractor.get_series()[..., 1] == written.counts[own]).all()
    assert (extractor.get_native_timestamps() == written.experiment_time_s[(written.plane == 2)][::2]).all()
    assert SiffReader(path).im_params.FastZ.numDiscardFlybackFrames == 1


def test_ome_layout_has_axes(written: SyntheticSiff, tmp_path: Path) -> None:
    path = siff_to_tiff(written.path, tmp_path / "counts.ome.tif", layout="ome")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        series = tif.series[0]
        assert (series.axes, series.shape) == ("TZCYX", (4, 3, 2, 16, 12))
        reader = SiffReader(written.path)
        pages = reader.im_params.flatten_by_timepoints(color_channel=None)
        assert (series.asarray().reshape(-1, 16, 12) == written.counts[pages]).all()
        assert "Channel 2" in str(tif.ome_metadata)


def test_shifts_are_applied_if_asked(written: SyntheticSiff, tmp_path: Path) -> None:
    reader = SiffReader(written.path)
    reader.registration_dict = {0: (2, 3)}
    moved = siff_to_tiff(reader, tmp_path / "moved.tif", registered=True)
    still = siff_to_tiff(reader, tmp_path / "still.tif")
    assert (tifffile.imread(moved, key=0) == np.roll(written.counts[0], (2, 3), (0, 1))).all()
    assert (tifffile.imread(still, key=0) == written.counts[0]).all()


def test_nothing_is_overwritten_or_left_half(written: SyntheticSiff, tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    siff_to_tiff(written.path, target)
    with pytest.raises(FileExistsError, match="overwrite"):
        siff_to_tiff(written.path, target)
    siff_to_tiff(written.path, target, overwrite=True)
    bright = write_siff_recording(tmp_path, name="x", shape=(1, 2), photons_per_page=200_000, page_kinds=("raw",))
    with pytest.raises(FormatError, match="65,535"):
        siff_to_tiff(bright.path, tmp_path / "b.tif")
    assert sorted(path.name for path in tmp_path.iterdir() if "tif" in path.name) == ["a.tif"]
    with pytest.raises(ValueError, match="layout"):
        siff_to_tiff(written.path, tmp_path / "c.tif", layout="png")  # type: ignore[arg-type]
