"""Synthetic recordings with known truth, and the demo session. Needs nothing else of this package."""

from .decays import draw_decay
from .demo_session import write_demo_session
from .older_scanimage_files import resave_without_magic, write_legacy_recording, write_si5_recording
from .scanimage_files import SyntheticRecording, write_scanimage_recording
from .siff_files import SyntheticSiff, write_siff_recording

__all__ = [
    "SyntheticRecording",
    "SyntheticSiff",
    "draw_decay",
    "resave_without_magic",
    "write_demo_session",
    "write_legacy_recording",
    "write_scanimage_recording",
    "write_si5_recording",
    "write_siff_recording",
]
