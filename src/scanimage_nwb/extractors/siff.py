"""The photon counts of a .siff file with the interface of roiextractors."""

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import PhotonRangeError, UnsupportedFormatError
from scanimage_nwb.extractors.scanimage import ScanImageImagingExtractor
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["SiffImagingExtractor"]


class SiffImagingExtractor(ScanImageImagingExtractor):
    """One channel of a .siff recording (ScanImage-FLIM), as a series of photon counts.

    Samples, channels, planes, times and original frame indices are as in `ScanImageImagingExtractor`.

    Parameters
    ----------
    file_path : path-like, optional
        Any file of the recording. Either this or `file_paths` must be given.
    channel_name, file_paths, slice_sample, plane_index, interleave_slice_samples
        As for `ScanImageImagingExtractor`.

    Raises
    ------
    UnsupportedFormatError
        If the file holds no photons.
    FileNotFoundError, FormatError, ValueError
        As for `ScanImageImagingExtractor`.

    Examples
    --------
    >>> from scanimage_nwb.testing.siff_files import write_siff_recording
    >>> written = write_siff_recording(folder, channel_save=(1, 2), n_planes=3, n_volumes=5, shape=(8, 6))
    >>> extractor = SiffImagingExtractor(written.path, channel_name="Channel 2")
    >>> extractor.get_series(0, 2).shape, extractor.get_dtype()
    ((2, 8, 6, 3), dtype('uint16'))
    """

    extractor_name = "SiffImagingExtractor"

    def _check_kind(self, recording: Recording) -> None:
        """Refuse files whose pages hold no photons."""
        if not recording.tables[0].is_siff:
            raise UnsupportedFormatError(
                f"{recording.paths[0]} holds pixels, not photons (a ScanImage TIFF); open it with "
                "ScanImageImagingExtractor"
            )

    def _set_up(
        self,
        recording: Recording,
        channel_name: str | None,
        slice_sample: int | None,
        plane_index: int | None,
        interleave: bool,
    ) -> None:
        super()._set_up(recording, channel_name, slice_sample, plane_index, interleave)
        self._dtype = np.dtype(np.uint16)
        self.reader = SiffReader.from_recording(recording)

    def _read_pages(self, pages: NDArray[np.int64]) -> NDArray:
        counts = self.reader.get_frames(pages.reshape(-1))
        if counts.dtype != self._dtype:
            frame = int(pages.reshape(-1)[counts.reshape(len(counts), -1).max(axis=1).argmax()])
            raise PhotonRangeError(
                f"{self.file_path}: page {frame} has {counts.max()} photons in a pixel; a series of uint16 holds at "
                "most 65,535. Read it with SiffReader.get_frames, which widens"
            )
        return counts.reshape(*pages.shape, *counts.shape[1:])
