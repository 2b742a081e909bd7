"""Commands for whole sessions: write a session file, convert what it names, convert many."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from scanimage_nwb.command_line import command
from scanimage_nwb.commands.options import PATH
from scanimage_nwb.errors import SessionFileError

if TYPE_CHECKING:
    from scanimage_nwb.nwb.session import ConvertedSession

__all__ = ["batch", "convert_session_file", "init"]

_OPTIONS_OF_A_SESSION = {
    *("paths", "output", "metadata", "timezone", "leave_blanks_out"),
    *("stub_test", "overwrite", "verify_after", "report_after", "workers", "cloud", "as_json", "debug"),
}
"""What `convert` is told of a session by the command line; the rest is in its file."""


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--timezone", help="Time zone of the computer that recorded, such as Europe/Berlin.")
@click.option("--metadata", type=PATH, help="YAML file of what is known already; it is written down.")
@click.option("--overwrite", is_flag=True, help="Replace a session.yaml that somebody has changed.")
@command
def init(folder: Path, timezone: str | None, metadata: Path | None, overwrite: bool) -> None:
    """Look at a folder and write its session.yaml: what was found, and blanks for what only you know."""
    from scanimage_nwb.nwb.session.reading import place_name
    from scanimage_nwb.nwb.session.template import write_session_file
    from scanimage_nwb.nwb.session.yaml_places import PlacedYaml
    from scanimage_nwb.nwb.user_metadata import load_metadata_file

    known = load_metadata_file(metadata) if metadata else None
    path = write_session_file(folder, timezone=timezone, metadata=known, overwrite=overwrite)
    document = PlacedYaml(path.read_text(encoding="utf-8"), path)
    click.echo(f"wrote {path}")
    click.echo(f"  recordings: {', '.join(entry['name'] for entry in document.data['recordings'])}")
    for section in ("registration", "rois", "sync"):
        for entry in document.data.get(section, []):
            click.echo(f"  {section}: {entry['file']}, of {entry['recording']}")
    click.echo(f"  {len(document.blanks)} blanks, which only you can fill in:")
    for place in document.blanks:
        click.echo(f"  line {document.line(place):3}: {place_name(place)}")


def convert_session_file(
    path: Path, output: Path | None, *, metadata: Path | None, leave_blanks_out: bool, **options: Any
) -> "ConvertedSession":
    """Convert what a session file names.

    Parameters
    ----------
    path : Path
        The session file.
    output : Path or None
        NWB file or folder; by default this folder.
    metadata : Path or None
        Metadata file that lies under what the session says.
    leave_blanks_out : bool
        Convert although there are blanks.
    **options
        As for `convert_session`.

    Returns
    -------
    ConvertedSession

    Raises
    ------
    SessionFileError
        If an option was given that is for the session file to say; or as for `read_session_file`.
    """
    from scanimage_nwb.nwb.session.converting import convert_session
    from scanimage_nwb.nwb.session.reading import read_session_file
    from scanimage_nwb.nwb.session.yaml_places import BLANK
    from scanimage_nwb.nwb.user_metadata import load_metadata_file

    _refuse_options_of_recordings(path)
    try:
        session = read_session_file(path, leave_blanks_out=leave_blanks_out)
    except SessionFileError as error:
        if any(f"is still {BLANK}" in problem for problem in error.problems):
            click.echo("hint: --leave-blanks-out converts without what is still blank", err=True)
        raise
    known = load_metadata_file(metadata) if metadata else None
    return convert_session(session, output or Path.cwd(), metadata=known, **options)


def _refuse_options_of_recordings(path: Path) -> None:
    """Refuse what is said on the command line in place of the session file."""
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in _OPTIONS_OF_A_SESSION:
            raise SessionFileError(
                [f"{path} says what is converted; write it there, in place of the option {option.opts[0]}"]
            )


@click.command()
@click.argument("root", type=PATH)
@click.option("-o", "--output", "out", required=True, type=PATH, help="Folder for the NWB files.")
@click.option("--pattern", help="Pattern of the sessions' folders below ROOT, such as 'm*/2025-*'.")
@click.option("--metadata", type=PATH, help="YAML file of what all sessions have in common.")
@click.option("--timezone", help="Time zone of the computers that recorded, where a session does not say it.")
@click.option("--stub-test", is_flag=True, help="Write the first 100 samples of every recording only, for a try.")
@click.option("--verify", is_flag=True, help="Compare every file with its recordings, bit for bit.")
@click.option("--report", is_flag=True, help="Write a page to look at, beside every file.")
@click.option("--leave-blanks-out", is_flag=True, help="Convert sessions that still have blanks.")
@click.option("--overwrite", is_flag=True, help="Replace files that no batch has written.")
@click.option("--workers", type=click.IntRange(min=1), help="Sessions at a time; with --slurm, jobs.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each session; with --slurm, processors.")
@click.option("--memory", help="Memory of each worker, such as 8GB.")
@click.option("--scheduler", help="Dask scheduler that is there already, such as tcp://host:8786.")
@click.option("--slurm", is_flag=True, help="Ask SLURM for jobs, through dask-jobqueue.")
@click.option("--walltime", help="Time of a SLURM job, such as 08:00:00.")
@click.option("--queue", help="Partition of SLURM.")
@click.option("--account", help="Account of SLURM.")
@command
def batch(root: Path, out: Path, pattern: str | None, metadata: Path | None, **options: Any) -> None:
    """Convert every session below ROOT to one NWB file each; those whose files are current stay as they are.

    A session is a folder with a session.yaml, or with recordings. Exit status 1 if any session failed; why is in
    ERROR_<session>.txt in the output folder. summary.csv there lists all.
    """
    from scanimage_nwb.batch import BatchOptions, ClusterOptions, format_summary, run_batch
    from scanimage_nwb.nwb.user_metadata import load_metadata_file

    names = ("workers", "threads", "memory", "scheduler", "slurm", "walltime", "queue", "account")
    cluster = ClusterOptions(**{name: options.pop(name) for name in names})
    known = load_metadata_file(metadata) if metadata else {}
    outcomes = run_batch(
        root,
        out,
        pattern=pattern,
        options=BatchOptions(metadata=known, **options),
        cluster=cluster,
        on_outcome=lambda one: click.echo(f"{one.session}: {one.status} {one.message}".rstrip(), err=True),
    )
    click.echo(format_summary(outcomes))
    if any(outcome.status == "failed" for outcome in outcomes):
        sys.exit(1)
