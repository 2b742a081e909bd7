"""One channel of a ScanImage recording as a roiextractors ImagingExtractor."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.axes import ROIEXTRACTORS_AXES, axes_permutation
from scanimage_nwb.errors import UnsupportedFormatError
from scanimage_nwb.extractors.page_series import PageSeriesExtractor
from scanimage_nwb.formats.scanimage_page_text import parse_page_text
from scanimage_nwb.recording import Recording, open_recording
from scanimage_nwb.time_axis import regular_rate, typical_rate

__all__ = ["ScanImageImagingExtractor"]

PathType = str | Path


class ScanImageImagingExtractor(PageSeriesExtractor):
    """One channel of a ScanImage recording (BigTIFF), as a series of frames or volumes.

    The files of one acquisition are found by name and by their frame numbers; pages are placed by frame number,
    so dropped frames and missing files move nothing. A sample of volumetric data holds all planes of one complete
    volume; flyback is left out. The time of a volume is that of its *last* plane (`get_original_frame_indices`
    gives the page of any other).

    Parameters
    ----------
    file_path : path-like, optional
        Any file of the recording. Either this or `file_paths` must be given.
    channel_name : str, optional
        Channel to read, by its name in ScanImage. May be left out if there is one.
    file_paths : sequence of path-like, optional
        Exactly these files, in the order of time, in place of those found beside `file_path`.
    slice_sample : int, optional
        Where ScanImage recorded several frames of each slice: the one to take. Wins over
        `interleave_slice_samples`.
    plane_index : int, optional
        Plane to read; the series is then planar. No effect on planar data.
    interleave_slice_samples : bool
        Take all frames of each slice, as samples one after the other.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    FormatError
        If a file cannot be read (a ValueError; see `scanimage_nwb.errors` for its kinds).
    ValueError
        If channel, plane or slice sample are not there, or have to be chosen.

    Examples
    --------
    >>> from scanimage_nwb.testing import write_scanimage_recording
    >>> written = write_scanimage_recording(folder, channel_save=(1, 2), n_planes=3, n_volumes=5, shape=(8, 6))
    >>> extractor = ScanImageImagingExtractor(written.paths[0], channel_name="Channel 2")
    >>> extractor.get_series(0, 2).shape
    (2, 8, 6, 3)
    """

    extractor_name = "ScanImageImagingExtractor"

    def __init__(
        self,
        file_path: PathType | None = None,
        channel_name: str | None = None,
        file_paths: Sequence[PathType] | None = None,
        slice_sample: int | None = None,
        plane_index: int | None = None,
        interleave_slice_samples: bool = False,
    ) -> None:
        recording = open_recording(file_path, file_paths=file_paths)
        self._set_up(recording, channel_name, slice_sample, plane_index, interleave_slice_samples)

    @classmethod
    def from_recording(
        cls,
        recording: Recording,
        *,
        channel_name: str | None = None,
        slice_sample: int | None = None,
        plane_index: int | None = None,
        interleave_slice_samples: bool = False,
    ) -> "ScanImageImagingExtractor":
        """Make an extractor on a recording that is open already; parameters as for the class.

        Parameters
        ----------
        recording : Recording
            Shared, not copied.
        channel_name, slice_sample, plane_index, interleave_slice_samples
            As for the class.

        Returns
        -------
        ScanImageImagingExtractor
        """
        extractor = cls.__new__(cls)
        extractor._set_up(recording, channel_name, slice_sample, plane_index, interleave_slice_samples)
        return extractor

    def _set_up(
        self,
        recording: Recording,
        channel_name: str | None,
        slice_sample: int | None,
        plane_index: int | None,
        interleave: bool,
    ) -> None:
        """Store what was chosen; everything else is asked of the recording."""
        super().__init__()
        self._check_kind(recording)
        self.recording = recording
        self.file_paths = list(recording.paths)
        self.file_path = self.file_paths[0]
        self.channel_names = list(recording.channel_names)
        self._channel_index = _choose_channel(recording, channel_name)
        self.channel_name = self.channel_names[self._channel_index]
        self._slice_sample = _choose_slice_sample(recording, slice_sample, interleave)
        self.plane_index = _choose_plane(recording, plane_index)
        self._num_rows, self._num_columns = recording.page_shape
        self._dtype = recording.dtype
        self._num_channels = recording.n_channels
        self._frames_per_slice = recording.frames_per_slice
        self._ifds_per_file = [table.n_pages for table in recording.tables]
        self.num_flyback_frames_per_channel = recording.index.layout.n_flyback
        self.is_volumetric = recording.n_planes > 1 and self.plane_index is None
        self._num_planes = recording.n_planes if self.is_volumetric else 1
        self._sample_pages = self._select_pages()

    def _check_kind(self, recording: Recording) -> None:
        """Refuse files whose pages hold photons."""
        if recording.is_siff:
            raise UnsupportedFormatError(
                f"{recording.paths[0]} holds photons, not pixels (a .siff file of ScanImage-FLIM); open it with "
                "SiffImagingExtractor"
            )

    def _select_pages(self) -> NDArray[np.int64]:
        """Return the page of every sample and chosen plane of the channel, shape (samples, planes)."""
        pages = self.recording.index.sample_pages[..., self._channel_index]
        if self._slice_sample is not None:
            pages = pages[:, self._slice_sample : self._slice_sample + 1]
        pages = pages.reshape(-1, self.recording.n_planes)
        return pages if self.plane_index is None else pages[:, self.plane_index : self.plane_index + 1]

    def _read_samples(self, samples: NDArray[np.int64]) -> NDArray:
        pixels = self._read_pages(self._sample_pages[samples])
        if self.is_volumetric:
            return pixels.transpose(axes_permutation("TZYX", ROIEXTRACTORS_AXES))
        return pixels[:, 0]

    def _read_pages(self, pages: NDArray[np.int64]) -> NDArray:
        """Read pages given as (samples, planes), to (samples, planes, rows, columns)."""
        return self.recording.read_pages(pages)

    def get_num_samples(self) -> int:
        """Return the number of samples: complete volumes, or frames of planar data."""
        return len(self._sample_pages)

    def get_sampling_frequency(self) -> float:
        """Return the rate of samples in Hz.

        It comes from the timestamps: the rate that fits them all if they are regular, else one over the median
        step. Without timestamps it is what the header says.

        Returns
        -------
        float
        """
        times = self.get_native_timestamps()
        found = None if times is None else regular_rate(times) or typical_rate(times)
        return self._header_rate() if found is None else found

    def _header_rate(self) -> float:
        """Return the rate of samples that the header claims, in Hz."""
        layout = self.recording.layout
        if self.recording.n_planes == 1:
            rate = layout.frame_rate_hz
        elif layout.volume_rate_hz:
            rate = layout.volume_rate_hz
        else:
            rate = layout.frame_rate_hz and layout.frame_rate_hz / self.recording.index.layout.frames_per_volume
        if not rate:
            raise UnsupportedFormatError(
                f"{self.file_path}: neither timestamps of pages nor `SI.hRoiManager.scanFrameRate` in the header say "
                "how fast it was recorded. Give the times with set_times"
            )
        return float(rate) * (self.recording.frames_per_slice if self._slice_sample is None else 1)

    def get_native_timestamps(
        self, start_sample: int | None = None, end_sample: int | None = None
    ) -> NDArray[np.float64] | None:
        """Return the times that ScanImage stamped on the frames, whatever times were set since.

        Parameters
        ----------
        start_sample, end_sample : int, optional
            First sample, and the one behind the last; by default all.

        Returns
        -------
        ndarray of float64, shape (samples,), or None
            Seconds since the start of the first file's clock; of a volume, the time of its last plane. None if
            pages have no timestamps.
        """
        start, end = self._bounds(start_sample, end_sample)
        if self.recording.timestamp_s is None:
            return None
        return self.recording.timestamp_s[self._sample_pages[start:end, -1]]

    def get_original_frame_indices(
        self, plane_index: int | None = None, *, per_frame: bool = False
    ) -> NDArray[np.int64]:
        """Return the original frame index of every sample: its global page number over all files.

        Parameters
        ----------
        plane_index : int, optional
            Plane of a volume whose page is meant; by default the last. Planar series have one.
        per_frame : bool
            Count frames in place of pages, so that the channels of one frame share a number: right for sync
            pulses that fire once a frame. Nobody has to divide by the number of channels.

        Returns
        -------
        ndarray of int64, shape (samples,)

        Raises
        ------
        ValueError
            If there is no such plane.
        """
        n_planes = self._sample_pages.shape[1]
        plane = n_planes - 1 if plane_index is None else plane_index
        if not 0 <= plane < n_planes:
            raise ValueError(f"plane_index is {plane_index}; this series has {n_planes} plane(s), from 0")
        pages = self._sample_pages[:, plane]
        return self.recording.index.frame[pages] if per_frame else pages.copy()

    def get_frame_numbers(self, plane_index: int | None = None) -> NDArray[np.int64]:
        """Return ScanImage's frame number of every sample; parameters as for `get_original_frame_indices`.

        Parameters
        ----------
        plane_index : int, optional
            Plane of a volume whose frame is meant; by default the last.

        Returns
        -------
        ndarray of int64, shape (samples,)
        """
        return self.recording.index.frame_number[self.get_original_frame_indices(plane_index)]

    def slice_samples(
        self, start_sample: int | None = None, end_sample: int | None = None
    ) -> "ScanImageImagingExtractor":
        """Return an extractor of some of the samples, with their times and original frame indices.

        Parameters
        ----------
        start_sample, end_sample : int, optional
            First sample, and the one behind the last; by default all.

        Returns
        -------
        ScanImageImagingExtractor
            Shares the recording.
        """
        start, end = self._bounds(start_sample, end_sample)
        part = copy.copy(self)
        part._sample_pages = self._sample_pages[start:end]
        part._times = None if self._times is None else self._times[start:end].copy()
        return part

    def __del__(self) -> None:
        """Close the files; a slice of this extractor opens them again when it reads."""
        recording = self.__dict__.get("recording")
        if recording is not None:
            recording.close()

    @staticmethod
    def get_available_channel_names(file_path: PathType) -> list[str]:
        """Return the names of the channels that a file holds.

        Parameters
        ----------
        file_path : path-like
            A ScanImage TIFF.

        Returns
        -------
        list of str
        """
        return list(_open_one_file(file_path).channel_names)

    @staticmethod
    def get_available_num_planes(file_path: PathType) -> int:
        """Return the number of planes, without flyback; 1 for planar data.

        Parameters
        ----------
        file_path : path-like
            A ScanImage TIFF.

        Returns
        -------
        int
        """
        return _open_one_file(file_path).n_planes

    @staticmethod
    def get_frames_per_slice(file_path: PathType) -> int:
        """Return the frames of one channel that a file holds for each slice.

        Parameters
        ----------
        file_path : path-like
            A ScanImage TIFF.

        Returns
        -------
        int
            1 for planar data.
        """
        return _open_one_file(file_path).frames_per_slice

    @staticmethod
    def extract_timestamp_from_page(page: object) -> float | None:
        """Return the timestamp of a page of tifffile.

        Parameters
        ----------
        page : tifffile.TiffPage
            Any page.

        Returns
        -------
        float or None
            Seconds; None if its text has none.
        """
        tag = page.tags.get("ImageDescription")  # type: ignore[attr-defined]
        return None if tag is None else parse_page_text(str(tag.value)).timestamp_s


def _open_one_file(file_path: PathType) -> Recording:
    """Open one file alone, to ask what is in it."""
    return open_recording(file_paths=[file_path], warn=False)


def _choose_channel(recording: Recording, channel_name: str | None) -> int:
    """Return the rank of a channel by its name."""
    names = recording.channel_names
    if channel_name is None and len(names) == 1:
        return 0
    if channel_name is None:
        raise ValueError(f"{recording.paths[0]} holds channels {list(names)}; choose one with channel_name")
    if channel_name not in names:
        raise ValueError(f"channel_name {channel_name!r} is not in {recording.paths[0]}, which holds {list(names)}")
    return names.index(channel_name)


def _choose_slice_sample(recording: Recording, slice_sample: int | None, interleave: bool) -> int | None:
    """Return the slice sample to take, None for all of them."""
    n_frames = recording.frames_per_slice
    if n_frames == 1:
        return 0
    if slice_sample is None:
        if interleave:
            return None
        raise ValueError(
            f"{recording.paths[0]} holds {n_frames} frames of each slice: choose one with slice_sample (0 to "
            f"{n_frames - 1}), or take all as samples of their own with interleave_slice_samples=True"
        )
    if not 0 <= slice_sample < n_frames:
        raise ValueError(f"slice_sample is {slice_sample}; {recording.paths[0]} has {n_frames} a slice, from 0")
    return slice_sample


def _choose_plane(recording: Recording, plane_index: int | None) -> int | None:
    """Return the plane to take, None for all of them."""
    if plane_index is None or recording.n_planes == 1:
        return None
    if not 0 <= plane_index < recording.n_planes:
        raise ValueError(f"plane_index is {plane_index}; {recording.paths[0]} has {recording.n_planes} planes, from 0")
    return plane_index
