"""`SiffReader`: frames, histograms, lifetimes, masks and times of a .siff file or ScanImage TIFF."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.siff_reader import frames as frame_work
from scanimage_nwb.siff_reader import histograms
from scanimage_nwb.siff_reader.frame_methods import BUFFER_BYTES, Edge
from scanimage_nwb.siff_reader.labelled import label_histograms
from scanimage_nwb.siff_reader.mask_methods import FlimMethod, MaskMethods
from scanimage_nwb.siff_reader.masks import whole_field
from scanimage_nwb.siff_reader.open_siff import Frames
from scanimage_nwb.siff_reader.photon_list import PHOTON_BYTES, Photons, count_photons, list_photons
from scanimage_nwb.siff_reader.registering import fill_edges
from scanimage_nwb.siff_reader.shifts import RegistrationDict

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["SiffReader"]


class SiffReader(MaskMethods):
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

    _first_edge_s = 0.0
    """Delay of the left edge of bin 0."""

    def iter_flim_maps(
        self,
        frames: Frames = None,
        method: FlimMethod = "mean_delay",
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
        buffer_bytes: int = BUFFER_BYTES,
        offset_s: float = 0.0,
        harmonic: int = 1,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray, NDArray]]:
        """Read lifetime maps a buffer at a time; parameters as for `flim_map`.

        Parameters
        ----------
        frames, method, registration_dict, color_channel, edge, offset_s, harmonic
            As for `flim_map`.
        buffer_bytes : int
            Largest size of the maps held at once (but at least one).

        Yields
        ------
        frames, map, counts : ndarray
            Which frames, and what `flim_map` gives of them.
        """
        for pages in self._buffers(frames, color_channel, buffer_bytes, 18):
            yield (
                pages,
                *self.flim_map(pages, method, registration_dict, offset_s=offset_s, harmonic=harmonic, edge=edge),
            )

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
        edge: Edge = "wrap",
    ) -> NDArray:
        """Count photons by delay.

        Parameters
        ----------
        frames, registration_dict, color_channel
            As for `get_frames`.
        masks : array-like, optional
            One mask (rows, columns), or many (masks, rows, columns) or (masks, planes, rows, columns): boolean, or
            weights (whole numbers that are all 0 or 1 are boolean). By default the whole field counts. One mask of a
            volume is ``mask[np.newaxis]``.
        framewise : bool
            A histogram for each frame, in place of one for all.
        bin_factor : int
            So many delay bins are added up; the last may hold fewer.
        bins : tuple of int, optional
            First delay bin, and the one behind the last; by default all.
        edge : 'wrap' or number
            Whether photons that a shift brings in at the opposite edge count; a number leaves them out.

        Returns
        -------
        ndarray of uint64, shape ([masks,] [frames,] bins)
            float64 for weights.

        Raises
        ------
        FormatError, PhotonRangeError
            If a page is damaged. Of the whole field, counts of compressed pages are not read, and not compared with
            the photons.
        UnsupportedFormatError
            If the file is a TIFF, or a page holds counts only.
        ValueError
            If masks do not fit, or bins are not there.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        bin_of = histograms.bin_table(self.num_bins, bins, bin_factor)
        own = whole_field(request.n_pixels) if masks is None else self._masks(masks, request, most_classes=1 << 8)
        own, plane = self._within_edges(own, request, edge)
        found = histograms.read_histogram(source, request, own, plane, bin_of, framewise=framewise)
        return found[0] if masks is None or np.ndim(masks) == 2 else found

    def get_pixel_histogram(
        self,
        frames: Frames = None,
        framewise: bool = False,
        bin_factor: int = 1,
        registration_dict: RegistrationDict | None = None,
        *,
        bins: tuple[int, int] | None = None,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> NDArray[np.uint32]:
        """Count the photons of every pixel by delay; parameters as for `get_histogram`. Mind the size of the result.

        Parameters
        ----------
        frames, framewise, bin_factor, registration_dict, bins, color_channel, edge
            As for `get_histogram`.

        Returns
        -------
        ndarray of uint32, shape ([frames,] rows, columns, bins)
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        bin_of = histograms.bin_table(self.num_bins, bins, bin_factor)
        field, kind = self._within_edges(whole_field(request.n_pixels), request, edge)
        kept = None if edge == "wrap" else (field.groups[0].classes > 0, kind)
        return histograms.read_pixel_histogram(source, request, bin_of, framewise=framewise, kept=kept)

    def to_xarray(
        self,
        dims: str = "YXH",
        samples: slice | Sequence[int] | None = None,
        *,
        bin_factor: int = 1,
        bins: tuple[int, int] | None = None,
        registration_dict: RegistrationDict | None = None,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> "DataArray":
        """Return histograms as a labelled array, as phasorpy and ptufile have them. Mind the size of the result.

        Parameters
        ----------
        dims : str
            Axes of the result in the order TZCYXH, H among them; photons are added up over the others. T are samples
            (volumes, or frames of one plane), Z planes, C channels, H delays.
        samples : slice or sequence of int, optional
            Which samples; by default all.
        bin_factor, bins, registration_dict, edge
            As for `get_histogram`.
        color_channel : int, optional
            Channel to read; None for all.

        Returns
        -------
        xarray.DataArray
            Photons. Coordinates: ``H``, centres of delay bins in nanoseconds; ``phase``, the same in radians of the
            laser's period, which phasorpy calls sample phase; ``T`` in seconds; ``C``, names. The attribute
            ``frequency`` is the repetition rate in MHz.

        Raises
        ------
        ValueError
            If axes are unknown or out of order, or there is no such sample.
        FormatError, PhotonRangeError, UnsupportedFormatError
            As for `get_histogram`.

        Examples
        --------
        phasorpy takes it as it is, and finds what `flim.decay_phasor` finds:

        >>> from phasorpy.phasor import phasor_from_signal
        >>> from scanimage_nwb.flim import decay_phasor
        >>> from scanimage_nwb.testing.siff_files import write_siff_recording
        >>> reader = SiffReader(write_siff_recording(folder, n_volumes=20).path)
        >>> signal = reader.to_xarray("TH")
        >>> signal.dims, signal.shape, signal.attrs["frequency"], float(signal.H[0])
        (('T', 'H'), (20, 629), 80.0, 0.01)
        >>> mean, g, s = phasor_from_signal(signal, axis="H", sample_phase=signal.phase, use_fft=False)
        >>> ours = decay_phasor(signal, tcspc_resolution_s=20e-12, repetition_rate_hz=80e6)
        >>> bool(np.allclose(g, ours.g)), bool(np.allclose(s, ours.s))
        (True, True)
        """
        options = {"bin_factor": bin_factor, "bins": bins, "registration_dict": registration_dict, "edge": edge}
        return label_histograms(self, dims, samples, self._first_edge_s, color_channel=color_channel, **options)

    def flim_map(
        self,
        frames: Frames = None,
        method: FlimMethod = "mean_delay",
        registration_dict: RegistrationDict | None = None,
        *,
        offset_s: float = 0.0,
        harmonic: int = 1,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
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
        edge : 'wrap' or number
            What comes in from beyond the edge of a shifted frame: its opposite edge, or a value of the map (such as
            NaN) with a count of 0.

        Returns
        -------
        map : ndarray, shape (frames, rows, columns)
            Seconds as float64, or phasors as complex128; NaN without photons.
        counts : ndarray, shape (frames, rows, columns)
            Photons that have a delay bin: as `get_frames` gives them, but for those that ``strict=False`` drops.

        Raises
        ------
        FormatError, PhotonRangeError, UnsupportedFormatError, ValueError
            As for `get_histogram`.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        found: NDArray
        if method == "phasor":
            found, counts = frame_work.read_phasor_map(source, request, self._phasor_table(harmonic))
        else:
            self._check_method(method)
            found, counts = frame_work.read_delay_map(source, request, (self.tcspc_resolution_s, offset_s))
        if edge == "wrap":
            return found, counts
        return fill_edges(found, request.shifts, edge), fill_edges(counts, request.shifts, 0)

    @overload
    def photons(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        masks: None = None,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> Photons: ...

    @overload
    def photons(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        masks: ArrayLike | None,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> Photons | tuple[Photons, ...]: ...

    def photons(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        masks: ArrayLike | None = None,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> Photons | tuple[Photons, ...]:
        """Return photons one by one; they take 14 bytes each.

        Parameters
        ----------
        frames, registration_dict, color_channel
            As for `get_frames`.
        masks : array-like, optional
            As for `get_histogram`, but without weights: only photons within are returned.
        edge : 'wrap' or number
            Whether photons that a shift brings in at the opposite edge are returned; a number leaves them out.

        Returns
        -------
        Photons or tuple of Photons
            One for each mask where there are many; a photon may be in several.

        Raises
        ------
        FormatError, PhotonRangeError, UnsupportedFormatError
            As for `get_histogram`.
        ValueError
            If masks do not fit, or are weights.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        field, kind = self._within_edges(whole_field(request.n_pixels), request, edge)
        if masks is None:
            every = None if edge == "wrap" else field.groups[0].classes > 0
            return list_photons(source, request, every, kind)
        own = self._masks(masks, request)
        own.planes(self._plane[request.pages])
        if own.weights is not None:
            raise ValueError("masks hold weights; photons are within a mask or not: expected bool")
        planes = np.asarray(masks, bool).reshape(own.n_masks, own.n_planes, -1)
        plane = self._plane if own.n_planes > 1 else np.zeros(self.num_frames, np.int64)
        found = list_photons(source, request, np.any(planes, axis=0), plane[request.pages])
        if edge != "wrap":
            of_page = np.zeros(self.num_frames, np.int64)
            of_page[request.pages] = kind
            found = found.within(field.groups[0].classes > 0, of_page)
        inside = tuple(found.within(mask, plane) for mask in planes)
        return inside[0] if np.ndim(masks) == 2 else inside

    def iter_photons(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        masks: ArrayLike | None = None,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
        n_frames: int = 1000,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> Iterator[tuple[NDArray[np.int64], Photons | tuple[Photons, ...]]]:
        """Read photons some frames at a time; parameters as for `photons`.

        Parameters
        ----------
        frames, registration_dict, masks, color_channel, edge
            As for `photons`.
        n_frames : int
            Most frames whose photons are held at once.
        buffer_bytes : int
            Largest size of the photons held at once, before masks are laid on them (but at least one frame's).

        Yields
        ------
        frames : ndarray of int64, shape (n,)
            Which frames.
        photons : Photons or tuple of Photons
            As `photons` gives them.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        ends = np.cumsum(count_photons(source, request.pages)) * PHOTON_BYTES
        first = 0
        while first < len(ends):
            room = buffer_bytes + (int(ends[first - 1]) if first else 0)
            fits = int(np.searchsorted(ends, room, "right"))
            own = request.pages[first : max(first + 1, min(fits, first + n_frames))]
            first += len(own)
            yield own, self.photons(own, registration_dict, masks=masks, edge=edge)
