"""From masks and a recording to traces: as interfaces beside the channels, or as a file of their own."""

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import MetadataError, RoiError, ScanImageNwbWarning
from scanimage_nwb.extractors import ScanImageImagingExtractor, SiffImagingExtractor
from scanimage_nwb.nwb.converter import ScanImageConverter
from scanimage_nwb.nwb.roi_interface import RoiTracesInterface
from scanimage_nwb.nwb.start_time import EXPECTED_START_TIME
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.roi_traces import (
    RoiSet,
    Segmentation,
    extract_photon_traces,
    extract_traces,
    neuropil_rois,
    read_segmentations,
    rolling_df_over_f,
)
from scanimage_nwb.roi_traces.extracting import check_rois
from scanimage_nwb.whole_file import whole_or_nothing

__all__ = ["STUB_SAMPLES", "RoiOptions", "fitting_segmentations", "roi_interfaces", "write_traces"]

STUB_SAMPLES = 100
"""Samples that a try writes."""


@dataclass(frozen=True, slots=True)
class RoiOptions:
    """Which masks, and what is made of them."""

    path: Path
    """See `scanimage_nwb.roi_traces.read_segmentations`."""
    plane: int | None = None
    """Plane that masks without one were drawn in; by default that of a planar recording."""
    dff_window_s: float | None = None
    """Add dF/F: F0 is the 8th percentile of F less its neuropil in a window of so many seconds."""


def roi_interfaces(
    extractors: Sequence[ScanImageImagingExtractor],
    options: RoiOptions,
    *,
    registration: RegistrationInfo | None = None,
    n_samples: int | None = None,
    suffix: str = "",
) -> tuple[RoiTracesInterface, ...]:
    """Return interfaces of masks and their traces.

    Traces that come with the masks are taken over, and checked against the recording; masks alone get traces of every
    channel: mean, neuropil, and of a .siff the lifetime.

    Parameters
    ----------
    extractors : sequence of ScanImageImagingExtractor
        Channels of one recording.
    options : RoiOptions
        Masks.
    registration : RegistrationInfo, optional
        Motion to take off before masks alone are summed.
    n_samples : int, optional
        Take traces of the first samples only.
    suffix : str
        Goes behind every name, so that masks of several recordings lie side by side.

    Returns
    -------
    tuple of RoiTracesInterface
        One for each plane that was segmented by itself; the first has the names that readers look for, others have
        their plane behind them.

    Raises
    ------
    RoiError
        If masks or traces do not belong to the recording.
    FileNotFoundError, FormatError
        As for `read_segmentations`.
    """
    first = extractors[0]
    found = []
    for segmentation in fitting_segmentations(first, options):
        if segmentation.traces:
            found.append(_with_dff(segmentation, first, options))
        else:
            parts = [_first_samples(extractor, n_samples) for extractor in extractors]
            found.append(replace(_take_traces(parts, segmentation.rois, options, registration), path=options.path))
    suffixes = [suffix if rank == 0 else f"{suffix}Plane{own.plane}" for rank, own in enumerate(found)]
    return tuple(
        RoiTracesInterface.from_segmentation(own, suffix=mark, sampling_frequency=first.get_sampling_frequency())
        for own, mark in zip(found, suffixes, strict=True)
    )


def fitting_segmentations(extractor: ScanImageImagingExtractor, options: RoiOptions) -> list[Segmentation]:
    """Read masks, and make sure that they are of a recording.

    Parameters
    ----------
    extractor : ScanImageImagingExtractor
        A channel of the recording.
    options : RoiOptions
        Masks.

    Returns
    -------
    list of Segmentation
        Those of the planes that are read; masks without traces lie in the volume of the recording.

    Raises
    ------
    RoiError
        If masks or traces do not belong to the recording.
    FileNotFoundError, FormatError
        As for `read_segmentations`.
    """
    found = []
    for segmentation in _of_these_planes(_read(options, extractor), extractor, options):
        if segmentation.traces:
            n_planes = 1 if segmentation.rois.shape[0] == 1 else extractor.get_num_planes()
            shape = (n_planes, *extractor.get_image_shape())
            whole = _without_cut_volume(segmentation, extractor)
            whole.check_against(extractor.file_path, extractor.get_num_samples(), shape)
            found.append(whole)
        else:
            found.append(replace(segmentation, rois=_placed(segmentation, extractor, options)))
    return found


def _read(options: RoiOptions, extractor: ScanImageImagingExtractor) -> tuple[Segmentation, ...]:
    """Read masks; those that do not say how large their field is are drawn in that of the recording."""
    if options.dff_window_s is not None and not options.dff_window_s > 0:
        raise RoiError(f"the window of dF/F is {options.dff_window_s} s; expected more than 0")
    planes, field = extractor.get_num_planes(), extractor.get_image_shape()
    in_volume = planes > 1 and options.plane is None
    return read_segmentations(options.path, shape=(planes, *field) if in_volume else field)


def _of_these_planes(
    found: Sequence[Segmentation], extractor: ScanImageImagingExtractor, options: RoiOptions
) -> list[Segmentation]:
    """Return the segmentations of the planes that are read; say the plane where only the user knows it."""
    placed = []
    for own in found:
        plane = options.plane if own.plane is None and own.rois.shape[0] == 1 else own.plane
        if plane is not None and plane >= extractor.recording.n_planes:
            raise RoiError(
                f"{own.path or options.path} is of plane {plane}; {extractor.file_path} has "
                f"{extractor.recording.n_planes} plane(s), from 0"
            )
        if extractor.plane_index is None or plane in (None, extractor.plane_index):
            placed.append(replace(own, plane=plane))
    if not placed:
        raise RoiError(f"{options.path} has no masks in plane {extractor.plane_index} of {extractor.file_path}")
    return placed


def _placed(segmentation: Segmentation, extractor: ScanImageImagingExtractor, options: RoiOptions) -> RoiSet:
    """Return masks in the volume of the recording."""
    rois, planes = segmentation.rois, extractor.get_num_planes()
    if rois.shape[0] == 1 and planes > 1 and segmentation.plane is not None:
        rois = rois.in_plane(segmentation.plane, planes)
    try:
        check_rois(rois, (planes, *extractor.get_image_shape()))
    except RoiError as error:
        raise RoiError(f"{options.path} does not fit {extractor.file_path}: {error}") from None
    return rois


def _without_cut_volume(segmentation: Segmentation, extractor: ScanImageImagingExtractor) -> Segmentation:
    """Leave out the sample of a plane that lies in a last volume cut short: it is in no sample of the recording."""
    index, n_samples = extractor.recording.index, extractor.get_num_samples()
    if segmentation.plane is None or segmentation.n_samples != n_samples + 1 or not n_samples:
        return segmentation
    last = index.volume[-1]
    if index.volume[index.sample_pages.max()] == last or segmentation.plane not in index.plane[index.volume == last]:
        return segmentation
    warnings.warn(
        f"{segmentation.path}: plane {segmentation.plane} has {segmentation.n_samples} samples, and "
        f"{extractor.file_path} {n_samples} whole volumes and part of one: the last sample of the traces is left out",
        ScanImageNwbWarning,
        stacklevel=4,
    )
    return segmentation.first_samples(n_samples)


def _first_samples(extractor: ScanImageImagingExtractor, n_samples: int | None) -> ScanImageImagingExtractor:
    if n_samples is None:
        return extractor
    return extractor.slice_samples(0, min(n_samples, extractor.get_num_samples()))


def _pages(extractor: ScanImageImagingExtractor) -> NDArray[np.int64]:
    """Return the page of every sample and plane."""
    return np.stack([extractor.get_original_frame_indices(z) for z in range(extractor.get_num_planes())], axis=1)


def _shifts(pages: NDArray[np.int64], registration: RegistrationInfo | None) -> NDArray[np.int64] | None:
    """Return the shift of every sample and plane, in whole pixels."""
    if registration is None:
        return None
    known, none = registration.yx_shifts, (0, 0)
    shifts = np.array([known.get(page, none) for page in pages.reshape(-1).tolist()], np.float64)
    return np.rint(shifts).astype(np.int64).reshape(*pages.shape, 2)


def _take_traces(
    extractors: Sequence[ScanImageImagingExtractor],
    rois: RoiSet,
    options: RoiOptions,
    registration: RegistrationInfo | None,
) -> Segmentation:
    """Take traces of every channel, and images of the first."""
    rings = neuropil_rois(rois)
    traces: dict[str, NDArray] = {}
    units: dict[str, str] = {}
    images: dict[str, NDArray] = {}
    for rank, extractor in enumerate(extractors):
        channel = "" if rank == 0 else f"_channel{extractor.channel_names.index(extractor.channel_name) + 1}"
        pages = _pages(extractor)
        shifts = _shifts(pages, registration)
        found = extract_traces(extractor, rois, shifts=shifts, neuropil=rings, images=rank == 0)
        assert found.neuropil is not None
        traces[f"raw{channel}"], traces[f"neuropil{channel}"] = found.means, found.neuropil
        images.update(found.images)
        if isinstance(extractor, SiffImagingExtractor):
            units |= {f"raw{channel}": "photons", f"neuropil{channel}": "photons"}
            photons = extract_photon_traces(extractor.reader, rois, pages=pages, shifts=shifts)
            traces[f"lifetime{channel}"] = photons.lifetime_s
    plane = int(rois.plane[0]) if rois.shape[0] > 1 and len(set(rois.plane.tolist())) == 1 else None
    segmentation = Segmentation(rois, traces, images, units=units, plane=None if plane == -1 else plane)
    return _with_dff(segmentation, extractors[0], options)


def _with_dff(segmentation: Segmentation, extractor: ScanImageImagingExtractor, options: RoiOptions) -> Segmentation:
    """Add dF/F, if it is asked for and not there."""
    if options.dff_window_s is None or "dff" in segmentation.traces or "raw" not in segmentation.traces:
        return segmentation
    window = max(1, round(options.dff_window_s * extractor.get_sampling_frequency()))
    traces, around = segmentation.traces["raw"], segmentation.traces.get("neuropil")
    return segmentation.with_traces(dff=rolling_df_over_f(traces, window, neuropil=around))


def write_traces(
    file_paths: Sequence[str | Path],
    output: str | Path,
    options: RoiOptions,
    *,
    channel_name: str | None = None,
    plane_index: int | None = None,
    slice_sample: int | None = None,
    registration: RegistrationInfo | None = None,
    timezone: str | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Take traces of masks from a recording and write them to a file of their own.

    Traces that come with the masks are left out: these are taken anew, of every channel.

    Parameters
    ----------
    file_paths : sequence of path-like
        As for `convert_recording`.
    output : path-like
        ``.csv`` (times and the means of one channel, a column for each mask), ``.h5`` (everything, and the masks) or
        ``.nwb`` (without the movie).
    options : RoiOptions
        Masks.
    channel_name, plane_index, slice_sample, timezone, overwrite
        As for `convert_recording`.
    registration : RegistrationInfo, optional
        Motion to take off first.

    Returns
    -------
    n_samples, n_rois : int

    Raises
    ------
    ValueError
        If the name of the output ends otherwise, or a .csv would have to hold several channels.
    FileExistsError
        If there is a file and `overwrite` is False.
    MetadataError
        If an .nwb is asked for, and nobody says when the recording began.
    RoiError, FormatError, FileNotFoundError
        As for `roi_interfaces`.
    """
    output = Path(output).expanduser().absolute()
    if output.suffix.lower() not in (".csv", ".h5", ".hdf5", ".nwb"):
        raise ValueError(f"{output} cannot be the output; expected a name that ends in .csv, .h5 or .nwb")
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} is there already; choose another name, or replace it with --overwrite")
    paths = [Path(path) for path in file_paths]
    converter = ScanImageConverter(
        paths[0] if len(paths) == 1 else None,
        file_paths=paths if len(paths) > 1 else None,
        channel_names=[channel_name] if channel_name else None,
        plane_index=plane_index,
        slice_sample=slice_sample,
        interleave_slice_samples=slice_sample is None,
        timezone=timezone,
    )
    extractors = [interface.imaging_extractor for interface in converter.data_interface_objects.values()]
    first = extractors[0]
    if output.suffix.lower() == ".csv" and len(extractors) > 1:
        names = ", ".join(extractor.channel_name for extractor in extractors)
        raise ValueError(f"{output} can hold one channel; choose one of {names} with --channel, or write .h5")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent} is not there; make the folder first, or choose another output")
    if output.suffix.lower() == ".nwb" and "session_start_time" not in converter.get_metadata()["NWBFile"]:
        raise MetadataError(f"{first.file_path} does not say when it was recorded; {EXPECTED_START_TIME}")
    parts = _of_these_planes(_read(options, first), first, options)
    placed = [_placed(part, first, options) for part in parts]
    rois = placed[0] if len(placed) == 1 else RoiSet.join(placed, [f"plane{part.plane}_" for part in parts])
    found = replace(_take_traces(extractors, rois, options, registration), path=options.path)
    if output.suffix.lower() == ".nwb":
        _write_nwb(found, converter, first, output, overwrite)
    else:
        with whole_or_nothing(output, overwrite=overwrite) as partial:
            write = _write_csv if output.suffix.lower() == ".csv" else _write_hdf5
            write(found, first.get_times(), partial)
    return found.n_samples, rois.n_rois


def _write_nwb(
    found: Segmentation, converter: ScanImageConverter, extractor: Any, output: Path, overwrite: bool
) -> None:
    """Write traces to an NWB file without the movie."""
    interface = RoiTracesInterface.from_segmentation(found, sampling_frequency=extractor.get_sampling_frequency())
    interface.set_aligned_timestamps(extractor.get_times())
    metadata = converter.get_metadata()
    key = next(iter(converter.data_interface_objects.values())).metadata_key
    own = interface.get_metadata()
    own["Ophys"]["PlaneSegmentations"][interface.metadata_key]["imaging_plane_metadata_key"] = key
    own["NWBFile"] = metadata["NWBFile"]
    own["Devices"] = metadata["Devices"]
    own["Ophys"]["ImagingPlanes"] = metadata["Ophys"]["ImagingPlanes"]
    interface.run_conversion(nwbfile_path=str(output), metadata=own, overwrite=overwrite)


def _write_csv(found: Segmentation, times: NDArray[np.float64], path: Path) -> None:
    """Write times and means."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time_s", *(f"roi_{own}" for own in found.rois.ids)])
        for time, row in zip(times.tolist(), found.traces["raw"], strict=True):
            writer.writerow([repr(time), *(repr(value) for value in row.tolist())])


def _write_hdf5(found: Segmentation, times: NDArray[np.float64], path: Path) -> None:
    """Write everything: times, traces, images, and the masks as lists of voxels."""
    with h5py.File(path, "w") as file:
        file.create_dataset("time_s", data=times)
        for kind, trace in found.traces.items():
            data = file.create_dataset(f"traces/{kind}", data=trace, compression="gzip", shuffle=True)
            data.attrs["axes"] = "samples, rois"
            data.attrs["unit"] = "seconds" if kind.startswith("lifetime") else found.units.get(kind, "n.a.")
        for name, image in found.images.items():
            file.create_dataset(f"images/{name}", data=image, compression="gzip")
        rois = found.rois
        masks = file.create_group("rois")
        masks.attrs["shape"] = rois.shape
        masks.attrs["axes"] = "planes, rows, columns; voxels of mask i are voxels[starts[i]:starts[i + 1]], flat"
        masks.create_dataset("id", data=[str(own) for own in rois.ids])
        masks.create_dataset("name", data=list(rois.names))
        masks.create_dataset("starts", data=rois.starts)
        masks.create_dataset("voxels", data=rois.voxels)
        if rois.weights is not None:
            masks.create_dataset("weights", data=rois.weights)
        for key, values in rois.properties.items():
            masks.create_dataset(key, data=values)
