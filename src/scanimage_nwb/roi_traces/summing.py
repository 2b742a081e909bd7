"""Reading frames and summing masks in them, on any thread."""

import threading
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import RoiError
from scanimage_nwb.roi_traces.pieces import Pieces
from scanimage_nwb.roi_traces.sources import FrameSource

__all__ = ["Summing"]


class Summing:
    """Reads frames and sums masks in them, on any thread: a buffer is summed while it is in the cache of whom read it.

    Sources that cannot be read by several threads at once are read by one, while others sum.
    """

    def __init__(
        self, source: FrameSource, pieces: Pieces, shifts: NDArray[np.int64] | None, wrap: bool, step: int
    ) -> None:
        self.step = step
        self._source, self._pieces, self._shifts, self._wrap = source, pieces, shifts, wrap
        self._reading = nullcontext() if getattr(source, "reads_on_any_thread", False) else threading.Lock()
        self._whole = pieces.weigh(np.zeros((1, source.shape[1], 2), np.int64))

    def shifts_of(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the shifts of some samples, shape (samples, planes, 2)."""
        if self._shifts is None:
            return np.zeros((stop - start, self._source.shape[1], 2), np.int64)
        return self._shifts[start:stop]

    def weigh(self, start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the weights and the number of pixels of masks in some samples; once for all if they do not change."""
        if self._shifts is None or self._wrap:  # every pixel comes from somewhere
            return self._whole
        return self._pieces.weigh(self._shifts[start:stop])

    def sum(self, start: int, stop: int) -> tuple[NDArray, NDArray]:
        """Return the sums of all masks in some samples, and the frames that were read last."""
        found = []
        for first in range(start, stop, self.step):
            last = min(first + self.step, stop)
            with self._reading:
                frames = self._source.read(first, last)
            frames = _plain_frames(frames, (last - first, *self._source.shape[1:]))
            exact = frames.dtype.kind in "iu" and self._pieces.weights is None
            sums = np.zeros((len(frames), self._pieces.n_rois), np.int64 if exact else np.float64)
            self._pieces.add_sums(frames, self.shifts_of(first, last), sums, wrap=self._wrap)
            found.append(sums)
        return np.concatenate(found), frames


def _plain_frames(frames: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Return frames as kernels take them: contiguous, of a native type of numbers."""
    if frames.shape != shape:
        raise RoiError(f"the source gave frames of shape {frames.shape}; expected {shape}")
    if frames.dtype.kind not in "buif":
        raise RoiError(f"frames are of type {frames.dtype}; expected numbers")
    dtype: np.dtype = frames.dtype.newbyteorder("=")
    dtype = np.dtype({"b1": "u1", "u8": "i8", "f2": "f4"}.get(dtype.str[1:], dtype.str))
    return np.ascontiguousarray(frames, dtype)
