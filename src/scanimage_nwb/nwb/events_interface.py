"""neuroconv data interface: what happened during a recording, as tables of events."""

from functools import cached_property

import numpy as np
from neuroconv.utils import DeepDict
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from scanimage_nwb.nwb.aligned_times import AlignedTimes
from scanimage_nwb.nwb.events import add_events, all_events
from scanimage_nwb.nwb.start_time import session_start_time
from scanimage_nwb.nwb.whole_file_writing import WholeFileWriting
from scanimage_nwb.recording import Recording, RecordingAlignment, open_recording

__all__ = ["RecordedEventsInterface"]


class RecordedEventsInterface(WholeFileWriting, AlignedTimes):
    """Triggers, I2C packets, markers and appended text of a recording, each source as an EventsTable.

    Imaging interfaces write the events of their recording too, on the same clock; beside one of them this adds nothing.

    Parameters
    ----------
    file_path : FilePath, optional
        Any file of the recording. Either this or `file_paths` must be given.
    file_paths : list of FilePath, optional
        Exactly these files, in the order of time.
    timezone : str, optional
        Time zone of the computer that recorded, such as ``"Europe/Berlin"``; by default this computer's.
    verbose : bool
        Show a progress bar while data are written.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> written = write_scanimage_recording(folder, n_volumes=20, aux_triggers={6: [0.105, 0.11]})
    >>> interface = RecordedEventsInterface(written.paths[0], timezone="UTC")
    >>> interface.set_aligned_starting_time(10.0)
    >>> nwbfile = interface.create_nwbfile()
    >>> nwbfile.events["ScanImageAuxTrigger0"]["timestamp"].data
    [10.105, 10.11]
    """

    display_name = "ScanImage Events"
    keywords = ("events", "two-photon")
    associated_suffixes = (".tif", ".tiff", ".siff")
    info = "Interface for triggers, I2C packets and markers recorded with ScanImage."

    def __init__(
        self,
        file_path: FilePath | None = None,
        *,
        file_paths: list[FilePath] | None = None,
        timezone: str | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(verbose=verbose, file_path=file_path, file_paths=file_paths)
        self.timezone = timezone
        self.show_progress = verbose
        self._recording = open_recording(file_path, file_paths=file_paths)

    @property
    def recording(self) -> Recording:
        """The recording that holds the events."""
        return self._recording

    @cached_property
    def _native_s(self) -> NDArray[np.float64]:
        return np.array([event.time_s for event in all_events(self._recording)], np.float64)

    def get_metadata(self) -> DeepDict:
        """Return when the recording began, if its files say."""
        metadata = super().get_metadata()
        start = session_start_time(self._recording, self.timezone)
        if start is not None:
            metadata["NWBFile"]["session_start_time"] = start
        return metadata

    def get_original_timestamps(self) -> NDArray[np.float64]:
        """Return the times of all events, of whatever source, in their order, by the recording's own clock.

        Returns
        -------
        ndarray of float64, shape (events,)
            Seconds.
        """
        return self._native_s.copy()

    def _on_pulses(self, alignment: RecordingAlignment) -> NDArray[np.float64]:
        fired = alignment.events
        return fired.at(self._native_s, np.searchsorted(fired.native_times_s, self._native_s, side="right") - 1)

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: dict | None = None) -> None:
        """Add one EventsTable for each source that has events.

        Parameters
        ----------
        nwbfile : NWBFile
            The file in memory; the tables go to its ``events``.
        metadata : dict, optional
            Not used.
        """
        add_events(nwbfile, self._recording, lambda _: self.get_timestamps())
