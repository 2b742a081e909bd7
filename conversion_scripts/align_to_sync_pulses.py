"""Put a recording and another data stream on one clock by sync pulses. Copy this file and change it to suit your rig.

Without arguments it makes a small demo session, with pulses of which some are lost, and converts it. Otherwise::

    python conversion_scripts/align_to_sync_pulses.py RECORDING PULSES OUT.nwb [--fires-per frame] [--timezone ZONE]

RECORDING is a ScanImage TIFF, PULSES a file of times in seconds (.csv, .npy, .npz, .nwb) that the DAQ saw.
"""

from pathlib import Path

import click
import numpy as np
from neuroconv import NWBConverter
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface
from pynwb import NWBFile
from pynwb.event import EventsTable

from scanimage_nwb import open_recording
from scanimage_nwb.cli import run_plainly
from scanimage_nwb.nwb import ScanImageImagingInterface, read_pulse_times
from scanimage_nwb.testing import write_demo_session

DEMO_DIR = Path("scanimage-nwb-demo-sync")


class DaqInterface(BaseTemporalAlignmentInterface):
    """The frame clock that the DAQ recorded. Its clock is that of the session: add what else the DAQ saw here."""

    keywords = ("sync",)

    def __init__(self, file_path: str) -> None:
        super().__init__(file_path=file_path)
        self._times = read_pulse_times(file_path)

    def get_original_timestamps(self) -> np.ndarray:
        """Return the times in the file."""
        return read_pulse_times(self.source_data["file_path"])

    def get_timestamps(self) -> np.ndarray:
        """Return the times on the session's clock."""
        return self._times

    def set_aligned_timestamps(self, aligned_timestamps: np.ndarray) -> None:
        """Replace the times."""
        self._times = np.asarray(aligned_timestamps)

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: dict | None = None) -> None:
        """Add the pulses as events."""
        table = EventsTable(name="FrameClock", description="Pulses of the microscope's frame clock, seen by the DAQ")
        for time_s in self._times.tolist():
            table.add_event(timestamp=time_s)
        nwbfile.add_events_table(table)


class SessionConverter(NWBConverter):
    """A recording and the DAQ on one clock."""

    data_interface_classes = {"Imaging": ScanImageImagingInterface, "Daq": DaqInterface}  # noqa: RUF012
    fires_per = "frame"

    def temporally_align_data_interfaces(
        self, metadata: dict | None = None, conversion_options: dict | None = None
    ) -> None:
        """Take the times of the samples from the DAQ's pulses; say how well they fit."""
        interfaces = self.data_interface_objects
        print(interfaces["Imaging"].align_to_pulses(interfaces["Daq"], self.fires_per).report)


def session_to_nwb(
    recording_path: str | Path,
    pulses_path: str | Path,
    nwbfile_path: str | Path,
    fires_per: str = "frame",
    timezone: str | None = None,
) -> Path:
    """Convert the first channel of a recording and the pulses; return the NWB file.

    Parameters
    ----------
    recording_path, pulses_path, nwbfile_path : path-like
        What to read, and what to write.
    fires_per : {'page', 'frame', 'plane', 'volume'}
        What fires a pulse.
    timezone : str, optional
        Time zone of the computer that recorded, such as ``"Europe/Berlin"``; by default this computer's.
    """
    channel = open_recording(recording_path, warn=False).channel_names[0]
    converter = SessionConverter(
        {
            "Imaging": {"file_path": str(recording_path), "channel_name": channel, "timezone": timezone},
            "Daq": {"file_path": str(pulses_path)},
        }
    )
    converter.fires_per = fires_per
    Path(nwbfile_path).parent.mkdir(parents=True, exist_ok=True)
    converter.run_conversion(nwbfile_path=str(nwbfile_path), overwrite=True)
    return Path(nwbfile_path)


def convert_demo() -> None:
    """Make a session and pulses on a clock that is 7 s ahead and 40 ppm fast; lose three of them; convert."""
    data_dir = write_demo_session(DEMO_DIR / "session")
    recording_path = min(data_dir.glob("*.tif"))
    recording = open_recording(recording_path, warn=False)
    assert recording.timestamp_s is not None
    frames = recording.timestamp_s[np.flatnonzero(np.diff(recording.index.frame, prepend=-1))]
    pulses_path = DEMO_DIR / "pulses.csv"
    np.savetxt(pulses_path, np.delete(7 + frames * (1 + 40e-6), [20, 21, 90]), fmt="%.7f")
    path = session_to_nwb(recording_path, pulses_path, DEMO_DIR / "session.nwb", timezone="UTC")
    print(f"converted it to {path}")


@click.command(help=__doc__)
@click.argument("recording", required=False)
@click.argument("pulses", required=False)
@click.argument("nwbfile", required=False)
@click.option("--fires-per", default="frame", help="page, frame, plane or volume.")
@click.option("--timezone", help="Time zone of the computer that recorded.")
@click.option("--debug", is_flag=True, help="Show where in the program an error comes from.")
def main(recording, pulses, nwbfile, fires_per, timezone, debug):
    """Convert what the command line names, or the demo."""
    with run_plainly(debug=debug):
        if recording is None:
            convert_demo()
            return
        if nwbfile is None:
            raise click.UsageError("name RECORDING, PULSES and OUT.nwb")
        print(f"wrote {session_to_nwb(recording, pulses, nwbfile, fires_per, timezone)}")


if __name__ == "__main__":
    main()
