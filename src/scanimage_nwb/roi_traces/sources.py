"""Where frames come from: anything that gives runs of samples, (samples, planes, rows, columns)."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import RoiError

__all__ = ["ArraySource", "ExtractorSource", "FrameSource", "SiffReaderSource", "as_frame_source"]


@runtime_checkable
class FrameSource(Protocol):
    """What traces are taken from.

    One whose attribute ``reads_on_any_thread`` is True is read by several threads at once; others by one at a time.
    """

    shape: tuple[int, int, int, int]
    """Samples, planes, rows and columns."""

    def read(self, start: int, stop: int) -> NDArray:
        """Return consecutive samples, shape (samples, planes, rows, columns)."""
        ...


class ArraySource:
    """An array, in memory or mapped from a file.

    Parameters
    ----------
    frames : ndarray, shape (samples, [planes,] rows, columns)
        Numbers.
    """

    reads_on_any_thread = True

    def __init__(self, frames: NDArray) -> None:
        if frames.ndim not in (3, 4):
            raise RoiError(f"frames have shape {frames.shape}; expected (samples, [planes,] rows, columns)")
        self._frames = frames if frames.ndim == 4 else frames[:, np.newaxis]
        samples, planes, rows, columns = self._frames.shape
        self.shape = (samples, planes, rows, columns)

    def read(self, start: int, stop: int) -> NDArray:
        """Return consecutive samples; see `FrameSource`."""
        return self._frames[start:stop]


class ExtractorSource:
    """A roiextractors ImagingExtractor: ours, or any other.

    Parameters
    ----------
    extractor : ImagingExtractor
        Its series are (samples, rows, columns[, planes]).
    """

    def __init__(self, extractor: Any) -> None:
        self._extractor = extractor
        self.reads_on_any_thread = bool(getattr(extractor, "reads_on_any_thread", False))
        rows, columns, *planes = extractor.get_sample_shape()
        self.shape = (int(extractor.get_num_samples()), int(planes[0]) if planes else 1, int(rows), int(columns))

    def read(self, start: int, stop: int) -> NDArray:
        """Return consecutive samples; see `FrameSource`."""
        frames = self._extractor.get_series(start, stop)
        return frames[:, np.newaxis] if frames.ndim == 3 else frames.transpose(0, 3, 1, 2)


class SiffReaderSource:
    """Photon counts of one colour of a SiffReader, by volume.

    Parameters
    ----------
    reader : SiffReader
        An open reader.
    color_channel : int
        Colour, from 0.
    registration_dict : mapping, optional
        Frame to (dy, dx); by default the reader's own.
    pages : ndarray of int, shape (samples, planes), optional
        Frames of the samples; by default all whole volumes of the colour.
    """

    def __init__(
        self,
        reader: Any,
        color_channel: int = 0,
        registration_dict: Any = None,
        pages: NDArray[np.int64] | None = None,
    ) -> None:
        self._reader, self._registration = reader, registration_dict
        n_colors = reader.im_params.num_colors
        if not 0 <= color_channel < n_colors:
            raise RoiError(f"color_channel is {color_channel}; the file has {n_colors} colour(s), from 0")
        if pages is None:
            pages = reader.recording.index.sample_pages[..., color_channel].reshape(-1, reader.recording.n_planes)
        self.pages = pages
        """Frame of every sample and plane."""
        rows, columns = reader.im_params.shape
        self.shape = (len(self.pages), self.pages.shape[1], rows, columns)

    def read(self, start: int, stop: int) -> NDArray:
        """Return consecutive samples; see `FrameSource`."""
        pages = self.pages[start:stop]
        counts = self._reader.get_frames(pages.reshape(-1), self._registration)
        return counts.reshape(*pages.shape, *self.shape[2:])


def as_frame_source(source: Any, *, color_channel: int = 0, shifted_here: bool = False) -> FrameSource:
    """Return a source of frames for what people have: an array, an extractor, a SiffReader, or a source.

    Parameters
    ----------
    source : ndarray, ImagingExtractor, SiffReader or FrameSource
        Where frames come from.
    color_channel : int
        Colour of a SiffReader.
    shifted_here : bool
        Read a SiffReader's frames as recorded, since they are shifted by whom asks.

    Returns
    -------
    FrameSource

    Raises
    ------
    RoiError
        If it is none of these.
    """
    if isinstance(source, np.ndarray):
        return ArraySource(source)
    if hasattr(source, "get_series") and hasattr(source, "get_sample_shape"):
        return ExtractorSource(source)
    if hasattr(source, "im_params") and hasattr(source, "get_frames"):
        return SiffReaderSource(source, color_channel, {} if shifted_here else None)
    if isinstance(source, FrameSource):
        return source
    raise RoiError(
        f"frames cannot be read from a {type(source).__name__}; expected an array (samples, [planes,] rows, columns), "
        "an ImagingExtractor, a SiffReader, or an object with shape and read(start, stop)"
    )
