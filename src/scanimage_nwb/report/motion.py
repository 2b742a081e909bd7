"""Motion shifts over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

from scanimage_nwb.registration import FLAGS
from scanimage_nwb.report.contents import full_name, is_a, objects_of, times_of
from scanimage_nwb.report.parts import Group, Picture, Section
from scanimage_nwb.report.pictures import COLORS, draw
from scanimage_nwb.report.sampling import thinned

__all__ = ["motion_section"]

_MOST_LINES = 7


@dataclass(frozen=True, slots=True)
class _Shifts:
    """Shifts of one series, plane by plane."""

    name: str
    seconds: NDArray[np.float64]
    by_plane: list[NDArray[np.float64]]
    """Columns dy, dx."""
    quality: list[NDArray[np.float64]]
    """Columns of …MotionQuality; empty if there is none."""


def motion_section(nwbfile: NWBFile) -> Section | None:
    """Show the motion that a file holds.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file.

    Returns
    -------
    Section or None
        None if it holds none.
    """
    section = Section("motion", "Motion")
    shown: list[_Shifts] = []
    for shifts in [*_ours(nwbfile), *_stacks(nwbfile)]:
        same = next((other for other in shown if _equal(shifts, other)), None)
        if same is not None:
            section.groups.append(Group(shifts.name, notes=[f"Same shifts as {same.name}."]))
            continue
        shown.append(shifts)
        section.groups.append(_group(shifts))
    return section if section.groups else None


def _ours(nwbfile: NWBFile) -> Iterator[_Shifts]:
    """Yield the shifts that this package writes: one series for each plane."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for series in objects_of(nwbfile, "TimeSeries"):
        owner, word, plane = series.name.partition("MotionShifts")
        if word and len(series.data.shape) == 2 and series.data.shape[1] == 2:
            number = int(plane[5:]) if plane.startswith("Plane") and plane[5:].isdigit() else 0
            found.setdefault(owner, []).append((number, series))
    for owner, numbered in found.items():
        planes = [series for _, series in sorted(numbered, key=lambda pair: pair[0])]
        quality = [
            np.asarray(near.data[:], np.float64)
            for series in planes
            if (near := series.parent.data_interfaces.get(series.name.replace("MotionShifts", "MotionQuality")))
        ]
        data = [np.asarray(series.data[:], np.float64) for series in planes]
        yield _Shifts(owner, times_of(planes[0]).seconds, data, quality)


def _stacks(nwbfile: NWBFile) -> Iterator[_Shifts]:
    """Yield the shifts of corrected movies, as other programs write them; ours have their own already."""
    for stack in objects_of(nwbfile, "CorrectedImageStack"):
        shifts = stack.xy_translation
        original = getattr(stack.original, "name", "")
        if any(f"{original}MotionShifts" in item.name for item in objects_of(nwbfile, "TimeSeries")):
            continue
        if is_a(shifts, "TimeSeries") and len(shifts.data.shape) == 2 and shifts.data.shape[1] == 2:
            xy = np.asarray(shifts.data[:], np.float64)
            yield _Shifts(full_name(stack), times_of(shifts).seconds, [xy[:, ::-1]], [])


def _equal(one: _Shifts, other: _Shifts) -> bool:
    return len(one.by_plane) == len(other.by_plane) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one.by_plane, other.by_plane, strict=True)
    )


def _group(shifts: _Shifts) -> Group:
    """Show the shifts of one series."""
    every = np.concatenate(shifts.by_plane)
    group = Group(shifts.name)
    if not np.isfinite(every).any():
        group.notes.append("No shift is known.")
        return group
    largest, spread = np.nanmax(np.abs(every), axis=0), np.nanstd(every, axis=0)
    group.notes.append(
        f"Largest shift {largest[0]:.3g} px down or up and {largest[1]:.3g} px across; standard deviation "
        f"{spread[0]:.2g} and {spread[1]:.2g} px."
    )
    if shifts.quality:
        quality = np.concatenate(shifts.quality)
        flags = quality[:, -1]
        flagged = {name: n for rank, name in enumerate(FLAGS) if rank and (n := int(np.count_nonzero(flags == rank)))}
        if flagged:
            counts = ", ".join(f"{n} {name}" for name, n in flagged.items())
            group.warnings.append(f"{sum(flagged.values())} of {len(flags)} frames are flagged: {counts}.")
    group.plots.append(_drawing(shifts))
    return group


def _drawing(shifts: _Shifts) -> Picture:
    """Draw dy and dx over time."""
    drawing = draw(
        f"Shifts of {shifts.name} over time",
        "Shift of every sample in pixels: dy down, dx across",
        height=3.4,
        rows=2,
    )
    n_planes = len(shifts.by_plane)
    for column, (axes, name) in enumerate(zip(drawing.axes, ("dy (px)", "dx (px)"), strict=True)):
        for plane, values in enumerate(shifts.by_plane):
            known = len(shifts.seconds) == len(values)
            x = shifts.seconds if known else np.arange(len(values), dtype=np.float64)
            color = COLORS[plane] if n_planes <= _MOST_LINES else _shade(plane, n_planes)
            axes.plot(*thinned(x, values[:, column]), linewidth=0.9, color=color, label=f"plane {plane}")
        axes.set_ylabel(name)
        if np.nanmax(np.abs(np.concatenate([values[:, column] for values in shifts.by_plane]))) < 1:
            axes.set_ylim(-1.1, 1.1)
    drawing.axes[-1].set_xlabel("time (s)" if known else "sample")
    if 1 < n_planes <= _MOST_LINES:
        drawing.legend()
    elif n_planes > 1:
        drawing.axes[0].set_title(f"{n_planes} planes, first dark, last light", fontsize=10)
    return drawing.picture()


def _shade(plane: int, n_planes: int) -> Any:
    import matplotlib as mpl

    return mpl.colormaps["viridis"](0.9 * plane / n_planes)
