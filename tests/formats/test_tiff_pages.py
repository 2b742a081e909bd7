"""The page table of one file: whole, cut, looping, split into strips, or no ScanImage TIFF at all."""

import pickle
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from scanimage_nwb.errors import FormatError, TruncatedFileError, UnsupportedFormatError
from scanimage_nwb.formats import tiff_pages
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_tiff import read_pixels
from scanimage_nwb.formats.tiff_pages import read_page_table
from scanimage_nwb.kernels.tiff_chain import walk_pages_reference
from scanimage_nwb.testing import (
    resave_without_magic,
    write_legacy_recording,
    write_scanimage_recording,
    write_si5_recording,
)


def pixels_of(table):
    out = np.empty((table.n_pages, *table.page_shape), table.dtype)
    with ReadOnlyFile(table.path) as file:
        read_pixels(file, table, np.arange(table.n_pages), out)
    return out


def directories(data: bytes) -> list[tuple[int, dict[int, int]]]:
    """Walk a BigTIFF by hand: offset of each directory, and the place in the file of each tag's value."""
    found, (offset,) = [], struct.unpack_from("<Q", data, 8)
    while offset:
        (count,) = struct.unpack_from("<Q", data, offset)
        codes = [struct.unpack_from("<H", data, offset + 8 + 20 * k)[0] for k in range(count)]
        found.append(
            (offset, {code: offset + 8 + 20 * k + 12 for k, code in enumerate(codes)} | {0: offset + 8 + 20 * count})
        )
        (offset,) = struct.unpack_from("<Q", data, offset + 8 + 20 * count)
    return found


def patched(path, changes: dict[int, int], size: int = 8):
    """Overwrite integers of a file in place."""
    data = bytearray(path.read_bytes())
    for offset, value in changes.items():
        data[offset : offset + size] = value.to_bytes(size, "little")
    path.write_bytes(data)
    return path


def assert_table_is_true(table, truth):
    assert table.problem is None
    assert table.n_pages == len(truth.frame_numbers)
    assert table.page_shape == truth.pages.shape[1:]
    assert table.dtype == truth.pages.dtype
    np.testing.assert_array_equal(table.frame_number, truth.frame_numbers)
    np.testing.assert_array_equal(table.timestamp_s, truth.timestamps_s)
    np.testing.assert_array_equal(pixels_of(table), truth.pages)


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "n_channels": st.integers(1, 3),
            "n_planes": st.integers(1, 4),
            "n_volumes": st.integers(1, 5),
            "shape": st.tuples(st.integers(1, 40), st.integers(2, 40)),
            "text_padding": st.sampled_from([0, 700, 2000, 9000]),
            "with_magic": st.booleans(),
            "with_roi_json": st.booleans(),
            "seed": st.integers(0, 10**6),
        }
    )
)
def test_random_files_equal_truth_and_reference(tmp_path_factory, layout):
    truth = write_scanimage_recording(tmp_path_factory.mktemp("table"), **layout)
    table = read_page_table(truth.paths[0])
    assert_table_is_true(table, truth)
    expected, _ = walk_pages_reference(truth.paths[0].read_bytes())
    for name in ("ifd_offset", "strip_offset", "text_offset", "text_bytes", "acquisition_number"):
        assert table.columns[name].tolist() == [page[name] for page in expected]


@pytest.mark.parametrize(
    "arguments",
    [
        {"shape": (190, 190), "n_volumes": 20},
        {"shape": (190, 190), "n_volumes": 20, "text_padding": 6000},
        {"shape": (8, 6), "n_volumes": 1200, "text_padding": 2000},
        {"shape": (8, 6), "n_volumes": 40, "text_padding": 100_000},
    ],
    ids=["pages far apart", "texts longer than a small block", "several large blocks", "texts longer than is read"],
)
def test_every_page_is_found_however_far_apart(tmp_path, arguments):
    truth = write_scanimage_recording(tmp_path, **arguments)
    assert_table_is_true(read_page_table(truth.paths[0]), truth)


def test_classic_tiff_of_version_3_8(tmp_path):
    truth = write_legacy_recording(tmp_path / "old.tif", n_frames=7, channels_saved=(1, 2))
    table = read_page_table(truth.paths[0])
    assert (table.n_pages, table.page_shape, table.dtype) == (14, (16, 12), np.dtype("<u2"))
    assert np.isnan(table.timestamp_s).all()
    np.testing.assert_array_equal(pixels_of(table), truth.pages)


@pytest.mark.parametrize("generation", ["SI4", "SI5"])
def test_page_text_of_versions_4_and_5(tmp_path, generation):
    truth = write_si5_recording(tmp_path / "old.tif", generation=generation, n_frames=9, channels=(1, 2), averaging=3)
    assert_table_is_true(read_page_table(truth.paths[0]), truth)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("strips", [1, 2, 3, 64])
def test_resaved_file_in_strips(tmp_path, big, strips):
    truth = write_scanimage_recording(tmp_path, n_channels=2, shape=(128, 12), n_volumes=3)
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, big=big, strips_per_page=strips)
    assert_table_is_true(read_page_table(target), truth)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("rows_per_strip", [8, 4, 3])
def test_strip_tables_that_stand_in_the_directory_itself(tmp_path, big, rows_per_strip):
    """Two strips' lengths as SHORT fill four bytes: libtiff and tifffile then write no pointer."""
    pixels = np.arange(3 * 16 * 12, dtype=np.int16).reshape(3, 16, 12)
    path = tmp_path / "strips.tif"
    tifffile.imwrite(path, pixels, bigtiff=big, rowsperstrip=rows_per_strip, photometric="minisblack")
    table = read_page_table(path)
    assert table.n_pages == 3
    np.testing.assert_array_equal(pixels_of(table), pixels)


def test_strips_that_do_not_follow_one_another_are_put_in_order(tmp_path):
    truth = write_scanimage_recording(tmp_path, shape=(8, 6), n_volumes=2)
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, big=True, strips_per_page=4)
    data = bytearray(target.read_bytes())
    (_, tags), _ = directories(bytes(data))
    (at,) = struct.unpack_from("<Q", data, tags[273])
    first, second = struct.unpack_from("<2Q", data, at)
    data[first : first + 24], data[second : second + 24] = data[second : second + 24], data[first : first + 24]
    struct.pack_into("<2Q", data, at, second, first)
    target.write_bytes(data)
    table = read_page_table(target)
    assert list(table.strips) == [0]
    np.testing.assert_array_equal(pixels_of(table), truth.pages)


@pytest.mark.parametrize("field", [273, 279], ids=["offsets", "lengths"])
@pytest.mark.parametrize("value", [2**64 - 1, 2**63, 2**63 - 1, 10**7])
def test_a_strip_outside_the_file_ends_the_walk_there(tmp_path, field, value):
    truth = write_scanimage_recording(tmp_path, shape=(8, 6), n_volumes=3)
    target = tmp_path / "resaved.tif"
    resave_without_magic(truth.paths[0], target, big=True, strips_per_page=4)
    data = target.read_bytes()
    (at,) = struct.unpack_from("<Q", data, directories(data)[1][1][field])
    table = read_page_table(patched(target, {at + 8: value}))
    assert table.n_pages == 1
    assert "strips" in table.problem.text
    assert table.problem.offset == directories(data)[1][0]


def test_a_cut_at_any_byte_keeps_exactly_the_pages_before_it(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_channels=2, n_volumes=2, shape=(8, 6), text_padding=0)
    whole = truth.paths[0].read_bytes()
    starts = [offset for offset, _ in directories(whole)]
    ends = np.array([*starts[1:], len(whole)])
    target = tmp_path / "cut.tif"
    target.write_bytes(whole)
    for size in range(len(whole), 0, -5):
        with target.open("r+b") as file:
            file.truncate(size)
        n_whole = int((ends <= size).sum())
        if n_whole == 0:
            with pytest.raises(FormatError, match=r"cut\.tif"):
                read_page_table(target)
            continue
        table = read_page_table(target)
        assert table.n_pages == n_whole
        assert table.frame_number.tolist() == truth.frame_numbers[:n_whole].tolist()
        assert (table.problem is None) == (size == len(whole))


@pytest.mark.parametrize(
    ("place", "word"),
    [("ifd", "directory"), ("text", "pixels|text"), ("pixels", "pixels")],
    ids=["IFD", "text", "pixels"],
)
def test_the_problem_says_where_the_file_was_cut(tmp_path, place, word):
    truth = write_scanimage_recording(tmp_path, n_volumes=3)
    data = truth.paths[0].read_bytes()
    offset, tags = directories(data)[2]
    text_at = struct.unpack_from("<Q", data, tags[270])[0]
    cut = {"ifd": offset + 40, "text": text_at + 100, "pixels": len(data) - 1}[place]
    truth.paths[0].write_bytes(data[:cut])
    table = read_page_table(truth.paths[0])
    assert table.n_pages == 2
    assert table.problem.offset == offset
    assert any(part in table.problem.text for part in word.split("|"))
    assert str(cut) in table.problem.text


@pytest.mark.parametrize("target", [0, 2, 3], ids=["to the first page", "backward", "to itself"])
def test_a_looping_chain_stops_there(tmp_path, target):
    truth = write_scanimage_recording(tmp_path, n_volumes=6)
    chain = directories(truth.paths[0].read_bytes())
    patched(truth.paths[0], {chain[3][1][0]: chain[target][0]})
    table = read_page_table(truth.paths[0])
    assert table.n_pages == 4
    assert "loop" in table.problem.text
    np.testing.assert_array_equal(pixels_of(table), truth.pages[:4])


def test_a_file_that_shrinks_during_the_walk_does_not_hang(tmp_path, monkeypatch):
    truth = write_scanimage_recording(tmp_path, n_volumes=1200, keep_pages=False, shape=(8, 6))
    shorter = directories(truth.paths[0].read_bytes())[700][0] + 10
    read_into = ReadOnlyFile.read_into

    def read_into_shorter(self, offset, views):
        n_bytes = min(sum(view.nbytes for view in views), max(0, shorter - offset))
        return read_into(self, offset, [views[0][:n_bytes]])

    monkeypatch.setattr(ReadOnlyFile, "read_into", read_into_shorter)
    table = read_page_table(truth.paths[0])
    assert table.n_pages == 700
    assert "shorter" in table.problem.text


def test_more_pages_than_16_bits_count(tmp_path):
    n_pages = 66_000
    truth = write_scanimage_recording(
        tmp_path,
        n_volumes=n_pages,
        shape=(4, 4),
        text_padding=0,
        keep_pages=False,
        page_value=lambda k, h, w: np.full((h, w), k // 3 - 20_000, np.int16),
    )
    table = read_page_table(truth.paths[0])
    assert table.n_pages == n_pages
    np.testing.assert_array_equal(table.frame_number, np.arange(1, n_pages + 1))
    np.testing.assert_array_equal(table.timestamp_s, truth.timestamps_s)
    out = np.empty((2, 4, 4), np.int16)
    with ReadOnlyFile(table.path) as file:
        read_pixels(file, table, np.array([65_535, 65_536]), out)
    assert out[:, 0, 0].tolist() == [65_535 // 3 - 20_000, 65_536 // 3 - 20_000]


def test_max_pages(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=10)
    for n_pages in (1, 3, 10, 99):
        table = read_page_table(truth.paths[0], max_pages=n_pages)
        assert table.frame_number.tolist() == truth.frame_numbers[:n_pages].tolist()


def test_table_pickles(tmp_path):
    truth = write_scanimage_recording(tmp_path)
    assert_table_is_true(pickle.loads(pickle.dumps(read_page_table(truth.paths[0]))), truth)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", TruncatedFileError, "empty"),
        (b"II", UnsupportedFormatError, "no TIFF"),
        (b"II+\0\x08\0\0\0", UnsupportedFormatError, "no TIFF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), UnsupportedFormatError, "no TIFF"),
        (b"MM\0*\0\0\0\x08" + bytes(100), UnsupportedFormatError, "big-endian"),
        (b"II+\0\x04\0\0\0" + bytes(100), FormatError, "byte 4"),
        (b"II+\0\x08\0\0\0\x10" + bytes(100), TruncatedFileError, "no whole page"),
        (b"II+\0\x08\0\0\0" + bytes(100), TruncatedFileError, "no whole page"),
        (b"II+\0\x08\0\0\0" + b"\xff" * 100, TruncatedFileError, "no whole page"),
        (b"II+\0\x08\0\0\0" + b"\0" * 7 + b"\x80" + bytes(100), TruncatedFileError, "no whole page"),
        (b"II*\0\x08\0\0\0" + bytes(2), TruncatedFileError, "no whole page"),
    ],
)
def test_what_is_no_tiff_is_an_error_that_names_the_file(tmp_path, content, error, words):
    path = tmp_path / "spam.tif"
    path.write_bytes(content)
    with pytest.raises(error, match=rf"(?s)spam\.tif.*{words}"):
        read_page_table(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_page_table(tmp_path / "nothing.tif")
    with pytest.raises(FormatError, match="is a folder"):
        read_page_table(tmp_path)


def test_compressed_pixels_are_refused(tmp_path):
    path = tmp_path / "packed.tif"
    tifffile.imwrite(path, np.zeros((16, 12), np.int16), compression="zlib")
    with pytest.raises(UnsupportedFormatError, match=r"packed\.tif.*compressed"):
        read_page_table(path)


@pytest.mark.parametrize(
    "pixels", [np.zeros((5, 6, 3), np.uint8), np.zeros((5, 6), np.complex64)], ids=["colour", "complex"]
)
def test_pixels_of_several_numbers_are_refused(tmp_path, pixels):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    with pytest.raises(UnsupportedFormatError, match=r"odd\.tif"):
        read_page_table(path).dtype  # noqa: B018


@pytest.mark.parametrize(("tag", "value"), [(257, 7), (256, 5), (258, 8), (279, 100)])
def test_a_page_unlike_the_first_is_named(tmp_path, tag, value):
    truth = write_scanimage_recording(tmp_path, n_volumes=4)
    chain = directories(truth.paths[0].read_bytes())
    patched(truth.paths[0], {chain[2][1][tag]: value}, size=2)
    with pytest.raises(FormatError, match=r"page 2 has .*expected 16 x 12"):
        read_page_table(truth.paths[0])


def test_a_page_of_another_number_kind_is_refused(tmp_path):
    truth = write_scanimage_recording(tmp_path, n_volumes=4)
    chain = directories(truth.paths[0].read_bytes())
    patched(truth.paths[0], {chain[2][1][339]: 1}, size=2)
    with pytest.raises(FormatError, match="page 2"):
        read_page_table(truth.paths[0])


def test_cost_is_linear_in_pages(tmp_path, monkeypatch):
    """Near pages are walked in large blocks: reads grow with bytes, not with pages."""
    truth = write_scanimage_recording(tmp_path, n_volumes=3000, shape=(4, 4), text_padding=0, keep_pages=False)
    n_reads = 0
    read_into = ReadOnlyFile.read_into

    def counted(self, offset, views):
        nonlocal n_reads
        n_reads += 1
        return read_into(self, offset, views)

    monkeypatch.setattr(ReadOnlyFile, "read_into", counted)
    assert read_page_table(truth.paths[0]).n_pages == 3000
    assert n_reads < 4 * truth.paths[0].stat().st_size / tiff_pages._LARGE_BLOCK + 4
