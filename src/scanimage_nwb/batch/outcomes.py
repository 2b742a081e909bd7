"""What became of each session of a batch, and the table of it."""

import csv
import io
import traceback
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Literal

from scanimage_nwb.command_line import one_line
from scanimage_nwb.whole_file import whole_or_nothing

__all__ = ["Outcome", "error_path", "format_summary", "write_error", "write_summary"]

Status = Literal["converted", "up to date", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the summary."""

    session: str
    """Name of the session in the batch."""
    status: Status
    """What became of it."""
    output: str = ""
    """Its file, below the folder of outputs."""
    seconds: float = 0.0
    """Time it took."""
    source_bytes: int = 0
    """Size of its sources."""
    file_bytes: int = 0
    """Size of its file."""
    n_verified: int = 0
    """Series that were compared with their source, and are equal."""
    n_warnings: int = 0
    """Warnings; the record of the session has them."""
    message: str = ""
    """What is wrong, or worth knowing."""


def error_path(out: Path, key: str) -> Path:
    """Return where it is said why a session failed.

    Parameters
    ----------
    out : Path
        Folder of outputs.
    key : str
        Name of the session.

    Returns
    -------
    Path
    """
    return out / f"ERROR_{key}.txt"


def write_error(out: Path, key: str, folder: Path, error: BaseException, trace: TracebackType | None) -> str:
    """Say in a file why a session failed: in a sentence, and with the traceback.

    Parameters
    ----------
    out, key
        As for `error_path`.
    folder : Path
        Folder of the session.
    error : BaseException
        What was raised.
    trace : TracebackType or None
        Where.

    Returns
    -------
    str
        The sentence.
    """
    sentence = one_line(error)
    text = "".join(traceback.format_exception(type(error), error, trace))
    problems = "\n".join(getattr(error, "problems", ()) or (sentence,))
    path = error_path(out, key)
    with whole_or_nothing(path, overwrite=True) as partial:
        partial.write_text(f"Session {folder} was not converted.\n\n{problems}\n\n{text}", encoding="utf-8")
    return sentence


def write_summary(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the table of outcomes.

    Parameters
    ----------
    path : Path
        CSV file to write; an older one is replaced.
    outcomes : sequence of Outcome
        Its lines.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([one.name for one in fields(Outcome)])
    writer.writerows(astuple(outcome) for outcome in outcomes)
    with whole_or_nothing(path, overwrite=True) as partial:
        partial.write_text(lines.getvalue(), encoding="utf-8")


def format_summary(outcomes: Sequence[Outcome]) -> str:
    """Put outcomes into a table for people.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Its lines.

    Returns
    -------
    str

    Examples
    --------
    >>> print(format_summary([Outcome("m42", "converted", "m42.nwb", 2.5, 1_000_000, 600_000)]))
    session  status     seconds   MB in  MB out  file or error
    m42      converted      2.5     1.0     0.6  m42.nwb
    1 session: 1 converted, 0 up to date, 0 failed
    """
    width = max(len("session"), *(len(one.session) for one in outcomes)) if outcomes else len("session")
    state = max(len("status"), *(len(one.status) for one in outcomes)) if outcomes else len("status")
    lines = [f"{'session':{width}}  {'status':{state}}  {'seconds':>7} {'MB in':>7} {'MB out':>7}  file or error"]
    for one in outcomes:
        sizes = f"{one.seconds:7.1f} {one.source_bytes / 1e6:7.1f} {one.file_bytes / 1e6:7.1f}"
        said = "; ".join(text for text in (one.output if one.status != "failed" else "", one.message) if text)
        lines.append(f"{one.session:{width}}  {one.status:{state}}  {sizes}  {said}")
    counts = [f"{sum(one.status == state for one in outcomes)} {state}" for state in Status.__args__]  # type: ignore[attr-defined]
    lines.append(f"{len(outcomes)} session{'' if len(outcomes) == 1 else 's'}: {', '.join(counts)}")
    return "\n".join(lines)
