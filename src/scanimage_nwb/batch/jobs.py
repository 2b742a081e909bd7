"""What a worker does for one session: see whether its file is there and current, and make it if not."""

import hashlib
import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scanimage_nwb import __version__
from scanimage_nwb.errors import ScanImageNwbWarning, VerificationError
from scanimage_nwb.nwb.session.reading import (
    METADATA_FILE_NAME,
    SESSION_FILE_NAME,
    Session,
    read_session_file,
    session_of,
)

__all__ = ["BatchOptions", "Job", "Made", "Plan", "convert_job", "find_sessions", "jobs_of", "plan_job"]

RECORDS_FOLDER = ".scanimage-nwb"
_SUFFIXES = {".tif", ".tiff", ".siff"}


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How sessions are converted."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Lies under what each session says: what all have in common."""
    timezone: str | None = None
    """Time zone of the computers that recorded TIFFs, where a session does not say it."""
    stub_test: bool = False
    """Write the first 100 samples of every recording only."""
    verify: bool = False
    """Compare every file with its recordings, every sample."""
    report: bool = False
    """Write a page to look at, beside every file."""
    leave_blanks_out: bool = False
    """Convert sessions whose files still have blanks."""
    overwrite: bool = False
    """Replace files that are in the way and that no batch has written."""


@dataclass(frozen=True, slots=True)
class Job:
    """One session of a batch; small, for it travels to the worker."""

    key: str
    """Its name in the batch: its path below the root."""
    folder: Path
    out: Path
    options: BatchOptions

    @property
    def record_path(self) -> Path:
        """Where is kept what the session's file was made of."""
        return self.out / RECORDS_FOLDER / f"{self.key}.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a session."""

    output: Path
    """File to write, below the folder of outputs."""
    fingerprint: Mapping[str, str]
    """What it is made of: sources, session file, options, version of this package."""
    source_bytes: int
    is_current: bool
    """Whether the file is there and made of just this."""
    needs_report: bool
    """Whether the page beside it is asked for, and is not there or older."""
    old_output: Path | None
    """File of an earlier run under another name."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a worker made."""

    seconds: float
    source_bytes: int
    file_bytes: int
    n_verified: int
    warnings: tuple[str, ...]


def find_sessions(root: str | Path, pattern: str | None = None, *, but_not: Path | None = None) -> list[Path]:
    """Return the folders below a root that hold a session.

    Parameters
    ----------
    root : path-like
        Where to look.
    pattern : str, optional
        Pattern of the folders below the root, such as ``"m*/2025-*"``; by default every folder is looked at.
    but_not : Path, optional
        Folder that is not looked into.

    Returns
    -------
    list of Path
        Folders with a ``session.yaml``, or with TIFF or .siff files; folders inside of these are not looked into.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no session in it.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> for day in ("monday", "tuesday"):
    ...     _ = write_scanimage_recording(folder / "m42" / day)
    >>> [path.name for path in find_sessions(folder)]
    ['monday', 'tuesday']
    """
    root = Path(root).expanduser().absolute()
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; expected one that holds folders of sessions")
    starts = [root] if pattern is None else sorted(path for path in root.glob(pattern) if path.is_dir())
    found = sorted({one for start in starts for one in _sessions_in(start, but_not)})
    if not found:
        expected = f"expected folders with {SESSION_FILE_NAME}, or with .tif, .tiff or .siff files"
        raise FileNotFoundError(f"{root} holds no session{f' at {pattern}' if pattern else ''}; {expected}")
    return found


def _sessions_in(folder: Path, but_not: Path | None) -> Iterator[Path]:
    """Yield the sessions in a folder: itself, or those further down."""
    if folder == but_not or folder.name.startswith("."):
        return
    entries = sorted(folder.iterdir())
    if any(one.name == SESSION_FILE_NAME or one.suffix.lower() in _SUFFIXES for one in entries if one.is_file()):
        yield folder
        return
    for one in entries:
        if one.is_dir():
            yield from _sessions_in(one, but_not)


def jobs_of(root: Path, folders: list[Path], out: Path, options: BatchOptions) -> list[Job]:
    """Return a job for each session.

    Parameters
    ----------
    root : Path
        The root that names are relative to.
    folders : list of Path
        From `find_sessions`.
    out : Path
        Folder of outputs.
    options : BatchOptions
        The same for all.

    Returns
    -------
    list of Job
    """
    keys = ["__".join(folder.relative_to(root).parts) or folder.name for folder in folders]
    shared = Counter(keys)
    digests = [hashlib.sha256(str(folder).encode()).hexdigest()[:6] for folder in folders]
    return [
        Job(key if shared[key] == 1 else f"{key}__{digest}", folder, out, options)
        for key, folder, digest in zip(keys, folders, digests, strict=True)
    ]


def plan_job(job: Job) -> Plan:
    """Look at a session, and at what an earlier run made of it.

    Parameters
    ----------
    job : Job
        The session.

    Returns
    -------
    Plan

    Raises
    ------
    FormatError, MetadataError, FileNotFoundError
        If it cannot be converted, as far as a look tells.
    """
    from scanimage_nwb.nwb.session.converter import output_path_of

    session, text = _read_session(job)
    output = output_path_of(session, job.options.metadata)
    sources = [(path, path.stat()) for path in _sources(session)]
    options = {**asdict(job.options), "overwrite": None, "report": None}  # do not change the file
    fingerprint = {
        "version": __version__,
        "options": _digest(json.dumps(options, sort_keys=True, default=str)),
        "session": _digest(text),
        "sources": _digest("\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in sources)),
    }
    record = _read_record(job)
    before = job.out / record["output"] if "output" in record else None
    is_same = before == job.out / output
    is_current = is_same and record.get("fingerprint") == fingerprint and record.get("file") == _facts(job.out / output)
    stale = before if before is not None and not is_same and before.exists() else None
    needs_report = job.options.report and not (is_current and _is_newer(_page_of(job.out / output), job.out / output))
    return Plan(output, fingerprint, sum(stat.st_size for _, stat in sources), is_current, needs_report, stale)


def _page_of(path: Path) -> Path:
    """Return where the page about a file lies."""
    return path.with_suffix(".html")


def _is_newer(path: Path, than: Path) -> bool:
    """Tell whether a file is there, and not older than another."""
    return path.is_file() and path.stat().st_mtime_ns >= than.stat().st_mtime_ns


def _read_session(job: Job) -> tuple[Session, str]:
    """Return the session of a folder, and the text that says it."""
    from scanimage_nwb.nwb.session.finding import plain_session_text

    path = job.folder / SESSION_FILE_NAME
    if path.is_file():
        session = read_session_file(path, leave_blanks_out=job.options.leave_blanks_out)
        return session, path.read_text(encoding="utf-8-sig")
    text = plain_session_text(job.folder)
    return session_of(text, job.folder), text


def _sources(session: Session) -> Iterator[Path]:
    """Yield the files that a session is made of."""
    from scanimage_nwb.formats.file_series import find_file_series

    for entry in session.file.recordings:
        paths = [session.path(name) for name in entry.files]
        yield from find_file_series(paths[0]).paths if len(paths) == 1 else paths
    sections = (session.file.registration, session.file.rois, session.file.sync)
    for name in dict.fromkeys(entry.file for section in sections for entry in section):
        if name is not None:
            path = session.path(name)
            yield from sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    if (session.folder / METADATA_FILE_NAME).is_file():
        yield session.folder / METADATA_FILE_NAME


def convert_job(job: Job, plan: Plan, threads: int) -> Made:
    """Make the file of a session, whole and, if asked for, verified; note what it was made of; write its page.

    If the file is current, the page alone is written.

    Parameters
    ----------
    job : Job
        The session.
    plan : Plan
        From `plan_job`.
    threads : int
        Threads that compress.

    Returns
    -------
    Made

    Raises
    ------
    FileExistsError
        If there is a file in the way that no batch has written.
    FormatError, MetadataError, TimeAxisError, FileNotFoundError, VerificationError
        If the session cannot be converted. A file that is not equal to its recordings is removed.
    """
    path = job.out / plan.output
    if not plan.is_current:
        return _make_file(job, plan, path, threads)
    begun = time.monotonic()
    _write_page(path, ())
    return Made(time.monotonic() - begun, plan.source_bytes, path.stat().st_size, 0, ())


def _write_page(path: Path, checks: Sequence[Any]) -> None:
    """Write the page about a file."""
    from scanimage_nwb.report import write_report

    write_report(path, _page_of(path), verified=checks or None)


def _make_file(job: Job, plan: Plan, path: Path, threads: int) -> Made:
    """Make the file of a session, and its page if that is asked for; see `convert_job`."""
    from scanimage_nwb.nwb.session.converting import convert_session

    record = _read_record(job)
    if path.exists() and record.get("output") != str(plan.output) and not job.options.overwrite:
        raise FileExistsError(f"{path} is there already, and not of an earlier batch; move it, or give --overwrite")
    _write_record(job, {"output": str(plan.output)})
    begun = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=ScanImageNwbWarning)
        try:
            made = convert_session(
                _read_session(job)[0],
                path,
                metadata=job.options.metadata,
                timezone=None if _says_timezone(job) else job.options.timezone,
                stub_test=job.options.stub_test,
                overwrite=True,
                verify=job.options.verify,
                workers=threads,
            )
        except VerificationError:
            path.unlink(missing_ok=True)
            raise
    said = tuple(dict.fromkeys(str(one.message) for one in caught))
    facts = _facts(path)
    _write_record(
        job,
        {
            "session": str(job.folder),
            "output": str(plan.output),
            "file": facts,
            "fingerprint": dict(plan.fingerprint),
            "n_verified": len(made.checks),
            "warnings": said,
        },
    )
    if plan.needs_report:
        _write_page(path, made.checks)
    return Made(time.monotonic() - begun, made.source_bytes, facts["bytes"], len(made.checks), said)


def _says_timezone(job: Job) -> bool:
    """Tell whether a session says its time zone itself."""
    return _read_session(job)[0].file.timezone is not None


def _facts(path: Path) -> dict[str, int]:
    """Return what tells a file from one that was changed."""
    if not path.is_file():
        return {}
    stat = path.stat()
    return {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_record(job: Job) -> dict[str, Any]:
    """Return what an earlier run noted; nothing if there was none, or it cannot be read."""
    try:
        found = json.loads(job.record_path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_record(job: Job, record: Mapping[str, Any]) -> None:
    """Note what a file was made of; the note is whole or as it was."""
    from scanimage_nwb.whole_file import whole_or_nothing

    job.record_path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(job.record_path, overwrite=True) as partial:
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
