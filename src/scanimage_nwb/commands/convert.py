"""The commands that write an NWB file and compare it with its source."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanimage_nwb.command_line import command, quick_imports
from scanimage_nwb.commands.arguments import one_recording, open_one, session_file_in
from scanimage_nwb.commands.options import (
    JSON,
    OVERWRITE,
    PARTS,
    PATH,
    PHOTONS,
    REGISTRATION,
    ROIS,
    SYNC,
    TIMEZONE,
    asked_photons,
    asked_registration,
    asked_rois,
    asked_sync,
    with_options,
)
from scanimage_nwb.commands.session import convert_session_file
from scanimage_nwb.errors import VerificationError

if TYPE_CHECKING:
    from scanimage_nwb.nwb.progress import WriteProgress
    from scanimage_nwb.nwb.verifying import SeriesCheck

__all__ = ["convert", "verify"]


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", type=PATH, help="NWB file to write; of a session also a folder.")
@click.option("--metadata", type=PATH, help="YAML file; goes on top of what the files say.")
@with_options(TIMEZONE)
@click.option(
    "--channel", "channels", multiple=True, help="Channel to write, by its name; repeat for more. Default: all."
)
@with_options(*PARTS)
@click.option("--stub-test", is_flag=True, help="Write the first 100 samples only, for a try.")
@with_options(OVERWRITE)
@click.option("--verify", "verify_after", is_flag=True, help="Compare the output with its source, bit for bit.")
@click.option("--report", "report_after", is_flag=True, help="Write a page to look at, beside the output.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that compress. Default: one for each processor.")
@click.option("--cloud", is_flag=True, help="Aggregate the file in pages, for network readers without a cache.")
@with_options(*REGISTRATION, *ROIS, *PHOTONS, *SYNC)
@click.option("--leave-blanks-out", is_flag=True, help="Convert a session whose file still has blanks.")
@click.option("--json", "as_json", is_flag=True, help="Print progress and result as lines of JSON.")
@command
def convert(
    paths: tuple[Path, ...],
    output: Path | None,
    metadata: Path | None,
    verify_after: bool,
    report_after: bool,
    leave_blanks_out: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert a recording, or a session, to NWB.

    PATHS is one file of the recording (the others are found beside it), exactly its files in the order of time, or a
    folder that holds one recording. A folder with a session.yaml (see init) is converted as that says.
    """
    if report_after:
        from scanimage_nwb.report import need_packages

        need_packages()
    writing = {name: options[name] for name in ("timezone", "stub_test", "overwrite", "workers", "cloud")}
    writing["progress"] = _JsonProgress() if as_json else True
    session_path = session_file_in(paths)
    if session_path is None:
        written = _convert_recording(one_recording(paths), output, metadata, options, writing)
        _say_written(written, as_json)
        checks = _verify(written, one_recording(paths), as_json) if verify_after else None
    else:
        made = convert_session_file(
            session_path,
            output,
            metadata=metadata,
            leave_blanks_out=leave_blanks_out,
            verify=verify_after,
            **writing,
        )
        written, checks = made.path, list(made.checks) or None
        _say_written(written, as_json)
        _say_checks(made.checks, as_json)
    if report_after:
        _report(written, checks, as_json)
    if checks is not None:
        _refuse_differences(written, checks)


def _convert_recording(
    sources: tuple[Path, ...],
    output: Path | None,
    metadata: Path | None,
    options: dict[str, Any],
    writing: dict[str, Any],
) -> Path:
    """Write the NWB file of one recording, with what the options ask for beside its channels."""
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    with quick_imports():
        from scanimage_nwb.nwb import convert_recording, load_metadata_file

    return convert_recording(
        sources,
        output,
        metadata=load_metadata_file(metadata) if metadata else None,
        channel_names=options["channels"],
        plane_index=options["plane"],
        slice_sample=options["slice_sample"],
        sync=asked_sync(options),
        registration=asked_registration(lambda: open_one(sources), options),
        write_corrected=options["write_corrected"],
        rois=asked_rois(options),
        **asked_photons(options),
        **writing,
    )


def _say_written(path: Path, as_json: bool) -> None:
    """Say where the file is, and how large."""
    size = path.stat().st_size
    if as_json:
        click.echo(json.dumps({"event": "written", "path": str(path), "file_bytes": size}))
    else:
        click.echo(f"wrote {path} ({size / 1e6:.1f} MB)")


def _report(written: Path, checks: "Sequence[SeriesCheck] | None", as_json: bool) -> None:
    """Write the page, and say where it is."""
    from scanimage_nwb.report import write_report

    page = write_report(written, verified=checks)
    click.echo(
        json.dumps({"event": "reported", "path": str(page)}) if as_json else f"wrote {page}: open it in a browser"
    )


class _JsonProgress:
    """Prints how far it has come as lines of JSON, once a second and at the end."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, state: "WriteProgress") -> None:
        if state.elapsed_s < self._next_s and state.done_bytes < state.total_bytes:
            return
        self._next_s = state.elapsed_s + 1
        line = {
            "event": "progress",
            "done_bytes": state.done_bytes,
            "total_bytes": state.total_bytes,
            "mb_per_s": round(state.mb_per_s, 3),
            "compression_ratio": round(state.compression_ratio, 3),
            "seconds_left": round(state.seconds_left, 1),
        }
        click.echo(json.dumps(line))


@click.command()
@click.argument("nwbfile_path", metavar="OUT.nwb", type=PATH)
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    type=PATH,
    help="File of the recording it was made from; repeat to name exactly its files.",
)
@click.argument("more_sources", nargs=-1, type=PATH, metavar="[PATH]...")
@with_options(JSON)
@command
def verify(nwbfile_path: Path, sources: tuple[Path, ...], more_sources: tuple[Path, ...], as_json: bool) -> None:
    """Compare every sample of OUT.nwb with the recording it was made from, bit for bit.

    Exit status 1, and the first difference, if they are not equal. Further paths behind the first belong to --source.
    """
    checks = _verify(nwbfile_path, one_recording((*sources, *more_sources)), as_json)
    _refuse_differences(nwbfile_path, checks)


def _verify(nwbfile_path: Path, sources: tuple[Path, ...], as_json: bool) -> "list[SeriesCheck]":
    """Compare, and say what was found."""
    from scanimage_nwb.nwb import verify_nwbfile

    checks = verify_nwbfile(nwbfile_path, sources)
    _say_checks(checks, as_json)
    if checks.missing:
        text = f"not in the file: {', '.join(checks.missing)}"
        click.echo(json.dumps({"event": "missing", "parts": checks.missing}) if as_json else text)
    return checks


def _say_checks(checks: "Sequence[SeriesCheck]", as_json: bool) -> None:
    """Say what comparing gave."""
    for check in checks:
        if as_json:
            click.echo(json.dumps({"event": "verified", **asdict(check)}))
        elif check.difference is None:
            of_source = "" if check.n_samples == check.n_source_samples else f" (of {check.n_source_samples})"
            text = f"{check.n_samples}{of_source} samples, {check.n_bytes / 1e6:.1f} MB"
            click.echo(f"{check.series}: {text}: equal to the source")
        else:
            click.echo(f"{check.series}: sample {check.difference.sample}: {check.difference.text}")


def _refuse_differences(nwbfile_path: Path, checks: "list[SeriesCheck]") -> None:
    """End with status 1 if there is a difference."""
    if any(check.difference is not None for check in checks):
        raise VerificationError(f"{nwbfile_path} differs from its source")
