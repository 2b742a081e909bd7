"""Outlines of regions of interest, and their traces."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

from scanimage_nwb.report.contents import full_name, objects_of, times_of
from scanimage_nwb.report.parts import Group, Picture, Section
from scanimage_nwb.report.pictures import COLORS, contrast, draw, rgb_picture
from scanimage_nwb.report.sampling import thinned

__all__ = ["rois_section"]

_MOST_MASK_BYTES = 300_000_000
_MOST_TRACE_BYTES = 150_000_000
_MOST_TRACES = 12
_MOST_PLANES = 24
_BRIGHT = ("#e69f00", "#56b4e9", "#f0e442", "#d55e00", "#cc79a7", "#009e73")
"""Those of Okabe and Ito's colours that stand out from a dark image."""


def rois_section(nwbfile: NWBFile, backgrounds: dict[str, NDArray[np.float64]]) -> Section | None:
    """Show regions and traces.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file.
    backgrounds : dict
        Mean image of each imaging plane by its name, shape (width, height, planes).

    Returns
    -------
    Section or None
        None if the file holds neither.
    """
    section = Section("rois", "Regions of interest")
    for table in objects_of(nwbfile, "PlaneSegmentation"):
        group = Group(full_name(table), notes=[f"{len(table)} regions. {table.description or ''}".strip()])
        group.pixels += _outline_pictures(table, backgrounds, group)
        section.groups.append(group)
    traces = Group("Traces")
    for series in objects_of(nwbfile, "RoiResponseSeries"):
        _draw_traces(series, traces)
    section.groups += [traces] if traces.plots or traces.warnings else []
    return section if section.groups else None


def _outline_pictures(table: Any, backgrounds: dict[str, NDArray[np.float64]], group: Group) -> list[Picture]:
    """Draw the outlines of the regions on the mean image of their plane; of a volume, plane by plane."""
    plane_name = getattr(table.imaging_plane, "name", "")
    volume = backgrounds.get(plane_name)
    masks = _masks(table, None if volume is None else volume.shape[:2], group)
    if masks is None:
        return []
    n_planes = masks.shape[3]
    if volume is None or volume.shape[:2] != masks.shape[1:3]:
        volume = masks.sum(axis=0, dtype=np.float64)
        group.notes.append("No movie of this plane and size is in the file: the background is the sum of the masks.")
    elif volume.shape[2] != n_planes:
        volume = np.repeat(volume.max(axis=2, keepdims=True), n_planes, axis=2)
    if n_planes > _MOST_PLANES:
        group.notes.append(f"All {n_planes} planes are seen from above.")
        volume, masks, n_planes = volume.max(axis=2, keepdims=True), np.asarray(masks.any(axis=3, keepdims=True)), 1
    pictures = []
    for plane in range(n_planes):
        own = masks[..., plane]
        own = own[own.any(axis=(1, 2))]
        place = f"plane {plane}: " if n_planes > 1 else ""
        pictures.append(
            rgb_picture(
                _outlined(volume[..., plane], own).transpose(1, 0, 2),
                f"Outlines of {full_name(table)}{f', plane {plane}' if place else ''}",
                f"{place}{len(own)} outlines on the mean image",
            )
        )
    return pictures


def _outlined(background: NDArray[np.float64], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return an image (width, height, 3), enlarged, with the rims of masks (regions, width, height)."""
    black, white = contrast(background)
    gray = (np.nan_to_num((background - black) / (white - black)).clip(0, 1) * 215).astype(np.uint8)
    enlarge = max(1, round(320 / max(gray.shape)))
    rgb = np.repeat(np.kron(gray, np.ones((enlarge, enlarge), np.uint8))[..., None], 3, axis=-1)
    for rank, mask in enumerate(masks):
        inside = np.kron(mask, np.ones((enlarge, enlarge), bool))
        rgb[_rim(inside)] = _rgb(_BRIGHT[rank % len(_BRIGHT)])
    return rgb


def _rim(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a region that have a neighbour outside."""
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _masks(table: Any, shape: tuple[int, ...] | None, group: Group) -> NDArray[np.bool_] | None:
    """Return the masks of a table, shape (regions, width, height, planes); pixel lists from above."""
    if "image_mask" in table.colnames:
        data = table["image_mask"].data
        one_bytes = int(np.prod(data.shape[1:])) * np.dtype(data.dtype).itemsize
        n_read = min(len(table), max(1, _MOST_MASK_BYTES // max(1, one_bytes)))
        if n_read < len(table):
            group.notes.append(f"The first {n_read} are drawn.")
        masks: NDArray[np.bool_] = np.asarray(data[:n_read]) > 0
        return masks if masks.ndim == 4 else masks[..., np.newaxis]
    column = next((name for name in ("pixel_mask", "voxel_mask") if name in table.colnames), None)
    if column is None or not len(table):
        return None
    pixels = [np.atleast_1d(table[column][row]) for row in range(len(table))]
    found = [np.stack([np.asarray(own["x"], np.int64), np.asarray(own["y"], np.int64)]) for own in pixels]
    largest = np.max([own.max(axis=1) for own in found if own.size], axis=0, initial=0)
    size = tuple(int(n) + 1 for n in largest)
    if shape is not None and all(a >= b for a, b in zip(shape, size, strict=True)):
        size = shape
    masks = np.zeros((len(found), *size), bool)
    for mask, (x, y) in zip(masks, found, strict=True):
        mask[x, y] = True
    return masks[..., np.newaxis]


def _draw_traces(series: Any, group: Group) -> None:
    """Draw some traces of a series, one above the other."""
    shape = tuple(series.data.shape)
    n_rois = shape[1] if len(shape) > 1 else 1
    name = full_name(series)
    if 0 in shape:
        group.warnings.append(f"{name}: its data are empty, shape {shape}.")
        return
    n_read = min(shape[0], max(1, _MOST_TRACE_BYTES // (n_rois * np.dtype(series.data.dtype).itemsize)))
    values = np.asarray(series.data[:n_read], np.float64).reshape(n_read, n_rois)
    values = values * float(series.conversion or 1) + float(series.offset or 0)
    shown = np.unique(np.round(np.linspace(0, n_rois - 1, min(n_rois, _MOST_TRACES))).astype(int))
    part = "" if n_read == shape[0] else f" Of {shape[0]:,} samples, the first {n_read:,} are drawn."
    group.notes.append(
        f"{name}: {n_rois} traces of {shape[0]:,} samples, unit “{series.unit}”; {len(shown)} are drawn.{part}"
    )
    unknown = int(np.isnan(values).all(axis=0).sum())
    if unknown:
        group.warnings.append(f"{name}: {unknown} traces hold no number at all.")
    seconds = times_of(series).seconds[:n_read]
    known = len(seconds) == n_read
    x = seconds if known else np.arange(n_read, dtype=np.float64)
    spans = [np.ptp(np.nan_to_num(np.nanpercentile(values[:, roi], (0.5, 99.5)))) for roi in shown if roi < n_rois]
    step = max(spans) or 1.0
    drawing = draw(
        f"Traces of {name}",
        f"{name}, each beside the row of its region; from one to the next it is {step:.3g} (unit “{series.unit}”)",
        height=1.0 + 0.34 * len(shown),
    )
    (axes,) = drawing.axes
    for rank, roi in enumerate(shown.tolist()):
        middle = np.nanmedian(values[:, roi]) if np.isfinite(values[:, roi]).any() else 0.0
        axes.plot(*thinned(x, (values[:, roi] - middle) / step - rank), linewidth=0.8, color=COLORS[rank % 6])
    axes.set_yticks(-np.arange(len(shown)), [str(roi) for roi in shown])
    axes.set_ylabel("region (row)")
    axes.set_xlabel("time (s)" if known else "sample")
    group.plots.append(drawing.picture())
