"""Recordings whole and damaged: what stays, what is left out, and the one warning that says so."""

import pickle
import re
import struct
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.errors import FormatError, FrameIndexError, ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.recording import open_recording
from scanimage_nwb.testing import (
    resave_without_magic,
    write_legacy_recording,
    write_scanimage_recording,
    write_si5_recording,
)

EPOCH = (2025, 4, 24, 16, 43, 57.206)
MINUTE_LATER = (2025, 4, 24, 16, 44, 57.706)


@contextmanager
def one_warning(*fragments):
    """Expect exactly one warning, of our kind, that holds every fragment."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [str(w.message) for w in caught if not issubclass(w.category, ScanImageNwbWarning)] == []
    assert len(caught) == 1, [str(w.message) for w in caught]
    for fragment in fragments:
        assert re.search(fragment, str(caught[0].message)), f"{fragment!r} not in: {caught[0].message}"


def samples_of_truth(truth, kept=None):
    """Return the pages of every complete volume from the writer's truth alone, in plain Python.

    `kept` names pages of the truth that are still on disk; page numbers of the result count those only.
    """
    kept = range(len(truth.frame_numbers)) if kept is None else kept
    facts = zip(truth.volume, truth.slice_sample, truth.plane, truth.channel, strict=True)
    pages = {fact: None for fact in facts}
    n_samples, n_planes, n_channels = (1 + max(fact[i] for fact in pages) for i in (1, 2, 3))
    on_disk = {}
    for rank, page in enumerate(kept):
        fact = tuple(int(values[page]) for values in (truth.volume, truth.slice_sample, truth.plane, truth.channel))
        on_disk[fact] = rank
    found = []
    for volume in sorted({fact[0] for fact in on_disk}):
        wanted = np.ndindex(n_samples, n_planes, n_channels)
        of_volume = [on_disk.get((volume, *place)) for place in wanted]
        if None not in of_volume:
            found.append(np.reshape(of_volume, (n_samples, n_planes, n_channels)))
    return np.array(found).reshape(-1, n_samples, n_planes, n_channels)


def assert_true(recording, truth, kept=None):
    kept = np.arange(len(truth.frame_numbers)) if kept is None else np.asarray(kept)
    index = recording.index
    assert recording.n_pages == len(kept)
    for name in ("plane", "slice_sample"):
        np.testing.assert_array_equal(getattr(index, name), getattr(truth, name)[kept])
    np.testing.assert_array_equal(index.frame_number, truth.frame_numbers[kept])
    np.testing.assert_array_equal(recording.timestamp_s, truth.timestamps_s[kept])
    np.testing.assert_array_equal(index.sample_pages, samples_of_truth(truth, kept))
    told = index.channel >= 0
    np.testing.assert_array_equal(index.channel[told], truth.channel[kept][told])
    if len(truth.pages):
        np.testing.assert_array_equal(recording.read_pages(np.arange(len(kept))), truth.pages[kept])


# Sound files -----------------------------------------------------------------------------------------------------

SOUND = {
    "planar": {},
    "one frame": {"n_volumes": 1},
    "two channels": {"n_channels": 2},
    "channels 2 and 4": {"channel_save": (2, 4)},
    "volumes": {"n_planes": 3, "n_volumes": 4},
    "flyback": {"n_planes": 3, "n_flyback": 2, "n_volumes": 4},
    "frames a slice": {"n_planes": 2, "frames_per_slice": 3, "n_flyback": 1, "n_volumes": 3},
    "files within volumes": {"n_channels": 2, "n_planes": 3, "n_flyback": 1, "pages_per_file": 10},
    "files within frames": {"n_channels": 2, "n_planes": 3, "n_flyback": 1, "pages_per_file": 7},
    "slow": {"n_channels": 2, "n_planes": 2, "frames_per_slice": 2, "n_volumes": 3, "stack_mode": "slow"},
    "slow, files": {"n_planes": 3, "frames_per_slice": 4, "n_volumes": 3, "stack_mode": "slow", "pages_per_file": 5},
    "averaging": {"averaging": 3, "n_planes": 2, "n_flyback": 1},
    "averaging, slices": {"averaging": 4, "n_planes": 2, "frames_per_slice": 2, "n_channels": 2},
    "averaging, slow": {"averaging": 2, "n_planes": 2, "frames_per_slice": 2, "stack_mode": "slow"},
    "no magic block": {"with_magic": False},
    "header as JSON": {"header_format": "json", "n_channels": 2, "n_planes": 2},
    "unpadded text": {"text_padding": 0, "shape": (5, 3)},
    "long text": {"text_padding": 9000},
}


@pytest.mark.parametrize("arguments", SOUND.values(), ids=SOUND.keys())
def test_sound_recordings_are_true_and_give_no_warning(tmp_path, arguments):
    truth = write_scanimage_recording(tmp_path, **arguments)
    recording = open_recording(truth.paths[0])
    assert recording.notes == ()
    assert recording.paths == truth.paths
    assert_true(recording, truth)
    assert recording.n_planes == arguments.get("n_planes", 1)
    assert recording.frames_per_slice == arguments.get("frames_per_slice", 1)
    assert recording.index.n_pages_left_out == 0
    assert recording.epoch == datetime(2025, 4, 24, 16, 43, 57, 206000)
    assert recording.tiff_version == (4 if arguments.get("with_magic", True) else 0)


@settings(max_examples=60, deadline=None)
@given(
    arguments=st.fixed_dictionaries(
        {
            "n_channels": st.integers(1, 3),
            "n_planes": st.integers(1, 4),
            "frames_per_slice": st.integers(1, 2),
            "n_volumes": st.integers(4, 7),
            "averaging": st.integers(1, 2),
            "pages_per_file": st.one_of(st.none(), st.integers(3, 30)),
            "seed": st.integers(0, 1000),
        }
    ),
    n_flyback=st.integers(0, 2),
    drop_frames=st.sets(st.integers(0, 120), max_size=3),
    drop_pages=st.sets(st.integers(0, 120), max_size=1),
)
def test_random_recordings_with_drops(tmp_path_factory, arguments, n_flyback, drop_frames, drop_pages):
    if arguments["n_planes"] == 1:
        arguments, n_flyback = arguments | {"frames_per_slice": 1}, 0
    folder = tmp_path_factory.mktemp("random")
    truth = write_scanimage_recording(
        folder,
        n_flyback=n_flyback,
        shape=(3, 2),
        drop_frames=sorted(drop_frames),
        drop_pages=sorted(drop_pages),
        **arguments,
    )
    # Listed, not found: a drop may leave a file that holds but a part of a frame, which has no number of its own.
    recording = open_recording(file_paths=truth.paths, warn=False)
    assert_true(recording, truth)
    order = np.random.default_rng(arguments["seed"]).permutation(len(truth.pages))
    np.testing.assert_array_equal(recording.read_pages(order), truth.pages[order])


def test_pages_in_any_shape_and_order_over_many_files(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=60, pages_per_file=5)
    recording = open_recording(truth.paths[3])
    pages = np.random.default_rng(0).integers(0, 120, (4, 5, 6))
    np.testing.assert_array_equal(recording.read_pages(pages), truth.pages[pages])
    assert recording.read_pages(np.empty((0, 3), np.int64)).shape == (0, 3, 16, 12)
    assert recording.read_pages(7).shape == (16, 12)
    assert len(recording._files) <= 8


@pytest.mark.parametrize("page", [-1, 10, 10**12])
def test_page_out_of_range(tmp_path, page):
    recording = open_recording(write_scanimage_recording(tmp_path).paths[0])
    with pytest.raises(FrameIndexError, match=f"page {page} .* have 10"):
        recording.read_pages(np.array([0, page]))
    with pytest.raises(FrameIndexError, match=f"page {page} .* have 10"):
        recording.page_text(page)


def test_page_text_over_files(tmp_path):
    recording = open_recording(write_scanimage_recording(tmp_path, pages_per_file=3).paths[0])
    assert recording.page_text(7).startswith("frameNumbers = 8\n")


def test_threads_read_what_one_reads(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=60, pages_per_file=9)
    recording = open_recording(truth.paths[0])

    def read(seed):
        pages = np.random.default_rng(seed).integers(0, 120, 50)
        return np.array_equal(recording.read_pages(pages), truth.pages[pages])

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(read, seed) for seed in range(60)]
        for _ in range(20):
            recording.close()
        assert all(job.result() for job in jobs)


def test_pickle_and_deepcopy_leave_open_files_behind(tmp_path):
    truth = write_scanimage_recording(tmp_path, pages_per_file=3)
    recording = open_recording(truth.paths[0])
    recording.read_pages(np.arange(10))
    for twin in (pickle.loads(pickle.dumps(recording)), deepcopy(recording)):
        assert len(twin._files) == 0
        assert_true(twin, truth)
        assert twin.header.raw("SI.VERSION_MAJOR") == "2021"


def test_relative_paths_and_home(tmp_path, monkeypatch):
    truth = write_scanimage_recording(tmp_path / "x", name="a_00001", pages_per_file=4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("x/a_00001_00001.tif", "./x/../x/a_00001_00001.tif", "~/x/a_00001_00001.tif"):
        recording = open_recording(path)
        assert [p.name for p in recording.paths] == [p.name for p in truth.paths]
    recording = open_recording("x/a_00001_00001.tif")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(recording.read_pages(np.arange(10)), truth.pages)


def test_warn_false_keeps_the_notes(tmp_path):
    truth = write_scanimage_recording(tmp_path, drop_frames=(3,))
    recording = open_recording(truth.paths[0], warn=False)
    assert len(recording.notes) == 1


# Truncation and damage -------------------------------------------------------------------------------------------


def ifd_offsets(data):
    found, (offset,) = [], struct.unpack_from("<Q", data, 8)
    while offset:
        found.append(offset)
        (count,) = struct.unpack_from("<Q", data, offset)
        (offset,) = struct.unpack_from("<Q", data, offset + 8 + 20 * count)
    return found


@pytest.mark.parametrize("place", ["IFD", "text", "pixels"])
def test_truncated_last_page(tmp_path, place):
    truth = write_scanimage_recording(tmp_path)
    data = truth.paths[0].read_bytes()
    last = ifd_offsets(data)[-1]
    cut = {"IFD": last + 100, "text": last + 1000, "pixels": len(data) - 7}[place]
    truth.paths[0].write_bytes(data[:cut])
    with one_warning(r"session_00001\.tif", f"byte {cut}", f"stopped at byte {last}", "9 whole pages"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth, range(9))


def test_truncated_to_less_than_a_page(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    truth.paths[0].write_bytes(truth.paths[0].read_bytes()[:5000])
    with pytest.raises(FormatError, match=r"session_00001\.tif"):
        open_recording(truth.paths[0])


def test_two_channel_file_cut_in_the_middle_of_a_frame(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, n_volumes=4)
    data = truth.paths[0].read_bytes()
    truth.paths[0].write_bytes(data[: ifd_offsets(data)[13] + 50])
    with one_warning("13 whole pages", r"1 frame\(s\) lack", r"1 volume\(s\) are incomplete", r"1 page\(s\)"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth, range(13))
    assert recording.index.sample_pages.shape == (3, 1, 2, 2)


@pytest.mark.parametrize("target", [0, 4, 6], ids=["to the first", "backward", "to itself"])
def test_looping_chain_of_pages(tmp_path, target):
    truth = write_scanimage_recording(tmp_path)
    data = bytearray(truth.paths[0].read_bytes())
    offsets = ifd_offsets(data)
    (count,) = struct.unpack_from("<Q", data, offsets[6])
    struct.pack_into("<Q", data, offsets[6] + 8 + 20 * count, offsets[target])
    truth.paths[0].write_bytes(data)
    with one_warning("backward or in a loop", "7 whole pages"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth, range(7))


@pytest.mark.parametrize("content", [b"", b"garbage" * 99], ids=["empty", "corrupt"])
@pytest.mark.parametrize("explicit", [True, False], ids=["file_paths", "found"])
def test_unreadable_file_among_several(tmp_path, content, explicit):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, n_volumes=9, pages_per_file=8)
    truth.paths[1].write_bytes(content)
    with one_warning(r"session_00001_00002\.tif is left out", r"4 frame\(s\) are missing"):
        recording = open_recording(file_paths=truth.paths) if explicit else open_recording(truth.paths[0])
    assert_true(recording, truth, np.flatnonzero(truth.file_index != 1))


def test_several_unreadable_files_give_one_warning(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=20, pages_per_file=2)
    for i in (2, 5, 9):
        truth.paths[i].write_bytes(b"")
    with one_warning(*(rf"_0000{i} ?\.tif is left out|_00010\.tif is left out" for i in (3, 6, 9)), r"4 frame\(s\)"):
        recording = open_recording(truth.paths[0])
    assert len(recording.paths) == 7


def test_truncated_middle_file(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, n_flyback=1, n_volumes=9, pages_per_file=12)
    data = truth.paths[1].read_bytes()
    truth.paths[1].write_bytes(data[: ifd_offsets(data)[5] + 20])
    with one_warning(r"_00002\.tif", "5 whole pages", r"7 frame\(s\) are missing", r"1 volume\(s\) are incomplete"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth, np.delete(np.arange(36), np.arange(17, 24)))


def test_all_files_unreadable(tmp_path):
    truth = write_scanimage_recording(tmp_path, pages_per_file=5)
    for path in truth.paths:
        path.write_bytes(b"")
    with pytest.raises(FormatError, match=r"_00001\.tif is empty"):
        open_recording(file_paths=truth.paths)


def test_file_cut_after_opening(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    recording = open_recording(truth.paths[0])
    with truth.paths[0].open("r+b") as file:
        file.truncate(truth.paths[0].stat().st_size - 10)
    np.testing.assert_array_equal(recording.read_pages(np.arange(9)), truth.pages[:9])
    with pytest.raises(FormatError, match="became shorter"):
        recording.read_pages(np.array([9]))


# Dropped pages and missing files ---------------------------------------------------------------------------------


def test_dropped_frames_move_no_plane(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, n_channels=2, n_planes=3, n_flyback=1, n_volumes=8, drop_frames=(5, 6, 13)
    )
    with one_warning(r"3 frame\(s\) are missing", r"2 volume\(s\) are incomplete", r"6 page\(s\) are therefore"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)
    assert len(recording.index.sample_pages) == 6


def test_dropped_pages_of_one_channel(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=9, drop_pages=(4, 11))
    with one_warning(r"2 frame\(s\) lack the page of a channel", r"2 page\(s\) are therefore"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)
    assert np.flatnonzero(recording.index.channel < 0).tolist() == [4, 9]


def test_dropped_first_frame_is_missed(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=2, drop_frames=(0,))
    with one_warning(r"1 frame\(s\) are missing", r"1 volume\(s\) are incomplete"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)


def test_dropped_flyback_harms_no_volume(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=2, n_flyback=2, drop_frames=(3, 6, 7))
    with one_warning(r"3 frame\(s\) are missing", r"0 page\(s\) are therefore"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)
    assert len(recording.index.sample_pages) == 10


def test_last_volume_that_lacks_only_flyback(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, n_flyback=2, n_volumes=4, drop_frames=(18, 19))
    recording = open_recording(truth.paths[0])
    assert_true(recording, truth)
    assert len(recording.index.sample_pages) == 4


def test_last_volume_that_lacks_a_plane(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, n_flyback=2, n_volumes=4, drop_frames=(17, 18, 19))
    with one_warning(r"1 volume\(s\) are incomplete", r"2 page\(s\)"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)
    assert len(recording.index.sample_pages) == 3


def test_short_middle_file(tmp_path):
    dropped = (10, 11)
    truth = write_scanimage_recording(
        tmp_path, n_planes=3, n_flyback=1, n_volumes=9, pages_per_file=12, drop_frames=dropped
    )
    assert np.bincount(truth.file_index).tolist() == [10, 12, 12]
    with one_warning(r"2 frame\(s\) are missing", r"1 volume\(s\) are incomplete"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)


def test_missing_file(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, n_flyback=1, n_volumes=10, pages_per_file=10)
    truth.paths[1].unlink()
    with one_warning(
        r"1 file\(s\) of this recording are missing: session_00001_00002\.tif",
        r"10 frame\(s\) are missing",
        r"1 volume\(s\) are incomplete",
    ):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth, np.flatnonzero(truth.file_index != 1))


def test_missing_first_file(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, n_flyback=1, n_volumes=10, pages_per_file=10)
    truth.paths[0].unlink()
    with one_warning(r"10 frame\(s\) are missing", r"1 volume\(s\) are incomplete"):
        recording = open_recording(truth.paths[2])
    assert_true(recording, truth, np.flatnonzero(truth.file_index != 0))


# Sizes -----------------------------------------------------------------------------------------------------------


def test_more_than_65536_pages(tmp_path):
    truth = write_scanimage_recording(
        tmp_path,
        n_planes=3,
        n_flyback=1,
        n_volumes=16_500,
        shape=(4, 4),
        text_padding=0,
        keep_pages=False,
        page_value=lambda k, h, w: np.full((h, w), k // 3 - 20_000, np.int16),
    )
    recording = open_recording(truth.paths[0])
    assert recording.n_pages == 66_000
    np.testing.assert_array_equal(recording.index.plane, truth.plane)
    np.testing.assert_array_equal(recording.timestamp_s, truth.timestamps_s)
    assert recording.index.sample_pages.shape == (16_500, 1, 3, 1)
    last = recording.read_pages(recording.index.sample_pages[-2:, 0, :, 0])
    assert last[..., 0, 0].tolist() == [[p // 3 - 20_000 for p in (k, k + 1, k + 2)] for k in (65_992, 65_996)]


def test_300_planes_and_300_frames_a_slice(tmp_path):
    common = {"n_volumes": 2, "shape": (2, 2), "text_padding": 0, "frame_rate_hz": 3000}
    for k, layout in enumerate([{"n_planes": 300, "n_flyback": 9}, {"n_planes": 2, "frames_per_slice": 300}]):
        truth = write_scanimage_recording(tmp_path / str(k), **common, **layout)
        assert_true(open_recording(truth.paths[0]), truth)


def test_1500_files_under_a_limit_of_256_descriptors(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=1500, pages_per_file=1, shape=(4, 4), text_padding=0)
    np.save(tmp_path / "pages.npy", truth.pages)
    code = """
        import resource, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        import numpy as np
        from scanimage_nwb import ScanImageImagingExtractor
        pages = np.load(sys.argv[2])
        extractor = ScanImageImagingExtractor(sys.argv[1])
        assert np.array_equal(extractor.get_series(), pages)
        order = np.random.default_rng(0).permutation(1500)
        assert np.array_equal(extractor.get_samples(order), pages[order])
        print(len(extractor.file_paths))
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), truth.paths[0], tmp_path / "pages.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("1500", 0), done.stderr


# Channels, planes and averaging as the header puts them --------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "channels", "expected"),
    [
        ("3", (3,), ["Channel 3"]),
        ("[3]", (3,), ["Channel 3"]),
        ("[1 2]", (1, 2), ["Channel 1", "Channel 2"]),
        ("[1,2]", (1, 2), ["Channel 1", "Channel 2"]),
        ("[2;4]", (2, 4), ["Channel 2", "Channel 4"]),
        ("[1;2;3;4]", (1, 2, 3, 4), ["Channel 1", "Channel 2", "Channel 3", "Channel 4"]),
    ],
)
def test_forms_of_channel_save(tmp_path, raw, channels, expected):
    truth = write_scanimage_recording(
        tmp_path, channel_save=channels, n_volumes=4, header_overrides={"hChannels.channelSave": raw}
    )
    recording = open_recording(truth.paths[0])
    assert list(recording.channel_names) == expected
    assert_true(recording, truth)


def test_channels_active_differ_from_those_saved(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, channel_save=(2, 4), header_overrides={"hChannels.channelsActive": "[1;2;3;4]"}
    )
    recording = open_recording(truth.paths[0])
    assert recording.channel_names == ("Channel 2", "Channel 4")
    assert_true(recording, truth)


def test_one_available_channel(tmp_path):
    truth = write_scanimage_recording(tmp_path, header_overrides={"hChannels.channelName": "{'only é one'}"})
    assert open_recording(truth.paths[0]).channel_names == ("only é one",)


def test_header_says_one_channel_while_pages_hold_two(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, n_channels=2, n_planes=2, header_overrides={"hChannels.channelSave": "2"}
    )
    with one_warning(r"says that 1 channel\(s\) were saved, but every frame has 2", "Channel 2, Channel 1"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)


def test_header_says_two_channels_while_pages_hold_one(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=2, header_overrides={"hChannels.channelSave": "[1 2]"})
    with one_warning(r"says that 2 channel\(s\) were saved, but every frame has 1"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)
    assert recording.channel_names == ("Channel 1",)


@pytest.mark.parametrize("num_slices", ["1", "10"])
def test_actual_num_slices_counts_where_num_slices_differs(tmp_path, num_slices):
    truth = write_scanimage_recording(
        tmp_path, n_planes=3, n_flyback=1, header_overrides={"hStackManager.numSlices": num_slices}
    )
    recording = open_recording(truth.paths[0])
    assert recording.n_planes == 3
    assert_true(recording, truth)


def test_lines_and_pixels_of_the_header_do_not_matter(tmp_path):
    overrides = {"hRoiManager.linesPerFrame": "512", "hRoiManager.pixelsPerLine": "512"}
    truth = write_scanimage_recording(tmp_path, header_overrides=overrides)
    assert open_recording(truth.paths[0]).page_shape == (16, 12)


def test_flyback_is_on_disk_whatever_discard_says(tmp_path):
    for value in ("true", "false"):
        truth = write_scanimage_recording(
            tmp_path / value, n_planes=2, n_flyback=3, header_overrides={"hFastZ.discardFlybackFrames": value}
        )
        assert_true(open_recording(truth.paths[0]), truth)


def test_averaging_across_planes_is_refused(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=3, header_overrides={"hScan2D.logAverageFactor": "2"})
    with pytest.raises(FormatError, match="averaged 2 frames into each page, across planes"):
        open_recording(truth.paths[0])


def rewrite_texts(path, change):
    """Rewrite the padded text of every page with a function from text to text, keeping its length."""
    data = bytearray(path.read_bytes())
    for offset in ifd_offsets(data):
        (count,) = struct.unpack_from("<Q", data, offset)
        for k in range(count):
            code, _, length, at = struct.unpack_from("<HHQQ", data, offset + 8 + 20 * k)
            if code == 270:
                text = change(data[at : at + length - 1].decode().rstrip()).encode()
                assert len(text) < length
                data[at : at + length - 1] = text.ljust(length - 1)
    path.write_bytes(data)
    return path


def with_number(change, key="frameNumbers|frameNumberAcquisition"):
    """Return a function that changes the numbers of a page text."""
    return lambda text: re.sub(rf"^({key}) = (\d+)$", lambda m: f"{m[1]} = {change(int(m[2]))}", text, flags=re.M)


@pytest.mark.parametrize("n_planes", [1, 2])
def test_averaged_pages_numbered_n_2n(tmp_path, n_planes):
    """Files of 2016 and later number averaged pages 1, 1 + N; should one number them N, 2N, planes stay."""
    truth = write_scanimage_recording(tmp_path, averaging=4, n_planes=n_planes, n_channels=2)
    rewrite_texts(truth.paths[0], with_number(lambda number: number + 3))
    recording = open_recording(truth.paths[0])
    assert recording.index.frame_number.tolist() == (truth.frame_numbers + 3).tolist()
    np.testing.assert_array_equal(recording.index.plane, truth.plane)
    np.testing.assert_array_equal(recording.index.sample_pages, samples_of_truth(truth))


def test_averaged_pages_numbered_one_by_one(tmp_path):
    truth = write_scanimage_recording(tmp_path, averaging=4, n_planes=2, n_channels=2, n_volumes=6)
    rewrite_texts(truth.paths[0], with_number(lambda number: (number - 1) // 4 + 1))
    with one_warning("4 frames were averaged into one page, but frame numbers advance by 1"):
        recording = open_recording(truth.paths[0])
    np.testing.assert_array_equal(recording.index.plane, truth.plane)
    np.testing.assert_array_equal(recording.index.sample_pages, samples_of_truth(truth))


def test_averaging_factor_missing_in_the_header(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, averaging=3, frame_rate_hz=30, header_overrides={"hScan2D.logAverageFactor": None}, drop_frames=(4,)
    )
    with one_warning(r"1 frame\(s\) are missing", "header says 30 frames/s, the timestamps 10"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)


# Keys and parts that are not there -------------------------------------------------------------------------------


def test_no_roi_json(tmp_path):
    truth = write_scanimage_recording(tmp_path, with_roi_json=False)
    with one_warning("no ROI groups"):
        recording = open_recording(truth.paths[0])
    assert_true(recording, truth)


def test_damaged_roi_json_does_not_hinder_pixels(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    data = truth.paths[0].read_bytes()
    truth.paths[0].write_bytes(data.replace(b'"RoiGroups": {', b'"RoiGroups": ]'))
    recording = open_recording(truth.paths[0], warn=False)
    assert_true(recording, truth)


def test_no_timestamps(tmp_path):
    truth = write_scanimage_recording(tmp_path, with_timestamps=False, n_planes=2)
    with one_warning("no timestamps: times are counted from the header's rate"):
        recording = open_recording(truth.paths[0])
    assert recording.timestamp_s is None
    np.testing.assert_array_equal(recording.index.sample_pages, samples_of_truth(truth))


def test_no_page_text_at_all(tmp_path):
    truth = write_scanimage_recording(tmp_path, with_page_text=False, n_channels=2, n_planes=2, n_flyback=1)
    with one_warning("no timestamps", "no usable frame numbers"):
        recording = open_recording(truth.paths[0])
    assert recording.timestamp_s is None
    assert recording.epoch is None
    np.testing.assert_array_equal(recording.index.sample_pages, samples_of_truth(truth))
    np.testing.assert_array_equal(recording.index.frame_number, truth.frame_numbers)


def test_some_timestamps_missing(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=9, drop_frames=(2,))
    without = [3, 5, 9]
    rewrite_texts(
        truth.paths[0],
        lambda text: (
            re.sub(r"frameTimestamps_sec = .*\n", "", text)
            if int(re.search(r"frameNumbers = (\d+)", text)[1]) in without
            else text
        ),
    )
    with one_warning("2 of 8 pages have no timestamp", r"1 frame\(s\) are missing"):
        recording = open_recording(truth.paths[0])
    np.testing.assert_allclose(recording.timestamp_s, truth.timestamps_s, atol=2e-9)
    known = ~np.isin(truth.frame_numbers, without)
    np.testing.assert_array_equal(recording.timestamp_s[known], truth.timestamps_s[known])


@pytest.mark.parametrize(
    "keys",
    [
        ["hChannels.channelSave"],
        ["hChannels.channelName"],
        ["hRoiManager.scanFrameRate"],
        ["hRoiManager.scanVolumeRate", "hRoiManager.linePeriod"],
        ["hStackManager.enable"],
        ["hStackManager.actualNumSlices"],
        ["hStackManager.stackMode"],
        ["hStackManager.zs", "hStackManager.zsAllActuators", "hStackManager.arbitraryZs"],
        ["hScan2D.logAverageFactor", "hScan2D.logFramesPerFile"],
        ["objectiveResolution", "hRoiManager.imagingFovUm", "hRoiManager.imagingFovDeg"],
    ],
    ids=lambda keys: keys[0],
)
def test_header_keys_missing(tmp_path, keys):
    truth = write_scanimage_recording(
        tmp_path, n_planes=3, n_flyback=2, header_overrides=dict.fromkeys(keys), channel_save=(1, 2)
    )
    recording = open_recording(truth.paths[0], warn=False)
    assert_true(recording, truth)
    assert len(recording.channel_names) == 2


def test_missing_keys_are_named_in_one_warning(tmp_path):
    overrides = dict.fromkeys(["hChannels.channelSave", "hChannels.channelsActive", "hRoiManager.scanFrameRate"])
    truth = write_scanimage_recording(tmp_path, n_channels=2, header_overrides=overrides)
    with one_warning("header lacks .*channelSave", "scanFrameRate"):
        recording = open_recording(truth.paths[0])
    assert recording.channel_names == ("Channel 1", "Channel 2")
    assert_true(recording, truth)


def test_rate_of_the_header_that_timestamps_contradict(tmp_path):
    truth = write_scanimage_recording(
        tmp_path, frame_rate_hz=58.2, header_overrides={"hRoiManager.scanFrameRate": "8.87"}
    )
    with one_warning("header says 8.87 frames/s, the timestamps 58.2: the timestamps are believed"):
        open_recording(truth.paths[0])


def test_frame_numbers_that_go_back_within_a_file(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2)
    rewrite_texts(truth.paths[0], with_number(lambda number: number if number < 9 else number - 8))
    with one_warning("no usable frame numbers"):
        recording = open_recording(truth.paths[0])
    np.testing.assert_array_equal(recording.index.sample_pages, samples_of_truth(truth))


def test_timestamps_that_run_backward_are_said(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    rewrite_texts(
        truth.paths[0], lambda text: text.replace("frameTimestamps_sec = 0.2000", "frameTimestamps_sec = 0.0001")
    )
    with one_warning(r"timestamps run backward at 1 page\(s\), first at page 6"):
        recording = open_recording(truth.paths[0])
    assert recording.timestamp_s[6] == 0.0001


# Several files, several acquisitions -----------------------------------------------------------------------------


def test_file_paths_out_of_order(tmp_path):
    paths = write_scanimage_recording(tmp_path, pages_per_file=3).paths
    with pytest.raises(ValueError, match=r"(?s)out of the order of time.*_00002\.tif.*_00003\.tif"):
        open_recording(file_paths=[paths[0], paths[2], paths[1]])


def test_the_same_file_twice(tmp_path):
    paths = write_scanimage_recording(tmp_path, pages_per_file=3).paths
    link = tmp_path / "link.tif"
    link.symlink_to(paths[0])
    for twice in (paths[0], str(paths[0]), link, tmp_path / "x" / ".." / paths[0].name):
        with pytest.raises(ValueError, match=r"more than once: .*_00001\.tif"):
            open_recording(file_paths=[paths[0], paths[1], twice])


def test_a_copy_of_a_file_is_out_of_order(tmp_path):
    paths = write_scanimage_recording(tmp_path, pages_per_file=3).paths
    copy = tmp_path / "copy.tif"
    copy.write_bytes(paths[0].read_bytes())
    with pytest.raises(ValueError, match=r"out of the order of time: .*copy\.tif"):
        open_recording(file_paths=[paths[0], copy])


def test_no_file_named():
    with pytest.raises(ValueError, match="file_path or file_paths"):
        open_recording()
    with pytest.raises(ValueError, match="file_paths is empty"):
        open_recording(file_paths=[])


def test_file_paths_win_over_file_path(tmp_path):
    paths = write_scanimage_recording(tmp_path, n_volumes=9, pages_per_file=3).paths
    assert open_recording(paths[1], file_paths=paths[:2]).paths == paths[:2]


def test_files_renamed_and_listed(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=3, pages_per_file=10)
    renamed = [path.rename(tmp_path / f"{word} [é] 1.tif") for path, word in zip(truth.paths, "zebra!", strict=True)]
    assert_true(open_recording(file_paths=renamed), truth)


def test_a_lone_renamed_file_is_a_recording_of_its_own(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_planes=2, pages_per_file=10)
    renamed = truth.paths[0].rename(tmp_path / "best one [1].tif")
    assert_true(open_recording(renamed), truth, range(10))


def test_files_of_different_page_shape(tmp_path):
    first = write_scanimage_recording(tmp_path / "a", name="a").paths[0]
    second = write_scanimage_recording(tmp_path / "b", name="b", shape=(16, 14), first_frame_number=11).paths[0]
    with pytest.raises(ValueError, match=r"(?s)a\.tif has \(16, 12\) int16.*b\.tif has \(16, 14\) int16"):
        open_recording(file_paths=[first, second])


def loop(folder, lengths, **options):
    """Write a loop of acquisitions of the given volumes; return their truths."""
    truths, first = [], 1
    per_volume = options.get("n_planes", 1) * options.get("frames_per_slice", 1) + options.get("n_flyback", 0)
    for k, (n_volumes, dropped) in enumerate(lengths):
        truths.append(
            write_scanimage_recording(
                folder,
                name="m",
                numbered=True,
                n_volumes=n_volumes,
                first_file_number=k + 1,
                first_frame_number=first,
                first_acquisition=k + 1,
                start_time_s=5.0 * k,
                acq_state="loop",
                drop_frames=range(n_volumes * per_volume - dropped, n_volumes * per_volume),
                **options,
            )
        )
        first += n_volumes * per_volume - dropped
    return truths


def test_loop(tmp_path):
    truths = loop(tmp_path, [(3, 0), (2, 0), (4, 0)], n_channels=2, n_planes=2, n_flyback=1)
    recording = open_recording(truths[1].paths[0])
    assert [path.name for path in recording.paths] == ["m_00001.tif", "m_00002.tif", "m_00003.tif"]
    assert recording.notes == ()
    np.testing.assert_array_equal(recording.index.plane, np.concatenate([t.plane for t in truths]))
    np.testing.assert_array_equal(recording.timestamp_s, np.concatenate([t.timestamps_s for t in truths]))
    assert len(recording.index.sample_pages) == 9
    pages = np.concatenate([t.pages for t in truths])
    np.testing.assert_array_equal(recording.read_pages(np.arange(len(pages))), pages)


@pytest.mark.parametrize(
    ("lengths", "n_samples"), [([(3, 3), (2, 0)], 4), ([(1, 3), (1, 0)], 1), ([(1, 2), (2, 1)], 2)]
)
def test_loop_aborted_within_a_volume(tmp_path, lengths, n_samples):
    """Each acquisition starts with plane 0, also behind one that ended within a volume."""
    truths = loop(tmp_path, lengths, n_planes=4, n_flyback=1)
    with one_warning(r"1 volume\(s\) are incomplete"):
        recording = open_recording(truths[0].paths[0])
    np.testing.assert_array_equal(recording.index.plane, np.concatenate([t.plane for t in truths]))
    assert len(recording.index.sample_pages) == n_samples
    n_first = len(truths[0].plane)
    assert recording.index.sample_pages[-lengths[1][0], 0, 0, 0] == n_first


def test_one_acquisition_of_a_planar_loop_alone(tmp_path):
    truths = loop(tmp_path, [(5, 0), (5, 0)])
    alone = truths[1].paths[0].rename(tmp_path / "second acquisition.tif")
    recording = open_recording(alone)
    assert recording.notes == ()
    assert_true(recording, truths[1])


def test_next_file_marker(tmp_path):
    first, truths = 1, []
    for k, n in enumerate([5, 1, 7]):
        truths.append(
            write_scanimage_recording(
                tmp_path, name="m_00001", n_volumes=n, numbered=True, first_file_number=k + 1, first_frame_number=first,
                start_time_s=(first - 1) / 30,
            )
        )  # fmt: skip
        first += n
    recording = open_recording(truths[0].paths[0])
    assert [table.n_pages for table in recording.tables] == [5, 1, 7]
    assert recording.notes == ()
    np.testing.assert_array_equal(recording.timestamp_s, np.concatenate([t.timestamps_s for t in truths]))


def test_other_acquisitions_beside_are_left_out(tmp_path):
    ours = write_scanimage_recording(tmp_path, name="m_00001", pages_per_file=4)
    write_scanimage_recording(tmp_path, name="m_00002", pages_per_file=4, epoch=MINUTE_LATER)
    write_scanimage_recording(tmp_path, name="m", epoch=MINUTE_LATER)
    assert_true(open_recording(ours.paths[0]), ours)


def two_grabs(tmp_path, first, second, **both):
    """Write two grabs whose clocks start a minute and half a second apart."""
    return (
        write_scanimage_recording(tmp_path / "a", name="first", epoch=EPOCH, **{"n_volumes": 5} | both | first),
        write_scanimage_recording(
            tmp_path / "b", name="second", epoch=MINUTE_LATER, **{"n_volumes": 5} | both | second
        ),
    )


@pytest.mark.parametrize("n_first", [1, 3, 5, 8], ids="{} frames first".format)
def test_two_grabs_listed_have_times_on_one_clock(tmp_path, n_first):
    """Also where the second's first frame number, 1, seems to run on from the first's last."""
    first, second = two_grabs(tmp_path, {"n_volumes": n_first}, {}, n_channels=2)
    recording = open_recording(file_paths=[*first.paths, *second.paths])
    assert recording.notes == ()
    assert recording.n_channels == 2
    expected = np.concatenate([first.timestamps_s, second.timestamps_s + 60.5])
    np.testing.assert_allclose(recording.timestamp_s, expected, rtol=0, atol=1e-9)
    assert recording.index.sample_pages.reshape(-1, 2).tolist() == np.arange(2 * n_first + 10).reshape(-1, 2).tolist()
    with pytest.raises(ValueError, match="out of the order of time"):
        open_recording(file_paths=[*second.paths, *first.paths])


def test_two_grabs_of_volumes_each_start_with_the_first_plane(tmp_path):
    first, second = two_grabs(tmp_path, {"drop_frames": (18, 19)}, {}, n_planes=3, n_flyback=1)
    with one_warning(r"1 volume\(s\) are incomplete"):
        recording = open_recording(file_paths=[*first.paths, *second.paths])
    np.testing.assert_array_equal(recording.index.plane, np.concatenate([first.plane, second.plane]))
    assert recording.index.sample_pages.reshape(-1, 3)[[3, 4]].tolist() == [[12, 13, 14], [18, 19, 20]]


def test_snapshots_of_one_frame_each_are_no_channels(tmp_path):
    paths = []
    for k in range(3):
        epoch = (2025, 4, 24, 16, 43 + k, 57.206)
        paths += write_scanimage_recording(tmp_path, name=f"snap {k}", n_volumes=1, epoch=epoch, seed=k).paths
    recording = open_recording(file_paths=paths)
    assert recording.n_channels == 1
    np.testing.assert_allclose(recording.timestamp_s, [0, 60, 120])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"channel_save": (1, 2)}, {"channel_save": (2, 3)}),
        ({"n_planes": 2, "n_flyback": 1}, {"n_planes": 3}),
        ({"n_planes": 2, "frames_per_slice": 2}, {"n_planes": 4}),
    ],
    ids=["channels", "planes", "frames a slice"],
)
def test_grabs_of_different_order_of_pages_are_not_joined(tmp_path, first, second):
    first, second = two_grabs(tmp_path, first, second)
    with pytest.raises(ValueError, match=r"(?s)first\.tif has.*second\.tif has"):
        open_recording(file_paths=[*first.paths, *second.paths])


# Older versions, re-saved files, other files ---------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True])
def test_resaved_file_without_magic_block_in_64_strips(tmp_path, big):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_planes=2, n_volumes=3, shape=(128, 10))
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, big=big)
    with one_warning("no ROI groups"):
        recording = open_recording(target)
    assert_true(recording, truth)
    assert recording.tiff_version == 0
    resave_without_magic(truth.paths[0], target, big=big, keep_roi_json=True)
    assert open_recording(target).notes == ()


@pytest.mark.parametrize("generation", ["SI4", "SI5"])
@pytest.mark.parametrize("averaging", [1, 5])
def test_versions_4_and_5(tmp_path, generation, averaging):
    layout = {"n_planes": 2, "n_flyback": 1} if averaging == 1 else {}
    truth = write_si5_recording(
        tmp_path / "old.tif", generation=generation, n_frames=9, channels=(1, 3), averaging=averaging, **layout
    )
    recording = open_recording(truth.paths[0], warn=False)
    assert recording.channel_names == ("Channel 1", "Channel 3")
    assert_true(recording, truth)
    assert not [note for note in recording.notes if "missing" in note or "lack the" in note]


def test_version_3_8_points_to_the_legacy_class(tmp_path):
    truth = write_legacy_recording(tmp_path / "old.tif")
    with pytest.raises(
        UnsupportedFormatError, match=r"old\.tif was written by ScanImage 3\.8.*ScanImageLegacyImagingExtractor"
    ):
        open_recording(truth.paths[0])


def test_plain_tiff(tmp_path):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 6), np.int16), photometric="minisblack")
    with pytest.raises(UnsupportedFormatError, match=r"plain\.tif is a TIFF, but holds no ScanImage header"):
        open_recording(path)


def test_empty_file(tmp_path):
    (tmp_path / "empty.tif").touch()
    with pytest.raises(ValueError, match=r"empty\.tif is empty"):
        open_recording(tmp_path / "empty.tif")


def test_missing_path(tmp_path):
    path = write_scanimage_recording(tmp_path).paths[0]
    for arguments in ({"file_path": tmp_path / "none.tif"}, {"file_paths": [path, tmp_path / "none.tif"]}):
        with pytest.raises(FileNotFoundError, match=r"none\.tif"):
            open_recording(**arguments)


def test_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        open_recording(tmp_path)


def test_warning_names_the_line_that_opened(tmp_path):
    truth = write_scanimage_recording(tmp_path, with_roi_json=False)
    with pytest.warns(ScanImageNwbWarning, match="no ROI groups") as caught:
        open_recording(truth.paths[0])
    assert caught[0].filename == __file__
    assert issubclass(ScanImageNwbWarning, UserWarning)


# Real files ------------------------------------------------------------------------------------------------------


def test_real_volumes_over_ten_files(data_dir):
    recording = open_recording(data_dir / "scanimage" / "vol_one_ch_multi_files_00001_00001.tif")
    assert recording.notes == ()
    assert [table.n_pages for table in recording.tables] == [160] * 10
    assert (recording.page_shape, recording.dtype) == ((20, 20), np.dtype("<i2"))
    assert recording.channel_names == ("Channel 1",)
    layout = recording.index.layout
    assert (layout.n_planes, layout.n_flyback, layout.frames_per_slice) == (9, 7, 1)
    assert recording.index.sample_pages.shape == (100, 1, 9, 1)
    assert recording.index.sample_pages[99, 0, :, 0].tolist() == list(range(1584, 1593))
    assert recording.index.is_flyback.sum() == 700
    assert recording.epoch == datetime(2025, 4, 24, 16, 43, 57, 206000)


def test_real_slow_stack_of_two_channels(data_dir):
    recording = open_recording(data_dir / "scanimage" / "scanimage_20220923_noroi.tif")
    assert recording.notes == ()
    assert (recording.n_pages, recording.page_shape) == (24, (256, 256))
    assert recording.channel_names == ("Channel 1", "Channel 4")
    assert recording.index.layout.slow_stack
    assert recording.index.sample_pages.shape == (3, 2, 2, 2)
    assert recording.index.sample_pages[1].tolist() == [[[8, 9], [12, 13]], [[10, 11], [14, 15]]]


@pytest.mark.parametrize("name", ["vol_one_ch_multi_files_00001_00003.tif", "scanimage_20220923_noroi.tif"])
def test_real_pixels_equal_tifffile(data_dir, name):
    path = data_dir / "scanimage" / name
    recording = open_recording(file_paths=[path], warn=False)
    with tifffile.TiffFile(path) as tiff:
        expected = np.array([page.asarray() for page in tiff.pages])
        times = [float(re.search(r"frameTimestamps_sec = (\S+)", page.description)[1]) for page in tiff.pages]
    np.testing.assert_array_equal(recording.read_pages(np.arange(recording.n_pages)), expected)
    assert recording.timestamp_s.tolist() == times


def test_one_plane_stack_with_flyback_keeps_flyback_out_of_the_samples(tmp_path) -> None:
    """An enabled fast stack of one plane still records flyback: 3 frames, then 1 of flyback, in each volume."""
    stack = {"hStackManager.enable": "true", "hFastZ.enable": "true", "hStackManager.stackMode": "'fast'"}
    written = write_scanimage_recording(
        tmp_path, n_planes=1, frames_per_slice=3, n_flyback=1, n_volumes=4, drop_frames=(5,), header_overrides=stack
    )
    with pytest.warns(ScanImageNwbWarning, match="1 frame"):
        recording = open_recording(written.paths[0])
    assert (recording.n_planes, recording.frames_per_slice) == (1, 1)
    truth = np.flatnonzero(written.plane == 0)
    assert recording.index.sample_pages[:, 0, 0, 0].tolist() == truth.tolist()
    assert recording.index.is_flyback.sum() == 4
