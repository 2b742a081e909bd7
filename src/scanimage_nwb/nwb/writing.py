"""Write an NWB file whole or not at all."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from neuroconv.tools.nwb_helpers import configure_and_write_nwbfile
from pynwb import NWBFile

__all__ = ["write_nwbfile"]


def write_nwbfile(
    nwbfile: NWBFile,
    path: str | Path,
    *,
    backend: Literal["hdf5", "zarr"] | None = None,
    backend_configuration: Any = None,
    overwrite: bool = False,
) -> None:
    """Write an NWB file under its name only once it is whole.

    The file is written beside its place, flushed to the disk and then renamed. If anything fails, nothing appears
    under its name, and an older file stays as it was.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    path : path-like
        Where it goes.
    backend : {"hdf5", "zarr"}, optional
        What to write; by default what `backend_configuration` is for, else HDF5.
    backend_configuration : optional
        neuroconv's settings of chunks and compression; by default its own defaults with our chunk shapes.
    overwrite : bool
        Replace a file that is there.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    FileNotFoundError
        If the folder is not there.
    """
    path = Path(path).expanduser().absolute()
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; choose another name, or allow to overwrite it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no folder; make it before {path.name} is written into it")
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        configure_and_write_nwbfile(
            nwbfile,
            str(partial),
            backend=backend or (None if backend_configuration else "hdf5"),
            backend_configuration=backend_configuration,
        )
        _flush(partial)
        _replace(partial, path)
    finally:
        _remove(partial)


def _flush(path: Path) -> None:
    """Make sure that what was written is on the disk."""
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def _replace(partial: Path, path: Path) -> None:
    """Give the whole file its name; a folder (Zarr) that is in the way is set aside first."""
    if partial.is_dir() and path.exists():
        aside = path.with_name(f".{path.name}.{os.getpid()}.old")
        path.rename(aside)
        partial.rename(path)
        _remove(aside)
    else:
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)


def _remove(path: Path) -> None:
    """Remove a file or folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError):
        path.unlink(missing_ok=True)
