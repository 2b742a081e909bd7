"""Times and events of the frames of a recording, from the texts of its pages, read once."""

import warnings
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import ScanImageNwbWarning, TimeAxisError
from scanimage_nwb.formats.files import ReadOnlyFile
from scanimage_nwb.formats.scanimage_tiff import decode_text
from scanimage_nwb.formats.siff_metadata import (
    FRAME_CLOCKS,
    FRAME_METADATA,
    AppendedText,
    EpochFit,
    fit_epoch,
    parse_appended_text,
    read_frame_metadata,
)
from scanimage_nwb.recording import Recording

__all__ = ["FrameTexts"]


class FrameTexts:
    """What the texts of all pages say; read on first use.

    Parameters
    ----------
    recording : Recording
        The files.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    @cached_property
    def metadata(self) -> NDArray:
        """Clocks of every page (`FRAME_CLOCKS`), shape (n_pages,); `page` is the global page."""
        parts = [read_frame_metadata(table, np.arange(table.n_pages)) for table in self.recording.tables]
        found = np.concatenate(parts) if parts else np.zeros(0, FRAME_CLOCKS)
        found["page"] = np.arange(len(found))
        return found

    def details(self, pages: NDArray[np.int64]) -> NDArray:
        """Return all that the texts of pages say (`FRAME_METADATA`), shape (n,); `page` is the global page."""
        index, found = self.recording.index, np.zeros(len(pages), FRAME_METADATA)
        for file, table in enumerate(self.recording.tables):
            own = np.flatnonzero(index.file_index[pages] == file)
            found[own] = read_frame_metadata(table, index.page_in_file[pages[own]], details=True)
        found["page"] = pages
        return found

    @cached_property
    def epoch_fit(self) -> EpochFit:
        """The laser's clock, corrected by the host's over the whole recording."""
        found = self.metadata
        return fit_epoch(found["laser_epoch_ns"], found["host_epoch_ns"], found["experiment_time_s"])

    def times(self, pages: NDArray[np.int64], reference_time: str) -> NDArray:
        """Return when pages began.

        Parameters
        ----------
        pages : ndarray of int64
            Global pages.
        reference_time : str
            As for `SiffReader.get_time`.

        Raises
        ------
        TimeAxisError
            If a page has no such time.
        ValueError
            If there is no clock of that name.
        """
        if reference_time == "experiment":
            return self.metadata["experiment_time_s"][pages]
        if reference_time == "epoch":
            laser = self.times(pages, "laser_epoch")
            if (self.metadata["host_epoch_ns"] < 0).all():
                warnings.warn(
                    f"{self.recording.paths[0]} has no host epoch to correct the laser's clock by: epochs are the "
                    "laser's own, which may drift by tens of ppm",
                    ScanImageNwbWarning,
                    stacklevel=3,
                )
            return self.epoch_fit(laser)
        if reference_time not in ("laser_epoch", "host_epoch"):
            raise ValueError(
                f"reference_time is {reference_time!r}; expected 'experiment', 'laser_epoch', 'host_epoch' or 'epoch'"
            )
        found = self.metadata[f"{reference_time}_ns"][pages]
        if (found < 0).any():
            page = int(pages[np.flatnonzero(found < 0)[0]])
            raise TimeAxisError(
                f"{self.recording.paths[0]}: page {page} has no {reference_time} in its text (old files lack it); use "
                "reference_time='experiment'"
            )
        return found

    def events(self, pages: NDArray[np.int64]) -> list[AppendedText]:
        """Return the appended text of pages.

        Parameters
        ----------
        pages : ndarray of int64
            Global pages.

        Returns
        -------
        list of AppendedText
        """
        events: list[AppendedText] = []
        found = self.metadata[pages]
        for row in found[found["text_bytes"] > 0]:
            page = int(row["page"])
            path = self.recording.tables[int(self.recording.index.file_index[page])].path
            with ReadOnlyFile(path) as file:
                text = decode_text(file.read(int(row["text_offset"]), int(row["text_bytes"])))
            events += parse_appended_text(text, page)
        return events
