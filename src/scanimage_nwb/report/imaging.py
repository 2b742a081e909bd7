"""Images, brightness over depth and brightness over time of every movie."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

from scanimage_nwb.errors import FormatError
from scanimage_nwb.report.contents import full_name, micrometres, movies, objects_of, times_of
from scanimage_nwb.report.parts import Group, Picture, Section
from scanimage_nwb.report.pictures import contrast, draw, gray_picture
from scanimage_nwb.report.sampling import BUDGET_BYTES, MovieSample, sample_movie, thinned

__all__ = ["imaging_section"]

_ALL_PIXELS = 6_000_000
"""Of all images together, so that a page stays a few megabytes large."""
_MOST_LINES = 7
_LOSS_WORTH_A_WORD = 0.2
_LIMIT_WORTH_A_WORD = 1e-4


def imaging_section(nwbfile: NWBFile) -> tuple[Section, dict[str, NDArray[np.float64]]]:
    """Show every movie of a file.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file.

    Returns
    -------
    section : Section
        What to show.
    mean_images : dict
        Mean image of each imaging plane by its name, shape (width, height); of a volume, seen from above.
    """
    section = Section("images", "Images")
    mean_images: dict[str, NDArray[np.float64]] = {}
    found = movies(nwbfile)
    n_images = sum(int(series.data.shape[3]) if len(series.data.shape) > 3 else 1 for series in found)
    most_pixels = int(np.clip(_ALL_PIXELS // max(n_images, 1), 64 * 64, 512 * 512))
    for series in found:
        try:
            sample = sample_movie(series.data, BUDGET_BYTES // len(found))
        except FormatError as error:
            group = Group(full_name(series), warnings=[f"Not shown: {error}."])
        else:
            group = _movie(series, sample, most_pixels)
            mean_images.setdefault(series.imaging_plane.name, sample.mean_image)
        section.groups.append(group)
    if not found:
        elsewhere = ": images of its photons are below" if any(objects_of(nwbfile, "PhotonEventSeries")) else ""
        section.groups.append(Group(notes=[f"The file holds no movie (TwoPhotonSeries, OnePhotonSeries){elsewhere}."]))
    return section, mean_images


def _movie(series: Any, sample: MovieSample, most_pixels: int) -> Group:
    """Show one movie."""
    group = Group(full_name(series), notes=[_facts(series, sample)])
    factor, offset = float(series.conversion or 1), float(series.offset or 0)
    n_planes = sample.mean_image.shape[2]
    spacing = micrometres(series.imaging_plane)
    pixel_um = spacing[0] if spacing else None
    for plane in range(n_planes):
        image = sample.mean_image[..., plane].T * factor + offset
        black, white = contrast(image)
        name = f"plane {plane}" if n_planes > 1 else "mean image"
        caption = f"{name}: black {black:.4g}, white {white:.4g}"
        alt = f"Mean image of {full_name(series)}, {name}"
        group.pixels.append(
            gray_picture(image, alt, caption, limits=(black, white), pixel_um=pixel_um, most_pixels=most_pixels)
        )
    if n_planes > 1:
        group.plots.append(_depth_strip(series, sample, spacing))
        group.plots.append(_by_depth(series, sample, spacing, factor, offset))
    group.plots.append(_over_time(series, sample, factor, offset, group))
    if sample.n_at_limit > _LIMIT_WORTH_A_WORD * sample.n_pixels:
        share = 100 * sample.n_at_limit / sample.n_pixels
        group.warnings.append(
            f"{share:.2g} % of the pixels read are at {sample.largest:g}, the largest value that "
            f"{series.data.dtype} holds: they may be saturated."
        )
    return group


def _facts(series: Any, sample: MovieSample) -> str:
    """Say how large the movie is and how much of it was read."""
    width, height, *depth = series.data.shape[1:]
    size = f"{sample.n_samples:,} samples of {width} × {height} pixels" + (f" × {depth[0]} planes" if depth else "")
    bytes_ = np.prod([float(n) for n in series.data.shape]) * series.data.dtype.itemsize
    if len(sample.index) == sample.n_samples:
        read = "All samples were read."
    else:
        read = (
            f"{len(sample.index):,} samples, spread evenly from first to last, were read for this page "
            f"({100 * len(sample.index) / sample.n_samples:.2g} %)."
        )
    return (
        f"{size}, {series.data.dtype}, {_size(bytes_)} before compression; unit “{series.unit}”. {read} "
        f"Values read range from {sample.smallest:.6g} to {sample.largest:.6g}."
    )


def _size(n_bytes: float) -> str:
    factor, unit = next(((1e3**n, unit) for n, unit in ((3, "GB"), (2, "MB")) if n_bytes >= 1e3**n), (1e3, "kB"))
    return f"{n_bytes / factor:,.3g} {unit}"


def _depth_strip(series: Any, sample: MovieSample, spacing: tuple[float, ...]) -> Picture:
    """Look at the mean volume from the side."""
    side = sample.mean_image.max(axis=1).T
    rows = 12
    if len(spacing) > 2 and spacing[0] > 0 and np.isfinite(spacing[2]):
        rows = int(np.clip(round(abs(spacing[2]) / spacing[0]), 1, 40))
    rows = max(rows, -(-side.shape[1] // (8 * len(side))))
    caption = "Depth strip: the mean volume from the side, brightest pixel along y; plane 0 on top"
    alt = f"Depth strip of {full_name(series)}: x across, planes down"
    return gray_picture(np.repeat(side, rows, axis=0), alt, caption, pixel_um=spacing[0] if spacing else None)


def _by_depth(series: Any, sample: MovieSample, spacing: tuple[float, ...], factor: float, offset: float) -> Picture:
    """Draw brightness over depth."""
    pixels = sample.mean_image.reshape(-1, sample.mean_image.shape[2]) * factor + offset
    middle, high = np.nanpercentile(pixels, (50, 99), axis=0)
    known = len(spacing) > 2 and np.isfinite(spacing[2]) and spacing[2] != 0
    depth = np.arange(pixels.shape[1]) * (abs(spacing[2]) if known else 1)
    drawing = draw(
        f"Brightness of each plane of {full_name(series)}",
        "Brightness by depth, of each plane's mean image: where the bright line falls to the median, nothing is seen",
    )
    (axes,) = drawing.axes
    axes.plot(depth, high, "o-", markersize=4, label="bright (99 % of the pixels are darker)")
    axes.plot(depth, middle, "s--", markersize=4, label="median")
    axes.set_ylim(min(0, float(np.nanmin(middle))), float(np.nanmax(high)) * 1.35 or 1)
    drawing.legend()
    axes.set_xlabel("distance from plane 0 (µm)" if known else "plane")
    axes.set_ylabel(f"brightness ({series.unit})")
    if not known:
        axes.xaxis.get_major_locator().set_params(integer=True)
    return drawing.picture()


def _over_time(series: Any, sample: MovieSample, factor: float, offset: float, group: Group) -> Picture:
    """Draw brightness over time, and say how much it changes."""
    seconds = times_of(series).seconds
    known = len(seconds) == sample.n_samples
    x = seconds[sample.index] if known else sample.index.astype(np.float64)
    values = sample.mean * factor + offset
    drawing = draw(
        f"Mean brightness of {full_name(series)} over time",
        "Brightness over time, mean of each sample read: a steady fall is bleaching (or drift in z)",
    )
    (axes,) = drawing.axes
    n_planes = values.shape[1]
    # between blocks of samples nothing is known
    look = {"linewidth": 1} if len(x) == sample.n_samples else {"linestyle": "", "marker": ".", "markersize": 3}
    if n_planes <= _MOST_LINES:
        for plane in range(n_planes):
            axes.plot(*thinned(x, values[:, plane]), label=f"plane {plane}", **look)
    else:
        low, high = np.nanpercentile(values, (10, 90), axis=1)
        axes.fill_between(x, low, high, alpha=0.25, linewidth=0, label="10–90 % of the planes")
        axes.plot(*thinned(x, np.nanmean(values, axis=1)), label="mean of all planes", **look)
    if n_planes > 1:
        drawing.legend()
    axes.set_xlabel("time (s)" if known else "sample")
    axes.set_ylabel(f"mean ({series.unit})")
    _say_change(values.mean(axis=1), group)
    return drawing.picture()


def _say_change(values: NDArray[np.float64], group: Group) -> None:
    """Compare the last tenth of the samples read with the first."""
    tenth = max(1, len(values) // 10)
    if len(values) < 10 or not np.isfinite(values).all():
        return
    first, last = float(np.median(values[:tenth])), float(np.median(values[-tenth:]))
    if first <= 0:
        group.notes.append(f"Mean brightness: {first:.4g} in the first tenth of the samples, {last:.4g} in the last.")
        return
    change = last / first - 1
    text = (
        f"Mean brightness changes by {100 * change:+.1f} % from the first tenth to the last ({first:.4g} → {last:.4g})."
    )
    (group.warnings if change < -_LOSS_WORTH_A_WORD else group.notes).append(text)
