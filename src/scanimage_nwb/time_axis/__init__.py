"""The time axis: frame timestamps to sample times, and the frames of a recording to the pulses of another clock.

Times are float64 seconds: of the acquisition's clock, as ScanImage stamps them on frames, or of whatever clock the
sync pulses were recorded on.
"""

from scanimage_nwb.time_axis.alignment import match_pulses
from scanimage_nwb.time_axis.regularity import (
    REGULAR_WITHIN_S,
    TimeGap,
    clock_offsets,
    fill_missing,
    find_gaps,
    regular_rate,
    typical_rate,
)
from scanimage_nwb.time_axis.report import AlignmentReport, PulseAlignment

__all__ = [
    "REGULAR_WITHIN_S",
    "AlignmentReport",
    "PulseAlignment",
    "TimeGap",
    "clock_offsets",
    "fill_missing",
    "find_gaps",
    "match_pulses",
    "regular_rate",
    "typical_rate",
]
