"""neuroconv data interfaces: one channel of a recording, as one TwoPhotonSeries."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from neuroconv.datainterfaces.ophys.baseimagingextractorinterface import BaseImagingExtractorInterface
from neuroconv.utils import DeepDict
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.nwb.aligned_samples import AlignedSamples
from scanimage_nwb.nwb.metadata import device_key, imaging_metadata, registry_key, session_description
from scanimage_nwb.nwb.provenance import add_header
from scanimage_nwb.nwb.series import add_frame_numbers, add_imaging_series
from scanimage_nwb.nwb.start_time import session_start_time
from scanimage_nwb.nwb.user_metadata import EVERY_ENTRY, merge_metadata
from scanimage_nwb.nwb.whole_file_writing import WholeFileWriting
from scanimage_nwb.recording import Recording

__all__ = ["ScanImageImagingInterface"]

_CHOICES = ("channel_name", "plane_index", "slice_sample", "interleave_slice_samples")
"""Parameters that say which part of a recording is meant."""


class ScanImageImagingInterface(WholeFileWriting, AlignedSamples, BaseImagingExtractorInterface):
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
