"""Which ScanImage recordings a folder holds."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scanimage_nwb.errors import FormatError, UnsupportedFormatError
from scanimage_nwb.formats.file_series import find_file_series
from scanimage_nwb.formats.scanimage_header import ScanImageHeader
from scanimage_nwb.formats.scanimage_tiff import read_header_texts
from scanimage_nwb.formats.tiff_pages import read_page_table

__all__ = ["find_recordings", "recording_name", "recording_names", "refuse_nothing"]

_SUFFIXES = {".tif", ".tiff", ".siff"}
_GENERATIONS = {"SI", "SI5", "SI4"}


def find_recordings(folder: str | Path) -> tuple[list[tuple[Path, ...]], list[tuple[Path, str]]]:
    """Group the TIFF and .siff files of a folder into recordings.

    Parameters
    ----------
    folder : path-like
        The folder; folders in it are not looked into.

    Returns
    -------
    recordings : list of tuple of Path
        Files of each recording in the order of time; recordings by name.
    left_out : list of (Path, str)
        TIFF and .siff files that belong to none, each with the reason.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> _ = write_scanimage_recording(folder, pages_per_file=4)
    >>> recordings, left_out = find_recordings(folder)
    >>> [len(files) for files in recordings], left_out
    ([3], [])
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; expected one that holds ScanImage TIFF or .siff files")
    recordings: list[tuple[Path, ...]] = []
    left_out: list[tuple[Path, str]] = []
    taken: set[Path] = set()
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()):
        if path in taken:
            continue
        try:
            _check_is_scanimage(path)
            series = find_file_series(path)
        except FormatError as error:
            left_out.append((path, str(error)))
            continue
        recordings.append(series.paths)
        taken.update(series.paths)
    return recordings, left_out


def _check_is_scanimage(path: Path) -> None:
    """Refuse a file that holds no header of ScanImage 4 or later."""
    table = read_page_table(path, max_pages=1)
    texts = read_header_texts(table)
    generation = ScanImageHeader.from_text(texts.text, texts.roi_text, source=path.name).generation
    if generation not in _GENERATIONS:
        raise UnsupportedFormatError(f"{path} holds no header of ScanImage 4 or later")


def refuse_nothing(folder: Path, recordings: list[tuple[Path, ...]], left_out: list[tuple[Path, str]]) -> None:
    """Refuse a folder without recordings.

    Parameters
    ----------
    folder : Path
        The folder.
    recordings, left_out
        From `find_recordings`.

    Raises
    ------
    FileNotFoundError
        If there are no recordings; says why the first file left out is none.
    """
    if recordings:
        return
    found = f"it has {len(left_out)}; {left_out[0][1]}" if left_out else "it has none"
    expected = "expected files that end in .tif, .tiff or .siff"
    raise FileNotFoundError(f"{folder} holds no ScanImage recording; {expected}, {found}")


def recording_names(recordings: Sequence[tuple[Path, ...]]) -> list[str]:
    """Return a name for each recording of a folder, no two alike.

    Parameters
    ----------
    recordings : sequence of tuple of Path
        From `find_recordings`.

    Returns
    -------
    list of str
        As `recording_name` gives them; those that several share end in the kind of file, and in a number if need be.

    Examples
    --------
    >>> recording_names([(Path("m1_00001.tif"),), (Path("m1_00001.siff"),), (Path("m2.tif"),)])
    ['m1_00001_tif', 'm1_00001_siff', 'm2']
    """
    names = [recording_name(paths) for paths in recordings]
    shared = Counter(name.lower() for name in names)  # some file systems take A and a for the same
    taken = {name.lower() for name in names}
    unique = []
    for name, paths in zip(names, recordings, strict=True):
        wanted, number = name, 1
        while shared[name.lower()] > 1 and wanted.lower() in taken:
            kind = paths[0].suffix.lower().removeprefix(".")
            wanted = f"{name}_{kind}" + ("" if number == 1 else f"_{number}")
            number += 1
        taken.add(wanted.lower())
        unique.append(wanted)
    return unique


def recording_name(paths: tuple[Path, ...]) -> str:
    """Return a name for a recording: that of its first file, without the file number if there are several.

    Parameters
    ----------
    paths : tuple of Path
        Its files.

    Returns
    -------
    str

    Examples
    --------
    >>> recording_name((Path("m1_00001_00001.tif"), Path("m1_00001_00002.tif")))
    'm1_00001'
    >>> recording_name((Path("m1_00001.tif"),))
    'm1_00001'
    """
    stem = paths[0].stem
    return stem.rpartition("_")[0] if len(paths) > 1 else stem
