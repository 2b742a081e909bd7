"""The page: what it shows is what the file holds, and nothing in a file can break it."""

import base64
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.image import imread
from neuroconv.tools.testing.mock_interfaces import MockImagingInterface
from numpy.typing import NDArray
from pynwb import TimeSeries, read_nwb
from pynwb.file import Subject
from pynwb.ophys import Fluorescence, ImageSegmentation

from scanimage_nwb.errors import FormatError
from scanimage_nwb.nwb import convert_recording, verify_nwbfile
from scanimage_nwb.report import write_report
from scanimage_nwb.report.lifetime import _read_photons
from scanimage_nwb.testing import write_scanimage_recording

from .conftest import add_movie, new_nwbfile, ramp, write, write_movie

# nwbinspector leaves the file for the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Page(HTMLParser):
    """Text, tags, pictures and warnings of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self.tags or self.tags[-1][0] != "style":
            self.words.append(data)

    def picture(self, alt: str) -> NDArray:
        """Return the pixels of the picture whose description begins with a text."""
        (source,) = [of.get("src") for tag, of in self.tags if tag == "img" and str(of["alt"]).startswith(alt)]
        kind, _, content = str(source).partition(";base64,")
        assert kind == "data:image/png"
        return imread(io.BytesIO(base64.b64decode(content)))

    def has_picture(self, alt: str) -> bool:
        return any(tag == "img" and str(of["alt"]).startswith(alt) for tag, of in self.tags)

    def sections(self) -> list[str]:
        return [str(of["id"]) for tag, of in self.tags if tag == "section"]


def page_of(path: Path, **options: object) -> Page:
    return Page(write_report(path, path.with_suffix(".html"), **options))


def test_demo_of_pixels(demo: Path) -> None:
    source = demo / "demo_00001_00001.tif"
    page = page_of(demo / "tif.nwb", verified=verify_nwbfile(demo / "tif.nwb", [source]))
    assert page.sections() == ["checks", "images", "times", "metadata"]
    assert "40 samples of 128 × 96 pixels × 3 planes, int16, 2.95 MB before compression" in page.text
    assert "TwoPhotonSeriesChannel1: 40 samples are equal to the source, bit for bit." in page.text
    assert "Not verified" not in page.text
    assert "the file gives a rate of 7.5 Hz" in page.text
    assert "No frame is missing by ScanImage's frame numbers." in page.text
    assert "nothing that DANDI would refuse the file for" in page.text
    assert "m42" in page.text
    assert "SI.hRoiManager.scanZoomFactor" in page.text
    assert "20 µm" in page.text
    assert page.has_picture("Depth strip of TwoPhotonSeriesChannel2")
    assert page.picture("Mean image of TwoPhotonSeriesChannel1, plane 2").shape[:2] == (96, 128)


def test_demo_of_photons(demo: Path) -> None:
    page = page_of(demo / "flim.nwb")
    assert page.sections() == ["checks", "images", "times", "lifetime", "metadata"]
    assert "Not verified" in page.text
    found = re.search(r"([\d.]+) ± ([\d.]+) ns \(\d+ %\), ([\d.]+) ± ([\d.]+) ns", page.text)
    assert found is not None
    fast, fast_error, slow, slow_error = map(float, found.groups())
    assert abs(fast - 0.6) < 4 * fast_error < 0.2
    assert abs(slow - 2.6) < 4 * slow_error < 0.4
    assert page.has_picture("Lifetime map of PhotonEventSeriesChannel1")
    assert page.has_picture("Decay of PhotonHistogramSeriesFieldChannel1")


def test_photon_images_are_those_of_the_counts(demo: Path) -> None:
    """Photons read by their steps lie where the counts, written from the source by another way, have them."""
    counts, photons = (read_nwb(demo / f"{name}.nwb") for name in ("siff", "flim"))
    truth = counts.acquisition["TwoPhotonSeriesChannel1"].data[:].sum(axis=0)
    read = _read_photons(photons.acquisition["PhotonEventSeriesChannel1"])
    np.testing.assert_array_equal(read.count, truth.transpose(2, 1, 0))
    histogram = photons.processing["ophys"]["PhotonHistogramSeriesFieldChannel1"]
    np.testing.assert_array_equal(read.decay, histogram.data[:].sum(axis=0))
    counts.read_io.close()
    photons.read_io.close()


def test_image_is_the_mean_the_right_way_up(tmp_path: Path) -> None:
    data = np.zeros((20, 8, 5), np.float32)  # time, width, height
    data[:10, 6, 1] = 2.0
    page = page_of(write_movie(tmp_path / "a.nwb", data))
    image = page.picture("Mean image of TwoPhotonSeries")
    assert image.shape[:2] == (5, 8)
    assert np.argwhere(image[..., 0] > 0.5).tolist() == [[1, 6]]


def test_plain_neuroconv(tmp_path: Path) -> None:
    interface = MockImagingInterface(num_samples=30, num_rows=20, num_columns=24)
    metadata = interface.get_metadata()
    interface.run_conversion(tmp_path / "plain.nwb", metadata=metadata, overwrite=True)
    page = page_of(tmp_path / "plain.nwb")
    assert page.sections() == ["checks", "images", "times", "metadata"]
    assert "30 samples of 24 × 20 pixels" in page.text
    assert "The file has no subject; DANDI asks for one." in page.text
    assert "DANDI would refuse the file" in page.text
    assert "frame numbers" not in page.text


def test_gaps_and_irregular_steps(tmp_path: Path) -> None:
    times = np.arange(40) * 0.1
    times[25:] += 0.5
    page = page_of(write_movie(tmp_path / "a.nwb", ramp(40), timestamps=times))
    assert "1 gaps longer than 1.5 usual steps; about 5 samples would fit in them." in page.text
    assert "usual step 100 ms (10 Hz)" in page.text
    assert page.has_picture("Steps between samples")


def test_dropped_frames(tmp_path: Path) -> None:
    recording = write_scanimage_recording(tmp_path, n_volumes=30, drop_frames=(12, 13))
    with pytest.warns(UserWarning, match="missing"):
        path = convert_recording(recording.paths[:1], tmp_path / "a.nwb", timezone="UTC")
    assert "frame numbers jump 1 times, after samples 11; 2 frames between them" in page_of(path).text


def test_bleaching_and_saturation(tmp_path: Path) -> None:
    data = np.full((50, 6, 6), 100, np.uint8)
    data = (data * np.linspace(1, 0.5, 50)[:, None, None]).astype(np.uint8)
    data[:, 0, 0] = 255
    page = page_of(write_movie(tmp_path / "a.nwb", data))
    changes = [float(value) for value in re.findall(r"Mean brightness changes by ([+-][\d.]+) %", page.text)]
    tenths = [np.median(data.mean(axis=(1, 2))[part]) for part in (slice(5), slice(-5, None))]
    assert changes == [pytest.approx(100 * (tenths[1] / tenths[0] - 1), abs=0.06)]
    assert "2.8 % of the pixels read are at 255, the largest value that uint8 holds" in page.text
    warned = [of for tag, of in page.tags if tag == "p" and of.get("class") == "warning"]
    assert len(warned) >= 2


def test_sampling_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanimage_nwb.report.imaging.BUDGET_BYTES", 10 * 6 * 4 * 2)
    page = page_of(write_movie(tmp_path / "a.nwb", ramp(1000)))
    assert "10 samples, spread evenly from first to last, were read for this page (1 %)." in page.text


def test_motion(tmp_path: Path) -> None:
    nwbfile = new_nwbfile()
    module = nwbfile.create_processing_module("ophys", "x")
    shifts = np.column_stack([np.full(20, -3.0), np.r_[np.zeros(19), 7.0]])
    flags = np.column_stack([np.zeros((20, 3)), np.r_[np.zeros(18), 1, 1]])
    for name, data in (("TwoPhotonSeriesMotionShifts", shifts), ("TwoPhotonSeriesMotionQuality", flags)):
        module.add(TimeSeries(name=name, data=data, unit="pixels", rate=10.0))
    page = page_of(write_movie(tmp_path / "a.nwb", ramp(20), nwbfile))
    assert "Largest shift 3 px down or up and 7 px across" in page.text
    assert "2 of 20 frames are flagged" in page.text
    assert page.has_picture("Shifts of TwoPhotonSeries over time")


@pytest.mark.parametrize("kind", ["image_mask", "pixel_mask"])
def test_regions_and_traces(tmp_path: Path, kind: str) -> None:
    nwbfile = add_movie(new_nwbfile(), np.zeros((30, 40, 30), np.int16))
    module = nwbfile.create_processing_module("ophys", "x")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(
        name="PlaneSegmentation", description="cells", imaging_plane=nwbfile.imaging_planes["plane"]
    )
    mask = np.zeros((40, 30))
    mask[10:20, 5:9] = 1
    if kind == "image_mask":
        table.add_roi(image_mask=mask)
    else:
        table.add_roi(pixel_mask=[(x, y, 1.0) for x, y in np.argwhere(mask)])
    traces = Fluorescence()
    module.add(traces)
    region = table.create_roi_table_region("all", region=[0])
    traces.create_roi_response_series(
        name="RoiResponseSeries",
        data=np.random.default_rng(0).normal(size=(30, 1)),
        rois=region,
        unit="n.a.",
        rate=10.0,
    )
    page = page_of(write(tmp_path / "a.nwb", nwbfile))
    assert "1 regions. cells" in page.text
    assert "1 traces of 30 samples" in page.text
    image = page.picture("Outlines of ImageSegmentation / PlaneSegmentation")[..., :3]
    enlarge = image.shape[1] // 40
    colored = np.argwhere(np.ptp(image, axis=-1) > 0.1) // enlarge
    rows, columns = colored.min(axis=0), colored.max(axis=0)
    assert (rows.tolist(), columns.tolist()) == ([5, 10], [8, 19])
    inner = image[7 * enlarge : 7 * enlarge + 1, 15 * enlarge : 16 * enlarge]
    assert np.ptp(inner) == 0


EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


def test_texts_of_files_are_escaped(tmp_path: Path) -> None:
    nwbfile = new_nwbfile(session_id=EVIL, notes=EVIL, subject=Subject(subject_id=EVIL, species=EVIL, description=EVIL))
    page = page_of(write_movie(tmp_path / "a.nwb", ramp(20), nwbfile, description=EVIL, comments=EVIL))
    assert EVIL in page.text
    assert not [tag for tag, of in page.tags if tag == "script" or "onerror" in of]
    assert all(str(of["src"]).startswith("data:image/") for tag, of in page.tags if tag == "img")


def test_header_with_a_script_is_escaped(tmp_path: Path) -> None:
    recording = write_scanimage_recording(tmp_path, n_volumes=20, header_overrides={"SI.imagingSystem": f"'{EVIL}'"})
    path = convert_recording(recording.paths[:1], tmp_path / "a.nwb", timezone="UTC")
    page = page_of(path)
    assert "<script>alert(1)" in page.text
    assert not [tag for tag, of in page.tags if tag == "script" or "onerror" in of]


def test_page_needs_nothing_else(demo: Path) -> None:
    text = write_report(demo / "siff.nwb").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "@import" not in text
    assert "url(" not in re.sub(r"data:[^\"]*", "", text)


def test_without_the_inspector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nwbinspector", None)
    assert "Not inspected: this needs nwbinspector" in page_of(write_movie(tmp_path / "a.nwb", ramp(20))).text


def test_difference_from_the_source_is_shown(tmp_path: Path) -> None:
    recording = write_scanimage_recording(tmp_path, n_volumes=20)
    path = convert_recording(recording.paths[:1], tmp_path / "a.nwb", timezone="UTC")
    with h5py.File(path, "r+") as file:
        file["acquisition/TwoPhotonSeries/data"][7, 0, 0] += 1
    page = page_of(path, verified=verify_nwbfile(path, recording.paths[:1]))
    assert "TwoPhotonSeries differs from the source at sample 7" in page.text


def test_files_without_movies_and_odd_ones(tmp_path: Path) -> None:
    page = page_of(write(tmp_path / "empty.nwb", new_nwbfile()))
    assert "The file holds no movie" in page.text
    assert "The file holds no series with times." in page.text
    external = write_movie(tmp_path / "external.nwb", np.zeros((0, 0, 0)))
    assert "Not shown: its data are empty" in page_of(external).text
    one = page_of(write_movie(tmp_path / "one.nwb", np.full((1, 3, 4), np.nan)))
    assert "1 samples of 3 × 4 pixels" in one.text


def test_outputs(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "a.nwb", ramp(20))
    page = write_report(path, tmp_path / "new" / "page.html")
    before = page.read_bytes()
    with pytest.raises(FileExistsError, match=r"page\.html"):
        write_report(path, page, overwrite=False)
    assert page.read_bytes() == before
    with pytest.raises(IsADirectoryError):
        write_report(path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.nwb is not there"):
        write_report(tmp_path / "none.nwb")
    (tmp_path / "bad.nwb").write_text("no HDF5")
    with pytest.raises(FormatError, match=r"bad\.nwb"):
        write_report(tmp_path / "bad.nwb")
    assert not (tmp_path / "bad.html").exists()
    assert sorted(entry.name for entry in (tmp_path / "new").iterdir()) == ["page.html"]


def test_many_planes_are_folded(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3, 12, 10, 60)).astype(np.float32)
    page = page_of(write_movie(tmp_path / "a.nwb", data))
    assert "60 images" in page.text
    assert sum("Mean image" in str(of.get("alt")) for tag, of in page.tags if tag == "img") == 60
    assert page.has_picture("Depth strip")


def test_times_that_are_no_times(tmp_path: Path) -> None:
    times = np.r_[np.arange(10) * 0.1, np.nan, np.arange(9) * 0.1]
    page = page_of(write_movie(tmp_path / "a.nwb", ramp(20), timestamps=times))
    assert "2 timestamps are not larger than the one before them, or no numbers." in page.text
    assert "usual step is 0 s" in page_of(write_movie(tmp_path / "b.nwb", ramp(20), timestamps=np.zeros(20))).text


def test_lifetimes_phasors_and_fits(tmp_path: Path) -> None:
    """Types of ndx-flim: lifetimes are averaged with their photons as weights, and shown in nanoseconds."""
    from ndx_flim import LifetimeFitTable, LifetimeImageSeries, PhasorSeries, TCSPCSettings

    counts = np.ones((20, 8, 6), np.int16)
    counts[0] = 3
    nwbfile = add_movie(new_nwbfile(), counts)
    settings = TCSPCSettings(name="tcspc", num_bins=40, repetition_rate=80e6, tcspc_resolution=312.5e-12)
    nwbfile.add_lab_meta_data(settings)
    module = nwbfile.create_processing_module("ophys", "x")
    lifetimes = np.full((20, 8, 6), 2e-9, np.float32)
    lifetimes[0] = 4e-9
    lifetimes[:, 0, 0] = np.nan
    plane = nwbfile.imaging_planes["plane"]
    shared = {"rate": 10.0, "tcspc_settings": settings, "motion_corrected": False}
    module.add(
        LifetimeImageSeries(
            name="LifetimeImageSeries",
            description="x",
            data=lifetimes,
            method="mean_delay",
            imaging_plane=plane,
            intensity=nwbfile.acquisition["TwoPhotonSeries"],
            **shared,
        )
    )
    phasors = np.full((20, 2), 0.4, np.float32)
    phasors[3] = np.nan
    module.add(
        PhasorSeries(
            name="PhasorSeries", description="x", data=phasors, harmonic=1, frequency=80e6, calibration="none", **shared
        )
    )
    module.add(
        LifetimeFitTable.from_arrays(
            model="two exponentials",
            estimator="poisson_maximum_likelihood",
            tcspc_settings=settings,
            lifetime=[[0.6e-9, 2.6e-9]],
            fraction=[[0.4, 0.6]],
            photon_count=[5000],
        )
    )
    page = page_of(write(tmp_path / "a.nwb", nwbfile))
    mean_ns = (3 * 4 + 19 * 2) / 22
    assert f"Median lifetime of all pixels: {mean_ns:.3g} ns." in page.text
    assert page.has_picture("Lifetime map of LifetimeImageSeries")
    assert "19 phasors, harmonic 1, calibration: none." in page.text
    assert "lifetime (ns)" in page.text
    assert "0.6, 2.6" in page.text


def test_zarr(tmp_path: Path) -> None:
    zarr = pytest.importorskip("hdmf_zarr")
    path = tmp_path / "a.nwb.zarr"
    with zarr.NWBZarrIO(str(path), "w") as io_:
        io_.write(add_movie(new_nwbfile(), ramp(30)))
    page = page_of(path)
    assert "30 samples of 6 × 4 pixels" in page.text
    assert "nothing that DANDI would refuse the file for" in page.text
