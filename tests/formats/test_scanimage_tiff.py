"""Header texts, page texts and pixels of single files."""

import os
import pickle
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scanimage_nwb.errors import FormatError, TruncatedFileError
from scanimage_nwb.formats import files
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_tiff import read_header_texts, read_page_text, read_pixels
from scanimage_nwb.formats.tiff_pages import read_page_table
from scanimage_nwb.testing import (
    resave_without_magic,
    write_legacy_recording,
    write_scanimage_recording,
    write_si5_recording,
)


def read(table, pages):
    pages = np.asarray(pages, np.int64)
    out = np.full((len(pages), *table.page_shape), -9, table.dtype)
    with ReadOnlyFile(table.path) as file:
        read_pixels(file, table, pages, out)
    return out


def patch(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_magic_block(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    texts = read_header_texts(read_page_table(truth.paths[0]))
    assert texts.tiff_version == 4
    assert texts.text.startswith("SI.LINE_FORMAT_VERSION = 1\n")
    assert "\nSI.hChannels.channelSave = 1\n" in texts.text
    assert texts.roi_text.startswith('{\n  "RoiGroups"')
    assert "\0" not in texts.text + texts.roi_text


def test_no_roi_json(tmp_path):
    truth = write_scanimage_recording(tmp_path, with_roi_json=False)
    assert read_header_texts(read_page_table(truth.paths[0])).roi_text == ""


def test_software_tag_stands_in_for_the_magic_block(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    expected = read_header_texts(read_page_table(truth.paths[0]))
    resave_without_magic(truth.paths[0], tmp_path / "resaved.tif", keep_roi_json=True)
    texts = read_header_texts(read_page_table(tmp_path / "resaved.tif"))
    # tifffile, which the writer reads with, strips white space from the ends of a text
    assert (texts.text.strip(), texts.roi_text) == (expected.text.strip(), expected.roi_text.strip())
    assert texts.tiff_version == 0


def test_page_text_stands_in_for_the_software_tag(tmp_path):
    for truth, key in [
        (write_si5_recording(tmp_path / "5.tif"), "scanimage.SI5.channelsSave"),
        (write_legacy_recording(tmp_path / "3.tif"), "state.acq.frameRate"),
    ]:
        texts = read_header_texts(read_page_table(truth.paths[0]))
        assert key in texts.text
        assert (texts.roi_text, texts.tiff_version) == ("", 0)


@pytest.mark.parametrize("offset", [24, 28])
@pytest.mark.parametrize("length", [2**32 - 1, 10**6])
def test_magic_block_that_says_more_than_the_file_holds(tmp_path, offset, length):
    truth = write_scanimage_recording(tmp_path)
    patch(truth.paths[0], offset, struct.pack("<I", length))
    with pytest.raises(FormatError, match=r"session_00001\.tif: byte 24 .*damaged"):
        read_header_texts(read_page_table(truth.paths[0]))


def test_page_text_has_neither_padding_nor_nul(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=3)
    text = read_page_text(read_page_table(truth.paths[0]), 5)
    assert text.startswith("frameNumbers = 3\n")
    assert text.endswith("I2CData = {}\n")


def test_page_without_text(tmp_path):
    truth = write_scanimage_recording(tmp_path, with_page_text=False)
    assert read_page_text(read_page_table(truth.paths[0]), 0) == ""


def test_text_in_latin_1_and_utf_8(tmp_path):
    truth = write_scanimage_recording(tmp_path, header_overrides={"hConfigurationSaver.cfgFilename": "'µm é'"})
    data = truth.paths[0].read_bytes()
    assert "'µm é'" in read_header_texts(read_page_table(truth.paths[0])).text
    patch(truth.paths[0], data.index("µm é".encode()), "µµmé ".encode("latin-1").ljust(6))
    assert "'µµmé  '" in read_header_texts(read_page_table(truth.paths[0])).text


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    truth = write_scanimage_recording(tmp_path_factory.mktemp("pixels"), n_channels=2, n_volumes=60, shape=(24, 20))
    return truth, read_page_table(truth.paths[0])


@pytest.mark.parametrize("seed", range(5))
def test_pages_in_random_order_with_repetitions(recorded, seed):
    truth, table = recorded
    pages = np.random.default_rng(seed).integers(0, table.n_pages, 300)
    np.testing.assert_array_equal(read(table, pages), truth.pages[pages])


@pytest.mark.parametrize(
    "pages", [[], [0], [119], range(120), range(119, -1, -1), range(0, 120, 2), range(1, 120, 7), [5, 5, 5]]
)
def test_runs_of_pages(recorded, pages):
    truth, table = recorded
    np.testing.assert_array_equal(read(table, pages), truth.pages[list(pages)])


def test_large_request_shared_among_threads(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=30, shape=(400, 420))
    table = read_page_table(truth.paths[0])
    for pages in (np.arange(60), np.arange(59, -1, -1), np.arange(0, 60, 2)):
        assert pages.size * 400 * 420 * 2 > 1 << 23
        np.testing.assert_array_equal(read(table, pages), truth.pages[pages])


def test_more_small_pages_than_one_read_can_take(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=2500, shape=(4, 3), text_padding=0)
    table = read_page_table(truth.paths[0])
    np.testing.assert_array_equal(read(table, range(2500)), truth.pages)


def test_many_threads_on_one_open_file(recorded):
    truth, table = recorded
    with ReadOnlyFile(table.path) as file, ThreadPoolExecutor(8) as pool:

        def one(seed):
            pages = np.random.default_rng(seed).permutation(table.n_pages)
            out = np.empty((len(pages), *table.page_shape), table.dtype)
            read_pixels(file, table, pages, out)
            return np.array_equal(out, truth.pages[pages])

        assert all(pool.map(one, range(40)))


def test_file_that_became_shorter_since(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=8)
    table = read_page_table(truth.paths[0])
    with truth.paths[0].open("r+b") as file:
        file.truncate(int(table.offset[5]) + 10)
    np.testing.assert_array_equal(read(table, range(5)), truth.pages[:5])
    for pages in ([5], range(8), [7, 0]):
        with pytest.raises(TruncatedFileError, match=r"session_00001\.tif became shorter"):
            read(table, pages)


def test_file_in_strips_that_became_shorter_since(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=2, shape=(8, 6))
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, strips_per_page=4)
    table = read_page_table(target)
    table.strips[0] = np.array([int(table.offset[0]), 10**6]), np.array([48, 48])
    with pytest.raises(TruncatedFileError, match="became shorter"):
        read(table, [0])


@pytest.fixture
def numbers_file(tmp_path):
    path = tmp_path / "numbers.bin"
    path.write_bytes(bytes(range(100)))
    return path


@pytest.mark.parametrize("has_preadv", [True, False])
def test_scattered_read(numbers_file, monkeypatch, has_preadv):
    monkeypatch.setattr(files, "_HAS_PREADV", has_preadv and files._HAS_PREADV)
    first, second = bytearray(3), bytearray(5)
    with ReadOnlyFile(numbers_file) as file:
        assert file.size == 100
        assert file.read_into(10, [memoryview(first), memoryview(second)]) == 8
        assert (list(first), list(second)) == ([10, 11, 12], [13, 14, 15, 16, 17])
        assert file.read_into(96, [memoryview(first), memoryview(second)]) == 4
        assert (list(first), second[0]) == ([96, 97, 98], 99)
        assert file.read_into(500, [memoryview(first)]) == 0
        assert file.read(98, 10) == bytes([98, 99])
        assert file.read(200, 10) == b""


def test_reads_that_the_system_cuts_short_are_continued(numbers_file, monkeypatch):
    preadv = os.preadv

    def seven_at_most(descriptor, views, offset):
        return preadv(descriptor, [views[0][:7]], offset)

    monkeypatch.setattr(os, "preadv", seven_at_most)
    parts = [bytearray(4), bytearray(20), bytearray(1), bytearray(30)]
    with ReadOnlyFile(numbers_file) as file:
        assert file.read_into(20, [memoryview(part) for part in parts]) == 55
    assert list(b"".join(parts)) == list(range(20, 75))


def test_file_is_closed_and_may_be_closed_twice(numbers_file):
    with ReadOnlyFile(numbers_file) as file:
        descriptor = file._descriptor
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_open_files_do_not_pickle(numbers_file):
    """Paths travel, handles do not: a handle would name another file in another process."""
    with ReadOnlyFile(numbers_file) as file, pytest.raises(TypeError):
        pickle.dumps(file)


def test_seeking_reads_are_safe_among_threads(recorded, monkeypatch):
    monkeypatch.setattr(files, "_HAS_PREADV", False)
    truth, table = recorded
    wrong = []
    with ReadOnlyFile(table.path) as file:

        def work(seed):
            pages = np.random.default_rng(seed).permutation(table.n_pages)[:40]
            out = np.empty((len(pages), *table.page_shape), table.dtype)
            read_pixels(file, table, pages, out)
            wrong.extend([seed] * (not np.array_equal(out, truth.pages[pages])))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
