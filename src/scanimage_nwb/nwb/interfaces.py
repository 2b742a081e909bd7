"""neuroconv data interfaces: one channel of a recording, as one TwoPhotonSeries."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonschema.exceptions import ValidationError
from neuroconv import BaseDataInterface
from neuroconv.datainterfaces.ophys.baseimagingextractorinterface import BaseImagingExtractorInterface
from neuroconv.utils import DeepDict
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile
from pynwb.ophys import TwoPhotonSeries

from scanimage_nwb.errors import MetadataError, TimeAxisError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.nwb.alignment import add_alignment_report, add_native_times, on_aligned_clock
from scanimage_nwb.nwb.events import add_events
from scanimage_nwb.nwb.metadata import device_key, imaging_metadata, registry_key, session_description
from scanimage_nwb.nwb.progress import WriteProgress
from scanimage_nwb.nwb.provenance import add_header
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.nwb.series import add_frame_numbers, add_imaging_series
from scanimage_nwb.nwb.start_time import EXPECTED_START_TIME, session_start_time
from scanimage_nwb.nwb.user_metadata import EVERY_ENTRY, check_keys, merge_metadata
from scanimage_nwb.nwb.writing import write_nwbfile
from scanimage_nwb.recording import FiresPer, Recording, RecordingAlignment, align_to_pulses

__all__ = ["ScanImageImagingInterface", "WholeFileWriting"]

_CHOICES = ("channel_name", "plane_index", "slice_sample", "interleave_slice_samples")
"""Parameters that say which part of a recording is meant."""


class WholeFileWriting:
    """Makes `run_conversion` of an interface or a converter write its file whole or not at all.

    Metadata that cannot be used end in a `MetadataError`.
    """

    show_progress: bool | Callable[[WriteProgress], None] = False
    """Whether to show a progress bar while a file is written, or what to call instead; see `write_nwbfile`."""
    writer_options: Mapping[str, Any] = {}
    """Further options of `write_nwbfile`, such as ``workers`` and ``cloud``."""

    def validate_metadata(self, metadata: dict[str, Any], append_mode: bool = False) -> None:
        """Refuse metadata that do not have the form that NWB needs.

        Parameters
        ----------
        metadata : dict
            What goes into the file.
        append_mode : bool
            The file is there already, with a start time.

        Raises
        ------
        MetadataError
            Names the field.
        """
        try:
            super().validate_metadata(metadata, append_mode)  # type: ignore[misc]
        except ValidationError as error:
            raise MetadataError(_say_what_is_wrong(error)) from error
        except TypeError as error:  # neuroconv goes through JSON
            raise MetadataError(f"metadata hold a value that cannot be written: {error}") from error

    def _write_nwbfile(
        self,
        nwbfile_path: str | Path,
        nwbfile: NWBFile | None,
        metadata: dict[str, Any],
        backend: Literal["hdf5", "zarr"] | None,
        backend_configuration: Any,
        conversion_options: dict[str, Any],
    ) -> None:
        # Interfaces take their options as keywords, converters as one dictionary.
        as_keywords = isinstance(self, BaseDataInterface)
        options = (conversion_options or {}) if as_keywords else {"conversion_options": conversion_options}
        if nwbfile is None:
            nwbfile = self.create_nwbfile(metadata=metadata, **options)  # type: ignore[attr-defined]
        else:
            self.add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, **options)  # type: ignore[attr-defined]
        # run_conversion has refused before if there is a file that may not be overwritten
        write_nwbfile(
            nwbfile,
            nwbfile_path,
            backend=backend or "hdf5",
            backend_configuration=backend_configuration,
            overwrite=True,
            progress=self.show_progress,
            **self.writer_options,
        )


_WAYS_OUT = {
    "string": "; put it in quotes",
    "array": "; put it in brackets, such as [a, b]",
    "object": "; give fields by their names, such as name: Microscope",
}
"""What to do about a value of the wrong type, by the right type."""


def _say_what_is_wrong(error: ValidationError) -> str:
    """Put an error of JSON schema into one line: the field, what it is, what was expected, and a way out."""
    where = "metadata " + ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.schema.get("properties"), dict):
        try:
            check_keys(error.instance, tuple(error.schema["properties"]), where)
        except MetadataError as unknown:
            return str(unknown)
    if error.validator == "required" and "session_start_time" in error.message:
        return f"{where} has no session_start_time, and the files do not say it; {EXPECTED_START_TIME}"
    message = f"{error.instance!r} has not the right form" if error.validator == "pattern" else error.message
    expected = f"; expected: {error.schema['description']}" if "description" in error.schema else ""
    way_out = _WAYS_OUT.get(error.schema.get("type"), "") if error.validator == "type" else ""
    return f"{where}: {message}{expected}{way_out}"


class ScanImageImagingInterface(WholeFileWriting, BaseImagingExtractorInterface):
    """One channel of a ScanImage recording, optionally one plane of it.

    Parameters
    ----------
    file_path : FilePath, optional
        Any file of the recording. Either this or `file_paths` must be given.
    file_paths : list of FilePath, optional
        Exactly these files, in the order of time.
    channel_name : str, optional
        Channel to write; may be left out if there is one.
    plane_index : int, optional
        Plane to write; by default all, as volumes.
    slice_sample : int, optional
        Where there are several frames of each slice: the one to take.
    interleave_slice_samples : bool
        Take all frames of each slice, as samples one after the other.
    timezone : str, optional
        Time zone of the computer that recorded, such as ``"Europe/Berlin"``; by default this computer's.
    metadata_key : str, optional
        Key of this interface's entries in ``Ophys``; by default it names channel and plane.
    verbose : bool
        Show a progress bar while data are written.
    """

    display_name = "ScanImage Imaging"
    associated_suffixes: tuple[str, ...] = (".tif", ".tiff")
    info = "Interface for two-photon imaging data recorded with ScanImage (TIFF)."
    _recording: Recording | None = None
    recording_name: str = ""
    """What tells the recording from others in the same file, in the names of what is written; set it before use."""
    alignment: RecordingAlignment | None = None
    """How the samples got their times from sync pulses, if they did."""
    _reading_options: Mapping[str, Any] = {}
    """Parameters of the extractor that say how files of one kind are read."""

    def __init__(
        self,
        file_path: FilePath | None = None,
        *,
        file_paths: list[FilePath] | None = None,
        channel_name: str | None = None,
        plane_index: int | None = None,
        slice_sample: int | None = None,
        interleave_slice_samples: bool = False,
        timezone: str | None = None,
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.timezone = timezone
        self.show_progress = verbose
        self._start_time: datetime | None = None
        super().__init__(
            verbose=verbose,
            photon_series_type="TwoPhotonSeries",
            metadata_key=metadata_key,
            file_path=file_path,
            file_paths=file_paths,
            channel_name=channel_name,
            plane_index=plane_index,
            slice_sample=slice_sample,
            interleave_slice_samples=interleave_slice_samples,
            **self._reading_options,
        )
        extractor = self.imaging_extractor
        self.channel_name = extractor.channel_name
        self.plane_index = extractor.plane_index
        if metadata_key is None:
            self.metadata_key = registry_key(extractor.recording, extractor.channel_name, extractor.plane_index)

    @classmethod
    def from_recording(cls, recording: Recording, **parameters: Any) -> "ScanImageImagingInterface":
        """Make an interface on a recording that is open already.

        Parameters
        ----------
        recording : Recording
            Shared, not copied.
        **parameters
            As for the class.

        Returns
        -------
        ScanImageImagingInterface
        """
        interface = cls.__new__(cls)
        interface._recording = recording
        interface.__init__(**parameters)  # type: ignore[misc]
        return interface

    def _initialize_extractor(self, interface_kwargs: dict[str, Any]) -> ScanImageImagingExtractor:
        if self._recording is None:
            return super()._initialize_extractor(interface_kwargs)
        chosen = {name: interface_kwargs[name] for name in (*_CHOICES, *self._reading_options)}
        return self.get_extractor_class().from_recording(self._recording, **chosen)

    @classmethod
    def get_extractor_class(cls) -> type[ScanImageImagingExtractor]:
        """Return the extractor class that reads the data."""
        return ScanImageImagingExtractor

    @staticmethod
    def get_available_channels(file_path: str | Path) -> list[str]:
        """Return the names of the channels that a file holds.

        Parameters
        ----------
        file_path : path-like
            A ScanImage TIFF.

        Returns
        -------
        list of str
        """
        return ScanImageImagingExtractor.get_available_channel_names(file_path)

    @staticmethod
    def get_available_planes(file_path: str | Path) -> list[str]:
        """Return the planes that a file holds, as text, from "0".

        Parameters
        ----------
        file_path : path-like
            A ScanImage TIFF.

        Returns
        -------
        list of str
        """
        return [str(plane) for plane in range(ScanImageImagingExtractor.get_available_num_planes(file_path))]

    def get_metadata(self) -> DeepDict:
        """Return what the files say: start time, microscope, plane and series.

        Returns
        -------
        DeepDict
            See `scanimage_nwb.nwb.metadata`; ready to be changed and given to `run_conversion`.
        """
        metadata = super().get_metadata(use_new_metadata_format=True)
        extractor = self.imaging_extractor
        if self._start_time is None:
            self._start_time = session_start_time(extractor.recording, self.timezone)
        metadata["NWBFile"]["session_description"] = session_description(extractor.recording)
        if self._start_time is not None:
            metadata["NWBFile"]["session_start_time"] = self._start_time
        found = imaging_metadata(
            extractor.recording,
            channel_index=extractor.channel_names.index(extractor.channel_name),
            plane_index=extractor.plane_index,
            sampling_rate_hz=extractor.get_sampling_frequency(),
            key=self.metadata_key,
            recording_name=self.recording_name,
        )
        metadata.pop("Ophys", None)  # neuroconv's defaults, which name the series MicroscopySeries
        return DeepDict(merge_metadata(metadata, found))

    def get_original_timestamps(self) -> NDArray[np.float64]:
        """Return the times that the files give, whatever times were set since.

        Returns
        -------
        ndarray of float64, shape (samples,)
            Seconds.
        """
        native = self.imaging_extractor.get_native_timestamps()
        if native is not None:
            return native
        return np.arange(self.imaging_extractor.get_num_samples()) / self.imaging_extractor.get_sampling_frequency()

    def add_to_nwbfile(
        self,
        nwbfile: NWBFile,
        metadata: dict | None = None,
        *,
        stub_test: bool = False,
        stub_samples: int = 100,
        always_write_timestamps: bool = False,
        iterator_options: dict | None = None,
    ) -> None:
        """Add the series, its plane and microscope, the frame numbers and the ScanImage header.

        Parameters
        ----------
        nwbfile : NWBFile
            The file in memory; data are read when it is written.
        metadata : dict, optional
            By default what `get_metadata` returns. Not changed.
        stub_test : bool
            Write the first `stub_samples` samples only, for a try.
        stub_samples : int
            See `stub_test`.
        always_write_timestamps : bool
            Write a timestamp for every sample even if a rate says the same.
        iterator_options : dict, optional
            Passed to neuroconv's chunk iterator: ``chunk_shape``, ``buffer_gb``, ``display_progress`` …

        Raises
        ------
        MetadataError
            If `metadata` cannot be used.
        """
        if stub_test and stub_samples < 1:
            raise MetadataError(f"stub_samples is {stub_samples}; expected at least 1")
        metadata = self._complete(self.get_metadata() if metadata is None else metadata)
        extractor = self.imaging_extractor
        if stub_test:
            extractor = extractor.slice_samples(0, min(stub_samples, extractor.get_num_samples()))
        series = add_imaging_series(
            nwbfile,
            metadata,
            self.metadata_key,
            extractor,
            always_write_timestamps=always_write_timestamps,
            iterator_options=iterator_options,
        )
        add_frame_numbers(nwbfile, series, extractor)
        add_header(nwbfile, extractor.recording)
        self._add_alignment(nwbfile, series, extractor)

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
        super().set_aligned_timestamps(self._pulse_times())

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
        super().set_aligned_timestamps(times)

    def _complete(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return metadata with this interface's entries; those that the user gave stand as they are."""
        ophys = metadata.get("Ophys", {})
        if any(isinstance(value, list) for value in ophys.values()):
            raise MetadataError(
                "metadata: Ophys holds lists, neuroconv's old format; expected ImagingPlanes and MicroscopySeries "
                "as dictionaries, as get_metadata() returns them"
            )
        completed, own = merge_metadata({}, metadata), self.get_metadata()
        key = device_key(self.imaging_extractor.recording)
        completed.setdefault("Devices", {}).setdefault(key, own["Devices"][key])
        for registry, entries in own["Ophys"].items():
            given = completed.setdefault("Ophys", {}).setdefault(registry, {})
            for_all = given.pop(EVERY_ENTRY, {})
            entry = given.get(self.metadata_key)
            given[self.metadata_key] = merge_metadata(
                *((entries[self.metadata_key], for_all) if entry is None else (for_all, entry))
            )
        return completed
