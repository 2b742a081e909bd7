"""Photons read back from NWB: every method gives what `SiffReader` gives of the .siff."""

import contextlib
import functools
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from scanimage_nwb import SiffReader, siff_to_tiff
from scanimage_nwb.errors import FormatError, FrameIndexError, PhotonRangeError, TimeAxisError, UnsupportedFormatError
from scanimage_nwb.nwb import FlimInterface, open_photons, write_nwbfile
from scanimage_nwb.testing.siff_files import write_siff_recording


@pytest.fixture(scope="module", params=["planar", "volumes", "large"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A .siff of raw and compressed pages, without flyback, and the NWB file of all its channels."""
    folder = tmp_path_factory.mktemp("photons")
    kinds = {
        "planar": {"n_volumes": 30, "photons_per_page": (50, 0, 300)},
        "volumes": {"n_volumes": 12, "n_planes": 3, "channel_save": (1, 2), "photons_per_page": (90, 10, 0, 40, 1)},
        "large": {"n_volumes": 9, "shape": (300, 260), "photons_per_page": (90_000, 0, 70_000)},
    }
    siff = write_siff_recording(folder, page_kinds=("raw", "compressed"), **kinds[request.param])
    nwbfile = None
    for channel in FlimInterface.get_available_channels(siff.path):
        interface = FlimInterface(siff.path, channel_name=channel)
        if nwbfile is None:
            nwbfile = interface.create_nwbfile()
        else:
            interface.add_to_nwbfile(nwbfile)
    write_nwbfile(nwbfile, folder / "a.nwb", progress=False)
    return siff.path, folder / "a.nwb"


def test_every_method_gives_what_the_siff_gives(pair: tuple[Path, Path]) -> None:
    source = SiffReader(pair[0])
    rng = np.random.default_rng(1)
    rows, columns = source.im_params.shape
    masks = rng.random((4, rows, columns)) < 0.3
    with source, open_photons(pair[1]) as found:
        assert (found.num_frames, found.num_bins) == (source.num_frames, source.num_bins)
        assert found.tcspc_resolution_s == source.tcspc_resolution_s
        assert found.repetition_rate_hz == source.repetition_rate_hz
        assert found.im_params.array_shape == source.im_params.array_shape
        frames = rng.permutation(source.num_frames)
        shifts = {int(frame): (3, -2) for frame in frames[::2]}
        for own in (None, frames, frames[:1], []):
            for registration in ({}, shifts):
                both = [(r.get_frames(own, registration), r.get_histogram(own, None, True)) for r in (found, source)]
                np.testing.assert_array_equal(both[0][0], both[1][0])
                np.testing.assert_array_equal(both[0][1], both[1][1])
        for method in ("mean_delay", "phasor"):
            both = [r.flim_map(frames[:6], method) for r in (found, source)]
            np.testing.assert_allclose(both[0][0], both[1][0], rtol=1e-12, atol=1e-20)
        np.testing.assert_array_equal(found.sum_masks(masks), source.sum_masks(masks))
        np.testing.assert_array_equal(found.get_histogram(masks=masks), source.get_histogram(masks=masks))
        np.testing.assert_array_equal(found.sum_mask(masks[0], frames), source.sum_mask(masks[0], frames))
        signals = [r.to_xarray("TZCH", bin_factor=7, color_channel=None) for r in (found, source)]
        np.testing.assert_array_equal(signals[0].values, signals[1].values)
        np.testing.assert_array_equal(signals[0].H, signals[1].H)
        assert signals[0].attrs == signals[1].attrs
        color = source.im_params.num_colors - 1
        photons = [r.photons(color_channel=color) for r in (found, source)]
        order = np.lexsort((photons[1].pixel, photons[1].frame))
        for name in ("frame", "pixel", "delay_bin"):
            np.testing.assert_array_equal(getattr(photons[0], name), getattr(photons[1], name)[order])


def test_times(pair: tuple[Path, Path]) -> None:
    with SiffReader(pair[0]) as source, open_photons(pair[1]) as found:
        last = source.im_params.flatten_by_timepoints(reference_z=source.im_params.num_slices - 1)
        np.testing.assert_allclose(found.get_time(last), source.get_time(last), atol=1e-6)
        with pytest.raises(TimeAxisError, match="no laser_epoch"):
            found.get_time(reference_time="laser_epoch")


def test_a_file_object_and_what_is_not_there(pair: tuple[Path, Path]) -> None:
    with pair[1].open("rb") as file, open_photons(file) as found:
        assert found.get_frames([0]).shape[0] == 1
        name = found.series_names[-1]
        with pytest.raises(FrameIndexError):
            found.get_frames([found.num_frames])
        with pytest.raises(UnsupportedFormatError, match=r"open the \.siff"):
            found.get_appended_text()
        with pytest.raises(UnsupportedFormatError, match="motion is found in the"):
            found.register()
        with pytest.raises(TypeError, match="does not pickle"):
            pickle.dumps(found)
    with open_photons(pair[1], series=name) as found:
        assert found.im_params.num_colors == 1
    with pytest.raises(FormatError, match="holds no PhotonEventSeries other; it has"):
        open_photons(pair[1], series="other")


@pytest.mark.parametrize("chunked", [True, False])
def test_files_of_other_writers(chunked: bool, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Other filters, or none: HDF5 reads them."""
    path = tmp_path / "b.nwb"
    path.write_bytes(pair[1].read_bytes())
    with h5py.File(path, "r+") as file:
        for group in file["acquisition"].values():
            for name in ("pixel_step", "delay_bin"):
                data = group[name][:]
                del group[name]
                options = {"chunks": (700,), "compression": "lzf"} if chunked else {}
                group.create_dataset(name, data=data, **options)
    with open_photons(path) as found, open_photons(pair[1]) as expected:
        np.testing.assert_array_equal(found.get_frames(), expected.get_frames())


def test_damage_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "b.nwb"
    path.write_bytes(pair[1].read_bytes())
    with h5py.File(path, "r+") as file:
        for group in file["acquisition"].values():
            group["frame_end"][...] = group["frame_end"][...] + np.uint64(5)
    with pytest.raises(FormatError, match="is damaged"):
        open_photons(path)


def test_bins_that_do_not_begin_at_zero(pair: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "b.nwb"
    path.write_bytes(pair[1].read_bytes())
    with h5py.File(path, "r+") as file:
        for name, group in file["general"].items():
            if name.startswith("TCSPCSettings"):
                group["time_offset"] = 0.25e-9
    turn = np.exp(2j * np.pi * 2 * 80e6 * 0.25e-9)
    mask = np.ones(SiffReader(pair[0]).im_params.shape, bool)
    with open_photons(pair[1]) as plain, open_photons(path) as moved:
        np.testing.assert_allclose(moved.flim_map([0])[0], plain.flim_map([0])[0] + 0.25e-9)
        np.testing.assert_allclose(moved.sum_masks_flim([mask])[0], plain.sum_masks_flim([mask])[0] + 0.25e-9)
        phasors = [reader.flim_map([0], "phasor", harmonic=2)[0] for reader in (moved, plain)]
        np.testing.assert_allclose(phasors[0], phasors[1] * turn)
        np.testing.assert_allclose(moved.to_xarray("H").H, plain.to_xarray("H").H + 0.25)


def rewritten(path: Path, delays: np.ndarray, steps: np.ndarray) -> Path:
    """Put other photons into a file of one series."""
    with h5py.File(path, "r+") as file:
        group = file["acquisition/PhotonEventSeries"]
        for name, data in (("delay_bin", delays), ("pixel_step", steps)):
            del group[name]
            group[name] = data
    return path


@pytest.fixture
def one_frame(tmp_path: Path) -> Path:
    """A frame of 66,000 photons in 70 x 60 pixels, in NWB."""
    siff = write_siff_recording(tmp_path, shape=(70, 60), n_volumes=1, photons_per_page=66_000)
    write_nwbfile(FlimInterface(siff.path).create_nwbfile(), tmp_path / "a.nwb", progress=False)
    return tmp_path / "a.nwb"


@pytest.mark.parametrize("kind", ["raw", "compressed"])
def test_more_photons_in_a_pixel_than_a_count_holds(kind: str, tmp_path: Path) -> None:
    """Dense frames of which some have a pixel of 65,536 photons and more: every method says what is there."""
    siff = write_siff_recording(
        tmp_path, shape=(70, 60), n_volumes=3, photons_per_page=(66_000, 140_000, 70_000), page_kinds=(kind,)
    )
    path = tmp_path / "a.nwb"
    write_nwbfile(FlimInterface(siff.path).create_nwbfile(), path, progress=False)
    ends = np.cumsum([66_000, 140_000, 70_000])
    pixels = np.zeros(ends[-1], np.int64)
    pixels[:65_535] = 5
    pixels[65_535 : ends[0]] = 4199
    pixels[ends[0] + 100 : ends[1]] = 77
    pixels[ends[1] : ends[2]] = np.arange(70_000) // 17
    delays = (np.arange(ends[-1]) % 600).astype(np.uint16)
    steps = np.diff(pixels, prepend=0)
    steps[np.append(0, ends[:-1])] = pixels[np.append(0, ends[:-1])]
    expected = np.stack([np.bincount(part, minlength=4200) for part in np.split(pixels, ends[:-1])])
    rewritten(path, delays, steps.astype(np.uint16))
    mask = np.zeros((1, 70, 60), bool)
    mask[0, 1, 17] = True
    with open_photons(path) as found:
        np.testing.assert_array_equal(found.get_frames([0]).reshape(1, -1), expected[:1])
        np.testing.assert_array_equal(found.get_histogram(), np.bincount(delays, minlength=629))
        np.testing.assert_array_equal(found.get_frames().reshape(3, -1), expected)
    bright = delays[ends[0] + 100 : ends[1]]
    with open_photons(path) as found:
        assert found.sum_masks(mask).tolist() == [[0, 139_900, 17]]
    with open_photons(path) as found:
        np.testing.assert_array_equal(found.get_histogram([1], mask)[0], np.bincount(bright, minlength=629))
    with open_photons(path) as found:
        assert found.get_pixel_histogram([1])[1, 17].sum() == 139_900
    with open_photons(path) as found:
        lifetime, counts = found.flim_map()
        np.testing.assert_array_equal(counts.reshape(3, -1), expected)
        np.testing.assert_allclose(lifetime[1, 1, 17], (bright.mean() + 0.5) * found.tcspc_resolution_s)
    with open_photons(path) as found:
        listed = found.photons()
        np.testing.assert_array_equal(listed.pixel, pixels)
        np.testing.assert_array_equal(listed.delay_bin, delays)
    with open_photons(path) as found:
        lifetime, counts = found.sum_masks_flim(mask, [1])
        np.testing.assert_allclose(lifetime, (bright.mean() + 0.5) * found.tcspc_resolution_s)


def test_more_photons_in_the_only_pixel_than_a_count_holds(tmp_path: Path) -> None:
    siff = write_siff_recording(
        tmp_path, name="point", shape=(1, 1), n_volumes=2, photons_per_page=70_001, page_kinds=("raw",)
    )
    write_nwbfile(FlimInterface(siff.path).create_nwbfile(), tmp_path / "b.nwb", progress=False)
    with open_photons(tmp_path / "b.nwb") as found:
        assert found.get_frames().tolist() == [[[70_001]], [[70_001]]]


def test_photons_that_cannot_be(one_frame: Path) -> None:
    """Delays of more bits than a .siff has are read, those beyond the last bin refused; so are pixels outside."""
    steps, delays = np.zeros(66_000, np.uint16), np.full(66_000, 9, np.uint32)
    steps[np.arange(4199) * 15] = 1
    with open_photons(rewritten(one_frame, delays, steps)) as found:
        assert found.get_histogram()[9] == 66_000
        assert found.get_frames().sum() == 66_000
    delays[5] = (1 << 16) + 3
    with open_photons(rewritten(one_frame, delays, steps)) as found, pytest.raises(PhotonRangeError):
        found.get_histogram()
    steps[-1] = 4200
    with (
        open_photons(rewritten(one_frame, delays, steps)) as found,
        pytest.raises(FormatError, match="frame 0 has a photon outside its 70 x 60 pixels"),
    ):
        found.get_frames()


def test_chunks_fit_the_frames(one_frame: Path, pair: tuple[Path, Path]) -> None:
    """One dense frame is read without much else."""
    for path, expected in ((one_frame, 1 << 16), (pair[1], None)):
        with h5py.File(path) as file:
            for series in file["acquisition"].values():
                chunks = series["delay_bin"].chunks
                assert chunks == series["pixel_step"].chunks == ((expected or min(1 << 17, len(series["delay_bin"]))),)


class _RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves parts of files, as archives do, and keeps count."""

    protocol_version = "HTTP/1.1"
    n_requests = 0
    n_bytes = 0

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = 0, len(data) - 1
        asked = self.headers.get("Range")
        if asked:
            low, high = asked.removeprefix("bytes=").split("-")
            first, last = int(low), min(int(high) if high else last, last)
        part = data[first : last + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        _RangeHandler.n_requests += 1
        _RangeHandler.n_bytes += len(part)

    def send_head(self) -> None:
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(Path(self.translate_path(self.path)).stat().st_size))
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Keep the test's output clean."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder on a web server of this machine."""
    handler = functools.partial(_RangeHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("kind", ["file", "memory", "http"])
def test_files_of_fsspec(kind: str, pair: tuple[Path, Path]) -> None:
    fsspec = pytest.importorskip("fsspec")
    if kind == "http":
        pytest.importorskip("aiohttp")
    if kind == "memory":
        fsspec.filesystem("memory").pipe("/a.nwb", pair[1].read_bytes())
    with served(pair[1].parent) as address:
        url = {"file": f"file://{pair[1]}", "memory": "memory://a.nwb", "http": f"{address}/a.nwb"}[kind]
        with open_photons(pair[1]) as expected, fsspec.open(url, "rb") as file, open_photons(file) as found:
            np.testing.assert_array_equal(found.get_histogram(), expected.get_histogram())
            np.testing.assert_array_equal(found.get_frames([3, 1]), expected.get_frames([3, 1]))
            np.testing.assert_array_equal(found.photons([2]).delay_bin, expected.photons([2]).delay_bin)


def test_a_frame_of_a_url_does_not_fetch_the_file(tmp_path: Path) -> None:
    """What opens the file, and the chunks that hold the frame, are asked for; nothing else is."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    siff = write_siff_recording(
        tmp_path, shape=(64, 64), n_volumes=240, photons_per_page=40_000, page_kinds=("compressed",), keep_photons=False
    )
    path = tmp_path / "a.nwb"
    write_nwbfile(FlimInterface(siff.path).create_nwbfile(), path, progress=False)
    size = path.stat().st_size
    assert size > 10_000_000
    with served(tmp_path) as address, open_photons(path) as expected:
        _RangeHandler.n_requests = _RangeHandler.n_bytes = 0
        options = {"block_size": 1 << 18, "cache_type": "blockcache"}
        with fsspec.open(f"{address}/a.nwb", "rb", **options) as file, open_photons(file) as found:
            of_opening = _RangeHandler.n_requests, _RangeHandler.n_bytes
            np.testing.assert_array_equal(found.photons([70]).delay_bin, expected.photons([70]).delay_bin)
            np.testing.assert_array_equal(found.get_frames([70]), expected.get_frames([70]))
            n_requests, n_bytes = _RangeHandler.n_requests, _RangeHandler.n_bytes
        assert 0 < of_opening[1] < n_bytes < size / 4
        assert of_opening[0] <= 8
        assert n_requests - of_opening[0] <= 6


def test_a_tiff_is_made_of_the_siff(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with open_photons(pair[1]) as found, pytest.raises(UnsupportedFormatError, match=r"neither header.*\.siff"):
        siff_to_tiff(found, tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())
