"""neuroconv data interface: photons of one channel of a .siff recording, and what follows from them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

from numpy.typing import NDArray
from pydantic import FilePath
from pynwb import NWBFile

from scanimage_nwb.errors import MetadataError
from scanimage_nwb.extractors import ScanImageImagingExtractor
from scanimage_nwb.flim import Irf, MeasuredIrf
from scanimage_nwb.flim.fit_plan import MAX_COMPONENTS
from scanimage_nwb.nwb.flim_writer import FlimWriter, Regions
from scanimage_nwb.nwb.provenance import add_header
from scanimage_nwb.nwb.series import add_frame_numbers
from scanimage_nwb.nwb.siff_interface import SiffImagingInterface
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["FLIM_PRODUCTS", "FlimInterface", "FlimProduct", "options_of"]

Histograms = Literal["field", "roi", "pixel"]


FlimProduct = Literal["photons", "histograms", "lifetime", "phasor", "fit"]
"""What can be written of a recording's photons."""
FLIM_PRODUCTS: tuple[FlimProduct, ...] = get_args(FlimProduct)
_USUAL_COMPONENTS = 2


def options_of(products: Iterable[str]) -> dict[str, Any]:
    """Return the conversion options of `FlimInterface` that write some products.

    Parameters
    ----------
    products : iterable of {'photons', 'histograms', 'lifetime', 'phasor', 'fit'}
        Histograms are those of the field, and fits have two exponentials.

    Returns
    -------
    dict

    Raises
    ------
    MetadataError
        If there is no such product.

    Examples
    --------
    >>> options_of(["photons", "fit"])
    {'photons': True, 'lifetime': False, 'phasor': False, 'histograms': None, 'fit': 2}
    """
    asked = set(products)
    unknown = sorted(asked - set(FLIM_PRODUCTS))
    if unknown:
        raise MetadataError(f"flim: there is no {unknown[0]!r}; expected some of {', '.join(FLIM_PRODUCTS)}")
    return {
        **{name: name in asked for name in ("photons", "lifetime", "phasor")},
        "histograms": "field" if "histograms" in asked else None,
        "fit": _USUAL_COMPONENTS if "fit" in asked else None,
    }


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
        """Regions for ``histograms="roi"``, `roi_lifetime` and `fit`: boolean, or weights (not for `fit`); shape
        (masks, [planes,] rows, columns)."""
        self.find_regions: Callable[[], tuple[Regions, ...]] = tuple
        """Gives regions like `masks`, whose table is in the file already, as converters set it; asked only for what is
        made of regions, for they take much memory."""
        self.irf: Irf | MeasuredIrf | None = None
        """Response of the instrument for `fit`; by default a Gaussian is fitted, starting from the rising edge."""

    def add_to_nwbfile(  # type: ignore[override]
        self,
        nwbfile: NWBFile,
        metadata: dict | None = None,
        *,
        photons: bool = True,
        histograms: Histograms | list[Histograms] | None = None,
        bin_factor: int = 1,
        samples_per_histogram: int | None = None,
        lifetime: bool = False,
        roi_lifetime: bool | None = None,
        offset_s: float = 0.0,
        phasor: bool = False,
        harmonic: int = 1,
        fit: int | None = None,
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
        histograms : {'field', 'roi', 'pixel'} or list of them, optional
            Decays of the whole field or of `masks` for each sample; or of every pixel, added up. ``"field"`` alone
            stands for both if masks are in the file.
        bin_factor : int
            So many delay bins of the histograms are added up; the last may hold fewer.
        samples_per_histogram : int, optional
            With ``histograms="pixel"``: samples that are added up; by default all, into one PhotonHistogram.
        lifetime : bool
            Mean delay of every pixel of every sample, in seconds. It is biased low, since decays wrap around.
        roi_lifetime : bool, optional
            Mean delay, and photons, of each of `masks` over time: a RoiResponseSeries in seconds, and one in photons.
            By default, with `lifetime`, of masks in the file that have no such traces yet.
        offset_s : float
            Delay of the instrument's response in seconds, taken off the lifetimes.
        phasor : bool
            Phasor of every pixel of every sample, not calibrated.
        harmonic : int
            Of the phasor.
        fit : int, optional
            Fit so many exponentials, one to four: to the decay of the field of each plane and, with lifetimes that
            all share, to that of each of `masks`. The photons are read at once, not when the file is written.
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
        options = {"photons": photons, "lifetime": lifetime, "roi_lifetime": bool(roi_lifetime), "phasor": phasor}
        kinds = [histograms] if isinstance(histograms, str) else list(histograms or [])
        of_field = kinds == ["field"]
        regions: tuple[Regions, ...] = () if self.masks is None else (Regions(self.masks),)
        if of_field or "roi" in kinds or fit is not None or roi_lifetime or (lifetime and roi_lifetime is None):
            in_file = self.find_regions()
            kinds += ["roi"] if of_field and in_file else []
            regions += in_file
        self._check_options(kinds, bin_factor, samples_per_histogram, motion_corrected)
        self._check_products(kinds, fit, regions, **options)
        if stub_test and stub_samples < 1:
            raise MetadataError(f"stub_samples is {stub_samples}; expected at least 1")
        extractor = self.imaging_extractor
        if stub_test:
            extractor = extractor.slice_samples(0, min(stub_samples, extractor.get_num_samples()))
        if extractor.get_num_samples() == 0:
            raise MetadataError(f"{extractor.file_path}: none of the volumes is complete, so there is nothing to write")
        writer = FlimWriter(
            nwbfile,
            self._complete(self.get_metadata() if metadata is None else metadata),
            self.metadata_key,
            extractor,
            self.reader,
            recording_name=self.recording_name,
            regions=regions,
            irf=self.irf,
            motion_corrected=motion_corrected,
            always_write_timestamps=always_write_timestamps,
        )
        if photons:
            writer.add_photons()
        for kind in kinds:
            if kind == "pixel":
                writer.add_pixel_histograms(bin_factor, samples_per_histogram)
            else:
                writer.add_histograms(kind, bin_factor)
        if lifetime:
            writer.add_lifetimes(offset_s)
        traced = writer.regions if roi_lifetime else []
        if roi_lifetime is None and lifetime:
            there = [own for own in writer.regions if own.table is not None]
            traced = [own for own in there if offset_s or not own.has_lifetimes]
        if traced:
            writer.add_roi_lifetimes(offset_s, traced)
        if phasor:
            writer.add_phasors(harmonic)
        if fit is not None:
            writer.add_fits(fit)
        self._add_origin(nwbfile, writer, extractor)

    def _add_origin(self, nwbfile: NWBFile, writer: FlimWriter, extractor: ScanImageImagingExtractor) -> None:
        """Add header, alignment and events; frame numbers too, if neither photons nor their counts have any."""
        add_header(nwbfile, extractor.recording)
        series = writer.first_series
        if series is None:
            self._add_recorded_events(nwbfile, extractor)
            return
        if writer.counts is None:
            add_frame_numbers(nwbfile, series, extractor)
        self._add_alignment(nwbfile, series, extractor)

    def _check_options(
        self,
        histograms: Sequence[str],
        bin_factor: int,
        samples_per_histogram: int | None,
        motion_corrected: bool,
    ) -> None:
        """Refuse options that cannot be, before anything is added."""
        if not set(histograms) <= set(get_args(Histograms)) or len(set(histograms)) < len(histograms):
            raise MetadataError(f"histograms is {histograms!r}; expected some of 'field', 'roi' and 'pixel', once each")
        if not 1 <= bin_factor <= self.reader.num_bins:
            raise MetadataError(f"bin_factor is {bin_factor}; expected 1 to {self.reader.num_bins}")
        if samples_per_histogram is not None and (samples_per_histogram < 1 or "pixel" not in histograms):
            raise MetadataError(
                f"samples_per_histogram is {samples_per_histogram} with histograms={histograms!r}; expected at least "
                "1, with 'pixel'"
            )
        if motion_corrected and not self.reader.registration_dict:
            raise MetadataError("motion_corrected is True, but reader.registration_dict is empty; fill it with shifts")

    @staticmethod
    def _check_products(histograms: Sequence[str], fit: int | None, regions: Sequence[Regions], **others: bool) -> None:
        """Refuse to write nothing, and what cannot be computed."""
        if not histograms and fit is None and not any(others.values()):
            raise MetadataError(f"nothing is to be written; set histograms, fit, {', '.join(others)}, or several")
        if fit is not None and not 1 <= fit <= MAX_COMPONENTS:
            raise MetadataError(f"fit is {fit}; expected the number of exponentials, 1 to {MAX_COMPONENTS}, or None")
        if "roi" in histograms and not regions:
            raise MetadataError("histograms is 'roi', but there are no regions; set the interface's masks")
        if others["roi_lifetime"] and not regions:
            raise MetadataError("roi_lifetime is True, but there are no regions; set the interface's masks")
