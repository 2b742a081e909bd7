"""Commands for whole sessions: write a session file, convert what it names, convert many."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from scanimage_nwb.command_line import command
from scanimage_nwb.errors import SessionFileError

if TYPE_CHECKING:
    from scanimage_nwb.nwb.session import ConvertedSession

__all__ = ["batch", "convert_session_file", "init", "session_file_in"]

_SAID_BY_THE_SESSION = (
    "channels",
    "plane",
    "slice_sample",
    "registration",
    "register_first",
    "smoothness",
    "share_planes",
    "write_corrected",
    "sync",
)
"""Options of `convert` that a session's file has words for."""

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--timezone", help="Time zone of the computer that recorded, such as Europe/Berlin.")
@click.option("--metadata", type=_PATH, help="YAML file of what is known already; it is written down.")
@click.option("--overwrite", is_flag=True, help="Replace a session.yaml that somebody has changed.")
@command
def init(folder: Path, timezone: str | None, metadata: Path | None, overwrite: bool) -> None:
    """Look at a folder and write its session.yaml: what was found, and blanks for what only you know."""
    from scanimage_nwb.nwb.session.template import write_session_file
    from scanimage_nwb.nwb.session.yaml_places import PlacedYaml
    from scanimage_nwb.nwb.user_metadata import load_metadata_file

    known = load_metadata_file(metadata) if metadata else None
    path = write_session_file(folder, timezone=timezone, metadata=known, overwrite=overwrite)
    document = PlacedYaml(path.read_text(encoding="utf-8"), path)
    names = ", ".join(entry["name"] for entry in document.data["recordings"])
    click.echo(f"wrote {path}: recordings {names}; {len(document.blanks)} blanks")
    for place in document.blanks:
        click.echo(f"  line {document.line(place):3}: {'.'.join(map(str, place))}")


def session_file_in(paths: tuple[Path, ...]) -> Path | None:
    """Return the session file that the arguments of a command name, None if they name recordings.

    Parameters
    ----------
    paths : tuple of Path
        The arguments.

    Returns
    -------
    Path or None
    """
    if len(paths) != 1:
        return None
    if paths[0].suffix.lower() in {".yaml", ".yml"}:
        return paths[0]
    path = paths[0] / "session.yaml"
    return path if path.is_file() else None


def convert_session_file(
    path: Path,
    output: Path | None,
    *,
    metadata: Path | None,
    leave_blanks_out: bool,
    as_json: bool,
    **options: Any,
) -> "ConvertedSession":
    """Convert what a session file names, and say so.

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
    as_json : bool
        Print JSON.
    **options
        As for `convert_session`.

    Returns
    -------
    ConvertedSession
    """
    from scanimage_nwb.nwb.session.converting import convert_session
    from scanimage_nwb.nwb.session.reading import read_session_file
    from scanimage_nwb.nwb.user_metadata import load_metadata_file

    changed = click.get_current_context()
    unused = [
        name for name in _SAID_BY_THE_SESSION if changed.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if unused:
        raise SessionFileError([f"{path} says what is converted; write it there, in place of the option {unused[0]}"])
    session = read_session_file(path, leave_blanks_out=leave_blanks_out)
    made = convert_session(
        session, output or Path.cwd(), metadata=load_metadata_file(metadata) if metadata else None, **options
    )
    size = made.path.stat().st_size
    if as_json:
        click.echo(json.dumps({"event": "written", "path": str(made.path), "file_bytes": size}))
    else:
        click.echo(f"wrote {made.path} ({size / 1e6:.1f} MB)")
    for check in made.checks:
        if as_json:
            line = {"event": "verified", "series": check.series, "n_samples": check.n_samples}
            click.echo(json.dumps(line | {"n_bytes": check.n_bytes}))
        else:
            text = f"{check.n_samples} samples, {check.n_bytes / 1e6:.1f} MB"
            click.echo(f"{check.series}: {text}: equal to the source")
    return made


@click.command()
@click.argument("root", type=_PATH)
@click.option("-o", "--output", "out", required=True, type=_PATH, help="Folder for the NWB files.")
@click.option("--pattern", help="Pattern of the sessions' folders below ROOT, such as 'm*/2025-*'.")
@click.option("--metadata", type=_PATH, help="YAML file of what all sessions have in common.")
@click.option("--timezone", help="Time zone of the computers that recorded, where a session does not say it.")
@click.option("--stub-test", is_flag=True, help="Write the first 100 samples of every recording only, for a try.")
@click.option("--verify", is_flag=True, help="Compare every file with its recordings, bit for bit.")
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
