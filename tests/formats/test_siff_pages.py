"""Pages of .siff files as the walk finds them: lengths of texts, kinds of files, and the start of their clock."""

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb.errors import FormatError, ScanImageNwbWarning
from scanimage_nwb.extractors import ScanImageImagingExtractor, SiffImagingExtractor
from scanimage_nwb.formats.file_series import file_epoch
from scanimage_nwb.formats.tiff_pages import read_page_table
from scanimage_nwb.recording import open_recording
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing import write_scanimage_recording, write_siff_recording
from scanimage_nwb.testing.siff_files import START_NS, SyntheticSiff


def set_tag(path: Path, page: int, tag: int, *, count: int | None = None, kind: int | None = None) -> None:
    """Overwrite count or type of a tag of one page."""
    ifd = int(read_page_table(path).columns["ifd_offset"][page])
    data = bytearray(path.read_bytes())
    (n,) = struct.unpack_from("<Q", data, ifd)
    for at in range(ifd + 8, ifd + 8 + 20 * n, 20):
        if struct.unpack_from("<H", data, at)[0] == tag:
            if count is not None:
                struct.pack_into("<Q", data, at + 4, count)
            if kind is not None:
                struct.pack_into("<H", data, at + 2, kind)
    path.write_bytes(data)


@pytest.mark.parametrize("count", [0, 1, 8, 40, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("kinds", [("plain", "raw", "compressed"), ("raw", "plain"), ("plain",)])
def test_text_of_a_plain_page_ends_at_its_strip(tmp_path: Path, kinds: tuple[str, ...], count: int) -> None:
    """The count of tag 270 says nothing, on plain pages neither; the text is there to the last letter."""
    events = [(page, "event on " + kind, 0.5) for page, kind in enumerate(kinds)]
    written = write_siff_recording(tmp_path, page_kinds=kinds, n_volumes=6, appended_text=events)
    for page in range(len(kinds)):
        set_tag(written.path, page, 270, count=count)
    reader = SiffReader(written.path)
    assert (reader.get_time() == written.experiment_time_s).all()
    assert (reader.get_time(None, "laser_epoch") == written.laser_epoch_ns).all()
    assert [(event.frame, event.text, event.time_s) for event in reader.get_appended_text()] == events
    assert (reader.get_frames() == written.counts).all()


def test_a_renamed_file_that_begins_with_a_plain_page(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, page_kinds=("raw", "plain"), appended_text=[(1, "x", None)])
    set_tag(written.path, 1, 270, count=30)
    renamed = written.path.rename(tmp_path / "renamed.bin")
    reader = SiffReader(renamed)
    assert [event.text for event in reader.get_appended_text()] == ["x"]
    assert (reader.get_time() == written.experiment_time_s).all()


def test_a_siff_of_plain_pages_only_holds_counts(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, page_kinds=("plain",))
    assert read_page_table(written.path).is_siff
    assert (SiffImagingExtractor(written.path).get_series() == written.counts).all()


def test_a_tiff_named_siff_is_a_tiff(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_volumes=4)
    path = written.paths[0].rename(tmp_path / "odd.siff")
    assert not read_page_table(path).is_siff
    assert (ScanImageImagingExtractor(path).get_series() == written.pages).all()


def test_clock_starts_before_the_first_frame_in_utc(tmp_path: Path) -> None:
    """Time 0 of the experiment, not the time of the first frame: NWB counts from there."""
    written = write_siff_recording(tmp_path)
    epoch = open_recording(written.path).epoch
    assert epoch is not None
    assert epoch.tzinfo is UTC
    truth = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_NS / 1000)
    assert abs(epoch - truth) <= timedelta(microseconds=1)
    first = epoch + timedelta(seconds=float(written.experiment_time_s[0]))
    assert abs(first.timestamp() - written.laser_epoch_ns[0] / 1e9) < 2e-6


@pytest.mark.parametrize("epoch", [b"0", b"9" * 40, b"-5", b"[2024 13]", b"nan"])
def test_a_damaged_epoch_is_none(tmp_path: Path, epoch: bytes) -> None:
    written = write_siff_recording(tmp_path)
    data = written.path.read_bytes()
    at = data.index(b"\nepoch = ") + len(b"\nepoch = ")
    digits = data[at : data.index(b"\n", at)]
    written.path.write_bytes(data.replace(digits, epoch.ljust(len(digits))[: len(digits)], 1))
    assert file_epoch(read_page_table(written.path)) is None


def two_runs(tmp_path: Path, seconds_between: int) -> tuple[SyntheticSiff, SyntheticSiff]:
    """Write two acquisitions, the second of which started later."""
    first = write_siff_recording(tmp_path, name="a", n_volumes=4)
    second = write_siff_recording(tmp_path, name="b", n_volumes=3, seed=1)
    data = second.path.read_bytes()
    for epoch in set(second.laser_epoch_ns.tolist()):
        data = data.replace(f"\nepoch = {epoch}".encode(), f"\nepoch = {epoch + seconds_between * 10**9}".encode())
    second.path.write_bytes(data)
    return first, second


def test_two_acquisitions_lie_on_one_clock(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path, 60)
    extractor = SiffImagingExtractor(file_paths=[first.path, second.path])
    assert (extractor.get_series() == np.concatenate([first.counts, second.counts])).all()
    expected = np.concatenate([first.experiment_time_s, second.experiment_time_s + 60])
    np.testing.assert_allclose(extractor.get_native_timestamps(), expected, rtol=0, atol=2e-6)


def test_files_out_of_the_order_of_time_are_refused(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path, 60)
    with pytest.raises(ValueError, match="out of the order of time"):
        open_recording(file_paths=[second.path, first.path])


def test_files_of_one_recording_may_begin_with_pages_of_either_kind(tmp_path: Path) -> None:
    first = write_siff_recording(tmp_path, name="a", n_volumes=2, page_kinds=("plain", "raw"))
    second = write_siff_recording(tmp_path, name="b", n_volumes=2, page_kinds=("raw", "plain"))
    data = second.path.read_bytes()
    for epoch in set(second.laser_epoch_ns.tolist()):
        data = data.replace(f"\nepoch = {epoch}".encode(), f"\nepoch = {epoch + 60 * 10**9}".encode())
    second.path.write_bytes(data)
    frames = SiffReader.from_recording(open_recording(file_paths=[first.path, second.path])).get_frames()
    assert (frames == np.concatenate([first.counts, second.counts])).all()


def test_photons_and_pixels_are_two_recordings(tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, page_kinds=("plain",), shape=(16, 12))
    tiff = write_scanimage_recording(tmp_path, shape=(16, 12))
    with pytest.raises(FormatError, match="as two recordings"):
        open_recording(file_paths=[siff.path, tiff.paths[0]])


CLAIM = {
    "hFastZ.enable": "false",
    "hFastZ.discardFlybackFrames": "true",
    "hStackManager.enable": "true",
    "hStackManager.stackMode": "'fast'",
    "hStackManager.actualNumSlices": "3",
    "hStackManager.framesPerSlice": "1",
    "hStackManager.numFramesPerVolume": "3",
    "hStackManager.numFramesPerVolumeWithFlyback": "4",
}


@pytest.mark.parametrize(("n_flyback", "n_volumes", "n_pages"), [(0, 8, None), (0, 8, 20), (1, 6, None)])
def test_flyback_without_fast_z_is_decided_by_the_frames(
    tmp_path: Path, n_flyback: int, n_volumes: int, n_pages: int | None
) -> None:
    """The header claims a flyback frame, and that FastZ is off: the number of frames tells; a cut run has none."""
    claim = CLAIM | {"hStackManager.actualNumVolumes": str(n_volumes)}
    written = write_siff_recording(
        tmp_path, n_planes=3, n_flyback=n_flyback, n_volumes=n_volumes, n_pages=n_pages, header_overrides=claim
    )
    with pytest.warns(ScanImageNwbWarning, match="counts 1 flyback .* but says that FastZ is off") as record:
        recording = open_recording(written.path)
    assert len(record) == 1
    assert (recording.index.plane == written.plane).all()
    whole = written.volume < (n_volumes if n_pages is None else n_pages // 3)
    pages = np.flatnonzero(whole & (written.plane >= 0)).reshape(-1, 3)
    assert (recording.index.sample_pages.reshape(-1, 3) == pages).all()
