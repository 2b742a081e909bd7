"""The commands about what was written: a page to look at, checks, and the folder for DANDI."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanimage_nwb.command_line import command
from scanimage_nwb.commands.options import JSON, PATH, with_options

if TYPE_CHECKING:
    from scanimage_nwb.archive import Finding, Severity

__all__ = ["dandi", "report", "validate"]


@click.command()
@click.argument("nwbfile_path", metavar="OUT.nwb", type=PATH)
@click.option("-o", "--output", type=PATH, help="Page to write. Default: OUT.html beside it.")
@command
def report(nwbfile_path: Path, output: Path | None) -> None:
    """Write an HTML page to look at before a file is uploaded: images, times, motion, lifetimes, checks.

    Any NWB file with a movie will do. A page that is there is replaced.
    """
    from scanimage_nwb.report import write_report

    written = write_report(nwbfile_path, output)
    click.echo(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB): open it in a browser")


@click.command()
@click.argument("path", metavar="OUT.nwb|DIR", type=PATH)
@with_options(JSON)
@command
def validate(path: Path, as_json: bool) -> None:
    """Say what nwbinspector and, if it is installed, the dandi client find, and what to do about it.

    Needs no network. Exit status 1 if DANDI would refuse a file.
    """
    from scanimage_nwb.archive import Severity, validate_files
    from scanimage_nwb.archive.validating import has_dandi

    findings = validate_files(path)
    if as_json:
        for finding in findings:
            click.echo(json.dumps({**asdict(finding), "severity": finding.severity.name}))
    else:
        if not has_dandi():
            click.echo('dandi is not installed, so only nwbinspector was asked: pip install "scanimage-nwb[dandi]"\n')
        _print_findings(path, findings)
    if any(finding.severity >= Severity.CRITICAL for finding in findings):
        sys.exit(1)


def _print_findings(path: Path, findings: "list[Finding]") -> None:
    """Print findings by severity; what is said of several places once."""
    from scanimage_nwb.archive import Severity, by_message

    titles = {
        Severity.ERROR: "ERROR: not valid, or cannot be checked",
        Severity.CRITICAL: "CRITICAL: DANDI refuses the file",
        Severity.VIOLATION: "Against best practice: DANDI takes the file",
        Severity.SUGGESTION: "Suggestions",
    }
    if not findings:
        click.echo(f"{path}: nothing to mend")
    for severity, title in titles.items():
        own = [finding for finding in findings if finding.severity is severity]
        if not own:
            continue
        click.echo(title)
        for first, group in by_message(own):
            places = [":".join(filter(None, (_short(finding.path, path), finding.where))) for finding in group]
            click.echo(f"  {first.message} [{first.check}]\n    in {', '.join(places)}\n    → {first.advice}")
        click.echo()
    _print_summary(findings, titles)


def _print_summary(findings: "list[Finding]", titles: "dict[Severity, str]") -> None:
    """Print how many findings there are of each severity."""
    counts = {title: sum(finding.severity is severity for finding in findings) for severity, title in titles.items()}
    if findings:
        click.echo("; ".join(f"{n} × {title.partition(':')[0].lower()}" for title, n in counts.items() if n))


def _short(file: str, path: Path) -> str:
    """Return the name of a file below the path that was given."""
    found = Path(file)
    return found.relative_to(path).as_posix() if found.is_relative_to(path) and found != path else found.name


@click.command()
@click.argument("source", metavar="OUT.nwb|DIR", type=PATH)
@click.option("-o", "--output", "dandiset", required=True, type=PATH, help="Folder of the dandiset.")
@click.option("--dandiset-id", help="Number of the dandiset, six digits, once it is registered.")
@click.option("--copy", is_flag=True, help="Copy files. Default: hard links, which take no space.")
@command
def dandi(source: Path, dandiset: Path, dandiset_id: str | None, copy: bool) -> None:
    """Prepare a folder for DANDI: names, dandiset.yaml, checks; and say how to upload it.

    Uploads nothing by itself. Exit status 1 if DANDI would refuse a file.
    """
    from scanimage_nwb.archive import Severity, prepare_dandiset, validate_files

    prepared = prepare_dandiset(source, dandiset, dandiset_id=dandiset_id, copy=copy)
    for file, place in prepared.files:
        click.echo(f"{file} → {place}")
    click.echo()
    findings = validate_files(prepared.path)
    _print_findings(prepared.path, findings)
    if any(finding.severity >= Severity.CRITICAL for finding in findings):
        click.echo("not ready: mend what is critical, convert again, and run this once more", err=True)
        sys.exit(1)
    if prepared.dandiset_id is None:
        click.echo(
            f"\nno dandiset yet: register one at https://dandiarchive.org and give its number with --dandiset-id "
            f"(or write it into {prepared.path / 'dandiset.yaml'}); then"
        )
    click.echo(f"\nupload with:\n  {prepared.upload_command}")
