"""Motion shifts of frames, as whoever reads frames gives them."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration import RegistrationInfo

__all__ = ["RegistrationDict", "read_shifts"]

RegistrationDict = Mapping[int, tuple[int, int]] | RegistrationInfo


def read_shifts(
    registration: Mapping[int, tuple[int, int]], pages: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the shift of every page; those that are not named stay where they are.

    What leaves a frame at one edge enters it at the other, as `numpy.roll` does.

    Parameters
    ----------
    registration : mapping
        Page to (dy, dx), whole pixels.
    pages : ndarray of int64, shape (n,)
        The pages.
    shape : tuple of int
        Their height and width.

    Returns
    -------
    ndarray of int64, shape (n, 2)
        dy and dx, not negative and smaller than the page.

    Raises
    ------
    ValueError
        If a shift is no pair of whole numbers, or pages are not named by whole numbers.

    Examples
    --------
    >>> read_shifts({3: (-1, 2)}, np.array([3, 4]), (16, 12)).tolist()
    [[15, 2], [0, 0]]
    """
    shifts = np.zeros((len(pages), 2), np.int64)
    if not isinstance(registration, Mapping):
        raise ValueError(
            f"registration_dict is of type {type(registration).__name__}; expected a mapping of frame to (dy, dx), or "
            "a RegistrationInfo"
        )
    if not registration:
        return shifts
    name = next(iter(registration))
    if not isinstance(name, int | np.integer):
        raise ValueError(
            f"registration_dict names frame {name!r}; expected whole numbers: JSON makes text of them, so turn them "
            "back with int()"
        )
    given = [registration.get(page, (0, 0)) for page in pages.tolist()]
    with suppress(ValueError):  # ragged
        table = np.array(given)
        if table.dtype == np.int64 and table.shape == shifts.shape:
            return table % np.array(shape)
    for i, page in enumerate(pages.tolist()):
        shift = registration.get(page)
        if shift is not None:
            shifts[i] = _whole(page, shift)
    return shifts % np.array(shape)


def _whole(page: int, shift: tuple[int, int]) -> tuple[int, int]:
    """Return a shift as whole numbers that are small enough to calculate with."""
    try:
        dy, dx = shift
        if dy == int(dy) and dx == int(dx) and max(abs(int(dy)), abs(int(dx))) < 1 << 62:
            return int(dy), int(dx)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(
        f"registration_dict gives frame {page} the shift {shift!r}; expected (dy, dx) in whole pixels, for example "
        "(1, -2): round sub-pixel shifts first"
    )
