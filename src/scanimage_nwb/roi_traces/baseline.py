"""dF/F: how far a trace lies above its baseline, as a fraction of it."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError, ScanImageNwbWarning

__all__ = ["df_over_f", "rolling_percentile", "subtract_neuropil"]


def df_over_f(traces: ArrayLike, f0: ArrayLike) -> NDArray[np.float64]:
    """Return (F - F0) / F0.

    Parameters
    ----------
    traces : array-like, shape (samples, rois)
        F.
    f0 : array-like
        F0: one number, one for each mask (rois,), or for each sample and mask (samples, rois).

    Returns
    -------
    ndarray of float64, shape (samples, rois)
        NaN where F0 is not above 0, where a fraction of it has no meaning; a warning counts them.

    Raises
    ------
    RoiError
        If shapes do not fit.

    Examples
    --------
    >>> df_over_f([[1.0, 2.0], [2.0, 2.0]], [1.0, 2.0]).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    found = _two_axes(traces)
    base = np.asarray(f0, np.float64)
    if base.shape not in ((), (found.shape[1],), found.shape):
        raise RoiError(
            f"F0 has shape {base.shape}; expected one number, {found.shape[1]} (one for each mask), or {found.shape}"
        )
    base = np.broadcast_to(base, found.shape)
    none = ~(base > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = (found - base) / base
    result[none] = np.nan
    if none.any():
        warnings.warn(
            f"F0 is not above 0 in {int(none.sum())} of {none.size} values, of {int(none.any(axis=0).sum())} mask(s) "
            f"(first: mask {int(none.any(axis=0).argmax())}): dF/F is NaN there",
            ScanImageNwbWarning,
            stacklevel=2,
        )
    return result


def rolling_percentile(traces: ArrayLike, window: int, percentile: float = 8.0) -> NDArray[np.float64]:
    """Return a baseline: a low percentile of each trace in a window that goes along with it.

    At the ends, the trace is mirrored, so that a window is always full.

    Parameters
    ----------
    traces : array-like, shape (samples, rois)
        F. A NaN makes the whole trace's baseline NaN.
    window : int
        Samples; about 30 to 60 s of them. Cut to the length of the recording.
    percentile : float
        0 to 100.

    Returns
    -------
    ndarray of float64, shape (samples, rois)

    Raises
    ------
    RoiError
        If the window or percentile cannot be used.

    Examples
    --------
    >>> rolling_percentile([[3.0], [1.0], [2.0], [9.0]], window=3, percentile=50).ravel().tolist()
    [3.0, 2.0, 2.0, 9.0]
    """
    from scipy.ndimage import percentile_filter

    found = _two_axes(traces)
    if window < 1 or not 0 <= percentile <= 100:
        raise RoiError(f"{window=}, {percentile=}; expected at least one sample, and a percentile from 0 to 100")
    window = min(int(window), max(len(found), 1))
    base = np.full(found.shape, np.nan)
    for roi in np.flatnonzero(np.isfinite(found).all(axis=0)):
        base[:, roi] = percentile_filter(found[:, roi], percentile, size=window, mode="reflect")
    return base


def subtract_neuropil(traces: ArrayLike, neuropil: ArrayLike, factor: float = 0.7) -> NDArray[np.float64]:
    """Return F less a fraction of the neuropil, the fraction's own median added back.

    Without that, F0 would lose the light that the cell and its surround share, and dF/F would be too large.

    Parameters
    ----------
    traces, neuropil : array-like, shape (samples, rois)
        Means over pixels.
    factor : float
        Contamination; 0.7 is suite2p's.

    Returns
    -------
    ndarray of float64, shape (samples, rois)
        NaN where there is no neuropil.
    """
    found, around = _two_axes(traces), _two_axes(neuropil)
    if found.shape != around.shape:
        raise RoiError(f"traces have shape {found.shape} and neuropil {around.shape}; expected the same")
    return found - factor * (around - np.median(around, axis=0))


def _two_axes(traces: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(traces, np.float64)
    if found.ndim != 2:
        raise RoiError(f"traces have shape {found.shape}; expected (samples, rois)")
    return found
