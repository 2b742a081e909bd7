"""What all our imaging extractors share: bounds, shapes and a time axis."""

import operator
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray
from roiextractors import ImagingExtractor

from scanimage_nwb.errors import FrameIndexError

__all__ = ["PageSeriesExtractor"]


class PageSeriesExtractor(ImagingExtractor):
    """What the extractors share: bounds, shapes and a time axis that native times and set times both fit."""

    reads_on_any_thread = True
    """Series may be read on several threads at once."""
    _num_rows: int
    _num_columns: int
    _dtype: np.dtype
    _num_planes: int = 1
    _times: NDArray[np.float64] | None

    def get_image_shape(self) -> tuple[int, int]:
        """Return (rows, columns) of a frame."""
        return self._num_rows, self._num_columns

    def get_frame_shape(self) -> tuple[int, int]:
        """Return (rows, columns) of a frame."""
        return self.get_image_shape()

    def get_volume_shape(self) -> tuple[int, int, int]:
        """Return (rows, columns, planes) of a volume; one plane for planar data."""
        return self._num_rows, self._num_columns, self._num_planes

    def get_sample_shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Return (rows, columns, planes) for volumetric data, (rows, columns) for planar data."""
        return self.get_volume_shape() if self.is_volumetric else self.get_image_shape()

    def get_num_planes(self) -> int:
        """Return the number of planes; 1 for planar data."""
        return self._num_planes

    def get_dtype(self) -> np.dtype:
        """Return the type of the pixels."""
        return self._dtype

    def get_samples(self, sample_indices: ArrayLike) -> NDArray:
        """Read some samples, in any order.

        Parameters
        ----------
        sample_indices : array-like of int
            Samples, each from 0 to the number of samples - 1.

        Returns
        -------
        ndarray, shape (samples, rows, columns[, planes])

        Raises
        ------
        FrameIndexError
            If a sample is not there.
        ValueError
            If `sample_indices` are no whole numbers; a mask is none.
        """
        indices = np.atleast_1d(np.asarray(sample_indices))
        if indices.size and indices.dtype.kind not in "iu":
            raise ValueError(f"sample_indices are of type {indices.dtype}; expected whole numbers, from 0")
        samples = indices.astype(np.int64)
        outside = samples[(samples < 0) | (samples >= self.get_num_samples())]
        if outside.size:
            raise FrameIndexError(f"sample {outside[0]} was asked for; there are {self.get_num_samples()}, from 0")
        return self._read_samples(samples)

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray:
        """Read consecutive samples.

        Parameters
        ----------
        start_sample, end_sample : int, optional
            First sample, and the one behind the last; by default all.

        Returns
        -------
        ndarray, shape (samples, rows, columns[, planes])
            Volumes come as a view of (samples, planes, rows, columns), the order on disk.

        Raises
        ------
        FrameIndexError
            If the range reaches outside the recording.
        ValueError
            If the range runs backward.
        TypeError
            If its ends are no whole numbers.
        """
        start, end = self._bounds(start_sample, end_sample)
        return self._read_samples(np.arange(start, end))

    def _read_samples(self, samples: NDArray[np.int64]) -> NDArray:
        raise NotImplementedError

    def _bounds(self, start_sample: int | None, end_sample: int | None) -> tuple[int, int]:
        """Return the range as two ints within the recording."""
        n_samples = self.get_num_samples()
        start = 0 if start_sample is None else _whole(start_sample)
        end = n_samples if end_sample is None else _whole(end_sample)
        if not (0 <= start <= n_samples and 0 <= end <= n_samples):
            raise FrameIndexError(
                f"samples {start} to {end} were asked for; there are {n_samples}, from 0 (negative numbers do not "
                "count from the end)"
            )
        if start > end:
            raise ValueError(
                f"start_sample ({start}) lies behind end_sample ({end}); expected start_sample <= end_sample"
            )
        return start, end

    def get_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[np.float64]:
        """Return sample times in seconds: those that were set, else native ones, else counted from the rate.

        Parameters
        ----------
        start_sample, end_sample : int, optional
            First sample, and the one behind the last; by default all.

        Returns
        -------
        ndarray of float64, shape (samples,)
        """
        start, end = self._bounds(start_sample, end_sample)
        if self._times is not None:
            return self._times[start:end]
        native = self.get_native_timestamps(start, end)
        return np.arange(start, end) / self.get_sampling_frequency() if native is None else native

    def get_times(self) -> NDArray[np.float64]:
        """Return the time of every sample in seconds, as `get_timestamps` does, and keep it.

        Returns
        -------
        ndarray of float64, shape (samples,)
        """
        if self._times is None:
            self._times = self.get_timestamps()
        return self._times

    def time_to_sample_indices(self, times: float | ArrayLike) -> NDArray[np.int64]:
        """Return the sample being recorded at each time.

        Parameters
        ----------
        times : float or array-like
            Seconds, on the axis of `get_timestamps`.

        Returns
        -------
        ndarray of int64, shape of `times`
            -1 before the first sample.
        """
        return (np.searchsorted(self.get_timestamps(), times, side="right") - 1).astype(np.int64)


def _whole(number: SupportsIndex | float) -> int:
    """Return a whole number as int; a quotient such as 10.0 is one, 0.5 is none."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return operator.index(number)  # type: ignore[arg-type]  # says what is wrong with any other
