"""Interfaces of what belongs to a recording, but has no samples of its own: shifts of frames, events."""

from typing import Any

import numpy as np
from neuroconv.basetemporalalignmentinterface import BaseTemporalAlignmentInterface
from numpy.typing import NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.recording import FiresPer, Recording, RecordingAlignment, align_to_pulses

__all__ = ["AlignedTimes"]


class AlignedTimes(BaseTemporalAlignmentInterface):
    """Keeps times that were set in place of a recording's own, or takes them from sync pulses."""

    alignment: RecordingAlignment | None = None
    """How the times came from sync pulses, if they did."""
    _aligned_s: NDArray[np.float64] | None = None

    @property
    def recording(self) -> Recording:
        """The recording that the times are of."""
        raise NotImplementedError

    def _on_pulses(self, alignment: RecordingAlignment) -> NDArray[np.float64]:
        """Return the times by an alignment of the recording."""
        raise NotImplementedError

    def get_timestamps(self) -> NDArray[np.float64]:
        """Return the times that were set, else those of the recording, in seconds."""
        return self.get_original_timestamps() if self._aligned_s is None else self._aligned_s.copy()

    def set_aligned_timestamps(self, aligned_timestamps: NDArray[np.float64]) -> None:
        """Replace every time; what an alignment to pulses said before holds no longer.

        Parameters
        ----------
        aligned_timestamps : ndarray of float64
            Seconds of the session's clock, one for each of `get_original_timestamps`.

        Raises
        ------
        TimeAxisError
            If these are not as many finite times.
        """
        times, expected = np.array(aligned_timestamps, np.float64), self.get_original_timestamps().shape
        if times.shape != expected or not np.isfinite(times).all():
            raise TimeAxisError(
                f"aligned_timestamps of shape {times.shape} cannot replace times of shape {expected}; expected as many "
                "finite times, in seconds"
            )
        self._aligned_s, self.alignment = times, None

    def align_to_pulses(self, pulse_times_s: Any, fires_per: FiresPer = "frame", **options: Any) -> RecordingAlignment:
        """Take the times from the clock that recorded the sync pulses.

        Parameters
        ----------
        pulse_times_s, fires_per, **options
            As for `ScanImageImagingInterface.align_to_pulses`.

        Returns
        -------
        RecordingAlignment

        Raises
        ------
        TimeAxisError
            If the pulses cannot belong to the recording, or fit it in several ways.
        """
        found = align_to_pulses(self.recording, read_pulse_times(pulse_times_s), fires_per, **options)
        self.use_alignment(found)
        return found

    def use_alignment(self, alignment: RecordingAlignment) -> None:
        """Take the times of an alignment that was found already.

        Parameters
        ----------
        alignment : RecordingAlignment
            Of the same recording.

        Raises
        ------
        TimeAxisError
            If it is another recording's.
        """
        if len(alignment.page_times_s) != self.recording.n_pages:
            raise TimeAxisError(
                f"the alignment is of {len(alignment.page_times_s)} pages, {self.recording.paths[0].name} has "
                f"{self.recording.n_pages}: it is another recording's"
            )
        self.set_aligned_timestamps(self._on_pulses(alignment))
        self.alignment = alignment
