"""Damaged .siff files: a clear error, or what can be saved and one warning; never anything else.

`SCANIMAGE_NWB_FUZZ=20000 pytest tests/siff_reader/test_damaged_files.py` runs as many mutants.
"""

import json
import os
import struct
import time
import warnings
from pathlib import Path

import numpy as np
import pynwb
import pytest

from scanimage_nwb.errors import FormatError, PhotonRangeError, ScanImageNwbError, ScanImageNwbWarning
from scanimage_nwb.formats.tiff_pages import PageTable, read_page_table
from scanimage_nwb.inspection import describe_recording
from scanimage_nwb.nwb import convert_recording, verify_nwbfile
from scanimage_nwb.siff_reader import SiffReader
from scanimage_nwb.testing.siff_files import SyntheticSiff, write_siff_recording

resource = pytest.importorskip("resource")
N_MUTANTS = int(os.environ.get("SCANIMAGE_NWB_FUZZ", "400"))


def write(folder: Path, **options: object) -> tuple[SyntheticSiff, PageTable, bytearray]:
    """Write a small file; return its truth, pages and bytes."""
    written = write_siff_recording(folder, **{"n_volumes": 6, "page_kinds": ("raw", "compressed"), **options})
    return written, read_page_table(written.path), bytearray(written.path.read_bytes())


def set_tag(data: bytearray, table: PageTable, page: int, tag: int, value: int) -> None:
    """Overwrite the value of a tag of one page."""
    ifd = int(table.columns["ifd_offset"][page])
    (n,) = struct.unpack_from("<Q", data, ifd)
    for at in range(ifd + 8, ifd + 8 + 20 * n, 20):
        if struct.unpack_from("<H", data, at)[0] == tag:
            struct.pack_into("<Q", data, at + 12, value)


def link(data: bytearray, table: PageTable, page: int, following: int) -> None:
    """Point the directory of a page to another."""
    ifd = int(table.columns["ifd_offset"][page])
    (n,) = struct.unpack_from("<Q", data, ifd)
    struct.pack_into("<Q", data, ifd + 8 + 20 * n, following)


@pytest.mark.parametrize("target", [0, 2, 3])
def test_loops_and_backward_steps_keep_the_pages_before(tmp_path: Path, target: int) -> None:
    written, table, data = write(tmp_path)
    link(data, table, 3, int(table.columns["ifd_offset"][target]))
    written.path.write_bytes(data)
    with pytest.warns(ScanImageNwbWarning, match="loop"):
        reader = SiffReader(written.path)
    assert (reader.get_frames() == written.counts[:4]).all()


@pytest.mark.parametrize("column", ["ifd_offset", "text_offset", "strip_offset"])
@pytest.mark.parametrize("page", [4, 5])
def test_a_cut_keeps_the_whole_pages(tmp_path: Path, column: str, page: int) -> None:
    written, table, data = write(tmp_path)
    written.path.write_bytes(data[: int(table.columns[column][page]) + 7])
    with pytest.warns(ScanImageNwbWarning, match=f"ends .*the {page} whole pages before are kept"):
        reader = SiffReader(written.path)
    assert (reader.get_frames() == written.counts[:page]).all()


@pytest.mark.parametrize("n_bytes", [1 << 62, (1 << 63) + 5, (1 << 64) - 1])
def test_giant_strips_are_damage(tmp_path: Path, n_bytes: int) -> None:
    written, table, data = write(tmp_path)
    set_tag(data, table, 4, 279, n_bytes)
    written.path.write_bytes(data)
    with pytest.warns(ScanImageNwbWarning, match="the 4 whole pages before are kept"):
        assert (SiffReader(written.path).get_frames() == written.counts[:4]).all()


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_photons_out_of_range(tmp_path: Path, kind: str) -> None:
    written, table, data = write(tmp_path, page_kinds=(kind,))
    at = int(table.offset[2])
    if kind == "raw":
        struct.pack_into("<2Q", data, at, 1 << 60, 4000)
        message, n_lost = "page 2 .*1 photon.* outside .* and 1 beyond the last of 629", 2
    else:
        struct.pack_into("<H", data, at, 629)
        message, n_lost = "page 2 .*0 photon.* outside .* and 1 beyond the last of 629", 1
    written.path.write_bytes(data)
    calls = ("get_histogram", "photons", "flim_map", "get_pixel_histogram")
    for name in calls:
        with pytest.raises(PhotonRangeError, match=message):
            getattr(SiffReader(written.path), name)()
    reader = SiffReader(written.path, strict=False)
    for name in calls:
        with pytest.warns(ScanImageNwbWarning, match=f"{n_lost} photon.* were dropped"):
            found = getattr(reader, name)()
        total = {"photons": lambda f: len(f.pixel), "flim_map": lambda f: f[1].sum()}.get(name, lambda f: f.sum())
        assert total(found) == 1200 - n_lost
    if kind == "raw":
        with pytest.raises(PhotonRangeError, match="page 2"):
            SiffReader(written.path).get_frames()
        with pytest.warns(ScanImageNwbWarning, match="1 photon"):
            assert reader.get_frames().sum() == 1199


@pytest.mark.parametrize("change", [-2, 2])
def test_counts_that_disagree_with_the_strip(tmp_path: Path, change: int) -> None:
    written, table, data = write(tmp_path, page_kinds=("compressed",))
    counts_at = int(table.offset[3]) - 2 * 16 * 12
    pixel = int(np.flatnonzero(written.counts[3].reshape(-1) > 1)[0])
    (found,) = struct.unpack_from("<H", data, counts_at + 2 * pixel)
    struct.pack_into("<H", data, counts_at + 2 * pixel, found + change)
    written.path.write_bytes(data)
    reader = SiffReader(written.path, strict=False)
    for call in (reader.get_frames, reader.flim_map, lambda: reader.sum_mask(np.ones((16, 12), bool))):
        with pytest.raises(FormatError, match=f"page 3 .*differ by {change} photons"):
            call()
    assert reader.get_histogram().sum() == 1200  # counts are not looked at: see its docstring
    with pytest.raises(FormatError, match=f"page 3 .*differ by {change} photons"):
        reader.get_histogram(masks=np.arange(16 * 12).reshape(16, 12) % 2 == 0)
    assert (reader.get_frames([0, 1, 2, 4, 5]) == written.counts[[0, 1, 2, 4, 5]]).all()


def test_the_first_damaged_page_is_named_whatever_its_damage(tmp_path: Path) -> None:
    """A page whose counts disagree was named before earlier ones with photons beyond the last delay bin."""
    written, table, data = write(tmp_path, page_kinds=("compressed",))
    struct.pack_into("<H", data, int(table.columns["strip_offset"][2]), 629)
    pixel = int(table.offset[3]) - 2 * 16 * 12
    struct.pack_into("<H", data, pixel, struct.unpack_from("<H", data, pixel)[0] + 1)
    written.path.write_bytes(data)
    for masks in (None, np.ones((16, 12), bool)):
        with pytest.raises(PhotonRangeError, match="page 2 "):
            SiffReader(written.path).get_histogram(None, masks, framewise=True)
    half = np.arange(16 * 12).reshape(16, 12) % 2 == 0
    with pytest.raises(PhotonRangeError, match="page 2 "):
        SiffReader(written.path).get_histogram(None, half, framewise=True)
    with pytest.raises(FormatError, match=r"page 3 .*differ by 1 photons"):
        SiffReader(written.path, strict=False).get_histogram(None, half, framewise=True)


@pytest.mark.parametrize(("tag", "value"), [(907, 7), (279, 11), (258, 8)])
def test_pages_stored_in_unknown_ways(tmp_path: Path, tag: int, value: int) -> None:
    written, table, data = write(tmp_path, page_kinds=("raw",))
    set_tag(data, table, 2, tag, value)
    if tag == 258:
        ifd = int(table.columns["ifd_offset"][2])
        data[ifd + 8 + 20 * 18 : ifd + 8 + 20 * 18 + 2] = struct.pack("<H", 60_000)  # in place of SiffCompress
    written.path.write_bytes(data)
    reader = SiffReader(written.path)
    with pytest.raises(FormatError, match="page 2"):
        reader.get_frames()
    assert len(reader.get_frames([0, 1, 3, 4, 5])) == 5


def test_giant_pages_allocate_nothing(tmp_path: Path) -> None:
    written, table, data = write(tmp_path, page_kinds=("raw",), n_volumes=1)
    set_tag(data, table, 0, 256, 60_000)
    set_tag(data, table, 0, 257, 60_000)
    written.path.write_bytes(data)
    with pytest.raises(FormatError, match="pixels"):
        SiffReader(written.path).get_frames()


def test_header_text_that_holds_code_is_text(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    code = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    written = write_siff_recording(tmp_path, header_overrides={"hFastZ.userInfo": code, "hPmts.powersOn": f"[{code}]"})
    reader = SiffReader(written.path)
    assert reader.im_params.FastZ.userInfo == code
    str(reader.im_params)
    assert not trap.exists()


@pytest.mark.parametrize("at", ["Appended text = li", "imagingSystem = 'FL"])
def test_a_nul_within_a_text_does_not_stop_a_conversion(tmp_path: Path, at: str) -> None:
    """HDF5 holds no NUL: h5py's ValueError came out of `convert`."""
    written, _, data = write(tmp_path, page_kinds=("raw",), appended_text=[(1, "light on", 0.5)])
    head = bytes(data).index(at.encode()) + len(at)
    data[head] = 0
    written.path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)
        convert_recording([written.path], tmp_path / "out.nwb")
    with pynwb.NWBHDF5IO(tmp_path / "out.nwb", "r") as io:
        nwbfile = io.read()
        settings = nwbfile.processing["ophys"]["ScanImageHeader"]["setting"].data[:]
        texts = [str(value) for _, value in settings]
        for table in nwbfile.events.values():
            texts += [str(text) for text in table["annotation"].data[:]]
    assert sum("\N{REPLACEMENT CHARACTER}" in text for text in texts) == 1


def mutate(good: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut or splice bytes, mostly where they matter: in directories and texts."""
    data = bytearray(good)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(data)))
        match int(rng.integers(0, 6)):
            case 0 | 1:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 2:
                size = int(rng.integers(1, 9))
                data[at : at + size] = rng.choice([b"\0", b"\xff", b"\x7f"]) * size
            case 3:
                del data[at : at + int(rng.integers(1, 200))]
            case 4:
                source = int(rng.integers(0, len(data)))
                data[at:at] = data[source : source + int(rng.integers(1, 200))]
            case _:
                del data[max(at, 1) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def use(path: Path) -> None:
    """Call everything that reads."""
    reader = SiffReader(path)
    str(reader.im_params)
    rows, columns = reader.im_params.shape
    calls = [
        lambda: json.dumps(describe_recording(reader.recording), allow_nan=False),
        reader.get_frames,
        lambda: reader.get_histogram(framewise=True),
        reader.flim_map,
        lambda: reader.flim_map([0], "phasor"),
        reader.photons,
        lambda: reader.get_frames(range(reader.num_frames)),
        lambda: reader.get_time(None, "epoch"),
        reader.get_appended_text,
        lambda: reader.get_time(None),
    ]
    if rows * columns <= 1 << 20:
        calls.append(lambda: reader.sum_masks(np.ones((2, rows, columns), bool)))
    for call in calls:
        try:
            call()
        except ScanImageNwbError:
            continue


def write_good_files(folder: Path) -> list[bytearray]:
    """Write small files of several kinds; return their bytes."""
    fast_z_off = {"hFastZ.enable": "false"}
    return [
        write(folder, name="a", shape=(5, 4), photons_per_page=9, appended_text=[(1, "x", 0.5)])[2],
        write(folder, name="b", shape=(5, 4), photons_per_page=30, channel_save=(1, 2), n_planes=2, n_volumes=2)[2],
        write(folder, name="c", shape=(5, 4), photons_per_page=9, page_kinds=("plain", "compressed"))[2],
        write(folder, name="d", shape=(5, 4), page_kinds=("plain",), n_planes=2, n_flyback=1, n_volumes=3)[2],
        write(folder, name="e", shape=(5, 4), n_planes=2, n_flyback=1, n_volumes=3, header_overrides=fast_z_off)[2],
    ]


def write_mutant(folder: Path, good: list[bytearray], seed: int) -> Path:
    """Write a damaged copy. Headers are the larger part of these files: half of the mutants leave them alone."""
    rng = np.random.default_rng(seed)
    which = seed % len(good)
    data = bytes(good[which])
    head = int(rng.integers(0, 2)) * int(read_first_ifd(data))
    path = folder / f"mutant_{which}.siff"
    path.write_bytes(data[:head] + mutate(data[head:], rng))
    return path


def test_mutants_raise_our_errors_only(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanImageNwbWarning)  # one of them claims flyback without FastZ
        good = write_good_files(tmp_path)
        for which, data in enumerate(good):  # kernels compile here, and not while a mutant is timed
            path = tmp_path / f"good_{which}.siff"
            path.write_bytes(data)
            try:
                use(path)
            except ScanImageNwbError:
                continue  # plain pages have no delays
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(N_MUTANTS):
        path = write_mutant(tmp_path, good, seed)
        start = time.process_time()  # not the clock on the wall, which runs on while the machine does something else
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ScanImageNwbWarning)
                use(path)
        except ScanImageNwbError:
            pass
        except Exception as error:
            raise AssertionError(f"mutant {seed}, {path.name}: {type(error).__name__}: {error}") from error
        seconds = time.process_time() - start
        assert seconds < 2, f"mutant {seed} took {seconds:.1f} s of the processor"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "more than a gigabyte"


def test_mutants_convert_whole_or_not_at_all(tmp_path: Path) -> None:
    """What can be converted equals its source; what cannot ends in an error of ours, and leaves no file."""
    good, out = write_good_files(tmp_path), tmp_path / "out.nwb"
    n_converted = 0
    for seed in range(N_MUTANTS // 25):
        path = write_mutant(tmp_path, good, seed + 1_000_000)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ScanImageNwbWarning)
                convert_recording([path], out)
        except ScanImageNwbError:
            assert not list(tmp_path.glob("*.nwb*")), f"mutant {seed}"
            continue
        except Exception as error:
            raise AssertionError(f"mutant {seed}, {path.name}: {type(error).__name__}: {error}") from error
        assert all(check.difference is None for check in verify_nwbfile(out, [path])), f"mutant {seed}"
        out.unlink()
        n_converted += 1
    assert n_converted > N_MUTANTS // 100


def read_first_ifd(data: bytes) -> int:
    """Return where the first directory begins."""
    return struct.unpack_from("<Q", data, 8)[0]
