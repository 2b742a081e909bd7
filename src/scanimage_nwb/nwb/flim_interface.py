"""neuroconv data interface: photons of one channel of a .siff recording, and what follows from them."""

from typing import Any, Literal

import numpy as np
from hdmf.common import DynamicTableRegion
from neuroconv.tools.nwb_helpers import get_module
from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile, TimeSeries
from pynwb.ophys import ImageSegmentation, ImagingPlane

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.nwb.flim_data import Samples, photon_fields
from scanimage_nwb.nwb.metadata import name_suffix
from scanimage_nwb.nwb.provenance import add_header
from scanimage_nwb.nwb.series import add_frame_numbers, add_imaging_plane, share_timestamps, time_fields
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["FlimInterface"]

Histograms = Literal["field", "roi", "pixel"]


class FlimInterface(SiffImagingInterface):
    """Fluorescence lifetime of one channel of a .siff recording, as types of ndx-flim.

    Beside `SiffImagingInterface` of the same channel, it shares plane and times with the photon counts. Motion is left
    as it is unless `add_to_nwbfile` is told to correct it with ``interface.reader.registration_dict``; what is written
    says which.

    Parameters
    ----------
    file_path : FilePath, optional
        Any file of the recording. Either this or `file_paths` must be given.
    file_paths : list of FilePath, optional
        Exactly these files, in the order of time.
    channel_name : str, optional
        Channel to write; may be left out if there is one.
    plane_index : int, optional
        Plane to write; by default all, as volumes.
    slice_sample : int, optional
        Where there are several frames of each slice: the one to take.
    interleave_slice_samples : bool
        Take all frames of each slice, as samples one after the other.
    timezone : str, optional
        Time zone to express the start of the session in; by default UTC.
    metadata_key : str, optional
        Key of this interface's entries in ``Ophys``; by default it names channel and plane.
    num_bins : int, optional
        Number of delay bins, in place of what the file says.
    tcspc_resolution_s : float, optional
        Width of a delay bin in seconds, in place of what the file says.
    repetition_rate_hz : float, optional
        Repetition rate of the laser in Hz, in place of what the file says.
    verbose : bool
        Show a progress bar while data are written.

    Examples
    --------
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> interface = FlimInterface(write_siff_recording(folder, n_volumes=20).path)
    >>> options = {"photons": True, "histograms": "field", "bin_factor": 10}
    >>> nwbfile = interface.create_nwbfile(**options)
    >>> sorted([*nwbfile.acquisition, *nwbfile.lab_meta_data])
    ['PhotonEventSeries', 'TCSPCSettings']
    >>> nwbfile.processing["ophys"]["PhotonHistogramSeriesField"].data.maxshape
    (20, 63)
    """

    display_name = "ScanImage-FLIM Lifetime"
    info = "Interface for photon arrival times recorded with ScanImage-FLIM (.siff)."

    def __init__(
        self,
        file_path: FilePath | None = None,
        *,
        file_paths: list[FilePath] | None = None,
        channel_name: str | None = None,
        plane_index: int | None = None,
        slice_sample: int | None = None,
        interleave_slice_samples: bool = False,
        timezone: str | None = None,
        metadata_key: str | None = None,
        num_bins: int | None = None,
        tcspc_resolution_s: float | None = None,
        repetition_rate_hz: float | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            file_path,
            file_paths=file_paths,
            channel_name=channel_name,
            plane_index=plane_index,
            slice_sample=slice_sample,
            interleave_slice_samples=interleave_slice_samples,
            timezone=timezone,
            metadata_key=metadata_key,
            count_dtype="uint32",
            verbose=verbose,
        )
        self.reader = SiffReader.from_recording(
            self.imaging_extractor.recording,
            num_bins=num_bins,
            tcspc_resolution_s=tcspc_resolution_s,
            repetition_rate_hz=repetition_rate_hz,
        )
        """The photons; set its `registration_dict` to correct motion."""
        self.masks: NDArray | None = None
        """Regions for ``histograms="roi"``: boolean, or weights; shape (masks, [planes,] rows, columns)."""

    def add_to_nwbfile(  # type: ignore[override]
        self,
        nwbfile: NWBFile,
        metadata: dict | None = None,
        *,
        photons: bool = True,
        histograms: Histograms | None = None,
        bin_factor: int = 1,
        samples_per_histogram: int | None = None,
        lifetime: bool = False,
        offset_s: float = 0.0,
        phasor: bool = False,
        harmonic: int = 1,
        motion_corrected: bool = False,
        stub_test: bool = False,
        stub_samples: int = 100,
        always_write_timestamps: bool = False,
    ) -> None:
        """Add what is asked for, with settings, plane and microscope, and the ScanImage header.

        Parameters
        ----------
        nwbfile : NWBFile
            The file in memory; data are read when it is written.
        metadata : dict, optional
            By default what `get_metadata` returns. Not changed.
        photons : bool
            Every photon, without loss.
        histograms : {'field', 'roi', 'pixel'}, optional
            Decays of the whole field or of `masks` for each sample; or of every pixel, added up.
        bin_factor : int
            So many delay bins of the histograms are added up; the last may hold fewer.
        samples_per_histogram : int, optional
            With ``histograms="pixel"``: samples that are added up; by default all, into one PhotonHistogram.
        lifetime : bool
            Mean delay of every pixel of every sample, in seconds. It is biased low, since decays wrap around.
        offset_s : float
            Delay of the instrument's response in seconds, taken off the lifetimes.
        phasor : bool
            Phasor of every pixel of every sample, not calibrated.
        harmonic : int
            Of the phasor.
        motion_corrected : bool
            Move photons as ``reader.registration_dict`` says.
        stub_test : bool
            Write the first `stub_samples` samples only, for a try.
        stub_samples : int
            See `stub_test`.
        always_write_timestamps : bool
            Write a timestamp for every sample even if a rate says the same.

        Raises
        ------
        MetadataError
            If `metadata` or options cannot be used.
        UnsupportedFormatError
            If pages hold counts only.
        """
        self._check_options(histograms, bin_factor, samples_per_histogram, motion_corrected)
        if stub_test and stub_samples < 1:
            raise MetadataError(f"stub_samples is {stub_samples}; expected at least 1")
        extractor = self.imaging_extractor
        if stub_test:
            extractor = extractor.slice_samples(0, min(stub_samples, extractor.get_num_samples()))
        if extractor.get_num_samples() == 0:
            raise MetadataError(f"{extractor.file_path}: none of the volumes is complete, so there is nothing to write")
        metadata = self._complete(self.get_metadata() if metadata is None else metadata)
        writer = _Writer(self, nwbfile, metadata, extractor, motion_corrected, always_write_timestamps)
        if photons:
            self._add_alignment(nwbfile, writer.add_photons(), extractor)
        if histograms in ("field", "roi"):
            writer.add_histograms(histograms, bin_factor)
        elif histograms == "pixel":
            writer.add_pixel_histograms(bin_factor, samples_per_histogram)
        if lifetime:
            writer.add_lifetimes(offset_s)
        if phasor:
            writer.add_phasors(harmonic)
        add_header(nwbfile, extractor.recording)

    def _check_options(
        self,
        histograms: str | None,
        bin_factor: int,
        samples_per_histogram: int | None,
        motion_corrected: bool,
    ) -> None:
        """Refuse options that cannot be, before anything is added."""
        if histograms not in (None, "field", "roi", "pixel"):
            raise MetadataError(f"histograms is {histograms!r}; expected 'field', 'roi' or 'pixel'")
        if not 1 <= bin_factor <= self.reader.num_bins:
            raise MetadataError(f"bin_factor is {bin_factor}; expected 1 to {self.reader.num_bins}")
        if samples_per_histogram is not None and (samples_per_histogram < 1 or histograms != "pixel"):
            raise MetadataError(
                f"samples_per_histogram is {samples_per_histogram} with histograms={histograms!r}; expected at least "
                "1, with 'pixel'"
            )
        if histograms == "roi" and self.masks is None:
            raise MetadataError("histograms is 'roi', but there are no regions; set the interface's masks")
        if motion_corrected and not self.reader.registration_dict:
            raise MetadataError("motion_corrected is True, but reader.registration_dict is empty; fill it with shifts")


class _Writer:
    """Adds one product after the other; all share settings, plane and times."""

    def __init__(
        self,
        interface: FlimInterface,
        nwbfile: NWBFile,
        metadata: dict[str, Any],
        extractor: ScanImageImagingExtractor,
        motion_corrected: bool,
        always_write_timestamps: bool,
    ) -> None:
        recording, self.reader = extractor.recording, interface.reader
        n_planes = extractor.get_num_planes()
        pages = np.stack([extractor.get_original_frame_indices(plane) for plane in range(n_planes)], axis=1)
        shifts = self.reader.registration_dict if motion_corrected else {}
        self.nwbfile, self.extractor, self.masks = nwbfile, extractor, interface.masks
        self.samples = Samples(self.reader, pages, dict(shifts))
        self.suffix = interface.recording_name + name_suffix(recording, extractor.channel_name, extractor.plane_index)
        entry = metadata["Ophys"]["MicroscopySeries"][interface.metadata_key]
        plane_key = entry.get("imaging_plane_metadata_key", interface.metadata_key)
        self.plane: ImagingPlane = add_imaging_plane(nwbfile, metadata, plane_key)
        self.counts: TimeSeries | None = nwbfile.acquisition.get(entry["name"])
        self.times = share_timestamps(nwbfile, time_fields(extractor, always_write_timestamps))
        self.common = {
            "imaging_plane": self.plane,
            "tcspc_settings": self._settings(
                interface.recording_name + name_suffix(recording, extractor.channel_name, None)
            ),
            "motion_corrected": motion_corrected,
        }
        self.of = f"Channel {extractor.channel_name!r}" + (
            "" if extractor.plane_index is None else f", plane {extractor.plane_index}"
        )
        self.motion = "Motion was corrected." if motion_corrected else "Motion was not corrected."

    def _settings(self, suffix: str) -> Any:
        """Add settings of this channel, or return those that are there."""
        from ndx_flim import TCSPCSettings

        name = f"TCSPCSettings{suffix}"
        if name not in self.nwbfile.lab_meta_data:
            self.nwbfile.add_lab_meta_data(
                TCSPCSettings(
                    name=name,
                    description=f"Photon timing of channel {self.extractor.channel_name!r}, ScanImage-FLIM",
                    num_bins=self.reader.num_bins,
                    repetition_rate=self.reader.repetition_rate_hz,
                    tcspc_resolution=self.reader.tcspc_resolution_s,
                    tcspc_device=self.plane.device,
                )
            )
        return self.nwbfile.lab_meta_data[name]

    @property
    def module(self) -> Any:
        """The processing module."""
        return get_module(self.nwbfile, name="ophys", description="optical physiology processed data")

    def _edges(self, bin_factor: int) -> NDArray[np.float64]:
        """Return the edges of histogram bins in seconds; the last may be narrower."""
        num_bins = self.reader.num_bins
        edges = np.minimum(np.arange(0, num_bins + bin_factor, bin_factor), num_bins)
        return edges * self.reader.tcspc_resolution_s

    def add_photons(self) -> TimeSeries:
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
        self.times = share_timestamps(self.nwbfile, self.times)
        return series

    def add_histograms(self, of: Histograms, bin_factor: int) -> None:
        """Add decays of the field or of regions."""
        from ndx_flim import PhotonHistogramSeries

        masks = None if of == "field" else self._checked_masks()
        extra = {} if masks is None else {"rois": self._regions(masks)}
        self.module.add(
            PhotonHistogramSeries(
                name=f"PhotonHistogramSeries{'Field' if of == 'field' else 'Roi'}{self.suffix}",
                description=f"{self.of}: decay of {'the field' if of == 'field' else 'regions'}. {self.motion}",
                data=self.samples.histograms(bin_factor, masks),
                bin_edges=self._edges(bin_factor),
                samples_per_histogram=1,
                **self.times,
                **self.common,
                **extra,
            )
        )

    def _checked_masks(self) -> NDArray:
        """Return the masks, which must fit the frames that are written."""
        masks, (rows, columns) = np.asarray(self.masks), self.reader.im_params.shape
        volume = (self.reader.recording.n_planes, rows, columns)
        if masks.ndim not in (3, 4) or not len(masks) or masks.shape[1:] not in ((rows, columns), volume):
            raise MetadataError(
                f"masks have shape {masks.shape}; expected (masks, {rows}, {columns}), or {volume} each"
            )
        return masks if masks.dtype == bool else masks.astype(np.float64)

    def _regions(self, masks: NDArray) -> DynamicTableRegion:
        """Add the masks as a PlaneSegmentation, and return its rows."""
        segmentation = self.module.data_interfaces.get("ImageSegmentation")
        if segmentation is None:
            segmentation = ImageSegmentation(name="ImageSegmentation")
            self.module.add(segmentation)
        name = f"PlaneSegmentation{self.suffix}"
        table = segmentation.create_plane_segmentation(
            name=name, description=f"Regions of PhotonHistogramSeriesRoi{self.suffix}", imaging_plane=self.plane
        )
        for mask in masks:
            table.add_roi(image_mask=np.moveaxis(mask, (-2, -1), (1, 0)) if mask.ndim == 2 else mask.transpose(2, 1, 0))
        rows = list(range(len(masks)))
        return table.create_roi_table_region(description="all regions", region=rows, name="rois")

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

        self.module.add(
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

        self.module.add(
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

    def _intensity(self) -> dict[str, TimeSeries]:
        """Return a link to photon counts of the same pixels and times, if they are in the file."""
        return {} if self.counts is None else {"intensity": self.counts}


def _first_sample(data: Any) -> Any:
    """Return an iterator over the only sample of another, without its axis of time."""
    from scanimage_nwb.nwb.flim_data import PieceIterator

    return PieceIterator(
        lambda selection: data._get_data((slice(0, 1), *selection))[0],
        data.maxshape[1:],
        data.dtype,
        data.chunk_shape[1:],
        reads_on_any_thread=False,
    )
