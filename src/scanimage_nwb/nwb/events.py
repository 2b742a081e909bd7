"""What happened during a recording, as tables of events: triggers, I2C packets, markers, appended text."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile
from pynwb.event import EventsTable

from scanimage_nwb.recording import Recording
from scanimage_nwb.recording.events import RecordedEvent, read_events
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["add_events", "all_events"]

_DESCRIPTIONS = {
    "auxTrigger": "Edges on auxiliary trigger {number} of ScanImage",
    "I2C": "I2C packets that ScanImage received; bytes as hexadecimal numbers",
    "nextFileMarker": "Triggers that made ScanImage begin its next file",
    "endOfAcquisition": "Frames that ScanImage marked as the last of an acquisition",
    "appendedText": "Text that was written into the .siff file while it was recorded",
}


def all_events(recording: Recording) -> list[RecordedEvent]:
    """Return the events of a recording, appended text of a .siff among them.

    Parameters
    ----------
    recording : Recording
        TIFF or .siff.

    Returns
    -------
    list of RecordedEvent
        In the order of time. Text without a time of its own has that of the frame that holds it.
    """
    events = read_events(recording)
    if recording.is_siff and recording.timestamp_s is not None:
        for one in SiffReader.from_recording(recording).get_appended_text():
            time_s = recording.timestamp_s[one.frame] if one.time_s is None else one.time_s
            events.append(RecordedEvent("appendedText", float(time_s), one.frame, one.text))
    return sorted(events, key=lambda event: event.time_s)


def add_events(
    nwbfile: NWBFile, recording: Recording, to_session_s: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> None:
    """Add one EventsTable for each source that has events; a recording's are added once.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory; the tables go to its ``events``.
    recording : Recording
        Where they come from.
    to_session_s : callable
        Brings the times of `all_events`, on the recording's clock, to that of the session.
    """
    found = all_events(recording)
    times_s = to_session_s(np.array([event.time_s for event in found], np.float64))
    by_source: dict[str, list[tuple[float, RecordedEvent]]] = {}
    for time_s, event in zip(times_s.tolist(), found, strict=True):
        by_source.setdefault(event.source, []).append((time_s, event))
    for source, events in by_source.items():
        where = f"Page texts of {recording.paths[0].name}" + (" and later files" if len(recording.paths) > 1 else "")
        name = _free_name(nwbfile, "ScanImage" + source[0].upper() + source[1:], where)
        if name is None:
            continue
        kind = "auxTrigger" if source.startswith("auxTrigger") else source
        table = EventsTable(
            name=name,
            description=_DESCRIPTIONS[kind].format(number=source[-1]) + ". Times are on the clock of the session.",
            source_description=f"{where}, {source}",
        )
        table.add_column(name="native_time_s", description="Time on the recording's own clock, in seconds")
        table.add_column(name="original_frame_index", description="Global page number whose text holds the event")
        for time_s, event in events:
            text = {"annotation": event.text} if kind in ("I2C", "appendedText") else {}
            table.add_event(timestamp=time_s, native_time_s=event.time_s, original_frame_index=event.page, **text)
        nwbfile.add_events_table(table)


def _free_name(nwbfile: NWBFile, name: str, where: str) -> str | None:
    """Return the name for a table of one more recording; None if those of this recording are there."""
    number = ""
    while (table := nwbfile.events.get(f"{name}{number}")) is not None:
        if str(table.source_description).startswith(f"{where},"):
            return None
        number = str(int(number or 1) + 1)
    return f"{name}{number}"
