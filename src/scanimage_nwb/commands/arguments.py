"""What the paths on a command line mean: a session file, one recording, or all of a folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scanimage_nwb.recording import Recording

__all__ = ["all_recordings", "one_recording", "open_one", "session_file_in"]


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


def one_recording(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files of the one recording that the arguments of a command name.

    Parameters
    ----------
    paths : tuple of Path
        One file, whose series is found beside it; exactly the files; or a folder that holds one recording.

    Returns
    -------
    tuple of Path
        One, whose series is found beside it, or exactly the files.

    Raises
    ------
    ValueError
        If a folder holds several recordings.
    FileNotFoundError
        If it holds none.
    """
    if len(paths) > 1 or not paths[0].is_dir():
        return paths
    recordings = _recordings_in_folder(paths[0])
    if len(recordings) > 1:
        names = ", ".join(files[0].name for files in recordings)
        raise ValueError(f"{paths[0]} holds {len(recordings)} recordings; name the first file of one: {names}")
    return recordings[0][:1]


def open_one(paths: tuple[Path, ...]) -> "Recording":
    """Open the one recording that the arguments of a command name, without its warnings.

    Parameters
    ----------
    paths : tuple of Path
        As for `one_recording`.

    Returns
    -------
    Recording
    """
    from scanimage_nwb.recording import open_recording

    files = one_recording(paths)
    return open_recording(files[0], warn=False) if len(files) == 1 else open_recording(file_paths=files, warn=False)


def all_recordings(paths: tuple[Path, ...]) -> Iterator["Recording"]:
    """Open every recording that the arguments of a command name, without their warnings.

    Parameters
    ----------
    paths : tuple of Path
        As for `one_recording`; a folder may hold any number of them.

    Yields
    ------
    Recording
    """
    if len(paths) == 1 and paths[0].is_dir():
        for files in _recordings_in_folder(paths[0]):
            yield open_one(files[:1])
    else:
        yield open_one(paths)


def _recordings_in_folder(folder: Path) -> list[tuple[Path, ...]]:
    """Return the recordings of a folder; say which files belong to none."""
    from scanimage_nwb.session_folder import find_recordings, refuse_nothing

    recordings, left_out = find_recordings(folder)
    refuse_nothing(folder, recordings, left_out)
    for path, reason in left_out:
        click.echo(f"warning: {path.name} is left out: {reason}", err=True)
    return recordings
