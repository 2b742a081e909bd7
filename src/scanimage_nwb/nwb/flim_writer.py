"""Adds what `FlimInterface` was asked for to an NWB file in memory: one product after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from hdmf.common import DynamicTableRegion
from neuroconv.tools.nwb_helpers import get_module
from numpy.typing import NDArray
from pynwb import NWBFile, TimeSeries
from pynwb.ophys import Fluorescence, ImageSegmentation, ImagingPlane, PlaneSegmentation, RoiResponseSeries

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.flim import Irf, MeasuredIrf
from scanimage_nwb.nwb.flim_data import PieceIterator, Samples, photon_fields
from scanimage_nwb.nwb.flim_fits import FitRows, fit_planes, fit_regions, model_text
from scanimage_nwb.nwb.metadata import name_suffix
from scanimage_nwb.nwb.series import add_frame_numbers, add_imaging_plane, share_timestamps, time_fields
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["FlimWriter", "Regions", "checked_masks"]


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Masks whose photons are added up."""

    masks: NDArray
    """Boolean, or weights, shape (masks, [planes,] rows, columns)."""
    table: str | None = None
    """PlaneSegmentation of the file that has a row for each; by default one is made."""
    suffix: str = ""
    """What the names of its products end in, where there are several."""
    has_lifetimes: bool = False
    """Whether the file has the mean delays of each already, from which nothing is taken off."""


def checked_masks(masks: Any, reader: SiffReader) -> NDArray:
    """Return masks of regions, which must fit the frames: boolean if they hold zeros and ones only, else weights.

    Parameters
    ----------
    masks : array-like, shape (masks, [planes,] rows, columns)
        Boolean, or weights.
    reader : SiffReader
        Of the frames.

    Returns
    -------
    ndarray of bool or float64

    Raises
    ------
    MetadataError
        If they do not fit, or hold weights that are negative or not finite.
    """
    found, (rows, columns) = np.asarray(masks), reader.im_params.shape
    volume = (reader.recording.n_planes, rows, columns)
    if found.ndim not in (3, 4) or not len(found) or found.shape[1:] not in ((rows, columns), volume):
        raise MetadataError(f"masks have shape {found.shape}; expected (masks, {rows}, {columns}), or {volume} each")
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all() or (found < 0).any():
        raise MetadataError(f"masks of type {found.dtype} must be boolean, or weights that are finite and not negative")
    return found.astype(bool) if found.dtype == bool or np.isin(found, (0, 1)).all() else found.astype(np.float64)


class FlimWriter:
    """Adds one product after the other; all share settings, plane and times.

    Parameters
    ----------
    nwbfile : NWBFile
        The file in memory.
    metadata : dict
        With the entry of the series.
    key : str
        Of the entry in ``Ophys.MicroscopySeries``.
    extractor : ScanImageImagingExtractor
        Samples to write, and their times.
    reader : SiffReader
        Their photons.
    recording_name : str
        What tells the recording from others in the same file.
    regions : sequence of Regions
        Regions.
    irf : Irf or MeasuredIrf, optional
        Response of the instrument, if it is known.
    motion_corrected : bool
        Whether photons are moved as ``reader.registration_dict`` says.
    always_write_timestamps : bool
        Write timestamps even if a rate says the same.
    """

    def __init__(
        self,
        nwbfile: NWBFile,
        metadata: dict[str, Any],
        key: str,
        extractor: ScanImageImagingExtractor,
        reader: SiffReader,
        *,
        recording_name: str,
        regions: Sequence[Regions],
        irf: Irf | MeasuredIrf | None,
        motion_corrected: bool,
        always_write_timestamps: bool,
    ) -> None:
        recording, self.reader = extractor.recording, reader
        n_planes = extractor.get_num_planes()
        pages = np.stack([extractor.get_original_frame_indices(plane) for plane in range(n_planes)], axis=1)
        shifts = reader.registration_dict if motion_corrected else {}
        self.nwbfile, self.extractor, self.irf = nwbfile, extractor, irf
        self.regions = [replace(own, masks=checked_masks(own.masks, reader)) for own in regions]
        self.samples = Samples(reader, pages, dict(shifts))
        self.suffix = recording_name + name_suffix(recording, extractor.channel_name, extractor.plane_index)
        entry = metadata["Ophys"]["MicroscopySeries"][key]
        plane_key = entry.get("imaging_plane_metadata_key", key)
        self.plane: ImagingPlane = add_imaging_plane(nwbfile, metadata, plane_key)
        self.counts: TimeSeries | None = nwbfile.acquisition.get(entry["name"])
        self.first_series: TimeSeries | None = None
        """The first series with a time for every sample that was added."""
        self.times = share_timestamps(nwbfile, time_fields(extractor, always_write_timestamps))
        self.settings = self._settings(recording_name + name_suffix(recording, extractor.channel_name, None))
        self.common = {
            "imaging_plane": self.plane,
            "tcspc_settings": self.settings,
            "motion_corrected": motion_corrected,
        }
        self.of = f"Channel {extractor.channel_name!r}" + (
            "" if extractor.plane_index is None else f", plane {extractor.plane_index}"
        )
        self.motion = "Motion was corrected." if motion_corrected else "Motion was not corrected."
        self._tables: dict[str, PlaneSegmentation] = {}

    def _settings(self, suffix: str) -> Any:
        """Add settings of this channel, or return those that are there."""
        from ndx_flim import TCSPCSettings

        name = f"TCSPCSettings{suffix}"
        if name not in self.nwbfile.lab_meta_data:
            known = {} if self.irf is None else {"irf": self._response(self.irf)}
            self.nwbfile.add_lab_meta_data(
                TCSPCSettings(
                    name=name,
                    description=f"Photon timing of channel {self.extractor.channel_name!r}, ScanImage-FLIM",
                    num_bins=self.reader.num_bins,
                    repetition_rate=self.reader.repetition_rate_hz,
                    tcspc_resolution=self.reader.tcspc_resolution_s,
                    tcspc_device=self.plane.device,
                    **known,
                )
            )
        return self.nwbfile.lab_meta_data[name]

    def _response(self, irf: Irf | MeasuredIrf) -> Any:
        """Return the response of the instrument as NWB has it."""
        from ndx_flim import InstrumentResponse

        if isinstance(irf, MeasuredIrf):
            edges = self._edges(1) + irf.shift_s
            return InstrumentResponse(name="irf", description="measured", counts=irf.weights, bin_edges=edges)
        inside = irf.as_units("seconds", self.reader.tcspc_resolution_s)
        return InstrumentResponse(name="irf", description="Gaussian", center=inside.offset, sigma=inside.sigma)

    @property
    def module(self) -> Any:
        """The processing module."""
        return get_module(self.nwbfile, name="ophys", description="optical physiology processed data")

    def _edges(self, bin_factor: int) -> NDArray[np.float64]:
        """Return the edges of histogram bins in seconds; the last may be narrower."""
        num_bins = self.reader.num_bins
        edges = np.minimum(np.arange(0, num_bins + bin_factor, bin_factor), num_bins)
        return edges * self.reader.tcspc_resolution_s

    def _add_series(self, series: TimeSeries) -> None:
        """Add a series with a time for every sample to the processing module."""
        self.module.add(series)
        self._share_times_of(series)

    def _share_times_of(self, series: TimeSeries) -> None:
        """Let the series that come after link to the times of this one."""
        self.first_series = self.first_series or series
        if isinstance(self.times.get("timestamps"), np.ndarray):
            self.times = {"timestamps": series}

    def add_photons(self) -> None:
        """Add every photon, and the original frame index of every sample."""
        from ndx_flim import PhotonEventSeries

        series = PhotonEventSeries(
            name=f"PhotonEventSeries{self.suffix}",
            description=f"{self.of}: every photon, in the order of frames, planes and pixels. {self.motion}",
            **photon_fields(self.samples),
            **self.times,
            **self.common,
        )
        self.nwbfile.add_acquisition(series)
        add_frame_numbers(self.nwbfile, series, self.extractor)
        self.counts = self.counts or series
        self._share_times_of(series)

    def add_histograms(self, of: Literal["field", "roi"], bin_factor: int) -> None:
        """Add decays of the field or of regions."""
        if of == "field":
            self._add_histograms("Field", "the field", None, {}, bin_factor)
            return
        for regions in self.regions:
            rois = {"rois": self._rois(regions, "rois")}
            self._add_histograms(f"Roi{regions.suffix}", "regions", regions.masks, rois, bin_factor)

    def _add_histograms(
        self, name: str, what: str, masks: NDArray | None, rois: dict[str, Any], bin_factor: int
    ) -> None:
        """Add one series of decays."""
        from ndx_flim import PhotonHistogramSeries

        self._add_series(
            PhotonHistogramSeries(
                name=f"PhotonHistogramSeries{name}{self.suffix}",
                description=f"{self.of}: decay of {what}. {self.motion}",
                data=self.samples.histograms(bin_factor, masks),
                bin_edges=self._edges(bin_factor),
                samples_per_histogram=1,
                **self.times,
                **self.common,
                **rois,
            )
        )

    def _rois(self, regions: Regions, name: str) -> DynamicTableRegion:
        """Return all rows of the PlaneSegmentation of regions, which is added once if it is not there."""
        table = self._tables.get(regions.suffix)
        if table is None:
            table = self._tables[regions.suffix] = self._table(regions)
        rows = list(range(len(regions.masks)))
        return table.create_roi_table_region(description="all regions", region=rows, name=name)

    def _table(self, regions: Regions) -> PlaneSegmentation:
        segmentation = self.module.data_interfaces.get("ImageSegmentation")
        if segmentation is None:
            segmentation = ImageSegmentation(name="ImageSegmentation")
            self.module.add(segmentation)
        if regions.table is not None:
            if regions.table not in segmentation.plane_segmentations:
                raise MetadataError(
                    f"there is no PlaneSegmentation {regions.table!r}; add the masks before the photons"
                )
            return segmentation.plane_segmentations[regions.table]
        table = segmentation.create_plane_segmentation(
            name=f"PlaneSegmentationFlim{regions.suffix}{self.suffix}",
            description=f"{self.of}: regions whose photons were added up. {self.motion}",
            imaging_plane=self.plane,
        )
        for mask in regions.masks:
            table.add_roi(image_mask=mask.T)
        return table

    def add_pixel_histograms(self, bin_factor: int, samples_per_histogram: int | None) -> None:
        """Add decays of every pixel, of all samples or of blocks of them."""
        from ndx_flim import PhotonHistogram, PhotonHistogramSeries

        n_samples = len(self.samples.pages)
        n_added = samples_per_histogram or n_samples
        data = self.samples.pixel_histograms(bin_factor, n_added)
        fields = {
            "description": f"{self.of}: decay of every pixel. {self.motion}",
            "bin_edges": self._edges(bin_factor),
        }
        times = self.extractor.get_timestamps()
        if samples_per_histogram is None:
            pooled = {"name": f"PhotonHistogramPixel{self.suffix}", "time_span": times[[0, -1]]}
            self.module.add(PhotonHistogram(counts=_first_sample(data), **pooled, **fields, **self.common))
            return
        blocks = {"samples_per_histogram": n_added, "timestamps": times[::n_added]}
        name = f"PhotonHistogramSeriesPixel{self.suffix}"
        self.module.add(PhotonHistogramSeries(name=name, data=data, **blocks, **fields, **self.common))

    def add_lifetimes(self, offset_s: float) -> None:
        """Add the mean delay of every pixel."""
        from ndx_flim import LifetimeImageSeries

        self._add_series(
            LifetimeImageSeries(
                name=f"LifetimeImageSeries{self.suffix}",
                description=(
                    f"{self.of}: mean delay of each pixel's photons minus time_offset; biased low, since decays wrap "
                    f"around the laser's period. {self.motion}"
                ),
                data=self.samples.lifetimes(offset_s),
                method="mean_delay",
                time_offset=float(offset_s),
                **self._intensity(),
                **self.times,
                **self.common,
            )
        )

    def add_phasors(self, harmonic: int) -> None:
        """Add the phasor of every pixel."""
        from ndx_flim import PhasorSeries

        self._add_series(
            PhasorSeries(
                name=f"PhasorSeries{self.suffix}",
                description=f"{self.of}: phasor of each pixel's photons. {self.motion}",
                data=self.samples.phasors(harmonic),
                harmonic=harmonic,
                frequency=harmonic * self.reader.repetition_rate_hz,
                calibration="none",
                **self._intensity(),
                **self.times,
                **self.common,
            )
        )

    def add_roi_lifetimes(self, offset_s: float, several: Sequence[Regions]) -> None:
        """Add the mean delay and the photons of regions over time, as core series."""
        container = self.module.data_interfaces.get("FluorescenceLifetime")
        if container is None:
            container = Fluorescence(name="FluorescenceLifetime")
            self.module.add(container)
        for regions in several:
            lifetimes, counts = self.samples.region_lifetimes(regions.masks, offset_s)
            weighted = "" if regions.masks.dtype == bool else ", by the weights of its pixels"
            described = {
                "RoiLifetime": (
                    lifetimes,
                    "seconds",
                    "mean delay of the photons of each region, minus the instrument's delay of "
                    f"{offset_s:.6g} s; biased low, since decays wrap around the laser's period. NaN without photons",
                ),
                "RoiPhotonCount": (counts, "photons", f"photons of each region{weighted}"),
            }
            for name, (data, unit, text) in described.items():
                series = RoiResponseSeries(
                    name=f"{name}{regions.suffix}{self.suffix}",
                    description=f"{self.of}: {text}. {self.motion}",
                    data=data,
                    unit=unit,
                    rois=self._rois(regions, "rois"),
                    **self.times,
                )
                container.add_roi_response_series(series)
                self._share_times_of(series)

    def add_fits(self, n_components: int) -> None:
        """Add fits of the field of each plane, and of each region if there are any."""
        rows = fit_planes(self.samples, n_components, self.irf)
        first = self.extractor.plane_index or 0
        planes = first + np.arange(self.samples.n_planes)
        self._add_fit_table("", "decays of the field, the photons of all times together", rows, plane=planes)
        for regions in self.regions:
            rows = fit_regions(self.samples, regions.masks, n_components, self.irf)
            about = "decays of regions, the photons of all times together; lifetimes are those of all regions"
            self._add_fit_table(f"Roi{regions.suffix}", about, rows, roi=self._rois(regions, "roi"))

    def _add_fit_table(self, what: str, about: str, rows: FitRows, **own: Any) -> None:
        """Add one table of fits."""
        from ndx_flim import LifetimeFitTable

        times, n = self.extractor.get_timestamps(), len(rows.messages)
        # what was not fitted has no errors in any row
        columns = {
            name: values
            for name, values in rows.columns.items()
            if not name.endswith("_error") or np.isfinite(values).any()
        }
        table = LifetimeFitTable.from_arrays(
            name=f"LifetimeFitTable{what}{self.suffix}",
            description=f"{self.of}: fits of {about}. {self.motion}",
            model=model_text(len(rows.columns["lifetime"][0]), self.irf),
            estimator="poisson_maximum_likelihood",
            tcspc_settings=self.settings,
            channel=[self.extractor.channel_name] * n,
            start_time=np.full(n, times[0]),
            stop_time=np.full(n, times[-1]),
            **columns,
            **own,
        )
        table.add_column(
            name="message", description="Why a fit failed, or what about it deserves a look", data=rows.messages
        )
        self.module.add(table)

    def _intensity(self) -> dict[str, TimeSeries]:
        """Return a link to photon counts of the same pixels and times, if they are in the file."""
        return {} if self.counts is None else {"intensity": self.counts}


def _first_sample(data: Any) -> Any:
    """Return an iterator over the only sample of another, without its axis of time."""
    return PieceIterator(
        lambda selection: data._get_data((slice(0, 1), *selection))[0],
        data.maxshape[1:],
        data.dtype,
        data.chunk_shape[1:],
        reads_on_any_thread=False,
    )
