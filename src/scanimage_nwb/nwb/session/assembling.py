"""The interfaces of a session, section by section.

A section of the session file becomes interfaces in one function of this module; `SECTIONS` lists them in the order in
which they are written. To add a section: its entry in `schema`, a function here, a line in `SECTIONS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from neuroconv import BaseDataInterface
from pynwb import NWBFile

from scanimage_nwb.errors import RoiError, SessionFileError
from scanimage_nwb.nwb.flim_interface import FlimInterface
from scanimage_nwb.nwb.flim_regions import flim_regions
from scanimage_nwb.nwb.flim_writer import Regions
from scanimage_nwb.nwb.interfaces import ScanImageImagingInterface
from scanimage_nwb.nwb.metadata import name_suffix, registry_key
from scanimage_nwb.nwb.registration import RegistrationInterface, add_registration
from scanimage_nwb.nwb.roi_conversion import STUB_SAMPLES, RoiOptions, roi_interfaces
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.session.reading import SESSION_FILE_NAME, Session, is_siff
from scanimage_nwb.nwb.session.schema import FlimEntry, RecordingEntry, RegistrationEntry, RoisEntry, SyncEntry
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.recording import Recording, open_recording
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["SECTIONS", "Assembly", "OpenRecording", "assemble"]


@dataclass
class OpenRecording:
    """A recording of the session, and its interfaces."""

    entry: RecordingEntry
    recording: Recording
    word: str
    """What tells it from the others in names; empty if it is the only one."""
    interfaces: list[ScanImageImagingInterface] = field(default_factory=list)
    """All that have samples of it, the channels first."""
    imaging: list[ScanImageImagingInterface] = field(default_factory=list)
    """One for each channel."""
    photon_series: list[str] = field(default_factory=list)
    """Names of the series of its photons."""
    sync: SyncEntry | None = None
    registration: RegistrationEntry | None = None
    registration_path: Path | None = None

    @property
    def file_arguments(self) -> dict[str, Any]:
        """Its files, as interfaces take them."""
        paths = [str(path) for path in self.recording.paths]
        return {"file_path": paths[0]} if len(paths) == 1 else {"file_paths": paths}

    @cached_property
    def motion(self) -> RegistrationInfo:
        """Its motion: read, or found when it is first asked for."""
        motion = self.registration
        if motion is None:
            raise ValueError(f"recording {self.entry.name} has no registration")
        reader = SiffReader.from_recording(self.recording)
        if motion.find:
            options = motion.model_dump(include={"max_shift", "subpixel", "smoothness", "share_planes"})
            reader.register(motion.method, motion.channel, **options)
        else:
            assert self.registration_path is not None
            reader.use_registration(self.registration_path)
        assert reader.registration_info is not None
        return reader.registration_info


@dataclass
class Assembly:
    """What a converter is put together from."""

    session: Session
    timezone: str | None
    recordings: dict[str, OpenRecording] = field(default_factory=dict)
    interfaces: dict[str, BaseDataInterface] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Conversion options by interface."""
    preparations: list[Callable[[], None]] = field(default_factory=list)
    """What has to be done before data are added, and takes too long to be done earlier."""

    def add(self, name: str, interface: BaseDataInterface, **options: Any) -> None:
        """Add an interface under a name of its own."""
        assert name not in self.interfaces
        self.interfaces[name] = interface
        self.options[name] = options

    def of(self, entry: Any) -> OpenRecording:
        """Return the recording that an entry of a section is for."""
        return self.recordings[self.session.recording_of(entry)]


def assemble(session: Session, timezone: str | None = None) -> Assembly:
    """Open the recordings of a session and make its interfaces.

    Parameters
    ----------
    session : Session
        From `read_session_file`.
    timezone : str, optional
        In place of what the session says.

    Returns
    -------
    Assembly

    Raises
    ------
    FormatError, MetadataError, FileNotFoundError
        If its files cannot be used.
    """
    assembly = Assembly(session, timezone or session.file.timezone)
    for key, add_section in SECTIONS.items():
        for entry in getattr(session.file, key):
            add_section(assembly, entry)
    return assembly


def _photon_timing(entry: RecordingEntry) -> dict[str, float]:
    """Return what the session file says of delay bins and laser in place of the recording's files."""
    names = ("num_bins", "tcspc_resolution_s", "repetition_rate_hz")
    return {name: getattr(entry, name) for name in names if getattr(entry, name) is not None}


def _add_recording(assembly: Assembly, entry: RecordingEntry) -> None:
    """Open a recording and add its channels as imaging series."""
    session = assembly.session
    paths = [session.path(name) for name in entry.files]
    recording = open_recording(paths[0]) if len(paths) == 1 else open_recording(file_paths=paths)
    _check_kind(entry, recording, session)
    recording = replace(recording, photon_timing=_photon_timing(entry))
    _ = recording.siff_facts  # refuses what makes no sense
    several = len(session.file.recordings) > 1
    opened = OpenRecording(entry, recording, _word(entry.name) if several else "")
    assembly.recordings[entry.name] = opened
    kind, reading = (
        (SiffImagingInterface, {"count_dtype": entry.count_dtype})
        if recording.is_siff
        else (ScanImageImagingInterface, {})
    )
    for channel in _channels(entry.channels, recording, f"recordings.{entry.name}.channels"):
        interface = _make(kind, assembly, opened, channel, **reading)
        opened.imaging.append(interface)
        assembly.add(_interface_name(opened, "Imaging", channel), interface)


def _check_kind(entry: RecordingEntry, recording: Recording, session: Session) -> None:
    """Refuse a recording that is of another kind than was said."""
    if entry.kind is not None and recording.is_siff != (entry.kind == "siff"):
        found = "siff" if recording.is_siff else "tiff"
        where = f"{session.folder}: recordings.{entry.name}"
        raise SessionFileError([f"{where} has kind {entry.kind}; its files are {found}"])
    if recording.is_siff != is_siff(entry):
        raise SessionFileError([f"{session.folder}: recordings.{entry.name} holds photons; give it kind: siff"])


def _channels(names: list[str] | None, recording: Recording, where: str) -> list[str]:
    """Return the channels that are meant."""
    unknown = [name for name in names or [] if name not in recording.channel_names]
    if unknown:
        known = ", ".join(recording.channel_names)
        raise SessionFileError([f"{where}: {unknown[0]} is no channel of {recording.paths[0].name}; it has {known}"])
    return list(dict.fromkeys(names or recording.channel_names))


def _make(kind: Any, assembly: Assembly, opened: OpenRecording, channel: str, **reading: Any) -> Any:
    """Make an interface on a channel of an open recording."""
    entry, recording = opened.entry, opened.recording
    interface = kind.from_recording(
        recording,
        **opened.file_arguments,
        channel_name=channel,
        plane_index=entry.plane,
        slice_sample=entry.slice_sample,
        interleave_slice_samples=entry.slice_sample is None,
        timezone=assembly.timezone,
        metadata_key=metadata_key(assembly.session, opened, channel),
        **reading,
    )
    interface.recording_name = opened.word
    opened.interfaces.append(interface)
    return interface


def metadata_key(session: Session, opened: OpenRecording, channel: str) -> str:
    """Return the key of a channel in ``Ophys``, which no other recording of the session has.

    Parameters
    ----------
    session : Session
        The session.
    opened : OpenRecording
        The recording.
    channel : str
        Its channel.

    Returns
    -------
    str
        As `registry_key` gives it; if there are several recordings of the kind, with the recording's name before.
    """
    key = registry_key(opened.recording, channel, opened.entry.plane)
    alike = [one for one in session.file.recordings if is_siff(one) == opened.recording.is_siff]
    return key if len(alike) == 1 else f"{opened.entry.name}_{key}"


def _word(name: str) -> str:
    """Return the name of a recording as a part of names in NWB."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _interface_name(opened: OpenRecording, what: str, channel: str = "") -> str:
    """Return a name for an interface in the converter."""
    several = channel and opened.recording.n_channels > 1
    return "_".join([*([opened.word] if opened.word else []), what, *([channel.replace(" ", "_")] if several else [])])


def _add_registration(assembly: Assembly, entry: RegistrationEntry) -> None:
    """Add the motion of a recording."""
    opened = assembly.of(entry)
    opened.registration = entry
    opened.registration_path = None if entry.file is None else assembly.session.path(entry.file)
    assembly.add(_interface_name(opened, "Registration"), _Motion(opened), write_corrected=entry.write_corrected)


class _Motion(RegistrationInterface):
    """Motion that is read or found when it is written."""

    def __init__(self, opened: OpenRecording) -> None:
        BaseDataInterface.__init__(self)
        self._opened = opened

    def add_to_nwbfile(  # type: ignore[override]
        self, nwbfile: NWBFile, metadata: Mapping[str, Any], *, write_corrected: bool = False
    ) -> None:
        """Add the motion of the recording, whose series must be there; parameters as for `RegistrationInterface`."""
        series = metadata["Ophys"]["MicroscopySeries"]
        names = [series[interface.metadata_key]["name"] for interface in self._opened.imaging]
        add_registration(
            nwbfile,
            self._opened.motion,
            series_names=names,
            write_corrected=write_corrected,
            recording_name=self._opened.word,
        )


def _add_rois(assembly: Assembly, entry: RoisEntry) -> None:
    """Add masks of a recording, and their traces."""
    opened = assembly.of(entry)
    path = assembly.session.path(entry.file)
    options = RoiOptions(path, plane=entry.plane, dff_window_s=entry.dff_window)
    # the names that readers look for are those of the first recording with masks
    suffix = opened.word if any(isinstance(one, _Masks) for one in assembly.interfaces.values()) else ""
    moved = entry.motion_corrected is not False and opened.registration is not None
    masks = _Masks(opened, options, suffix, moved, assembly.session.folder / SESSION_FILE_NAME)
    assembly.add(_interface_name(opened, "Rois"), masks)


class _Masks(BaseDataInterface):
    """Masks whose traces are taken when they are written."""

    def __init__(
        self, opened: OpenRecording, options: RoiOptions, suffix: str, moved: bool, session_path: Path
    ) -> None:
        super().__init__()
        self._opened, self._options, self._suffix, self._moved = opened, options, suffix, moved
        self._session_path = session_path

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Mapping[str, Any], *, stub_test: bool = False) -> None:
        """Add masks and traces on the times of the recording's first channel, whose series must be there.

        What is written of photons afterwards is written of these masks, too.
        """
        opened = self._opened
        series = metadata["Ophys"]["MicroscopySeries"][opened.imaging[0].metadata_key]["name"]
        try:
            found = roi_interfaces(
                [interface.imaging_extractor for interface in opened.imaging],
                self._options,
                registration=opened.motion if self._moved else None,
                n_samples=STUB_SAMPLES if stub_test else None,
                suffix=self._suffix,
            )
        except RoiError as error:
            raise SessionFileError([f"{self._session_path}: rois of {opened.entry.name}: {error}"]) from error
        for interface in found:
            interface.add_to_nwbfile(nwbfile, dict(metadata), imaging_series=series, stub_test=stub_test)
        for photons in opened.interfaces:
            if isinstance(photons, FlimInterface):
                photons.find_regions = partial(self._regions, found, photons, metadata)

    def _regions(
        self, found: Sequence[RoiTracesInterface], photons: FlimInterface, metadata: Mapping[str, Any]
    ) -> tuple[Regions, ...]:
        """Return the masks whose photons an interface writes; masks of its own go before."""
        if photons.masks is not None:
            return ()
        is_traced = photons.channel_name in [interface.channel_name for interface in self._opened.imaging]
        return tuple(
            replace(
                own,
                suffix=own.suffix.removeprefix(self._suffix),  # names of what is made of photons have the recording's
                has_lifetimes=own.has_lifetimes and is_traced,
            )
            for own in flim_regions(found, photons.imaging_extractor, metadata)
        )


def _add_flim(assembly: Assembly, entry: FlimEntry) -> None:
    """Add photons of a .siff, and what follows from them, channel by channel."""
    opened = assembly.of(entry)
    where = f"flim.{opened.entry.name}.channels"
    written = [interface.channel_name for interface in opened.imaging]
    for channel in _channels(entry.channels or written, opened.recording, where):
        interface = _make(FlimInterface, assembly, opened, channel)
        options = entry.model_dump(exclude={"recording", "channels"})
        assembly.add(_interface_name(opened, "Flim", channel), interface, **options)
        if entry.motion_corrected:
            assembly.preparations.append(partial(_correct_motion, interface, opened))
        if entry.photons:
            suffix = name_suffix(opened.recording, channel, opened.entry.plane)
            opened.photon_series.append(f"PhotonEventSeries{opened.word}{suffix}")


def _correct_motion(interface: FlimInterface, opened: OpenRecording) -> None:
    """Let an interface move photons as the registration of its recording says."""
    interface.reader.use_registration(opened.motion)


def _add_sync(assembly: Assembly, entry: SyncEntry) -> None:
    """Note which pulses a recording is aligned to."""
    assembly.of(entry).sync = entry


SECTIONS: Mapping[str, Callable[[Assembly, Any], None]] = {
    "recordings": _add_recording,
    "registration": _add_registration,
    "rois": _add_rois,
    "flim": _add_flim,
    "sync": _add_sync,
}
"""What adds the entries of each section, in the order in which they are written to the file."""
