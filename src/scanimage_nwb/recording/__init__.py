"""A recording: files, header, frame index and times as one.

Extractors, interfaces and commands all speak to files through `Recording`; nothing above it opens one. Whatever
is wrong with the files is found here, mended where the pages allow it, and said in one warning.
"""

from scanimage_nwb.recording.alignment import (
    FiresPer,
    RecordingAlignment,
    align_to_pulses,
    pulse_events,
)
from scanimage_nwb.recording.events import RecordedEvent, read_events, trigger_times
from scanimage_nwb.recording.opening import open_recording
from scanimage_nwb.recording.recording import Recording

__all__ = [
    "FiresPer",
    "RecordedEvent",
    "Recording",
    "RecordingAlignment",
    "align_to_pulses",
    "open_recording",
    "pulse_events",
    "read_events",
    "trigger_times",
]
