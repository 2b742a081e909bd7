"""The writer of .siff files, read back by nothing but `struct`."""

import struct
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb.testing.siff_files import write_siff_recording


def tags_of_pages(data: bytes) -> list[dict[int, int]]:
    """Return tag to value for each page."""
    pages = []
    (ifd,) = struct.unpack_from("<Q", data, 8)
    while ifd:
        (n,) = struct.unpack_from("<Q", data, ifd)
        entries = [struct.unpack_from("<HHQQ", data, ifd + 8 + 20 * e) for e in range(n)]
        pages.append({tag: value for tag, _, _, value in entries})
        (ifd,) = struct.unpack_from("<Q", data, ifd + 8 + 20 * n)
    return pages


def test_bytes_are_as_the_format_says(tmp_path: Path) -> None:
    kinds = ("raw", "compressed", "plain")
    written = write_siff_recording(
        tmp_path, page_kinds=kinds, n_volumes=3, photons_per_page=(50, 60, 70), appended_text=[(1, "hello", 0.5)]
    )
    data = written.path.read_bytes()
    assert struct.unpack_from("<2sHHHQII", data)[:4] == (b"II", 43, 8, 0)
    assert struct.unpack_from("<II", data, 16) == (0x07030301, 4)
    pages = tags_of_pages(data)
    assert [page.get(907) for page in pages] == [0, 1, None]
    assert [page[258] for page in pages] == [64, 64, 16]
    raw, compressed, plain = pages
    photons = np.frombuffer(data, "<u8", 50, raw[273])
    assert ((photons >> np.uint64(48)) * 12 + (photons >> np.uint64(32) & np.uint64(0xFFFF))).tolist() == (
        written.photon_pixel[:50].tolist()
    )
    assert (photons & np.uint64(0xFFFFFFFF)).tolist() == written.delay_bin[:50].tolist()
    counts = np.frombuffer(data, "<u2", 192, compressed[273] - 384)
    assert (counts == written.counts[1].reshape(-1)).all()
    assert compressed[279] == 120
    assert (np.frombuffer(data, "<u2", 192, plain[273]) == written.counts[2].reshape(-1)).all()
    text = data[compressed[270] : compressed[273] - 384].decode()
    assert text.startswith("frameNumbers = 1\n")
    assert text.endswith("Appended text = hello\nText timestamp = 0.500000\n")


def test_the_smaller_way_is_chosen_page_by_page(tmp_path: Path) -> None:
    written = write_siff_recording(tmp_path, photons_per_page=(10, 0, 500), n_volumes=6)
    assert written.kind == ("raw", "raw", "compressed") * 2


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_siff_recording(tmp_path, page_kinds=("zip",))  # type: ignore[arg-type]
