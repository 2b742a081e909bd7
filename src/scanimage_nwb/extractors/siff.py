"""The photon counts of a .siff file with the interface of roiextractors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scanimage_nwb.errors import PhotonRangeError, UnsupportedFormatError
from scanimage_nwb.extractors.scanimage import ScanImageImagingExtractor
from scanimage_nwb.recording import Recording
from scanimage_nwb.siff_reader import SiffReader

__all__ = ["CountDtype", "SiffImagingExtractor"]

CountDtype = Literal["int16", "uint16", "uint32"]
"""Types that photon counts may have."""
_COUNT_DTYPES = ("int16", "uint16", "uint32")


class SiffImagingExtractor(ScanImageImagingExtractor):
    """One channel of a .siff recording (ScanImage-FLIM), as a series of photon counts.

    Samples, channels, planes, times and original frame indices are as in `ScanImageImagingExtractor`.

    Parameters
    ----------
    file_path : path-like, optional
        Any file of the recording. Either this or `file_paths` must be given.
    channel_name, file_paths, slice_sample, plane_index, interleave_slice_samples
        As for `ScanImageImagingExtractor`.
    count_dtype : {'uint16', 'int16', 'uint32'}
        Type of the counts. One that is too small for a pixel is refused when that is read, never wrapped.

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

    def __init__(
        self,
        file_path: str | Path | None = None,
        channel_name: str | None = None,
        file_paths: Sequence[str | Path] | None = None,
        slice_sample: int | None = None,
        plane_index: int | None = None,
        interleave_slice_samples: bool = False,
        count_dtype: CountDtype = "uint16",
    ) -> None:
        super().__init__(file_path, channel_name, file_paths, slice_sample, plane_index, interleave_slice_samples)
        self._set_count_dtype(count_dtype)

    @classmethod
    def from_recording(
        cls, recording: Recording, *, count_dtype: CountDtype = "uint16", **choices: Any
    ) -> "SiffImagingExtractor":
        """Make an extractor on a recording that is open already; parameters as for the class.

        Parameters
        ----------
        recording : Recording
            Shared, not copied.
        count_dtype, **choices
            As for the class.

        Returns
        -------
        SiffImagingExtractor
        """
        extractor = super().from_recording(recording, **choices)
        extractor._set_count_dtype(count_dtype)
        return extractor

    def _check_kind(self, recording: Recording) -> None:
        """Refuse files whose pages hold no photons."""
        if not recording.is_siff:
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
        self.reader = SiffReader.from_recording(recording)

    def _set_count_dtype(self, count_dtype: CountDtype) -> None:
        if count_dtype not in _COUNT_DTYPES:
            raise ValueError(f"count_dtype is {count_dtype!r}; expected one of {', '.join(_COUNT_DTYPES)}")
        self._dtype = np.dtype(count_dtype)

    def _read_pages(self, pages: NDArray[np.int64]) -> NDArray:
        counts = self.reader.get_frames(pages.reshape(-1))
        most = np.iinfo(self._dtype).max
        if np.iinfo(counts.dtype).max > most and counts.size and counts.max() > most:
            raise self._too_many(pages.reshape(-1), counts, most)
        return counts.astype(self._dtype, copy=False).reshape(*pages.shape, *counts.shape[1:])

    def _too_many(self, pages: NDArray[np.int64], counts: NDArray, most: int) -> PhotonRangeError:
        """Return the error for counts that the type of the series does not hold."""
        rank, row, column = np.unravel_index(int(counts.argmax()), counts.shape)
        wider = "uint16" if counts.max() <= np.iinfo(np.uint16).max else "uint32"
        return PhotonRangeError(
            f"{self.file_path}: page {pages[rank]}, row {row}, column {column} has {counts.max()} photons; a series of "
            f"{self._dtype} holds at most {most:,} in a pixel. Choose count_dtype='{wider}' (in the shell: "
            f"--count-dtype {wider})"
        )
