"""How the commands and scripts of this package end: plain warnings, and errors in a line that a user can act on."""

import gc
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from scanimage_nwb.errors import ScanImageNwbError, ScanImageNwbWarning, SessionFileError

__all__ = ["command", "one_line", "quick_imports", "run_plainly"]

_MENDABLE = (ScanImageNwbError, ValueError, OSError)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--debug`, plain warnings and one-line errors."""

    @wraps(function)
    def run(*, debug: bool, **options: Any) -> None:
        with run_plainly(debug=debug):
            function(**options)

    return click.option("--debug", is_flag=True, help="Show where in the program an error comes from.")(run)


@contextmanager
def run_plainly(*, debug: bool = False) -> Iterator[None]:
    """Print our warnings as lines on the error stream, and end in one line where an error can be mended.

    Parameters
    ----------
    debug : bool
        Let errors through, with their traceback.
    """
    shown: set[str] = set()

    def show(message: Warning | str, *_where: object, **_more: object) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            click.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=ScanImageNwbWarning)
        warnings.showwarning = show
        try:
            with _stopped_by_termination():
                yield
        except BrokenPipeError:  # whoever read our output has seen enough; click ends quietly
            raise
        except _MENDABLE as error:
            if debug:
                raise
            for line in error.problems if isinstance(error, SessionFileError) else (one_line(error),):
                click.echo(f"error: {line}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("stopped; nothing was written under the output's name", err=True)
            sys.exit(130)


@contextmanager
def _stopped_by_termination() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, so that what is half written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import pynwb and neuroconv in 1.1 s in place of 1.8: modules live as long as the process, none is collected.

    For commands only, whose process is ours: what there is stays out of the collector's way until the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def one_line(error: BaseException) -> str:
    """Return what an error says in one line.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    str
    """
    if isinstance(error, SessionFileError):
        return "; ".join(error.problems)
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"{error.filename} is not there"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
