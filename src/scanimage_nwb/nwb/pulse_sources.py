"""Where the times of sync pulses come from: arrays, tables, NWB files, the recording itself, other interfaces."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import TimeAxisError
from scanimage_nwb.recording import open_recording, read_events

__all__ = ["read_pulse_times", "rising_edges"]


def read_pulse_times(source: Any, name: str | None = None, *, threshold: float | None = None) -> NDArray[np.float64]:
    r"""Return the times of pulses.

    Parameters
    ----------
    source : array-like, path-like or object
        Times in seconds; a file that ends in .csv, .tsv, .txt, .npy, .npz, .nwb, .tif or .siff; or anything that has
        ``get_timestamps()``, as the interfaces of neuroconv do.
    name : str, optional
        Column of a table, array of an .npz, name of an object in an NWB file, or kind of event in a recording
        (``"auxTrigger0"``, ``"I2C"`` …); may be left out if there is one.
    threshold : float, optional
        For a channel in an NWB file: pulses are where its data rise above this, by default half way between the
        lowest and the highest value. A series whose data hold one value only, an EventsTable and a table of
        intervals give their times as they are.

    Returns
    -------
    ndarray of float64, shape (n_pulses,)
        Seconds.

    Raises
    ------
    TimeAxisError
        If the source does not hold times, or what is meant has to be chosen.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> (folder / "pulses.csv").write_text("pulse_s,level\n0.5,1\n1.5,1\n")
    26
    >>> read_pulse_times(folder / "pulses.csv", "pulse_s").tolist()
    [0.5, 1.5]
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there; expected a file of pulse times")
        readers = {".npy": _read_npy, ".npz": _read_npz, ".nwb": _read_nwb}
        readers |= dict.fromkeys((".tif", ".tiff", ".siff"), _read_triggers)
        found = readers.get(path.suffix.lower(), _read_table)(path, name, threshold)
    elif hasattr(source, "get_timestamps"):
        found = source.get_timestamps()
    else:
        found = source
    try:
        times = np.asarray(found, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise TimeAxisError(f"{source!r} does not hold times of pulses in seconds: {error}") from error
    return times


def rising_edges(times_s: ArrayLike, data: ArrayLike, threshold: float | None = None) -> NDArray[np.float64]:
    """Return when a sampled signal rises above a threshold, on the line between two samples.

    Parameters
    ----------
    times_s : array-like of float, shape (n,)
        Time of each sample in seconds.
    data : array-like, shape (n,)
        The signal.
    threshold : float, optional
        By default half way between the lowest and the highest value.

    Returns
    -------
    ndarray of float64, shape (edges,)

    Examples
    --------
    >>> rising_edges([0.0, 1.0, 2.0, 3.0], [0, 5, 0, 5]).tolist()
    [0.5, 2.5]
    """
    times, signal = np.asarray(times_s, np.float64), np.asarray(data, np.float64)
    if signal.ndim != 1 or times.shape != signal.shape:
        raise TimeAxisError(f"a channel of shape {signal.shape} at times of shape {times.shape}: expected one channel")
    if threshold is None:
        level = 0.5 * float(np.nanmin(signal) + np.nanmax(signal)) if len(signal) else 0.0
    else:
        level = threshold
    up = np.flatnonzero((signal[:-1] < level) & (signal[1:] >= level))
    share = (level - signal[up]) / (signal[up + 1] - signal[up])
    return times[up] + share * (times[up + 1] - times[up])


def _read_npy(path: Path, _name: str | None, _threshold: float | None) -> NDArray:
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise TimeAxisError(f"{path} is no array of numbers: {error}") from error


def _read_npz(path: Path, name: str | None, _threshold: float | None) -> NDArray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[_choose(path, "array", arrays.files, name)]
    except ValueError as error:
        if isinstance(error, TimeAxisError):
            raise
        raise TimeAxisError(f"{path} is no file of arrays of numbers: {error}") from error


def _read_table(path: Path, name: str | None, _threshold: float | None) -> list[float]:
    """Read one column of a table; its first line may name the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        text = file.read()
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in text.partition("\n")[0]), ",")
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    if not rows:
        raise TimeAxisError(f"{path} is empty; expected pulse times in seconds, one a line")
    head = [cell.strip() for cell in rows[0]]
    has_head = not _is_number(head[0]) or (name is not None and name in head)
    columns = head if has_head else [str(i) for i in range(len(head))]
    column = columns.index(_choose(path, "column", columns, name))
    times = []
    for number, row in enumerate(rows[has_head:], start=1 + has_head):
        if column >= len(row) or not _is_number(row[column]):
            raise TimeAxisError(f"{path}, row {number}: {row} has no number in column {columns[column]!r}")
        times.append(float(row[column]))
    return times


def _read_triggers(path: Path, name: str | None, _threshold: float | None) -> NDArray:
    """Read one kind of event of a recording."""
    events = read_events(open_recording(path, warn=False))
    chosen = _choose(path, "event", sorted({event.source for event in events}), name)
    return np.array([event.time_s for event in events if event.source == chosen])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _choose(path: Path, kind: str, names: list[str], name: str | None) -> str:
    """Return the one that is meant."""
    if name is None and len(names) == 1:
        return names[0]
    if name is None or name not in names:
        asked = "has to be chosen" if name is None else f"{name!r} is not there"
        raise TimeAxisError(f"{path}: {kind} {asked}; it holds {', '.join(map(repr, names))}")
    return name


def _read_nwb(path: Path, name: str | None, threshold: float | None) -> NDArray[np.float64]:
    """Read events, intervals or the edges of a series of an NWB file."""
    import pynwb
    from pynwb.event import EventsTable

    with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as io:
        nwbfile = io.read()
        objects = {
            one.name: one
            for one in nwbfile.objects.values()
            if isinstance(one, pynwb.TimeSeries | EventsTable | pynwb.epoch.TimeIntervals)
        }
        chosen = objects[_choose(path, "object", sorted(objects), name)]
        if isinstance(chosen, EventsTable):
            return np.asarray(chosen["timestamp"].data[:], np.float64)
        if isinstance(chosen, pynwb.epoch.TimeIntervals):
            return np.asarray(chosen["start_time"].data[:], np.float64)
        times, data = np.asarray(chosen.get_timestamps(), np.float64), np.asarray(chosen.data[:])
        if data.ndim != 1 or len(data) == 0 or data.min() == data.max():
            return times
        return rising_edges(times, data, threshold)
