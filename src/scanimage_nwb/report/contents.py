"""Find what a page shows in an NWB file, by the names of types: extensions need not be installed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

__all__ = ["Times", "full_name", "is_a", "micrometres", "movies", "objects_of", "plain", "times_of"]

_TO_UM = {
    "meters": 1e6,
    "metres": 1e6,
    "m": 1e6,
    "millimeters": 1e3,
    "mm": 1e3,
    "micrometers": 1,
    "um": 1,
    "microns": 1,
}


def is_a(item: Any, *kinds: str) -> bool:
    """Tell whether an object is of a type, or of one that extends it."""
    return any(kind.__name__ in kinds for kind in type(item).__mro__)


def objects_of(nwbfile: NWBFile, *kinds: str) -> Iterator[Any]:
    """Yield the objects of a file that are of one of several types: acquisition first, then by their names.

    Parameters
    ----------
    nwbfile : NWBFile
        The file.
    *kinds : str
        Names of types.

    Yields
    ------
    object
    """
    found = [item for item in nwbfile.objects.values() if is_a(item, *kinds)]
    yield from sorted(found, key=lambda item: (item.parent is not nwbfile, full_name(item)))


def full_name(item: Any) -> str:
    """Return the name of an object, with those that it lies in below its module: two may share the last one."""
    names = [str(item.name)]
    above = item.parent
    while above is not None and not is_a(above, "NWBFile", "ProcessingModule"):
        names.append(str(above.name))
        above = above.parent
    return " / ".join(reversed(names))


def movies(nwbfile: NWBFile) -> list[Any]:
    """Return the imaging series of a file."""
    return list(objects_of(nwbfile, "TwoPhotonSeries", "OnePhotonSeries"))


@dataclass(frozen=True, slots=True)
class Times:
    """When the samples of a series were taken."""

    seconds: NDArray[np.float64]
    """Of every sample, from the reference time of the file."""
    rate_hz: float | None
    """The rate that the file gives, None where it gives a time for each sample."""


def times_of(series: Any) -> Times:
    """Return the times of a series; a file may give fewer timestamps than samples, or none.

    Parameters
    ----------
    series : TimeSeries
        Any.

    Returns
    -------
    Times
    """
    n_samples = int(series.data.shape[0])
    if series.rate is not None:
        first = 0.0 if series.starting_time is None else float(series.starting_time)
        rate = float(series.rate)
        return Times(first + np.arange(n_samples) / rate if rate > 0 else np.zeros(0), rate)
    stamps = np.zeros(0) if series.timestamps is None else np.asarray(series.timestamps[:], np.float64).reshape(-1)
    return Times(stamps[:n_samples], None)


def micrometres(plane: Any) -> tuple[float, ...]:
    """Return the grid spacing of an imaging plane in micrometres, empty if the file does not say it."""
    spacing = getattr(plane, "grid_spacing", None)
    factor = _TO_UM.get(str(getattr(plane, "grid_spacing_unit", "")).lower())
    if spacing is None or factor is None:
        return ()
    return tuple(float(value) * factor for value in np.asarray(spacing[:]).reshape(-1))


def plain(value: Any, most: int = 12) -> str:
    """Return a value of a field as text; long ones are cut short.

    Examples
    --------
    >>> plain(np.array([1.5, 2.0])), plain(b"abc"), plain(["a", "b"]), plain(range(30), most=2)
    ('1.5, 2', 'abc', 'a, b', '0, 1, … (30 in all)')
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating):
        return f"{float(value):.8g}"
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" "))
    if hasattr(value, "__len__") and hasattr(value, "__getitem__") and getattr(value, "shape", None) != ():
        shown = ", ".join(plain(part) for part in value[:most])
        return shown if len(value) <= most else f"{shown}, … ({len(value)} in all)"
    return str(value)
