"""`SiffReader`: frames, histograms, lifetimes, masks and times of a .siff file or ScanImage TIFF."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.errors import FrameIndexError, HeaderFieldError, ScanImageNwbWarning, UnsupportedFormatError
from scanimage_nwb.formats.siff import PhotonPages, SiffFacts, parse_siff_facts
from scanimage_nwb.formats.siff_metadata import AppendedText, EpochFit
from scanimage_nwb.recording import Recording, open_recording
from scanimage_nwb.registration import RegistrationInfo, read_registration
from scanimage_nwb.siff_reader import photon_work as work
from scanimage_nwb.siff_reader.frame_times import FrameTexts
from scanimage_nwb.siff_reader.im_params import ImParams
from scanimage_nwb.siff_reader.masks import make_classes
from scanimage_nwb.siff_reader.photon_blocks import PhotonSource, ReadRequest
from scanimage_nwb.siff_reader.registering import describe_source, fill_edges, page_table, register_recording

__all__ = ["Frames", "Photons", "RegistrationDict", "SiffReader"]

Frames = Sequence[int] | NDArray[np.integer] | None
RegistrationDict = Mapping[int, tuple[int, int]]
ReferenceTime = Literal["experiment", "laser_epoch", "host_epoch", "epoch"]
FlimMethod = Literal["mean_delay", "phasor"]
_BUFFER_BYTES = 1 << 26


@dataclass(frozen=True, slots=True, eq=False)
class Photons:
    """Photons one by one, in the order of frames and of the file; arrays of shape (n_photons,)."""

    frame: NDArray[np.int64]
    """Global page of each photon."""
    pixel: NDArray[np.uint32]
    """Pixel, y * width + x, after registration."""
    delay_bin: NDArray[np.uint16]
    """Delay in bins of `SiffReader.tcspc_resolution_s`."""


class SiffReader:
    """Photons of a .siff file, or pixels of a ScanImage TIFF, read lazily on several threads.

    Frames are pages, counted from 0 over all files, flyback included; colours and slices count from 0. Everywhere
    ``frames=None`` means all frames of `color_channel` that are not flyback (``color_channel=None``: of all colours),
    and ``registration_dict=None`` the reader's own `registration_dict`; ``{}`` shifts nothing. A shift (dy, dx) acts as
    `numpy.roll` does.

    Parameters
    ----------
    path : path-like, optional
        File to open; later with `open`.
    strict : bool
        Raise for photons outside their page or beyond the last delay bin; else drop them with a warning.
    num_bins, tcspc_resolution_s, repetition_rate_hz : optional
        Delay bins, their width in seconds, and the laser's repetition rate, in place of what the file says. Bins are
        5 ps * 2 ** binResolution wide by default; an older library had 20 ps, and files do not say which.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FormatError
        If it cannot be read (see `scanimage_nwb.errors`).

    Examples
    --------
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> written = write_siff_recording(folder, n_planes=2, n_flyback=1, n_volumes=3, photons_per_page=50)
    >>> reader = SiffReader(written.path)
    >>> reader.get_frames(frames=[0, 1]).shape, int(reader.get_histogram().sum())
    ((2, 16, 12), 300)
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        strict: bool = True,
        num_bins: int | None = None,
        tcspc_resolution_s: float | None = None,
        repetition_rate_hz: float | None = None,
    ) -> None:
        self.strict = strict
        self.registration_dict: dict[int, tuple[int, int]] = {}
        """Page to (dy, dx), used by every method unless another is given."""
        self.registration_info: RegistrationInfo | None = None
        """What the last registration found; None before there was one."""
        self._overrides = {
            "num_bins": num_bins,
            "tcspc_resolution_s": tcspc_resolution_s,
            "repetition_rate_hz": repetition_rate_hz,
        }
        self._recording: Recording | None = None
        if path is not None:
            self.open(path)

    def open(self, path: str | Path) -> None:
        """Open a file in place of the one open now.

        Parameters
        ----------
        path : path-like
            A .siff file or ScanImage TIFF. Further files of the same acquisition are found beside it.

        Raises
        ------
        FileNotFoundError, FormatError
            As for the class.
        """
        self._set_recording(open_recording(path))

    @classmethod
    def from_recording(cls, recording: Recording, **options: Any) -> "SiffReader":
        """Make a reader of a recording that is open already.

        Parameters
        ----------
        recording : Recording
            Shared, not copied.
        **options
            As for the class.

        Returns
        -------
        SiffReader
        """
        reader = cls(**options)
        reader._set_recording(recording)
        return reader

    def _set_recording(self, recording: Recording) -> None:
        facts = parse_siff_facts(recording.header, **self._overrides)  # type: ignore[arg-type]
        self._recording, self._facts = recording, facts
        self.im_params = ImParams(recording)
        self.registration_dict, self.registration_info = {}, None
        self._texts = FrameTexts(recording)
        self._source: PhotonSource | None = None
        if any(table.is_siff for table in recording.tables):
            self._source = PhotonSource(
                tuple(PhotonPages.from_table(table) for table in recording.tables),
                recording._file,
                recording.index.file_index,
                recording.index.page_in_file,
                self.strict,
            )
        columns = [table.columns for table in recording.tables]
        self._heights = np.concatenate([found["height"] for found in columns])
        self._widths = np.concatenate([found["width"] for found in columns])
        self._warn_of_other_shapes()

    def _warn_of_other_shapes(self) -> None:
        """Say once that pages of another shape (several regions) must be asked for by number."""
        rows, columns = self.im_params.shape
        other = np.flatnonzero((self._heights != rows) | (self._widths != columns))
        if other.size:
            page = other[0]
            warnings.warn(
                f"{self.recording.paths[0]}: {other.size} of {self.num_frames} pages are not {rows} x {columns} "
                f"(first: page {page}, {self._heights[page]} x {self._widths[page]}); they are left out unless frames "
                "names them",
                ScanImageNwbWarning,
                stacklevel=5,
            )

    @property
    def recording(self) -> Recording:
        """The open files."""
        if self._recording is None:
            raise ValueError("no file is open; call open(path) first")
        return self._recording

    @property
    def is_siff(self) -> bool:
        """True if the file holds photons, False for a TIFF."""
        return self.recording is not None and self._source is not None

    @property
    def num_frames(self) -> int:
        """Pages over all files, flyback included."""
        return self.recording.n_pages

    @property
    def num_bins(self) -> int:
        """Number of delay bins."""
        return int(self._fact("num_bins", "SI.hScan2D.hAcq.Tau_bins"))

    @property
    def tcspc_resolution_s(self) -> float:
        """Width of a delay bin in seconds."""
        return float(self._fact("tcspc_resolution_s", "SI.hScan2D.hAcq.binResolution"))

    @property
    def repetition_rate_hz(self) -> float:
        """Repetition rate of the laser in Hz."""
        return float(self._fact("repetition_rate_hz", "SI.hScan2D.hAcq.frequency"))

    @property
    def facts(self) -> SiffFacts:
        """What is known of photon delays; None for what the file does not say."""
        _ = self.recording  # says so if none is open
        return self._facts

    def _fact(self, name: str, key: str) -> Any:
        value = getattr(self.facts, name)
        if value is None:
            raise HeaderFieldError(
                f"{self.recording.paths[0]}: the header has no {key}; give {name} when opening the file"
            )
        return value

    def get_frames(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        edge: Literal["wrap"] | float = "wrap",
    ) -> NDArray:
        """Read the photon count (of a TIFF, the value) of every pixel.

        Parameters
        ----------
        frames : sequence of int, optional
            Frames to read, in any order.
        registration_dict : mapping, optional
            Frame to (dy, dx).
        color_channel : int or None
            Colour to read where `frames` is None.
        edge : 'wrap' or number
            What comes in from beyond the edge of a shifted frame: its opposite edge, as with `numpy.roll`, or a value.

        Returns
        -------
        ndarray, shape (frames, rows, columns)
            uint16; uint32 where a pixel has more than 65,535 photons. Of a TIFF, its own type.

        Raises
        ------
        FrameIndexError
            If a frame or colour is not there.
        FormatError, PhotonRangeError
            If a page is damaged.
        """
        request = self._request(frames, color_channel, registration_dict)
        if self._source is None:
            found = work.roll(self.recording.read_pages(request.pages), request.shifts)
        else:
            found = work.read_counts(self._source, request)
        return found if edge == "wrap" else fill_edges(found, request.shifts, edge)

    def iter_frames(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Read frames a buffer at a time; parameters as for `get_frames`.

        Parameters
        ----------
        frames, registration_dict, color_channel
            As for `get_frames`.
        buffer_bytes : int
            Largest size of the frames held at once (but at least one).

        Yields
        ------
        frames : ndarray of int64, shape (n,)
            Which frames.
        counts : ndarray, shape (n, rows, columns)
            As `get_frames` gives them.
        """
        for pages in self._buffers(frames, color_channel, buffer_bytes, 2):
            yield pages, self.get_frames(pages, registration_dict)

    def iter_flim_maps(
        self,
        frames: Frames = None,
        method: FlimMethod = "mean_delay",
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray, NDArray]]:
        """Read lifetime maps a buffer at a time; parameters as for `flim_map`.

        Parameters
        ----------
        frames, method, registration_dict, color_channel
            As for `flim_map`.
        buffer_bytes : int
            Largest size of the maps held at once (but at least one).

        Yields
        ------
        frames, map, counts : ndarray
            Which frames, and what `flim_map` gives of them.
        """
        for pages in self._buffers(frames, color_channel, buffer_bytes, 18):
            yield pages, *self.flim_map(pages, method, registration_dict)

    def get_histogram(
        self,
        frames: Frames = None,
        masks: ArrayLike | None = None,
        framewise: bool = False,
        bin_factor: int = 1,
        registration_dict: RegistrationDict | None = None,
        *,
        bins: tuple[int, int] | None = None,
        color_channel: int | None = 0,
    ) -> NDArray:
        """Count photons by delay.

        Parameters
        ----------
        frames, registration_dict, color_channel
            As for `get_frames`.
        masks : array-like, optional
            One mask (rows, columns), or many (masks, rows, columns) or (masks, planes, rows, columns): boolean, or
            weights. By default the whole field counts.
        framewise : bool
            A histogram for each frame, in place of one for all.
        bin_factor : int
            So many delay bins are added up; the last may hold fewer.
        bins : tuple of int, optional
            First delay bin, and the one behind the last; by default all.

        Returns
        -------
        ndarray of uint64, shape ([masks,] [frames,] bins)
            float64 for weights.

        Raises
        ------
        FormatError, PhotonRangeError
            If a page is damaged.
        UnsupportedFormatError
            If the file is a TIFF, or a page holds counts only.
        ValueError
            If masks do not fit, or bins are not there.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        bin_of = work.bin_table(self.num_bins, bins, bin_factor)
        if masks is None:
            return work.read_field_histogram(source, request, bin_of, framewise=framewise)
        classes = self._classes(masks, request)
        found = work.read_mask_histogram(source, request, classes, self._plane[request.pages], bin_of, framewise)
        return found[0] if np.ndim(masks) == 2 else found

    def get_pixel_histogram(
        self,
        frames: Frames = None,
        framewise: bool = False,
        bin_factor: int = 1,
        registration_dict: RegistrationDict | None = None,
        *,
        bins: tuple[int, int] | None = None,
        color_channel: int | None = 0,
    ) -> NDArray[np.uint32]:
        """Count the photons of every pixel by delay; parameters as for `get_histogram`. Mind the size of the result.

        Parameters
        ----------
        frames, framewise, bin_factor, registration_dict, bins, color_channel
            As for `get_histogram`.

        Returns
        -------
        ndarray of uint32, shape ([frames,] rows, columns, bins)
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        bin_of = work.bin_table(self.num_bins, bins, bin_factor)
        return work.read_pixel_histogram(source, request, bin_of, framewise=framewise)

    def flim_map(
        self,
        frames: Frames = None,
        method: FlimMethod = "mean_delay",
        registration_dict: RegistrationDict | None = None,
        *,
        offset_s: float = 0.0,
        harmonic: int = 1,
        color_channel: int | None = 0,
    ) -> tuple[NDArray, NDArray]:
        """Return the lifetime of every pixel of every frame.

        The mean delay (empirical lifetime) is that of bin centres minus `offset_s`. It is biased low, since photons
        later than a period of the laser wrap around: at 80 MHz, 2.6 ns reads 2.41 and 4.0 ns reads 3.17. A fit, or the
        phasor, which is g + i s at `harmonic` times the repetition rate, corrects for it.

        Parameters
        ----------
        frames, registration_dict, color_channel
            As for `get_frames`.
        method : {'mean_delay', 'phasor'}
            What is computed.
        offset_s : float
            Delay of the instrument's response in seconds, taken off the mean delay.
        harmonic : int
            Of the phasor.

        Returns
        -------
        map : ndarray, shape (frames, rows, columns)
            Seconds as float64, or phasors as complex128; NaN without photons.
        counts : ndarray, shape (frames, rows, columns)
            Photons, as `get_frames` gives them.

        Raises
        ------
        FormatError, PhotonRangeError, UnsupportedFormatError, ValueError
            As for `get_histogram`.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        if method == "phasor":
            return work.read_phasor_map(source, request, self._phasor_table(harmonic))
        self._check_method(method)
        return work.read_delay_map(source, request, (self.tcspc_resolution_s, offset_s))

    def sum_mask(
        self,
        mask: ArrayLike,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
    ) -> NDArray:
        """Sum the photons of every frame within a mask; parameters as for `sum_masks`.

        Parameters
        ----------
        mask : array-like, shape (rows, columns) or (planes, rows, columns)
            Boolean, or weights. With planes, each frame gets the mask of its plane.
        frames, registration_dict, color_channel
            As for `get_frames`.

        Returns
        -------
        ndarray of uint64, shape (frames,)
            float64 for weights.
        """
        return self.sum_masks(np.asarray(mask)[np.newaxis], frames, registration_dict, color_channel=color_channel)[0]

    def sum_masks(
        self,
        masks: ArrayLike | Sequence[ArrayLike],
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
    ) -> NDArray:
        """Sum the photons of every frame within many masks, in one pass over the file.

        Parameters
        ----------
        masks : array-like, shape (masks, rows, columns) or (masks, planes, rows, columns)
            Boolean, or weights; overlaps are allowed. With planes, each frame gets the mask of its plane.
        frames, registration_dict, color_channel
            As for `get_frames`.

        Returns
        -------
        ndarray of uint64, shape (masks, frames)
            float64 for weights; of a TIFF, int64.

        Raises
        ------
        ValueError
            If masks do not fit the frames.
        FormatError, PhotonRangeError
            If a page is damaged.
        """
        request = self._request(frames, color_channel, registration_dict)
        classes = self._classes(masks, request)
        plane = classes.planes(self._plane[request.pages])
        if self._source is None:
            return work.sum_pixels(self.recording, request, classes, plane)
        return work.sum_photons(self._source, request, classes, plane)

    def sum_masks_flim(
        self,
        masks: ArrayLike | Sequence[ArrayLike],
        frames: Frames = None,
        method: FlimMethod = "mean_delay",
        registration_dict: RegistrationDict | None = None,
        *,
        offset_s: float = 0.0,
        harmonic: int = 1,
        color_channel: int | None = 0,
    ) -> tuple[NDArray, NDArray]:
        """Return the lifetime of all photons within each mask, frame by frame.

        Parameters
        ----------
        masks
            As for `sum_masks`.
        frames, method, registration_dict, offset_s, harmonic, color_channel
            As for `flim_map`.

        Returns
        -------
        lifetime : ndarray, shape (masks, frames)
            Seconds as float64, or phasors as complex128; NaN without photons.
        counts : ndarray, shape (masks, frames)
            As `sum_masks` gives them.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        classes = self._classes(masks, request)
        plane = classes.planes(self._plane[request.pages])
        if method == "phasor":
            return work.average_masks(source, request, classes, plane, self._phasor_table(harmonic))
        self._check_method(method)
        centres = (np.arange(self.num_bins) + 0.5) * self.tcspc_resolution_s - offset_s
        return work.average_masks(source, request, classes, plane, centres)

    def photons(
        self, frames: Frames = None, registration_dict: RegistrationDict | None = None, *, color_channel: int | None = 0
    ) -> Photons:
        """Return photons one by one; they take 14 bytes each.

        Parameters
        ----------
        frames, registration_dict, color_channel
            As for `get_frames`.

        Returns
        -------
        Photons

        Raises
        ------
        FormatError, PhotonRangeError, UnsupportedFormatError
            As for `get_histogram`.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        return Photons(*work.list_photons(source, request))

    def get_time(
        self,
        frames: Frames = None,
        reference_time: ReferenceTime = "experiment",
        *,
        color_channel: int | None = 0,
    ) -> NDArray:
        """Return when frames began.

        Parameters
        ----------
        frames, color_channel
            As for `get_frames`.
        reference_time : {'experiment', 'laser_epoch', 'host_epoch', 'epoch'}
            Seconds of the experiment; the laser's epoch, smooth but drifting; the host's, true but up to a second old;
            or the laser's, corrected by the host's over the whole recording.

        Returns
        -------
        ndarray, shape (frames,)
            float64 seconds (NaN where missing) for the experiment, else int64 nanoseconds since 1970 (UTC).

        Raises
        ------
        TimeAxisError
            If the file has no such clock.
        """
        return self._texts.times(self._pages(frames, color_channel), reference_time)

    @property
    def epoch_fit(self) -> EpochFit:
        """How the laser's clock was corrected by the host's, over the whole recording, and how well that fits."""
        return self._texts.epoch_fit

    def get_frame_metadata(self, frames: Frames = None, *, color_channel: int | None = 0) -> NDArray:
        """Return what the texts of frames say, as one structured array (see `FRAME_METADATA`).

        Parameters
        ----------
        frames, color_channel
            As for `get_frames`.

        Returns
        -------
        ndarray of FRAME_METADATA, shape (frames,)
        """
        return self._texts.metadata[self._pages(frames, color_channel)]

    def get_appended_text(self, frames: Frames = None) -> list[AppendedText]:
        """Return the events that were written into the file while it was recorded.

        Parameters
        ----------
        frames : sequence of int, optional
            Frames whose events are wanted; by default all, flyback included, so that none is lost.

        Returns
        -------
        list of AppendedText
            In the order of the file.
        """
        return self._texts.events(self._pages(np.arange(self.num_frames) if frames is None else frames, None))

    def register(
        self, registration_method: str = "poisson", alignment_color_channel: int = 0, **options: Any
    ) -> dict[int, tuple[int, int]]:
        """Find the motion of the recording; every later read uses it.

        Parameters
        ----------
        registration_method : {'poisson', 'phase', 'suite2p'}
            How frames are compared (see `scanimage_nwb.registration.register`).
        alignment_color_channel : int
            Colour that motion is found from; the others take its shifts.
        **options
            Further options of `scanimage_nwb.registration.register`: ``max_shift``, ``subpixel``, ``smoothness``,
            ``share_planes``, ``n_iterations``, ``signal``.

        Returns
        -------
        dict
            Page to (dy, dx), which `numpy.roll` applies; it is kept in `registration_dict`, and with all that is known
            of it in `registration_info`. Flyback pages have no shift.

        Raises
        ------
        FrameIndexError
            If there is no such colour.
        ValueError
            If an option is out of range.
        """
        info = register_recording(
            self.recording,
            lambda pages: self.get_frames(pages, {}),
            alignment_color_channel=alignment_color_channel,
            method=registration_method,
            **options,
        )
        self.use_registration(info)
        return self.registration_dict

    def use_registration(self, registration: RegistrationInfo | str | Path) -> None:
        """Use shifts that were found before, or by another program, in every later read.

        Parameters
        ----------
        registration : RegistrationInfo or path-like
            Shifts, or a file or folder that holds them (see `scanimage_nwb.registration.read_registration`).

        Raises
        ------
        FormatError
            If the file holds no shifts that are understood.
        FrameIndexError, ValueError
            If they cannot belong to this recording.
        """
        if not isinstance(registration, RegistrationInfo):
            registration = read_registration(registration, page_table(self.recording))
        registration.check_source(describe_source(self.recording))
        self.registration_info, self.registration_dict = registration, registration.yx_shifts

    def draw_registration(self, path: str | Path | None = None, *, color_channel: int = 0) -> Any:
        """Draw what `register` found: shifts over time, references, and means before and after (needs matplotlib).

        Parameters
        ----------
        path : path-like, optional
            Where to save the picture.
        color_channel : int
            Colour whose means are drawn.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If nothing is registered.
        """
        from scanimage_nwb.registration.picture import draw_registration

        if self.registration_info is None:
            raise ValueError("nothing is registered; call register or use_registration first")
        means = np.zeros((2, self.recording.n_planes, *self.im_params.shape))
        counts = np.zeros(self.recording.n_planes)
        for i, shifts in enumerate(({}, self.registration_dict)):
            for pages, frames in self.iter_frames(None, shifts, color_channel=color_channel):
                np.add.at(means[i], self._plane[pages], frames)
                counts += np.bincount(self._plane[pages], minlength=len(counts)) * (i == 0)
        means /= np.maximum(counts, 1)[:, np.newaxis, np.newaxis]
        return draw_registration(self.registration_info, means[0], means[1], path)

    def close(self) -> None:
        """Close the files; they open again when they are needed."""
        if self._recording is not None:
            self._recording.close()

    def __enter__(self) -> "SiffReader":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._recording is None:
            return "SiffReader()"
        return f"SiffReader({str(self._recording.paths[0])!r}): {self.num_frames} frames of {self.im_params.shape}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name in _KEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        shifts, info = self.registration_dict, self.registration_info
        if self._recording is not None:
            self._set_recording(self._recording)
            self.registration_dict, self.registration_info = shifts, info

    @property
    def _plane(self) -> NDArray[np.int64]:
        return self.recording.index.plane

    def _pages(self, frames: Frames, color_channel: int | None) -> NDArray[np.int64]:
        """Return the pages that a caller means."""
        if frames is None:
            return self._default_pages(color_channel)
        pages = np.asarray(frames)
        if pages.size and pages.dtype.kind not in "iu":
            raise ValueError(f"frames are of type {pages.dtype}; expected whole numbers from 0")
        pages = pages.astype(np.int64).reshape(-1)
        outside = pages[(pages < 0) | (pages >= self.num_frames)]
        if outside.size:
            raise FrameIndexError(
                f"frame {outside[0]} was asked for; {self.recording.paths[0]} has {self.num_frames}, from 0"
            )
        return pages

    def _default_pages(self, color_channel: int | None) -> NDArray[np.int64]:
        """Return all pages of a colour that are not flyback and of the usual shape."""
        index = self.recording.index
        wanted = (self._heights == self.im_params.shape[0]) & (self._widths == self.im_params.shape[1])
        wanted &= ~index.is_flyback
        if color_channel is not None:
            self.im_params._check("color_channel", color_channel, self.im_params.num_colors)
            # In a frame that was cut short, its first pages are those that are there.
            first = np.flatnonzero(np.diff(index.frame, prepend=-1))
            wanted &= np.arange(self.num_frames) - first[index.frame] == color_channel
        return np.flatnonzero(wanted)

    def _request(
        self, frames: Frames, color_channel: int | None, registration_dict: RegistrationDict | None
    ) -> ReadRequest:
        """Return what a caller asks for; all frames must be of one shape."""
        pages = self._pages(frames, color_channel)
        first = int(pages[0]) if pages.size else 0
        shape = int(self._heights[first]), int(self._widths[first])
        shifts = np.zeros((len(pages), 2), np.int64)
        found = self.registration_dict if registration_dict is None else registration_dict
        if found:
            none = (0, 0)
            shifts[:] = [found.get(page, none) for page in pages.tolist()] if pages.size else shifts
            shifts %= shape
        return ReadRequest(pages, shifts, shape)

    def _delay_request(
        self, frames: Frames, color_channel: int | None, registration_dict: RegistrationDict | None
    ) -> tuple[ReadRequest, PhotonSource]:
        """Return what a caller asks for who needs delays."""
        request = self._request(frames, color_channel, registration_dict)
        if self._source is None:
            raise UnsupportedFormatError(
                f"{self.recording.paths[0]} is a TIFF: it holds pixels, and no arrival times; open the .siff file"
            )
        return work.with_delays(self._source, request, self.num_bins), self._source

    def _classes(self, masks: Any, request: ReadRequest) -> Any:
        stack = np.asarray(masks)
        stack = stack[np.newaxis] if stack.ndim == 2 else stack
        return make_classes(stack, request.shape, self.recording.n_planes)

    def _phasor_table(self, harmonic: int) -> NDArray[np.complex128]:
        """Return the phasor of a photon in each delay bin."""
        delay_s = (np.arange(self.num_bins) + 0.5) * self.tcspc_resolution_s
        return np.exp(2j * np.pi * harmonic * self.repetition_rate_hz * delay_s)

    @staticmethod
    def _check_method(method: str) -> None:
        if method != "mean_delay":
            raise ValueError(f"method is {method!r}; expected 'mean_delay' or 'phasor'")

    def _buffers(
        self, frames: Frames, color_channel: int | None, buffer_bytes: int, pixel_bytes: int
    ) -> Iterator[NDArray[np.int64]]:
        """Cut frames into runs that fit a buffer."""
        pages = self._pages(frames, color_channel)
        rows, columns = self.im_params.shape
        n = max(1, buffer_bytes // (rows * columns * pixel_bytes))
        for first in range(0, len(pages), n):
            yield pages[first : first + n]


_KEPT = {"strict", "registration_dict", "registration_info", "_overrides", "_recording"}
"""What a pickle holds; the rest follows from it."""
