"""Add one imaging series, with its plane, microscope and frame numbers, to an NWB file in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hdmf.utils import get_docval
from neuroconv.tools.nwb_helpers import get_module
from neuroconv.tools.roiextractors.imagingextractordatachunkiterator import ImagingExtractorDataChunkIterator
from numpy.typing import NDArray
from pynwb import NWBFile, TimeSeries
from pynwb.device import Device
from pynwb.ophys import ImagingPlane, OpticalChannel, TwoPhotonSeries

from scanimage_nwb.errors import FormatError, MetadataError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.nwb.user_metadata import check_keys
from scanimage_nwb.time_axis import regular_rate

__all__ = [
    "add_frame_numbers",
    "add_imaging_plane",
    "add_imaging_series",
    "default_chunk_shape",
    "share_timestamps",
    "time_fields",
]

_CHUNK_BYTES = 2_000_000
"""A chunk holds whole frames up to this size: one frame is read at little cost, and so is a run of them."""
_LARGEST_CHUNK_BYTES = 10_000_000
_BUFFER_GB = 0.128


def add_imaging_series(
    nwbfile: NWBFile,
    metadata: Mapping[str, Any],
    key: str,
    extractor: ScanImageImagingExtractor,
    *,
    always_write_timestamps: bool = False,
    iterator_options: Mapping[str, Any] | None = None,
) -> TwoPhotonSeries:
    """Add a TwoPhotonSeries whose data are read while the file is written.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    metadata : mapping
        See `scanimage_nwb.nwb.metadata`.
    key : str
        Entry of ``ImagingPlanes`` and ``MicroscopySeries`` to use.
    extractor : ScanImageImagingExtractor
        The data and their times.
    always_write_timestamps : bool
        Write a timestamp for every sample even if a rate says the same.
    iterator_options : mapping, optional
        Passed to neuroconv's chunk iterator (``chunk_shape``, ``buffer_gb``, ``display_progress`` …).

    Returns
    -------
    TwoPhotonSeries

    Raises
    ------
    FormatError
        If there is no sample.
    MetadataError
        If an entry is missing, or holds a field that NWB does not have there.
    """
    if extractor.get_num_samples() == 0:
        recording = extractor.recording
        raise FormatError(
            f"{extractor.file_path}: none of the volumes is complete, so there is nothing to write: "
            f"{recording.n_pages} page(s), and a volume takes {recording.n_planes} planes of {recording.n_channels} "
            "channel(s). Look at it with `scanimage-nwb inspect`; single pages are read with SiffReader"
        )
    fields = dict(_entry(metadata, ("Ophys", "MicroscopySeries"), key))
    plane_key = fields.pop("imaging_plane_metadata_key", key)
    plane = add_imaging_plane(nwbfile, metadata, plane_key)
    rows, columns = extractor.get_image_shape()
    fields.setdefault("unit", "n.a.")
    fields.setdefault("dimension", (columns, rows, *([extractor.get_num_planes()] if extractor.is_volumetric else [])))
    options = dict(iterator_options or {})
    if not {"chunk_shape", "chunk_mb"} & options.keys():
        options["chunk_shape"] = default_chunk_shape(_data_shape(extractor), extractor.get_dtype())
    if not {"buffer_shape", "buffer_gb"} & options.keys():
        options["buffer_gb"] = max(_BUFFER_GB, np.prod(options.get("chunk_shape", 0)) * 8e-9)
    data = ImagingExtractorDataChunkIterator(extractor, **options)
    times = share_timestamps(nwbfile, time_fields(extractor, always_write_timestamps))
    series = _build(TwoPhotonSeries, f"Ophys.MicroscopySeries.{key}", imaging_plane=plane, data=data, **times, **fields)
    nwbfile.add_acquisition(series)
    return series


def default_chunk_shape(data_shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    """Return the chunk shape of a series: whole frames, about 2 MB of them.

    Chosen among shapes of 1,000 frames of 512 x 512 photon counts, read back with h5py from memory
    (``tests/benchmarks/bench_chunk_shapes.py``): one frame in ms (chunks to fetch), all in order, and one pixel over
    time, in s::

        1 x 512 x 512     1.9 (1)   2.1   1.8
        3 x 512 x 512     5.5 (1)   2.1   1.8     this one
        19 x 512 x 512     65 (1)   4.7   3.3     neuroconv's 10 MB
        12 x 256 x 256     22 (4)   2.2   0.5
        48 x 128 x 128     81 (16)  2.4   0.1

    Viewers, registration and segmentation read frames, in order or one by one; traces over time are written beside
    the movie. Whoever reads pixels over time from the movie itself gives `chunk_shape` in `iterator_options`.

    Parameters
    ----------
    data_shape : tuple of int
        (time, width, height[, depth]).
    dtype : dtype
        Type of a pixel.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> default_chunk_shape((5000, 512, 512), np.dtype("int16"))
    (3, 512, 512)
    >>> default_chunk_shape((100, 1024, 1024, 30), np.dtype("int16"))
    (1, 1024, 1024, 4)
    """
    n_samples, *sample = data_shape
    sample_bytes = int(np.prod(sample)) * dtype.itemsize
    if sample_bytes > _LARGEST_CHUNK_BYTES and len(sample) == 3:
        frame_bytes = sample_bytes // sample[2]
        return 1, sample[0], sample[1], max(1, _LARGEST_CHUNK_BYTES // frame_bytes)
    return max(1, min(n_samples, _CHUNK_BYTES // sample_bytes)), *sample


def _data_shape(extractor: ScanImageImagingExtractor) -> tuple[int, ...]:
    """Return the shape of the data in NWB order."""
    rows, columns, *planes = extractor.get_sample_shape()
    return extractor.get_num_samples(), columns, rows, *planes


def time_fields(extractor: ScanImageImagingExtractor, always_write_timestamps: bool) -> dict[str, Any]:
    """Return a rate where it predicts every time within a microsecond, else timestamps."""
    known = extractor.has_time_vector() or extractor.get_native_timestamps() is not None
    times = extractor.get_timestamps()
    rate = regular_rate(times) if known else extractor.get_sampling_frequency()
    if rate is None or always_write_timestamps:
        return {"timestamps": times}
    return {"rate": float(rate), "starting_time": float(times[0]) if len(times) else 0.0}


def share_timestamps(nwbfile: NWBFile, times: dict[str, Any]) -> dict[str, Any]:
    """Link the timestamps of a series that is in the file already and has the very same ones."""
    for series in nwbfile.acquisition.values():
        known = series.timestamps if isinstance(series, TimeSeries) and series.rate is None else None
        if "timestamps" in times and isinstance(known, np.ndarray) and np.array_equal(known, times["timestamps"]):
            return {"timestamps": series}
    return times


def add_frame_numbers(nwbfile: NWBFile, series: TwoPhotonSeries, extractor: ScanImageImagingExtractor) -> None:
    """Add the original frame index and ScanImage's frame number of every sample, on the times of `series`.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    series : TwoPhotonSeries
        The series that the numbers belong to.
    extractor : ScanImageImagingExtractor
        Where they come from.
    """
    of_plane = " of the last plane of each volume" if extractor.is_volumetric else ""
    last_to_first = ""
    if extractor.is_volumetric:
        index = extractor.recording.index
        step = index.layout.n_channels * index.layout.frames_per_slice
        last_to_first = f" The planes before it lie {step} page(s) apart."
    _add_numbers(
        nwbfile,
        series,
        "OriginalFrameIndices",
        extractor.get_original_frame_indices(),
        f"Global page number (from 0, over all files, channels and flyback){of_plane}: the original frame index of "
        f"every sample of {series.name}.{last_to_first}",
    )
    _add_numbers(
        nwbfile,
        series,
        "FrameNumbers",
        extractor.get_frame_numbers(),
        f"frameNumbers of ScanImage{of_plane}, for every sample of {series.name}; the channels of a frame share one.",
    )


def _add_numbers(
    nwbfile: NWBFile, series: TwoPhotonSeries, what: str, numbers: NDArray[np.int64], description: str
) -> None:
    """Add one companion series that shares the times of another."""
    same_times = (
        {"timestamps": series} if series.rate is None else {"rate": series.rate, "starting_time": series.starting_time}
    )
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    module.add(
        TimeSeries(name=f"{series.name}{what}", data=numbers, unit="n.a.", description=description, **same_times)
    )


def _entry(metadata: Mapping[str, Any], registry: tuple[str, ...], key: str) -> Mapping[str, Any]:
    """Return an entry of the metadata."""
    place: Any = metadata
    for name in (*registry, key):
        if not isinstance(place, Mapping) or name not in place:
            raise MetadataError(
                f"metadata: {'.'.join((*registry, key))} is missing at {name!r}; start from the interface's "
                "get_metadata() and change that"
            )
        place = place[name]
    return place


def add_imaging_plane(nwbfile: NWBFile, metadata: Mapping[str, Any], key: str) -> ImagingPlane:
    """Add an imaging plane, or return the one of that name; what NWB demands and nobody said is "unknown"."""
    fields = dict(_entry(metadata, ("Ophys", "ImagingPlanes"), key))
    if fields.get("name") in nwbfile.imaging_planes:
        return nwbfile.imaging_planes[fields["name"]]
    device = _add_device(nwbfile, metadata, fields.pop("device_metadata_key", None))
    channels = [
        _build(OpticalChannel, f"Ophys.ImagingPlanes.{key}.optical_channel", **{"emission_lambda": np.nan, **channel})
        for channel in fields.pop("optical_channel", [])
    ]
    unknown = {"excitation_lambda": np.nan, "indicator": "unknown", "location": "unknown"}
    plane = _build(
        ImagingPlane,
        f"Ophys.ImagingPlanes.{key}",
        device=device,
        optical_channel=channels,
        **{**unknown, **fields},
    )
    nwbfile.add_imaging_plane(plane)
    return plane


def _add_device(nwbfile: NWBFile, metadata: Mapping[str, Any], key: str | None) -> Device:
    """Add a device, or return the one of that name."""
    fields = {"name": "Microscope"} if key is None else _entry(metadata, ("Devices",), key)
    if fields.get("name") in nwbfile.devices:
        return nwbfile.devices[fields["name"]]
    device = _build(Device, f"Devices.{key}", **fields)
    nwbfile.add_device(device)
    return device


def _build(kind: type, where: str, **fields: Any) -> Any:
    """Make an NWB object; say which metadata are wrong if it cannot be made."""
    check_keys(fields, tuple(argument["name"] for argument in get_docval(vars(kind)["__init__"])), f"metadata {where}")
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"metadata {where} cannot be written as {kind.__name__}: {error}") from error
