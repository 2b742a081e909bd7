"""When samples were taken: time-line, gaps, dropped frames, regularity."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

from scanimage_nwb.report.contents import Times, full_name, is_a, movies, objects_of, plain, times_of
from scanimage_nwb.report.parts import Group, Picture, Section, Table
from scanimage_nwb.report.pictures import COLORS, draw
from scanimage_nwb.report.sampling import thinned
from scanimage_nwb.time_axis import find_gaps

__all__ = ["timing_section"]

_MOST_ROWS = 14
_MOST_GAPS_LISTED = 20
_COMPANIONS = ("OriginalFrameIndices", "FrameNumbers", "NativeTimes")
"""Series that share the times of a movie and have no row of their own."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the time-line."""

    name: str
    seconds: NDArray[np.float64]
    is_series: bool
    gaps: list[tuple[int, float, float]]


def timing_section(nwbfile: NWBFile) -> Section:
    """Show when samples and events of a file lie, and what is missing between them.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file.

    Returns
    -------
    Section
    """
    section = Section("times", "Times")
    rows = _rows(nwbfile)
    if not rows:
        section.groups.append(Group(notes=["The file holds no series with times."]))
        return section
    section.groups.append(Group("Time-line", plots=[_time_line(rows[:_MOST_ROWS])]))
    if len(rows) > _MOST_ROWS:
        section.groups[0].notes.append(f"{len(rows) - _MOST_ROWS} more series and tables are not drawn.")
    shown: list[tuple[str, Times]] = []
    for series in [*movies(nwbfile), *objects_of(nwbfile, "PhotonEventSeries")]:
        times = times_of(series)
        numbers = _frame_numbers(nwbfile, series)
        same = next((name for name, other in shown if _equal(times, other)), None)
        if same is not None and numbers is None:
            section.groups.append(Group(full_name(series), notes=[f"Same times as {same}."]))
            continue
        group = Group(full_name(series))
        if same is None:
            _say_regularity(series, times, group)
            shown.append((full_name(series), times))
        else:
            group.notes.append(f"Same times as {same}.")
        _say_dropped(numbers, group)
        section.groups.append(group)
    _alignment(nwbfile, section)
    return section


def _equal(one: Times, other: Times) -> bool:
    return one.rate_hz == other.rate_hz and np.array_equal(one.seconds, other.seconds)


def _rows(nwbfile: NWBFile) -> list[_Row]:
    """Return what has a place in time: movies, other acquisitions, events, intervals."""
    found = [*movies(nwbfile), *(item for item in nwbfile.acquisition.values() if is_a(item, "TimeSeries"))]
    found += [item for item in nwbfile.stimulus.values() if is_a(item, "TimeSeries")]
    rows, seen = [], set()
    for series in found:
        if id(series) in seen or series.name.endswith(_COMPANIONS):
            continue
        seen.add(id(series))
        seconds = times_of(series).seconds
        if len(seconds):
            gaps = find_gaps(seconds) if is_a(series, "TwoPhotonSeries", "OnePhotonSeries") else []
            rows.append(_Row(full_name(series), seconds, True, gaps))
    for table in [*(getattr(nwbfile, "events", None) or {}).values(), *(nwbfile.intervals or {}).values()]:
        column = next((name for name in ("timestamp", "start_time") if name in table.colnames), None)
        if column is not None and len(table):
            rows.append(_Row(table.name, np.asarray(table[column][:], np.float64), False, []))
    return rows


def _time_line(rows: list[_Row]) -> Picture:
    """Draw a bar for every series, gaps in it, and ticks of events."""
    drawing = draw(
        "Time-line of the file: " + ", ".join(row.name for row in rows),
        "Bars: series, from first to last sample; red: gaps (steps longer than 1.5 usual ones). Ticks: events",
        height=0.85 + 0.55 * len(rows),
    )
    (axes,) = drawing.axes
    for rank, row in enumerate(rows):
        low, high = float(np.nanmin(row.seconds)), float(np.nanmax(row.seconds))
        if row.is_series:
            axes.barh(rank, high - low, left=low, height=0.34, color=COLORS[0], edgecolor=COLORS[0], linewidth=2)
            for _, start, length in row.gaps[:200]:
                axes.barh(rank, length, left=start, height=0.5, color="#c00000", edgecolor="#c00000", linewidth=1)
        else:
            axes.plot(*thinned(row.seconds, np.full(len(row.seconds), float(rank))), "|", color="black", markersize=9)
        # names above their bars: beside them they would take the width of a telephone
        axes.annotate(row.name, (0, rank - 0.25), xycoords=("axes fraction", "data"), fontsize=10, va="bottom")
    axes.set_ylim(len(rows) - 0.5, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("time from the start of the session (s)")
    return drawing.picture()


def _say_regularity(series: Any, times: Times, group: Group) -> None:
    """Say how regular a series is, and draw its steps."""
    seconds, n_samples = times.seconds, int(series.data.shape[0])
    if len(seconds) != n_samples:
        group.warnings.append(f"{n_samples} samples, but {len(seconds)} usable timestamps.")
    if len(seconds) < 2:
        group.notes.append("Fewer than two samples with a time.")
        return
    span = f"{n_samples:,} samples from {seconds[0]:.6g} s to {seconds[-1]:.6g} s"
    if times.rate_hz is not None:
        group.notes.append(f"{span}, regular: the file gives a rate of {times.rate_hz:.8g} Hz instead of timestamps.")
        return
    steps = np.diff(seconds)
    if np.isnan(seconds).any() or (steps <= 0).any():
        n_odd = int((~(steps > 0)).sum())
        group.warnings.append(f"{n_odd} timestamps are not larger than the one before them, or no numbers.")
    usual = float(np.nanmedian(steps))
    low, high = np.nanpercentile(steps, (0.5, 99.5))
    group.notes.append(
        f"{span}; usual step {usual * 1e3:.6g} ms ({1 / usual:.6g} Hz), 99 % of the steps between {low * 1e3:.6g} and "
        f"{high * 1e3:.6g} ms."
        if usual > 0
        else f"{span}; the usual step is {usual:g} s."
    )
    gaps = find_gaps(seconds)
    if gaps:
        lost = sum(round(length / usual) - 1 for _, _, length in gaps) if usual > 0 else 0
        group.warnings.append(f"{len(gaps)} gaps longer than 1.5 usual steps; about {lost} samples would fit in them.")
        group.tables.append(_gap_table(gaps))
    drawing = draw(
        f"Steps between samples of {full_name(series)}", "Time from each sample to the next: a flat line is regular"
    )
    (axes,) = drawing.axes
    axes.plot(*thinned(seconds[:-1], steps * 1e3), linewidth=0.8)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("step (ms)")
    if np.nanmax(steps) - np.nanmin(steps) < 0.02 * usual:
        axes.set_ylim(usual * 990, usual * 1010)  # noise of microseconds shall not look like trouble
    group.plots.append(drawing.picture())


def _gap_table(gaps: list[tuple[int, float, float]]) -> Table:
    rows = [(f"{sample:,}", f"{start:.6g}", f"{length:.6g}") for sample, start, length in gaps[:_MOST_GAPS_LISTED]]
    more = f" (first {_MOST_GAPS_LISTED} of {len(gaps)})" if len(gaps) > _MOST_GAPS_LISTED else ""
    return Table(rows, ("after sample", "at (s)", "step (s)"), f"Gaps{more}", folded=len(gaps) > 5)


def _frame_numbers(nwbfile: NWBFile, series: Any) -> NDArray[np.int64] | None:
    """Return ScanImage's frame number of every sample, if the file holds them."""
    for module in nwbfile.processing.values():
        found = module.data_interfaces.get(f"{series.name}FrameNumbers")
        if found is not None:
            return np.asarray(found.data[:], np.int64)
    return None


def _say_dropped(numbers: NDArray[np.int64] | None, group: Group) -> None:
    """Count the samples that frame numbers say are missing."""
    if numbers is None or len(numbers) < 3:
        return
    steps = np.diff(numbers)
    usual = int(np.median(steps))
    jumps = np.flatnonzero(steps > usual) if usual > 0 else np.zeros(0, int)
    if not len(jumps):
        group.notes.append("No frame is missing by ScanImage's frame numbers.")
        return
    lost = int((steps[jumps] - usual).sum())
    where = ", ".join(f"{sample:,}" for sample in jumps[:8]) + (" …" if len(jumps) > 8 else "")
    group.warnings.append(
        f"Dropped: ScanImage's frame numbers jump {len(jumps)} times, after samples {where}; {lost:,} frames between "
        "them are in no sample."
    )


def _alignment(nwbfile: NWBFile, section: Section) -> None:
    """Show how samples were put to sync pulses."""
    for module in nwbfile.processing.values():
        table = module.data_interfaces.get("PulseAlignment")
        if table is None:
            continue
        rows = [(name, *(_cell(table[name][row]) for row in range(len(table)))) for name in table.colnames]
        aligned = Table(rows, caption="How pulses were matched", folded=True)
        section.groups.append(Group("Sync pulses", notes=["Times come from sync pulses."], tables=[aligned]))


def _cell(value: Any) -> str:
    """Return a cell of the table: lists of events and pulses by their length."""
    return plain(value) if np.ndim(value) == 0 else f"{len(value)}"
