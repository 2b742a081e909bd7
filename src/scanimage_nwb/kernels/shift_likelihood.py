"""How well frames match a template at every shift: sums of counts times log-template.

`listed_surfaces` goes pixel by pixel over those that hold counts, which is fast for few photons and many shifts;
`window_surfaces` multiplies whole rows, which is fast for full frames and few shifts. The ``_reference`` is the slow
twin of both.
"""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_frames", "bin_frames_reference", "listed_surfaces", "surfaces_reference", "window_surfaces"]


@numba.njit(cache=True, nogil=True)
def listed_surfaces(
    frames: NDArray,
    which: NDArray[np.int64],
    log_template: NDArray[np.float32],
    first: int,
    n_shifts: int,
    out: NDArray[np.float32],
) -> None:
    """Sum counts times log-template at every shift of a square window, pixel by pixel.

    Parameters
    ----------
    frames : ndarray of any number type, shape (m, rows, columns)
        Counts.
    which : ndarray of int64, shape (n,)
        Frames that are wanted.
    log_template : ndarray of float32, shape (>= rows + first + n_shifts - 1, >= columns + first + padded - 1)
        `padded` is `n_shifts` rounded up to a multiple of 8, so that whole vectors are added.
    first : int
        First shift along each axis.
    n_shifts : int
        Shifts along each axis.
    out : ndarray of float32, shape (n, n_shifts, n_shifts)
        Filled: element (i, j) is the sum over pixels of ``frame[y, x] * log_template[y + first + i, x + first + j]``.
    """
    padded = (n_shifts + 7) // 8 * 8
    total = np.empty((n_shifts, padded), np.float32)
    lit = np.empty(frames.shape[2] + 1, np.int64)
    for k in range(len(which)):
        frame = frames[which[k]]
        total[:] = 0
        for y in range(frame.shape[0]):
            line, n_lit = frame[y], 0
            for x in range(line.size):  # without a branch, which would be guessed wrong at every photon
                lit[n_lit] = x
                n_lit += line[x] != 0
            for x in lit[:n_lit]:
                count = np.float32(line[x])
                for i in range(n_shifts):
                    row, source = total[i], log_template[first + y + i, first + x : first + x + padded]
                    for j in range(padded):
                        row[j] += count * source[j]
        out[k] = total[:, :n_shifts]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def window_surfaces(
    frames: NDArray, which: NDArray[np.int64], log_template: NDArray[np.float32], first: NDArray[np.int64], out: NDArray
) -> None:
    """Sum counts times log-template at the shifts of a window of each frame's own, row by row.

    Parameters
    ----------
    frames : ndarray of any number type, shape (m, rows, columns)
        Counts.
    which : ndarray of int64, shape (n,)
        Frames that are wanted.
    log_template : ndarray of float32, shape (>= rows + shifts - 1, >= columns + shifts - 1)
        Template.
    first : ndarray of int64, shape (n, 2)
        First shift of each wanted frame's window along rows and columns.
    out : ndarray of float64, shape (n, shifts_y, shifts_x)
        Filled: element (i, j) is the sum over pixels of ``frame[y, x] * log_template[y0 + y + i, x0 + x + j]``, where
        (y0, x0) is the frame's first shift.
    """
    n_columns = frames.shape[2]
    counts = np.empty(n_columns, np.float32)
    for k in range(len(which)):
        total, frame = out[k], frames[which[k]]
        total[:] = 0
        for y in range(frames.shape[1]):
            for x in range(n_columns):
                counts[x] = frame[y, x]
            for i in range(total.shape[0]):
                template_row = log_template[first[k, 0] + y + i]
                for j in range(total.shape[1]):
                    source = template_row[first[k, 1] + j : first[k, 1] + j + n_columns]
                    found = np.float32(0)
                    for x in range(n_columns):
                        found += counts[x] * source[x]
                    total[i, j] += found


def surfaces_reference(
    frames: NDArray, log_template: NDArray, first: NDArray[np.int64], n_shifts: tuple[int, int]
) -> NDArray[np.float64]:
    """Sum counts times log-template at every shift the slow way; parameters as for `window_surfaces`."""
    out = np.empty((len(frames), *n_shifts))
    _, rows, columns = frames.shape
    for k, frame in enumerate(frames):
        for i in range(n_shifts[0]):
            for j in range(n_shifts[1]):
                y, x = first[k, 0] + i, first[k, 1] + j
                out[k, i, j] = (frame.astype(float) * log_template[y : y + rows, x : x + columns]).sum()
    return out


@numba.njit(cache=True, nogil=True)
def bin_frames(frames: NDArray, which: NDArray[np.int64], factor: int, out: NDArray[np.float32]) -> None:
    """Sum squares of pixels; rows and columns that fill no square are left out.

    Parameters
    ----------
    frames : ndarray of any number type, shape (m, rows, columns)
        Counts.
    which : ndarray of int64, shape (n,)
        Frames that are wanted.
    factor : int
        Side of a square in pixels.
    out : ndarray of float32, shape (n, rows // factor, columns // factor)
        Filled.
    """
    sums = np.empty(out.shape[2] * factor, np.float32)
    for k in range(len(which)):
        total, frame = out[k], frames[which[k]]
        for y in range(total.shape[0]):
            sums[:] = 0
            for row in frame[y * factor : (y + 1) * factor]:
                for x in range(sums.size):
                    sums[x] += np.float32(row[x])
            for x in range(total.shape[1]):
                found = np.float32(0)
                for i in range(factor):
                    found += sums[x * factor + i]
                total[y, x] = found


def bin_frames_reference(frames: NDArray, factor: int) -> NDArray[np.float64]:
    """Sum squares of pixels the slow way; parameters as for `bin_frames`."""
    n, rows, columns = frames.shape
    cut = frames[:, : rows // factor * factor, : columns // factor * factor].astype(float)
    return cut.reshape(n, rows // factor, factor, columns // factor, factor).sum(axis=(2, 4))
