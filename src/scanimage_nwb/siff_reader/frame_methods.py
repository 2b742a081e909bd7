"""Methods of `SiffReader` that read frames, and find their motion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.registration import RegistrationInfo, read_registration
from scanimage_nwb.siff_reader import frames as frame_work
from scanimage_nwb.siff_reader.open_siff import Frames, OpenSiff
from scanimage_nwb.siff_reader.registering import describe_source, fill_edges, page_table, register_recording
from scanimage_nwb.siff_reader.shifts import RegistrationDict

__all__ = ["BUFFER_BYTES", "Edge", "FrameMethods"]

Edge = Literal["wrap"] | float

BUFFER_BYTES = 1 << 26
"""Largest size of the frames that iterators hold at once, unless they are told otherwise."""


class FrameMethods(OpenSiff):
    """What `SiffReader` does with frames; see there."""

    def get_frames(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
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
            found = self.recording.read_pages(request.pages, shifts=request.shifts)
        else:
            found = frame_work.read_counts(self._source, request)
        return found if edge == "wrap" else fill_edges(found, request.shifts, edge)

    def iter_frames(
        self,
        frames: Frames = None,
        registration_dict: RegistrationDict | None = None,
        *,
        color_channel: int | None = 0,
        edge: Edge = "wrap",
        buffer_bytes: int = BUFFER_BYTES,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Read frames a buffer at a time; parameters as for `get_frames`.

        Parameters
        ----------
        frames, registration_dict, color_channel, edge
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
            yield pages, self.get_frames(pages, registration_dict, edge=edge)

    def register(
        self, registration_method: str = "poisson", alignment_color_channel: int = 0, **options: Any
    ) -> dict[int, tuple[int, int]]:
        """Find the motion of the recording; every later read uses it.

        Parameters
        ----------
        registration_method : {'poisson', 'phase', 'suite2p'}
            How frames are compared (see `scanimage_nwb.registration.register`). 'siffpy', which SiffPy's scripts ask
            for, is taken as 'poisson'.
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
            method="poisson" if registration_method == "siffpy" else registration_method,
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

    def _buffers(
        self, frames: Frames, color_channel: int | None, buffer_bytes: int, pixel_bytes: int
    ) -> Iterator[NDArray[np.int64]]:
        """Cut frames into runs that fit a buffer."""
        pages = self._pages(frames, color_channel)
        page_pixels = int((self._heights[pages] * self._widths[pages]).max(initial=1))
        n = max(1, buffer_bytes // (page_pixels * pixel_bytes))
        for first in range(0, len(pages), n):
            yield pages[first : first + n]
