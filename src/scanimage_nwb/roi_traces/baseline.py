"""dF/F: how far a trace lies above its baseline, as a fraction of it."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import RoiError, ScanImageNwbWarning
from scanimage_nwb.roi_traces.storage import cut_rows, make_array

__all__ = ["df_over_f", "rolling_df_over_f", "rolling_percentile", "subtract_neuropil"]


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
    _warn_no_baseline(none.sum(axis=0), len(found))
    return _relative(found, base)


def _relative(traces: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return dF/F; NaN where F0 is not above 0."""
    return np.divide(traces - base, base, out=np.full(traces.shape, np.nan), where=base > 0)


def _warn_no_baseline(n_none: NDArray[np.int64], n_samples: int) -> None:
    """Say how often F0 of each mask is not above 0."""
    if n_none.any():
        warnings.warn(
            f"F0 is not above 0 in {int(n_none.sum())} of {n_samples * len(n_none)} values, of "
            f"{np.count_nonzero(n_none)} mask(s) (first: mask {int((n_none > 0).argmax())}): dF/F is NaN there",
            ScanImageNwbWarning,
            stacklevel=3,
        )


def rolling_df_over_f(
    traces: ArrayLike,
    window: int,
    percentile: float = 8.0,
    *,
    neuropil: ArrayLike | None = None,
    factor: float = 0.7,
) -> NDArray[np.float64]:
    """Return dF/F over a rolling percentile, a few masks at a time, so that long traces need little memory.

    The same as `df_over_f` of `subtract_neuropil` over its `rolling_percentile`.

    Parameters
    ----------
    traces : array-like, shape (samples, rois)
        F.
    window, percentile
        As for `rolling_percentile`.
    neuropil : array-like, shape (samples, rois), optional
        Taken off first, as `subtract_neuropil` does.
    factor : float
        As for `subtract_neuropil`.

    Returns
    -------
    ndarray of float64, shape (samples, rois)
        NaN where F0 is not above 0; a warning counts them. More than 64 MB are mapped from a temporary file.

    Raises
    ------
    RoiError
        If shapes do not fit, or the window or percentile cannot be used.

    Examples
    --------
    >>> rolling_df_over_f([[2.0], [2.0], [3.0], [2.0]], window=3, percentile=50).ravel().tolist()
    [0.0, 0.0, 0.5, 0.0]
    """
    found = _two_axes(traces)
    around = None if neuropil is None else _two_axes(neuropil)
    out, n_none = make_array(found.shape, np.float64), np.zeros(found.shape[1], np.int64)
    for cut in cut_rows(found.shape[::-1]):
        own = found[:, cut] if around is None else subtract_neuropil(found[:, cut], around[:, cut], factor)
        base = rolling_percentile(own, window, percentile)
        out[:, cut], n_none[cut] = _relative(own, base), (~(base > 0)).sum(axis=0)
    _warn_no_baseline(n_none, len(found))
    return out


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
