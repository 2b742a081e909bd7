"""Registration of recordings: which pages are whose frames, and how they are read."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FrameIndexError
from scanimage_nwb.recording import Recording
from scanimage_nwb.registration import RegistrationInfo, register
from scanimage_nwb.registration.info import as_signed

__all__ = ["RecordingSource", "check_edge", "describe_source", "fill_edges", "page_table", "register_recording"]


def page_table(recording: Recording) -> NDArray[np.int64]:
    """Return the page of every frame, shape (volumes * frames per slice, planes, channels); -1 where there is none.

    Flyback pages, and pages of another shape, are in no place; volumes that lack frames have theirs.
    """
    index = recording.index
    rows, columns = recording.page_shape
    height, width = (
        np.concatenate([table.columns[name] for table in recording.tables]) for name in ("height", "width")
    )
    pages = np.flatnonzero((index.plane >= 0) & (index.channel >= 0) & (height == rows) & (width == columns))
    _, volume = np.unique(
        index.volume[pages] * recording.frames_per_slice + index.slice_sample[pages], return_inverse=True
    )
    n_volumes = int(volume.max()) + 1 if pages.size else 0
    table = np.full((n_volumes, recording.n_planes, recording.n_channels), -1, np.int64)
    table[volume, index.plane[pages], index.channel[pages]] = pages
    return table


class RecordingSource:
    """Frames of one channel of a recording, as `scanimage_nwb.registration.FrameSource` wants them.

    Parameters
    ----------
    recording : Recording
        Open files.
    channel : int
        Channel, from 0.
    read_pages : callable
        Reads pages: global page numbers to an array of shape (n, rows, columns).

    Raises
    ------
    FrameIndexError
        If there is no such channel, or no frame.
    """

    def __init__(self, recording: Recording, channel: int, read_pages: Callable[[NDArray[np.int64]], NDArray]) -> None:
        if not 0 <= channel < recording.n_channels:
            raise FrameIndexError(
                f"colour {channel} was asked for; {recording.paths[0]} has {recording.n_channels}, from 0"
            )
        self._pages, self._channel, self._read_pages = page_table(recording), channel, read_pages
        self._page_shape = recording.page_shape
        if not (self._pages[:, :, channel] >= 0).any():
            raise FrameIndexError(f"{recording.paths[0]} has no frame of colour {channel} that could be registered")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Volumes, planes, rows and columns."""
        return (self._pages.shape[0], self._pages.shape[1], *self._page_shape)

    @property
    def pages(self) -> NDArray[np.int64]:
        """Page of every frame and channel; -1 where there is none."""
        return self._pages

    def read(self, volumes: NDArray[np.int64], plane: int) -> NDArray:
        """Return frames of a plane, shape (volumes, rows, columns); zeros for a frame that is missing."""
        own = self._pages[volumes, plane, self._channel]
        there = own >= 0
        if there.all():
            return self._read_pages(own)
        found = self._read_pages(own[there])
        frames = np.zeros((len(own), *self._page_shape), found.dtype)
        frames[there] = found
        return frames


def describe_source(recording: Recording) -> dict[str, Any]:
    """Return what tells a recording from others: name and size of its first file, number and shape of pages."""
    return {
        "file_name": recording.paths[0].name,
        "file_bytes": recording.paths[0].stat().st_size,
        "n_pages": recording.n_pages,
        "page_shape": list(recording.page_shape),
    }


def register_recording(
    recording: Recording,
    read_pages: Callable[[NDArray[np.int64]], NDArray],
    *,
    alignment_color_channel: int = 0,
    **options: Any,
) -> RegistrationInfo:
    """Find the motion of a recording from one of its channels; the others move with it.

    Parameters
    ----------
    recording : Recording
        Open files.
    read_pages : callable
        Reads pages, unshifted.
    alignment_color_channel : int
        Channel, from 0.
    **options
        As for `scanimage_nwb.registration.register`.

    Returns
    -------
    RegistrationInfo
    """
    info = register(RecordingSource(recording, alignment_color_channel, read_pages), **options)
    parameters = {**info.parameters, "alignment_color_channel": alignment_color_channel}
    return info.with_source(describe_source(recording), parameters)


def check_edge(edge: object, dtype: np.dtype) -> None:
    """Refuse what is neither 'wrap' nor a value that frames of a type can hold.

    Examples
    --------
    >>> check_edge(-1, np.dtype(np.uint16))
    Traceback (most recent call last):
    ValueError: edge is -1; expected 'wrap', or a number that uint16 holds
    """
    if isinstance(edge, str) and edge == "wrap":
        return
    if isinstance(edge, int | float | np.integer | np.floating):
        if dtype.kind in "fc":
            return
        limits = np.iinfo(dtype)
        if limits.min <= edge <= limits.max and edge == int(edge):
            return
    raise ValueError(f"edge is {edge!r}; expected 'wrap', or a number that {dtype} holds")


def fill_edges(frames: NDArray, shifts: NDArray[np.int64], value: float) -> NDArray:
    """Put a value where a shift brought in the opposite edge, in place.

    Parameters
    ----------
    frames : ndarray, shape (n, rows, columns)
        Frames, shifted and wrapped.
    shifts : ndarray of int64, shape (n, 2)
        Shift of each, signed or as a remainder of rows and columns.
    value : float
        What is put there.

    Returns
    -------
    ndarray
        The same.

    Examples
    --------
    >>> fill_edges(np.ones((1, 2, 3), int), np.array([[0, 2]]), 0).tolist()
    [[[1, 1, 0], [1, 1, 0]]]
    """
    check_edge(value, frames.dtype)
    signed = as_signed(shifts, frames.shape[1:]).astype(np.int64)
    for frame, (dy, dx) in zip(frames, signed.tolist(), strict=True):
        frame[slice(dy, None) if dy < 0 else slice(0, dy)] = value
        frame[:, slice(dx, None) if dx < 0 else slice(0, dx)] = value
    return frames
