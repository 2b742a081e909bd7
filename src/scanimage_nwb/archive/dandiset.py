"""Prepare the folder that the dandi client uploads: files under DANDI's names, and dandiset.yaml."""

import os
import re
import shlex
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from scanimage_nwb.archive.naming import dandi_name
from scanimage_nwb.archive.validating import find_nwb_files
from scanimage_nwb.errors import MetadataError

__all__ = ["PreparedDandiset", "prepare_dandiset"]

NO_ID = "000000"
_TEMPLATE = """\
# What the dandi client needs to know: to which dandiset these files belong. Register one at https://dandiarchive.org
# ("New Dandiset") and put its number here. Title, contributors, licence and funding are edited there.
identifier: DANDI:{dandiset_id}
name: {name}
"""


@dataclass(frozen=True, slots=True)
class PreparedDandiset:
    """A folder that is ready for the dandi client."""

    path: Path
    """The folder."""
    files: tuple[tuple[Path, Path], ...]
    """Each NWB file, and what it is called in the folder."""
    dandiset_id: str | None
    """Number of the dandiset; None if dandiset.yaml does not say one yet."""

    @property
    def upload_command(self) -> str:
        """The line to type, for a POSIX shell."""
        return f"cd {shlex.quote(str(self.path))} && dandi upload"


def prepare_dandiset(
    source: str | Path, dandiset: str | Path, *, dandiset_id: str | None = None, copy: bool = False
) -> PreparedDandiset:
    """Put NWB files into a folder under the names that DANDI wants, and say to which dandiset they belong.

    Files are linked (hard links, which take no space; copies where the folder is on another disk). Files that are
    there already under their name, and the same, stay. Recordings of one session that would have the same name are told
    apart by their old names: ``sub-m42_ses-1_desc-demo-00001_ophys.nwb``.

    Parameters
    ----------
    source : path-like
        NWB file, or folder of them.
    dandiset : path-like
        Folder to prepare; made if need be. A dandiset.yaml that is there is kept.
    dandiset_id : str, optional
        Number of the dandiset, such as ``"000123"``.
    copy : bool
        Copy files instead of linking them.

    Returns
    -------
    PreparedDandiset

    Raises
    ------
    FileNotFoundError
        If there is no NWB file.
    FileExistsError
        If another file is there under the name of one of them.
    MetadataError
        If a file has no subject_id, or two files cannot be told apart; nothing is linked then. Or if `dandiset_id` is
        no number of six digits, or not the one in dandiset.yaml.
    FormatError
        If a file cannot be read.

    Examples
    --------
    >>> from scanimage_nwb.nwb import convert_recording
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> recording = write_scanimage_recording(folder, n_volumes=20)
    >>> metadata = {"NWBFile": {"session_id": "1"}, "Subject": {"subject_id": "m42", "species": "Mus musculus"}}
    >>> _ = convert_recording(recording.paths[:1], folder / "out" / "a.nwb", timezone="UTC", metadata=metadata)
    >>> prepared = prepare_dandiset(folder / "out", folder / "upload")
    >>> sorted(path.relative_to(prepared.path).as_posix() for path in prepared.path.rglob("*.*"))
    ['dandiset.yaml', 'sub-m42/sub-m42_ses-1_ophys.nwb']
    """
    source, dandiset = Path(source), Path(dandiset)
    if dandiset_id is not None and not re.fullmatch(r"\d{6}", dandiset_id):
        raise MetadataError(f"{dandiset_id!r} is no number of a dandiset; expected six digits, such as 000123")
    files = [file for file in find_nwb_files(source) if source.is_file() or not _lies_in(file, dandiset)]
    if not files:
        raise FileNotFoundError(f"{source} holds no NWB file outside of {dandiset}")
    placed = tuple((file, dandiset / name) for file, name in zip(files, _names(files), strict=True))
    for file, place in placed:
        if place.exists() and not _is_same(file, place):
            raise FileExistsError(f"{place} is there already, and is not {file}; remove it, or choose another folder")
    known_id = _write_yaml(dandiset, dandiset_id)
    for file, place in placed:
        _put(file, place, copy)
    return PreparedDandiset(dandiset, placed, known_id)


def _lies_in(file: Path, folder: Path) -> bool:
    return file.absolute().is_relative_to(folder.absolute())


def _names(files: list[Path]) -> list[str]:
    """Return the name of each file; those that share one get a description."""
    names = [dandi_name(file) for file in files]
    often = Counter(name.lower() for name in names)  # some file systems do not tell capitals
    described = [
        dandi_name(file, description=file.name.partition(".nwb")[0]) if often[name.lower()] > 1 else name
        for file, name in zip(files, names, strict=True)
    ]
    often = Counter(name.lower() for name in described)
    for file, name in zip(files, described, strict=True):
        if often[name.lower()] > 1:
            raise MetadataError(
                f"{file} and another file would both be called {name}; give them different subject_id or session_id, "
                "or different names"
            )
    return described


def _is_same(file: Path, place: Path) -> bool:
    """Tell whether a file has been put there before: linked, or copied with its times."""
    if file.samefile(place):
        return True
    one, other = file.stat(), place.stat()
    return file.is_file() and (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _put(file: Path, place: Path, copy: bool) -> None:
    """Link or copy a file, or a Zarr folder; under its name it is whole."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if not copy and file.is_file():
        try:
            os.link(file.resolve(), place)
        except OSError:  # another disk, or a file system without links
            pass
        else:
            return
    partial = place.with_name(f".{place.name}.partial")
    if file.is_dir():
        shutil.copytree(file, partial, dirs_exist_ok=True)
    else:
        shutil.copy2(file, partial)
    partial.rename(place)


def _write_yaml(folder: Path, dandiset_id: str | None) -> str | None:
    """Write dandiset.yaml if it is not there; return the number of the dandiset, None if it is not known yet."""
    path = folder / "dandiset.yaml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        name = f"Dandiset {dandiset_id}" if dandiset_id else "not registered yet"
        path.write_text(_TEMPLATE.format(dandiset_id=dandiset_id or NO_ID, name=name), encoding="utf-8")
    said = re.search(r"^identifier:\s*['\"]?(?:DANDI:)?(\d{6})\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    known = said[1] if said and said[1] != NO_ID else None
    if dandiset_id is not None and known != dandiset_id:
        if known is not None or said is None:
            raise MetadataError(f"{path} says {known or 'no identifier'}, not {dandiset_id}; mend it, or remove it")
        path.write_text(path.read_text(encoding="utf-8").replace(NO_ID, dandiset_id), encoding="utf-8")
        known = dandiset_id
    return known
