"""neuroconv data interface: masks and their traces."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from neuroconv.datainterfaces.ophys.basesegmentationextractorinterface import BaseSegmentationExtractorInterface
from neuroconv.utils import DeepDict
from numpy.typing import NDArray
from pydantic import DirectoryPath, FilePath
from pynwb import NWBFile
from pynwb.ophys import TwoPhotonSeries

from scanimage_nwb.errors import MetadataError, RoiError
from scanimage_nwb.extractors.roi_traces import RoiTracesExtractor
from scanimage_nwb.nwb.roi_tables import MaskType, add_images, add_plane_segmentation, add_traces
from scanimage_nwb.nwb.series import add_imaging_plane, share_timestamps
from scanimage_nwb.nwb.user_metadata import merge_metadata
from scanimage_nwb.nwb.whole_file_writing import WholeFileWriting
from scanimage_nwb.roi_traces import Segmentation
from scanimage_nwb.time_axis import regular_rate

__all__ = ["RoiTracesInterface"]

_SERIES = {
    "raw": ("RoiResponseSeries", "Fluorescence of each mask", "n.a."),
    "dff": ("RoiResponseSeries", "Change of fluorescence relative to its baseline, (F - F0) / F0", "n.a."),
    "neuropil": ("Neuropil", "Fluorescence around each mask", "n.a."),
    "deconvolved": ("Deconvolved", "Deconvolved activity of each mask", "n.a."),
    "denoised": ("Denoised", "Denoised fluorescence of each mask", "n.a."),
    "lifetime": (
        "Lifetime",
        "Empirical fluorescence lifetime of each mask: mean delay of its photons since the laser pulse, biased low by "
        "photons later than the laser's period; NaN without photons",
        "seconds",
    ),
}
_IMAGES = {"mean": "Mean of each pixel over time", "correlation": "Correlation of each pixel with its neighbours"}


class RoiTracesInterface(WholeFileWriting, BaseSegmentationExtractorInterface):
    """Masks and traces of one plane or volume: of suite2p, CaImAn, ImageJ, or masks of your own.

    Beside an imaging interface in a converter, traces share the times of its series.

    Parameters
    ----------
    file_path : FilePath or DirectoryPath
        See `scanimage_nwb.roi_traces.read_segmentations`.
    plane_index : int, optional
        Plane to take, where a program treated several by themselves.
    shape : tuple of int, optional
        Rows and columns; needed of ImageJ ROIs and polygons.
    sampling_frequency : float, optional
        Rate of samples in Hz, in place of what the program was told; not used beside an imaging interface.
    suffix : str
        Goes behind every name, such as ``"Plane1"``, so that several lie side by side.
    metadata_key : str, optional
        Key of this interface's entries in ``Ophys``.
    verbose : bool
        Show a progress bar while data are written.
    """

    display_name = "ROI Traces"
    associated_suffixes = (".npy", ".npz", ".hdf5", ".h5", ".tif", ".tiff", ".zip", ".roi", ".json")
    info = "Interface for masks and their traces (suite2p, CaImAn, ImageJ, label images)."
    _segmentation: Segmentation | None = None

    def __init__(
        self,
        file_path: FilePath | DirectoryPath | None = None,
        *,
        plane_index: int | None = None,
        shape: tuple[int, ...] | None = None,
        sampling_frequency: float | None = None,
        suffix: str = "",
        metadata_key: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.suffix = suffix
        super().__init__(
            verbose=verbose,
            metadata_key=metadata_key or f"roi_traces{'_' if suffix else ''}{suffix.lower()}",
            file_path=file_path,
            plane_index=plane_index,
            shape=shape,
            sampling_frequency=sampling_frequency,
        )
        self.show_progress = verbose

    @classmethod
    def from_segmentation(cls, segmentation: Segmentation, **parameters: Any) -> "RoiTracesInterface":
        """Make an interface of masks and traces that are in memory.

        Parameters
        ----------
        segmentation : Segmentation
            Masks and traces.
        **parameters
            As for the class.

        Returns
        -------
        RoiTracesInterface
        """
        interface = cls.__new__(cls)
        interface._segmentation = segmentation
        interface.__init__(**parameters)  # type: ignore[misc]
        return interface

    @classmethod
    def get_extractor_class(cls) -> type[RoiTracesExtractor]:
        """Return the extractor class that reads the data."""
        return RoiTracesExtractor

    def _initialize_extractor(self, interface_kwargs: dict[str, Any]) -> RoiTracesExtractor:
        rate = interface_kwargs.get("sampling_frequency")
        if self._segmentation is not None:
            return RoiTracesExtractor.from_segmentation(self._segmentation, sampling_frequency=rate)
        if interface_kwargs.get("file_path") is None:
            raise ValueError("file_path is missing; expected a suite2p folder, CaImAn's HDF5, or a file of masks")
        return RoiTracesExtractor(
            interface_kwargs["file_path"],
            interface_kwargs.get("plane_index"),
            interface_kwargs.get("shape"),
            rate,
        )

    @property
    def segmentation(self) -> Segmentation:
        """Masks and traces."""
        return self.segmentation_extractor.segmentation

    def get_metadata(self, *, use_new_metadata_format: bool = True) -> DeepDict:
        """Return names and descriptions of what is written.

        Parameters
        ----------
        use_new_metadata_format : bool
            neuroconv's; entries are always keyed.

        Returns
        -------
        DeepDict
        """
        metadata = super().get_metadata(use_new_metadata_format=True)
        own, key = self.segmentation, self.metadata_key
        origin = f" by {own.program}" if own.program else ""
        plane = "" if own.plane is None else f" Plane {own.plane} of the recording (from 0)."
        found: dict[str, dict[str, Any]] = {
            "PlaneSegmentations": {
                key: {
                    "name": f"PlaneSegmentation{self.suffix}",
                    "description": f"Masks drawn{origin}.{plane}",
                }
            }
        }
        if own.traces:
            found["RoiResponses"] = {key: {kind: self._about_trace(kind) for kind in own.traces}}
        if own.images:
            mark = f"_{self.suffix.lower()}" if self.suffix else ""
            found["SegmentationImages"] = {
                key: {
                    name: {
                        "name": f"{name}{mark}",
                        "description": _IMAGES.get(name, f"{name}, as {own.program} gives it"),
                    }
                    for name in own.images
                }
            }
        return DeepDict(merge_metadata(metadata, {"Ophys": found}))

    def _about_trace(self, kind: str) -> dict[str, str]:
        """Return name, description and unit of a kind of traces; channels beyond the first are named."""
        base, _, channel = kind.partition("_channel")
        name, description, unit = _SERIES[base]
        of_channel = f", channel {channel}" if channel else ""
        suffix = f"Channel{channel}{self.suffix}" if channel else self.suffix
        return {
            "name": f"{name}{suffix}",
            "description": f"{description}{of_channel}.",
            "unit": self.segmentation.units.get(kind, unit),
        }

    def get_original_timestamps(self) -> NDArray[np.float64]:
        """Return times counted from the rate, whatever times were set since.

        Returns
        -------
        ndarray of float64, shape (samples,)
            Seconds.
        """
        extractor = self.segmentation_extractor
        return np.arange(extractor.get_num_samples()) / self._rate()

    def get_timestamps(self) -> NDArray[np.float64]:
        """Return the times that were set, else those counted from the rate, in seconds."""
        extractor = self.segmentation_extractor
        return extractor.get_timestamps() if extractor.has_time_vector() else self.get_original_timestamps()

    def _rate(self) -> float:
        rate = self.segmentation_extractor.get_sampling_frequency()
        if rate is None:
            raise MetadataError(
                f"{self.segmentation.path or 'the segmentation'} does not say how fast its samples were taken; give "
                "sampling_frequency, or set_aligned_timestamps"
            )
        return float(rate)

    def add_to_nwbfile(
        self,
        nwbfile: NWBFile,
        metadata: dict | None = None,
        *,
        stub_test: bool = False,
        stub_samples: int = 100,
        mask_type: MaskType = "image",
        imaging_series: str | None = None,
    ) -> None:
        """Add the table of masks, their traces and summary images.

        Parameters
        ----------
        nwbfile : NWBFile
            The file in memory.
        metadata : dict, optional
            By default what `get_metadata` returns. Not changed.
        stub_test : bool
            Write the first `stub_samples` samples only, for a try.
        stub_samples : int
            See `stub_test`.
        mask_type : {'image', 'pixel', 'voxel'}
            How masks are written. roiextractors reads images; masks of a volume get voxels, and images as seen from
            above.
        imaging_series : str, optional
            TwoPhotonSeries whose plane and times these are; by default the first of the file that has as many samples.

        Raises
        ------
        RoiError
            If the series has another number of samples, or frames of another shape.
        MetadataError
            If metadata cannot be used.
        """
        metadata = merge_metadata(self.get_metadata(), metadata or {})
        own, key = self.segmentation, self.metadata_key
        stop = stub_samples if stub_test else None
        traces = {kind: trace[:stop] for kind, trace in own.traces.items()}
        n_samples = min(own.n_samples, stop) if stop is not None else own.n_samples
        series = _find_series(nwbfile, own, n_samples, imaging_series)
        plane = series.imaging_plane if series else _imaging_plane(nwbfile, metadata, key)
        about = dict(metadata["Ophys"]["PlaneSegmentations"][key])
        about.pop("imaging_plane_metadata_key", None)
        table = add_plane_segmentation(nwbfile, own, plane, mask_type=mask_type, **about)
        if traces:
            times = self._times(nwbfile, series, n_samples)
            add_traces(nwbfile, table, traces, metadata["Ophys"]["RoiResponses"][key], times)
        add_images(nwbfile, own.images, metadata["Ophys"].get("SegmentationImages", {}).get(key, {}))

    def _times(self, nwbfile: NWBFile, series: TwoPhotonSeries | None, n_samples: int) -> dict[str, Any]:
        """Return times: those that were set, else those of the series, else those of the rate."""
        if self.segmentation_extractor.has_time_vector():
            times = self.get_timestamps()[:n_samples]
            rate = regular_rate(times)
            if rate is None:
                return share_timestamps(nwbfile, {"timestamps": times})
            return {"rate": rate, "starting_time": float(times[0])}
        if series is None:
            return {"rate": self._rate(), "starting_time": 0.0}
        if series.rate is not None:
            return {"rate": series.rate, "starting_time": series.starting_time}
        return {"timestamps": series}


def _find_series(
    nwbfile: NWBFile, segmentation: Segmentation, n_samples: int, name: str | None
) -> TwoPhotonSeries | None:
    """Return the imaging series that traces belong to; None in a file that has none."""
    found = [item for item in nwbfile.acquisition.values() if isinstance(item, TwoPhotonSeries)]
    if name is not None:
        found = [item for item in found if item.name == name]
        if not found:
            raise MetadataError(f"there is no TwoPhotonSeries {name!r}; the file has {list(nwbfile.acquisition)}")
    if not found:
        return None
    fitting = [item for item in found if not segmentation.traces or _data_shape(item)[0] == n_samples]
    if not fitting:
        series = found[0]
        segmentation.check_against(series.name, _data_shape(series)[0], segmentation.rois.shape)
        raise RoiError(f"{segmentation.path} has {n_samples} samples; {series.name} has {_data_shape(series)[0]}")
    columns, rows = _data_shape(fitting[0])[1:3]
    if (rows, columns) != segmentation.rois.shape[1:]:
        segmentation.check_against(fitting[0].name, n_samples, (segmentation.rois.shape[0], rows, columns))
    return fitting[0]


def _data_shape(series: TwoPhotonSeries) -> tuple[int, ...]:
    """Return the shape of a series whose data may be an iterator."""
    data = getattr(series.data, "data", series.data)
    return tuple(getattr(data, "maxshape", None) or np.shape(data))


def _imaging_plane(nwbfile: NWBFile, metadata: Mapping[str, Any], key: str) -> Any:
    """Return the plane that the metadata name, else the only one of the file, else one of which nothing is known."""
    entry = metadata["Ophys"]["PlaneSegmentations"][key]
    plane_key = entry.get("imaging_plane_metadata_key")
    if plane_key is not None:
        return add_imaging_plane(nwbfile, metadata, plane_key)
    if len(nwbfile.imaging_planes) == 1:
        return next(iter(nwbfile.imaging_planes.values()))
    channel = {"name": "OpticalChannel", "description": "Nothing is known of the detector"}
    unknown = {"name": "ImagingPlane", "description": "Nothing is known of the plane", "optical_channel": [channel]}
    return add_imaging_plane(nwbfile, {"Ophys": {"ImagingPlanes": {key: unknown}}}, key)
