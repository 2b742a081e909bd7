"""A file appears under its name only when it is whole: write beside it, flush, rename."""

import itertools
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

__all__ = ["whole_or_nothing"]

_HOST = re.sub(r"[^0-9A-Za-z]+", "-", platform.node()) or "host"
_COUNTER = itertools.count()
_IN_USE: set[Path] = set()
"""Files that threads of this process are writing."""


@contextmanager
def whole_or_nothing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a place to write to, and rename it to `path` once the block has ended well.

    If the block raises, nothing appears under the name, and an older file stays as it was. What runs that were
    killed left beside `path` is removed first.

    Parameters
    ----------
    path : Path
        Absolute.
    overwrite : bool
        Replace a file, or a Zarr folder, that is there.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False, or a folder that is no Zarr store.
    FileNotFoundError
        If the folder to write into is not there.

    Examples
    --------
    >>> with whole_or_nothing(folder / "a.txt", overwrite=False) as partial:
    ...     _ = partial.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; choose another name, or allow to overwrite it")
    if path.is_dir() and not _is_zarr(path):
        raise FileExistsError(f"{path} is a folder, and no NWB file in Zarr form: it is not replaced. Name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no folder; make it before {path.name} is written into it")
    _clear_leftovers(path)
    partial = _beside(path, "partial")
    _IN_USE.add(partial)
    try:
        yield partial
        _flush(partial)
        _give_name(partial, path, overwrite)
        _flush_folder(path.parent)
    finally:
        _remove(partial)
        _IN_USE.discard(partial)


def _flush(path: Path) -> None:
    """Make sure that what was written is on the disk."""
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    """Make sure that the new name is on the disk too; Windows does that by itself, and cannot be asked."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(partial: Path, path: Path, overwrite: bool) -> None:
    """Give the whole file its name; a Zarr folder that is in the way is set aside first."""
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} has appeared while it was written; it is not replaced. Allow to overwrite it")
    if not path.is_dir():
        partial.replace(path)
        return
    aside = _beside(path, "old")
    path.rename(aside)
    partial.rename(path)
    _remove(aside)


def _is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr store."""
    return any((path / name).is_file() for name in (".zgroup", ".zmetadata", "zarr.json"))


def _beside(path: Path, what: str) -> Path:
    """Return a name beside `path` that no other writer uses, on this host or another."""
    return path.with_name(f".{path.stem}.{_HOST}-{os.getpid()}-{next(_COUNTER)}.{what}{path.suffix}")


def _clear_leftovers(path: Path) -> None:
    """Remove what runs that were killed left beside `path`; a run that is alive, or on another host, keeps its file.

    A Zarr folder that was set aside, and not yet replaced when its run was killed, gets its name back.
    """
    pattern = re.compile(
        rf"\.{re.escape(path.stem)}\.{re.escape(_HOST)}-(\d+)-\d+\.(partial|old){re.escape(path.suffix)}"
    )
    for leftover in path.parent.iterdir():
        match = pattern.fullmatch(leftover.name)
        if match is None or leftover in _IN_USE:
            continue
        if int(match[1]) != os.getpid() and psutil.pid_exists(int(match[1])):
            continue
        if match[2] == "old" and not path.exists():
            leftover.rename(path)
        else:
            _remove(leftover)


def _remove(path: Path) -> None:
    """Remove a file or folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError):
        path.unlink(missing_ok=True)
