"""The writer of .siff files, read back by nothing but `struct`."""

import struct
from pathlib import Path

import numpy as np
import pytest

from scanimage_nwb.testing import write_demo_session
from scanimage_nwb.testing.siff_files import START_NS, write_siff_recording


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


def test_a_scene_says_how_many_photons_of_which_decay_to_expect(tmp_path: Path) -> None:
    def scene(page: int, height: int, width: int) -> np.ndarray:
        expected = np.zeros((2, height, width))
        expected[0, :, 0] = 400  # a fast decay on the left
        expected[1, :, 1] = 200 * (page + 1)  # a slow one on the right, brighter with every page
        return expected

    written = write_siff_recording(
        tmp_path,
        shape=(20, 3),
        n_volumes=2,
        lifetimes_s=(0.5e-9, 3e-9),
        scene=scene,
        page_kinds=("raw", "compressed"),
        start_ns=START_NS + 10**9,
    )
    columns = written.counts.sum(axis=1)
    assert not columns[:, 2].any()
    np.testing.assert_allclose(columns[:, :2], [[8000, 4000], [8000, 8000]], rtol=0.06)
    assert (np.bincount(written.photon_page * 60 + written.photon_pixel, minlength=120) == written.counts.ravel()).all()
    left = written.photon_pixel % 3 == 0
    mean_s = [(written.delay_bin[own].mean() + 0.5) * 20e-12 for own in (left, ~left)]
    # the response comes at 1.5 ns; photons that take longer than the 11 ns left of the period wrap around
    wrapped_s = [12.5e-9 * np.exp(-11e-9 / tau) / (1 - np.exp(-12.5e-9 / tau)) for tau in (0.5e-9, 3e-9)]
    np.testing.assert_allclose(mean_s, [2.0e-9 - wrapped_s[0], 4.5e-9 - wrapped_s[1]], rtol=0.01)
    assert written.laser_epoch_ns[0] - START_NS == round(1e9 * (1 + 0.401724))
    data = written.path.read_bytes()
    raw, compressed = tags_of_pages(data)
    assert (
        np.frombuffer(data, "<u2", compressed[279] // 2, compressed[273]) == written.delay_bin[-int(columns[1].sum()) :]
    ).all()
    assert raw[279] == 8 * columns[0].sum()


def test_demo_holds_photons_of_two_colours(tmp_path: Path) -> None:
    data = (write_demo_session(tmp_path) / "demo_flim_00001.siff").read_bytes()
    pages = tags_of_pages(data)
    assert len(pages) == 2 * 3 * 40
    assert {page[907] for page in pages} == {0, 1}, "raw and compressed pages"
    assert data.count(b"Appended text = ") == 3
    assert data.count(b"Text timestamp = ") == 2
    green = np.concatenate([np.frombuffer(data, "<u2", page[279] // 2, page[273]) for page in pages if page[907] == 1])
    histogram = np.bincount(green, minlength=629)
    assert 70 < histogram.argmax() < 95, "the rise at 1.5 ns"
    # two decay times: the slope of the logarithm falls off
    early, late = (np.log(histogram[i : i + 20].sum() / histogram[i + 50 : i + 70].sum()) for i in (90, 300))
    assert early > 1.3 * late > 0
