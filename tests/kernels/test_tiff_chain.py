"""The walk of the IFD chain and the scan of page text, against slow twins and hand-made bytes."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.kernels import page_numbers, tiff_chain
from scanimage_nwb.testing import write_scanimage_recording

COLUMN = {name: i for i, name in enumerate(tiff_chain.COLUMNS)}
ALL_BYTES = 1 << 20


def scan(text: bytes) -> tuple[float, list[int]]:
    """Return the timestamp and the three numbers that the kernel finds in a page text."""
    row = np.full(len(tiff_chain.COLUMNS), -1, np.int64)
    timestamp = page_numbers.scan_text(np.frombuffer(text, np.uint8), 0, len(text), row)
    names = ("frame_number", "acquisition_number", "frame_in_acquisition")
    return timestamp, [int(row[COLUMN[name]]) for name in names]


def walk(data: bytes, block_bytes: int = ALL_BYTES) -> tuple[int, np.ndarray, np.ndarray, int]:
    """Walk a BigTIFF in memory, block by block, as the caller of the kernel does."""
    whole = np.frombuffer(data, np.uint8)
    rows, times = np.empty((256, len(tiff_chain.COLUMNS)), np.int64), np.empty(256)
    ifd, n_rows, offset, block = struct.unpack_from("<Q", data, 8)[0], 0, 0, whole[:0]
    while True:
        status, n_rows, ifd = tiff_chain.walk_pages(
            block, offset, len(block), len(data), ifd, True, False, rows, times, n_rows
        )
        if status != tiff_chain.STATUS_NEED_BYTES:
            return status, rows[:n_rows], times[:n_rows], ifd
        assert offset != ifd or len(block) == 0, "the kernel asked again for the block that it was given"
        offset, block = ifd, whole[ifd : ifd + block_bytes].copy()


def one_page(*tags: tuple[int, int, int, int], next_ifd: int = 0, tail: bytes = bytes(64)) -> bytes:
    """Return a BigTIFF with one IFD at byte 16."""
    entries = b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
    return (
        struct.pack("<2s3HQ", b"II", 43, 8, 0, 16)
        + struct.pack("<Q", len(tags))
        + entries
        + struct.pack("<Q", next_ifd)
        + tail
    )


SOUND_TAGS = ((256, 3, 1, 4), (257, 3, 1, 2), (258, 3, 1, 16), (273, 16, 1, 200), (279, 16, 1, 16))


@pytest.fixture
def two_channel_bytes(tmp_path):
    return write_scanimage_recording(tmp_path, n_channels=2, n_volumes=4).paths[0].read_bytes()


@settings(deadline=None)
@given(st.integers(0, 9_007_199 * 10**9))
def test_timestamps_as_printed_are_parsed_as_python_does(nanoseconds):
    text = f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
    assert scan(b"frameTimestamps_sec = " + text.encode() + b"\n")[0] == float(text)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6))
def test_padded_and_negative_timestamps_are_parsed_as_python_does(seconds):
    text = f"{seconds:25.9f}"
    assert scan(b"Frame Timestamp(s) = " + text.encode() + b"\n")[0] == float(text)


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
def test_every_fact_is_found_whatever_ends_the_lines(ending):
    lines = [b"frameNumbers = 70001", b"acquisitionNumbers = 3", b"frameNumberAcquisition = 12"]
    text = ending.join([*lines, b"frameTimestamps_sec = 12.500000000", b"endOfAcquisition = 0"])
    assert scan(text) == (12.5, [70001, 3, 12])


def test_a_text_that_ends_within_a_number_is_not_read_beyond_its_end():
    data = np.frombuffer(b"frameNumbers = 1234", np.uint8)
    row = np.full(len(tiff_chain.COLUMNS), -1, np.int64)
    page_numbers.scan_text(data, 0, 17, row)
    assert row[COLUMN["frame_number"]] == 12


def test_the_first_of_two_equal_keys_counts():
    assert scan(b"frameNumbers = 5\nframeNumbers = 9\n")[1][0] == 5


@pytest.mark.parametrize(
    "text",
    [
        *[b"", b"frameNumbers", b"frameNumbers =", b"frameNumbers = \n", b"frameNumbers = x", b"myframeNumbers = 3\n"],
        *[b"frameNumbersX = 3\n", b"\0frameNumbers = 3\n", b"frameNumbers = [3]\n", b"frameNumbers = -\n"],
    ],
)
def test_text_without_a_number_says_nothing(text):
    timestamp, numbers = scan(text)
    assert math.isnan(timestamp)
    assert numbers == [-1, -1, -1]


def test_long_digit_strings_neither_overflow_nor_hang():
    timestamp, _ = scan(b"frameTimestamps_sec = " + b"9" * 5000 + b"\n")
    assert timestamp == math.inf or timestamp > 1e300
    assert scan(b"frameTimestamps_sec = 0." + b"1" * 5000 + b"\n")[0] == pytest.approx(1 / 9)


FROM_TEXT = {"timestamp_s", "frame_number", "acquisition_number", "frame_in_acquisition"}


def assert_equal_to_reference(data: bytes, rows: np.ndarray, times: np.ndarray, may_be_unread: int = 0) -> None:
    """Compare with the slow twin; the text of a few pages may have lain across the end of a block."""
    expected, _ = tiff_chain.walk_pages_reference(data)
    assert len(rows) == len(expected)
    n_unread = 0
    for row, time_s, page in zip(rows, times, expected, strict=True):
        found = {name: int(row[COLUMN[name]]) for name in page if name != "timestamp_s"} | {"timestamp_s": time_s}
        if np.isnan(time_s):
            n_unread += 1
            assert all(found[name] == -1 for name in FROM_TEXT - {"timestamp_s"})
            found |= {name: page[name] for name in FROM_TEXT}
        assert found == page
    assert n_unread <= may_be_unread


@pytest.mark.parametrize("block_bytes", [ALL_BYTES, 5000, 3333, 2800])
def test_walk_in_blocks_of_any_size_equals_the_reference(two_channel_bytes, block_bytes):
    status, rows, times, _ = walk(two_channel_bytes, block_bytes)
    assert status == tiff_chain.STATUS_END
    n_blocks = -(-len(two_channel_bytes) // block_bytes)
    assert_equal_to_reference(two_channel_bytes, rows, times, may_be_unread=n_blocks - 1)


def test_text_outside_the_block_stays_unread(two_channel_bytes):
    _, rows, times, _ = walk(two_channel_bytes, block_bytes=600)
    assert len(rows) == 8
    assert np.isnan(times).all()
    assert (rows[:, COLUMN["frame_number"]] == -1).all()


def test_walk_stops_when_rows_are_full_and_goes_on_where_it_stopped(two_channel_bytes):
    whole = np.frombuffer(two_channel_bytes, np.uint8)
    rows, times = np.empty((3, len(tiff_chain.COLUMNS)), np.int64), np.empty(3)
    ifd = struct.unpack_from("<Q", two_channel_bytes, 8)[0]
    status, n_rows, ifd = tiff_chain.walk_pages(whole, 0, len(whole), len(whole), ifd, True, False, rows, times, 0)
    assert (status, n_rows) == (tiff_chain.STATUS_ROWS_FULL, 3)
    assert ifd == walk(two_channel_bytes)[1][3, COLUMN["ifd_offset"]]


@pytest.mark.parametrize(
    ("data", "status", "n_pages"),
    [
        (one_page(*SOUND_TAGS, tail=bytes(300)), tiff_chain.STATUS_END, 1),
        (one_page(*SOUND_TAGS, next_ifd=16, tail=bytes(300)), tiff_chain.STATUS_BACKWARD, 1),
        (one_page(*SOUND_TAGS, next_ifd=8, tail=bytes(300)), tiff_chain.STATUS_BACKWARD, 1),
        (one_page(*SOUND_TAGS, next_ifd=10**6, tail=bytes(300)), tiff_chain.STATUS_IFD_CUT, 1),
        (one_page(*SOUND_TAGS, next_ifd=2**64 - 1, tail=bytes(300)), tiff_chain.STATUS_IFD_CUT, 1),
        (one_page(*SOUND_TAGS, next_ifd=2**63 - 1, tail=bytes(300)), tiff_chain.STATUS_IFD_CUT, 1),
        (one_page(*SOUND_TAGS, tail=b""), tiff_chain.STATUS_PIXELS_CUT, 0),
        (one_page(*SOUND_TAGS, (270, 2, 500, 200), tail=bytes(300)), tiff_chain.STATUS_TEXT_CUT, 0),
        (one_page(*SOUND_TAGS, (270, 2, 500, 2**63), tail=bytes(300)), tiff_chain.STATUS_END, 1),
        (one_page(*SOUND_TAGS[1:], tail=bytes(300)), tiff_chain.STATUS_BAD_IFD, 0),
        (one_page((256, 3, 1, 0), *SOUND_TAGS[1:], tail=bytes(300)), tiff_chain.STATUS_BAD_IFD, 0),
        (one_page(*SOUND_TAGS[:4], (279, 16, 1, 2**64 - 1), tail=bytes(300)), tiff_chain.STATUS_BAD_IFD, 0),
        (one_page(*SOUND_TAGS[:3], (273, 16, 1, 2**63 - 1), SOUND_TAGS[4]), tiff_chain.STATUS_PIXELS_CUT, 0),
        (one_page(*SOUND_TAGS[:3], (273, 16, 2**62, 200), SOUND_TAGS[4]), tiff_chain.STATUS_BAD_IFD, 0),
        (one_page(tail=bytes(300)), tiff_chain.STATUS_BAD_IFD, 0),
        (one_page(*SOUND_TAGS * 1000, tail=bytes(300)), tiff_chain.STATUS_BAD_IFD, 0),
    ],
    ids=[
        "sound",
        "loop",
        "backward",
        "beyond the end",
        "offset of all ones",
        "largest offset",
        "pixels cut",
        "text cut",
        "text offset out of range is no text",
        "no width",
        "width 0",
        "length of all ones",
        "largest pixel offset",
        "huge strip count",
        "no entries",
        "too many entries",
    ],
)
def test_what_stops_a_walk(data, status, n_pages):
    found = walk(data)
    assert (found[0], len(found[1])) == (status, n_pages)


def test_a_chain_that_jumps_back_keeps_the_pages_before(two_channel_bytes):
    data = bytearray(two_channel_bytes)
    ifds = walk(two_channel_bytes)[1][:, COLUMN["ifd_offset"]]
    n_entries = struct.unpack_from("<Q", data, int(ifds[5]))[0]
    struct.pack_into("<Q", data, int(ifds[5]) + 8 + 20 * n_entries, int(ifds[2]))
    status, rows, _, ifd = walk(bytes(data))
    assert (status, len(rows), ifd) == (tiff_chain.STATUS_BACKWARD, 6, ifds[2])
    expected, end = tiff_chain.walk_pages_reference(bytes(data))
    assert (len(expected), end) == (6, ifds[2])


@pytest.mark.parametrize("name", ["volume_two_colors.siff", "mixed_pages.siff", "plane_raw.siff"])
def test_photon_pages_equal_the_reference(data_dir, name):
    data = (data_dir / "siff" / name).read_bytes()
    whole = np.frombuffer(data, np.uint8)
    rows, times = np.empty((10_000, len(tiff_chain.COLUMNS)), np.int64), np.empty(10_000)
    ifd = struct.unpack_from("<Q", data, 8)[0]
    status, n_rows, _ = tiff_chain.walk_pages(whole, 0, len(data), len(data), ifd, True, False, rows, times, 0)
    assert status == tiff_chain.STATUS_END
    assert n_rows > 1
    assert_equal_to_reference(data, rows[:n_rows], times[:n_rows])


@settings(max_examples=40, deadline=None)
@given(
    layout=st.fixed_dictionaries(
        {
            "n_channels": st.integers(1, 3),
            "n_planes": st.integers(1, 3),
            "n_volumes": st.integers(1, 4),
            "shape": st.tuples(st.integers(1, 20), st.integers(2, 20)),
            "text_padding": st.sampled_from([0, 100, 2000]),
            "first_frame_number": st.integers(1, 10**12),
            "start_time_s": st.floats(0, 1e6),
            "seed": st.integers(0, 1000),
        }
    ),
    block_bytes=st.integers(2800, 20_000),
)
def test_random_files_equal_the_reference(tmp_path_factory, layout, block_bytes):
    truth = write_scanimage_recording(tmp_path_factory.mktemp("walk"), **layout)
    data = truth.paths[0].read_bytes()
    status, rows, times, _ = walk(data, block_bytes)
    assert status == tiff_chain.STATUS_END
    read = ~np.isnan(times)
    assert rows[read, COLUMN["frame_number"]].tolist() == truth.frame_numbers[read].tolist()
    assert times[read].tolist() == truth.timestamps_s[read].tolist()
    assert_equal_to_reference(data, rows, times, may_be_unread=len(data) // block_bytes)
