"""A session file for a folder without one: its recordings, and no more."""

from pathlib import Path

import yaml

from scanimage_nwb.errors import FormatError
from scanimage_nwb.session_folder import find_recordings, recording_names, refuse_nothing

__all__ = ["MOST_FILES_LISTED", "names_of_recordings", "plain_session_text"]

MOST_FILES_LISTED = 10
"""More files of one recording are found beside the first."""


def names_of_recordings(recordings: list[tuple[Path, ...]]) -> list[str]:
    """Return names for the recordings of a session: their kinds, if these tell them apart, else their files' names.

    Parameters
    ----------
    recordings : list of tuple of Path
        From `find_recordings`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> names_of_recordings([(Path("a.tif"),), (Path("b.siff"),)])
    ['tiff', 'siff']
    >>> names_of_recordings([(Path("2025-a.tif"),), (Path("b.tif"),)])
    ['r2025_a', 'b']
    """
    kinds = ["siff" if files[0].suffix.lower() == ".siff" else "tiff" for files in recordings]
    if len(set(kinds)) == len(kinds):
        return kinds
    names: list[str] = []
    for name in recording_names(recordings):
        word = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
        word = word if word[0].isalpha() else f"r{word.lstrip('_')}"
        names.append(word if word.lower() not in map(str.lower, names) else f"{word}_{len(names) + 1}")
    return names


def plain_session_text(folder: Path) -> str:
    """Return a session file that names the recordings of a folder.

    Parameters
    ----------
    folder : Path
        Folders in it are not looked into.

    Returns
    -------
    str
        YAML.

    Raises
    ------
    FileNotFoundError
        If there is no recording.
    FormatError
        If there is a TIFF or .siff file that belongs to none: nobody has said that it may be left out.
    """
    recordings, left_out = find_recordings(folder)
    refuse_nothing(folder, recordings, left_out)
    if left_out:
        path, reason = left_out[0]
        raise FormatError(
            f"{path} belongs to no recording: {reason}. Say what is to be converted in a session file (`scanimage-nwb "
            f"init {folder}` names the others), or move the file away"
        )
    entries = [
        {"name": name, "files": [path.name for path in (files if len(files) <= MOST_FILES_LISTED else files[:1])]}
        for name, files in zip(names_of_recordings(recordings), recordings, strict=True)
    ]
    return yaml.safe_dump({"recordings": entries}, sort_keys=False, allow_unicode=True)
