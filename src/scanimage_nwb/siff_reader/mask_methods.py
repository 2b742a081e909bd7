"""Methods of `SiffReader` that sum or average within masks."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.siff_reader import histograms, mask_sums
from scanimage_nwb.siff_reader.frame_methods import Edge, FrameMethods
from scanimage_nwb.siff_reader.masks import MOST_CLASSES, Masks, leave_out_edges, make_masks
from scanimage_nwb.siff_reader.open_siff import Frames
from scanimage_nwb.siff_reader.photon_blocks import ReadRequest
from scanimage_nwb.siff_reader.registering import check_edge
from scanimage_nwb.siff_reader.shifts import RegistrationDict

__all__ = ["FlimMethod", "MaskMethods"]

FlimMethod = Literal["mean_delay", "phasor"]


class MaskMethods(FrameMethods):
    """What `SiffReader` does with masks; see there."""

    def sum_mask(
        self,
        mask: ArrayLike,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> NDArray:
        """Sum the photons within a mask: of every frame, or of every time point if the mask is a volume's.

        Parameters
        ----------
        mask : array-like, shape (rows, columns) or (planes, rows, columns)
            Boolean, or weights.
        frames, registration_dict, color_channel, edge
            As for `sum_masks`.

        Returns
        -------
        ndarray of uint64, shape (frames,) or (time points,)
            As `sum_masks` gives it.
        """
        stack = np.asarray(mask)[np.newaxis]
        return self.sum_masks(stack, frames, registration_dict, color_channel=color_channel, edge=edge)[0]

    def sum_masks(
        self,
        masks: ArrayLike | Sequence[ArrayLike],
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
    ) -> NDArray:
        """Sum the photons within many masks, in one pass over the file.

        Masks of one plane are laid on every frame: a sum for each frame. Masks of a volume give each frame the mask of
        its plane, and are summed over the volume: a sum for each time point, which is a volume of one colour (and one
        frame a slice).

        Parameters
        ----------
        masks : array-like, shape (masks, rows, columns) or (masks, planes, rows, columns)
            Boolean, or weights; overlaps are allowed.
        frames
            As for `get_frames`. Masks of a volume: by default all whole volumes of `color_channel`; time points come
            in the order in which `frames` first names them, and hold the frames that are named.
        registration_dict, color_channel, edge
            As for `get_frames`: sums are those of its frames.

        Returns
        -------
        ndarray of uint64, shape (masks, frames) or (masks, time points)
            float64 for weights; of a TIFF, int64.

        Raises
        ------
        ValueError
            If masks do not fit the frames, or a frame lies in no plane of the masks (flyback).
        FormatError, PhotonRangeError
            If a page is damaged.

        Examples
        --------
        >>> from scanimage_nwb.siff_reader import SiffReader
        >>> from scanimage_nwb.testing.siff_files import write_siff_recording
        >>> written = write_siff_recording(folder, n_planes=2, n_volumes=3, photons_per_page=50, shape=(6, 8))
        >>> reader = SiffReader(written.path)
        >>> reader.sum_masks(np.ones((1, 6, 8), bool)).tolist()
        [[50, 50, 50, 50, 50, 50]]
        >>> reader.sum_masks(np.ones((1, 2, 6, 8), bool)).tolist()
        [[100, 100, 100]]
        """
        masks = np.asarray(masks)
        of_volume = masks.ndim == 4
        if of_volume and frames is None:
            frames = self._whole_volumes(color_channel)
        request = self._request(frames, color_channel, registration_dict)
        check_edge(edge, self.recording.dtype if self._source is None else np.dtype(np.uint16))
        whole = self._masks(masks, request)
        own, plane = self._within_edges(whole, request, edge)
        columns = self._time_points(request.pages) if of_volume else _one_each(len(request.pages))
        if self._source is None:
            found = mask_sums.sum_pixels(self.recording, request, own, plane, columns)
        else:
            found = mask_sums.sum_photons(self._source, request, own, plane, columns)
        if edge in {"wrap", 0}:
            return found
        added = whole.n_pixels(whole.planes(self._plane[request.pages])) - own.n_pixels(own.planes(plane))
        value = np.array(edge, self.recording.dtype if self._source is None else np.uint16)  # as frames hold it
        np.add.at(found.T, columns.of_page, (added * value).astype(found.dtype).T)
        return found

    def _whole_volumes(self, color_channel: int | None) -> NDArray[np.int64]:
        """Return the pages of all whole volumes: by time point, each with its planes."""
        pages = self.recording.index.sample_pages
        if color_channel is not None:
            self.im_params._check("color_channel", color_channel, self.im_params.num_colors)
            pages = pages[..., color_channel : color_channel + 1]
        return np.moveaxis(pages, 2, 3).reshape(-1)

    def _time_points(self, pages: NDArray[np.int64]) -> mask_sums.Columns:
        """Return the time point of every page, counted as they come."""
        index = self.recording.index
        n_samples, n_channels = index.layout.frames_per_slice, index.layout.n_channels
        key = (index.volume[pages] * n_samples + index.slice_sample[pages]) * n_channels + index.channel[pages]
        _, first, of_page = np.unique(key, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))
        return mask_sums.Columns(rank[of_page.reshape(-1)], len(first), shared=True)

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
        edge: Edge = "wrap",
    ) -> tuple[NDArray, NDArray]:
        """Return the lifetime of all photons within each mask, frame by frame.

        Parameters
        ----------
        masks
            As for `sum_masks`; those of a volume, too, give a value for each frame.
        frames, method, registration_dict, offset_s, harmonic, color_channel
            As for `flim_map`.
        edge : 'wrap' or number
            Whether photons that a shift brings in at the opposite edge count; a number leaves them out.

        Returns
        -------
        lifetime : ndarray, shape (masks, frames)
            Seconds as float64, or phasors as complex128; NaN without photons.
        counts : ndarray of uint64, shape (masks, frames)
            Photons; float64 for weights.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        own, plane = self._within_edges(self._masks(masks, request, most_classes=1 << 8), request, edge)
        if method == "phasor":
            return histograms.average_masks(source, request, own, plane, self._phasor_table(harmonic))
        self._check_method(method)
        centres = (np.arange(self.num_bins) + 0.5) * self.tcspc_resolution_s - offset_s
        return histograms.average_masks(source, request, own, plane, centres)

    def _masks(self, masks: Any, request: ReadRequest, *, most_classes: int = MOST_CLASSES) -> Masks:
        stack = np.asarray(masks)
        stack = stack[np.newaxis] if stack.ndim == 2 else stack
        return make_masks(stack, request.shape, self.recording.n_planes, most_classes=most_classes)

    def _within_edges(self, masks: Masks, request: ReadRequest, edge: Edge) -> tuple[Masks, NDArray[np.int64]]:
        """Return masks, without what came in from beyond the edge if that is filled, and the plane of each page."""
        check_edge(edge, np.dtype(float))
        plane = self._plane[request.pages]
        return (masks, plane) if edge == "wrap" else leave_out_edges(masks, plane, request.shifts, request.shape)

    def _phasor_table(self, harmonic: int) -> NDArray[np.complex128]:
        """Return the phasor of a photon in each delay bin."""
        delay_s = (np.arange(self.num_bins) + 0.5) * self.tcspc_resolution_s
        return np.exp(2j * np.pi * harmonic * self.repetition_rate_hz * delay_s)

    @staticmethod
    def _check_method(method: str) -> None:
        if method != "mean_delay":
            raise ValueError(f"method is {method!r}; expected 'mean_delay' or 'phasor'")


def _one_each(n: int) -> mask_sums.Columns:
    return mask_sums.Columns(np.arange(n), n, shared=False)
