"""What checks say about a file: nwbinspector's messages, and the comparison with the source."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from scanimage_nwb.archive import Finding, Severity, by_message, inspect_file
from scanimage_nwb.errors import MissingPackageError
from scanimage_nwb.report.parts import Group, Section, Table

__all__ = ["VerifiedSeries", "checks_section"]

_WORDS = {
    Severity.ERROR: "error",
    Severity.CRITICAL: "critical",
    Severity.VIOLATION: "against best practice",
    Severity.SUGGESTION: "suggestion",
}


class VerifiedSeries(Protocol):
    """What a comparison of one series with its source gave, as `nwb.verify_nwbfile` returns it."""

    @property
    def series(self) -> str:
        """Name of the series."""

    @property
    def n_samples(self) -> int:
        """Samples compared."""

    @property
    def difference(self) -> object | None:
        """The first difference, None if all is equal."""


def checks_section(path: Path, verified: Sequence[VerifiedSeries] | None) -> Section:
    """Show what checks say.

    Parameters
    ----------
    path : Path
        The file.
    verified : sequence of VerifiedSeries, optional
        What comparing the file with its source gave.

    Returns
    -------
    Section
    """
    return Section("checks", "Checks", [_verification(verified), _inspection(path)])


def _verification(verified: Sequence[VerifiedSeries] | None) -> Group:
    """Say whether the file equals its source."""
    group = Group("Comparison with the source")
    if verified is None:
        group.notes.append("Not verified: the file was not compared with the recording it came from.")
        return group
    for check in verified:
        if check.difference is None:
            group.notes.append(f"{check.series}: {check.n_samples:,} samples are equal to the source, bit for bit.")
        else:
            sample, text = (getattr(check.difference, name, "") for name in ("sample", "text"))
            group.warnings.append(f"{check.series} differs from the source at sample {sample}: {text}.")
    return group


def _inspection(path: Path) -> Group:
    """List the messages of nwbinspector."""
    group = Group("NWB inspector, as DANDI sets it")
    try:
        findings = inspect_file(path)
    except MissingPackageError as error:
        group.notes.append(f"Not inspected: {error}.")
        return group
    if not findings:
        group.notes.append("Nothing to say: the inspector is content.")
        return group
    serious = [finding for finding in findings if finding.severity >= Severity.CRITICAL]
    words = "DANDI would refuse the file" if serious else "nothing that DANDI would refuse the file for"
    (group.warnings if serious else group.notes).append(f"{len(findings)} messages: {words}.")
    group.tables.append(Table([_row(own) for _, own in by_message(findings)], ("severity", "message", "what to do")))
    return group


def _row(findings: list[Finding]) -> tuple[str, str, str]:
    """Return a row for findings that say the same."""
    first, places = findings[0], [finding.where for finding in findings if finding.where]
    where = f" ({', '.join(places)})" if places else ""
    return _WORDS[first.severity], f"{first.message}{where}", first.advice
