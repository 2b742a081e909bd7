"""The exceptions of scanimage-nwb.

::

    ScanImageNwbError(Exception)
    ├── FormatError(ValueError)             bytes or text that are not what the format says
    │   ├── TruncatedFileError              a file that ends too early to hold one whole page
    │   ├── UnsupportedFormatError          a sound file of a kind we do not read
    │   └── HeaderFieldError                a header line whose value cannot be used
    ├── FrameIndexError(IndexError)         a page, frame, plane or sample that is not there
    ├── PhotonRangeError(ValueError)        a photon outside its page or its delay range
    ├── TimeAxisError(ValueError)           times that cannot belong to the recording
    ├── RoiError(ValueError)                masks or traces that cannot belong to the recording
    ├── MetadataError(ValueError)           metadata that the user gave and that cannot be used
    │   └── SessionFileError                a session file that cannot be used, problem by problem
    ├── MissingPackageError(ImportError)    a package that is not installed, and is needed for one task only
    └── VerificationError                   a file that is not equal to its source

Every message names the file, the place in it, what was expected, what was found, and the way out.
Trouble that loses nothing but deserves a look is a `ScanImageNwbWarning`, issued once for each recording.
"""

from collections.abc import Sequence

__all__ = [
    "FormatError",
    "FrameIndexError",
    "HeaderFieldError",
    "MetadataError",
    "MissingPackageError",
    "PhotonRangeError",
    "RoiError",
    "ScanImageNwbError",
    "ScanImageNwbWarning",
    "SessionFileError",
    "TimeAxisError",
    "TruncatedFileError",
    "UnsupportedFormatError",
    "VerificationError",
]


class ScanImageNwbError(Exception):
    """Root of all errors that this package raises on purpose."""


class FormatError(ScanImageNwbError, ValueError):
    """Bytes or text of a file are not what its format says."""


class TruncatedFileError(FormatError):
    """A file ends before its first page is whole."""


class UnsupportedFormatError(FormatError):
    """A file is sound, but of a kind that this package does not read."""


class HeaderFieldError(FormatError):
    """A line of the ScanImage header has a value that cannot be used."""


class FrameIndexError(ScanImageNwbError, IndexError):
    """A page, frame, plane or sample was asked for that the recording does not have."""


class PhotonRangeError(ScanImageNwbError, ValueError):
    """A photon lies outside its page or beyond the last delay bin."""


class TimeAxisError(ScanImageNwbError, ValueError):
    """Times were given that cannot belong to the recording."""


class RoiError(ScanImageNwbError, ValueError):
    """Masks, or traces of masks, cannot be used, or cannot belong to the recording."""


class MetadataError(ScanImageNwbError, ValueError):
    """Metadata given by the user cannot be used."""


class SessionFileError(MetadataError):
    """A session file cannot be used.

    Parameters
    ----------
    problems : sequence of str
        One line each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type["SessionFileError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class MissingPackageError(ScanImageNwbError, ImportError):
    """A package is not installed that one task needs, and others do not."""


class VerificationError(ScanImageNwbError):
    """An NWB file is not equal to the recording that it came from."""


class ScanImageNwbWarning(UserWarning):
    """Something in a recording is not as it should be; what was done about it is in the message."""
