"""Getting files ready for the DANDI archive: what its checks say, names, and the folder that is uploaded."""

from scanimage_nwb.archive.dandiset import PreparedDandiset, prepare_dandiset
from scanimage_nwb.archive.findings import Finding, Severity, by_message, inspect_file
from scanimage_nwb.archive.naming import dandi_name
from scanimage_nwb.archive.validating import validate_files

__all__ = [
    "Finding",
    "PreparedDandiset",
    "Severity",
    "by_message",
    "dandi_name",
    "inspect_file",
    "prepare_dandiset",
    "validate_files",
]
