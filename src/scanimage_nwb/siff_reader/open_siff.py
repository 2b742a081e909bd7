"""An open .siff file or ScanImage TIFF: what it says of itself, its times, and which pages a caller means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import FrameIndexError, HeaderFieldError, UnsupportedFormatError
from scanimage_nwb.formats.siff import PhotonPages, SiffFacts, parse_siff_facts
from scanimage_nwb.formats.siff_metadata import AppendedText, EpochFit
from scanimage_nwb.recording import Recording, open_recording
from scanimage_nwb.registration import RegistrationInfo
from scanimage_nwb.siff_reader.frame_times import FrameTexts
from scanimage_nwb.siff_reader.im_params import ImParams
from scanimage_nwb.siff_reader.photon_blocks import PhotonSource, ReadRequest
from scanimage_nwb.siff_reader.registering import describe_source
from scanimage_nwb.siff_reader.shifts import RegistrationDict, read_shifts

__all__ = ["Frames", "OpenSiff"]

Frames = Sequence[int] | NDArray[np.integer] | None
ReferenceTime = Literal["experiment", "laser_epoch", "host_epoch", "epoch"]


class OpenSiff:
    """What `SiffReader` is made on; see there."""

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
    def from_recording(cls, recording: Recording, **options: Any) -> Self:
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
        rows, width = recording.page_shape
        self._of_usual_shape = (self._heights == rows) & (self._widths == width)
        self._im_params = ImParams(recording, self._of_usual_shape)

    @property
    def recording(self) -> Recording:
        """The open files."""
        if self._recording is None:
            raise ValueError("no file is open; call open(path) first")
        return self._recording

    @property
    def im_params(self) -> ImParams:
        """What the file says of itself."""
        _ = self.recording  # says so if none is open
        return self._im_params

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
            or the laser's, corrected by the host's over the whole recording (with a warning, and uncorrected, if the
            file has no host epoch). Each acquisition starts the experiment's seconds anew; epochs run on.

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
        return self._texts.details(self._pages(frames, color_channel))

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

    def close(self) -> None:
        """Close the files; they open again when they are needed."""
        if self._recording is not None:
            self._recording.close()

    def __enter__(self) -> Self:
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
        wanted = self._of_usual_shape & ~index.is_flyback
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
        found = self.registration_dict if registration_dict is None else registration_dict
        if isinstance(found, RegistrationInfo):
            found.check_source(describe_source(self.recording))
            found = found.yx_shifts
        return ReadRequest(pages, read_shifts(found, pages, shape), shape)

    def _delay_request(
        self, frames: Frames, color_channel: int | None, registration_dict: RegistrationDict | None
    ) -> tuple[ReadRequest, PhotonSource]:
        """Return what a caller asks for who needs delays."""
        request = self._request(frames, color_channel, registration_dict)
        if self._source is None:
            raise UnsupportedFormatError(
                f"{self.recording.paths[0]} is a TIFF: it holds pixels, and no arrival times; open the .siff file"
            )
        return self._source.with_delays(request, self.num_bins), self._source


_KEPT = {"strict", "registration_dict", "registration_info", "_overrides", "_recording"}
"""What a pickle holds; the rest follows from it."""
