"""Random reads from a file that is never written, by any number of threads at once."""

import os
import threading
from pathlib import Path

from scanimage_nwb.errors import FormatError

__all__ = ["ReadOnlyFile"]

_HAS_PREADV = hasattr(os, "preadv")


class ReadOnlyFile:
    """A file opened for reading at any place; closed when nobody holds it any more.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is no file at `path`.
    """

    __slots__ = ("_descriptor", "_lock", "path", "size")

    def __init__(self, path: Path) -> None:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = -1
        self.path = path
        if path.is_dir():
            raise FormatError(f"{path} is a folder; expected a ScanImage file in it")
        self._descriptor = os.open(path, flags)
        self._lock = threading.Lock()
        self.size = os.fstat(self._descriptor).st_size

    @property
    def descriptor(self) -> int | None:
        """The system's number of the file, for kernels that read by themselves; None where there are no such reads."""
        return self._descriptor if _HAS_PREADV else None

    def read_into(self, offset: int, views: list[memoryview]) -> int:
        """Fill `views` one after the other with the bytes from `offset` on.

        Parameters
        ----------
        offset : int
            Where to start in the file.
        views : list of memoryview
            Writable, of bytes; at most 1,024.

        Returns
        -------
        int
            Number of bytes read: fewer than the views hold only at the end of the file.
        """
        if not _HAS_PREADV:
            return self._seek_and_read(offset, views)
        wanted = sum(view.nbytes for view in views)
        done = os.preadv(self._descriptor, views, offset)
        while 0 < done < wanted:  # a signal or the kernel's limit of 2 GiB a call may cut a read short
            rest = _after(views, done)
            more = os.preadv(self._descriptor, rest, offset + done)
            if more == 0:
                break
            done += more
        return done

    def _seek_and_read(self, offset: int, views: list[memoryview]) -> int:
        """Do the same where the system has no positioned reads (Windows), one thread at a time."""
        done = 0
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            for view in views:
                filled = 0
                while filled < view.nbytes:
                    data = os.read(self._descriptor, view.nbytes - filled)
                    if not data:
                        return done + filled
                    view[filled : filled + len(data)] = data
                    filled += len(data)
                done += filled
        return done

    def read(self, offset: int, n_bytes: int) -> bytes:
        """Return `n_bytes` from `offset` on, fewer at the end of the file."""
        n_bytes = max(0, min(n_bytes, self.size - offset))
        data = bytearray(n_bytes)
        return bytes(data[: self.read_into(offset, [memoryview(data)])]) if n_bytes else b""

    _close = staticmethod(os.close)
    """Held here, for when the interpreter ends modules may be gone before their objects."""

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        if self._descriptor >= 0:
            self._close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "ReadOnlyFile":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _after(views: list[memoryview], n_bytes: int) -> list[memoryview]:
    """Return what is left of `views` behind their first `n_bytes`."""
    for i, view in enumerate(views):
        if n_bytes < view.nbytes:
            return [view[n_bytes:], *views[i + 1 :]]
        n_bytes -= view.nbytes
    return []
