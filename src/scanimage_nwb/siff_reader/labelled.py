"""Histograms as labelled arrays, with the names and units that ptufile and phasorpy use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xarray import DataArray

    from scanimage_nwb.siff_reader.reader import SiffReader

__all__ = ["label_histograms"]

_AXES = "TZCYXH"


def label_histograms(
    reader: "SiffReader", dims: str, samples: slice | Sequence[int] | None, first_edge_s: float, **options: Any
) -> "DataArray":
    """Return histograms with names, coordinates and attributes; see `SiffReader.to_xarray`."""
    import xarray

    if (
        not dims.endswith("H")
        or [axis for axis in _AXES if axis in dims] != list(dims)
        or ("Y" in dims) != ("X" in dims)
    ):
        raise ValueError(f"dims are {dims!r}; expected axes of {_AXES} in this order, H among them, and Y with X")
    color_channel, bin_factor, bins = (options[name] for name in ("color_channel", "bin_factor", "bins"))
    index = reader.recording.index
    pages = index.sample_pages.reshape(-1, *index.sample_pages.shape[2:])
    if samples is not None:
        pages = pages[samples if isinstance(samples, slice) else np.asarray(samples)]
    if color_channel is not None:
        pages = pages[..., color_channel, np.newaxis]
    if not pages.size:
        raise ValueError(f"there is no sample {samples} of channel {color_channel}; expected one at least")
    data = _read(reader, pages, dims, options)
    first, stop = bins or (0, reader.num_bins)
    edges = np.minimum(np.arange(first, stop + bin_factor, bin_factor), stop) * reader.tcspc_resolution_s + first_edge_s
    centers_s = (edges[1:] + edges[:-1]) / 2
    names = reader.recording.channel_names
    coordinates: dict[str, Any] = {
        "H": ("H", centers_s * 1e9, {"units": "ns", "long_name": "centre of the delay bin"}),
        "phase": ("H", 2 * np.pi * reader.repetition_rate_hz * centers_s, {"units": "rad"}),
    }
    if "T" in dims:
        coordinates["T"] = ("T", reader.get_time(pages[:, -1, 0]), {"units": "s"})
    if "C" in dims:
        coordinates["C"] = list(names if color_channel is None else names[color_channel : color_channel + 1])
    attributes = {"frequency": reader.repetition_rate_hz * 1e-6, "units": "photons"}
    return xarray.DataArray(data, dims=tuple(dims), coords=coordinates, attrs=attributes, name="photons")


def _read(reader: "SiffReader", pages: NDArray[np.int64], dims: str, options: dict[str, Any]) -> NDArray:
    """Return histograms of pages (samples, planes, channels); axes that are not in `dims` are added up."""
    kept = [i for i, axis in enumerate("TZC") if axis in dims]
    added = [i for i in range(3) if i not in kept]
    shape = tuple(pages.shape[i] for i in kept)
    groups = pages.transpose(*kept, *added).reshape(int(np.prod(shape)), -1)
    read = {name: options[name] for name in ("bin_factor", "bins", "registration_dict", "edge")}
    if "Y" in dims:
        found = np.stack([reader.get_pixel_histogram(group, **read) for group in groups])
    elif not kept:
        found = reader.get_histogram(groups[0], **read)[np.newaxis]
    else:
        each = reader.get_histogram(groups.reshape(-1), framewise=True, **read)
        found = each.reshape(*groups.shape, -1).sum(axis=1)
    return found.reshape(*shape, *found.shape[1:])
