"""Fluorescence lifetime: decays with a fit, lifetime images, phasors, tables of fits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBFile

from scanimage_nwb.report.contents import full_name, is_a, micrometres, objects_of, plain
from scanimage_nwb.report.parts import Group, Picture, Section, Table
from scanimage_nwb.report.pictures import COLORS, contrast, draw, gray_picture
from scanimage_nwb.report.sampling import plan_blocks

__all__ = ["lifetime_section"]

_MOST_PHOTONS = 20_000_000
_MOST_BYTES = 150_000_000
_FEWEST_PHOTONS = 1000
_FEWEST_PER_PIXEL = 5
"""Photons that a pixel needs for a mean delay that is worth a colour."""
_MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class _Photons:
    """What was read of a PhotonEventSeries."""

    decay: NDArray[np.int64]
    count: NDArray[np.int64]
    """Photons of each pixel, shape (planes, height, width)."""
    delay_s: NDArray[np.float64]
    """Sum of their delays."""
    n_samples: int
    n_photons: int
    n_all: int


def lifetime_section(nwbfile: NWBFile, mean_images: dict[str, NDArray[np.float64]]) -> Section | None:
    """Show what a file says about lifetimes.

    Parameters
    ----------
    nwbfile : NWBFile
        Open file; types of ndx-flim are found by their names.
    mean_images : dict
        Mean image of each imaging plane by its name, shape (width, height); images made of photons are added.

    Returns
    -------
    Section or None
        None if it holds nothing of the kind.
    """
    section = Section("lifetime", "Fluorescence lifetime")
    for series in objects_of(nwbfile, "PhotonEventSeries"):
        section.groups.append(_photon_group(series, mean_images))
    for series in objects_of(nwbfile, "PhotonHistogramSeries", "PhotonHistogram"):
        section.groups.append(_histogram_group(series))
    for series in objects_of(nwbfile, "LifetimeImageSeries"):
        section.groups.append(_image_group(series))
    for series in objects_of(nwbfile, "PhasorSeries"):
        section.groups.append(_phasor_group(series))
    for table in objects_of(nwbfile, "LifetimeFitTable"):
        section.groups.append(_fit_table(table))
    return section if section.groups else None


def _photon_group(series: Any, mean_images: dict[str, NDArray[np.float64]]) -> Group:
    """Show every photon's series: decay, counts and mean delay of each pixel."""
    photons, settings = _read_photons(series), series.tcspc_settings
    group = Group(full_name(series))
    all_read = photons.n_photons == photons.n_all
    group.notes.append(
        f"{photons.n_all:,} photons in {series.data.shape[0]:,} samples; "
        + (
            "all were read."
            if all_read
            else f"{photons.n_photons:,}, of {photons.n_samples:,} samples spread evenly, were read."
        )
    )
    if not photons.n_photons:
        return group
    offset_s = float(settings.time_offset or 0)
    edges_s = offset_s + np.arange(len(photons.decay) + 1) * float(settings.tcspc_resolution)
    rise_s = _decay(full_name(series), photons.decay, edges_s, settings, group)
    spacing = micrometres(series.imaging_plane)
    pixel_um = spacing[0] if spacing else None
    n_planes = len(photons.count)
    mean_images.setdefault(series.imaging_plane.name, photons.count.transpose(2, 1, 0) / photons.n_samples)
    for plane in range(n_planes):
        name = f"plane {plane}" if n_planes > 1 else "mean image"
        image = photons.count[plane] / photons.n_samples
        black, white = contrast(image)
        group.pixels.append(
            gray_picture(
                image,
                f"Photons of {full_name(series)}, {name}",
                f"{name}, photons a sample: black {black:.3g}, white {white:.3g}",
                limits=(black, white),
                pixel_um=pixel_um,
            )
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_s = np.where(photons.count >= _FEWEST_PER_PIXEL, photons.delay_s / photons.count, np.nan) - rise_s
    about = f"Mean delay after the rise of the decay ({rise_s * 1e9:.3g} ns); close to the lifetime, but biased"
    group.plots.append(_map(full_name(series), mean_s, photons.count, about))
    return group


def _read_photons(series: Any) -> _Photons:
    """Read whole samples, spread evenly over a series."""
    width, height = (int(n) for n in series.dimension[:2])
    per_sample = np.asarray(series.data[:], np.int64).reshape(series.data.shape[0], -1)
    ends = np.asarray(series.frame_end[:], np.int64).reshape(per_sample.shape)
    settings, n_planes = series.tcspc_settings, per_sample.shape[1]
    n_bins = int(settings.num_bins)
    stretch = max(1, int(200_000 // max(1.0, per_sample.sum(axis=1).mean()))) if len(per_sample) else 1
    n_wanted = _MOST_PHOTONS / max(1, int(per_sample.sum())) * len(per_sample)
    blocks = plan_blocks(len(per_sample), 1, stretch, budget_bytes=max(1, int(n_wanted)))
    decay = np.zeros(n_bins, np.int64)
    count = np.zeros(n_planes * width * height, np.int64)
    delay = np.zeros(len(count))
    n_samples = n_photons = 0
    for block in blocks.tolist():
        rows = slice(block * stretch, min((block + 1) * stretch, len(per_sample)))
        n_of_frame = per_sample[rows].reshape(-1)
        stop = int(ends[rows].reshape(-1)[-1])
        start = stop - int(n_of_frame.sum())
        bins = np.asarray(series.delay_bin[start:stop], np.int64)
        steps = np.cumsum(np.asarray(series.pixel_step[start:stop], np.int64))
        first = np.cumsum(n_of_frame) - n_of_frame
        before = np.r_[0, steps][first]  # the steps begin anew with every frame
        plane = np.tile(np.arange(n_planes), rows.stop - rows.start)
        place = steps + np.repeat(plane * width * height - before, n_of_frame)
        decay += np.bincount(bins, minlength=n_bins)[:n_bins]
        count += np.bincount(place, minlength=len(count))
        delay += np.bincount(place, weights=bins + 0.5, minlength=len(count))
        n_samples += rows.stop - rows.start
        n_photons += stop - start
    delay_s = float(settings.time_offset or 0) * count + delay * float(settings.tcspc_resolution)
    shape = (n_planes, height, width)
    return _Photons(decay, count.reshape(shape), delay_s.reshape(shape), n_samples, n_photons, int(per_sample.sum()))


def _histogram_group(series: Any) -> Group:
    """Show histograms, added up over time and place."""
    group = Group(full_name(series))
    over_time = is_a(series, "PhotonHistogramSeries")
    data = series.data if over_time else series.counts
    n_bins = int(data.shape[-1])
    if 0 in data.shape:
        group.warnings.append(f"Its data are empty, shape {tuple(data.shape)}.")
        return group
    step = min((getattr(data, "chunks", None) or (1,))[0], data.shape[0]) if over_time else data.shape[0]
    row_bytes = int(np.prod(data.shape[1:])) * np.dtype(data.dtype).itemsize
    blocks = plan_blocks(data.shape[0], row_bytes, step, _MOST_BYTES) if over_time or data.ndim > 1 else None
    if data.ndim == 1:
        decay, n_read = np.asarray(data[:], np.float64), 1
    else:
        assert blocks is not None
        decay, n_read = np.zeros(n_bins), 0
        for block in blocks.tolist():
            part = np.asarray(data[block * step : (block + 1) * step], np.float64)
            decay += part.reshape(-1, n_bins).sum(axis=0)
            n_read += len(part)
    if over_time:
        group.notes.append(
            f"{data.shape[0]:,} histograms over time, shape {tuple(data.shape[1:])}; "
            + ("added up." if n_read == data.shape[0] else f"{n_read:,}, spread evenly, are added up.")
        )
    else:
        group.notes.append(f"{str(series.description).rstrip('. ')}. Shape {tuple(data.shape)}, added up.")
    _decay(full_name(series), decay, np.asarray(series.bin_edges[:], np.float64), series.tcspc_settings, group)
    return group


def _decay(name: str, decay: NDArray, edges_s: NDArray[np.floating], settings: Any, group: Group) -> float:
    """Draw a decay with a fit; return the delay of its rise in seconds."""
    centers_s = (edges_s[:-1] + edges_s[1:]) / 2
    peak = int(np.argmax(decay))
    before = np.flatnonzero(decay[: peak + 1] < decay[peak] / 2)
    rise_s = float(centers_s[before[-1] + 1 if before.size else 0])
    drawing = draw(f"Decay of {name}", "Photons by delay since the laser pulse (logarithmic); line: fit", height=2.9)
    (axes,) = drawing.axes
    axes.plot(centers_s * 1e9, np.where(decay > 0, decay, np.nan), ".", markersize=3, color="#666666", label="photons")
    expected = _fit(decay, edges_s, settings, group)
    if expected is not None:
        axes.plot(
            centers_s * 1e9, np.where(expected > 0, expected, np.nan), color=COLORS[1], linewidth=1.4, label="fit"
        )
    axes.set_yscale("log")
    if (decay > 0).any():
        axes.set_ylim(max(0.5, float(decay[decay > 0].min()) * 0.7), float(decay.max()) * 1.5)
    axes.set_xlabel("delay (ns)")
    axes.set_ylabel(f"photons a bin ({(edges_s[1] - edges_s[0]) * 1e12:.4g} ps)")
    drawing.legend()
    group.plots.append(drawing.picture())
    return rise_s


def _fit(decay: NDArray, edges_s: NDArray[np.floating], settings: Any, group: Group) -> NDArray[np.float64] | None:
    """Fit two exponentials, or one where two are not told apart; return expected counts and say what was found."""
    from scanimage_nwb.flim import fit_decay

    widths = np.diff(edges_s)
    counts = np.asarray(decay)
    if settings is None or counts.sum() < _FEWEST_PHOTONS or not np.allclose(widths, widths[0], rtol=1e-6):
        group.notes.append(f"Not fitted: fewer than {_FEWEST_PHOTONS} photons, uneven bins, or no settings.")
        return None
    if not np.array_equal(counts, np.round(counts)):
        group.notes.append("Not fitted: these are sums of weights, not counts of photons.")
        return None
    fits = [
        fit_decay(
            counts.astype(np.int64),
            n_components,
            tcspc_resolution_s=float(widths[0]),
            repetition_rate_hz=float(settings.repetition_rate),
        )
        for n_components in (1, 2)
    ]
    usable = [fit for fit in fits if fit.success]
    if not usable:
        group.warnings.append(f"Not fitted: {fits[0].message}.")
        return None
    # two more parameters must be worth more than chance
    fit = usable[-1] if len(usable) == 2 and usable[0].deviance - usable[1].deviance > 10 else usable[0]
    params = fit.params.as_units("seconds")
    lifetimes = ", ".join(
        f"{_with_error(tau, fit.standard_errors[f'tau_{i}'])} ({100 * fraction:.0f} %)"
        for i, (tau, fraction) in enumerate(zip(params.lifetimes, params.fractions, strict=True))
    )
    group.notes.append(
        f"Fit made for this page, {fit.n_photons:,} photons: {lifetimes} of the photons, background "
        f"{100 * params.background:.1f} %, reduced χ² {fit.reduced_chi_square:.2f}."
    )
    if fit.message:
        group.notes.append(f"About the fit: {fit.message}.")
    return fit.expected


def _with_error(value_s: float, error_s: float) -> str:
    """Return a lifetime in nanoseconds, with its standard error if that is known."""
    return f"{value_s * 1e9:.3f}" + (f" ± {error_s * 1e9:.3f}" if np.isfinite(error_s) else "") + " ns"


def _map(name: str, lifetime_s: NDArray[np.float64], weight: NDArray, about: str) -> Picture:
    """Draw lifetimes of each pixel as colour, brightness as brightness; planes side by side."""
    import matplotlib as mpl

    known = np.isfinite(lifetime_s)
    low, high = contrast(
        lifetime_s[known & (weight >= np.median(weight[known]))] * 1e9 if known.any() else np.zeros(0), 2, 98
    )
    black, white = contrast(np.asarray(weight, np.float64), 5, 99)
    color = mpl.colormaps["viridis"](np.nan_to_num((lifetime_s * 1e9 - low) / (high - low)).clip(0, 1))[..., :3]
    light = ((weight - black) / (white - black)).clip(0.12, 1)
    rgb = np.where(known[..., None], color * light[..., None], 0)
    shown = rgb[:_MOST_ROWS]
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    drawing = draw(f"Lifetime map of {name}", f"{about}. Brightness: photons.", height=0.5 + rows * 5.2 / columns)
    drawing.figure.clear()
    grid = drawing.figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes in grid:
        axes.set_axis_off()
    for plane, (axes, image) in enumerate(zip(grid, shown, strict=False)):
        axes.imshow(image, interpolation="nearest")
        if len(shown) > 1:
            axes.set_title(f"plane {plane}", fontsize=10)
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, high), "viridis")
    drawing.figure.colorbar(
        scale,
        ax=list(grid),
        orientation="horizontal",
        label="delay (ns)" if "delay" in about else "lifetime (ns)",
        shrink=0.7,
        aspect=40,
        extend="both",
    )
    return drawing.picture(as_png=True)


def _image_group(series: Any) -> Group:
    """Show lifetime images, averaged over time with their photons as weights."""
    group = Group(full_name(series))
    data, intensity = series.data, getattr(series, "intensity", None)
    if 0 in data.shape:
        group.warnings.append(f"Its data are empty, shape {tuple(data.shape)}.")
        return group
    counts = intensity.data if intensity is not None and is_a(intensity, "ImageSeries") else None
    if counts is not None and tuple(counts.shape) != tuple(data.shape):
        counts = None
    step = min((getattr(data, "chunks", None) or (1,))[0], data.shape[0])
    sample_bytes = int(np.prod(data.shape[1:])) * np.dtype(data.dtype).itemsize
    total, weight, n_read = np.zeros(data.shape[1:]), np.zeros(data.shape[1:]), 0
    for block in plan_blocks(data.shape[0], sample_bytes, step, _MOST_BYTES).tolist():
        rows = slice(block * step, (block + 1) * step)
        values = np.asarray(data[rows], np.float64)
        own = np.isfinite(values) * (1.0 if counts is None else np.asarray(counts[rows], np.float64))
        total += np.nansum(np.nan_to_num(values) * own, axis=0)
        weight += own.sum(axis=0)
        n_read += len(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_s = np.where(weight > 0, total / weight, np.nan)
    if mean_s.ndim == 2:
        mean_s, weight = mean_s[..., None], weight[..., None]
    group.notes.append(f"Method: {series.method}. {n_read:,} of {data.shape[0]:,} samples were read.")
    if np.isfinite(mean_s).any():
        group.notes.append(f"Median lifetime of all pixels: {np.nanmedian(mean_s) * 1e9:.3g} ns.")
        about = "Mean over time" + (", weighted by photons" if counts is not None else "")
        group.plots.append(_map(full_name(series), mean_s.transpose(2, 1, 0), weight.transpose(2, 1, 0), about))
    return group


def _phasor_group(series: Any) -> Group:
    """Draw phasors on the universal circle."""
    group = Group(full_name(series))
    data = series.data
    row_bytes = max(1, int(np.prod(data.shape[1:])) * 4)
    step = min((getattr(data, "chunks", None) or (1,))[0], data.shape[0]) or 1
    parts = [
        np.asarray(data[block * step : (block + 1) * step]).reshape(-1, 2)
        for block in plan_blocks(data.shape[0], row_bytes, step, _MOST_BYTES // 3).tolist()
    ]
    points = np.concatenate(parts) if parts else np.zeros((0, 2))
    points = points[np.isfinite(points).all(axis=1)]
    group.notes.append(f"{len(points):,} phasors, harmonic {series.harmonic}, calibration: {series.calibration}.")
    if not len(points):
        return group
    drawing = draw(
        f"Phasors of {full_name(series)}", "Density of phasors (logarithmic), and the universal circle", height=3.3
    )
    (axes,) = drawing.axes
    low, high = np.minimum(points.min(axis=0), 0), np.maximum(points.max(axis=0), (1, 0.55))
    low, high = np.maximum(low, -1), np.minimum(high, 1)
    axes.hist2d(*points.T, bins=(120, 80), range=list(zip(low, high, strict=True)), norm="log", cmap="viridis")
    angle = np.linspace(0, np.pi, 200)
    axes.plot(0.5 + 0.5 * np.cos(angle), 0.5 * np.sin(angle), color="black", linewidth=1)
    axes.set_xlabel("g")
    axes.set_ylabel("s")
    axes.set_aspect("equal")
    group.plots.append(drawing.picture(as_png=True))
    return group


def _fit_table(table: Any) -> Group:
    """Show the first rows of a table of fits, lifetimes in nanoseconds."""
    names = [name for name in table.colnames if name != "roi"]
    rows = []
    for row in range(min(len(table), _MOST_ROWS)):
        cells = []
        for name in names:
            value = np.asarray(table[name][row])
            in_ns = getattr(table[name], "unit", "") == "seconds" and name not in ("start_time", "stop_time")
            cells.append(plain(np.char.mod("%.4g", value * 1e9) if in_ns else value.tolist()))
        rows.append((str(row), *cells))
    head = (
        "row",
        *(
            f"{n} (ns)" if getattr(table[n], "unit", "") == "seconds" and n not in ("start_time", "stop_time") else n
            for n in names
        ),
    )
    group = Group(full_name(table), notes=[f"{len(table)} fits. Model: {table.model}. Estimator: {table.estimator}."])
    group.tables.append(Table(rows, head, f"First {len(rows)} rows" if len(rows) < len(table) else "Fits"))
    return group
