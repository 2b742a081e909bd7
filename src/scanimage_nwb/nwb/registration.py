"""Shifts of a registration in NWB: by themselves, or with the corrected movie."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from neuroconv import BaseDataInterface
from neuroconv.tools.nwb_helpers import get_module
from neuroconv.tools.roiextractors.imagingextractordatachunkiterator import ImagingExtractorDataChunkIterator
from numpy.typing import NDArray
from pydantic import DirectoryPath, FilePath
from pynwb import NWBFile, ProcessingModule, TimeSeries
from pynwb.base import Images
from pynwb.image import GrayscaleImage
from pynwb.ophys import CorrectedImageStack, MotionCorrection, TwoPhotonSeries
from roiextractors import ImagingExtractor

from scanimage_nwb.errors import MetadataError, TimeAxisError
from scanimage_nwb.nwb.aligned_times import AlignedTimes
from scanimage_nwb.recording import Recording, RecordingAlignment, open_recording
from scanimage_nwb.registration import FLAGS, RegistrationInfo, read_registration

__all__ = ["RegistrationInterface", "add_registration"]

_SAME_TIME_S = 2e-6
"""Times this close to those of the series are the same: a rate predicts them to within a microsecond."""
_SIGN = (
    "Columns: dy (rows, down), dx (columns, right). Positive moves the frame's content towards larger row and column "
    "numbers; it is what numpy.roll applies to a page (rows, columns) to align it with the reference."
)


class RegistrationInterface(AlignedTimes):
    """Rigid motion of a recording, written beside its series, whose times it shares.

    Parameters
    ----------
    file_path : FilePath or DirectoryPath
        What `scanimage-nwb register` wrote, or another program's shifts (see
        `scanimage_nwb.registration.read_registration`).
    recording_path : FilePath, optional
        Any file of the recording: says when each frame was taken. Needed only to ask for times, or to set them.
    verbose : bool
        Not used.
    """

    display_name = "Motion registration"
    associated_suffixes = (".h5", ".npy", ".hdf5")
    info = "Interface for rigid motion shifts."

    _recording: Recording | None = None

    def __init__(
        self,
        file_path: FilePath | DirectoryPath,
        *,
        recording_path: FilePath | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(verbose=verbose, file_path=file_path, recording_path=recording_path)
        self.registration = read_registration(Path(file_path))
        self._recording = open_recording(recording_path) if recording_path is not None else None

    @classmethod
    def from_info(cls, info: RegistrationInfo, recording: Recording | None = None) -> "RegistrationInterface":
        """Make an interface of a registration in memory.

        Parameters
        ----------
        info : RegistrationInfo
            Shifts.
        recording : Recording, optional
            The recording, for the times of its frames.

        Returns
        -------
        RegistrationInterface
        """
        interface = cls.__new__(cls)
        BaseDataInterface.__init__(interface)
        interface.registration, interface._recording = info, recording
        return interface

    @property
    def recording(self) -> Recording:
        """The recording whose frames were registered."""
        if self._recording is None:
            raise TimeAxisError(
                "the shifts do not say when their frames were taken; give recording_path, or align the recording's own "
                "interface only: shifts beside it share its times"
            )
        return self._recording

    def get_original_timestamps(self) -> NDArray[np.float64]:
        """Return when each registered frame was taken, by the recording's own clock.

        Returns
        -------
        ndarray of float64, shape (frames,)
            Seconds.

        Raises
        ------
        TimeAxisError
            If no recording was given, or it is another one, or has no timestamps.
        """
        times, pages = self.recording.timestamp_s, self.registration.pages.max(axis=1, initial=0)
        if times is None or pages.max(initial=0) >= len(times):
            raise TimeAxisError(
                f"{self.recording.paths[0]} does not say when the registered frames were taken: it has "
                f"{'no timestamps' if times is None else f'{len(times)} pages, not {pages.max() + 1}'}"
            )
        return times[pages]

    def _on_pulses(self, alignment: RecordingAlignment) -> NDArray[np.float64]:
        return alignment.page_times_s[self.registration.pages.max(axis=1, initial=0)]

    def add_to_nwbfile(
        self,
        nwbfile: NWBFile,
        metadata: Mapping[str, Any] | None = None,
        *,
        series_names: list[str] | None = None,
        write_corrected: bool = False,
    ) -> None:
        """Add shifts, references and quality; with `write_corrected` also the movie that they correct.

        Parameters
        ----------
        nwbfile : NWBFile
            The file in memory; it must hold the series of the recording, whole.
        metadata : mapping, optional
            Not used.
        series_names : list of str, optional
            Series that the shifts belong to; by default every TwoPhotonSeries of the acquisition.
        write_corrected : bool
            Write the corrected movie and a MotionCorrection too, a buffer at a time as the movie itself.

        Raises
        ------
        MetadataError
            If a series is not there, or has other frames.
        """
        add_registration(
            nwbfile,
            self.registration,
            series_names=series_names,
            write_corrected=write_corrected,
            frame_times_s=self._aligned_s,
        )


def add_registration(
    nwbfile: NWBFile,
    info: RegistrationInfo,
    *,
    series_names: list[str] | None = None,
    write_corrected: bool = False,
    recording_name: str = "",
    frame_times_s: NDArray[np.float64] | None = None,
) -> None:
    """Add a registration to a file in memory; parameters as for `RegistrationInterface.add_to_nwbfile`.

    Parameters
    ----------
    nwbfile : NWBFile
        The file.
    info : RegistrationInfo
        Shifts.
    series_names, write_corrected
        As there.
    recording_name : str
        What tells the recording from others in the same file, in the names of references and corrected movies.
    frame_times_s : ndarray of float64, shape (frames,), optional
        Times of the registered frames, if others than those of the series were set.

    Raises
    ------
    MetadataError
        As there.
    """
    module = get_module(nwbfile, name="ophys", description="optical physiology processed data")
    stacks = []
    for series in _series(nwbfile, series_names):
        frames = _frames(nwbfile, series, info)
        for column in range(frames.shape[1]):
            suffix = f"Plane{column}" if frames.shape[1] > 1 else ""
            times = _times(series, None if frame_times_s is None else frame_times_s[frames[:, -1]])
            _add_plane(module, series, info, frames[:, column], suffix, times)
        if write_corrected:
            stacks.append(_corrected(series, info, frames))
    references = f"MotionReferences{recording_name}"
    if len(info.reference_frames) and references not in module.data_interfaces:
        images = [
            GrayscaleImage(name=f"reference_plane{plane}", data=np.ascontiguousarray(image.T))
            for plane, image in enumerate(info.reference_frames)
        ]
        about = f"Reference of each plane for registration by {info.method}, transposed to (width, height)."
        module.add(Images(name=references, description=about, images=images))
    if stacks:
        module.add(MotionCorrection(name=f"MotionCorrection{recording_name}", corrected_image_stacks=stacks))


def _add_plane(
    module: ProcessingModule,
    series: TwoPhotonSeries,
    info: RegistrationInfo,
    frames: NDArray[np.int64],
    suffix: str,
    times: dict[str, Any],
) -> None:
    """Add shifts and quality of one plane of a series."""
    of_plane = f", plane {suffix[5:]}" if suffix else ""
    about = f"Registration of {series.name}{of_plane} by {info.method}"
    module.add(
        TimeSeries(
            name=f"{series.name}MotionShifts{suffix}",
            data=info.shifts[frames],
            unit="pixels",
            description=f"{about}: rigid shift of every sample. {_SIGN}",
            **times,
        )
    )
    meanings = ", ".join(f"{rank} {name}" for rank, name in enumerate(FLAGS))
    module.add(
        TimeSeries(
            name=f"{series.name}MotionQuality{suffix}",
            data=np.column_stack([info.error_px[frames], info.match[frames], info.flag[frames]]),
            unit="n.a.",
            description=f"{about}. Columns: standard error of dy and of dx in pixels; match, 1 for a frame like the "
            f"reference, 0 for one that shows nothing of it; flag ({meanings}). NaN: not known.",
            **times,
        )
    )


def _series(nwbfile: NWBFile, names: list[str] | None) -> list[TwoPhotonSeries]:
    """Return the series that are meant."""
    found = {name: item for name, item in nwbfile.acquisition.items() if isinstance(item, TwoPhotonSeries)}
    missing = [name for name in names or [] if name not in found]
    if missing or not found:
        raise MetadataError(
            f"series {', '.join(missing) or 'TwoPhotonSeries'} is not in the file; it holds "
            f"{', '.join(found) or 'none'}: add the recording before its registration"
        )
    return [found[name] for name in names] if names else list(found.values())


def _frames(nwbfile: NWBFile, series: TwoPhotonSeries, info: RegistrationInfo) -> NDArray[np.int64]:
    """Return which of the registered frames make every sample of a series, shape (samples, planes)."""
    module = nwbfile.processing.get("ophys")
    name = f"{series.name}OriginalFrameIndices"
    if module is None or name not in module.data_interfaces:
        raise MetadataError(f"{series.name} has no {name}, which says which pages its samples are; write it with ours")
    pages = np.asarray(module[name].data[:], np.int64)
    rank_of_page = np.full(max(int(info.pages.max(initial=0)), int(pages.max(initial=0))) + 1, -1, np.int64)
    rank, channel = np.nonzero(info.pages >= 0)
    rank_of_page[info.pages[rank, channel]] = rank
    found = rank_of_page[pages]
    n_planes = series.dimension[2] if len(series.dimension) > 2 else 1
    if n_planes > 1:
        by_place = np.full((int(info.volume.max(initial=0)) + 1, max(int(info.plane.max(initial=0)) + 1, n_planes)), -1)
        by_place[info.volume, info.plane] = np.arange(len(info.volume))
        found = np.where((found >= 0)[:, np.newaxis], by_place[info.volume[found], :n_planes], -1)
    found = found.reshape(len(pages), n_planes)
    lost = np.flatnonzero((found < 0).any(axis=1))
    if lost.size:
        raise MetadataError(
            f"the registration has no shift for sample {lost[0]} of {series.name} (page {pages[lost[0]]}; "
            f"{lost.size} such samples): register this recording, all of it"
        )
    return found


def _times(series: TwoPhotonSeries, own_s: NDArray[np.float64] | None = None) -> dict[str, Any]:
    """Return the times of a series, shared, unless others were set."""
    if own_s is not None:
        known = series.timestamps
        if series.rate is not None:
            known = series.starting_time + np.arange(len(own_s)) / series.rate
        if not np.allclose(known, own_s, rtol=0, atol=_SAME_TIME_S):
            return {"timestamps": own_s}
    if series.rate is None:
        return {"timestamps": series}
    return {"rate": series.rate, "starting_time": series.starting_time}


class _ShiftedExtractor(ImagingExtractor):
    """An extractor whose samples are shifted as they are read."""

    def __init__(self, extractor: Any, shifts: NDArray[np.int64]) -> None:
        super().__init__()
        self._extractor, self._shifts = extractor, shifts
        self.reads_on_any_thread = getattr(extractor, "reads_on_any_thread", False)
        self.is_volumetric = extractor.is_volumetric

    def __getattr__(self, name: str) -> Any:
        if name == "_extractor":
            raise AttributeError(name)
        return getattr(self._extractor, name)

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray:
        """Return samples, shape (samples, rows, columns[, planes]), shifted."""
        found = np.array(self._extractor.get_series(start_sample, end_sample))
        first = start_sample or 0
        for sample, shifts in zip(found, self._shifts[first : first + len(found)], strict=True):
            for plane, shift in enumerate(shifts.tolist()):
                image = sample[..., plane] if sample.ndim == 3 else sample
                image[:] = np.roll(image, shift, (0, 1))
        return found

    def get_image_shape(self) -> tuple[int, int]:
        """Return (rows, columns)."""
        return self._extractor.get_image_shape()

    def get_num_samples(self) -> int:
        """Return the number of samples."""
        return self._extractor.get_num_samples()

    def get_volume_shape(self) -> tuple[int, int, int]:
        """Return (rows, columns, planes)."""
        return self._extractor.get_volume_shape()

    def get_sample_shape(self) -> tuple[int, ...]:
        """Return the shape of a sample."""
        return self._extractor.get_sample_shape()

    def get_dtype(self) -> np.dtype:
        """Return the type of the pixels."""
        return self._extractor.get_dtype()

    def get_num_planes(self) -> int:
        """Return the number of planes."""
        return self._extractor.get_num_planes()

    def get_sampling_frequency(self) -> float:
        """Return samples a second."""
        return self._extractor.get_sampling_frequency()

    def get_channel_names(self) -> list[str]:
        """Return the names of the channels."""
        return self._extractor.get_channel_names()

    def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray | None:
        """Return the times of the files."""
        return self._extractor.get_native_timestamps()


def _corrected(series: TwoPhotonSeries, info: RegistrationInfo, frames: NDArray[np.int64]) -> CorrectedImageStack:
    """Return the corrected movie of a series, with its original and the shifts."""
    iterator = series.data
    extractor = getattr(iterator, "imaging_extractor", None)
    if extractor is None:
        raise MetadataError(
            f"{series.name} is in the file already, with its data; the corrected movie is written together with it"
        )
    whole = np.round(info.shifts).astype(np.int64)
    shifted = _ShiftedExtractor(extractor, whole[frames])
    data = ImagingExtractorDataChunkIterator(
        shifted, chunk_shape=iterator.chunk_shape, buffer_shape=iterator.buffer_shape
    )
    fields = {name: getattr(series, name) for name in ("unit", "dimension", "imaging_plane", "resolution")}
    fields["resolution"] = -1.0 if fields["resolution"] is None else fields["resolution"]
    corrected = TwoPhotonSeries(
        name="corrected",
        data=data,
        description=f"{series.name}, every frame shifted by whole pixels; edges wrap around.",
        **fields,
        **_times(series),
    )
    mean = TimeSeries(
        name="xy_translation",
        data=whole[frames].mean(axis=1)[:, ::-1],
        unit="pixels",
        description="Columns: dx, dy of the shift applied"
        + (", the mean of the planes; each plane's is in …MotionShiftsPlane…" if frames.shape[1] > 1 else "")
        + ". Positive moves content towards larger column and row numbers.",
        **_times(series),
    )
    return CorrectedImageStack(
        name=f"{series.name}Corrected", corrected=corrected, original=series, xy_translation=mean
    )
