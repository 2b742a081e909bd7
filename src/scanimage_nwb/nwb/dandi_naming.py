"""Names that the DANDI archive gives to files."""

import re
from pathlib import PurePosixPath

from scanimage_nwb.errors import MetadataError

__all__ = ["dandi_label", "dandi_path"]


def dandi_path(subject_id: str, session_id: str) -> PurePosixPath:
    """Return where a file of optical physiology goes in a dandiset.

    Parameters
    ----------
    subject_id, session_id : str
        As in the file; what DANDI does not allow in a name becomes ``-``.

    Returns
    -------
    PurePosixPath

    Raises
    ------
    MetadataError
        If nothing is left of an identifier.

    Examples
    --------
    >>> str(dandi_path("m42", "2025_04_24"))
    'sub-m42/sub-m42_ses-2025-04-24_ophys.nwb'
    """
    subject, session = (
        dandi_label(name, value) for name, value in (("subject_id", subject_id), ("session_id", session_id))
    )
    return PurePosixPath(f"sub-{subject}") / f"sub-{subject}_ses-{session}_ophys.nwb"


def dandi_label(name: str, value: str) -> str:
    """Return an identifier as part of a name: in letters, digits and hyphens.

    DANDI forbids underscores, dots, slashes and more in a label.

    Parameters
    ----------
    name, value : str
        What it is, for the error; and the identifier.

    Returns
    -------
    str

    Raises
    ------
    MetadataError
        If it has neither letters nor digits.

    Examples
    --------
    >>> dandi_label("session_id", "2025_04_24 (b)")
    '2025-04-24-b'
    """
    allowed = re.sub(r"[^0-9A-Za-z]+", "-", str(value)).strip("-")
    if not allowed:
        raise MetadataError(f"{name} is {value!r}; expected letters or digits, which make the name of the file")
    return allowed
