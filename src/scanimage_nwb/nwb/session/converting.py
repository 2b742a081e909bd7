"""From a session to a whole, verified NWB file, as commands, scripts and batches do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanimage_nwb.errors import VerificationError
from scanimage_nwb.nwb.progress import WriteProgress
from scanimage_nwb.nwb.session.converter import SessionConverter
from scanimage_nwb.nwb.session.reading import Session
from scanimage_nwb.nwb.verifying import SeriesCheck, verify_nwbfile

__all__ = ["ConvertedSession", "convert_session"]


@dataclass(frozen=True, slots=True)
class ConvertedSession:
    """What became of a session."""

    path: Path
    """The file written."""
    source_bytes: int
    """Size of the recordings."""
    checks: tuple[SeriesCheck, ...] = ()
    """What comparing the file with its recordings gave, if that was asked for."""


def convert_session(
    session: Session | str | Path,
    output: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    stub_test: bool = False,
    overwrite: bool = False,
    verify: bool = False,
    progress: bool | Callable[[WriteProgress], None] = False,
    workers: int | None = None,
    cloud: bool = False,
) -> ConvertedSession:
    """Convert all that a session file names to one NWB file.

    Parameters
    ----------
    session : Session or path-like
        From `read_session_file`, or the path of the file (or of its folder).
    output : path-like
        NWB file to write, or a folder: in it the file is named as the session says, or as DANDI names it.
    metadata : mapping, optional
        Lies under what the session says.
    timezone : str, optional
        Time zone of the computer that recorded TIFFs, in place of what the session says.
    stub_test : bool
        Write the first 100 samples of every recording only.
    overwrite : bool
        Replace a file that is there.
    verify : bool
        Compare the file with its recordings, every sample.
    progress : bool or callable
        Show a progress bar, or what to call instead.
    workers, cloud : optional
        As for `write_nwbfile`.

    Returns
    -------
    ConvertedSession

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    FormatError, MetadataError, TimeAxisError, FileNotFoundError
        If files, session or pulses cannot be used.
    VerificationError
        If `verify` finds a difference; names the first.
    """
    converter = SessionConverter(session, timezone=timezone, metadata=metadata)
    converter.show_progress, converter.writer_options = progress, {"workers": workers, "cloud": cloud}
    path = Path(output).expanduser().absolute()
    if path.suffix.lower() != ".nwb" or path.is_dir():
        path = path / converter.output_path
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; choose another name, or replace it with --overwrite")
    merged = converter.get_metadata()
    path.parent.mkdir(parents=True, exist_ok=True)
    options = converter.stub_options() if stub_test else None
    converter.run_conversion(nwbfile_path=str(path), metadata=merged, overwrite=overwrite, conversion_options=options)
    sources = [source for opened in converter.recordings.values() for source in opened.recording.paths]
    checks = _verify(converter, merged, path) if verify else ()
    return ConvertedSession(path, sum(source.stat().st_size for source in sources), checks)


def _verify(converter: SessionConverter, metadata: Mapping[str, Any], path: Path) -> tuple[SeriesCheck, ...]:
    """Compare every series with the recording that it is of."""
    series = metadata["Ophys"]["MicroscopySeries"]
    checks: list[SeriesCheck] = []
    for opened in converter.recordings.values():
        names = [series[interface.metadata_key]["name"] for interface in opened.imaging]
        checks += verify_nwbfile(path, opened.recording.paths, series_names=[*names, *opened.photon_series])
    for check in checks:
        if check.difference is not None:
            text = f"{check.series}: sample {check.difference.sample}: {check.difference.text}"
            raise VerificationError(f"{path} differs from its source: {text}")
    return tuple(checks)
