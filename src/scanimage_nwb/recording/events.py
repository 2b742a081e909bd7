"""What happened during a recording, by the texts of its pages: triggers, I2C packets, markers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_page_text import PageText, parse_page_text
from scanimage_nwb.formats.scanimage_tiff import decode_text
from scanimage_nwb.formats.tiff_pages import PageTable
from scanimage_nwb.recording.recording import Recording

__all__ = ["RecordedEvent", "read_events", "trigger_times"]

_MAX_TEXT_BYTES = 1 << 20
_PAGES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """Something that the microscope's software wrote down."""

    source: str
    """"auxTrigger0" to "auxTrigger3", "I2C", "nextFileMarker", "endOfAcquisition" or "appendedText"."""
    time_s: float
    """When, in seconds of the clock of the recording's timestamps."""
    page: int
    """Global page whose text holds it."""
    text: str = ""
    """Content of a packet or a text; bytes as hexadecimal numbers."""


def read_events(recording: Recording) -> list[RecordedEvent]:
    """Read the events of all frames, each once, although every channel's page holds them.

    Parameters
    ----------
    recording : Recording
        Its pages have timestamps.

    Returns
    -------
    list of RecordedEvent
        In the order of time. Without timestamps there are none.

    Raises
    ------
    HeaderFieldError
        If a page text holds a value that is not of its kind.

    Examples
    --------
    >>> from scanimage_nwb import open_recording
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> written = write_scanimage_recording(folder, n_channels=2, aux_triggers={6: [0.105, 0.11]})
    >>> [(event.source, event.time_s) for event in read_events(open_recording(written.paths[0]))][:2]
    [('auxTrigger0', 0.105), ('auxTrigger0', 0.11)]
    """
    if recording.timestamp_s is None:
        return []
    events: list[RecordedEvent] = []
    first_page = 0
    new_frame = np.diff(recording.index.frame, prepend=-1) != 0
    for table in recording.tables:
        texts = new_frame[first_page : first_page + table.n_pages] & (table.columns["text_offset"] >= 0)
        for page, text in _texts_with_events(table, np.flatnonzero(texts)):
            found = parse_page_text(decode_text(text), source=f"{table.path}, page {page}")
            events += _events_of_page(found, first_page + page, float(recording.timestamp_s[first_page + page]))
        first_page += table.n_pages
    unique = dict.fromkeys((event.source, event.time_s, event.text) for event in events)
    first_of = {(event.source, event.time_s, event.text): event for event in reversed(events)}
    return sorted((first_of[key] for key in unique), key=lambda event: event.time_s)


def _texts_with_events(table: PageTable, pages: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """Yield the pages of a file during which something happened, and their texts.

    Texts are joined and searched together: of most pages nothing happened.
    """
    from scanimage_nwb.kernels.page_events import find_eventful

    offset, n_bytes = table.columns["text_offset"], np.minimum(table.columns["text_bytes"], _MAX_TEXT_BYTES)
    with ReadOnlyFile(table.path) as file:
        for first in range(0, len(pages), _PAGES_AT_ONCE):
            some = pages[first : first + _PAGES_AT_ONCE]
            begins = np.concatenate([[0], np.cumsum(n_bytes[some])]).astype(np.int64)
            joined = bytearray(int(begins[-1]))
            view = memoryview(joined)
            for at, start, length in zip(begins.tolist(), offset[some].tolist(), n_bytes[some].tolist(), strict=False):
                file.read_into(start, [view[at : at + length]])
            for rank in np.flatnonzero(find_eventful(np.frombuffer(joined, np.uint8), begins)).tolist():
                yield int(some[rank]), bytes(joined[begins[rank] : begins[rank + 1]])


def _events_of_page(found: PageText, page: int, time_s: float) -> list[RecordedEvent]:
    """Return the events of one page; its times count from the start of its file's clock."""
    clock_s = 0.0 if found.timestamp_s is None else time_s - found.timestamp_s
    events = [
        RecordedEvent(f"auxTrigger{number}", edge_s + clock_s, page)
        for number, edges in enumerate(found.aux_triggers)
        for edge_s in edges
    ]
    for packet_s, content in found.i2c_data:
        text = content.hex(" ") if isinstance(content, bytes) else content
        events.append(RecordedEvent("I2C", time_s if np.isnan(packet_s) else packet_s + clock_s, page, text))
    if found.next_file_marker_timestamp_s is not None and found.next_file_marker_timestamp_s >= 0:
        events.append(RecordedEvent("nextFileMarker", found.next_file_marker_timestamp_s + clock_s, page))
    if found.end_of_acquisition:
        events.append(RecordedEvent("endOfAcquisition", time_s, page))
    return events


def trigger_times(recording: Recording, source: str) -> np.ndarray:
    """Return the times of one kind of event, such as pulses on an auxiliary trigger.

    Parameters
    ----------
    recording : Recording
        Its pages hold the events.
    source : str
        As in `RecordedEvent.source`.

    Returns
    -------
    ndarray of float64, shape (events,)
        Seconds of the clock of the recording's timestamps.
    """
    return np.array([event.time_s for event in read_events(recording) if event.source == source], np.float64)
