"""Where registration gets its frames: anything that gives blocks of frames of one plane."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ArraySource", "FrameSource"]


class FrameSource(Protocol):
    """Frames of one colour, read a block at a time; `ArraySource` is the smallest example.

    `read` may be called from several threads at once.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Volumes, planes, rows and columns."""

    @property
    def pages(self) -> NDArray[np.int64]:
        """Pages that each frame's shift belongs to, shape (volumes, planes, channels); -1 where there is none."""

    def read(self, volumes: NDArray[np.int64], plane: int) -> NDArray:
        """Return frames of a plane, shape (volumes, rows, columns); zeros for a frame that is missing."""


class ArraySource:
    """Frames of an array, or of anything that is sliced like one (a memory map, an HDF5 dataset).

    Pages count frame by frame: plane fastest.

    Parameters
    ----------
    frames : array-like, shape (volumes, rows, columns) or (volumes, planes, rows, columns)
        Frames.

    Raises
    ------
    ValueError
        If it has another number of axes, or no pixels, or is not of real numbers.

    Examples
    --------
    >>> source = ArraySource(np.zeros((5, 2, 16, 8)))
    >>> source.shape, source.read(np.array([3]), 1).shape, int(source.pages[1, 0, 0])
    ((5, 2, 16, 8), (1, 16, 8), 2)
    """

    def __init__(self, frames: ArrayLike) -> None:
        is_array = hasattr(frames, "shape") and hasattr(frames, "dtype")
        array: Any = frames if is_array else np.asarray(frames)
        self._frames = array
        shape, dtype = self._frames.shape, np.dtype(self._frames.dtype)
        if len(shape) not in {3, 4}:
            raise ValueError(
                f"frames have shape {shape}; expected (volumes, rows, columns) or (volumes, planes, rows, columns)"
            )
        if min(shape) == 0 or dtype.kind not in "biuf":
            raise ValueError(f"frames of shape {shape} and type {dtype}; expected real numbers, and at least one pixel")
        self._has_planes = len(shape) == 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Volumes, planes, rows and columns."""
        shape = self._frames.shape
        return (shape[0], shape[1] if self._has_planes else 1, shape[-2], shape[-1])

    @property
    def pages(self) -> NDArray[np.int64]:
        """Ranks of the frames, shape (volumes, planes, 1)."""
        n_volumes, n_planes = self.shape[:2]
        return np.arange(n_volumes * n_planes).reshape(n_volumes, n_planes, 1)

    def read(self, volumes: NDArray[np.int64], plane: int) -> NDArray:
        """Return frames of a plane, shape (volumes, rows, columns)."""
        first, last = int(volumes[0]), int(volumes[-1]) + 1
        wanted = slice(first, last) if last - first == len(volumes) else volumes
        return np.asarray(self._frames[wanted, plane] if self._has_planes else self._frames[wanted])
