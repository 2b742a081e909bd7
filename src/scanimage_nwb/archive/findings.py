"""What nwbinspector, as DANDI sets it up, says about a file."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from scanimage_nwb.archive.advice import advice_for
from scanimage_nwb.archive.naming import open_nwb
from scanimage_nwb.errors import MissingPackageError

__all__ = ["Finding", "Severity", "by_message", "inspect_file", "last_line"]


class Severity(IntEnum):
    """How serious a finding is; from `CRITICAL` on a file is not fit for DANDI."""

    SUGGESTION = 0
    """Better, but good enough without."""
    VIOLATION = 1
    """Against best practice; DANDI takes the file."""
    CRITICAL = 2
    """DANDI refuses the file."""
    ERROR = 3
    """The file is not valid, or could not be checked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One message about a file."""

    path: str
    """The file, or the folder."""
    severity: Severity
    check: str
    """Name of the check."""
    message: str
    """What it says."""
    where: str
    """Place in the file; "" for the whole of it."""
    advice: str
    """What to do about it."""


_INSPECTOR = {
    "ERROR": Severity.ERROR,
    "PYNWB_VALIDATION": Severity.ERROR,
    "CRITICAL": Severity.CRITICAL,
    "BEST_PRACTICE_VIOLATION": Severity.VIOLATION,
    "BEST_PRACTICE_SUGGESTION": Severity.SUGGESTION,
}


def inspect_file(path: str | Path) -> list[Finding]:
    """Ask nwbinspector about a file, with the configuration that DANDI uses.

    Parameters
    ----------
    path : path-like
        NWB file.

    Returns
    -------
    list of Finding
        The most serious ones first.

    Raises
    ------
    MissingPackageError
        If nwbinspector is not installed.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    try:
        from nwbinspector import inspect_nwbfile, inspect_nwbfile_object, load_config
    except ImportError as error:
        raise MissingPackageError("this needs nwbinspector: python -m pip install nwbinspector") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages about the file; what matters comes as a message
        if path.is_dir():  # Zarr: the inspector reads it with options that only HDF5 has
            nwbfile = open_nwb(path)
            messages = list(inspect_nwbfile_object(nwbfile, config=load_config("dandi")))
            nwbfile.read_io.close()
        else:
            messages = list(inspect_nwbfile(nwbfile_path=path, config=load_config("dandi")))
    found = {
        Finding(
            str(path),
            _INSPECTOR[message.importance.name],
            _check(message.check_function_name),
            last_line(str(message.message)),
            _where(message.location, message.object_name),
            advice_for(_check(message.check_function_name)),
        )
        for message in messages
    }
    return sorted(found, key=lambda finding: (-finding.severity, finding.check, finding.where, finding.message))


def by_message(findings: Iterable[Finding]) -> list[tuple[Finding, list[Finding]]]:
    """Put findings together that say the same of several places.

    Parameters
    ----------
    findings : iterable of Finding
        In any order.

    Returns
    -------
    list of (Finding, list of Finding)
        The first of each message, and all of them; in the order given.
    """
    groups: dict[tuple[Severity, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.check, finding.message), []).append(finding)
    return [(group[0], group) for group in groups.values()]


def last_line(text: str) -> str:
    """Return a message in one line; of a traceback the end, which says what went wrong."""
    found = text.strip()
    return " ".join((found.splitlines()[-1] if "Traceback (most recent call last)" in found else found).split())


def _check(name: str) -> str:
    """Return the name of a check; where reading fails, the inspector puts a sentence there."""
    return "read" if " " in name else name


def _where(location: str | None, name: str | None) -> str:
    """Return a place in the file in words."""
    return "" if (location or "/") == "/" and (name or "root") == "root" else str(location or name)
