"""`SessionConverter`: everything that a session file names, in one NWB file, on one clock."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from neuroconv import BaseDataInterface, ConverterPipe
from neuroconv.utils import DeepDict
from pynwb import NWBFile

from scanimage_nwb.errors import SessionFileError
from scanimage_nwb.nwb.alignment import on_aligned_clock
from scanimage_nwb.nwb.dandi_naming import dandi_path
from scanimage_nwb.nwb.metadata import session_description
from scanimage_nwb.nwb.pulse_sources import read_pulse_times
from scanimage_nwb.nwb.session.assembling import OpenRecording, assemble
from scanimage_nwb.nwb.session.reading import Session, read_session_file
from scanimage_nwb.nwb.start_time import with_timezone
from scanimage_nwb.nwb.user_metadata import merge_metadata, warn_of_unused_entries
from scanimage_nwb.nwb.whole_file_writing import WholeFileWriting

__all__ = ["SessionConverter", "output_path_of"]


class SessionConverter(WholeFileWriting, ConverterPipe):
    r"""All recordings of a session and what was made of them, in one NWB file, on one clock.

    Recordings with sync pulses have the times of these pulses, and time 0 of the file is that of the pulses' clock. The
    others are placed by when their files say they began. Without pulses, time 0 is when the first recording began,
    or the ``session_start_time`` of the session's metadata.

    Parameters
    ----------
    session : Session or path-like
        From `read_session_file`, or the path of the file (or of its folder).
    timezone : str, optional
        Time zone of the computer that recorded TIFFs, in place of what the session says.
    metadata : mapping, optional
        Lies under what the session says: what all sessions of a lab have in common.
    verbose : bool
        Show a progress bar while data are written.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> _ = write_scanimage_recording(folder, name="run_00001", n_channels=2)
    >>> _ = (folder / "session.yaml").write_text("recordings: {name: run, files: run_00001.tif}\ntimezone: UTC")
    >>> converter = SessionConverter(folder)
    >>> sorted(converter.data_interface_objects)
    ['Imaging_Channel_1', 'Imaging_Channel_2']
    >>> converter.run_conversion(nwbfile_path=folder / "run.nwb")
    """

    display_name = "ScanImage session"
    keywords = ("two-photon", "session")
    associated_suffixes = (".yaml",)
    info = "Converter for a whole session: imaging, lifetimes, motion and sync pulses, as a session file says."

    def __init__(
        self,
        session: Session | str | Path,
        *,
        timezone: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.session = session if isinstance(session, Session) else read_session_file(session)
        self._assembly = assemble(self.session, timezone)
        self._common_metadata = metadata or {}
        self._time_zero: datetime | None = None
        self._is_aligned = False
        super().__init__(data_interfaces=self._assembly.interfaces, verbose=False)
        self.show_progress = verbose

    @property
    def recordings(self) -> Mapping[str, OpenRecording]:
        """The recordings by their names."""
        return self._assembly.recordings

    def add_interface(self, name: str, interface: BaseDataInterface, **options: Any) -> None:
        """Write what a lab's own interface holds into the same file, behind what the session file names.

        Its times are its own: they have to be on the clock of the file. Those of the recordings are known by then, as
        ``recordings[...].interfaces[0].get_timestamps()``.

        Parameters
        ----------
        name : str
            A name that no other interface of the converter has.
        interface : BaseDataInterface
            The interface.
        **options
            Its conversion options.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        if name in self.data_interface_objects:
            raise ValueError(
                f"there is an interface {name!r} already; known are {', '.join(self.data_interface_objects)}"
            )
        self.align()
        self._assembly.add(name, interface, **options)
        self.data_interface_objects[name] = interface

    def get_metadata(self) -> DeepDict:
        """Return what files and session file say.

        Returns
        -------
        DeepDict
            Ready for `run_conversion`, which takes it by default.

        Raises
        ------
        MetadataError, TimeAxisError
            If it is not known when a recording began, or pulses do not fit it.
        """
        self.align()
        found: dict[str, Any] = {}
        for interface in reversed(self.data_interface_objects.values()):
            found = merge_metadata(found, interface.get_metadata())
        descriptions = dict.fromkeys(session_description(one.recording) for one in self.recordings.values())
        found["NWBFile"]["session_description"] = "; ".join(descriptions)
        found["NWBFile"].pop("session_start_time", None)
        merged = found
        for layer in self._layers:
            merged = merge_metadata(merged, layer)
        warn_of_unused_entries(found, merged)
        merged["NWBFile"]["session_start_time"] = self._time_zero
        subject = merged.get("Subject", {})
        if "date_of_birth" in subject:
            where = "Subject.date_of_birth"
            subject["date_of_birth"] = with_timezone(subject["date_of_birth"], self._assembly.timezone, where=where)
        return DeepDict(merged)

    @property
    def _layers(self) -> tuple[Mapping[str, Any], ...]:
        """What people said, each on top of the one before."""
        return self._common_metadata, *self.session.metadata_layers

    def align(self) -> None:
        """Put all recordings on one clock, once.

        Raises
        ------
        MetadataError
            If it is not known when a recording began.
        TimeAxisError
            If sync pulses do not fit their recording, or it began before time 0.
        """
        if self._is_aligned:
            return
        for opened in self.recordings.values():
            if opened.sync is not None:
                _align_to_pulses(opened, self.session)
        starts = {name: self._start_of(opened) for name, opened in self.recordings.items()}
        self._time_zero = self._choose_time_zero(starts)
        for name, opened in self.recordings.items():
            if opened.sync is not None:
                continue
            start = starts[name]
            if start is None:
                if len(self.recordings) > 1:
                    raise self._unknown_start(name)
                continue
            shift_s = (start - self._time_zero).total_seconds()
            if shift_s < 0:
                raise SessionFileError(
                    [
                        f"{self.session.folder}: recording {name} began at {start}, before time 0 of the file, "
                        f"{self._time_zero} (NWBFile.session_start_time, or the clock of the pulses): give it a sync "
                        "of its own, or correct its start"
                    ]
                )
            for interface in opened.interfaces if shift_s else ():
                interface.set_aligned_starting_time(shift_s)
        self._is_aligned = True

    def _start_of(self, opened: OpenRecording) -> datetime | None:
        """Return when the clock of a recording started, with time zone, None if nobody says."""
        first = opened.interfaces[0]
        if opened.entry.start is not None:
            where = f"recordings.{opened.entry.name}.start"
            return with_timezone(opened.entry.start, self._assembly.timezone, where=where)
        start = first.get_metadata()["NWBFile"].get("session_start_time")
        for other in opened.interfaces[1:]:
            other._start_time = first._start_time  # one recording, one start, one warning about its time zone
        return start

    def _choose_time_zero(self, starts: Mapping[str, datetime | None]) -> datetime:
        """Return what time 0 of the file is."""
        given = _last_said(self._layers, "NWBFile", "session_start_time")
        if given is not None:
            return with_timezone(given, self._assembly.timezone, where="NWBFile.session_start_time")
        for name, opened in self.recordings.items():
            start = starts[name]
            if opened.sync is not None and start is not None:
                return start - timedelta(seconds=_zero_on_pulses(opened))
        for name, start in starts.items():
            if start is None:
                raise self._unknown_start(name)
        return min(start for start in starts.values() if start is not None)

    def _unknown_start(self, name: str) -> SessionFileError:
        """Return the error that asks when a recording began."""
        return SessionFileError(
            [
                f"{self.session.folder}: the files of recording {name} do not say when it began; give it a start, "
                "such as start: 2025-04-24T16:43:57+02:00, in its entry of recordings"
            ]
        )

    def temporally_align_data_interfaces(self, metadata: Any = None, conversion_options: Any = None) -> None:
        """Put all recordings on one clock; parameters as for neuroconv's converters."""
        self.align()

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Any = None, conversion_options: dict | None = None) -> None:
        """Add everything; parameters as for neuroconv's converters. Given options go before those of the session."""
        self.align()
        for prepare in self._assembly.preparations:
            prepare()
        given = conversion_options or {}
        own_options = self._assembly.options
        options = {name: {**own_options.get(name, {}), **given.get(name, {})} for name in self.data_interface_objects}
        metadata = self.get_metadata() if metadata is None else metadata
        super().add_to_nwbfile(nwbfile=nwbfile, metadata=metadata, conversion_options=options)

    def stub_options(self) -> dict[str, dict[str, Any]]:
        """Return conversion options that write the first 100 samples of every recording only."""
        return {
            name: {"stub_test": True}
            for name, interface in self.data_interface_objects.items()
            if "stub_test" in interface.get_conversion_options_schema()["properties"]
        }

    @property
    def output_path(self) -> Path:
        """Relative path of the file, as the session says, or as DANDI names it; else by the folder's name."""
        return output_path_of(self.session, self._common_metadata)


def output_path_of(session: Session, common_metadata: Mapping[str, Any] | None = None) -> Path:
    """Return the relative path of the NWB file of a session.

    Parameters
    ----------
    session : Session
        The session.
    common_metadata : mapping, optional
        Lies under what it says.

    Returns
    -------
    Path
        What it says; as DANDI names files, if subject and session have names; else the name of the folder.
    """
    if session.file.output is not None:
        return Path(session.file.output)
    layers = common_metadata or {}, *session.metadata_layers
    subject_id = _last_said(layers, "Subject", "subject_id")
    session_id = _last_said(layers, "NWBFile", "session_id")
    if subject_id and session_id:
        return Path(dandi_path(subject_id, session_id))
    return Path(f"{session.folder.name}.nwb")


def _last_said(layers: Sequence[Mapping[str, Any]], section: str, key: str) -> Any:
    """Return what the uppermost layer that has a key says, None if none has it."""
    said = [fields[key] for layer in layers if isinstance(fields := layer.get(section), Mapping) and key in fields]
    return said[-1] if said else None


def _align_to_pulses(opened: OpenRecording, session: Session) -> None:
    """Give all channels of a recording the times of its pulses."""
    sync = opened.sync
    assert sync is not None
    pulses = read_pulse_times(session.path(sync.file), sync.name)
    options = {"first_pulse": sync.first_pulse, "start_near_s": sync.start_near}
    first, *others = opened.interfaces
    found = first.align_to_pulses(pulses, sync.fires_per, **options)
    for interface in others:
        interface.use_alignment(found)


def _zero_on_pulses(opened: OpenRecording) -> float:
    """Return the time that the start of a recording's clock has on that of its pulses, in seconds."""
    first = opened.interfaces[0]
    zero = on_aligned_clock(np.zeros(1), first.get_original_timestamps(), first.get_timestamps())
    return float(zero[0])
