"""Which page texts say that something happened: a trigger's edge, an I2C packet, a marker.

Of most pages nothing happened; their texts need not be parsed. `find_eventful_reference` is the slow twin.
"""

import itertools
import re

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["find_eventful", "find_eventful_reference"]

_EQUALS, _SPACE, _TAB = ord("="), ord(" "), ord("\t")
_OPENING, _CLOSING, _OPENING_BRACE, _CLOSING_BRACE = ord("["), ord("]"), ord("{"), ord("}")
_MARKER = np.frombuffer(b"nextFileMarkerTimestamps_sec", np.uint8)
_END = np.frombuffer(b"endOfAcquisition", np.uint8)
_I2C = np.frombuffer(b"I2CData", np.uint8)
_AUX = np.frombuffer(b"auxTrigger", np.uint8)

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"auxTrigger[0-3][ \t]*=[ \t]*(?:[\d.]|[\[{][\[{ \t]*[^\[{\]}\s\0])",
        rb"I2CData[ \t]*=[ \t]*[\[{][\[{ \t]*[^\[{\]}\s\0]",
        rb"nextFileMarkerTimestamps_sec[ \t]*=[ \t]*[\d.]",
        rb"endOfAcquisition[ \t]*=[ \t]*1",
    )
)


@numba.njit(cache=True, nogil=True)
def _ends_with(texts: NDArray[np.uint8], start: int, stop: int, word: NDArray[np.uint8]) -> bool:
    """Tell whether the bytes up to `stop` end with a word."""
    if stop - start < len(word):
        return False
    for k in range(len(word)):  # noqa: SIM110 - no generators in numba
        if texts[stop - len(word) + k] != word[k]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _holds_something(texts: NDArray[np.uint8], at: int, stop: int) -> bool:
    """Tell whether brackets that begin at `at` hold anything."""
    k = at
    while k < stop and texts[k] in (_OPENING, _OPENING_BRACE, _SPACE, _TAB):
        k += 1
    if k == stop:
        return False
    byte = texts[k]
    return not (byte in (_CLOSING, _CLOSING_BRACE, 0) or 9 <= byte <= 13)  # 9 to 13 are white space


@numba.njit(cache=True, nogil=True)
def _says_something(texts: NDArray[np.uint8], start: int, equals: int, stop: int) -> bool:
    """Tell whether the line around an equals sign says that something happened."""
    key = equals
    while key > start and (texts[key - 1] == _SPACE or texts[key - 1] == _TAB):
        key -= 1
    value = equals + 1
    while value < stop and (texts[value] == _SPACE or texts[value] == _TAB):
        value += 1
    if key == start or value == stop:
        return False
    byte, last = texts[value], texts[key - 1]
    is_number = 48 <= byte <= 57 or byte == 46  # digits, point
    is_bracket = byte in (_OPENING, _OPENING_BRACE)
    if 48 <= last <= 51 and _ends_with(texts, start, key - 1, _AUX):
        return is_number or (is_bracket and _holds_something(texts, value, stop))
    if _ends_with(texts, start, key, _I2C):
        return is_bracket and _holds_something(texts, value, stop)
    if byte == 49 and _ends_with(texts, start, key, _END):
        return True
    return is_number and _ends_with(texts, start, key, _MARKER)


@numba.njit(cache=True, nogil=True)
def find_eventful(texts: NDArray[np.uint8], begins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which texts say that something happened.

    Parameters
    ----------
    texts : ndarray of uint8
        Texts of pages, one after the other.
    begins : ndarray of int64, shape (n + 1,)
        Where each begins, and where the last ends.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    found = np.zeros(len(begins) - 1, np.bool_)
    for page in range(len(found)):
        start, stop = begins[page], begins[page + 1]
        for at in range(start, stop):
            if texts[at] == _EQUALS and _says_something(texts, start, at, stop):
                found[page] = True
                break
    return found


def find_eventful_reference(texts: NDArray[np.uint8], begins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Do the same with regular expressions; parameters as for `find_eventful`."""
    parts = [texts[start:stop].tobytes() for start, stop in itertools.pairwise(begins)]
    return np.array([any(pattern.search(text) for pattern in _PATTERNS) for text in parts], bool)
