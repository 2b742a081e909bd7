"""Mean and correlation images, from sums that one pass over the frames gives."""

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels import local_products

__all__ = ["ImageSums"]


class ImageSums:
    """Gathers what mean and correlation images are made of.

    Parameters
    ----------
    shape : tuple of int
        Planes, rows and columns.

    Examples
    --------
    >>> sums = ImageSums((1, 1, 3))
    >>> sums.add(np.array([[[[0, 0, 5]]], [[[2, 4, 1]]], [[[1, 2, 3]]]]))
    >>> sums.mean().tolist(), sums.correlation().round(6).tolist()
    ([[[1.0, 2.0, 3.0]]], [[[1.0, 0.0, -1.0]]])
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._n = 0
        self._sums, self._squares = np.zeros(shape), np.zeros(shape)
        self._products = np.zeros((shape[0], len(local_products.NEIGHBOURS), *shape[1:]))

    def add(self, frames: NDArray) -> None:
        """Add samples.

        Parameters
        ----------
        frames : ndarray, shape (samples, planes, rows, columns)
            Numbers.
        """
        self._n += len(frames)
        for plane in range(frames.shape[1]):
            local_products.add_products(
                np.ascontiguousarray(frames[:, plane]), self._sums[plane], self._squares[plane], self._products[plane]
            )

    def mean(self) -> NDArray[np.float64]:
        """Return the mean of every pixel over time, shape (planes, rows, columns)."""
        return self._sums / max(self._n, 1)

    def correlation(self) -> NDArray[np.float64]:
        """Return how each pixel goes along with those around it: Pearson's r, averaged over its neighbours.

        Returns
        -------
        ndarray of float64, shape (planes, rows, columns)
            0 for pixels that never change.
        """
        n = max(self._n, 1)
        mean = self._sums / n
        spread = np.sqrt(np.maximum(self._squares / n - mean**2, 0))
        total, pairs = np.zeros_like(mean), np.zeros(mean.shape)
        for rank, (dy, dx) in enumerate(local_products.NEIGHBOURS):
            here = slice(None), slice(0, mean.shape[1] - dy), slice(max(0, -dx), mean.shape[2] - max(0, dx))
            there = slice(None), slice(dy, mean.shape[1]), slice(max(0, dx), mean.shape[2] - max(0, -dx))
            covariance = self._products[:, rank][here] / n - mean[here] * mean[there]
            both = spread[here] * spread[there]
            r = np.divide(covariance, both, out=np.zeros_like(both), where=both > 0)
            for side in (here, there):
                total[side] += r
                pairs[side] += 1
        return total / np.maximum(pairs, 1)
