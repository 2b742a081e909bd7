"""`siff_to_tiff`: what tifffile, roiextractors and our own readers make of it, and what is never written."""

import errno
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import roiextractors
import tifffile

from scanimage_nwb import siff_to_tiff
from scanimage_nwb.errors import FormatError, PhotonRangeError, ScanImageNwbWarning
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.formats.tiff_pages import read_page_table
from scanimage_nwb.recording import open_recording
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import resave_without_magic, write_scanimage_recording, write_si5_recording
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording

LAYOUTS = ["scanimage", "ome"]
OME = {"ome": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}


@pytest.fixture
def written(tmp_path: Path) -> SyntheticSiff:
    return write_siff_recording(tmp_path, channel_save=(1, 2), n_planes=3, n_flyback=1, n_volumes=4)


def tiffs_in(folder: Path) -> list[str]:
    """Return the names of all files but recordings."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".siff")


def pixels_of(path: Path) -> np.ndarray:
    """Return all pages, even if there is but one."""
    with tifffile.TiffFile(path) as tif:
        return np.array([page.asarray() for page in tif.pages])


# ---- ScanImage's layout


def test_scanimage_layout_is_read_as_scanimage(written: SyntheticSiff, tmp_path: Path) -> None:
    path = siff_to_tiff(written.path, tmp_path / "counts.tif")
    assert (tifffile.imread(path, key=slice(None)) == written.counts).all()
    extractor = ScanImageImagingExtractor(path, channel_name="Channel 2")
    own = (written.plane == 1) & (written.channel == 1)
    assert (extractor.get_series()[..., 1] == written.counts[own]).all()
    assert (extractor.get_native_timestamps() == written.experiment_time_s[(written.plane == 2)][::2]).all()
    assert SiffReader(path).im_params.FastZ.numDiscardFlybackFrames == 1


def test_tifffile_found_no_metadata_in_the_scanimage_layout(written: SyntheticSiff, tmp_path: Path) -> None:
    """There was no block behind the header of the TIFF."""
    path = siff_to_tiff(written.path, tmp_path / "counts.tif")
    with written.path.open("rb") as file:
        expected = tifffile.read_scanimage_metadata(file)
    with path.open("rb") as file:
        assert tifffile.read_scanimage_metadata(file) == expected
    with tifffile.TiffFile(path) as tif:
        found = tif.scanimage_metadata
        assert found is not None
        assert found["FrameData"]["SI.hScan2D.hAcq.Tau_bins"] == 629
        assert "imagingRoiGroup" in found["RoiGroups"]
        texts = [page.aspage().description for page in tif.pages]
    recording = open_recording(written.path)
    assert [text.strip() for text in texts] == [recording.page_text(i).strip() for i in range(recording.n_pages)]


@pytest.mark.parametrize("channel", [0, 1])
def test_roiextractors_refused_the_scanimage_layout(written: SyntheticSiff, tmp_path: Path, channel: int) -> None:
    path = siff_to_tiff(written.path, tmp_path / "counts.tif")
    peer = roiextractors.ScanImageImagingExtractor(file_path=path, channel_name=f"Channel {channel + 1}")
    assert peer.get_num_planes() == 3
    series = peer.get_series()
    for plane in range(3):
        own = (written.plane == plane) & (written.channel == channel)
        assert (series[..., plane] == written.counts[own]).all()
    last = (written.plane == 2) & (written.channel == channel)
    assert (peer.get_native_timestamps() == written.experiment_time_s[last]).all()


def test_header_was_repeated_for_every_page(tmp_path: Path) -> None:
    """A header of 100 kB made a TIFF of 30 MB of 300 small pages."""
    text = f"'{'x' * 100_000}'"
    written = write_siff_recording(tmp_path, n_volumes=300, header_overrides={"hFastZ.userInfo": text})
    path = siff_to_tiff(written.path, tmp_path / "counts.tif")
    assert path.stat().st_size < 600_000
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[299].aspage().tags[305].value.count("x" * 100_000) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_text_beyond_ascii_was_refused(tmp_path: Path, layout: str) -> None:
    written = write_siff_recording(
        tmp_path,
        n_volumes=2,
        header_overrides={
            "hFastZ.userInfo": "'José µm'",
            "hChannels.channelName": "{'Grün' 'Channel 2' 'Channel 3' 'Channel 4'}",
        },
        appended_text=[(1, "odeur ± 5 µl", None)],
    )
    path = siff_to_tiff(written.path, tmp_path / "counts.tif", layout=layout)  # type: ignore[arg-type]
    with tifffile.TiffFile(path) as tif:
        if layout == "ome":
            assert 'Name="Grün"' in str(tif.ome_metadata)
            return
        assert tif.scanimage_metadata["FrameData"]["SI.hFastZ.userInfo"] == "José µm"
        assert "odeur ± 5 µl" in tif.pages[1].aspage().description
    header = open_recording(path).header
    assert header.get("SI.hFastZ.userInfo") == "José µm"


def test_real_layout_of_several_files_becomes_one(data_dir: Path, tmp_path: Path) -> None:
    source = open_recording(data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif")
    path = siff_to_tiff(SiffReader.from_recording(source), tmp_path / "joined_00001_00001.tif")
    joined = open_recording(path)
    assert (joined.n_pages, joined.dtype, joined.epoch) == (1600, np.dtype("int16"), source.epoch)
    assert (joined.read_pages(np.arange(1600)) == source.read_pages(np.arange(1600))).all()
    assert (joined.timestamp_s == source.timestamp_s).all()
    assert (joined.index.sample_pages == source.index.sample_pages).all()
    assert joined.header.text == source.header.text
    with source.paths[0].open("rb") as file, path.open("rb") as made:
        # as texts: a header holds NaN
        assert str(tifffile.read_scanimage_metadata(made)) == str(tifffile.read_scanimage_metadata(file))
    peers = [roiextractors.ScanImageImagingExtractor(file_paths=paths) for paths in (list(source.paths), [path])]
    assert (peers[0].get_series() == peers[1].get_series()).all()
    with tifffile.TiffFile(path) as tif, tifffile.TiffFile(source.paths[0]) as real:
        ours, theirs = tif.pages.first, real.pages.first
        assert ours.tags[258].value == theirs.tags[258].value
        assert ours.description.strip() == theirs.description.strip()
        assert set(ours.tags.keys()) == set(theirs.tags.keys())
        for code in (282, 283):
            assert np.divide(*ours.tags[code].value) == pytest.approx(np.divide(*theirs.tags[code].value), rel=1e-3)


@pytest.mark.parametrize("name", ["plane_raw", "volume_two_colors", "mixed_pages"])
def test_counts_are_the_truth(data_dir: Path, tmp_path: Path, name: str) -> None:
    source = open_recording(data_dir / "siff" / f"{name}.siff", warn=False)
    path = siff_to_tiff(SiffReader.from_recording(source), tmp_path / "counts.tif")
    with np.load(data_dir / "siff" / f"{name}.truth.npz") as truth:
        assert (pixels_of(path) == truth["counts"]).all()
        assert open_recording(path, warn=False).timestamp_s == pytest.approx(truth["experiment_time_s"], abs=1e-6)


@pytest.mark.parametrize("generation", ["SI4", "SI5"])
def test_header_in_page_texts_stays_there(tmp_path: Path, generation: str) -> None:
    source = write_si5_recording(tmp_path / "old.tif", generation=generation, n_frames=4)  # type: ignore[arg-type]
    path = siff_to_tiff(source.paths[0], tmp_path / "new.tif")
    recording = open_recording(path)
    assert (recording.header.generation, recording.tiff_version) == (generation, 0)
    assert (recording.read_pages(np.arange(4)) == source.pages).all()
    assert (recording.timestamp_s == source.timestamps_s).all()


def test_mark_is_given_back_to_files_that_lost_it(tmp_path: Path) -> None:
    source = write_scanimage_recording(tmp_path / "a", n_volumes=4)
    resave_without_magic(source.paths[0], tmp_path / "resaved.tif", keep_roi_json=True)
    path = siff_to_tiff(tmp_path / "resaved.tif", tmp_path / "again.tif")
    with tifffile.TiffFile(path) as tif:
        assert tif.scanimage_metadata["version"] == 4
        assert tif.scanimage_metadata["FrameData"]["SI.VERSION_MAJOR"] == 2021
    assert (pixels_of(path) == source.pages).all()


@pytest.mark.parametrize("second_number", [1, 4])
def test_files_of_several_clocks_do_not_become_one(tmp_path: Path, second_number: int) -> None:
    """Each loop counts its time from 0, and mostly its frames from 1."""
    loops = [
        write_scanimage_recording(
            tmp_path,
            name=f"x_{i:05d}",
            acq_state="loop",
            n_volumes=3,
            seed=i,
            epoch=(2025, 1, 1, 10, i, 0.0),
            first_frame_number=number,
        )
        for i, number in ((1, 1), (2, second_number))
    ]
    recording = open_recording(file_paths=[loop.paths[0] for loop in loops])
    reader = SiffReader.from_recording(recording)
    with pytest.raises(FormatError, match=r"x_00002.tif counts .* anew behind .*x_00001.tif.* one by one"):
        siff_to_tiff(reader, tmp_path / "counts.tif")
    path = siff_to_tiff(reader, tmp_path / "counts.ome.tif", layout="ome")
    assert (tifffile.imread(path).reshape(6, 16, 12) == np.concatenate([loop.pages for loop in loops])).all()
    assert ome_times(path) == pytest.approx(recording.timestamp_s)


# ---- OME-TIFF


def ome_times(path: Path) -> list[float]:
    with tifffile.TiffFile(path) as tif:
        root = ElementTree.fromstring(str(tif.ome_metadata))
    return [float(plane.attrib["DeltaT"]) for plane in root.findall(".//ome:Plane", OME)]


@pytest.mark.parametrize("compress", [False, True])
def test_ome_layout_has_axes(written: SyntheticSiff, tmp_path: Path, compress: bool) -> None:
    path = siff_to_tiff(written.path, tmp_path / "counts.ome.tif", layout="ome", compress=compress)
    imaging = (written.plane >= 0).nonzero()[0]
    with tifffile.TiffFile(path) as tif:
        assert tif.is_ome
        assert tif.pages.first.compression.name == ("ADOBE_DEFLATE" if compress else "NONE")
        series = tif.series[0]
        assert (series.axes, series.shape) == ("TZCYX", (4, 3, 2, 16, 12))
        assert (series.asarray().reshape(-1, 16, 12) == written.counts[imaging]).all()
        root = ElementTree.fromstring(str(tif.ome_metadata))
    pixels = root.find(".//ome:Pixels", OME)
    assert pixels is not None
    assert [float(pixels.attrib[f"PhysicalSize{axis}"]) for axis in "XYZ"] == pytest.approx([9.0, 9.0, 5.0])
    assert float(pixels.attrib["TimeIncrement"]) == pytest.approx(4 / 61.457149, abs=1e-6)
    assert [channel.attrib["Name"] for channel in root.findall(".//ome:Channel", OME)] == ["Channel 1", "Channel 2"]
    assert ome_times(path) == pytest.approx(written.experiment_time_s[imaging])


def test_ome_layout_without_a_complete_volume_was_an_error_of_tifffile(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, n_planes=5, n_volumes=1, n_pages=3)
    with pytest.warns(ScanImageNwbWarning, match="incomplete"):
        reader = SiffReader(written.path)
    with pytest.raises(FormatError, match=r"none of the volumes is complete.* 3 page\(s\).* 5 planes.*'scanimage'"):
        siff_to_tiff(reader, tmp_path / "counts.tif", layout="ome")
    path = siff_to_tiff(reader, tmp_path / "counts.tif")
    assert (pixels_of(path) == written.counts).all()


def test_ome_layout_of_a_tiff_was_unsigned(tmp_path: Path) -> None:
    source = write_scanimage_recording(tmp_path / "a", n_channels=2, n_planes=2, frames_per_slice=3, n_volumes=2)
    path = siff_to_tiff(source.paths[0], tmp_path / "a.ome.tif", layout="ome")
    found = tifffile.imread(path)
    assert (found.shape, found.dtype) == ((6, 2, 2, 16, 12), np.dtype("int16"))
    # on disk the frames of a slice come before the next slice
    expected = source.pages.reshape(2, 2, 3, 2, 16, 12).swapaxes(1, 2).reshape(found.shape)
    assert (found == expected).all()


# ---- what fits, and what is asked


def test_shifts_are_applied_if_asked(written: SyntheticSiff, tmp_path: Path) -> None:
    reader = SiffReader(written.path)
    reader.registration_dict = {0: (2, 3)}
    moved = siff_to_tiff(reader, tmp_path / "moved.tif", registered=True)
    still = siff_to_tiff(reader, tmp_path / "still.tif")
    assert (tifffile.imread(moved, key=0) == np.roll(written.counts[0], (2, 3), (0, 1))).all()
    assert (tifffile.imread(still, key=0) == written.counts[0]).all()


def test_registered_counts_of_an_unregistered_file_were_written_as_they_were(
    written: SyntheticSiff, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="nothing is registered"):
        siff_to_tiff(written.path, tmp_path / "moved.tif", registered=True)
    assert tiffs_in(tmp_path) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bright_pixels_need_a_wider_type(tmp_path: Path, layout: str) -> None:
    bright = write_siff_recording(
        tmp_path, shape=(1, 2), n_volumes=2, photons_per_page=[5, 200_000], page_kinds=("raw",)
    )
    with pytest.raises(
        PhotonRangeError, match=r"page 1, row 0, column \d has 10\d,?\d{3} .*65,535.*--count-dtype uint32"
    ):
        siff_to_tiff(bright.path, tmp_path / "b.tif", layout=layout)  # type: ignore[arg-type]
    assert tiffs_in(tmp_path) == []
    path = siff_to_tiff(bright.path, tmp_path / "b.tif", layout=layout, count_dtype="uint32")  # type: ignore[arg-type]
    assert (pixels_of(path) == bright.counts).all()


def test_pages_of_another_shape_are_left_out(tmp_path: Path) -> None:
    """The reader warns of them when the file is opened."""
    written = write_siff_recording(tmp_path, n_planes=2, n_volumes=3, page_kinds=("raw",))
    data = bytearray(written.path.read_bytes())
    ifd = int(read_page_table(written.path).columns["ifd_offset"][2])
    data[ifd + 8 + 20 + 12 : ifd + 8 + 20 + 14] = (20).to_bytes(2, "little")
    written.path.write_bytes(data)
    with pytest.warns(ScanImageNwbWarning, match="1 of 6 pages are not 16 x 12"):
        reader = SiffReader(written.path)
    path = siff_to_tiff(reader, tmp_path / "counts.tif")
    assert (pixels_of(path) == written.counts[[0, 1, 3, 4, 5]]).all()
    path = siff_to_tiff(reader, tmp_path / "counts.ome.tif", layout="ome")
    assert (pixels_of(path) == written.counts[[0, 1, 4, 5]]).all()


def test_field_of_view_that_makes_no_sense_is_no_reason_to_stop(tmp_path: Path) -> None:
    overrides = {"objectiveResolution": "'much'"}
    written = write_siff_recording(tmp_path, n_volumes=2, header_overrides=overrides)
    with pytest.warns(ScanImageNwbWarning, match=r"no pixel size.*objectiveResolution"):
        path = siff_to_tiff(written.path, tmp_path / "counts.tif")
    assert (pixels_of(path) == written.counts).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "png"}, "layout is 'png'"),
        ({"count_dtype": "float32"}, "count_dtype is 'float32'"),
        ({"compress": True}, "not compressed"),
    ],
)
def test_choices_that_cannot_be(written: SyntheticSiff, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        siff_to_tiff(written.path, tmp_path / "c.tif", **options)
    assert tiffs_in(tmp_path) == []


# ---- what is never lost


@pytest.mark.parametrize("how", ["itself", "symlink", "hard link", "through a linked folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_photons_were_replaced_by_their_counts(
    written: SyntheticSiff, tmp_path: Path, how: str, overwrite: bool
) -> None:
    target = tmp_path / "counts.tif"
    if how == "itself":
        target = written.path
    elif how == "symlink":
        target.symlink_to(written.path)
    elif how == "hard link":
        target.hardlink_to(written.path)
    else:
        (tmp_path / "folder").symlink_to(tmp_path)
        target = tmp_path / "folder" / written.path.name
    before = written.path.read_bytes()
    with pytest.raises(FileExistsError, match="recording itself"):
        siff_to_tiff(written.path, target, overwrite=overwrite)
    assert written.path.read_bytes() == target.read_bytes() == before
    assert (SiffReader(written.path).get_frames(range(32)) == written.counts).all()


def test_no_file_of_a_series_is_replaced(tmp_path: Path) -> None:
    source = write_scanimage_recording(tmp_path, n_volumes=6, pages_per_file=2)
    before = [path.read_bytes() for path in source.paths]
    with pytest.raises(FileExistsError, match="recording itself"):
        siff_to_tiff(source.paths[0], source.paths[2], overwrite=True)
    assert [path.read_bytes() for path in source.paths] == before


def test_photons_of_another_recording_are_not_replaced(written: SyntheticSiff, tmp_path: Path) -> None:
    """Nor does a TIFF get a name that says photons."""
    other = write_siff_recording(tmp_path, name="other", n_volumes=2)
    before = other.path.read_bytes()
    for target in (other.path, tmp_path / "new.SIFF"):
        with pytest.raises(ValueError, match=r"would hold no photons"):
            siff_to_tiff(written.path, target, overwrite=True)
    assert other.path.read_bytes() == before
    assert not (tmp_path / "new.SIFF").exists()


def test_nothing_is_overwritten_unasked(written: SyntheticSiff, tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError, match="overwrite"):
        siff_to_tiff(written.path, target)
    assert target.read_bytes() == b"old"
    assert siff_to_tiff(written.path, str(target), overwrite=True) == target
    assert (pixels_of(target) == written.counts).all()
    (tmp_path / "store.zarr").mkdir()
    (tmp_path / "store.zarr" / ".zgroup").touch()
    with pytest.raises(FileExistsError, match="is a folder"):
        siff_to_tiff(written.path, tmp_path / "store.zarr", overwrite=True)
    with pytest.raises(FileNotFoundError, match="no folder"):
        siff_to_tiff(written.path, tmp_path / "missing" / "a.tif")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, FormatError, OSError])
def test_a_stop_halfway_leaves_the_older_file(
    written: SyntheticSiff, tmp_path: Path, layout: str, error: type[BaseException]
) -> None:
    class Stopped(SiffReader):
        def iter_frames(self, *arguments: object, **options: object) -> Iterator:  # type: ignore[override]
            yield np.arange(3), self.get_frames(range(3))
            raise error("stopped")

    (tmp_path / "a.tif").write_bytes(b"old")
    with pytest.raises(error, match="stopped"):
        siff_to_tiff(Stopped(written.path), tmp_path / "a.tif", layout=layout, overwrite=True)  # type: ignore[arg-type]
    assert tiffs_in(tmp_path) == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"old"


FULL = """
import resource, signal, sys
from scanimage_nwb import siff_to_tiff
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
for layout in ("scanimage", "ome"):
    try:
        siff_to_tiff(sys.argv[1], sys.argv[2], layout=layout)
    except OSError as error:
        print(error.errno, error.filename)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_full_disk_was_not_said_of_any_file(written: SyntheticSiff, tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    command = [sys.executable, "-c", FULL, str(written.path), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout.splitlines() == [f"{errno.EFBIG} {target}"] * 2, result.stderr
    assert tiffs_in(tmp_path) == []
