"""How well frames match a template at every shift: sums of counts times log-template.

`listed_surfaces` goes photon by photon, which is fast for few photons and many shifts; `window_surfaces` multiplies
whole rows, which is fast for full frames and few shifts. ``surfaces_reference`` is the slow twin of both.
"""

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = [
    "bin_frames",
    "bin_frames_reference",
    "count_frames",
    "list_pixels",
    "listed_surfaces",
    "surfaces_reference",
    "window_surfaces",
]

_LANES: Final = 8
"""Shifts of a row that are done at once."""


@intrinsic
def _add_scaled(_context: Any, total: Any, at: Any, source: Any, start: Any, factor: Any) -> Any:
    """Add eight neighbouring elements times a factor to eight others.

    Written out because numba asks of each loop over so few elements whether the arrays overlap.
    """
    signature = types.void(total, types.int64, source, types.int64, types.float32)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.FloatType(), _LANES)
        arrays = [context.make_array(signature.args[k])(context, builder, args[k]) for k in (0, 2)]
        places = [
            builder.bitcast(builder.gep(array.data, [args[k + 1]]), lanes.as_pointer())
            for array, k in zip(arrays, (0, 2), strict=True)
        ]
        before, values = (builder.load(place, align=4) for place in places)
        empty = ir.Constant(lanes, ir.Undefined)
        factors = builder.insert_element(empty, args[4], ir.Constant(ir.IntType(32), 0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), None)
        factors = builder.shuffle_vector(factors, empty, first)
        product = builder.fmul(values, factors, flags=("contract",))
        builder.store(builder.fadd(before, product, flags=("contract",)), places[0], align=4)
        return context.get_dummy_value()

    return signature, codegen


@numba.njit(cache=True, nogil=True, fastmath={"reassoc"})
def count_frames(
    frames: NDArray, which: NDArray[np.int64], sums: NDArray[np.float64], n_lit: NDArray[np.int64]
) -> None:
    """Sum frames, and count their pixels that are not 0.

    Parameters
    ----------
    frames : ndarray of any number type, shape (m, rows, columns)
        Counts.
    which : ndarray of int64, shape (n,)
        Frames that are wanted.
    sums : ndarray of float64, shape (n,)
        Filled.
    n_lit : ndarray of int64, shape (n,)
        Filled.
    """
    for k in range(len(which)):
        frame, total, n = frames[which[k]], np.float64(0), np.int64(0)
        for y in range(frame.shape[0]):
            line = frame[y]
            for x in range(line.size):
                total += np.float64(line[x])
                n += np.int64(line[x] != 0)
        sums[k], n_lit[k] = total, n


@numba.njit(cache=True, nogil=True)
def list_pixels(
    frames: NDArray,
    which: NDArray[np.int64],
    pixels: NDArray[np.int32],
    values: NDArray[np.float32],
    bounds: NDArray[np.int64],
) -> None:
    """List the pixels of frames that are not 0.

    Parameters
    ----------
    frames : ndarray of any number type, shape (m, rows, columns)
        Counts.
    which : ndarray of int64, shape (n,)
        Frames that are wanted.
    pixels : ndarray of int32
        Filled with ranks of pixels, frame by frame; needs a place for each.
    values : ndarray of float32
        Filled with what is in them.
    bounds : ndarray of int64, shape (n + 1,)
        Filled: where those of each frame begin, and the end.
    """
    n_columns = frames.shape[2]
    lit = np.empty(n_columns + 1, np.int64)
    done = 0
    bounds[0] = 0
    for k in range(len(which)):
        frame = frames[which[k]]
        for y in range(frame.shape[0]):
            line, n_lit = frame[y], 0
            for x in range(n_columns):  # without a branch, which would be guessed wrong at every photon
                lit[n_lit] = x
                n_lit += line[x] != 0
            for x in lit[:n_lit]:
                pixels[done], values[done] = y * n_columns + x, line[x]
                done += 1
        bounds[k + 1] = done


@numba.njit(cache=True, nogil=True)
def listed_surfaces(
    pixels: NDArray[np.int32],
    values: NDArray[np.float32],
    bounds: NDArray[np.int64],
    which: NDArray[np.int64],
    n_columns: int,
    log_template: NDArray[np.float32],
    first: int,
    n_shifts: int,
    out: NDArray[np.float32],
) -> None:
    """Sum counts times log-template at every shift of a square window, pixel by pixel.

    Parameters
    ----------
    pixels, values, bounds
        Frames, as `list_pixels` lists them.
    which : ndarray of int64, shape (n,)
        Frames that are wanted.
    n_columns : int
        Columns of a frame.
    log_template : ndarray of float32, shape (>= rows + first + n_shifts - 1, >= columns + first + padded - 1)
        `padded` is `n_shifts` rounded up to a multiple of 8, so that whole vectors are added.
    first : int
        First shift along each axis.
    n_shifts : int
        Shifts along each axis.
    out : ndarray of float32, shape (n, n_shifts, n_shifts)
        Filled: element (i, j) is the sum over pixels of ``frame[y, x] * log_template[y + first + i, x + first + j]``.
    """
    padded, stride = (n_shifts + _LANES - 1) // _LANES * _LANES, log_template.shape[1]
    total, flat = np.empty((n_shifts, padded), np.float32), log_template.reshape(-1)
    sums = total.reshape(-1)
    for k in range(len(which)):
        total[:] = 0
        for found in range(bounds[which[k]], bounds[which[k] + 1]):
            y, x = divmod(np.int64(pixels[found]), n_columns)
            start = (first + y) * stride + first + x
            for i in range(n_shifts):
                for j in range(0, padded, _LANES):
                    _add_scaled(sums, i * padded + j, flat, start + i * stride + j, values[found])
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
