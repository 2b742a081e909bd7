"""All channels of a recording, TIFF or .siff, in one NWB file."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from neuroconv import ConverterPipe
from neuroconv.utils import DeepDict, dict_deep_update, get_json_schema_from_method_signature
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors.siff import CountDtype
from scanimage_nwb.nwb.flim_interface import FlimInterface, FlimProduct, options_of
from scanimage_nwb.nwb.flim_regions import flim_regions
from scanimage_nwb.nwb.interfaces import ScanImageImagingInterface
from scanimage_nwb.nwb.registration import add_registration
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.nwb.user_metadata import merge_metadata
from scanimage_nwb.nwb.whole_file_writing import WholeFileWriting
from scanimage_nwb.recording import FiresPer, RecordingAlignment, open_recording
from scanimage_nwb.registration import RegistrationInfo

__all__ = ["ScanImageConverter"]


class ScanImageConverter(WholeFileWriting, ConverterPipe):
    """Every channel of a ScanImage recording, each as a TwoPhotonSeries of its own; of a .siff, its photon counts.

    Parameters
    ----------
    file_path : FilePath, optional
        Any file of the recording. Either this or `file_paths` must be given.
    file_paths : list of FilePath, optional
        Exactly these files, in the order of time.
    channel_names : list of str, optional
        Channels to write; by default all.
    plane_index : int, optional
        Plane to write; by default all, as volumes.
    slice_sample, interleave_slice_samples : optional
        As for `ScanImageImagingInterface`.
    timezone : str, optional
        Time zone of the computer that recorded; a .siff says its time in UTC.
    count_dtype : {'int16', 'uint16', 'uint32'}
        Type of the photon counts of a .siff; see `SiffImagingInterface`.
    flim : list of {'photons', 'histograms', 'lifetime', 'phasor', 'fit'}, optional
        What of the photons of a .siff is written beside their counts, by a `FlimInterface` for each channel. These
        take the conversion options of `FlimInterface`; unless told otherwise they fit two exponentials, and correct
        motion if there is a `registration`. Of masks in `roi_interfaces`, decays, lifetimes and fits are written too.
    photon_timing : dict, optional
        ``num_bins``, ``tcspc_resolution_s`` and ``repetition_rate_hz`` in place of what a .siff says.
    verbose : bool
        Show a progress bar while data are written.

    Examples
    --------
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> converter = ScanImageConverter(write_siff_recording(folder, n_volumes=20).path, flim=["photons", "phasor"])
    >>> list(converter.data_interface_objects)
    ['SiffImaging', 'Flim']
    >>> list(converter.create_nwbfile().acquisition)
    ['TwoPhotonSeries', 'PhotonEventSeries']
    """

    display_name = "ScanImage Imaging"
    keywords = ScanImageImagingInterface.keywords
    associated_suffixes = (*ScanImageImagingInterface.associated_suffixes, *SiffImagingInterface.associated_suffixes)
    info = "Converter for all channels of a ScanImage recording."

    registration: RegistrationInfo | None = None
    """Motion that is written beside the channels; None for none."""
    write_corrected: bool = False
    """Whether the corrected movies are written too."""

    roi_interfaces: Sequence[RoiTracesInterface] = ()
    """Masks and traces that are written beside the channels."""

    def __init__(
        self,
        file_path: FilePath | None = None,
        *,
        file_paths: list[FilePath] | None = None,
        channel_names: list[str] | None = None,
        plane_index: int | None = None,
        slice_sample: int | None = None,
        interleave_slice_samples: bool = False,
        timezone: str | None = None,
        count_dtype: CountDtype = "int16",
        flim: list[FlimProduct] | None = None,
        photon_timing: dict | None = None,
        verbose: bool = False,
    ) -> None:
        recording = replace(open_recording(file_path, file_paths=file_paths), photon_timing=photon_timing or {})
        _ = recording.siff_facts  # refuses what makes no sense
        if (flim or photon_timing) and not recording.is_siff:
            raise MetadataError(
                f"{recording.paths[0]} is a TIFF and holds no arrival times; leave flim and photon_timing out"
            )
        self._flim_options = options_of(flim or [])
        shared = {
            "file_path": file_path,
            "file_paths": file_paths,
            "plane_index": plane_index,
            "slice_sample": slice_sample,
            "interleave_slice_samples": interleave_slice_samples,
            "timezone": timezone,
            "verbose": verbose,
        }
        kinds: list[tuple[str, type[ScanImageImagingInterface], dict]]
        kinds = [("ScanImageImaging", ScanImageImagingInterface, shared)]
        if recording.is_siff:
            kinds = [("SiffImaging", SiffImagingInterface, {**shared, "count_dtype": count_dtype})]
        if flim:  # behind the counts, whose plane and times they share
            kinds.append(("Flim", FlimInterface, shared))
        channels = _names(channel_names or recording.channel_names, recording.n_channels)
        super().__init__(
            data_interfaces={
                f"{kind}{suffix}": interface_class.from_recording(recording, channel_name=channel, **parameters)
                for kind, interface_class, parameters in kinds
                for channel, suffix in channels.items()
            }
        )
        self.show_progress = verbose

    @property
    def flim_interfaces(self) -> dict[str, FlimInterface]:
        """Interfaces that write arrival times, by name; set their `masks` and `irf` here."""
        found = self.data_interface_objects.items()
        return {name: interface for name, interface in found if isinstance(interface, FlimInterface)}

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Any, conversion_options: dict | None = None) -> None:
        """Add every channel, registration and masks if there are any; parameters as for neuroconv's converters."""
        given = dict(conversion_options or {})
        for name, interface in self.flim_interfaces.items():
            if self.registration is not None:
                interface.reader.use_registration(self.registration)
            moved = {"motion_corrected": bool(interface.reader.registration_dict)}
            given[name] = {**self._flim_options, **moved, **given.get(name, {})}
        masks_are_there = not self.roi_interfaces
        for name, interface in self.data_interface_objects.items():
            if name in self.flim_interfaces and not masks_are_there:  # whose rows photons of regions point to
                self._add_rois(nwbfile, metadata, given)
                masks_are_there = True
            self._find_regions(name, metadata)
            interface.add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, **given.get(name, {}))
        if self.registration is not None:
            add_registration(nwbfile, self.registration, write_corrected=self.write_corrected)
        if not masks_are_there:
            self._add_rois(nwbfile, metadata, given)

    def _find_regions(self, name: str, metadata: Any) -> None:
        """Have an interface write photons of `roi_interfaces`, unless it has masks of its own."""
        interface = self.flim_interfaces.get(name)
        if interface is not None:
            others = self.roi_interfaces if interface.masks is None else ()
            interface.find_regions = partial(flim_regions, others, interface.imaging_extractor, metadata)

    def _add_rois(self, nwbfile: NWBFile, metadata: Any, options: dict) -> None:
        """Add masks and traces on the times of the first channel's series."""
        name, interface = next(iter(self.data_interface_objects.items()))
        of_first = options.get(name, {})
        stub = {name: of_first[name] for name in ("stub_test", "stub_samples") if name in of_first}
        completed = interface._complete(metadata)
        series = completed["Ophys"]["MicroscopySeries"][interface.metadata_key]["name"]
        for rois in self.roi_interfaces:
            rois.add_to_nwbfile(nwbfile, metadata, imaging_series=series, **stub)

    @classmethod
    def get_source_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of the parameters."""
        return get_json_schema_from_method_signature(method=cls.__init__)

    def get_metadata(self) -> DeepDict:
        """Return what the files say of every channel, merged.

        Returns
        -------
        DeepDict
        """
        first, *others = self.data_interface_objects.values()
        metadata = first.get_metadata()
        for interface in others:
            interface._start_time = first._start_time  # one recording, one start, one warning about its time zone
            metadata = merge_metadata(metadata, interface.get_metadata())
        for rois in self.roi_interfaces:
            metadata = merge_metadata(metadata, {"Ophys": rois.get_metadata()["Ophys"]})
        return DeepDict(metadata)

    def get_metadata_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the metadata, those of masks included."""
        schema = super().get_metadata_schema()
        for interface in self.roi_interfaces:
            schema = dict_deep_update(schema, interface.get_metadata_schema())
        return schema

    def align_to_pulses(self, pulse_times_s: Any, fires_per: FiresPer = "frame", **options: Any) -> RecordingAlignment:
        """Give the samples of all channels their times on the clock that recorded the sync pulses.

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
        first, *others = self.data_interface_objects.values()
        found: RecordingAlignment = first.align_to_pulses(pulse_times_s, fires_per, **options)
        for interface in others:
            interface.use_alignment(found)
        return found

    def set_aligned_timestamps(self, aligned_timestamps: NDArray[np.float64]) -> None:
        """Replace the time of every sample, of all channels at once; shifts and traces of masks share them.

        Parameters
        ----------
        aligned_timestamps : ndarray of float64, shape (samples,)
            Seconds of the session's clock.
        """
        for interface in self.data_interface_objects.values():
            interface.set_aligned_timestamps(aligned_timestamps)

    def set_aligned_starting_time(self, aligned_starting_time: float) -> None:
        """Shift the times of all channels at once.

        Parameters
        ----------
        aligned_starting_time : float
            Seconds of the session's clock at which the recording's begins.
        """
        for interface in self.data_interface_objects.values():
            interface.set_aligned_starting_time(aligned_starting_time)

    def get_num_samples(self) -> int:
        """Return the number of samples that every channel has."""
        return next(iter(self.data_interface_objects.values())).imaging_extractor.get_num_samples()

    @property
    def file_paths(self) -> list[Path]:
        """The files of the recording."""
        return next(iter(self.data_interface_objects.values())).imaging_extractor.file_paths


def _names(channel_names: Iterable[str], n_channels: int) -> dict[str, str]:
    """Return channels, each once, and what their interfaces' names end in."""
    found: dict[str, str] = {}
    for channel_name in channel_names:
        suffix = f"_{channel_name.replace(' ', '_')}" if n_channels > 1 else ""
        taken = suffix in found.values() and channel_name not in found
        found.setdefault(channel_name, f"{suffix}_{len(found) + 1}" if taken else suffix)
    return found
