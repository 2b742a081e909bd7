"""Times from sync pulses, events and several recordings in one file, read back with pynwb."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest
from click.testing import CliRunner
from neuroconv import NWBConverter
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface
from pynwb.event import EventsTable
from pynwb.testing.mock.file import mock_NWBFile

from scanimage_nwb.cli import main
from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.nwb import (
    FlimInterface,
    RegistrationInterface,
    RoiTracesInterface,
    ScanImageConverter,
    ScanImageImagingInterface,
    SiffImagingInterface,
    place_on_one_clock,
    read_pulse_times,
    rising_edges,
    verify_nwbfile,
)
from scanimage_nwb.recording import open_recording
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.roi_traces import RoiSet, Segmentation
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording
from scanimage_nwb.testing.siff_files import write_siff_recording


def behaviour_clock(times_s: np.ndarray) -> np.ndarray:
    return 12.25 + times_s * (1 + 45e-6)


@pytest.fixture
def written(tmp_path: Path) -> SyntheticRecording:
    return write_scanimage_recording(
        tmp_path / "source",
        n_channels=2,
        n_planes=3,
        n_flyback=1,
        n_volumes=40,
        frame_rate_hz=31.7,
        aux_triggers={8: [0.13, 0.131], 90: [1.45]},
    )


@pytest.fixture
def pulses(written: SyntheticRecording) -> np.ndarray:
    """One for each frame; two are lost, one is spurious."""
    frames = written.timestamps_s[::2]
    return np.sort(np.append(np.delete(behaviour_clock(frames), [17, 60]), 13.777))


def last_planes(written: SyntheticRecording, channel: int) -> np.ndarray:
    return np.flatnonzero((written.channel == channel) & (written.plane == 2))


def test_all_channels_share_times_from_pulses(written: SyntheticRecording, pulses: np.ndarray, tmp_path: Path) -> None:
    converter = ScanImageConverter(written.paths[0], timezone="UTC")
    found = converter.align_to_pulses(pulses)
    assert found.report.lost_events.tolist() == [17, 60]
    path = tmp_path / "out.nwb"
    converter.run_conversion(nwbfile_path=str(path))
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        ophys = nwbfile.processing["ophys"]
        for channel in range(2):
            series = nwbfile.acquisition[f"TwoPhotonSeriesChannel{channel + 1}"]
            native = written.timestamps_s[last_planes(written, channel)]
            times = series.get_timestamps()
            np.testing.assert_allclose(times, behaviour_clock(native), rtol=0, atol=2e-6)
            kept = ophys[f"{series.name}NativeTimes"]
            np.testing.assert_array_equal(kept.data[:], native)
            np.testing.assert_allclose(kept.get_timestamps(), times)
            indices = ophys[f"{series.name}OriginalFrameIndices"].data[:]
            np.testing.assert_array_equal(indices, last_planes(written, channel))
        table = ophys["PulseAlignment"].to_dataframe()
        assert table["series"].tolist() == ["TwoPhotonSeriesChannel1", "TwoPhotonSeriesChannel2"]
        assert [list(row) for row in table["lost_events"]] == [[17, 60], [17, 60]]
        assert [len(row) for row in table["extra_pulses"]] == [1, 1]
        assert table["drift_ppm"].tolist() == pytest.approx([45, 45], abs=0.5)
        assert table["fires_per"].tolist() == ["frame", "frame"]
        triggers = nwbfile.events["ScanImageAuxTrigger0"]
        expected = [0.13, 0.131, 1.45]
        np.testing.assert_array_equal(triggers["native_time_s"].data[:], expected)
        np.testing.assert_allclose(
            triggers["timestamp"].data[:], behaviour_clock(np.array(expected)), rtol=0, atol=2e-6
        )
        assert triggers["original_frame_index"].data[:].tolist() == [8, 8, 90]
        assert "auxTrigger0" in triggers.source_description
        assert list(nwbfile.events) == ["ScanImageAuxTrigger0", "ScanImageEndOfAcquisition"]


def test_irregular_times_are_linked_not_copied(written: SyntheticRecording, tmp_path: Path) -> None:
    converter = ScanImageConverter(written.paths[0], timezone="UTC")
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.1, 0.2, 40))
    for interface in converter.data_interface_objects.values():
        interface.set_aligned_timestamps(times)
    path = tmp_path / "out.nwb"
    converter.run_conversion(nwbfile_path=str(path))
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        first, second = (nwbfile.acquisition[f"TwoPhotonSeriesChannel{number}"] for number in (1, 2))
        np.testing.assert_array_equal(first.timestamps[:], times)
        assert second.timestamps.id == first.timestamps.id
        for what in ("NativeTimes", "OriginalFrameIndices", "FrameNumbers"):
            linked = nwbfile.processing["ophys"][f"{second.name}{what}"]
            assert linked.timestamps.id == first.timestamps.id


@pytest.mark.parametrize("how", ["timestamps", "starting time", "pulses"])
def test_counts_lifetimes_shifts_and_traces_share_one_axis(how: str, tmp_path: Path) -> None:
    """Read back with plain pynwb: one dataset of times, all else links to it."""
    siff = write_siff_recording(tmp_path, n_volumes=60, shape=(8, 6))
    native = siff.experiment_time_s
    converter = ScanImageConverter(siff.path, flim=["photons", "phasor", "lifetime"])
    converter.registration = RegistrationInfo.from_shifts({page: (page % 3, 0) for page in range(60)}, shape=(8, 6))
    masks = np.zeros((2, 1, 8, 6), bool)
    masks[0, 0, :4], masks[1, 0, 4:] = True, True
    traces = {"raw": np.arange(120.0).reshape(60, 2)}
    segmentation = Segmentation(RoiSet.from_masks(masks), traces=traces)
    converter.roi_interfaces = [RoiTracesInterface.from_segmentation(segmentation)]
    uneven = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.05, 60))
    if how == "timestamps":
        converter.set_aligned_timestamps(uneven)
        expected = uneven
    elif how == "starting time":
        converter.set_aligned_timestamps(uneven)
        converter.set_aligned_starting_time(50.0)
        expected = uneven + 50.0
    else:
        jitter = np.random.default_rng(1).uniform(-50e-6, 50e-6, 60)
        expected = behaviour_clock(native) + jitter
        converter.align_to_pulses(expected, first_pulse=0)
    path = tmp_path / "out.nwb"
    converter.run_conversion(nwbfile_path=str(path))
    with h5py.File(path) as file:
        found = {
            group.name: group["timestamps"]
            for group in _groups(file)
            if "timestamps" in group and group.attrs.get("neurodata_type") != "EventsTable"
        }
        shared = file["acquisition/TwoPhotonSeries/timestamps"]
        np.testing.assert_allclose(shared[:], expected, rtol=0, atol=2e-4 if how == "pulses" else 0)
        assert [name for name, times in found.items() if times.id != shared.id] == []
        names = {name.rpartition("/")[2] for name in found}
        np.testing.assert_array_equal(file["processing/ophys/TwoPhotonSeriesNativeTimes/data"][:], native)
        np.testing.assert_array_equal(
            file["processing/ophys/TwoPhotonSeriesOriginalFrameIndices/data"][:], np.arange(60)
        )
        assert ("PulseAlignment" in file["processing/ophys"]) == (how == "pulses")
    assert names >= {
        "TwoPhotonSeries",
        "PhotonEventSeries",
        "PhasorSeries",
        "LifetimeImageSeries",
        "TwoPhotonSeriesMotionShifts",
        "TwoPhotonSeriesMotionQuality",
        "TwoPhotonSeriesNativeTimes",
        "TwoPhotonSeriesOriginalFrameIndices",
        "TwoPhotonSeriesFrameNumbers",
        "RoiResponseSeries",
    }, names
    assert [check.difference for check in verify_nwbfile(path, [siff.path])] == [None, None]
    nwbfile = pynwb.read_nwb(path)  # a reader that follows the links
    shifts = nwbfile.processing["ophys"]["TwoPhotonSeriesMotionShifts"]
    assert shifts.timestamps[:].tolist() == nwbfile.acquisition["TwoPhotonSeries"].timestamps[:].tolist()
    nwbfile.read_io.close()


def _groups(file: h5py.File) -> list[h5py.Group]:
    """Return all groups of a file, each once."""
    found: list[h5py.Group] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Group) else None)
    return found


def test_interfaces_aligned_by_themselves_share_one_axis(tmp_path: Path) -> None:
    """As in a converter of one's own: each interface gets the same times."""
    siff = write_siff_recording(tmp_path, n_volumes=30, shape=(8, 6))
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.05, 30))
    recording = open_recording(siff.path)
    masks = np.ones((1, 1, 8, 6), bool)
    segmentation = Segmentation(RoiSet.from_masks(masks), traces={"raw": np.ones((30, 1))})
    info = RegistrationInfo.from_shifts(dict.fromkeys(range(30), (1, 0)), shape=(8, 6))
    interfaces = [
        SiffImagingInterface.from_recording(recording),
        FlimInterface.from_recording(recording),
        RegistrationInterface.from_info(info, recording),
        RoiTracesInterface.from_segmentation(segmentation, sampling_frequency=30.0),
    ]
    nwbfile = mock_NWBFile()
    for interface in interfaces:
        interface.set_aligned_timestamps(times)
        interface.add_to_nwbfile(nwbfile)
    series = nwbfile.acquisition["TwoPhotonSeries"]
    ophys = nwbfile.processing["ophys"]
    traces = ophys["Fluorescence"]["RoiResponseSeries"]
    for one in (nwbfile.acquisition["PhotonEventSeries"], ophys["TwoPhotonSeriesMotionShifts"], traces):
        assert one.fields["timestamps"] is series, one.name


def test_shifts_with_other_times_keep_them(tmp_path: Path) -> None:
    written = write_scanimage_recording(tmp_path, n_volumes=12)
    info = RegistrationInfo.from_shifts(dict.fromkeys(range(12), (1, 0)), shape=written.pages.shape[1:])
    imaging = ScanImageImagingInterface(written.paths[0], timezone="UTC")
    shifts = RegistrationInterface.from_info(info, imaging.imaging_extractor.recording)
    np.testing.assert_array_equal(shifts.get_original_timestamps(), written.timestamps_s)
    shifts.set_aligned_starting_time(3.0)
    nwbfile = mock_NWBFile()
    imaging.add_to_nwbfile(nwbfile)
    shifts.add_to_nwbfile(nwbfile)
    found = nwbfile.processing["ophys"]["TwoPhotonSeriesMotionShifts"]
    np.testing.assert_array_equal(found.timestamps, written.timestamps_s + 3)
    with pytest.raises(TimeAxisError, match="expected as many"):
        shifts.set_aligned_timestamps(np.zeros(3))
    with pytest.raises(TimeAxisError, match="give recording_path"):
        RegistrationInterface.from_info(info).get_timestamps()


def test_untouched_times_leave_no_native_ones(written: SyntheticRecording) -> None:
    nwbfile = mock_NWBFile()
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    interface.add_to_nwbfile(nwbfile)
    names = set(nwbfile.processing["ophys"].data_interfaces)
    assert not {name for name in names if "Native" in name or "Alignment" in name}


def test_a_shift_keeps_the_alignment_and_other_times_drop_it(written: SyntheticRecording, pulses: np.ndarray) -> None:
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    interface.align_to_pulses(pulses)
    before = interface.get_timestamps().copy()
    interface.set_aligned_starting_time(100.0)
    assert interface.alignment is not None
    np.testing.assert_allclose(interface.get_timestamps(), before + 100)
    nwbfile = mock_NWBFile()
    interface.add_to_nwbfile(nwbfile)
    triggers = nwbfile.events["ScanImageAuxTrigger0"]["timestamp"].data[:]
    np.testing.assert_allclose(triggers, behaviour_clock(np.array([0.13, 0.131, 1.45])) + 100, atol=2e-6)
    interface.set_aligned_timestamps(before**1.01)
    assert interface.alignment is None


@pytest.mark.parametrize("times", [np.zeros(39), np.full(40, np.nan), np.zeros((40, 1))])
def test_times_that_cannot_be_those_of_the_samples(written: SyntheticRecording, times: np.ndarray) -> None:
    interface = ScanImageImagingInterface(written.paths[0], channel_name="Channel 1", timezone="UTC")
    with pytest.raises(TimeAxisError, match="40 samples"):
        interface.set_aligned_timestamps(times)


def test_alignment_of_another_recording(written: SyntheticRecording, pulses: np.ndarray, tmp_path: Path) -> None:
    found = ScanImageConverter(written.paths[0], timezone="UTC").align_to_pulses(pulses)
    other = write_scanimage_recording(tmp_path / "other", n_volumes=7)
    with pytest.raises(TimeAxisError, match="another recording"):
        ScanImageImagingInterface(other.paths[0], timezone="UTC").use_alignment(found)


class _Behaviour(BaseTemporalAlignmentInterface):
    """Another data stream of the session: a DAQ that recorded the frame clock."""

    keywords = ()

    def __init__(self, pulse_times_s: list[float]) -> None:
        super().__init__()
        self._times = np.asarray(pulse_times_s)

    def get_original_timestamps(self) -> np.ndarray:
        return self._times

    def get_timestamps(self) -> np.ndarray:
        return self._times

    def set_aligned_timestamps(self, aligned_timestamps: np.ndarray) -> None:
        self._times = aligned_timestamps

    def add_to_nwbfile(self, nwbfile: pynwb.NWBFile, metadata: Any = None) -> None:
        nwbfile.add_acquisition(
            pynwb.TimeSeries(name="frame_clock", data=np.ones(len(self._times)), unit="n.a.", timestamps=self._times)
        )


def test_two_interfaces_aligned_by_a_converter(written: SyntheticRecording, pulses: np.ndarray, tmp_path: Path) -> None:
    class Session(NWBConverter):
        data_interface_classes = {"Imaging": ScanImageImagingInterface, "Daq": _Behaviour}  # noqa: RUF012

        def temporally_align_data_interfaces(self, metadata: Any = None, conversion_options: Any = None) -> None:
            imaging, daq = self.data_interface_objects["Imaging"], self.data_interface_objects["Daq"]
            imaging.align_to_pulses(daq)

    session = Session(
        {
            "Imaging": {"file_path": str(written.paths[0]), "channel_name": "Channel 2", "timezone": "UTC"},
            "Daq": {"pulse_times_s": pulses.tolist()},
        }
    )
    metadata = session.get_metadata()
    path = tmp_path / "out.nwb"
    session.run_conversion(nwbfile_path=str(path), metadata=metadata)
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        times = nwbfile.acquisition["TwoPhotonSeriesChannel2"].get_timestamps()
        expected = behaviour_clock(written.timestamps_s[last_planes(written, 1)])
        np.testing.assert_allclose(times, expected, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(nwbfile.acquisition["frame_clock"].timestamps[:], pulses)


def test_command_line(written: SyntheticRecording, pulses: np.ndarray, tmp_path: Path) -> None:
    table, out = tmp_path / "pulses.csv", tmp_path / "out.nwb"
    table.write_text("frame_s\n" + "\n".join(f"{time:.7f}" for time in pulses))
    run = ["convert", str(written.paths[0]), "-o", str(out), "--timezone", "UTC", "--sync", str(table)]
    result = CliRunner().invoke(main, [*run, "--sync-fires-per", "volume"])
    assert result.exit_code == 1
    assert "fires_per" in result.output
    assert not out.exists()
    result = CliRunner().invoke(main, [*run, "--sync-fires-per", "frame", "--verify"])
    assert result.exit_code == 0, result.output
    with pynwb.NWBHDF5IO(out, "r") as io:
        times = io.read().acquisition["TwoPhotonSeriesChannel1"].get_timestamps()
        np.testing.assert_allclose(times, behaviour_clock(written.timestamps_s[last_planes(written, 0)]), atol=2e-6)


def test_tiff_and_siff_on_one_clock_with_their_gap(tmp_path: Path) -> None:
    """The .siff says in UTC when it began, the TIFF in the time of a zone."""
    siff = write_siff_recording(
        tmp_path, n_volumes=12, shape=(4, 4), appended_text=[(3, "Bar on", None), (7, "LED\non", 0.5)]
    )
    flim = SiffImagingInterface(siff.path)
    began = flim.get_metadata()["NWBFile"]["session_start_time"]
    later = began.astimezone(UTC).replace(microsecond=0)
    minute = (later.minute + 10) % 60
    hour = later.hour + (later.minute + 10) // 60
    tiff = write_scanimage_recording(tmp_path, epoch=(later.year, later.month, later.day, hour, minute, later.second))
    imaging = ScanImageImagingInterface(tiff.paths[0], timezone="UTC")
    start = place_on_one_clock([imaging, flim])
    assert start == began
    assert flim.get_timestamps()[0] == pytest.approx(siff.experiment_time_s[0])
    gap_s = imaging.get_timestamps()[0] - flim.get_timestamps()[0] + siff.experiment_time_s[0]
    assert gap_s == pytest.approx(600 - began.microsecond * 1e-6, abs=1e-5)
    nwbfile = mock_NWBFile()
    flim.add_to_nwbfile(nwbfile)
    texts = nwbfile.events["ScanImageAppendedText"]
    assert list(texts["annotation"].data[:]) == ["Bar on", "LED\non"]
    assert texts["timestamp"].data[:] == pytest.approx([siff.experiment_time_s[3], 0.5])
    with pytest.raises(TimeAxisError, match="before session_start"):
        place_on_one_clock([imaging, flim], datetime(2030, 1, 1, tzinfo=UTC))


def test_sources_of_pulses(tmp_path: Path) -> None:
    times = np.array([0.5, 1.5, 2.25])
    np.save(tmp_path / "a.npy", times)
    np.savez(tmp_path / "b.npz", frames=times, licks=times + 9)
    (tmp_path / "c.csv").write_text("frames,licks\n0.5,9.5\n1.5,10.5\n2.25,11.25\n")
    (tmp_path / "d.txt").write_text("0.5\n1.5\n2.25\n")
    assert read_pulse_times(tmp_path / "a.npy").tolist() == times.tolist()
    assert read_pulse_times(tmp_path / "d.txt").tolist() == times.tolist()
    for name in ("b.npz", "c.csv"):
        assert read_pulse_times(tmp_path / name, "licks").tolist() == (times + 9).tolist()
        with pytest.raises(TimeAxisError, match=r"chosen.*'frames', 'licks'"):
            read_pulse_times(tmp_path / name)
        with pytest.raises(TimeAxisError, match="'lick' is not there"):
            read_pulse_times(tmp_path / name, "lick")
    assert read_pulse_times(list(times)).tolist() == times.tolist()


def test_sources_that_hold_no_pulses(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object))
    (tmp_path / "words.csv").write_text("a\n1.0\nb\n")
    (tmp_path / "empty.csv").write_text("\n")
    with pytest.raises(TimeAxisError, match="no array of numbers"):
        read_pulse_times(tmp_path / "objects.npy")
    with pytest.raises(TimeAxisError, match="row 3"):
        read_pulse_times(tmp_path / "words.csv")
    with pytest.raises(TimeAxisError, match="is empty"):
        read_pulse_times(tmp_path / "empty.csv")
    with pytest.raises(FileNotFoundError, match=r"missing\.csv"):
        read_pulse_times(tmp_path / "missing.csv")
    with pytest.raises(TimeAxisError, match="does not hold times"):
        read_pulse_times(object())


def test_pulses_of_an_nwb_file(tmp_path: Path) -> None:
    nwbfile = mock_NWBFile()
    signal = np.tile([0.0, 0.0, 5.0, 5.0], 5)
    nwbfile.add_acquisition(pynwb.TimeSeries(name="frame_clock", data=signal, unit="V", rate=10.0, starting_time=1.0))
    nwbfile.add_acquisition(
        pynwb.TimeSeries(name="stamps", data=np.ones(3), unit="n.a.", timestamps=np.array([1.0, 2.0, 4.0]))
    )
    events = EventsTable(name="ttl", description="ttl")
    for time_s in (0.25, 0.75):
        events.add_event(timestamp=time_s)
    nwbfile.add_events_table(events)
    path = tmp_path / "daq.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    assert read_pulse_times(path, "frame_clock") == pytest.approx([1.15, 1.55, 1.95, 2.35, 2.75])
    assert read_pulse_times(path, "frame_clock", threshold=1.0) == pytest.approx([1.12, 1.52, 1.92, 2.32, 2.72])
    assert read_pulse_times(path, "stamps").tolist() == [1.0, 2.0, 4.0]
    assert read_pulse_times(path, "ttl").tolist() == [0.25, 0.75]
    with pytest.raises(TimeAxisError, match="has to be chosen"):
        read_pulse_times(path)


def test_edges_of_several_channels_at_once_are_refused() -> None:
    with pytest.raises(TimeAxisError, match="expected one channel"):
        rising_edges(np.arange(4.0), np.zeros((4, 2)))


def test_pulses_on_a_trigger_of_the_microscope(written: SyntheticRecording) -> None:
    """Both channels carry them; each counts once."""
    assert read_pulse_times(written.paths[0], "auxTrigger0").tolist() == [0.13, 0.131, 1.45]
    with pytest.raises(TimeAxisError, match="'auxTrigger0', 'endOfAcquisition'"):
        read_pulse_times(written.paths[0])


@pytest.mark.parametrize("fires_per", ["frame", "volume"])
def test_photon_counts_are_aligned_like_pixels(fires_per: str, tmp_path: Path) -> None:
    siff = write_siff_recording(tmp_path, n_planes=2, n_flyback=1, n_volumes=40, shape=(4, 4))
    interface = SiffImagingInterface(siff.path)
    frames = siff.experiment_time_s if fires_per == "frame" else siff.experiment_time_s[siff.plane == 0]
    interface.align_to_pulses(behaviour_clock(frames), fires_per)
    expected = behaviour_clock(siff.experiment_time_s[siff.plane == 1])
    np.testing.assert_allclose(interface.get_timestamps(), expected, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(interface.get_original_timestamps(), siff.experiment_time_s[siff.plane == 1])
