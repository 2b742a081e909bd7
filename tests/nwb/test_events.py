"""What happened during a recording, read back from NWB files: every kind of event, its time, page and source."""

from pathlib import Path

import numpy as np
import pynwb
import pytest

from scanimage_nwb.nwb import RecordedEventsInterface, ScanImageConverter, ScanImageImagingInterface, read_pulse_times
from scanimage_nwb.recording import open_recording, read_events
from scanimage_nwb.testing import SyntheticRecording, write_scanimage_recording

VALUES = {
    4: {"auxTrigger0": "[0.061 0.062]", "auxTrigger3": "[0.0635]"},
    10: {"auxTrigger1": "[0.17]", "I2CData": "{{0.165, [1,0,255]} {0.166, [7]}}"},
    16: {"auxTrigger2": "[0.2701]", "I2CData": "{{0.2702, 'left wheel'}}", "nextFileMarkerTimestamps_sec": "0.25"},
    30: {"nextFileMarkerTimestamps_sec": "0.5", "endOfAcquisition": "1"},
}
"""By page; two channels make frame k of pages 2k and 2k + 1."""
LAST_FRAME_S = round(39 / 30, 9)
EXPECTED: dict[str, list[tuple[float, int, str | None]]] = {
    "ScanImageAuxTrigger0": [(0.061, 4, None), (0.062, 4, None)],
    "ScanImageAuxTrigger1": [(0.17, 10, None)],
    "ScanImageAuxTrigger2": [(0.2701, 16, None)],
    "ScanImageAuxTrigger3": [(0.0635, 4, None)],
    "ScanImageI2C": [(0.165, 10, "01 00 ff"), (0.166, 10, "07"), (0.2702, 16, "left wheel")],
    "ScanImageNextFileMarker": [(0.25, 16, None), (0.5, 30, None)],
    "ScanImageEndOfAcquisition": [(0.5, 30, None), (LAST_FRAME_S, 78, None)],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRecording:
    folder = tmp_path_factory.mktemp("events")
    return write_scanimage_recording(
        folder, n_channels=2, n_volumes=40, shape=(4, 4), pages_per_file=30, page_values=VALUES
    )


def check(path: Path, ahead_s: float, rate: float = 1.0) -> None:
    with pynwb.NWBHDF5IO(path, "r") as io:
        tables = io.read().events
        assert set(tables) == set(EXPECTED)
        for name, expected in EXPECTED.items():
            table = tables[name]
            native = [time_s for time_s, _, _ in expected]
            np.testing.assert_allclose(table["native_time_s"].data[:], native, rtol=0, atol=1e-9)
            in_session = ahead_s + np.array(native) * rate
            np.testing.assert_allclose(table["timestamp"].data[:], in_session, rtol=0, atol=1e-6)
            assert table["original_frame_index"].data[:].tolist() == [page for _, page, _ in expected]
            assert ("annotation" in table.colnames) == (name == "ScanImageI2C")
            if name == "ScanImageI2C":
                assert list(table["annotation"].data[:]) == [text for _, _, text in expected]
            source = name.removeprefix("ScanImage")
            assert table.source_description.startswith("Page texts of session_00001_00001.tif and later files, ")
            assert table.source_description.lower().endswith(source.lower())


def test_every_kind_beside_both_channels_once(written: SyntheticRecording, tmp_path: Path) -> None:
    converter = ScanImageConverter(file_paths=list(written.paths), timezone="UTC")
    converter.run_conversion(nwbfile_path=str(tmp_path / "a.nwb"))
    check(tmp_path / "a.nwb", 0.0)


def test_every_kind_by_its_own_interface_on_the_clock_of_pulses(written: SyntheticRecording, tmp_path: Path) -> None:
    interface = RecordedEventsInterface(file_paths=list(written.paths), timezone="UTC")
    interface.align_to_pulses(100 + written.timestamps_s[::2] * (1 - 80e-6), "frame")
    interface.run_conversion(nwbfile_path=str(tmp_path / "b.nwb"))
    check(tmp_path / "b.nwb", 100.0, 1 - 80e-6)


def test_events_are_a_source_of_pulses(written: SyntheticRecording) -> None:
    assert read_pulse_times(written.paths[0], "auxTrigger3").tolist() == [0.0635]
    assert read_pulse_times(written.paths[0], "I2C").tolist() == [0.165, 0.166, 0.2702]
    interface = RecordedEventsInterface(file_paths=list(written.paths), timezone="UTC")
    times = read_pulse_times(interface)  # as any interface of neuroconv that gives times
    np.testing.assert_allclose(times, sorted(time for rows in EXPECTED.values() for time, _, _ in rows), atol=1e-9)


def test_a_recording_aligned_to_its_own_trigger(tmp_path: Path) -> None:
    """The frame clock comes back on auxTrigger0, 1.5 ms late: samples move by that."""
    frames = {page: {"auxTrigger0": f"[{page / 30 + 1.5e-3:.9f}]"} for page in range(90)}
    recorded = write_scanimage_recording(tmp_path, n_volumes=90, shape=(4, 4), page_values=frames)
    interface = ScanImageImagingInterface(recorded.paths[0], timezone="UTC")
    interface.align_to_pulses(read_pulse_times(recorded.paths[0], "auxTrigger0"))
    np.testing.assert_allclose(interface.get_timestamps(), recorded.timestamps_s + 1.5e-3, rtol=0, atol=2e-9)


def test_same_events_whatever_is_read_at_once(written: SyntheticRecording, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = open_recording(file_paths=list(written.paths))
    expected = read_events(recording)
    assert len(expected) == sum(map(len, EXPECTED.values()))
    for n_pages in (1, 2, 7):
        monkeypatch.setattr("scanimage_nwb.recording.events._PAGES_AT_ONCE", n_pages)
        assert read_events(recording) == expected
