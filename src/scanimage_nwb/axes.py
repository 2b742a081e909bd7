"""Axis letters, their order and units, in one place.

Arrays inside the package are ordered T C Z Y X H, leaving out the axes that they lack. The order of NWB
(time, width, height[, depth]) appears only in `scanimage_nwb.nwb`; the order of roiextractors
(time, rows, columns[, planes]) only in `scanimage_nwb.extractors`.
"""

from typing import Final

__all__ = ["AXES", "AXIS_NAMES", "NWB_AXES", "ROIEXTRACTORS_AXES", "axes_permutation"]

AXES: Final = "TCZYXH"
"""Order of all axes inside the package."""

AXIS_NAMES: Final = {
    "T": "time",
    "C": "channel",
    "Z": "plane",
    "Y": "row",
    "X": "column",
    "H": "delay time",
}
"""What each letter stands for."""

ROIEXTRACTORS_AXES: Final = "TYXZ"
"""Order of a series in roiextractors."""

NWB_AXES: Final = "TXYZ"
"""Order of the data of a TwoPhotonSeries: width before height."""


def axes_permutation(source: str, target: str) -> tuple[int, ...]:
    """Return the permutation that `numpy.transpose` needs to bring `source` order into `target` order.

    Letters of `target` that `source` lacks are left out.

    Parameters
    ----------
    source, target : str
        Axis letters, for example ``"TZYX"`` and ``"TYXZ"``.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        If `source` holds a letter that `target` lacks.

    Examples
    --------
    >>> axes_permutation("TZYX", NWB_AXES)
    (0, 3, 2, 1)
    >>> axes_permutation("TYX", NWB_AXES)
    (0, 2, 1)
    """
    missing = set(source) - set(target)
    if missing:
        raise ValueError(f"axes {sorted(missing)} of {source=} are not in {target=}")
    return tuple(source.index(letter) for letter in target if letter in source)
