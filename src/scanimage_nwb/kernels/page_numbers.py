"""The numbers in the text of a page that place it: frame, acquisition, and time."""

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.kernels.page_rows import COLUMNS

__all__ = ["scan_text"]

_TEXT_KEYS: Final = (
    (b"frameNumbers", COLUMNS.index("frame_number")),
    (b"acquisitionNumbers", COLUMNS.index("acquisition_number")),
    (b"frameNumberAcquisition", COLUMNS.index("frame_in_acquisition")),
    (b"frameTimestamps_sec", -1),
    (b"Frame Number", COLUMNS.index("frame_number")),
    (b"Frame Timestamp(s)", -1),
)
_KEY_LENGTH: Final = np.array([len(key) for key, _ in _TEXT_KEYS], np.int64)
_KEY_COLUMN: Final = np.array([column for _, column in _TEXT_KEYS], np.int64)
_KEY_BYTES: Final = np.array([list(key.ljust(24, b"\0")) for key, _ in _TEXT_KEYS], np.uint8)
_N_FACTS: Final = 4


@numba.njit(cache=True, nogil=True)
def _number_after_equals(data: NDArray[np.uint8], start: int, stop: int) -> float:
    """Return the decimal number behind ``=`` in ``data[start:stop]``, NaN if there is none.

    Digits are gathered as one integer and divided by a power of ten once, which rounds as Python's float does
    for up to 15 digits; digits beyond the 18th do not count.
    """
    i = start
    while i < stop and data[i] == 32:
        i += 1
    if i >= stop or data[i] != 61:
        return np.nan
    i += 1
    while i < stop and data[i] == 32:
        i += 1
    negative = i < stop and data[i] == 45
    if i < stop and (data[i] == 45 or data[i] == 43):
        i += 1
    mantissa = np.int64(0)
    n_digits = 0
    scale = 0
    in_fraction = False
    while i < stop:
        byte = data[i]
        if byte == 46 and not in_fraction:
            in_fraction = True
        elif 48 <= byte <= 57:
            if n_digits < 18:
                mantissa = mantissa * 10 + np.int64(byte - 48)
                scale -= 1 if in_fraction else 0
            elif not in_fraction:
                scale += 1
            n_digits += 1
        else:
            break
        i += 1
    if n_digits == 0:
        return np.nan
    value = mantissa / 10.0**-scale if scale < 0 else mantissa * 10.0**scale
    return -value if negative else value


@numba.njit(cache=True, nogil=True)
def scan_text(data: NDArray[np.uint8], start: int, stop: int, row: NDArray[np.int64]) -> float:
    """Take frame number, acquisition number and frame-in-acquisition of a page text into `row`.

    Parameters
    ----------
    data : ndarray of uint8
        Bytes that hold the text.
    start, stop : int
        Where the text lies in `data`.
    row : ndarray of int64, shape (len(COLUMNS),)
        Row of the page; changed in place.

    Returns
    -------
    float
        The frame's timestamp in seconds, NaN if the text has none.
    """
    timestamp = np.nan
    found = 0
    line = start
    while line < stop and found < _N_FACTS and data[line] != 0:
        for k in range(_KEY_LENGTH.size):
            length = _KEY_LENGTH[k]
            if line + length >= stop or data[line] != _KEY_BYTES[k, 0]:
                continue
            same = True
            for j in range(length):
                if data[line + j] != _KEY_BYTES[k, j]:
                    same = False
                    break
            if not same:
                continue
            column = _KEY_COLUMN[k]
            value = _number_after_equals(data, line + length, stop)
            # The first line counts: appended text of a .siff page may hold the same words again.
            if not np.isnan(value) and (np.isnan(timestamp) if column < 0 else row[column] < 0):
                found += 1
                if column < 0:
                    timestamp = value
                else:
                    row[column] = np.int64(value)
            break
        while line < stop and data[line] != 10 and data[line] != 13:
            line += 1
        line += 1
    return timestamp
