"""Getting files ready for the DANDI archive: what its checks say, names, and the folder that is uploaded."""

from scanimage_nwb.archive.findings import Finding, Severity, inspect_file
from scanimage_nwb.archive.naming import dandi_name

__all__ = [
    "Finding",
    "Severity",
    "dandi_name",
    "inspect_file",
]
