"""Sessions: all recordings of a folder, what was made of them and what only the experimenter knows, in one NWB file."""

from scanimage_nwb.nwb.session.converter import SessionConverter, output_path_of
from scanimage_nwb.nwb.session.converting import ConvertedSession, convert_session
from scanimage_nwb.nwb.session.reading import SESSION_FILE_NAME, Session, read_session_file
from scanimage_nwb.nwb.session.template import write_session_file

__all__ = [
    "SESSION_FILE_NAME",
    "ConvertedSession",
    "Session",
    "SessionConverter",
    "convert_session",
    "output_path_of",
    "read_session_file",
    "write_session_file",
]
