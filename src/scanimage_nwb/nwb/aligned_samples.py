"""Samples of a recording on the clock of sync pulses, and what a file keeps of their own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile
from pynwb.ophys import TwoPhotonSeries

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.nwb.alignment import add_alignment_report, add_native_times, on_aligned_clock
from scanimage_nwb.nwb.events import add_events
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.recording import FiresPer, RecordingAlignment, align_to_pulses

__all__ = ["AlignedSamples"]


class AlignedSamples:
    """Makes an interface on an imaging extractor take its times from sync pulses, or from whoever sets them."""

    imaging_extractor: ScanImageImagingExtractor
    alignment: RecordingAlignment | None = None
    """How the samples got their times from sync pulses, if they did."""

    def _add_alignment(self, nwbfile: NWBFile, series: TwoPhotonSeries, extractor: ScanImageImagingExtractor) -> None:
        """Keep native times and the report of the alignment; add the events of the recording on the same clock."""
        native = extractor.get_native_timestamps()
        aligned = extractor.get_timestamps()
        if native is not None and not np.array_equal(native, aligned):
            add_native_times(nwbfile, series, native)
        if self.alignment is not None:
            add_alignment_report(nwbfile, series.name, self.alignment)
        self._add_recorded_events(nwbfile, extractor)

    def _add_recorded_events(self, nwbfile: NWBFile, extractor: ScanImageImagingExtractor) -> None:
        """Add the events of the recording on the clock of the samples."""
        native, aligned = extractor.get_native_timestamps(), extractor.get_timestamps()
        if native is not None:
            add_events(nwbfile, extractor.recording, lambda times_s: self._to_session(times_s, native, aligned))

    def _to_session(
        self, times_s: NDArray[np.float64], native: NDArray[np.float64], aligned: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return times of the recording's clock on that of the session."""
        if self.alignment is None:
            return on_aligned_clock(times_s, native, aligned)
        fired = self.alignment.events
        shift_s = aligned[0] - self._pulse_times()[0] if len(aligned) else 0.0
        event = np.searchsorted(fired.native_times_s, times_s, side="right") - 1
        return fired.at(times_s, event) + shift_s

    def align_to_pulses(self, pulse_times_s: Any, fires_per: FiresPer = "frame", **options: Any) -> RecordingAlignment:
        """Give every sample its time on the clock that recorded the sync pulses.

        Parameters
        ----------
        pulse_times_s : array-like, path-like or object
            Times in seconds of the session's clock, or where they are; see `read_pulse_times`.
        fires_per : {'page', 'frame', 'plane', 'volume'}
            What fires a pulse.
        **options
            As for `scanimage_nwb.align_to_pulses`: ``first_pulse``, ``start_near_s``, ``times`` …

        Returns
        -------
        RecordingAlignment
            Its report also goes into the file, with the native times.

        Raises
        ------
        TimeAxisError
            If the pulses cannot belong to the recording, or fit it in several ways.
        """
        found = align_to_pulses(self.imaging_extractor.recording, read_pulse_times(pulse_times_s), fires_per, **options)
        self.use_alignment(found)
        return found

    def use_alignment(self, alignment: RecordingAlignment) -> None:
        """Take the times of an alignment that was found already, such as that of another channel.

        Parameters
        ----------
        alignment : RecordingAlignment
            Of the same recording.
        """
        if len(alignment.page_times_s) != self.imaging_extractor.recording.n_pages:
            raise TimeAxisError(
                f"the alignment is of {len(alignment.page_times_s)} pages, the recording has "
                f"{self.imaging_extractor.recording.n_pages}: it is another recording's"
            )
        self.alignment = alignment
        super().set_aligned_timestamps(self._pulse_times())  # type: ignore[misc]

    def _pulse_times(self) -> NDArray[np.float64]:
        """Return the times of the samples by the pulses."""
        assert self.alignment is not None
        return self.alignment.page_times_s[self.imaging_extractor.get_original_frame_indices()]

    def set_aligned_timestamps(self, aligned_timestamps: NDArray[np.float64]) -> None:
        """Replace the time of every sample; what an alignment to pulses said before holds no longer.

        Parameters
        ----------
        aligned_timestamps : ndarray of float64, shape (samples,)
            Seconds of the session's clock.

        Raises
        ------
        TimeAxisError
            If there is not one finite time for each sample.
        """
        times = np.asarray(aligned_timestamps, np.float64)
        n_samples = self.imaging_extractor.get_num_samples()
        if times.shape != (n_samples,) or not np.isfinite(times).all():
            raise TimeAxisError(
                f"aligned_timestamps of shape {times.shape} cannot be the times of {n_samples} samples; expected one "
                "finite time for each, in seconds"
            )
        if self.alignment is not None and len(times):
            shift_s = times - self._pulse_times()
            if np.ptp(shift_s) > 1e-6:
                self.alignment = None
        super().set_aligned_timestamps(times)  # type: ignore[misc]
