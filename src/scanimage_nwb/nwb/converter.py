"""All channels of a recording, TIFF or .siff, in one NWB file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroconv import ConverterPipe
from neuroconv.utils import DeepDict, dict_deep_update, get_json_schema_from_method_signature
from pydantic import FilePath
from pynwb import NWBFile

from scanimage_nwb.extractors.siff import CountDtype
from scanimage_nwb.nwb.interfaces import ScanImageImagingInterface, WholeFileWriting
from scanimage_nwb.nwb.registration import add_registration
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.nwb.user_metadata import merge_metadata
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
    verbose : bool
        Show a progress bar while data are written.
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
        verbose: bool = False,
    ) -> None:
        recording = open_recording(file_path, file_paths=file_paths)
        interface_class, kind, reading = ScanImageImagingInterface, "ScanImageImaging", {}
        if recording.is_siff:
            interface_class, kind, reading = SiffImagingInterface, "SiffImaging", {"count_dtype": count_dtype}
        interfaces: dict[str, ScanImageImagingInterface] = {}
        for channel_name in dict.fromkeys(channel_names or recording.channel_names):
            name = kind
            if recording.n_channels > 1:
                name += f"_{channel_name.replace(' ', '_')}"
            if name in interfaces:
                name += f"_{len(interfaces) + 1}"
            interfaces[name] = interface_class.from_recording(
                recording,
                file_path=file_path,
                file_paths=file_paths,
                channel_name=channel_name,
                plane_index=plane_index,
                slice_sample=slice_sample,
                interleave_slice_samples=interleave_slice_samples,
                timezone=timezone,
                verbose=verbose,
                **reading,
            )
        super().__init__(data_interfaces=interfaces)
        self.show_progress = verbose

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Any, conversion_options: dict | None = None) -> None:
        """Add every channel, registration and masks if there are any; parameters as for neuroconv's converters."""
        super().add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, conversion_options=conversion_options)
        if self.registration is not None:
            add_registration(nwbfile, self.registration, write_corrected=self.write_corrected)
        first = next(iter(self.data_interface_objects))
        options = (conversion_options or {}).get(first, {})
        stub = {name: options[name] for name in ("stub_test", "stub_samples") if name in options}
        series = metadata["Ophys"]["MicroscopySeries"][self.data_interface_objects[first].metadata_key]["name"]
        for interface in self.roi_interfaces:
            interface.add_to_nwbfile(nwbfile, metadata, imaging_series=series, **stub)

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

    def get_num_samples(self) -> int:
        """Return the number of samples that every channel has."""
        return next(iter(self.data_interface_objects.values())).imaging_extractor.get_num_samples()

    @property
    def file_paths(self) -> list[Path]:
        """The files of the recording."""
        return next(iter(self.data_interface_objects.values())).imaging_extractor.file_paths
