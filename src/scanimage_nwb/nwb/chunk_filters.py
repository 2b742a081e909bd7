"""What HDF5's shuffle and deflate filters make of a chunk, made faster.

The bytes of deflate differ from zlib's, but not what any reader gets from them.
"""

import math
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from scanimage_nwb.kernels.deflate import SEGMENT_BYTES, deflate, deflate_bound
from scanimage_nwb.kernels.shuffle import shuffle

__all__ = ["ChunkEncoder", "FilterSet", "filters_of"]

_DEFAULT_LEVEL = 4
"""h5py's level of gzip, which nobody asked for: ours and ISA-L's are many times faster, and on pixels smaller."""
_ISAL_LEVEL = 1
"""ISA-L's fastest level, which on shuffled pixels is also its smallest."""
_KERNEL_AXES = 4


@dataclass(frozen=True, slots=True)
class FilterSet:
    """Filters of a dataset that this package can apply."""

    shuffle: bool
    """HDF5's shuffle filter."""
    deflate_level: int | None
    """Level of HDF5's deflate (gzip) filter, None if it is not applied."""


def filters_of(dataset: h5py.Dataset) -> FilterSet | None:
    """Return the filters of a dataset, None if not all of them, or not the dataset's type, are known here.

    Parameters
    ----------
    dataset : h5py.Dataset
        Chunked, of numbers.

    Returns
    -------
    FilterSet or None
    """
    if dataset.chunks is None or dataset.dtype.kind not in "iuf" or not dataset.dtype.isnative:
        return None
    properties = dataset.id.get_create_plist()
    codes = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if codes not in ([], [h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]):
        return None
    level = properties.get_filter(len(codes) - 1)[2][0] if h5py.h5z.FILTER_DEFLATE in codes else None
    return FilterSet(h5py.h5z.FILTER_SHUFFLE in codes, level)


class _Scratch(threading.local):
    """Arrays that each thread uses again for every chunk; no slots, which threads would share."""

    def __init__(self) -> None:
        self.shuffled = np.empty(0, np.uint8)
        self.words = np.empty(0, np.uint64)
        self.tokens = np.empty(SEGMENT_BYTES, np.uint16)


@dataclass(frozen=True, slots=True)
class ChunkEncoder:
    """Applies a dataset's filters to its chunks, on any thread."""

    chunk_shape: tuple[int, ...]
    dtype: np.dtype
    filters: FilterSet
    coder: Literal["runs", "isal"] = "isal"
    """Who deflates at the default level: this package's kernel, which knows runs only, or ISA-L, which searches."""
    _scratch: _Scratch = field(default_factory=_Scratch, compare=False, repr=False)

    @property
    def has_a_choice(self) -> bool:
        """Whether samples of the data decide who deflates."""
        return self.filters.deflate_level == _DEFAULT_LEVEL

    def fitted_to(self, parts: Iterable[NDArray]) -> "ChunkEncoder":
        """Return the encoder with the coder that makes samples of the data smaller.

        Parameters
        ----------
        parts : iterable of ndarray
            Chunks of the dataset.

        Returns
        -------
        ChunkEncoder
        """
        if not self.has_a_choice:
            return self
        isal, runs = replace(self, coder="isal"), replace(self, coder="runs")
        gain = sum(len(isal.encode(part)) - len(runs.encode(part)) for part in parts)
        return runs if gain > 0 else isal

    def encode(self, part: NDArray) -> bytes:
        """Apply the filters to one chunk; what lies beyond the edge of the dataset is zero, HDF5's fill value.

        Parameters
        ----------
        part : ndarray
            The chunk, or what there is of it at the edge of the dataset.

        Returns
        -------
        bytes
            As they are stored.
        """
        n_planes = 1
        if not self.filters.shuffle or self.dtype.itemsize == 1:
            raw = self._padded(part)
        else:
            n_planes = self.dtype.itemsize
            raw = self._shuffled(part)
        if self.filters.deflate_level is None:
            return raw.tobytes()
        if self.filters.deflate_level != _DEFAULT_LEVEL:
            return zlib.compress(raw.data, self.filters.deflate_level)
        if self.coder == "isal":
            return isal_zlib.compress(raw, _ISAL_LEVEL)
        return self._deflated(raw.reshape(-1).view(np.uint8), n_planes)

    def _deflated(self, raw: NDArray[np.uint8], n_planes: int) -> bytes:
        """Deflate with this package's kernel."""
        scratch = self._scratch
        n_words = deflate_bound(raw.size, n_planes)
        if scratch.words.size < n_words:
            scratch.words = np.empty(n_words, np.uint64)
        n_bytes = deflate(raw, n_planes, scratch.words, scratch.tokens)
        return scratch.words.view(np.uint8)[:n_bytes].tobytes()

    def _shuffled(self, part: NDArray) -> NDArray[np.uint8]:
        """Shuffle, with the kernel where it can: it takes four axes and unsigned elements."""
        missing = _KERNEL_AXES - part.ndim
        if missing < 0:
            raw = self._padded(part)
            return np.ascontiguousarray(raw.reshape(-1).view(np.uint8).reshape(raw.size, -1).T)
        scratch = self._scratch
        n_bytes = math.prod(self.chunk_shape) * self.dtype.itemsize
        if scratch.shuffled.size != n_bytes:
            scratch.shuffled = np.empty(n_bytes, np.uint8)
        if part.shape != self.chunk_shape:
            scratch.shuffled[:] = 0
        elements = part.reshape((1,) * missing + part.shape) if missing else part
        shuffle(elements.view(f"u{self.dtype.itemsize}"), (1,) * missing + self.chunk_shape, scratch.shuffled)
        return scratch.shuffled

    def _padded(self, part: NDArray) -> NDArray:
        """Return a whole chunk, contiguous."""
        if part.shape == self.chunk_shape:
            return np.ascontiguousarray(part)
        whole = np.zeros(self.chunk_shape, self.dtype)
        whole[tuple(slice(0, n) for n in part.shape)] = part
        return whole
