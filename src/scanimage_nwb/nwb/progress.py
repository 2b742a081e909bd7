"""How far the writing of a file has come, for people and for programs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

__all__ = ["ProgressReporter", "WriteProgress"]


@dataclass(frozen=True, slots=True)
class WriteProgress:
    """How far it has come."""

    done_bytes: int
    """Bytes written, before compression."""
    total_bytes: int
    """Bytes of all large datasets, before compression."""
    stored_bytes: int
    """Bytes written, after compression."""
    elapsed_s: float
    """Seconds since the first byte."""

    @property
    def mb_per_s(self) -> float:
        """Speed in megabytes a second, before compression."""
        return self.done_bytes / max(self.elapsed_s, 1e-9) / 1e6

    @property
    def compression_ratio(self) -> float:
        """Bytes before compression over bytes after."""
        return self.done_bytes / max(self.stored_bytes, 1)

    @property
    def seconds_left(self) -> float:
        """Seconds to go, at the speed so far."""
        return (self.total_bytes - self.done_bytes) / 1e6 / max(self.mb_per_s, 1e-9)


class ProgressReporter:
    """Tells a bar or a callable how far it has come; a context manager.

    Parameters
    ----------
    name : str
        What is written.
    progress : bool or callable
        As for `write_nwbfile`.
    """

    def __init__(self, name: str, progress: bool | Callable[[WriteProgress], None]) -> None:
        self.name = name
        self.total_bytes = 0
        self._progress = progress
        self._done_bytes = 0
        self._stored_bytes = 0
        self._start_s = 0.0
        self._bar: Any = None

    def __enter__(self) -> "ProgressReporter":
        self._start_s = time.monotonic()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, raw_bytes: int, stored_bytes: int) -> None:
        """Count one block, and tell.

        Parameters
        ----------
        raw_bytes, stored_bytes : int
            Its size before and after compression.
        """
        self._done_bytes += raw_bytes
        self._stored_bytes += stored_bytes
        elapsed_s = time.monotonic() - self._start_s
        state = WriteProgress(self._done_bytes, self.total_bytes, self._stored_bytes, elapsed_s)
        if callable(self._progress):
            self._progress(state)
        elif self._progress:
            if self._bar is None:
                # disable=None: quiet where the error stream is no terminal
                self._bar = tqdm(
                    total=self.total_bytes, unit="B", unit_scale=True, desc=self.name, leave=False, disable=None
                )
            self._bar.set_postfix_str(f"compressed {state.compression_ratio:.2f}x", refresh=False)
            self._bar.update(raw_bytes)
