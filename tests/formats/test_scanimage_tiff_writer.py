"""What is written in ScanImage's layout, read by tifffile and by our own walk."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanimage_nwb.formats.scanimage_tiff import read_header_texts, read_page_text
from scanimage_nwb.formats.scanimage_tiff_writer import ScanImageTiffWriter
from scanimage_nwb.formats.tiff_pages import read_page_table

HEADER = "SI.VERSION_MAJOR = 2021\nSI.hFastZ.userInfo = 'José µm'\n"
ROI = '{"RoiGroups": {"imagingRoiGroup": null}}\n'
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40).map(str.strip)


def write(path: Path, pages: list[np.ndarray], texts: list[str], header: str = HEADER, roi: str = ROI) -> Path:
    with path.open("wb") as file, ScanImageTiffWriter(file, header, roi, pixel_size_um=(0.5, 2.0)) as writer:
        for page, text in zip(pages, texts, strict=True):
            writer.write(page, text)
    return path


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["u1", "<u2", "<i2", ">i2", "<u4", "<f4"]),
    roi=st.sampled_from(["", "{}", ROI]),
)
def test_whatever_is_written_is_read(
    tmp_path: Path, texts: list[str], shape: tuple[int, int], dtype: str, roi: str
) -> None:
    """Odd sizes, empty texts, and texts so short that TIFF would put them into the directory."""
    rng = np.random.default_rng(0)
    pages = [rng.integers(0, 100, shape).astype(dtype) for _ in texts]
    path = write(tmp_path / "a.tif", pages, texts, roi=roi)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
        assert tif.byteorder == "<"
        assert len(tif.pages) == len(pages)
        for page, pixels, text in zip(tif.pages, pages, texts, strict=True):
            assert page.dtype == pixels.dtype.newbyteorder("=")
            assert (page.asarray() == pixels).all()
            assert page.aspage().description.strip() == text
            assert page.aspage().software.strip() == HEADER.strip()
    table = read_page_table(path)
    assert table.problem is None
    assert [read_page_text(table, i).strip() for i in range(len(texts))] == texts
    shared = read_header_texts(table)
    assert (shared.text, shared.roi_text.strip(), shared.tiff_version) == (HEADER, roi.strip(), 4)


def test_bytes_are_those_of_scanimage(tmp_path: Path) -> None:
    """Mark, version and lengths from byte 16 on, then the texts, each with its NUL; all pages point at them."""
    path = write(tmp_path / "a.tif", [np.ones((2, 3), "u2")] * 2, ["frameNumbers = 1", "frameNumbers = 2"])
    data = path.read_bytes()
    header, roi = HEADER.encode() + b"\0", ROI.encode() + b"\0"
    assert struct.unpack_from("<4I", data, 16) == (0x07030301, 4, len(header), len(roi))
    assert data[32 : 32 + len(header) + len(roi)] == header + roi
    assert data.count(header) == data.count(roi) == 1
    with tifffile.TiffFile(path) as tif:
        assert struct.unpack_from("<Q", data, tif.pages.next_page_offset) == (0,)
        for page in tif.pages:
            assert page.aspage().tags[305].valueoffset == 32
            assert page.aspage().tags[315].valueoffset == 32 + len(header)
            assert page.offset % 8 == page.dataoffsets[0] % 8 == 0
            resolution = [(a / b) for a, b in (page.aspage().tags[code].value for code in (282, 283))]
            assert resolution == pytest.approx([20_000, 5_000], rel=1e-5)


def test_without_header_there_is_no_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", [np.ones((2, 3), "u2")], ["scanimage.SI4.x = 1"], header="", roi="")
    assert path.read_bytes()[16:20] != struct.pack("<I", 0x07030301)
    with tifffile.TiffFile(path) as tif:
        assert {305, 315}.isdisjoint(tif.pages.first.tags.keys())
        assert tif.is_scanimage


def test_pages_of_two_shapes(tmp_path: Path) -> None:
    """A directory is made once of each kind of page."""
    with (tmp_path / "a.tif").open("wb") as file, ScanImageTiffWriter(file, HEADER, ROI) as writer:
        for i in range(300):
            writer.write(np.full((2, 3 + i % 2), i, "u2"), f"frameNumbers = {i}")
        assert len(writer._directories) == 2
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert [int(page.asarray()[0, 0]) for page in tif.pages] == list(range(300))
