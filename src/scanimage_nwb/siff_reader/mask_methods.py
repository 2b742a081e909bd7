"""Methods of `SiffReader` that sum or average within masks."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scanimage_nwb.siff_reader import histograms, mask_sums
from scanimage_nwb.siff_reader.frame_methods import Edge, FrameMethods
from scanimage_nwb.siff_reader.masks import Masks, leave_out_edges, make_masks
from scanimage_nwb.siff_reader.open_siff import Frames
from scanimage_nwb.siff_reader.photon_blocks import ReadRequest
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
        """Sum the photons of every frame within a mask; parameters as for `sum_masks`.

        Parameters
        ----------
        mask : array-like, shape (rows, columns) or (planes, rows, columns)
            Boolean, or weights. With planes, each frame gets the mask of its plane.
        frames, registration_dict, color_channel, edge
            As for `get_frames`.

        Returns
        -------
        ndarray of uint64, shape (frames,)
            float64 for weights.
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
        """Sum the photons of every frame within many masks, in one pass over the file.

        Parameters
        ----------
        masks : array-like, shape (masks, rows, columns) or (masks, planes, rows, columns)
            Boolean, or weights; overlaps are allowed. With planes, each frame gets the mask of its plane.
        frames, registration_dict, color_channel, edge
            As for `get_frames`: sums are those of its frames.

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
        whole = self._masks(masks, request)
        own, plane = self._within_edges(whole, request, edge)
        if self._source is None:
            found = mask_sums.sum_pixels(self.recording, request, own, plane)
        else:
            found = mask_sums.sum_photons(self._source, request, own, plane)
        if edge in {"wrap", 0}:
            return found
        added = whole.n_pixels(whole.planes(self._plane[request.pages])) - own.n_pixels(own.planes(plane))
        value = np.empty((), self.recording.dtype if self._source is None else np.uint16)
        value[()] = edge  # as frames hold it
        return found + (added * value).astype(found.dtype)

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
            As for `sum_masks`.
        frames, method, registration_dict, offset_s, harmonic, color_channel
            As for `flim_map`.
        edge : 'wrap' or number
            Whether photons that a shift brings in at the opposite edge count; a number leaves them out.

        Returns
        -------
        lifetime : ndarray, shape (masks, frames)
            Seconds as float64, or phasors as complex128; NaN without photons.
        counts : ndarray, shape (masks, frames)
            As `sum_masks` gives them.
        """
        request, source = self._delay_request(frames, color_channel, registration_dict)
        own, plane = self._within_edges(self._masks(masks, request, class_bits=8), request, edge)
        if method == "phasor":
            return histograms.average_masks(source, request, own, plane, self._phasor_table(harmonic))
        self._check_method(method)
        centres = (np.arange(self.num_bins) + 0.5) * self.tcspc_resolution_s - offset_s
        return histograms.average_masks(source, request, own, plane, centres)

    def _masks(self, masks: Any, request: ReadRequest, *, class_bits: int = 10) -> Masks:
        stack = np.asarray(masks)
        stack = stack[np.newaxis] if stack.ndim == 2 else stack
        return make_masks(stack, request.shape, self.recording.n_planes, class_bits=class_bits)

    def _within_edges(self, masks: Masks, request: ReadRequest, edge: Edge) -> tuple[Masks, NDArray[np.int64]]:
        """Return masks, without what came in from beyond the edge if that is filled, and the plane of each page."""
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
