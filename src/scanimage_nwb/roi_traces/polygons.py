"""Which pixels lie inside a polygon."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["pixels_in_polygon"]


def pixels_in_polygon(corners: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the pixels whose centre lies inside a polygon, by the even-odd rule.

    Polygons that share an edge share no pixel.

    Parameters
    ----------
    corners : ndarray of float64, shape (n, 2)
        Row and column; the last is joined to the first. Pixels have their centres at whole numbers.
    shape : tuple of int
        Rows and columns of the field.

    Returns
    -------
    ndarray of int64, shape (pixels, 2)
        Row and column, within the field.
    """
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(np.int64)
    high = np.minimum(np.ceil(corners.max(axis=0)), np.array(shape) - 1).astype(np.int64)
    rows = np.arange(low[0], high[0] + 1)
    columns = np.arange(low[1], high[1] + 1)
    inside = np.zeros((len(rows), len(columns)), bool)
    for (y0, x0), (y1, x1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crossed = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
        if crossed.size:
            crossing = x0 + (rows[crossed] - y0) * ((x1 - x0) / (y1 - y0))
            inside[crossed] ^= columns >= crossing[:, np.newaxis]
    return np.argwhere(inside) + low
