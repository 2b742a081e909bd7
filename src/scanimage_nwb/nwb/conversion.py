"""From the files of one recording to one NWB file, as commands and scripts do it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors.siff import CountDtype
from scanimage_nwb.nwb.alignment import SyncOptions
from scanimage_nwb.nwb.converter import ScanImageConverter
from scanimage_nwb.nwb.flim_interface import FlimProduct
from scanimage_nwb.nwb.progress import WriteProgress
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.nwb.roi_conversion import STUB_SAMPLES, RoiOptions, roi_interfaces
from scanimage_nwb.nwb.start_time import EXPECTED_START_TIME, with_timezone
from scanimage_nwb.nwb.user_metadata import merge_metadata, warn_of_unused_entries
from scanimage_nwb.registration import RegistrationInfo

__all__ = ["convert_recording"]


def convert_recording(
    file_paths: Sequence[str | Path],
    nwbfile_path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    channel_names: Sequence[str] | None = None,
    plane_index: int | None = None,
    slice_sample: int | None = None,
    stub_test: bool = False,
    overwrite: bool = False,
    progress: bool | Callable[[WriteProgress], None] = False,
    workers: int | None = None,
    cloud: bool = False,
    registration: RegistrationInfo | None = None,
    write_corrected: bool = False,
    count_dtype: CountDtype = "int16",
    sync: SyncOptions | None = None,
    flim: Sequence[FlimProduct] = (),
    flim_options: Mapping[str, Any] | None = None,
    rois: RoiOptions | None = None,
    photon_timing: Mapping[str, float] | None = None,
) -> Path:
    """Convert a recording, TIFF or .siff, to an NWB file, all channels unless some are named.

    Parameters
    ----------
    file_paths : sequence of path-like
        One file, whose recording is found beside it, or exactly the files given, in the order of time.
    nwbfile_path : path-like
        The file to write.
    metadata : mapping, optional
        Goes on top of what the files say; see `scanimage_nwb.nwb.user_metadata`.
    timezone : str, optional
        Time zone of the computer that recorded; by default this computer's.
    channel_names : sequence of str, optional
        Channels to write; by default all.
    plane_index : int, optional
        Plane to write; by default all.
    slice_sample : int, optional
        Where there are several frames of each slice: the one to take. By default all are written, as samples one
        after the other, so that none is lost.
    stub_test : bool
        Write the first 100 samples only.
    overwrite : bool
        Replace a file that is there.
    progress : bool or callable
        Show a progress bar, or what to call instead.
    workers, cloud : optional
        As for `write_nwbfile`.
    registration : RegistrationInfo, optional
        Motion to write beside the channels.
    write_corrected : bool
        Write the corrected movies too.
    count_dtype : {'int16', 'uint16', 'uint32'}
        Type of the photon counts of a .siff; see `SiffImagingInterface`.
    sync : SyncOptions, optional
        Sync pulses to take the times of all samples from.
    flim : sequence of {'photons', 'histograms', 'lifetime', 'phasor', 'fit'}
        What of the photons of a .siff is written beside their counts; see `ScanImageConverter`.
    flim_options : mapping, optional
        Conversion options of `FlimInterface` on top of that, such as ``{"bin_factor": 10, "fit": 1}``.
    rois : RoiOptions, optional
        Masks to write beside the channels, with their traces.
    photon_timing : mapping, optional
        ``num_bins``, ``tcspc_resolution_s`` and ``repetition_rate_hz`` in place of what a .siff says.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    FormatError, MetadataError, RoiError, FileNotFoundError
        If files or metadata cannot be used.
    PhotonRangeError
        If a pixel has more photons than `count_dtype` holds.
    """
    nwbfile_path = Path(nwbfile_path).expanduser().absolute()
    _check_output(nwbfile_path, overwrite)
    paths = [Path(path) for path in file_paths]
    converter = ScanImageConverter(
        paths[0] if len(paths) == 1 else None,
        file_paths=paths if len(paths) > 1 else None,
        channel_names=list(channel_names) if channel_names else None,
        plane_index=plane_index,
        slice_sample=slice_sample,
        interleave_slice_samples=slice_sample is None,
        timezone=timezone,
        count_dtype=count_dtype,
        flim=list(flim),
        photon_timing=dict(photon_timing or {}),
    )
    converter.show_progress, converter.writer_options = progress, {"workers": workers, "cloud": cloud}
    converter.registration, converter.write_corrected = registration, write_corrected
    if rois is not None:
        interfaces = converter.data_interface_objects
        extractors = [
            one.imaging_extractor for name, one in interfaces.items() if name not in converter.flim_interfaces
        ]
        converter.roi_interfaces = roi_interfaces(
            extractors, rois, registration=registration, n_samples=STUB_SAMPLES if stub_test else None
        )
    found = converter.get_metadata()
    merged = merge_metadata(found, metadata or {})
    warn_of_unused_entries(found, merged)
    if "session_start_time" not in merged["NWBFile"]:
        raise MetadataError(f"{paths[0]} does not say when it was recorded; {EXPECTED_START_TIME}")
    for section, name in (("NWBFile", "session_start_time"), ("Subject", "date_of_birth")):
        fields = merged.get(section)
        if isinstance(fields, dict) and name in fields:
            fields[name] = with_timezone(fields[name], timezone, where=f"{section}.{name}")
    if sync is not None:
        converter.align_to_pulses(
            read_pulse_times(sync.pulses, sync.name),
            sync.fires_per,  # type: ignore[arg-type]  # checked there
            first_pulse=sync.first_pulse,
            start_near_s=sync.start_near_s,
        )
    _make_folder(nwbfile_path.parent)
    options: dict[str, dict[str, Any]]
    options = {name: {"stub_test": stub_test} for name in converter.data_interface_objects}
    for name in converter.flim_interfaces:
        options[name] |= dict(flim_options or {})
    converter.run_conversion(
        nwbfile_path=str(nwbfile_path), metadata=merged, overwrite=overwrite, conversion_options=options
    )
    return nwbfile_path


def _check_output(path: Path, overwrite: bool) -> None:
    """Refuse a place where no NWB file can or may go."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name the file to write in it, such as {path / 'session.nwb'}")
    if path.suffix.lower() != ".nwb":
        raise ValueError(f"{path} cannot be the output; expected a name that ends in .nwb, such as {path}.nwb")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; choose another name, or replace it with --overwrite")


def _make_folder(folder: Path) -> None:
    """Make the folder of the output."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"{folder} cannot be made, or is no folder that the output can go to: {error.strerror}"
        ) from error
